//! `application/x-www-form-urlencoded`: query strings and forms.

/// Reads pairs of names and values, percent-decoded, `+` as a blank. Returns whether any percent sign was not followed by two
/// hexadecimal digits (such are left as they are).
pub fn pairs(text: &[u8], separator: u8, found: &mut dyn FnMut(&[u8], &[u8])) -> bool {
    let mut invalid = false;
    let (mut name_room, mut value_room) = (Vec::new(), Vec::new());
    for pair in text.split(|byte| *byte == separator) {
        if pair.is_empty() {
            continue;
        }
        let (name, value) = match pair.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                pair.get(..at).unwrap_or_default(),
                pair.get(at + 1..).unwrap_or_default(),
            ),
            None => (pair, &b""[..]),
        };
        let name = decode(name, true, &mut name_room, &mut invalid);
        let value = decode(value, true, &mut value_room, &mut invalid);
        found(name, value);
    }
    invalid
}

/// Percent-decodes into `room` if there is anything to decode.
pub fn decode<'a>(text: &'a [u8], plus: bool, room: &'a mut Vec<u8>, invalid: &mut bool) -> &'a [u8] {
    if !text.iter().any(|byte| *byte == b'%' || (plus && *byte == b'+')) {
        return text;
    }
    room.clear();
    let mut rest = text;
    while let Some((first, left)) = rest.split_first() {
        rest = left;
        match (*first, left) {
            (b'%', [high, low, after @ ..]) if let (Some(high), Some(low)) = (digit(*high), digit(*low)) => {
                room.push(high << 4 | low);
                rest = after;
            }
            (b'%', _) => {
                *invalid = true;
                room.push(b'%');
            }
            (b'+', _) if plus => room.push(b' '),
            (byte, _) => room.push(byte),
        }
    }
    room
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Vec<(String, String)>, bool) {
        let mut all = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let invalid = pairs(text.as_bytes(), b'&', &mut |name, value| {
            all.push((text_of(name), text_of(value)));
        });
        (all, invalid)
    }

    #[test]
    fn pairs_are_decoded_once() {
        let (all, invalid) = read("a=1&b+c=%2520+x&&d&=e&f==g");
        let expected = [("a", "1"), ("b c", "%20 x"), ("d", ""), ("", "e"), ("f", "=g")];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert!(!invalid);
    }

    #[test]
    fn a_broken_escape_stays_and_is_reported() {
        let (all, invalid) = read("a=%zz%4&b=%");
        assert_eq!(
            all,
            [("a".to_owned(), "%zz%4".to_owned()), ("b".to_owned(), "%".to_owned())]
        );
        assert!(invalid);
    }
}
