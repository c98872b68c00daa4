//! Backslash escapes of JavaScript, CSS and ANSI C.

use std::borrow::Cow;

use memchr::memchr;

use super::url::{code_point, narrow};
use super::{digit, pair, settle};
use crate::bytes::is_white_space;

/// Rewrites each backslash sequence: `decode` gets the text from the backslash on and returns how many bytes it took.
fn rewrite(value: &[u8], decode: impl Fn(&[u8], &mut Vec<u8>) -> usize) -> Cow<'_, [u8]> {
    let Some(first) = memchr(b'\\', value) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut next = Some(first);
    while let Some(position) = next {
        output.extend_from_slice(&rest[..position]);
        rest = &rest[position..];
        let taken = decode(rest, &mut output);
        rest = &rest[taken..];
        next = memchr(b'\\', rest);
    }
    output.extend_from_slice(rest);
    settle(value, output)
}

/// The control character of a letter.
fn control(letter: u8) -> Option<u8> {
    Some(match letter {
        b'a' => 0x07,
        b'b' => 0x08,
        b'f' => 0x0c,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 0x0b,
        _ => return None,
    })
}

/// Up to three octal digits: their value, and how many there are.
fn octal(text: &[u8]) -> (u16, usize) {
    let digits = text
        .iter()
        .take(3)
        .take_while(|byte| matches!(byte, b'0'..=b'7'))
        .count();
    (
        text[..digits]
            .iter()
            .fold(0, |value, byte| value << 3 | u16::from(byte - b'0')),
        digits,
    )
}

/// The low byte.
fn low(value: u16) -> u8 {
    value.to_be_bytes()[1]
}

pub(super) fn javascript(value: &[u8]) -> Cow<'_, [u8]> {
    rewrite(value, |text, output| {
        let Some(&kind) = text.get(1) else {
            output.push(b'\\');
            return 1;
        };
        match kind {
            b'u' if let Some(code) = code_point(&text[2..]) => {
                output.push(narrow(code));
                6
            }
            b'x' if let Some(byte) = pair(&text[2..]) => {
                output.push(byte);
                4
            }
            b'0'..=b'7' => {
                let (mut code, mut digits) = octal(&text[1..]);
                // A byte ends at \377; above that the third digit is a character of its own.
                if code > 0xff {
                    code >>= 3;
                    digits -= 1;
                }
                output.push(low(code));
                1 + digits
            }
            letter => {
                output.push(control(letter).unwrap_or(letter));
                2
            }
        }
    })
}

pub(super) fn ansi(value: &[u8]) -> Cow<'_, [u8]> {
    rewrite(value, |text, output| {
        let Some(&kind) = text.get(1) else {
            output.push(b'\\');
            return 1;
        };
        match kind {
            b'x' | b'X' if let Some(byte) = pair(&text[2..]) => {
                output.push(byte);
                4
            }
            b'0'..=b'7' => {
                let (code, digits) = octal(&text[1..]);
                output.push(low(code));
                1 + digits
            }
            letter => {
                output.push(control(letter).unwrap_or(letter));
                2
            }
        }
    })
}

pub(super) fn css(value: &[u8]) -> Cow<'_, [u8]> {
    rewrite(value, |text, output| {
        let digits = text[1..]
            .iter()
            .take(6)
            .take_while(|byte| digit(**byte).is_some())
            .count();
        if digits > 0 {
            let code = text[1..=digits]
                .iter()
                .fold(0_u32, |code, byte| code << 4 | u32::from(digit(*byte).unwrap_or(0)));
            // Only the low byte counts, except that full-width forms become ASCII.
            let code = u16::try_from(code).unwrap_or_else(|_| u16::from(code.to_be_bytes()[3]));
            output.push(narrow(code));
            // One white space ends the escape and belongs to it.
            let blank = text.get(1 + digits).is_some_and(|byte| is_white_space(*byte));
            return 1 + digits + usize::from(blank);
        }
        match text.get(1) {
            // A backslash at the end or before a newline continues the line.
            None => 1,
            Some(b'\n') => 2,
            Some(other) => {
                output.push(*other);
                2
            }
        }
    })
}
