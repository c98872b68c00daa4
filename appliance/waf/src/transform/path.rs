//! Path normalisation: no empty segments, no `.`, no `..` where it can be resolved.

use std::borrow::Cow;

use memchr::memchr;

use super::settle;

pub(super) fn normalize_windows(value: &[u8]) -> Cow<'_, [u8]> {
    if memchr(b'\\', value).is_none() {
        return normalize(value);
    }
    let slashes: Vec<u8> = value
        .iter()
        .map(|byte| if *byte == b'\\' { b'/' } else { *byte })
        .collect();
    Cow::Owned(normalize(&slashes).into_owned())
}

pub(super) fn normalize(value: &[u8]) -> Cow<'_, [u8]> {
    let (Some(first), Some(last)) = (value.first(), value.last()) else {
        return Cow::Borrowed(value);
    };
    if memchr(b'.', value).is_none() && !value.windows(2).any(|bytes| bytes == b"//") {
        return Cow::Borrowed(value);
    }
    let absolute = *first == b'/';
    let trailing = *last == b'/';
    let mut output: Vec<u8> = Vec::with_capacity(value.len());
    // A relative path has come to its start: the `..` that follow stay.
    let mut stuck = false;
    if absolute {
        output.push(b'/');
    }
    let mut segments = value
        .split(|byte| *byte == b'/')
        .filter(|segment| !segment.is_empty())
        .peekable();
    while let Some(segment) = segments.next() {
        let ends = segments.peek().is_none() && !trailing;
        if segment == b"." && (output.is_empty() || output.last() == Some(&b'/')) {
            continue;
        }
        if segment.ends_with(b"..") {
            // As libmodsecurity does, a longer segment that ends so (`x..`) resolves to nothing as well, without its parent.
            let start = output.len();
            if absolute || !(stuck || start + segment.len() <= 3) {
                if segment == b".." {
                    // The parent goes, and its slash with it.
                    if output.len() > usize::from(absolute) {
                        output.pop();
                    }
                    let parent = output
                        .iter()
                        .rposition(|byte| *byte == b'/')
                        .map_or(0, |slash| slash + 1);
                    output.truncate(parent);
                }
                if output.len() <= usize::from(absolute) {
                    stuck = true;
                }
                continue;
            }
            stuck = true;
        } else if !segment.ends_with(b".") && output.len() + segment.len() > 1 {
            stuck = false;
        }
        output.extend_from_slice(segment);
        if !ends {
            output.push(b'/');
        }
    }
    // A path that did not end with a slash does not end with one now, not even the root's.
    if !trailing && output.last() == Some(&b'/') {
        output.pop();
    }
    settle(value, output)
}
