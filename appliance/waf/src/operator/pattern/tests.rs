use proptest::prelude::*;

use super::*;
use crate::operator::need::Need;

fn find(pattern: &str, value: &str) -> Option<Vec<Option<String>>> {
    let pattern = Pattern::compile(pattern.as_bytes()).unwrap();
    let mut steps = 1_000_000;
    match pattern.find(value.as_bytes(), 0, true, &mut steps) {
        Found::Groups(groups) => Some(
            groups
                .into_iter()
                .map(|place| place.map(|(from, to)| value[from..to].to_owned()))
                .collect(),
        ),
        _ => None,
    }
}

fn matched(pattern: &str, value: &str) -> Option<String> {
    find(pattern, value)?.first()?.clone()
}

fn refusal(pattern: &str) -> Reason {
    Pattern::compile(pattern.as_bytes()).unwrap_err().reason
}

#[test]
fn brackets_and_braces_that_open_nothing_are_literal() {
    assert_eq!(matched(r"[[]x", "a[x").as_deref(), Some("[x"));
    assert_eq!(matched(r"a{b", "a{b").as_deref(), Some("a{b"));
    assert_eq!(matched(r"a{,3}", "aa{,3}").as_deref(), Some("a{,3}"));
    assert_eq!(matched(r"a{2}]", "aaa]").as_deref(), Some("aa]"));
    assert_eq!(matched(r"[]a]+", "b]a").as_deref(), Some("]a"));
    assert_eq!(matched(r"[^]a]", "]ab").as_deref(), Some("b"));
    assert_eq!(matched(r"[\w-.]+", "#a-.").as_deref(), Some("a-."));
    assert_eq!(matched(r"[a&&b]+", "&&").as_deref(), Some("&&"));
    assert_eq!(matched(r"[--/]+", "./-").as_deref(), Some("./-"));
}

#[test]
fn case_folds_before_a_class_is_negated() {
    assert_eq!(matched("(?i)[^a]", "Ab").as_deref(), Some("b"));
    assert_eq!(matched("(?i:SELECT)x", "selectX"), None);
    assert_eq!(matched("(?i)a(?-i)b", "Ab").as_deref(), Some("Ab"));
    // An option holds for the branches that follow, too.
    assert_eq!(matched("a(?i)b|c", "C").as_deref(), Some("C"));
}

#[test]
fn a_dot_matches_a_newline_and_a_dollar_only_the_very_end() {
    assert_eq!(matched("a.b", "a\nb").as_deref(), Some("a\nb"));
    assert_eq!(matched("(?-s)a.b", "a\nb"), None);
    assert_eq!(matched("a$", "a\n"), None);
    assert_eq!(matched("a\\Z", "a\n").as_deref(), Some("a"));
    assert_eq!(matched("^b", "a\nb"), None);
    assert_eq!(matched("(?m)^b$", "a\nb\nc").as_deref(), Some("b"));
}

#[test]
fn escapes_stand_for_bytes() {
    assert_eq!(matched(r"\x41\x{42}\103\o{104}", "ABCD").as_deref(), Some("ABCD"));
    assert_eq!(matched(r"[\x{30}-\x{32}]+", "30121").as_deref(), Some("0121"));
    assert_eq!(matched(r"\Qa.b\E+", "a.bb").as_deref(), Some("a.bb"));
    assert_eq!(matched(r"\/\-\<\>\_", "/-<>_").as_deref(), Some("/-<>_"));
    assert_eq!(refusal(r"\x{200b}"), Reason::EscapeWide(0x200b));
    let high = Pattern::compile(b"\xc3[\xa0-\xaf]").unwrap();
    assert!(matches!(high.find(b"x\xc3\xa5", 0, false, &mut 0), Found::Somewhere));
}

#[test]
fn looking_around_does_what_it_says() {
    assert_eq!(matched(r"<\?(?!xml)", "<?xml <?php").as_deref(), Some("<?"));
    assert_eq!(find(r"<\?(?!xml)(.)", "<?xml <?php").unwrap()[1].as_deref(), Some("p"));
    assert_eq!(matched(r"foo(?=bar)", "foox foobar").as_deref(), Some("foo"));
    assert_eq!(matched(r"(?<!a|bc)d", "ad bcd xd").as_deref(), Some("d"));
    assert_eq!(matched(r"(?<=a)b", "cb ab").as_deref(), Some("b"));
    assert_eq!(matched(r"(?<!a)b", "ab"), None);
    assert_eq!(refusal(r"(?<=a+)b"), Reason::LookBehind);
    // A negative look-ahead within a loop.
    assert_eq!(matched(r"^(?:(?!ab).)*$", "aab"), None);
    assert_eq!(matched(r"^(?:(?!ab).)*$", "aacb").as_deref(), Some("aacb"));
}

#[test]
fn references_and_atoms_do_what_they_say() {
    assert_eq!(matched(r#"(["'])x\1"#, r#"'x" "x""#).as_deref(), Some("\"x\""));
    assert_eq!(matched(r"(?i)(a)\1", "xaA").as_deref(), Some("aA"));
    assert_eq!(matched(r"(?P<q>.)b(?P=q)", "abc aba").as_deref(), Some("aba"));
    assert_eq!(matched(r"(a+)(?:b\g{-1})", "aaba").as_deref(), Some("aba"));
    assert_eq!(matched(r"a++ab", "aaab"), None);
    assert_eq!(matched(r"(?>a|ab)c", "abc"), None);
    assert_eq!(matched(r"a?+b", "ab").as_deref(), Some("ab"));
    assert_eq!(refusal(r"(a)\2"), Reason::NoSuchGroup("2".to_owned()));
}

#[test]
fn what_is_not_a_pattern_is_refused_with_its_place() {
    assert_eq!(
        Pattern::compile(b"ab)").unwrap_err(),
        PatternError {
            position: 2,
            reason: Reason::GroupClose
        }
    );
    assert_eq!(
        Pattern::compile(b"a(b").unwrap_err(),
        PatternError {
            position: 1,
            reason: Reason::GroupOpen
        }
    );
    assert_eq!(refusal("[a"), Reason::ClassOpen);
    assert_eq!(refusal("[b-a]"), Reason::ClassRange);
    assert_eq!(refusal("*a"), Reason::NothingToRepeat);
    assert_eq!(refusal("a{3,2}"), Reason::Bounds);
    assert_eq!(refusal("[[:nope:]]"), Reason::ClassName("nope".to_owned()));
    assert_eq!(refusal(&"(".repeat(1000)), Reason::TooDeep(200));
    assert_eq!(refusal("((a{1000}){1000}){1000}"), Reason::TooLarge);
}

#[test]
fn a_backtracking_pattern_gives_up_at_its_limit() {
    let pattern = Pattern::compile(b"(?:a|a)*+(?=b)c|(a*)*\\1b").unwrap();
    assert!(!pattern.is_regular());
    let value = [b"a".repeat(60), b"xb".to_vec()].concat();
    let mut steps = 100_000;
    assert!(matches!(pattern.find(&value, 0, true, &mut steps), Found::Exhausted));
}

/// Patterns of a small alphabet, with everything that the tree has.
fn pattern(regular: bool) -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(
        &[
            "a", "b", "c", ".", "[ab]", "[^a]", "\\w", "^", "$", "\\b", "(?i)b", "x", "",
        ][..],
    );
    let leaf = leaf.prop_map(str::to_owned);
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let quantifiers = ["*", "+", "?", "*?", "{2}", "{1,2}", "{0,2}?", "*+", "?+"];
        let quantifier = prop::sample::select(quantifiers[..if regular { 7 } else { 9 }].to_vec());
        let groups = ["(", "(?:", "(?i:", "(?=", "(?!", "(?>"];
        let group = prop::sample::select(groups[..if regular { 3 } else { 6 }].to_vec());
        prop_oneof![
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| parts.concat()),
            prop::collection::vec(inner.clone(), 1..4).prop_map(|parts| format!("(?:{})", parts.join("|"))),
            (inner.clone(), quantifier).prop_map(move |(inner, quantifier)| {
                // After an iteration without a byte PCRE leaves a loop and the linear engine goes on: there they need not agree.
                let empty = |inner: &str| {
                    Pattern::compile(inner.as_bytes())
                        .unwrap()
                        .need()
                        .is_met(ByteSet::EMPTY, 0)
                };
                if regular && empty(&inner) {
                    inner
                } else {
                    format!("(?:{inner}){quantifier}")
                }
            }),
            (group, inner).prop_map(|(group, inner)| format!("{group}{inner})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_whole_match_is_ever_filtered(source in pattern(false), value in "[abcxAB\n]{0,8}") {
        let source = format!("^(?:{source})$");
        let pattern = Pattern::compile(source.as_bytes()).unwrap();
        if !matches!(pattern.find(value.as_bytes(), 0, false, &mut 100_000), Found::Nothing | Found::Exhausted) {
            prop_assert!(pattern.need().is_met(ByteSet::of(value.as_bytes()), value.len()), "{source} on {value:?}");
        }
    }

    #[test]
    fn no_match_is_ever_filtered(source in pattern(false), value in "[abcxAB\n]{0,8}") {
        let pattern = Pattern::compile(source.as_bytes()).unwrap();
        if !matches!(pattern.find(value.as_bytes(), 0, false, &mut 100_000), Found::Nothing | Found::Exhausted) {
            prop_assert!(pattern.need().is_met(ByteSet::of(value.as_bytes()), value.len()), "{source} on {value:?}");
        }
    }

    /// The two engines are independent of each other, and the linear one is well tested.
    #[test]
    fn both_engines_find_the_same_match(source in pattern(true), value in "[abcxAB\n]{0,8}") {
        let parsed = parse::parse(source.as_bytes()).unwrap();
        let linear = Pattern::compile(source.as_bytes()).unwrap();
        prop_assert!(linear.is_regular());
        let program = Program::compile(&parsed.root, parsed.groups).unwrap();
        let expected = match linear.find(value.as_bytes(), 0, true, &mut 0) {
            Found::Groups(groups) => groups.first().copied().flatten(),
            _ => None,
        };
        match program.find(value.as_bytes(), 0, &mut 1_000_000) {
            Outcome::Match(groups) => prop_assert_eq!(groups[0], expected, "{}", source),
            Outcome::Nothing => prop_assert_eq!(None, expected, "{}", source),
            Outcome::Exhausted => {}
        }
    }

    #[test]
    fn any_bytes_are_a_pattern_or_refused(source in prop::collection::vec(any::<u8>(), 0..30)) {
        let _ = Pattern::compile(&source);
    }

    #[test]
    fn any_punctuation_is_a_pattern_or_refused(source in r"[\[\](){}|*+?^$.\\:<>=!#,a1x&_'P-]{0,20}") {
        let _ = Pattern::compile(source.as_bytes());
    }

    #[test]
    fn no_phrase_is_ever_filtered(
        texts in prop::collection::vec("[abAB1 -]{1,6}", 1..5),
        value in "[abAB1 -]{0,12}",
    ) {
        let need = Need::of_texts(texts.iter().map(String::as_bytes), true);
        let folded = value.to_lowercase();
        if texts.iter().any(|text| folded.contains(&text.to_lowercase())) {
            prop_assert!(need.is_met(ByteSet::of(value.as_bytes()), value.len()));
        }
    }
}
