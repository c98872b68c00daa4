//! The rules for response heads, a test for each.
#![allow(missing_docs, reason = "the names of tests are their documentation")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its own functions too"
)]

use redan_http1::{
    FieldName, FieldValue, Limits, Method, Persistence, Refusal, ResponseFraming, ResponseHead, ResponseWriter, Status,
    Version, parse_response,
};

fn parse(head: impl AsRef<[u8]>, method: Method, asked: Option<&'static str>) -> Result<ResponseHead, Refusal> {
    let asked = asked.map(FieldValue::constant);
    parse_response(head.as_ref(), method, asked, &Limits::default()).map(|parsed| parsed.unwrap().head)
}

fn get(head: impl AsRef<[u8]>) -> Result<ResponseHead, Refusal> {
    parse(head, Method::Get, None)
}

fn framing(head: &str) -> Result<ResponseFraming, Refusal> {
    get(head).map(|head| head.framing())
}

#[test]
fn a_plain_response_is_read() {
    let head = get("HTTP/1.1 200 All right\r\nContent-Length: 5\r\nServer: x\r\n\r\n").unwrap();
    assert_eq!(
        (head.status(), head.version(), head.framing()),
        (Status::OK, Version::Http11, ResponseFraming::Length(5))
    );
    assert_eq!(head.persistence(), Persistence::KeepAlive);
    for line in ["HTTP/1.1 200 ", "HTTP/1.1 200", "HTTP/1.1 200 \u{e9}"] {
        assert!(get(format!("{line}\r\nContent-Length: 0\r\n\r\n")).is_ok(), "{line}");
    }
}

#[test]
fn a_status_is_100_to_599() {
    for line in [
        "HTTP/1.1 099 x",
        "HTTP/1.1 600 x",
        "HTTP/1.1 999 x",
        "HTTP/1.1 20 x",
        "HTTP/1.1 2000 x",
        "HTTP/1.1  200 x",
        "HTTP/1.1 200x",
        "HTTP/1.1 +20 x",
        "http/1.1 200 OK",
        "HTTP/1.1",
        "200 OK",
        "HTTP/1.1\t200 OK",
        "ICY 200 OK",
        "HTTP/1.1 200\tOK",
    ] {
        assert_eq!(
            get(format!("{line}\r\n\r\n")).err(),
            Some(Refusal::StatusLine),
            "{line}"
        );
    }
    assert_eq!(get("HTTP/2.0 200 OK\r\n\r\n").err(), Some(Refusal::VersionUnsupported));
    assert_eq!(get("HTTP/1.1 200 a\0b\r\n\r\n").err(), Some(Refusal::StatusLine));
}

#[test]
fn a_response_without_length_lasts_until_the_connection_ends() {
    let head = get("HTTP/1.1 200 OK\r\n\r\n").unwrap();
    assert_eq!(
        (head.framing(), head.persistence()),
        (ResponseFraming::UntilClose, Persistence::Close)
    );
}

#[test]
fn an_http_1_0_response_never_leaves_the_connection_open() {
    let head = get("HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n").unwrap();
    assert_eq!(
        (head.framing(), head.persistence()),
        (ResponseFraming::Length(2), Persistence::Close)
    );
    assert_eq!(framing("HTTP/1.0 200 OK\r\n\r\n"), Ok(ResponseFraming::UntilClose));
    assert_eq!(
        framing("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Err(Refusal::TransferEncodingInOldVersion)
    );
}

#[test]
fn response_framing_is_held_to_the_rules_of_requests() {
    for (fields, refusal) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            Refusal::ContentLengthWithTransferEncoding,
        ),
        (
            "Content-Length: 1\r\nContent-Length: 1\r\n",
            Refusal::ContentLengthRepeated,
        ),
        ("Content-Length: 1, 1\r\n", Refusal::ContentLengthInvalid),
        (
            "Transfer-Encoding: gzip, chunked\r\n",
            Refusal::TransferEncodingUnsupported,
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
            Refusal::TransferEncodingRepeated,
        ),
        ("X : y\r\n", Refusal::SpaceBeforeColon),
        ("X: y\r\n z\r\n", Refusal::ObsFold),
        ("X: a\nY: b\r\n", Refusal::BareLineFeed),
        ("X: a\0b\r\n", Refusal::FieldValueCharacter),
        (": b\r\n", Refusal::FieldNameEmpty),
        ("no colon\r\n", Refusal::FieldWithoutColon),
        ("Connection: content-length\r\n", Refusal::ConnectionListsEndToEnd),
    ] {
        assert_eq!(
            framing(&format!("HTTP/1.1 200 OK\r\n{fields}\r\n")),
            Err(refusal),
            "{fields:?}"
        );
    }
    assert_eq!(
        framing("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        Ok(ResponseFraming::Chunked)
    );
    let long = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert_eq!(framing(&long), Err(Refusal::TooManyFields));
}

#[test]
fn head_204_and_304_have_no_body() {
    let head = parse("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", Method::Head, None).unwrap();
    assert_eq!(head.framing(), ResponseFraming::None { announced: Some(5) });
    let head = parse(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        Method::Head,
        None,
    )
    .unwrap();
    assert_eq!(
        (head.framing(), head.persistence()),
        (ResponseFraming::None { announced: None }, Persistence::KeepAlive)
    );
    assert_eq!(
        framing("HTTP/1.1 304 x\r\nContent-Length: 5\r\n\r\n"),
        Ok(ResponseFraming::None { announced: Some(5) })
    );
    assert_eq!(
        framing("HTTP/1.1 204 x\r\n\r\n"),
        Ok(ResponseFraming::None { announced: None })
    );
    assert_eq!(
        framing("HTTP/1.1 204 x\r\nContent-Length: 0\r\n\r\n"),
        Ok(ResponseFraming::None { announced: None })
    );
}

#[test]
fn a_response_that_has_no_body_but_announces_one_is_refused() {
    for fields in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        for status in [100, 103, 204] {
            assert_eq!(
                framing(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n\r\n")),
                Err(Refusal::BodyNotAllowed),
                "{status} {fields}"
            );
        }
    }
    let both = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n";
    assert_eq!(
        parse(both, Method::Head, None).err(),
        Some(Refusal::ContentLengthWithTransferEncoding)
    );
}

#[test]
fn an_interim_response_is_followed_by_another_head() {
    let read = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    let first = parse_response(read, Method::Get, None, &Limits::default())
        .unwrap()
        .unwrap();
    assert!(first.head.status().is_interim() && first.head.persistence() == Persistence::KeepAlive);
    assert_eq!(get(&read[first.consumed..]).unwrap().status(), Status::OK);
}

#[test]
fn protocols_are_switched_only_when_asked_for_and_only_to_one_asked_for() {
    let switch = "HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    assert_eq!(get(switch).err(), Some(Refusal::UpgradeUnasked));
    assert_eq!(
        parse(switch, Method::Get, Some("h2c")).err(),
        Some(Refusal::UpgradeUnasked)
    );
    assert_eq!(
        parse("HTTP/1.1 101 x\r\n\r\n", Method::Get, Some("websocket")).err(),
        Some(Refusal::UpgradeUnasked)
    );
    let head = parse(switch, Method::Get, Some("h2c, WebSocket")).unwrap();
    assert_eq!(
        (head.persistence(), head.upgrade().unwrap().as_bytes()),
        (Persistence::Upgrade(()), b"websocket".as_slice())
    );
}

#[test]
fn a_response_is_written_from_the_model() {
    let head =
        get("HTTP/1.1 404 Whatever <b>\r\nServer: x\r\nKeep-Alive: 5\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    let mut out = b"before".to_vec();
    let mut writer = ResponseWriter::begin(&mut out, head.status());
    writer.forward_if(head.fields(), |field| !field.is("server"));
    writer.field(FieldName::constant("x-incident"), FieldValue::new(b"7f").unwrap());
    writer.number(FieldName::constant("retry-after"), 120);
    writer.finish(head.framing().towards(Version::Http10), Persistence::KeepAlive);
    assert_eq!(
        out,
        b"beforeHTTP/1.1 404 Not Found\r\nx-incident: 7f\r\nretry-after: 120\r\nConnection: close\r\n\r\n"
    );
}

#[test]
fn a_head_that_is_not_finished_leaves_nothing_behind() {
    let mut out = b"before".to_vec();
    drop(ResponseWriter::begin(&mut out, Status::OK));
    assert_eq!(out, b"before");
}

#[test]
fn nothing_can_be_injected_through_a_name_or_a_value() {
    for name in ["", "a b", "a:", "a\r\nb", "é", "a\0"] {
        assert!(FieldName::new(name).is_err(), "{name:?}");
    }
    for name in [
        "Content-Length",
        "transfer-encoding",
        "HOST",
        "Connection",
        "upgrade",
        "TE",
        "Trailer",
        "keep-alive",
    ] {
        assert!(FieldName::new(name).is_err(), "{name:?}");
    }
    for value in ["a\r\nb", "a\nb", "a\rb", "a\0b", " a", "a\t", "\u{7f}"] {
        assert!(FieldValue::new(value.as_bytes()).is_err(), "{value:?}");
    }
}
