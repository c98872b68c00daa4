//! The character classes of RFC 9110 section 5.6 and RFC 9112 section 3.2.

/// Whether every byte is a `tchar` and there is at least one.
pub(crate) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.iter().all(|b| is_tchar(*b))
}

/// `tchar`
pub(crate) const fn is_tchar(byte: u8) -> bool {
    // Every name's every byte comes through here: one load instead of seventeen comparisons.
    #[expect(
        clippy::indexing_slicing,
        reason = "a byte is below the table's 256 entries; `get` on arrays is not const"
    )]
    TCHAR[byte as usize]
}

static TCHAR: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0_u8;
    loop {
        #[expect(
            clippy::indexing_slicing,
            reason = "a byte is below the table's 256 entries; `get` on arrays is not const"
        )]
        {
            table[byte as usize] = matches!(byte,
                b'0'..=b'9' | b'A'..=b'Z' | b'a'..=b'z'
                | b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'|' | b'~');
        }
        match byte.checked_add(1) {
            Some(next) => byte = next,
            None => break table,
        }
    }
};

/// Whether every byte may stand in a field value: `VCHAR`, `obs-text`, SP and HTAB. Written without a branch so that it is vectorised.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, b| good & (((*b >= 0x20) & (*b != 0x7f)) | (*b == b'\t')))
}

/// Whether every byte is visible ASCII and none starts a fragment, which no request target may have (section 3.2).
pub(crate) fn is_target(bytes: &[u8]) -> bool {
    bytes
        .iter()
        .fold(true, |good, b| good & (*b > 0x20) & (*b < 0x7f) & (*b != b'#'))
}

/// SP or HTAB.
pub(crate) const fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// `bytes` without SP and HTAB at its ends.
pub(crate) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [first, rest @ ..] = bytes
        && is_blank(*first)
    {
        bytes = rest;
    }
    while let [rest @ .., last] = bytes
        && is_blank(*last)
    {
        bytes = rest;
    }
    bytes
}

/// The members of a comma-separated list, empty ones left out (RFC 9110 section 5.6.1).
pub(crate) fn list(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value
        .split(|b| *b == b',')
        .map(trim)
        .filter(|member| !member.is_empty())
}

/// The number that 1 to 19 decimal digits make, at most 2^63 (so that no reader of the number can take it for a negative one).
pub(crate) fn decimal(bytes: &[u8]) -> Option<u64> {
    if bytes.is_empty() || bytes.len() > 19 {
        return None;
    }
    let mut number = 0_u64;
    for byte in bytes {
        let digit = byte.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number = number.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    (number <= 1 << 63).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::{decimal, is_target, is_tchar, is_value, list, trim};

    #[test]
    fn a_number_is_digits_only_and_at_most_two_to_the_63() {
        assert_eq!(decimal(b"0"), Some(0));
        assert_eq!(decimal(b"9223372036854775808"), Some(1 << 63));
        for bad in [
            "",
            "+1",
            "-1",
            " 1",
            "1 ",
            "0x1",
            "1_0",
            "9223372036854775809",
            "00000000000000000000",
            "1,1",
            "\u{661}",
        ] {
            assert_eq!(decimal(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn the_classes_are_those_of_the_rfc() {
        assert_eq!((0..=255_u8).filter(|b| is_tchar(*b)).count(), 10 + 26 + 26 + 15);
        assert!(!is_value(b"a\x7f") && !is_value(b"a\0") && !is_value(b"\r") && is_value(b"a \t\xff"));
        assert!(!is_target(b"/a b") && !is_target(b"/#") && !is_target(b"/\xc3") && is_target(b"/%00?x"));
    }

    #[test]
    fn a_list_leaves_out_empty_members() {
        assert_eq!(list(b" a,, b\t,").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(trim(b" \t "), b"");
    }
}
