//! Checkpoints (C2SP `tlog-checkpoint`): the signed statement that the log has this size and this root.
//!
//! ```text
//! appliance.example/audit
//! 1024
//! base64 of the root hash
//! counter 17
//!
//! — appliance.example/audit base64 of key id and signature
//! ```
//!
//! The extension line `counter N` ties the checkpoint to the key device's monotonic counter, so that an older copy of the whole
//! store, put back, shows. Where the device has none, the line says `counter none`. A second signature line, by an ECDSA key that
//! never leaves the device, stands below the first where there is such a device.

use crate::hash::Hash;
use crate::note::{LogKey, NoteError, SignError};

/// Why a text is not a checkpoint.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// The signed note is wrong.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The signed text is not that of a checkpoint.
    #[error("the checkpoint's {0}")]
    Text(&'static str),
    /// The checkpoint belongs to another log than the key.
    #[error("the checkpoint is of the log {found}, not of {expected}")]
    OtherLog {
        /// The log that the key belongs to.
        expected: String,
        /// The log that the checkpoint names.
        found: String,
    },
}

/// What a checkpoint says.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many entries the log has.
    pub size: u64,
    /// The root hash of these entries.
    pub root: Hash,
    /// The key device's monotonic counter when the checkpoint was signed; `None` where it has none.
    pub counter: Option<u64>,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        let counter = self
            .counter
            .map_or_else(|| NO_COUNTER.to_owned(), |counter| counter.to_string());
        format!("{}\n{}\n{}\ncounter {counter}\n", self.origin, self.size, self.root)
    }

    /// Signs the checkpoint: `sign` is given the bytes and returns their signature.
    ///
    /// # Errors
    /// What `sign` said, or [`SignError::Text`] where the origin cannot stand in a note.
    pub fn sign<E, S: AsRef<[u8]>>(
        &self,
        key: &LogKey,
        sign: impl FnOnce(&[u8]) -> Result<S, E>,
    ) -> Result<String, SignError<E>> {
        key.sign_note(&self.text(), sign)
    }

    /// Checks the signature by `key` and reads the checkpoint.
    ///
    /// # Errors
    /// Says what about the note, its signature or its text is wrong, or that it belongs to another log.
    pub fn open(note: &str, key: &LogKey) -> Result<Self, CheckpointError> {
        let checkpoint = Self::parse_text(key.open_note(note)?)?;
        if checkpoint.origin == key.name() {
            return Ok(checkpoint);
        }
        Err(CheckpointError::OtherLog {
            expected: key.name().to_owned(),
            found: checkpoint.origin,
        })
    }

    /// Reads the signed text, strictly: what is read prints as the same bytes again.
    fn parse_text(text: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Text;
        let lines = text.strip_suffix('\n').ok_or(wrong("last line is not ended"))?;
        let mut lines = lines.split('\n');
        let origin = lines
            .next()
            .filter(|line| !line.is_empty())
            .ok_or(wrong("origin is empty"))?;
        let size = lines
            .next()
            .and_then(decimal)
            .ok_or(wrong("size is not a decimal number"))?;
        let root = lines
            .next()
            .and_then(Hash::parse)
            .ok_or(wrong("root is not 32 bytes in base64"))?;
        let counter = lines
            .next()
            .and_then(|line| line.strip_prefix("counter "))
            .and_then(|text| {
                if text == NO_COUNTER {
                    Some(None)
                } else {
                    decimal(text).map(Some)
                }
            });
        let counter = counter.ok_or(wrong("counter line is missing or not a number"))?;
        if lines.next().is_some() {
            return Err(wrong("text has lines that this version does not know"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            counter,
        })
    }
}

const NO_COUNTER: &str = "none";

/// A number without sign and leading zeros.
fn decimal(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    if plain { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::{Checkpoint, CheckpointError};
    use crate::hash::Hash;
    use crate::note::LogKey;
    use ed25519_dalek::{Signer, SigningKey};
    use std::convert::Infallible;

    fn signer() -> (SigningKey, LogKey) {
        let signing = SigningKey::from_bytes(&[7; 32]);
        let key = LogKey::new("log.example/audit", signing.verifying_key().as_bytes()).unwrap();
        (signing, key)
    }

    fn sign(signing: &SigningKey, key: &LogKey, text: &str) -> String {
        key.sign_note::<Infallible, _>(text, |bytes| Ok(signing.sign(bytes).to_bytes()))
            .unwrap()
    }

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "log.example/audit".into(),
            size: 3,
            root: Hash([9; 32]),
            counter: Some(12),
        }
    }

    #[test]
    fn a_checkpoint_opens_with_its_key_and_no_other() {
        let (signing, key) = signer();
        let note = checkpoint()
            .sign::<Infallible, _>(&key, |bytes| Ok(signing.sign(bytes).to_bytes()))
            .unwrap();
        assert_eq!(Checkpoint::open(&note, &key).unwrap(), checkpoint());
        let other = SigningKey::from_bytes(&[8; 32]);
        let other = LogKey::new("log.example/audit", other.verifying_key().as_bytes()).unwrap();
        assert!(matches!(Checkpoint::open(&note, &other), Err(CheckpointError::Note(_))));
    }

    #[test]
    fn a_device_without_a_counter_is_said_to_have_none() {
        let (signing, key) = signer();
        let without = Checkpoint {
            counter: None,
            ..checkpoint()
        };
        assert!(without.text().ends_with("\ncounter none\n"));
        assert_eq!(
            Checkpoint::open(&sign(&signing, &key, &without.text()), &key).unwrap(),
            without
        );
    }

    #[test]
    fn a_checkpoint_of_another_log_is_refused() {
        let (signing, key) = signer();
        let text = Checkpoint {
            origin: "other.example/audit".into(),
            ..checkpoint()
        }
        .text();
        let error = Checkpoint::open(&sign(&signing, &key, &text), &key).unwrap_err();
        assert!(
            matches!(&error, CheckpointError::OtherLog { found, .. } if found == "other.example/audit"),
            "{error}"
        );
    }

    #[test]
    fn a_signed_text_that_is_no_checkpoint_is_refused() {
        let (signing, key) = signer();
        let root = Hash([9; 32]);
        for text in [
            "log.example/audit\n".to_owned(),
            format!("log.example/audit\n03\n{root}\ncounter 1\n"),
            format!("log.example/audit\n+3\n{root}\ncounter 1\n"),
            format!("log.example/audit\n18446744073709551616\n{root}\ncounter 1\n"),
            format!("log.example/audit\n3\n{root}A\ncounter 1\n"),
            format!("log.example/audit\n3\n{root}\n"),
            format!("log.example/audit\n3\n{root}\ncounter x\n"),
            format!("log.example/audit\n3\n{root}\ncounter 1\nmore\n"),
        ] {
            assert!(
                matches!(
                    Checkpoint::open(&sign(&signing, &key, &text), &key),
                    Err(CheckpointError::Text(_))
                ),
                "{text}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_of_a_checkpoint_is_refused() {
        let (signing, key) = signer();
        let note = sign(&signing, &key, &checkpoint().text()).into_bytes();
        for bit in 0..note.len() * 8 {
            let mut flipped = note.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            if let Ok(text) = String::from_utf8(flipped) {
                assert!(Checkpoint::open(&text, &key).is_err(), "bit {bit}: {text}");
            }
        }
    }
}
