//! Where a request ends: `Content-Length` and `Transfer-Encoding`.

use super::{get, good, parse, post, refused};
use redan_http1::{Framing, Refusal};

#[test]
fn a_repeated_content_length_is_refused_whether_equal_or_not() {
    refused(
        post("Content-Length: 1\r\nContent-Length: 2\r\n"),
        Refusal::ContentLengthRepeated,
    );
    refused(
        post("Content-Length: 2\r\ncontent-length: 2\r\n"),
        Refusal::ContentLengthRepeated,
    );
}

#[test]
fn a_content_length_that_is_not_digits_is_refused() {
    for value in [
        "",
        "2, 2",
        "+2",
        "-2",
        "0x2",
        "2 2",
        "2;",
        "2.0",
        "1e3",
        "2_0",
        "\"2\"",
        "\u{662}",
        "9223372036854775809",
        "99999999999999999999",
    ] {
        refused(
            post(&format!("Content-Length: {value}\r\n")),
            Refusal::ContentLengthInvalid,
        );
    }
    assert_eq!(
        good(post("Content-Length: 9223372036854775808\r\n")).framing(),
        Framing::Length(1 << 63)
    );
    assert_eq!(good(post("Content-Length: 0\r\n")).framing(), Framing::Length(0));
}

#[test]
fn any_transfer_encoding_but_exactly_one_chunked_is_refused() {
    for value in [
        "",
        "xchunked",
        "chunked, identity",
        "gzip, chunked",
        "identity",
        "chunked,",
        ",chunked",
        "chunked, chunked",
        "chunked;q=1",
        "chunk",
        "\"chunked\"",
        "chunked\u{a0}",
    ] {
        refused(
            post(&format!("Transfer-Encoding: {value}\r\n")),
            Refusal::TransferEncodingUnsupported,
        );
    }
    refused(post("Transfer-Encoding: \x0bchunked\r\n"), Refusal::FieldValueCharacter);
    refused(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::TransferEncodingRepeated,
    );
    refused(
        post("Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n"),
        Refusal::TransferEncodingRepeated,
    );
    refused(
        post("Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::TransferEncodingUnsupported,
    );
    assert_eq!(
        good(post("tRANSFER-eNCODING:\tCHUNKED \r\n")).framing(),
        Framing::Chunked
    );
}

#[test]
fn transfer_encoding_together_with_content_length_is_refused() {
    refused(
        post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n"),
        Refusal::ContentLengthWithTransferEncoding,
    );
    refused(
        post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
        Refusal::ContentLengthWithTransferEncoding,
    );
    refused(
        post("Transfer-Encoding: chunked\r\nContent-Length: 0\r\n"),
        Refusal::ContentLengthWithTransferEncoding,
    );
}

#[test]
fn transfer_encoding_in_http_1_0_is_refused() {
    refused(
        "POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n",
        Refusal::TransferEncodingInOldVersion,
    );
}

#[test]
fn a_framing_name_written_with_underscores_is_refused() {
    refused(post("Content_Length: 5\r\n"), Refusal::FieldNameLookAlike);
    refused(post("Transfer_Encoding: chunked\r\n"), Refusal::FieldNameLookAlike);
    assert!(parse(get("My_Field: 1\r\n")).is_ok());
}

#[test]
fn a_body_under_a_method_that_rarely_has_one_is_noticed() {
    assert!(good(get("Content-Length: 5\r\n")).body_is_unusual());
    assert!(!good(get("Content-Length: 0\r\n")).body_is_unusual());
    assert!(!good(post("Content-Length: 5\r\n")).body_is_unusual());
}
