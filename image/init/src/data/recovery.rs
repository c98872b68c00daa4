//! The recovery key: what an operator writes down once and types in when the TPM does not open the data any more.

use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use redan_image_layout::sha256;
use redan_types::{SecretBytes, SecretString};
use zeroize::Zeroizing;

/// 160 random bits; written as 36 characters of Crockford's base 32, the last four of which tell a slip of the pen from a key of
/// another machine.
#[derive(Debug)]
pub struct RecoveryKey(SecretBytes);

/// This is no recovery key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum RecoveryError {
    /// It has more or fewer characters.
    #[error("a recovery key has nine groups of four characters")]
    Length,
    /// A character that none has.
    #[error("a recovery key has digits and letters only")]
    Character,
    /// Its check characters do not fit.
    #[error("a character of the recovery key is wrong")]
    Check,
    /// There is no randomness.
    #[error("no random numbers can be had")]
    Random,
}

const KEY: usize = 20;
const CHECK: usize = 4;
const CHARACTERS: usize = KEY * 8 / 5;
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

impl RecoveryKey {
    /// A new one.
    ///
    /// # Errors
    /// [`RecoveryError::Random`].
    pub fn generate() -> Result<Self, RecoveryError> {
        let mut bytes = vec![0; KEY];
        SystemRandom::new()
            .fill(&mut bytes)
            .map_err(|_| RecoveryError::Random)?;
        Ok(Self(SecretBytes::new(bytes)))
    }

    /// Reads what an operator typed: letters of either case, with or without separators, `O` for `0`, `I` and `L` for `1`.
    ///
    /// # Errors
    /// Says what is wrong with it.
    pub fn parse(text: &SecretString) -> Result<Self, RecoveryError> {
        let mut values = Zeroizing::new(Vec::with_capacity(CHARACTERS + CHECK));
        for character in text
            .expose()
            .bytes()
            .filter(|byte| !matches!(byte, b'-' | b' ' | b'\r' | b'\n'))
        {
            let character = match character.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            };
            let value = ALPHABET
                .iter()
                .position(|of| *of == character)
                .ok_or(RecoveryError::Character)?;
            if values.len() == CHARACTERS + CHECK {
                return Err(RecoveryError::Length);
            }
            // A place in an alphabet of 32.
            values.push(u8::try_from(value).map_err(|_| RecoveryError::Character)?);
        }
        if values.len() != CHARACTERS + CHECK {
            return Err(RecoveryError::Length);
        }
        let (key, check) = values.split_at(CHARACTERS);
        let mut bytes = Vec::with_capacity(KEY);
        for eight in key.chunks_exact(8) {
            let number = eight
                .iter()
                .fold(0_u64, |number, value| number << 5 | u64::from(*value));
            bytes.extend_from_slice(number.to_be_bytes().get(3..).unwrap_or_default());
        }
        if check != check_of(&bytes) {
            return Err(RecoveryError::Check);
        }
        Ok(Self(SecretBytes::new(bytes)))
    }

    /// As an operator writes it down.
    #[must_use]
    pub fn text(&self) -> SecretString {
        let mut values = Zeroizing::new(Vec::with_capacity(CHARACTERS + CHECK));
        for five in self.0.expose().chunks_exact(5) {
            let number = five.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
            values.extend(
                (0..8)
                    .rev()
                    .map(|place| u8::try_from(number >> (5 * place) & 31).unwrap_or(0)),
            );
        }
        values.extend_from_slice(&check_of(self.0.expose()));
        let mut text = String::with_capacity(values.len() * 2);
        for (index, value) in values.iter().enumerate() {
            if index > 0 && index % 4 == 0 {
                text.push('-');
            }
            text.extend(ALPHABET.get(usize::from(*value)).map(|byte| char::from(*byte)));
        }
        SecretString::new(text)
    }

    /// The key's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        self.0.expose()
    }
}

fn check_of(key: &[u8]) -> [u8; CHECK] {
    let [first, second, third, fourth, ..] = sha256(&[b"redan recovery key check", key]);
    [first & 31, second & 31, third & 31, fourth & 31]
}

#[cfg(test)]
mod tests {
    use super::{RecoveryError, RecoveryKey};
    use redan_types::SecretString;

    fn parse(text: &str) -> Result<RecoveryKey, RecoveryError> {
        RecoveryKey::parse(&SecretString::new(text.to_owned()))
    }

    #[test]
    fn what_was_written_down_is_read_however_it_is_typed() {
        let key = RecoveryKey::generate().unwrap();
        let text = key.text().expose().to_owned();
        assert_eq!(text.len(), 44, "{text}");
        for typed in [
            text.clone(),
            text.to_lowercase(),
            text.replace('-', " "),
            text.replace('0', "o").replace('1', "l"),
        ] {
            assert_eq!(parse(&typed).unwrap().bytes(), key.bytes());
        }
    }

    #[test]
    fn a_slip_of_the_pen_is_told_from_a_wrong_key() {
        let text = RecoveryKey::generate().unwrap().text().expose().to_owned();
        let other = if text.starts_with('7') { "8" } else { "7" };
        assert_eq!(
            parse(&format!("{other}{}", &text[1..])).unwrap_err(),
            RecoveryError::Check
        );
        assert_eq!(parse(&text[1..]).unwrap_err(), RecoveryError::Length);
        assert_eq!(parse(&format!("{text}0")).unwrap_err(), RecoveryError::Length);
        assert_eq!(parse(&text.replace('-', "!")).unwrap_err(), RecoveryError::Character);
        assert_eq!(parse("").unwrap_err(), RecoveryError::Length);
    }
}
