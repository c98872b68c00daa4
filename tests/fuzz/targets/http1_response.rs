//! An upstream's bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_http1::{BodyDecoder, Limits, Method, Piece, parse_response};

fuzz_target!(|data: &[u8]| {
    let limits = Limits::default();
    let Ok(Some(parsed)) = parse_response(data, Method::Get, None, &limits) else { return };
    let mut body = BodyDecoder::for_response(parsed.head.framing(), &limits);
    let mut rest = &data[parsed.consumed..];
    while let Ok(progress) = body.decode(rest) {
        assert!(progress.consumed <= rest.len());
        rest = &rest[progress.consumed..];
        if progress.consumed == 0 || matches!(progress.piece, Piece::End) {
            break;
        }
    }
});
