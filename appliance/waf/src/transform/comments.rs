//! Comments of C, SQL, HTML and shells.

use std::borrow::Cow;

use memchr::{memchr3, memmem};

use super::settle;

/// Each C comment, closed or not, becomes one blank.
pub(super) fn replace(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = memmem::find(value, b"/*") else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len());
    let mut rest = value;
    let mut next = Some(first);
    while let Some(position) = next {
        output.extend_from_slice(&rest[..position]);
        output.push(b' ');
        let body = &rest[position + 2..];
        rest = memmem::find(body, b"*/").map_or(&[][..], |end| &body[end + 2..]);
        next = memmem::find(rest, b"/*");
    }
    output.extend_from_slice(rest);
    Cow::Owned(output)
}

/// Comments go with their text; `--` and `#` end the value.
///
/// The byte after a comment's end is copied unseen, a NUL if there is none: rules and tests know libmodsecurity's output so.
pub(super) fn remove(value: &[u8]) -> Cow<'_, [u8]> {
    let mut output = Vec::new();
    let mut rest = value;
    let mut inside = false;
    while let Some(&byte) = rest.first() {
        if inside {
            let mark = if rest.starts_with(b"*/") {
                2
            } else if rest.starts_with(b"-->") {
                3
            } else {
                rest = &rest[1..];
                continue;
            };
            inside = false;
            output.push(rest.get(mark).copied().unwrap_or(0));
            rest = rest.get(mark + 1..).unwrap_or_default();
        } else if rest.starts_with(b"/*") {
            inside = true;
            rest = &rest[2..];
        } else if rest.starts_with(b"<!--") {
            inside = true;
            rest = &rest[4..];
        } else if byte == b'#' || rest.starts_with(b"--") {
            break;
        } else {
            output.push(byte);
            rest = &rest[1..];
        }
    }
    if inside {
        output.push(b' ');
    }
    settle(value, output)
}

/// Only the marks go.
pub(super) fn remove_marks(value: &[u8]) -> Cow<'_, [u8]> {
    const MARKS: [&[u8]; 6] = [b"/*", b"*/", b"<!--", b"-->", b"--", b"#"];
    if memchr3(b'*', b'-', b'#', value).is_none() {
        return Cow::Borrowed(value);
    }
    let mut output = Vec::with_capacity(value.len());
    let mut rest = value;
    while let Some(&byte) = rest.first() {
        if let Some(mark) = MARKS.iter().find(|mark| rest.starts_with(mark)) {
            rest = &rest[mark.len()..];
        } else {
            output.push(byte);
            rest = &rest[1..];
        }
    }
    settle(value, output)
}
