//! What bytes, and what encodings, a value may have.

use super::OperatorError;
use crate::bytes::ByteSet;

/// The bytes of a list such as `9,10,13,32-126`.
pub(super) fn byte_range(argument: &[u8]) -> Result<ByteSet, OperatorError> {
    let text = String::from_utf8_lossy(argument);
    let mut allowed = ByteSet::EMPTY;
    for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
        let malformed = || OperatorError::ByteRange(word.to_owned());
        let byte = |text: &str| text.trim().parse::<u8>().map_err(|_| malformed());
        let (first, last) = match word.split_once('-') {
            Some((first, last)) => (byte(first)?, byte(last)?),
            None => (byte(word)?, byte(word)?),
        };
        if first > last {
            return Err(malformed());
        }
        allowed = allowed.union(ByteSet::range(first, last));
    }
    Ok(allowed)
}

/// Whether two hexadecimal digits follow each percent sign.
pub(super) fn is_url_encoded(value: &[u8]) -> bool {
    memchr::memchr_iter(b'%', value).all(|place| {
        value
            .get(place + 1..place + 3)
            .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    })
}
