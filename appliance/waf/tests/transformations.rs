//! Transformations against libmodsecurity's, over made-up values.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use redan_waf::transform::Transformation;
use reference::Dice;

/// Bytes and sequences that one of the transformations looks at.
const PIECES: &[&[u8]] = &[
    b"a",
    b"Z",
    b"f",
    b"0",
    b"1",
    b"7",
    b"8",
    b" ",
    b"  ",
    b"\t",
    b"\n",
    b"\x0b",
    b"\r",
    b"\0",
    b"\xa0",
    b"\xc2\xa0",
    b"\xc3\xa9",
    b"\xc3",
    b"\xe2\x82\xac",
    b"\xe2\x82",
    b"\xed\xa0\x80",
    b"\xc0\xaf",
    b"\xf0\x9f\x98\x80",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xff",
    b"\x80",
    b"%",
    b"%41",
    b"%u",
    b"%u0041",
    b"%uff21",
    b"%uFF7e",
    b"%4",
    b"%zz",
    b"+",
    b"\\",
    b"\\x41",
    b"\\u0041",
    b"\\uff21",
    b"\\x4",
    b"\\u00",
    b"\\101",
    b"\\777",
    b"\\0",
    b"\\n",
    b"\\41 ",
    b"\\0000041",
    b"\\ff21",
    b"\\00ff21",
    b"&",
    b"&#",
    b"&#65",
    b"&#65;",
    b"&#x41;",
    b"&#X4",
    b"&lt;",
    b"&nbsp",
    b"&quot;",
    b"&amp;",
    b"&foo;",
    b"&#99999999999999999999;",
    b"/",
    b"//",
    b".",
    b"..",
    b"/../",
    b"/./",
    b"\\..\\",
    b"/*",
    b"*/",
    b"<!--",
    b"-->",
    b"--",
    b"#",
    b"\"",
    b"'",
    b"^",
    b",",
    b";",
    b"(",
    b"0x",
    b"0x41",
    b"0X4142g",
    b"QUJD",
    b"QUI=",
    b"=",
    b"-",
    b"_",
    b"TEST",
    b"foo",
    b"*",
];

/// Where Debian's libmodsecurity (3.0.9) does otherwise, and is not followed.
fn is_accepted(transformation: Transformation, value: &[u8], ours: &[u8], theirs: &[u8]) -> bool {
    match transformation {
        // A byte outside the alphabet or an unfinished group makes its result empty or shorter, and so hides what is before it.
        Transformation::Base64Decode => ours.starts_with(theirs),
        // Padding behind the first byte of a group makes its result empty. PHP, which the transformation is for, goes on.
        Transformation::Base64DecodeExt => theirs.is_empty() && value.contains(&b'='),
        // It cuts the result at a NUL. Version 3.0.15 does not.
        Transformation::CssDecode => ours.contains(&0) && ours.split(|byte| *byte == 0).next() == Some(theirs),
        // It leaves the last backslash of several separators in a row, which Windows takes for one.
        Transformation::NormalizePathWin => value.windows(2).any(|pair| matches!(pair, [b'/' | b'\\', b'\\'])),
        // Its result is one byte short unless the value ends with a literal, and of two adjacent literals it reads one. Version
        // 3.0.15 does neither.
        Transformation::SqlHexDecode => {
            ours.starts_with(theirs) || value.windows(2).filter(|pair| pair.eq_ignore_ascii_case(b"0x")).count() > 1
        }
        _ => false,
    }
}

#[test]
fn every_result_is_libmodsecuritys() {
    let mut dice = Dice(0x0f1e_2d3c_4b5a_6978);
    let mut values: Vec<Vec<u8>> = PIECES.iter().map(|piece| piece.to_vec()).collect();
    values.extend((0..3_000).map(|_| {
        (0..1 + dice.below(9))
            .flat_map(|_| dice.one_of(PIECES).to_vec())
            .collect()
    }));
    let path: [&[u8]; 7] = [b"/", b"/", b".", b"..", b"a", b"bc", b"\\"];
    values.extend((0..3_000).map(|_| {
        (0..1 + dice.below(10))
            .flat_map(|_| dice.one_of(&path).to_vec())
            .collect()
    }));
    let mut failures = Vec::new();
    for transformation in Transformation::EVERY {
        if transformation == Transformation::PhpArgsNames {
            // Only versions to come have it.
            continue;
        }
        let rules = format!(
            "SecRuleEngine DetectionOnly\nSecRule REQUEST_HEADERS:X \"@unconditionalMatch\" \
             \"id:1,phase:1,log,pass,t:none,t:{},t:hexEncode,logdata:'%{{MATCHED_VAR}}'\"",
            transformation.name()
        );
        let Some(answers) = reference::ask(&["rules", &rules], &values) else {
            return;
        };
        let mut wrong = 0;
        for (value, answer) in values.iter().zip(answers) {
            let result = transformation.apply(value);
            let ours = Transformation::HexEncode.apply(&result);
            let theirs = answer.strip_suffix(b"\n").unwrap();
            if *ours != *theirs
                && !is_accepted(transformation, value, &result, &Transformation::HexDecode.apply(theirs))
            {
                wrong += 1;
                if wrong <= 5 {
                    failures.push(format!(
                        "{}: {} gives {} instead of {}",
                        transformation.name(),
                        value.escape_ascii(),
                        result.escape_ascii(),
                        Transformation::HexDecode.apply(theirs).escape_ascii()
                    ));
                }
            }
        }
        if wrong > 0 {
            failures.push(format!("{}: {wrong} of {}", transformation.name(), values.len()));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
