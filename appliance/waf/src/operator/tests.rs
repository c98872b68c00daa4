use proptest::prelude::*;

use super::*;

fn compile(name: &str, argument: &str) -> Operator {
    Operator::compile(name, argument.as_bytes(), &NoFiles).unwrap()
}

fn matches(name: &str, argument: &str, value: &str) -> bool {
    let operator = compile(name, argument);
    operator.evaluate(
        value.as_bytes(),
        ByteSet::of(value.as_bytes()),
        &mut Captures::default(),
    )
}

struct OneFile(&'static [u8]);

impl Files for OneFile {
    fn read(&self, name: &str) -> Option<&[u8]> {
        (name == "list.data").then_some(self.0)
    }
}

#[test]
fn operators_of_expanded_arguments_are_compiled_once_and_few_are_kept() {
    let mut recent = Recent::default();
    let mut captures = Captures::default();
    for round in 0..40 {
        let pattern = format!("^a{}$", round % 4);
        let value = format!("a{}", round % 4);
        assert!(recent.evaluate(OperatorKind::Rx, pattern.as_bytes(), value.as_bytes(), &mut captures));
        assert!(!recent.evaluate(OperatorKind::Rx, pattern.as_bytes(), b"b", &mut captures));
    }
    assert_eq!(recent.0.len(), 4);
    for round in 0..40 {
        assert!(!recent.evaluate(OperatorKind::Rx, format!("({round}").as_bytes(), b"", &mut captures));
    }
    assert_eq!(recent.0.len(), Recent::MOST);
    assert!(recent.evaluate(OperatorKind::StrEq, b"x", b"x", &mut captures));
    assert_eq!(recent.0.len(), Recent::MOST);
}

#[test]
fn a_number_too_large_stays_large() {
    assert!(matches("gt", "100", "99999999999999999999999"));
    assert!(matches("lt", "-100", "-99999999999999999999999"));
    assert!(matches("eq", "0", "none"));
    assert!(matches("eq", "12", " 12abc"));
}

#[test]
fn addresses_match_in_their_own_family_only() {
    assert!(matches("ipMatch", "10.0.0.0/8, 192.168.1.1,::1", "192.168.1.1"));
    assert!(matches("ipMatch", "0.0.0.0/0", "203.0.113.9"));
    assert!(!matches("ipMatch", "0.0.0.0/0", "::1"));
    assert!(!matches("ipMatch", "10.0.0.0/8", "::ffff:10.0.0.1"));
    assert!(!matches("ipMatch", "10.0.0.0/8", "10.0.0.1, 10.0.0.2"));
    let refused = Operator::compile("ipMatch", b"10.0.0.0/33", &NoFiles).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "@ipMatch: \"10.0.0.0/33\" is not an address or a network"
    );
}

#[test]
fn data_files_have_a_phrase_or_an_address_a_line() {
    let files = OneFile(b"# comment\nfoo bar\r\n\nBaz\n");
    let operator = Operator::compile("pmf", b"list.data", &files).unwrap();
    let mut captures = Captures::default();
    assert!(operator.evaluate(b"a FOO BAR", ByteSet::of(b"a FOO BAR"), &mut captures));
    assert_eq!(captures.get(0), Some(&b"foo bar"[..]));
    assert!(!operator.evaluate(b"comment", ByteSet::of(b"comment"), &mut captures));
    let addresses = OneFile(b"10.0.0.0/8 # inside\n2001:db8::/32\n");
    let operator = Operator::compile("ipMatchF", b"list.data", &addresses).unwrap();
    assert!(operator.evaluate(b"2001:db8::7", ByteSet::of(b"2001:db8::7"), &mut captures));
    let missing = Operator::compile("pmFromFile", b"other.data", &files).unwrap_err();
    assert_eq!(missing.to_string(), "@pmFromFile: the file \"other.data\" is missing");
}

#[test]
fn phrases_may_be_written_in_hexadecimal() {
    assert!(matches("pm", "x A|42|C|44 45|", "zABCDEz"));
    assert!(matches("pm", "a|b", "xA|by"));
}

#[test]
fn captures_are_recorded_only_if_they_are_wanted() {
    let operator = compile("rx", "(a)(x)?(b)");
    let mut captures = Captures::default();
    assert!(operator.evaluate(b"zab", ByteSet::of(b"zab"), &mut captures));
    assert_eq!(
        captures.iter().collect::<Vec<_>>(),
        [(0, &b"ab"[..]), (1, b"a"), (3, b"b")]
    );
    captures.clear();
    captures.want(false);
    assert!(operator.evaluate(b"zab", ByteSet::of(b"zab"), &mut captures));
    assert_eq!(captures.iter().count(), 0);
}

#[test]
fn the_step_limit_is_reported() {
    let operator = compile("rx", "(a*)*\\1b(?!c)");
    let value = [b"a".repeat(60), b"xbc".to_vec()].concat();
    let mut captures = Captures::default();
    captures.set_step_limit(1_000);
    assert!(!operator.evaluate(&value, ByteSet::of(&value), &mut captures));
    assert!(captures.limit_exceeded());
}

#[test]
fn what_needs_another_program_is_refused_with_the_reason() {
    let refused = Operator::compile("inspectFile", b"/bin/true", &NoFiles).unwrap_err();
    assert!(
        refused
            .to_string()
            .starts_with("@inspectFile is not supported: it runs a program")
    );
    assert_eq!(
        Operator::compile("nope", b"", &NoFiles).unwrap_err().to_string(),
        "there is no operator @nope"
    );
    assert_eq!(
        compile("rbl", "bl.example").lookup(),
        Some(&Lookup::BlockList("bl.example".to_owned()))
    );
}

#[test]
fn an_argument_known_late_gives_the_same_verdict() {
    let mut captures = Captures::default();
    for (name, argument, value) in [
        ("within", "GET POST", "POST"),
        ("streq", "a", "a"),
        ("endsWith", "/x", "a/x"),
        ("ge", "4", "5"),
        ("rx", "^a+$", "aaa"),
        ("ipMatch", "10.0.0.0/8", "10.1.1.1"),
        ("validateByteRange", "1-10", "a"),
    ] {
        let kind = OperatorKind::parse(name).unwrap();
        assert!(
            evaluate_dynamic(kind, argument.as_bytes(), value.as_bytes(), &mut captures),
            "@{name}"
        );
        assert!(matches(name, argument, value), "@{name}");
    }
}

proptest! {
    #[test]
    fn no_operator_filters_what_it_would_match(
        name in prop::sample::select(&["beginsWith", "contains", "containsWord", "endsWith", "streq", "strmatch", "within"][..]),
        argument in "[ab%1]{0,4}",
        value in "[ab%1]{0,6}",
    ) {
        let operator = compile(name, &argument);
        if text::compare(operator.kind(), argument.as_bytes(), value.as_bytes()) {
            prop_assert!(operator.may_match(ByteSet::of(value.as_bytes()), value.len()));
        }
    }
}
