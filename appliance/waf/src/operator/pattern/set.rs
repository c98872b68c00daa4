//! The named sets of bytes in patterns.

use super::error::Reason;
use crate::bytes::{ByteSet, WHITE_SPACE};

pub(super) const DIGITS: ByteSet = ByteSet::range(b'0', b'9');
/// What `\w` matches.
pub(crate) const WORD: ByteSet = ByteSet::range(b'a', b'z')
    .union(ByteSet::range(b'A', b'Z'))
    .union(DIGITS)
    .with(b'_');
pub(super) const HORIZONTAL: ByteSet = ByteSet::from_list(b"\t \xa0");
pub(super) const VERTICAL: ByteSet = ByteSet::from_list(b"\n\x0b\x0c\r\x85");

/// The set of `\d`, `\W` and their like.
pub(super) fn shorthand(kind: u8) -> Option<ByteSet> {
    Some(match kind {
        b'd' => DIGITS,
        b'D' => DIGITS.complement(),
        b'w' => WORD,
        b'W' => WORD.complement(),
        b's' => WHITE_SPACE,
        b'S' => WHITE_SPACE.complement(),
        b'h' => HORIZONTAL,
        b'H' => HORIZONTAL.complement(),
        b'v' => VERTICAL,
        b'V' => VERTICAL.complement(),
        _ => return None,
    })
}

/// A POSIX class such as `[:alpha:]` at the start of `text`, and its length. Text that only looks like one is none.
pub(super) fn posix(text: &[u8]) -> Result<Option<(ByteSet, usize)>, Reason> {
    let [b'[', mark @ (b':' | b'.' | b'='), rest @ ..] = text else {
        return Ok(None);
    };
    let letters = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'^')
        .count();
    if rest[letters..].get(..2) != Some(&[*mark, b']']) {
        return Ok(None);
    }
    if *mark != b':' {
        return Err(Reason::Unsupported("a POSIX collating element"));
    }
    let (negated, name) = match &rest[..letters] {
        [b'^', name @ ..] => (true, name),
        name => (false, name),
    };
    let alpha = ByteSet::range(b'a', b'z').union(ByteSet::range(b'A', b'Z'));
    let set = match name {
        b"alpha" => alpha,
        b"lower" => ByteSet::range(b'a', b'z'),
        b"upper" => ByteSet::range(b'A', b'Z'),
        b"alnum" => alpha.union(DIGITS),
        b"ascii" => ByteSet::range(0, 0x7f),
        b"blank" => ByteSet::from_list(b" \t"),
        b"cntrl" => ByteSet::range(0, 0x1f).with(0x7f),
        b"digit" => DIGITS,
        b"graph" => ByteSet::range(0x21, 0x7e),
        b"print" => ByteSet::range(0x20, 0x7e),
        b"punct" => ByteSet::range(0x21, 0x7e).intersection(alpha.union(DIGITS).complement()),
        b"space" => WHITE_SPACE,
        b"word" => WORD,
        b"xdigit" => DIGITS
            .union(ByteSet::range(b'a', b'f'))
            .union(ByteSet::range(b'A', b'F')),
        other => return Err(Reason::ClassName(String::from_utf8_lossy(other).into_owned())),
    };
    Ok(Some((if negated { set.complement() } else { set }, letters + 4)))
}
