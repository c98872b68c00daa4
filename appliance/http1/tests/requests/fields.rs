//! Fields that somebody reads to decide.

use super::{get, good, refused};
use redan_http1::Refusal;

#[test]
fn a_field_that_decides_on_access_is_read_only_when_it_stands_once() {
    let head = good(get("X-Token: a\r\nx-token: b\r\nX: c\r\n"));
    assert!(head.fields().only("X-Token").is_err());
    assert_eq!(head.fields().only("x").unwrap().unwrap().as_bytes(), b"c");
    assert!(head.fields().only("y").unwrap().is_none());
}

#[test]
fn secrets_in_values_are_not_printed() {
    let head = good(get("Authorization: Bearer hunter2\r\n"));
    assert!(!format!("{head:?}").contains("hunter2"));
}

#[test]
fn a_second_authorization_or_content_type_is_refused_even_when_equal() {
    for name in ["Authorization", "Content-Type"] {
        for second in ["a", "b"] {
            refused(
                get(&format!("{name}: a\r\n{}: {second}\r\n", name.to_lowercase())),
                Refusal::FieldRepeated,
            );
        }
        let head = good(get(&format!("{name}: a\r\n")));
        assert!(
            head.fields().end_to_end().any(|field| field.is(name)),
            "one is passed on"
        );
    }
}
