//! The rules for bodies and trailers, a test for each.
#![allow(missing_docs, reason = "the names of tests are their documentation")]

use redan_http1::{
    BodyDecoder, ContentCount, Framing, Limits, Piece, Refusal, ResponseFraming, write_chunk, write_last_chunk,
};

/// The content and the bytes after the body, or none for what is not over, given in pieces of `step` bytes.
fn decode(decoder: &mut BodyDecoder, bytes: &[u8], step: usize) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let (mut content, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        let progress = decoder.decode(&bytes[start..end])?;
        if let Piece::Data(range) = &progress.piece {
            assert!(
                !range.is_empty() && range.end <= progress.consumed,
                "a piece has bytes and is consumed"
            );
            content.extend_from_slice(&bytes[start..end][range.clone()]);
        }
        start += progress.consumed;
        match progress.piece {
            Piece::End => return Ok(Some((content, bytes.len() - start))),
            Piece::Pending if end == bytes.len() => return Ok(None),
            Piece::Pending => end = (end + step).min(bytes.len()),
            Piece::Data(_) => {}
        }
    }
}

fn chunked(bytes: &[u8]) -> Result<Option<(Vec<u8>, usize)>, Refusal> {
    let whole = decode(
        &mut BodyDecoder::for_request(Framing::Chunked, &Limits::default()),
        bytes,
        bytes.len().max(1),
    );
    for step in 1..4 {
        let pieces = decode(
            &mut BodyDecoder::for_request(Framing::Chunked, &Limits::default()),
            bytes,
            step,
        );
        let same = match (&whole, &pieces) {
            // In pieces the last bytes are not there yet when the body ends.
            (Ok(Some((a, _))), Ok(Some((b, _)))) => a == b,
            (a, b) => a == b,
        };
        assert!(
            same,
            "{} in steps of {step}: {pieces:?}, whole: {whole:?}",
            bytes.escape_ascii()
        );
    }
    whole
}

#[test]
fn a_length_counts_exactly() {
    let mut decoder = BodyDecoder::for_request(Framing::Length(3), &Limits::default());
    assert_eq!(decode(&mut decoder, b"abcdef", 2), Ok(Some((b"abc".to_vec(), 3))));
    assert!(decoder.is_done());
    let mut decoder = BodyDecoder::for_request(Framing::Length(3), &Limits::default());
    assert_eq!(decode(&mut decoder, b"ab", 2), Ok(None));
    assert_eq!(decoder.finish(), Err(Refusal::BodyTruncated));
}

#[test]
fn no_body_takes_no_byte() {
    for framing in [Framing::None, Framing::Length(0)] {
        let mut decoder = BodyDecoder::for_request(framing, &Limits::default());
        assert_eq!(decode(&mut decoder, b"GET", 3), Ok(Some((Vec::new(), 3))));
    }
}

#[test]
fn a_close_delimited_body_ends_with_the_connection_only() {
    let mut decoder = BodyDecoder::for_response(ResponseFraming::UntilClose, &Limits::default());
    assert_eq!(decode(&mut decoder, b"abc", 2), Ok(None));
    assert_eq!(
        (decoder.is_done(), decoder.finish(), decoder.is_done()),
        (false, Ok(()), true)
    );
}

#[test]
fn chunks_are_joined_and_the_rest_is_left() {
    assert_eq!(
        chunked(b"3\r\nabc\r\n0A\r\n0123456789\r\n0\r\n\r\n"),
        Ok(Some((b"abc0123456789".to_vec(), 0)))
    );
    assert_eq!(
        chunked(b"0000000000000001\r\na\r\n0000000000000000\r\n\r\n"),
        Ok(Some((b"a".to_vec(), 0)))
    );
    let mut decoder = BodyDecoder::for_request(Framing::Chunked, &Limits::default());
    assert_eq!(decode(&mut decoder, b"0\r\n\r\nGET /", 100), Ok(Some((Vec::new(), 5))));
}

#[test]
fn a_chunk_size_is_1_to_16_hexadecimal_digits() {
    for bad in [
        "\r\n",
        "0x1\r\n",
        "-1\r\n",
        "+1\r\n",
        " 1\r\n",
        "g\r\n",
        "1_0\r\n",
        "00000000000000001\r\n",
        "\u{661}\r\n",
    ] {
        assert_eq!(chunked(bad.as_bytes()), Err(Refusal::ChunkSize), "{bad:?}");
    }
    assert_eq!(chunked(b"ffffffffffffffff\r\na"), Ok(None));
    assert_eq!(chunked(b"1\r\na\r\n\r\n"), Err(Refusal::ChunkSize));
}

#[test]
fn a_chunk_extension_is_refused() {
    for bad in ["1;\r\n", "1;a=b\r\n", "1 \r\n", "1\t;a\r\n", "0;\x01\r\n\r\n"] {
        assert_eq!(chunked(bad.as_bytes()), Err(Refusal::ChunkExtension), "{bad:?}");
    }
}

#[test]
fn chunk_lines_end_in_crlf_only() {
    assert_eq!(chunked(b"1\na\r\n0\r\n\r\n"), Err(Refusal::BareLineFeed));
    assert_eq!(chunked(b"0\n\n"), Err(Refusal::BareLineFeed));
    assert_eq!(chunked(b"0\r\n\n"), Err(Refusal::BareLineFeed));
    assert_eq!(chunked(b"1\r\ra"), Err(Refusal::BareCarriageReturn));
    assert_eq!(chunked(b"0\r\n\rX"), Err(Refusal::BareCarriageReturn));
    for bad in ["1\r\nab\r\n", "1\r\na\n0\r\n\r\n", "1\r\na\r0", "1\r\na0\r\n"] {
        assert_eq!(chunked(bad.as_bytes()), Err(Refusal::ChunkEnd), "{bad:?}");
    }
}

#[test]
fn trailers_are_kept_and_written_again() {
    let mut decoder = BodyDecoder::for_request(Framing::Chunked, &Limits::default());
    let read = b"1\r\na\r\n0\r\nGrpc-Status: 0\r\nX-Sum:  abc \r\n\r\nnext";
    assert_eq!(decode(&mut decoder, read, 100), Ok(Some((b"a".to_vec(), 4))));
    let trailers = decoder.take_trailers().unwrap();
    let mut out = Vec::new();
    write_chunk(&mut out, b"a");
    write_chunk(&mut out, b"");
    write_last_chunk(&mut out, Some(&trailers));
    assert_eq!(out, b"1\r\na\r\n0\r\nGrpc-Status: 0\r\nX-Sum: abc\r\n\r\n");
}

#[test]
fn a_trailer_that_frames_routes_or_authenticates_is_refused() {
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Connection",
        "TE",
        "Trailer",
        "Upgrade",
        "Expect",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Content-Type",
        "Content-Encoding",
        "X-Forwarded-For",
        "Cache-Control",
        "Content_Length",
        "Location",
        "Range",
    ] {
        assert_eq!(
            chunked(format!("0\r\n{name}: 1\r\n\r\n").as_bytes()),
            Err(Refusal::TrailerForbidden),
            "{name}"
        );
    }
}

#[test]
fn trailers_are_held_to_the_rules_of_fields() {
    assert_eq!(chunked(b"0\r\nA : b\r\n\r\n"), Err(Refusal::SpaceBeforeColon));
    assert_eq!(chunked(b"0\r\nGET / HTTP/1.1\r\n\r\n"), Err(Refusal::FieldWithoutColon));
    assert_eq!(chunked(b"0\r\n A: b\r\n\r\n"), Err(Refusal::ObsFold));
    assert_eq!(chunked(b"0\r\nA: b\r\n c\r\n\r\n"), Err(Refusal::ObsFold));
    assert_eq!(chunked(b"0\r\nA: b\0\r\n\r\n"), Err(Refusal::FieldValueCharacter));
    assert_eq!(chunked(b"0\r\nA: b\n\r\n"), Err(Refusal::BareLineFeed));
}

#[test]
fn trailers_are_bounded() {
    let fields = |count: usize| format!("0\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(chunked(fields(32).as_bytes()).is_ok());
    assert_eq!(chunked(fields(33).as_bytes()), Err(Refusal::TrailersTooLong));
    let long = format!("0\r\nA: {}", "b".repeat(5_000));
    assert_eq!(chunked(long.as_bytes()), Err(Refusal::TrailersTooLong));
}

#[test]
fn an_unfinished_chunked_body_is_truncated() {
    for part in [
        "",
        "1",
        "1\r",
        "1\r\n",
        "1\r\na",
        "1\r\na\r\n",
        "1\r\na\r\n0\r\n",
        "0\r\nA: b\r\n",
    ] {
        let mut decoder = BodyDecoder::for_request(Framing::Chunked, &Limits::default());
        assert_eq!(decode(&mut decoder, part.as_bytes(), 1), Ok(None), "{part:?}");
        assert_eq!(decoder.finish(), Err(Refusal::BodyTruncated), "{part:?}");
    }
}

#[test]
fn content_of_another_length_than_announced_is_refused() {
    let mut count = ContentCount::new(Framing::Length(3));
    assert_eq!(count.add(2), Ok(()));
    assert_eq!(count.finish(), Err(Refusal::ContentLengthMismatch));
    assert_eq!(
        (count.add(2), ContentCount::new(Framing::None).add(1)),
        (Err(Refusal::ContentLengthMismatch), Err(Refusal::ContentLengthMismatch))
    );
    let mut free = ContentCount::new(Framing::Chunked);
    assert_eq!((free.add(usize::MAX), free.finish()), (Ok(()), Ok(())));
}

#[test]
fn a_body_over_the_limit_is_refused_as_soon_as_it_is_announced() {
    let limits = Limits {
        body: 5,
        ..Limits::default()
    };
    for (announced, refused) in [
        (b"5\r\n".as_slice(), false),
        (b"6\r\n", true),
        (b"3\r\nabc\r\n2\r\n", false),
        (b"3\r\nabc\r\n3\r\n", true),
        (b"7fffffffffffffff\r\n", true),
        (b"8000000000000000\r\n", true),
        (b"ffffffffffffffff\r\n", true),
        (b"1\r\na\r\nffffffffffffffff\r\n", true),
        (b"1\r\na\r\nfffffffffffffffc\r\n", true),
    ] {
        for step in [1, 64] {
            let mut decoder = BodyDecoder::for_request(Framing::Chunked, &limits);
            let expected = if refused { Err(Refusal::BodyTooLong) } else { Ok(None) };
            assert_eq!(
                decode(&mut decoder, announced, step),
                expected,
                "{}",
                announced.escape_ascii()
            );
        }
    }
    let mut decoder = BodyDecoder::for_request(Framing::Length(6), &limits);
    assert_eq!(decode(&mut decoder, b"", 1), Err(Refusal::BodyTooLong));
    let mut decoder = BodyDecoder::for_response(ResponseFraming::UntilClose, &limits);
    assert_eq!(decode(&mut decoder, b"abcdef", 6), Err(Refusal::BodyTooLong));
    assert_eq!(Refusal::BodyTooLong.status().code(), 413);
}

#[test]
fn the_sizes_of_chunks_cannot_wrap_around() {
    assert_eq!(
        chunked(b"1\r\na\r\nffffffffffffffff\r\n"),
        Err(Refusal::BodyTooLong),
        "1 + (2^64 - 1) is no content of 0 bytes"
    );
}
