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

/// Whether every byte may stand in a field value: `VCHAR`, `obs-text`, SP and HTAB.
///
/// Eight bytes at a time, since most values are too short for vectors; a tab, which hardly anybody sends, is left to the look at each
/// byte.
pub(crate) fn is_value(bytes: &[u8]) -> bool {
    const ONES: u64 = 0x0101_0101_0101_0101;
    const HIGH: u64 = 0x80 * ONES;
    let (words, rest) = bytes.as_chunks::<8>();
    let doubtful = words.iter().fold(0, |doubtful, word| {
        let word = u64::from_le_bytes(*word);
        let rubout = word ^ (0x7f * ONES);
        // The high bit of the lowest byte below 0x20, and of the lowest that is 0x7f; of higher ones perhaps, and never without one.
        doubtful | (word.wrapping_sub(0x20 * ONES) & !word & HIGH) | (rubout.wrapping_sub(ONES) & !rubout & HIGH)
    });
    if doubtful == 0 {
        rest.iter().all(|b| is_value_byte(*b))
    } else {
        bytes.iter().all(|b| is_value_byte(*b))
    }
}

const fn is_value_byte(byte: u8) -> bool {
    (byte >= 0x20 && byte != 0x7f) || byte == b'\t'
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

    proptest::proptest! {
        #[test]
        fn a_value_is_judged_by_each_of_its_bytes(
            mut value in proptest::collection::vec(0x20_u8..0x7f, 0..40),
            odd in proptest::collection::vec((0_usize..40, proptest::num::u8::ANY), 0..3),
        ) {
            for (place, byte) in odd {
                if let Some(target) = value.get_mut(place) {
                    *target = byte;
                }
            }
            let expected = value.iter().all(|b| matches!(b, b'\t' | 0x20..=0x7e | 0x80..));
            assert_eq!(is_value(&value), expected, "{}", value.escape_ascii());
        }
    }

    #[test]
    fn a_list_leaves_out_empty_members() {
        assert_eq!(list(b" a,, b\t,").collect::<Vec<_>>(), [b"a", b"b"]);
        assert_eq!(trim(b" \t "), b"");
    }
}
