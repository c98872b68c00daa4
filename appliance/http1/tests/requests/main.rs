//! The rules for request heads, a test for each, in a file for each topic.
#![allow(missing_docs, reason = "the names of tests are their documentation")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its own functions too"
)]

mod bounds;
mod connection;
mod fields;
mod framing;
mod host;
mod lines;

use redan_http1::{Form, Framing, Limits, Method, Parsed, Persistence, Refusal, RequestHead, Version, parse_request};

fn parse(head: impl AsRef<[u8]>) -> Result<Option<Parsed<RequestHead>>, Refusal> {
    parse_request(head.as_ref(), &Limits::default())
}

fn good(head: impl AsRef<[u8]>) -> RequestHead {
    parse(head).unwrap().unwrap().head
}

#[track_caller]
fn refused(head: impl AsRef<[u8]>, refusal: Refusal) {
    let head = head.as_ref();
    assert_eq!(
        parse(head).map(|parsed| parsed.map(|parsed| parsed.consumed)),
        Err(refusal),
        "{}",
        head.escape_ascii()
    );
}

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

fn post(fields: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: localhost\r\n{fields}\r\n")
}

#[test]
fn a_plain_request_is_read() {
    let read =
        b"GET /a/b?c=d&e HTTP/1.1\r\nHost: Shop.Example:8443\r\nAccept:*/*\r\nEmpty:\r\nX: \t a b \t\r\n\r\nrest";
    let parsed = parse(read).unwrap().unwrap();
    assert_eq!(parsed.consumed, read.len() - 4);
    let head = parsed.head;
    assert_eq!(
        (head.method(), head.version(), head.form()),
        (Method::Get, Version::Http11, Form::Origin)
    );
    assert_eq!((head.path(), head.query()), ("/a/b", Some("c=d&e")));
    assert_eq!(head.authority().to_string(), "shop.example:8443");
    assert_eq!(
        (head.framing(), head.persistence()),
        (Framing::None, Persistence::KeepAlive)
    );
    let fields: Vec<_> = head
        .fields()
        .iter()
        .map(|f| (f.name().as_str(), f.value().as_bytes()))
        .collect();
    assert_eq!(
        fields,
        [
            ("Host", b"Shop.Example:8443".as_slice()),
            ("Accept", b"*/*"),
            ("Empty", b""),
            ("X", b"a b")
        ]
    );
    assert_eq!(head.fields().end_to_end().count(), 3);
    assert_eq!(head.fields().get("ACCEPT").unwrap().as_str(), Some("*/*"));
}

#[test]
fn an_unfinished_head_asks_for_more() {
    let whole = get("A: b\r\n");
    for length in 0..whole.len() {
        assert!(parse(&whole[..length]).unwrap().is_none(), "{length}");
    }
}
