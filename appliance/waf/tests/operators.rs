//! Operators against libmodsecurity's: verdicts and captures, over made-up values.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod reference;

use redan_waf::bytes::ByteSet;
use redan_waf::operator::{Captures, Files, Operator};
use reference::Dice;

struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

/// Operators with arguments, and the pieces that values for them are made of.
const CASES: &[(&str, &str, &[&str])] = &[
    ("beginsWith", "abc", &["a", "b", "c", "abc"]),
    ("contains", "abc", &["a", "b", "c", "bc"]),
    ("containsWord", "ab", &["a", "b", "ab", " ", "1", "_", "-", "\u{e9}"]),
    ("endsWith", "abc", &["a", "b", "c", "abc"]),
    ("strmatch", "aab", &["a", "b", "ab"]),
    ("streq", "ab", &["a", "b", ""]),
    (
        "within",
        "GET POST HEAD",
        &["GET", "POST", " ", "E", "T P", "HEAD", "x"],
    ),
    ("eq", "5", &["5", "05", " ", "+", "-", "a", "6"]),
    ("ge", "12", &["1", "2", "-", " ", "x", "+"]),
    ("gt", "-3", &["1", "2", "3", "4", "-", " ", "x"]),
    ("le", "abc", &["0", "1", "-", "x"]),
    ("lt", "7", &["6", "7", "8", "-", ""]),
    (
        "ipMatch",
        "10.0.0.0/8,192.168.1.1,2001:db8::/32",
        &["10.", "1", "0.0.0.1", "192.168.1.1", "2001:db8::", ":", "f", "."],
    ),
    (
        "pm",
        "abc bcd union/**/select cat",
        &["a", "B", "c", "D", "ab", "bc", "ca", "T", "UNION/**/select", "x"],
    ),
    ("pm", "he she his hers", &["h", "e", "s", "i", "r", "hers", "sh"]),
    ("rx", "a(b)?(c+)|d(e)", &["a", "b", "c", "d", "e", "x"]),
    (
        "rx",
        "(?i)se(?:lect|t)\\s+(\\w+)",
        &["se", "SELECT", "set", " ", "x", "1", "\t"],
    ),
    ("rx", "^[^=]*=(['\\\"]?)(.*)\\1z", &["=", "'", "a", "z", "q"]),
    ("rx", "(?<!a)b(?!c)(.)", &["a", "b", "c", "d"]),
    ("rx", "([ab]++)c", &["a", "b", "c", "d"]),
    (
        "rx",
        "[[:alpha:]]{2,3}[^\\d\\s][\\x00-\\x40]",
        &["a", "Z", "1", " ", "!", "_"],
    ),
    ("rx", "(a|ab)(c|bcd)(d*)", &["a", "b", "c", "d", "abcd"]),
    ("rx", "\\bon(?:load|error)\\b", &["on", "load", "error", " ", "x", "-"]),
    ("rx", "x*", &["x", "y"]),
    ("rx", "^(?:a?){5}a{5}$", &["a", "aa", "b"]),
    ("rxGlobal", "(a)(b)?", &["a", "b", "c", "ab"]),
    ("validateByteRange", "32-36,97,99-100", &["a", "b", "c", " ", "#", "%"]),
    ("validateUrlEncoding", "", &["%", "4", "1", "g", "%41", "a"]),
    (
        "verifyCC",
        "\\d{13,16}",
        &["4", "5", "1", "0", "5484605089158216", "4556324125126", " "],
    ),
    (
        "verifyCPF",
        "[0-9.-]{11,14}",
        &["0", "1", "010.817.514-60", "111.444.777-35", " ", "5"],
    ),
    (
        "verifySSN",
        "\\d{3}-?\\d{2}-?\\d{4}",
        &["574-57-8065", "1", "666", "-", "000", "57", "8065", " "],
    ),
    (
        "verifySVNR",
        "[0-9]{4} ?[0-9]{6}",
        &["1237 010180", "1", "2", "0", " ", "1237010180"],
    ),
    ("detectSQLi", "", &["1", "'", " or ", "=", "union select ", "--", "a"]),
    (
        "detectXSS",
        "",
        &["<", "script", ">", " onload", "=", "\\\"", "a", "svg"],
    ),
    ("unconditionalMatch", "", &["a", ""]),
    ("noMatch", "", &["a", ""]),
];

#[test]
fn every_verdict_and_capture_is_libmodsecuritys() {
    let mut dice = Dice(0x0a1b_2c3d_4e5f_6071);
    let mut failures = Vec::new();
    for (name, argument, pieces) in CASES {
        let values: Vec<Vec<u8>> = (0..1_500)
            .map(|_| {
                (0..dice.below(9))
                    .flat_map(|_| dice.one_of(pieces).as_bytes().to_vec())
                    .collect()
            })
            .collect();
        let groups = [0, 1, 2, 3].map(|group| format!("%{{TX.{group}}}")).join("|");
        let rules = format!(
            "SecRuleEngine DetectionOnly\nSecRule REQUEST_HEADERS:X \"@{name} {argument}\" \
             \"id:1,phase:1,log,pass,capture,t:none,logdata:'{groups}'\""
        );
        let Some(answers) = reference::ask(&["rules", &rules], &values) else {
            return;
        };
        // The rule's own quoting is undone before the operator sees its argument.
        let operator = Operator::compile(name, argument.replace("\\\"", "\"").as_bytes(), &NoFiles).unwrap();
        let mut matches = 0;
        let before = failures.len();
        for (value, answer) in values.iter().zip(answers) {
            let mut captures = Captures::default();
            let matched = operator.evaluate(value, ByteSet::of(value), &mut captures);
            matches += usize::from(matched);
            let groups = [0, 1, 2, 3].map(|group| captures.get(group).unwrap_or_default().to_vec());
            let ours = if matched {
                [groups.join(&b'|'), b"\n".to_vec()].concat()
            } else {
                Vec::new()
            };
            // Of several right numbers libmodsecurity captures a later one, this engine the first.
            let only_verdict = matches!(*name, "verifyCPF" | "verifySSN" | "verifySVNR");
            if (only_verdict && matched != answer.is_empty()) || failures.len() >= before + 5 {
                continue;
            }
            if ours != answer {
                failures.push(format!(
                    "@{name} {argument} on {:?}: {:?} instead of {:?}",
                    String::from_utf8_lossy(value),
                    String::from_utf8_lossy(&ours),
                    String::from_utf8_lossy(&answer)
                ));
            }
        }
        assert!(
            (matches > 0) != (*name == "noMatch"),
            "@{name} {argument} matches all or nothing"
        );
    }
    failures.dedup();
    assert!(
        failures.is_empty(),
        "{} differ:\n{}",
        failures.len(),
        failures[..failures.len().min(60)].join("\n")
    );
}
