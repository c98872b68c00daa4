//! How a recovery is written down: groups of letters and digits that people can read out and type.
//!
//! Crockford's base 32 (no I, L, O, U; case does not matter; O reads as 0, I and L as 1), in groups of six. The last bytes are a
//! checksum, so that a slip of the pen is told from a share of another store.

use super::shamir::{LENGTH, Point};
use redan_types::SecretString;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// A share with what it belongs to. A recovery key is the one share of a recovery with one.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    /// The first bytes of the seal's identifier.
    pub(crate) seal: [u8; 4],
    /// Which of the store's recoveries.
    pub(crate) generation: u16,
    /// How many are needed.
    pub(crate) threshold: u8,
    pub(crate) point: Point,
}

/// Why a text is not a share.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum ShareError {
    #[error("this is not a recovery key or share: it has {found} letters and digits instead of {LETTERS}")]
    Length { found: usize },
    #[error("a recovery key or share has letters and digits only, and no U; the {0}th is something else")]
    Letter(usize),
    #[error("this recovery key or share was mistyped: its check letters do not fit")]
    Checksum,
    #[error("this recovery key or share has a form of a newer version")]
    Newer,
}

impl Share {
    pub(crate) fn text(&self) -> SecretString {
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        bytes.push(FORM);
        bytes.extend_from_slice(&self.seal);
        bytes.extend_from_slice(&self.generation.to_be_bytes());
        bytes.extend_from_slice(&[self.threshold, self.point.place]);
        bytes.extend_from_slice(&*self.point.values);
        let check = checksum(&bytes);
        bytes.extend_from_slice(&check);
        let mut text = String::with_capacity(LETTERS + LETTERS / GROUP);
        // 45 bytes are 72 letters without a rest.
        for (index, five) in bytes.chunks(5).enumerate() {
            let bits = five.iter().fold(0_u64, |bits, byte| bits << 8 | u64::from(*byte));
            for letter in 0..8 {
                if (index * 8 + letter) % GROUP == 0 && !text.is_empty() {
                    text.push('-');
                }
                let digit = usize::try_from(bits >> (35 - 5 * letter) & 31).unwrap_or(0);
                text.push(char::from(ALPHABET.get(digit).copied().unwrap_or(b'0')));
            }
        }
        SecretString::new(text)
    }

    pub(crate) fn parse(text: &str) -> Result<Self, ShareError> {
        let mut digits = Zeroizing::new(Vec::with_capacity(LETTERS));
        for letter in text.chars().filter(|letter| !letter.is_whitespace() && *letter != '-') {
            let digit = digit(letter).ok_or(ShareError::Letter(digits.len() + 1))?;
            // Longer ones are counted and not kept.
            digits.push(digit);
            if digits.len() > 4 * LETTERS {
                break;
            }
        }
        if digits.len() != LETTERS {
            return Err(ShareError::Length { found: digits.len() });
        }
        let mut bytes = Zeroizing::new(Vec::with_capacity(BYTES));
        for eight in digits.chunks(8) {
            let bits = eight.iter().fold(0_u64, |bits, digit| bits << 5 | u64::from(*digit));
            bytes.extend_from_slice(&bits.to_be_bytes()[3..]);
        }
        let (content, check) = bytes.split_last_chunk::<CHECK>().ok_or(ShareError::Checksum)?;
        if checksum(content) != *check {
            return Err(ShareError::Checksum);
        }
        let fields = || -> Option<Self> {
            let rest = content.strip_prefix(&[FORM])?;
            let (seal, rest) = rest.split_first_chunk()?;
            let (generation, rest) = rest.split_first_chunk()?;
            let ([threshold, place], values) = rest.split_first_chunk()?;
            let values: &[u8; LENGTH] = values.try_into().ok()?;
            Some(Self {
                seal: *seal,
                generation: u16::from_be_bytes(*generation),
                threshold: *threshold,
                point: Point {
                    place: *place,
                    values: Zeroizing::new(*values),
                },
            })
        };
        fields().ok_or(ShareError::Newer)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECK] {
    let digest = Sha256::new_with_prefix(b"redan recovery share\0")
        .chain_update(bytes)
        .finalize();
    let mut check = [0; CHECK];
    check.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    check
}

fn digit(letter: char) -> Option<u8> {
    let letter = match letter.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        other => other,
    };
    let place = ALPHABET.iter().position(|known| char::from(*known) == letter)?;
    u8::try_from(place).ok()
}

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const FORM: u8 = 1;
const CHECK: usize = 4;
const BYTES: usize = 1 + 4 + 2 + 2 + LENGTH + CHECK;
const LETTERS: usize = BYTES * 8 / 5;
const GROUP: usize = 6;

#[cfg(test)]
mod tests {
    use super::{LETTERS, Share, ShareError};
    use crate::seal::shamir::Point;
    use proptest::prelude::*;
    use zeroize::Zeroizing;

    fn share(seal: [u8; 4], generation: u16, threshold: u8, place: u8, values: [u8; 32]) -> Share {
        Share {
            seal,
            generation,
            threshold,
            point: Point {
                place,
                values: Zeroizing::new(values),
            },
        }
    }

    proptest! {
        #[test]
        fn what_is_written_down_reads_the_same(seal: [u8; 4], generation: u16, threshold: u8, place: u8, values: [u8; 32]) {
            let text = share(seal, generation, threshold, place, values).text();
            for typed in [text.expose().to_owned(), text.expose().to_lowercase().replace('-', " "), text.expose().replace('0', "o").replace('1', "L")] {
                let read = Share::parse(&typed).unwrap();
                prop_assert_eq!((read.seal, read.generation, read.threshold, read.point.place), (seal, generation, threshold, place));
                prop_assert_eq!(*read.point.values, values);
            }
        }

        #[test]
        fn one_wrong_letter_is_noticed(values: [u8; 32], at in 0..LETTERS, with in 1_u8..32) {
            let text = share([1, 2, 3, 4], 1, 2, 1, values).text();
            let mut letters: Vec<u8> = text.expose().bytes().filter(|byte| *byte != b'-').collect();
            let place = super::ALPHABET.iter().position(|known| *known == letters[at]).unwrap();
            letters[at] = super::ALPHABET[(place + usize::from(with)) % 32];
            let typed = String::from_utf8(letters).unwrap();
            prop_assert_eq!(Share::parse(&typed).unwrap_err(), ShareError::Checksum);
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,400}") {
            let _ = Share::parse(&text);
        }
    }

    #[test]
    fn what_is_no_share_is_refused_with_the_reason() {
        assert_eq!(Share::parse("").unwrap_err(), ShareError::Length { found: 0 });
        assert_eq!(Share::parse("ABC-DEF").unwrap_err(), ShareError::Length { found: 6 });
        assert_eq!(Share::parse("AB€").unwrap_err(), ShareError::Letter(3));
        let text = share([0; 4], 0, 1, 1, [0; 32]).text();
        assert_eq!(text.expose().len(), LETTERS + LETTERS / 6 - 1);
        assert!(Share::parse(&format!("{}0", text.expose())).is_err());
    }
}
