//! Lines, characters and the request line.

use super::{get, good, post, refused};
use redan_http1::{Method, Refusal};

#[test]
fn a_bare_line_feed_is_refused_before_the_head_ends() {
    refused("GET / HTTP/1.1\nHost: localhost\n\n", Refusal::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: localhost\n", Refusal::BareLineFeed);
    refused("GET / HTTP/1.1\r\nHost: localhost\r\n\n", Refusal::BareLineFeed);
    refused("\nGET / HTTP/1.1\r\n", Refusal::BareLineFeed);
}

#[test]
fn a_bare_carriage_return_is_refused() {
    refused(get("X: a\rY: b\r\n"), Refusal::BareCarriageReturn);
    refused(get("X: a\r\r\n"), Refusal::BareCarriageReturn);
    refused("GET / HTTP/1.1\rHost: localhost\r\n\r\n", Refusal::BareCarriageReturn);
}

#[test]
fn an_empty_line_before_the_head_is_refused() {
    refused(format!("\r\n{}", get("")), Refusal::LeadingEmptyLine);
}

#[test]
fn a_nul_or_control_character_is_refused() {
    for byte in (0..0x20_u8)
        .chain([0x7f])
        .filter(|b| !matches!(b, b'\t' | b'\r' | b'\n'))
    {
        let mut head = get("X: a").into_bytes();
        head.truncate(head.len() - 2);
        head.push(byte);
        head.extend_from_slice(b"b\r\n\r\n");
        refused(&head, Refusal::FieldValueCharacter);
    }
}

#[test]
fn obs_text_in_a_value_passes_unchanged() {
    let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX: ".to_vec();
    head.extend(0x80..=0xff_u8);
    head.extend_from_slice(b"\r\n\r\n");
    assert_eq!(
        good(&head).fields().get("x").unwrap().as_bytes(),
        (0x80..=0xff_u8).collect::<Vec<_>>()
    );
}

#[test]
fn a_folded_line_is_refused() {
    refused(get("X: a\r\n b\r\n"), Refusal::ObsFold);
    refused(get("X: a\r\n\tb\r\n"), Refusal::ObsFold);
    refused("GET / HTTP/1.1\r\n Host: localhost\r\n\r\n", Refusal::ObsFold);
    refused(get("X: a\r\n \r\n"), Refusal::ObsFold);
}

#[test]
fn a_space_before_the_colon_is_refused() {
    refused(post("Transfer-Encoding : chunked\r\n"), Refusal::SpaceBeforeColon);
    refused(get("X\t: a\r\n"), Refusal::SpaceBeforeColon);
}

#[test]
fn an_empty_name_and_a_line_without_a_colon_are_refused() {
    refused(get(": x\r\n"), Refusal::FieldNameEmpty);
    refused(get("bad line\r\n"), Refusal::FieldWithoutColon);
    refused(get("bad\r\n"), Refusal::FieldWithoutColon);
}

#[test]
fn a_name_has_token_characters_only() {
    for byte in (0x21..=0xff_u8).filter(|b| !b.is_ascii_alphanumeric() && !b"!#$%&'*+-.^_`|~:".contains(b)) {
        let mut head = b"GET / HTTP/1.1\r\nHost: a\r\nX".to_vec();
        head.push(byte);
        head.extend_from_slice(b"Y: a\r\n\r\n");
        refused(&head, Refusal::FieldNameCharacter);
    }
    refused(get("X Y: a\r\n"), Refusal::FieldNameCharacter);
}

#[test]
fn methods_and_versions_are_from_a_list() {
    for method in Method::ALL {
        assert_eq!(good(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).method(), method);
    }
    for method in ["get", "TRACE", "CONNECT", "PROPFIND", "GETT", "G"] {
        refused(
            format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal::MethodUnknown,
        );
    }
    refused("PRI * HTTP/2.0\r\n\r\n", Refusal::MethodUnknown);
    for version in ["HTTP/2.0", "HTTP/0.9", "HTTP/1.2", "HTTP/3.0"] {
        refused(
            format!("GET / {version}\r\nHost: a\r\n\r\n"),
            Refusal::VersionUnsupported,
        );
    }
    for version in [
        "http/1.1",
        "HTTP/1.1 ",
        " HTTP/1.1",
        "HTTP/11",
        "HTTP/1.10",
        "HTTP/1",
        "",
        "X",
    ] {
        refused(format!("GET / {version}\r\nHost: a\r\n\r\n"), Refusal::RequestLine);
    }
    refused("GET /\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused("GET\t/\tHTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused("G\"T / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::MethodToken);
    refused(" GET / HTTP/1.1\r\nHost: a\r\n\r\n", Refusal::RequestLine);
    refused(b"\x16\x03\x01\x02\x00\x01", Refusal::RequestLine);
}

#[test]
fn a_target_is_visible_ascii_without_a_fragment() {
    for target in ["/a#b", "/é", "/\u{7f}", "/\u{1}", "/\0"] {
        refused(
            format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"),
            Refusal::TargetCharacter,
        );
    }
    assert_eq!(
        good("GET /<%00>{|}\\^`\"'?<x> HTTP/1.1\r\nHost: a\r\n\r\n").query(),
        Some("<x>")
    );
}
