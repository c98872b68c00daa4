//! Fingerprints of injections that ordinary text has as well, told apart by what the tokens were.

use memchr::memmem;

use super::Fingerprint;
use super::fold::Folded;
use super::token::{Kind, Token};

/// Whether the value, whose fingerprint is one of injections, is one. `tokens` is how many it had before folding.
pub(super) fn is_injection(value: &[u8], fingerprint: &Fingerprint, folded: &Folded<'_>, tokens: usize) -> bool {
    let kinds = fingerprint.as_bytes();
    // SQL Server leaves statements out of its log that have this word in a comment.
    if kinds.len() > 1 && kinds.ends_with(b"c") && memmem::find(value, b"sp_password").is_some() {
        return true;
    }
    match (kinds, folded.tokens()) {
        ([_, _], [first, second]) => two(value, first, second, tokens),
        (b"sos" | b"s&s", [first, _, third]) => {
            // `…foo" + "bar…`: the value begins and ends within a string.
            first.open == 0 && third.close == 0 && first.close == third.open
        }
        // 'sexy and 17' is not one, 'sexy and 17<18' is.
        (b"s&n" | b"n&1" | b"1&1" | b"1&v" | b"1&s", _) => tokens != 3,
        ([_, _, _], [_, second, _]) if second.kind == Kind::Keyword => {
            // INTO OUTFILE and INTO DUMPFILE.
            second.text().len() >= 5 && second.text()[..4].eq_ignore_ascii_case(b"INTO")
        }
        _ => true,
    }
}

fn two(value: &[u8], first: &Token<'_>, second: &Token<'_>, tokens: usize) -> bool {
    if second.kind == Kind::Union {
        return tokens != 2;
    }
    let mark = second.text().first().copied();
    if mark == Some(b'#') {
        return false;
    }
    let comment = second.kind == Kind::Comment;
    match first.kind {
        Kind::Bareword if comment && mark != Some(b'/') => false,
        Kind::Number if comment => {
            // Values such as `1234-abcd--` are common. The byte behind the number decides, counted from the start of the value.
            let behind = value.get(first.text().len()..).unwrap_or_default();
            mark == Some(b'/')
                || tokens > 2
                || behind.first().is_none_or(|byte| *byte <= b' ' || *byte >= 0x80)
                || behind.starts_with(b"/*")
                || behind.starts_with(b"--")
        }
        // `1--` ends a query; prose goes on behind two dashes.
        _ => !(second.text().len() > 2 && mark == Some(b'-')),
    }
}
