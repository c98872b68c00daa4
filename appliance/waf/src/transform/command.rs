//! `cmdLine`: what is left when a shell has dropped what it ignores.

use std::borrow::Cow;

use super::settle;
use crate::bytes::ByteSet;

/// The bytes that may change something, capitals aside.
pub(super) const HANDLED: ByteSet = ByteSet::from_list(b"\"'\\^ ,;\t\r\n");

pub(super) fn normalize(value: &[u8]) -> Cow<'_, [u8]> {
    let plain = |byte: &u8| !HANDLED.contains(*byte) && !byte.is_ascii_uppercase();
    let Some(first) = value.iter().position(|byte| !plain(byte)) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    output.extend_from_slice(&value[..first]);
    // Whether the output ends with the blank of a run of separators.
    let mut blank = false;
    for byte in &value[first..] {
        match byte {
            b'"' | b'\'' | b'\\' | b'^' => {}
            b' ' | b',' | b';' | b'\t' | b'\r' | b'\n' => {
                if !blank {
                    output.push(b' ');
                }
                blank = true;
            }
            byte => {
                if blank && matches!(byte, b'/' | b'(') {
                    output.pop();
                }
                output.push(byte.to_ascii_lowercase());
                blank = false;
            }
        }
    }
    settle(value, output)
}
