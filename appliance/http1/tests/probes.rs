//! The 31 ambiguous messages through which proxies were compared; ours refuses all but the two that are clear once read.
#![allow(missing_docs, reason = "the names of tests are their documentation")]

use redan_http1::{BodyDecoder, Limits, Persistence, Piece, Refusal, parse_request};

#[derive(Debug, Eq, PartialEq)]
enum Verdict {
    Refused(Refusal),
    Unfinished,
    /// Read with its body; how many bytes follow, and what becomes of the connection.
    Read {
        after: usize,
        persistence: Persistence,
    },
}

fn judge(mut bytes: &[u8]) -> Verdict {
    let limits = Limits::default();
    let head = match parse_request(bytes, &limits) {
        Err(refusal) => return Verdict::Refused(refusal),
        Ok(None) => return Verdict::Unfinished,
        Ok(Some(parsed)) => {
            bytes = &bytes[parsed.consumed..];
            parsed.head
        }
    };
    let mut body = BodyDecoder::for_request(head.framing(), &limits);
    loop {
        match body.decode(bytes) {
            Err(refusal) => return Verdict::Refused(refusal),
            Ok(progress) => {
                bytes = &bytes[progress.consumed..];
                match progress.piece {
                    Piece::Data(_) => {}
                    Piece::Pending => return Verdict::Unfinished,
                    Piece::End => {
                        return Verdict::Read {
                            after: bytes.len(),
                            persistence: head.persistence(),
                        };
                    }
                }
            }
        }
    }
}

#[test]
fn every_probe_gets_its_verdict() {
    const POST: &str = "POST / HTTP/1.1\r\nHost: localhost\r\n";
    const GET: &str = "GET / HTTP/1.1\r\nHost: localhost\r\n";
    const LAST: &str = "0\r\n\r\n";
    let many = |count: usize| (0..count).map(|i| format!("X{i}: y\r\n")).collect::<String>();
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let probes = [
        (
            "CL+TE",
            format!("{POST}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n{LAST}"),
            Refusal::ContentLengthWithTransferEncoding,
        ),
        (
            "TE+CL",
            format!("{POST}Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n{LAST}"),
            Refusal::ContentLengthWithTransferEncoding,
        ),
        (
            "CL twice differ",
            format!("{POST}Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"),
            Refusal::ContentLengthRepeated,
        ),
        (
            "CL twice same",
            format!("{POST}Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
            Refusal::ContentLengthRepeated,
        ),
        (
            "CL list",
            format!("{POST}Content-Length: 2, 2\r\n\r\nab"),
            Refusal::ContentLengthInvalid,
        ),
        (
            "CL +2",
            format!("{POST}Content-Length: +2\r\n\r\nab"),
            Refusal::ContentLengthInvalid,
        ),
        (
            "CL 0x2",
            format!("{POST}Content-Length: 0x2\r\n\r\nab"),
            Refusal::ContentLengthInvalid,
        ),
        (
            "TE xchunked",
            format!("{POST}Transfer-Encoding: xchunked\r\n\r\n{LAST}"),
            Refusal::TransferEncodingUnsupported,
        ),
        (
            "TE chunked, identity",
            format!("{POST}Transfer-Encoding: chunked, identity\r\n\r\n{LAST}"),
            Refusal::TransferEncodingUnsupported,
        ),
        (
            "TE gzip, chunked",
            format!("{POST}Transfer-Encoding: gzip, chunked\r\n\r\n{LAST}"),
            Refusal::TransferEncodingUnsupported,
        ),
        (
            "TE twice",
            format!("{POST}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n{LAST}"),
            Refusal::TransferEncodingRepeated,
        ),
        (
            "TE \\x0bchunked",
            format!("{POST}Transfer-Encoding: \x0bchunked\r\n\r\n{LAST}"),
            Refusal::FieldValueCharacter,
        ),
        (
            "TE in HTTP/1.0",
            format!("POST / HTTP/1.0\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{LAST}"),
            Refusal::TransferEncodingInOldVersion,
        ),
        (
            "space before colon",
            format!("{POST}Transfer-Encoding : chunked\r\n\r\n{LAST}"),
            Refusal::SpaceBeforeColon,
        ),
        (
            "bare LF head",
            "GET / HTTP/1.1\nHost: localhost\n\n".into(),
            Refusal::BareLineFeed,
        ),
        (
            "bare LF chunk",
            format!("{POST}Transfer-Encoding: chunked\r\n\r\n0\n\n"),
            Refusal::BareLineFeed,
        ),
        (
            "chunk ext junk",
            format!("{POST}Transfer-Encoding: chunked\r\n\r\n0;\x01a=b\r\n\r\n"),
            Refusal::ChunkExtension,
        ),
        (
            "chunk size 0x0",
            format!("{POST}Transfer-Encoding: chunked\r\n\r\n0x0\r\n\r\n"),
            Refusal::ChunkSize,
        ),
        ("obs-fold", format!("{GET}X: a\r\n b\r\n\r\n"), Refusal::ObsFold),
        (
            "no colon line",
            format!("{GET}bad line\r\n\r\n"),
            Refusal::FieldWithoutColon,
        ),
        ("empty name", format!("{GET}: x\r\n\r\n"), Refusal::FieldNameEmpty),
        (
            "NUL in value",
            format!("{GET}X: a\0b\r\n\r\n"),
            Refusal::FieldValueCharacter,
        ),
        (
            "bare CR in value",
            format!("{GET}X: a\rY: b\r\n\r\n"),
            Refusal::BareCarriageReturn,
        ),
        ("no Host", "GET / HTTP/1.1\r\nA: b\r\n\r\n".into(), Refusal::HostMissing),
        ("two Host", format!("{GET}Host: evil\r\n\r\n"), Refusal::HostRepeated),
        (
            "absolute-form vs Host",
            "GET http://evil/ HTTP/1.1\r\nHost: localhost\r\n\r\n".into(),
            Refusal::TargetAuthority,
        ),
        ("101 fields", format!("{GET}{}\r\n", many(101)), Refusal::TooManyFields),
        (
            "2000 fields",
            format!("{GET}{}\r\n", many(2_000)),
            Refusal::TooManyFields,
        ),
        (
            "40 KiB field",
            format!("{GET}X: {}\r\n\r\n", "y".repeat(40_960)),
            Refusal::LineTooLong,
        ),
        (
            "500 KiB field",
            format!("{GET}X: {}\r\n\r\n", "y".repeat(512_000)),
            Refusal::LineTooLong,
        ),
    ];
    for (name, bytes, refusal) in &probes {
        assert_eq!(judge(bytes.as_bytes()), Verdict::Refused(*refusal), "{name}");
        assert!((400..=505).contains(&refusal.status().code()), "{name}");
    }
    let upgrade = format!("{GET}Connection: Upgrade\r\nUpgrade: x\r\n\r\n{smuggled}");
    assert_eq!(
        judge(upgrade.as_bytes()),
        Verdict::Read {
            after: smuggled.len(),
            persistence: Persistence::Close
        },
        "what follows an upgrade request is never read as a request"
    );
}
