//! The operator and transformation cases of the ModSecurity project (secrules-language-tests), read from the test data beside the
//! project or where `REDAN_TEST_DATA` says. Without them the tests say so and pass.

#![expect(clippy::unwrap_used, reason = "a test may fail so")]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use redan_waf::bytes::ByteSet;
use redan_waf::operator::{Captures, Files, Operator};
use redan_waf::transform::Transformation;
use serde_json::Value;

/// The folder with the cases, if it is there.
fn folder(name: &str) -> Option<PathBuf> {
    let data = std::env::var_os("REDAN_TEST_DATA").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = data.join("secrules-language-tests").join(name);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("skipped: the test data are not at {}", folder.display());
    None
}

/// Every case of a folder.
fn cases(folder: &Path) -> Vec<Value> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .filter(|file| file.extension().is_some_and(|extension| extension == "json"))
        .flat_map(|file| serde_json::from_slice::<Vec<Value>>(&std::fs::read(file).unwrap()).unwrap())
        .collect()
}

/// The bytes that a string of a case stands for: the cases' own runner replaces `\xHH` and then `\uHHHH` after reading the JSON,
/// with `strtol`, that is, up to the first character that is no digit, and keeps the low byte.
fn bytes(case: &Value, key: &str) -> Vec<u8> {
    let text = case.get(key).and_then(Value::as_str).unwrap_or_default();
    let mut bytes = text.as_bytes().to_vec();
    for (mark, length) in [(b'x', 2), (b'u', 4)] {
        while let Some(place) = bytes.windows(length + 2).position(|window| {
            window[0] == b'\\' && window[1] == mark && window[2..].iter().all(u8::is_ascii_alphanumeric)
        }) {
            let digits = bytes[place + 2..place + 2 + length]
                .iter()
                .map_while(|byte| char::from(*byte).to_digit(16));
            let code = digits.fold(0_u32, |code, digit| code << 4 | digit);
            bytes.splice(place..place + 2 + length, [code.to_be_bytes()[3]]);
        }
    }
    bytes
}

fn name(case: &Value) -> &str {
    case["name"].as_str().unwrap()
}

#[test]
fn every_transformation_case_gives_the_output_that_it_names() {
    let Some(folder) = folder("transformations") else {
        return;
    };
    let mut failures = Vec::new();
    let cases = cases(&folder);
    for case in &cases {
        if name(case) == "cssDecode"
            && bytes(case, "input").contains(&0)
            && bytes(case, "output").starts_with(b"test\n")
        {
            // The case was `\\0`, the digit, and became a backslash and a NUL when the cases were converted. Their own runner cuts
            // strings at the NUL and so never saw it. With the digit:
            let input = bytes(case, "input")
                .iter()
                .map(|byte| if *byte == 0 { b'0' } else { *byte })
                .collect::<Vec<u8>>();
            assert_eq!(*Transformation::CssDecode.apply(&input), *bytes(case, "output"));
            continue;
        }
        // The name of one file's cases has a form of its own.
        let transformation = Transformation::parse(&name(case).replace('_', "")).unwrap();
        let input = bytes(case, "input");
        let output = transformation.apply(&input);
        let expected = bytes(case, "output");
        if *output != *expected {
            failures.push(format!(
                "{} {:?}: {:?} instead of {:?}",
                name(case),
                input,
                &*output,
                expected
            ));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert_eq!(cases.len(), 376);
}

/// The files that the cases name.
struct Folder(BTreeMap<String, Vec<u8>>);

impl Files for Folder {
    fn read(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name.rsplit('/').next()?).map(Vec::as_slice)
    }
}

/// The cases that are wrong: operator, argument, input, and why.
const WRONG: &[(&str, &str, &str, &str)] = &[(
    "validateByteRange",
    "xxx",
    "TestCase",
    "the argument is no range; the rule set is refused instead, which libmodsecurity does as well",
)];

#[test]
fn every_operator_case_has_the_verdict_that_it_names() {
    let Some(folder) = folder("operators") else { return };
    let files = std::fs::read_dir(folder.join("op")).unwrap().map(|entry| {
        let path = entry.unwrap().path();
        (
            path.file_name().unwrap().to_string_lossy().into_owned(),
            std::fs::read(&path).unwrap(),
        )
    });
    let files = Folder(files.collect());
    let mut failures = Vec::new();
    let cases = cases(&folder);
    for case in &cases {
        let (argument, input) = (bytes(case, "param"), bytes(case, "input"));
        if WRONG.iter().any(|wrong| {
            (wrong.0, wrong.1.as_bytes(), wrong.2.as_bytes()) == (name(case), argument.as_slice(), input.as_slice())
        }) {
            continue;
        }
        let mut captures = Captures::default();
        // A refused rule matches nothing.
        let operator = Operator::compile(name(case), &argument, &files);
        let verdict = operator
            .as_ref()
            .is_ok_and(|operator| operator.evaluate(&input, ByteSet::of(&input), &mut captures));
        if verdict != (case["ret"].as_i64() == Some(1)) {
            failures.push(format!(
                "@{} {argument:?} on {input:?}: {verdict} {:?}",
                name(case),
                operator.err()
            ));
        }
        if let Some(groups) = case.get("re_groups").and_then(Value::as_array) {
            let expected: Vec<&[u8]> = groups.iter().map(|group| group.as_str().unwrap().as_bytes()).collect();
            let found: Vec<&[u8]> = captures.iter().map(|(_, bytes)| bytes).collect();
            // The cases of global searches name only some of the groups.
            let mut rest = found.iter();
            let named = expected.iter().all(|group| rest.any(|other| other == group));
            if !named || name(case) == "rx" && found != expected {
                failures.push(format!("@{} {argument:?} on {input:?}: groups {found:?}", name(case)));
            }
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} failed:\n{}",
        failures.len(),
        cases.len(),
        failures.join("\n")
    );
    assert_eq!(cases.len(), 3_955);
}
