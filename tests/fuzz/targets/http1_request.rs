//! A client's bytes: head and body are decoded without a panic, and in pieces as in one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_http1::{BodyDecoder, Limits, Piece, parse_request};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let whole = parse_request(data, &limits);
    let Ok(Some(parsed)) = whole else { return };
    // Nothing before the head's end may be taken for a whole head.
    assert!(matches!(parse_request(&data[..parsed.consumed - 1], &limits), Ok(None)));
    let mut body = BodyDecoder::for_request(parsed.head.framing(), &limits);
    let mut rest = &data[parsed.consumed..];
    while let Ok(progress) = body.decode(rest) {
        assert!(progress.consumed <= rest.len());
        rest = &rest[progress.consumed..];
        if progress.consumed == 0 || matches!(progress.piece, Piece::End) {
            break;
        }
    }
});
