//! Hexadecimal encoding and decoding.

use std::borrow::Cow;

use super::{pair, settle};

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Appends the two digits of a byte.
pub(super) fn push(output: &mut Vec<u8>, byte: u8) {
    output.push(DIGITS[usize::from(byte >> 4)]);
    output.push(DIGITS[usize::from(byte & 15)]);
}

pub(super) fn encode(value: &[u8]) -> Cow<'_, [u8]> {
    if value.is_empty() {
        return Cow::Borrowed(value);
    }
    let mut output = Vec::with_capacity(value.len() * 2);
    for byte in value {
        push(&mut output, *byte);
    }
    Cow::Owned(output)
}

/// Decodes pairs; a lone last byte is dropped. Bytes that are no digits have the value that the arithmetic of C implementations
/// gives them, since nothing else would be compatible.
pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    let nibble = |byte: u8| {
        if byte >= b'A' {
            (byte & 0xdf).wrapping_sub(b'A').wrapping_add(10)
        } else {
            byte.wrapping_sub(b'0')
        }
    };
    let output: Vec<u8> = value
        .chunks_exact(2)
        .map(|pair| nibble(pair[0]).wrapping_mul(16).wrapping_add(nibble(pair[1])))
        .collect();
    settle(value, output)
}

/// Decodes each `0x` that has at least one pair of digits behind it.
pub(super) fn decode_sql(value: &[u8]) -> Cow<'_, [u8]> {
    if !value.windows(2).any(|bytes| matches!(bytes, [b'0', b'x' | b'X'])) {
        return Cow::Borrowed(value);
    }
    let mut output = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(&byte) = rest.first() {
        if let [b'0', b'x' | b'X', digits @ ..] = rest
            && pair(digits).is_some()
        {
            rest = digits;
            while let Some(decoded) = pair(rest) {
                output.push(decoded);
                rest = &rest[2..];
            }
        } else {
            output.push(byte);
            rest = &rest[1..];
        }
    }
    settle(value, output)
}
