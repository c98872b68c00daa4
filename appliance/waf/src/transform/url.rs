//! URL encoding and decoding.

use std::borrow::Cow;

use memchr::memchr2;

use super::unicode::UnicodeMap;
use super::{digit, pair, settle};
use crate::bytes::ByteSet;

/// What [`encode`] leaves as it is.
pub(super) const UNESCAPED: ByteSet = ByteSet::from_list(b"*")
    .union(ByteSet::range(b'0', b'9'))
    .union(ByteSet::range(b'A', b'Z'))
    .union(ByteSet::range(b'a', b'z'));

pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    decode_with(value, |_| None)
}

pub(super) fn decode_unicode<'a>(value: &'a [u8], map: Option<&UnicodeMap>) -> Cow<'a, [u8]> {
    decode_with(value, |escape| {
        let [b'u' | b'U', digits @ ..] = escape else {
            return None;
        };
        Some(code_point(digits).map_or_else(
            // Not four digits: `%u` stays, and what follows is looked at on its own.
            || Escape {
                output: None,
                length: 2,
            },
            |code| Escape {
                output: Some(map.and_then(|map| map.get(code)).unwrap_or_else(|| narrow(code))),
                length: 6,
            },
        ))
    })
}

/// What an escape stands for, and its length with the percent sign. Without an output it stays as it is.
struct Escape {
    output: Option<u8>,
    length: usize,
}

fn decode_with(value: &[u8], special: impl Fn(&[u8]) -> Option<Escape>) -> Cow<'_, [u8]> {
    let Some(first) = memchr2(b'%', b'+', value) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut next = Some(first);
    while let Some(position) = next {
        output.extend_from_slice(&rest[..position]);
        rest = &rest[position..];
        let (byte, length) = if rest[0] == b'+' {
            (Some(b' '), 1)
        } else if let Some(escape) = special(&rest[1..]) {
            (escape.output, escape.length)
        } else {
            pair(&rest[1..]).map_or((None, 1), |byte| (Some(byte), 3))
        };
        match byte {
            Some(byte) => output.push(byte),
            None => output.extend_from_slice(&rest[..length]),
        }
        rest = &rest[length..];
        next = memchr2(b'%', b'+', rest);
    }
    output.extend_from_slice(rest);
    settle(value, output)
}

/// The code point of four hexadecimal digits at the start of `text`.
pub(super) fn code_point(text: &[u8]) -> Option<u16> {
    text.get(..4)?
        .iter()
        .try_fold(0_u16, |code, byte| Some(code << 4 | u16::from(digit(*byte)?)))
}

/// One byte for a code point: the low one, and ASCII for the full-width forms U+FF01 to U+FF5E.
pub(super) fn narrow(code: u16) -> u8 {
    let [high, low] = code.to_be_bytes();
    if high == 0xff && (0x01..0x5f).contains(&low) {
        low + 0x20
    } else {
        low
    }
}

pub(super) fn encode(value: &[u8]) -> Cow<'_, [u8]> {
    if value.iter().all(|byte| UNESCAPED.contains(*byte)) {
        return Cow::Borrowed(value);
    }
    let mut output = Vec::with_capacity(value.len() * 3);
    for byte in value {
        match *byte {
            b' ' => output.push(b'+'),
            byte if UNESCAPED.contains(byte) => output.push(byte),
            byte => {
                output.push(b'%');
                super::hex::push(&mut output, byte);
            }
        }
    }
    Cow::Owned(output)
}
