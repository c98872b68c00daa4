//! HTML entities: numeric ones, and the five names that matter for markup.

use std::borrow::Cow;

use memchr::memchr;

use super::{digit, settle};

pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'&', value) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut next = Some(first);
    while let Some(position) = next {
        output.extend_from_slice(&rest[..position]);
        rest = &rest[position..];
        let taken = if let Some((byte, length)) = entity(rest) {
            output.push(byte);
            length + usize::from(rest.get(length) == Some(&b';'))
        } else {
            output.push(b'&');
            1
        };
        rest = &rest[taken..];
        next = memchr(b'&', rest);
    }
    output.extend_from_slice(rest);
    settle(value, output)
}

/// The byte that the entity at the start of `text` stands for, and the entity's length without its semicolon.
fn entity(text: &[u8]) -> Option<(u8, usize)> {
    match text.get(1..)? {
        [b'#', b'x' | b'X', digits @ ..] => number(digits, 16, 3),
        [b'#', digits @ ..] => number(digits, 10, 2),
        name => {
            let length = name.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
            let byte = match &name[..length] {
                name if name.eq_ignore_ascii_case(b"quot") => b'"',
                name if name.eq_ignore_ascii_case(b"amp") => b'&',
                name if name.eq_ignore_ascii_case(b"lt") => b'<',
                name if name.eq_ignore_ascii_case(b"gt") => b'>',
                name if name.eq_ignore_ascii_case(b"nbsp") => 0xa0,
                _ => return None,
            };
            Some((byte, 1 + length))
        }
    }
}

/// The low byte of the number; one that no 63 bits hold counts as all ones, as C's `strtol` has it.
fn number(digits: &[u8], base: i64, prefix: usize) -> Option<(u8, usize)> {
    let value_of = |byte: &u8| digit(*byte).map(i64::from).filter(|value| *value < base);
    let length = digits.iter().take_while(|byte| value_of(byte).is_some()).count();
    if length == 0 {
        return None;
    }
    let number = digits[..length]
        .iter()
        .filter_map(value_of)
        .fold(0_i64, |number, value| {
            number
                .checked_mul(base)
                .and_then(|number| number.checked_add(value))
                .unwrap_or(i64::MAX)
        });
    Some((number.to_be_bytes()[7], prefix + length))
}
