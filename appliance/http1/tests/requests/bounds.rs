//! Bounds on heads.

use super::{get, good, parse, refused};
use redan_http1::{Limits, Refusal, parse_request};

#[test]
fn a_head_over_16_kib_is_refused_before_it_ends() {
    let fields = format!("X: {}\r\n", "y".repeat(8_000)).repeat(3);
    refused(get(&fields), Refusal::HeadTooLong);
    refused(&get(&fields)[..16_384], Refusal::HeadTooLong);
    assert!(parse(&get(&fields)[..16_383]).unwrap().is_none());
    let exact = get("");
    let limits = Limits {
        head: exact.len(),
        ..Limits::default()
    };
    assert!(parse_request(exact.as_bytes(), &limits).unwrap().is_some());
    let limits = Limits {
        head: exact.len() - 1,
        ..limits
    };
    assert_eq!(
        parse_request(exact.as_bytes(), &limits).err(),
        Some(Refusal::HeadTooLong)
    );
}

#[test]
fn more_than_100_fields_are_refused() {
    let fields = |count: usize| (1..count).map(|i| format!("X{i}: y\r\n")).collect::<String>();
    assert_eq!(good(get(&fields(100))).fields().len(), 100);
    refused(get(&fields(101)), Refusal::TooManyFields);
    refused(get(&fields(2_000)), Refusal::TooManyFields);
    let limits = Limits {
        fields: 1_000,
        head: 1 << 20,
        ..Limits::default()
    };
    assert_eq!(
        parse_request(get(&fields(129)).as_bytes(), &limits).err(),
        Some(Refusal::TooManyFields)
    );
    assert!(parse_request(get(&fields(128)).as_bytes(), &limits).is_ok());
}

#[test]
fn a_line_over_8_kib_is_refused_before_it_ends() {
    refused(get(&format!("X: {}\r\n", "y".repeat(8_190))), Refusal::LineTooLong);
    assert!(parse(get(&format!("X: {}\r\n", "y".repeat(8_189)))).is_ok());
    refused(
        format!("GET / HTTP/1.1\r\nX: {}", "y".repeat(8_190)),
        Refusal::LineTooLong,
    );
    assert_eq!(Refusal::LineTooLong.status().code(), 431);
}

#[test]
fn a_target_over_8_kib_is_refused_with_414() {
    let target = |length: usize| format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(length - 1));
    assert!(parse(target(8_192)).is_ok());
    refused(target(8_193), Refusal::TargetTooLong);
    refused(&target(40_000)[..9_000], Refusal::TargetTooLong);
    assert_eq!(Refusal::TargetTooLong.status().code(), 414);
}
