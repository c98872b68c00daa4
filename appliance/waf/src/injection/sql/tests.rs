use super::*;

fn fingerprint(value: &str) -> Option<String> {
    detect_sqli(value.as_bytes()).map(|found| String::from_utf8(found.as_bytes().to_vec()).unwrap())
}

#[test]
fn injections_have_their_fingerprints() {
    assert_eq!(fingerprint("1' or '1'='1").as_deref(), Some("s&sos"));
    assert_eq!(fingerprint("-1 union select 1,2,3--").as_deref(), Some("1UE1c"));
    assert_eq!(fingerprint("' into outfile '/var/x").as_deref(), Some("sks"));
    assert_eq!(fingerprint("1 /*!and*/ 1").as_deref(), Some("X"));
    assert_eq!(
        fingerprint("foo' in boolean mode) union all select 1--").as_deref(),
        Some("sk)UE")
    );
}

#[test]
fn ordinary_text_has_none() {
    for value in [
        "",
        "hello world",
        "O'Reilly",
        "rock and roll",
        "a = b",
        "it's 5 o'clock",
        "select a plan",
    ] {
        assert_eq!(fingerprint(value), None, "{value}");
    }
}
