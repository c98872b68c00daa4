//! Injection detection against the C library, over made-up attacks and mutations of them and of the labelled corpus.
//!
//! `REDAN_INJECTION_CASES` is how many mutations are compared (100,000).
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use redan_waf::injection::{detect_sqli, detect_xss};
use reference::Dice;

/// Pieces that change how a value is read.
const PIECES: &[&[u8]] = &[
    b"'",
    b"\"",
    b"`",
    b"--",
    b"#",
    b"/*",
    b"*/",
    b" or ",
    b" and ",
    b" union select ",
    b"1",
    b"=",
    b"(",
    b")",
    b";",
    b"\\",
    b"<",
    b">",
    b"on",
    b"javascript:",
    b"\0",
    b"\xa0",
    b"\xff",
    b"@",
    b"@@",
    b"$$",
    b"$a$",
    b"{",
    b"}",
    b".",
    b",",
    b" into outfile ",
    b"\n",
    b"q'(",
    b"nq'<",
    b"x'1f'",
    b"b'01'",
    b"u&'",
    b"e'",
    b"0x",
    b"0b1",
    b"1.5e3",
    b"!",
    b"/*!",
    b"&#x",
    b"&#10;",
    b"%",
    b"&&",
    b"||",
    b"<!--",
    b"-->",
    b"--!>",
    b"<?",
    b"<%",
    b"[if",
    b"]]>",
    b"<![CDATA[",
    b"\t",
    b" ",
    b"a",
    b"N",
    b"::",
    b"<=>",
    b":=",
    b"sp_password",
    b" not ",
    b" like(",
    b" in (",
    b"user(",
    b" collate utf8_bin",
    b" in boolean mode",
    b" having ",
    b" group by ",
    b"binary ",
    b"char(",
    b" src=",
    b" style=",
    b"<svg",
    b"<a href=",
    b"</",
    b"/>",
    b" xmlns",
    b"attributename=",
    b"<!doctype",
    b" is null",
    b"create or replace",
];

/// Attacks and ordinary values of our own, so that there is something to mutate without the corpus.
const SEEDS: &[&[u8]] = &[
    b"1' or '1'='1",
    b"-1 union select 1,2,3-- -",
    b"1; drop table users",
    b"' into outfile '/var/x' #",
    b"admin'/*",
    b"1 /*!and*/ 1=1",
    b"1 and sleep(5)",
    b"x' and extractvalue(1,concat(0x5c,version()))-- x",
    b"(select case when 1=1 then 1 else 0 end)",
    b"') order by 3#",
    b"foo' in boolean mode) union all select 1--",
    b"{``.``.id}",
    b"1,-sin(1)",
    b"select @@version",
    b"\\%1 or 1",
    b"select 1 from a {``.``.id}",
    b"1 or f(x {`` y",
    b"a ; b ; c {`` d",
    b"<script>alert(1)</script>",
    b"\"><img src=x onerror=alert(1)>",
    b"<a href=\"java&#115;cript:x\">",
    b"<set attributename=href to=1>",
    b"' onfocus=alert(1) autofocus '",
    b"<!--[if gte IE 4]><script>",
    b"<svg/onload=1>",
    b"<?import namespace=x>",
    b"<p style=x:1>",
    b"hello world",
    b"O'Reilly & sons",
    b"https://example.org/a?b=c&d=1",
    b"a@example.org",
    b"2024-01-31T10:00:00Z",
    b"rock 'n' roll",
    b"",
];

/// The values of the labelled corpus, if it is there.
fn corpus() -> Vec<Vec<u8>> {
    let data = std::env::var_os("REDAN_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        Into::into,
    );
    let Ok(file) = std::process::Command::new("gzip")
        .arg("-dc")
        .arg(data.join("corpus/tune.jsonl.gz"))
        .output()
    else {
        return Vec::new();
    };
    let mut text = String::new();
    file.stdout.as_slice().read_to_string(&mut text).unwrap();
    let mut values = BTreeSet::new();
    for line in text.lines() {
        let request: serde_json::Value = serde_json::from_str(line).unwrap();
        let uri = request["uri"].as_str().unwrap_or_default();
        let query = uri.split_once('?').map_or("", |(_, query)| query);
        for pair in query
            .split('&')
            .chain(request["body"].as_str().unwrap_or_default().split('&'))
        {
            let value = pair.split_once('=').map_or(pair, |(_, value)| value);
            let decoded = redan_waf::transform::Transformation::UrlDecode
                .apply(value.as_bytes())
                .into_owned();
            if decoded.len() < 2_000 {
                values.insert(decoded);
            }
        }
    }
    values.into_iter().collect()
}

/// Words of several kinds, and what makes tokens of one character.
const WORDS: &[&[u8]] = &[
    b"a",
    b"1",
    b"'s'",
    b"@v",
    b"f(",
    b"(",
    b")",
    b",",
    b";",
    b"=",
    b"+",
    b"-",
    b"or",
    b"and",
    b"not",
    b"in",
    b"like",
    b"is",
    b"null",
    b"select",
    b"union",
    b"all",
    b"from",
    b"where",
    b"group by",
    b"order",
    b"by",
    b"limit",
    b"into",
    b"outfile",
    b"case",
    b"when",
    b"if",
    b"user",
    b"int",
    b"binary",
    b"collate",
    b"utf8_bin",
    b"create",
    b"replace",
    b"{",
    b"``",
    b"}",
    b"\\",
    b"::",
    b".",
    b"/**/",
    b"-- ",
    b"#",
    b"*",
    b"!!",
    b"at time",
    b"zone",
    b"natural",
    b"join",
    b"having",
    b"exec",
    b"declare",
    b"current_user",
    b"interval",
    b"div",
    b"regexp",
    b"sounds",
    b"$1",
    b"[x]",
    b"?",
];

/// What pages are made of.
const MARKUP: &[&[u8]] = &[
    b"<a ",
    b"<b>",
    b"<svg",
    b"<script",
    b"<style",
    b"<x:y ",
    b"</a",
    b"</",
    b"<!--",
    b"-->",
    b"--!>",
    b"<!",
    b"<?",
    b"<%",
    b"%>",
    b">",
    b"/>",
    b"/",
    b"href",
    b"src",
    b"style",
    b"onload",
    b"on",
    b"xmlns",
    b"xlink:href",
    b"attributename",
    b"by",
    b"to",
    b"=",
    b" = ",
    b"\"",
    b"'",
    b"`",
    b" ",
    b"\t",
    b"\0",
    b"\xff",
    b"\x90",
    b"x",
    b"1",
    b"javascript:",
    b"jav",
    b"ascript",
    b"data:",
    b"&#106;",
    b"&#x6a",
    b"&#x16a;",
    b"&#",
    b"&#x",
    b"&#0;",
    b"&#10",
    b"&#9999999;",
    b"&amp;",
    b"vbscript",
    b"view-source:",
    b"[if",
    b"xml",
    b"import",
    b"ENTITY",
    b"[CDATA[",
    b"]]>",
    b"]",
    b"-",
    b"DOCTYPE",
    b"filter",
];

/// A value of random tokens, of a statement or of a page.
fn assemble(dice: &mut Dice) -> Vec<u8> {
    let ends: [&[u8]; 8] = [b" ", b" ", b" ", b"", b"", b"/**/", b"'", b"$a$"];
    let markup = dice.below(2) == 0;
    (0..2 + dice.below(11)).fold(Vec::new(), |mut value, _| {
        let tokens = match dice.below(4) {
            0 => PIECES,
            _ if markup => MARKUP,
            _ => WORDS,
        };
        value.extend(dice.one_of(tokens).iter());
        if !markup {
            value.extend(dice.one_of(&ends).iter());
        }
        value
    })
}

fn mutate(dice: &mut Dice, seeds: &[Vec<u8>]) -> Vec<u8> {
    if dice.below(2) == 0 {
        return assemble(dice);
    }
    let mut value = dice.one_of(seeds).clone();
    for _ in 0..*dice.one_of(&[1, 1, 1, 2, 3, 6]) {
        let place = dice.below(value.len() + 1);
        let byte = u8::try_from(dice.below(256)).unwrap();
        match dice.below(9) {
            0 | 1 => {
                let end = (place + dice.one_of(&[1, 1, 2, 4, 9])).min(value.len());
                value.drain(place..end);
            }
            2 | 3 => {
                value.splice(place..place, dice.one_of(PIECES).iter().copied());
            }
            4 => value.insert(place, byte),
            5 if place < value.len() => value[place] = byte,
            6 => {
                let other = dice.one_of(seeds).clone();
                let from = dice.below(other.len() + 1);
                let to = (from + dice.below(20)).min(other.len());
                value.splice(place..place, other[from..to].iter().copied());
            }
            7 => value.truncate(place),
            _ => value = value.split_off(place),
        }
    }
    value
}

/// Whether the value has a number with an exponent of no digits, which versions of the C library read differently.
fn has_bare_exponent(value: &[u8]) -> bool {
    value
        .windows(2)
        .any(|pair| matches!(pair, [b'0'..=b'9' | b'.', b'e' | b'E']))
}

#[test]
fn every_verdict_and_fingerprint_is_the_c_librarys() {
    let mut seeds: Vec<Vec<u8>> = SEEDS.iter().map(|seed| seed.to_vec()).collect();
    seeds.extend(corpus());
    let cases = std::env::var("REDAN_INJECTION_CASES").map_or(100_000, |cases| cases.parse().unwrap());
    let mut dice = Dice(0x005e_ed0f_1a7e_57ed);
    let mut values = seeds.clone();
    values.extend(PIECES.iter().map(|piece| piece.to_vec()));
    let mut compared = 0;
    let mut surplus = 0;
    while compared < cases {
        let Some(answers) = reference::ask(&["injection"], &values) else {
            return;
        };
        compared += values.len();
        for (value, answer) in values.iter().zip(answers) {
            let (sqli, xss) = answer.split_at(answer.len() - 1);
            assert_eq!(
                detect_xss(value),
                xss == b"x",
                "cross-site scripting: {}",
                value.escape_ascii()
            );
            let ours = detect_sqli(value).map(|found| [b"s", found.as_bytes()].concat());
            if sqli == b"-" && ours.is_some() && has_bare_exponent(value) {
                // Read the other way, the value is an injection.
                surplus += 1;
                continue;
            }
            assert_eq!(
                ours.as_deref().unwrap_or(b"-").escape_ascii().to_string(),
                sqli.escape_ascii().to_string(),
                "SQL: {}",
                value.escape_ascii()
            );
        }
        values = (0..50_000).map(|_| mutate(&mut dice, &seeds)).collect();
    }
    println!("{compared} values compared; {surplus} have a bare exponent and are injections for newer versions only");
    assert!(surplus * 100 < compared);
}

/// Words and digits alone are no injection, whatever they are: the operator's prefilter relies on it.
#[test]
fn words_alone_are_no_injection() {
    let mut dice = Dice(0x1234_5678_9abc_def1);
    let words: [&[u8]; 16] = [
        b"union", b"select", b"1", b"0x1", b"0b", b"1e", b"2e5", b"or", b"and", b"x", b"n", b"q", b"u", b"_", b"sleep",
        b"1f",
    ];
    for _ in 0..200_000 {
        let value: Vec<u8> = (0..1 + dice.below(7))
            .flat_map(|_| dice.one_of(&words).to_vec())
            .collect();
        assert!(detect_sqli(&value).is_none(), "{}", value.escape_ascii());
        assert!(!detect_xss(&value), "{}", value.escape_ascii());
    }
}
