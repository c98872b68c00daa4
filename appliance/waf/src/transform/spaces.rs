//! White space and NUL bytes.

use std::borrow::Cow;

use super::settle;
use crate::bytes::{ByteSet, WHITE_SPACE, is_white_space};

/// What `removeWhitespace` takes for white space: C's, and the no-break space in Latin-1 and (both bytes) in UTF-8.
pub(super) const BLANKS: ByteSet = WHITE_SPACE.with(0xa0).with(0xc2);

/// Whether the byte is one of [`BLANKS`].
pub(super) fn is_blank(byte: u8) -> bool {
    is_white_space(byte) || matches!(byte, 0xa0 | 0xc2)
}

pub(super) fn remove(value: &[u8], unwanted: impl Fn(u8) -> bool) -> Cow<'_, [u8]> {
    let Some(first) = value.iter().position(|byte| unwanted(*byte)) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    output.extend_from_slice(&value[..first]);
    output.extend(value[first..].iter().filter(|byte| !unwanted(**byte)));
    Cow::Owned(output)
}

pub(super) fn compress(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = value.iter().position(|byte| is_white_space(*byte)) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    output.extend_from_slice(&value[..first]);
    let mut run = false;
    for byte in &value[first..] {
        let space = is_white_space(*byte);
        if !space {
            output.push(*byte);
        } else if !run {
            output.push(b' ');
        }
        run = space;
    }
    settle(value, output)
}

pub(super) fn trim_left(value: &[u8]) -> &[u8] {
    &value[value.iter().take_while(|byte| is_white_space(**byte)).count()..]
}

pub(super) fn trim_right(value: &[u8]) -> &[u8] {
    &value[..value.len() - value.iter().rev().take_while(|byte| is_white_space(**byte)).count()]
}
