//! `phpArgsNames`: the name under which PHP registers a request parameter.
//!
//! PHP skips leading blanks, turns blanks and dots into underscores, reads `[…]` as array indexes and drops what follows the last
//! one, turns an opening bracket that nothing closes into an underscore, and ignores a name that starts with a bracket.

use std::borrow::Cow;

use memchr::memchr;

use super::settle;
use crate::bytes::{ByteSet, is_white_space};

/// The bytes that may change something.
pub(super) const HANDLED: ByteSet = ByteSet::from_list(b" .[");

pub(super) fn argument_name(value: &[u8]) -> Cow<'_, [u8]> {
    let start = value.iter().take_while(|byte| **byte == b' ').count();
    let name = &value[start..];
    let base = memchr(b'[', name).unwrap_or(name.len());
    if base == 0 {
        return settle(value, Vec::new());
    }
    let mut output: Vec<u8> = name[..base]
        .iter()
        .map(|byte| if matches!(byte, b' ' | b'.') { b'_' } else { *byte })
        .collect();
    let mut rest = &name[base..];
    let mut first = true;
    while let [b'[', index @ ..] = rest {
        let Some(end) = memchr(b']', index) else {
            // Not an index: the bracket becomes an underscore and the text behind it stays as it is. Behind an earlier index PHP
            // drops it.
            if first {
                output.push(b'_');
                output.extend_from_slice(index);
            }
            break;
        };
        output.push(b'[');
        // A lone white space is no index.
        if !matches!(&index[..end], [blank] if is_white_space(*blank)) {
            output.extend_from_slice(&index[..end]);
        }
        output.push(b']');
        rest = &index[end + 1..];
        first = false;
    }
    settle(value, output)
}
