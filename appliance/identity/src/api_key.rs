//! API keys: `redan_`, 43 characters of base64url (32 random bytes), 6 check characters.
//!
//! The beginning lets secret scanners and people recognise a key, the check characters (the beginning of a SHA-256 over the rest)
//! find a typing error without asking anybody. A key is kept as its SHA-256: with 256 random bits there is nothing to guess, so a
//! slow hash would only make every request slow.

use crate::{NoRandomness, random};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use redan_types::{SecretString, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::time::Duration;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// What every key begins with.
pub const PREFIX: &str = "redan_";
/// The length of a key in characters.
pub const LENGTH: usize = PREFIX.len() + BODY + CHECK;
/// How long the secret before a rotation goes on working.
pub const GRACE: Duration = Duration::from_hours(24);

const BODY: usize = 43;
const CHECK: usize = 6;

/// Why a text is no API key. Nothing of the text is repeated: it may be a key with a typing error.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It does not begin with [`PREFIX`] or has another length or alphabet.
    #[error("an API key is `{PREFIX}` and {} letters, digits, '-' and '_'", BODY + CHECK)]
    Form,
    /// The check characters do not fit: a typing error.
    #[error("the API key's check characters do not fit, it was mistyped or cut")]
    Check,
}

/// A well-formed API key. Not printed, wiped when dropped.
#[derive(Clone, Debug)]
pub struct ApiKey(SecretString);

impl ApiKey {
    /// A new key.
    ///
    /// # Errors
    /// [`NoRandomness`] where the kernel gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(random::<32>()?.as_slice()));
        Ok(Self(SecretString::new(format!("{PREFIX}{}{}", *body, check(&body)))))
    }

    /// Reads a key as it was presented.
    ///
    /// # Errors
    /// Says whether it is no key at all or a mistyped one.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let rest = text
            .strip_prefix(PREFIX)
            .filter(|rest| rest.len() == BODY + CHECK)
            .ok_or(KeyError::Form)?;
        let (body, given) = rest.split_at_checked(BODY).ok_or(KeyError::Form)?;
        if !rest
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        {
            return Err(KeyError::Form);
        }
        if check(body) != given {
            return Err(KeyError::Check);
        }
        // The last character of 32 bytes carries two spare bits; only the canonical spelling is a key.
        URL_SAFE_NO_PAD
            .decode(body)
            .map(Zeroizing::new)
            .map_err(|_| KeyError::Form)?;
        Ok(Self(SecretString::new(text.to_owned())))
    }

    /// The text, to be shown once.
    #[must_use]
    pub const fn secret(&self) -> &SecretString {
        &self.0
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash(Sha256::digest(self.0.expose()).into())
    }
}

fn check(body: &str) -> String {
    let digest = Sha256::new()
        .chain_update("redan api key\n")
        .chain_update(body)
        .finalize();
    let mut text = URL_SAFE_NO_PAD.encode(digest);
    text.truncate(CHECK);
    text
}

/// The SHA-256 of an API key. Comparing takes the same time whatever the bytes.
#[derive(Clone, Copy, Deserialize, Eq, Ord, PartialOrd, Serialize)]
pub struct KeyHash(pub [u8; 32]);

impl PartialEq for KeyHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for KeyHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(..)")
    }
}

/// The secrets of one key and how long they work.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeyValidity {
    /// The current secret.
    pub current: KeyHash,
    /// The key stops working then.
    pub until: Timestamp,
    /// The secret before the last rotation, and until when it works.
    pub previous: Option<(KeyHash, Timestamp)>,
    /// Ended for good.
    pub revoked: bool,
}

impl KeyValidity {
    /// A new key that works for `lifetime`.
    #[must_use]
    pub fn new(current: KeyHash, now: Timestamp, lifetime: Duration) -> Self {
        Self {
            current,
            until: now.after(lifetime),
            previous: None,
            revoked: false,
        }
    }

    /// Until when the presented secret works; `None` where it does not.
    #[must_use]
    pub fn accepts(&self, presented: &KeyHash, now: Timestamp) -> Option<Timestamp> {
        let previous = self
            .previous
            .as_ref()
            .filter(|(hash, _)| hash == presented)
            .map(|(_, until)| *until);
        let until = if self.current == *presented {
            Some(self.until)
        } else {
            previous
        };
        until.filter(|until| now < *until && !self.revoked)
    }

    /// Replaces the secret and begins a new lifetime. The old secret works for [`GRACE`] more, but never longer than it would have;
    /// one from an earlier rotation ends at once. A revoked key stays revoked.
    pub fn rotate(&mut self, new: KeyHash, now: Timestamp, lifetime: Duration) {
        let grace = self.until.min(now.after(GRACE));
        self.previous = Some((self.current, grace));
        self.current = new;
        self.until = now.after(lifetime);
    }
}

#[cfg(test)]
mod tests {
    use super::{ApiKey, GRACE, KeyError, KeyHash, KeyValidity, LENGTH};
    use redan_types::Timestamp;
    use std::time::Duration;

    const DAYS_90: Duration = Duration::from_hours(24 * 90);

    #[test]
    fn a_key_reads_what_it_shows() {
        let key = ApiKey::generate().unwrap();
        let text = key.secret().expose();
        assert_eq!(text.len(), LENGTH);
        assert_eq!(ApiKey::parse(text).unwrap().hash(), key.hash());
        assert_ne!(ApiKey::generate().unwrap().hash(), key.hash());
        assert!(!format!("{key:?}").contains(&text[6..]));
    }

    #[test]
    fn every_single_mistyped_character_is_found() {
        let key = ApiKey::generate().unwrap();
        let text = key.secret().expose();
        for at in 0..text.len() {
            for wrong in ["A", "b", "7", "-", "_", " ", "é", ""] {
                let typed = format!("{}{wrong}{}", &text[..at], &text[at + 1..]);
                assert!(typed == text || ApiKey::parse(&typed).is_err(), "character {at}");
            }
        }
        assert_eq!(ApiKey::parse("").unwrap_err(), KeyError::Form);
        assert_eq!(ApiKey::parse(&format!("{text}x")).unwrap_err(), KeyError::Form);
        assert_eq!(ApiKey::parse(&"é".repeat(28)).unwrap_err(), KeyError::Form);
    }

    #[test]
    fn a_rotated_secret_works_for_its_grace_and_no_longer() {
        let (old, new, third) = (KeyHash([1; 32]), KeyHash([2; 32]), KeyHash([3; 32]));
        let start = Timestamp(0);
        let mut key = KeyValidity::new(old, start, DAYS_90);
        assert_eq!(key.accepts(&old, start), Some(start.after(DAYS_90)));
        assert_eq!(key.accepts(&new, start), None);
        let rotated = start.after(Duration::from_hours(1));
        key.rotate(new, rotated, DAYS_90);
        assert_eq!(key.accepts(&new, rotated), Some(rotated.after(DAYS_90)));
        assert_eq!(key.accepts(&old, rotated), Some(rotated.after(GRACE)));
        assert_eq!(key.accepts(&old, rotated.after(GRACE)), None);
        key.rotate(third, rotated, DAYS_90);
        assert_eq!(
            key.accepts(&old, rotated),
            None,
            "two rotations end the first secret at once"
        );
    }

    #[test]
    fn grace_never_prolongs_an_expired_secret() {
        let (old, new) = (KeyHash([1; 32]), KeyHash([2; 32]));
        let mut key = KeyValidity::new(old, Timestamp(0), DAYS_90);
        let late = Timestamp(0).after(DAYS_90);
        assert_eq!(key.accepts(&old, late), None);
        key.rotate(new, late, DAYS_90);
        assert_eq!(key.accepts(&old, late), None);
        assert!(key.accepts(&new, late).is_some());
    }

    #[test]
    fn a_revoked_key_works_with_no_secret() {
        let (old, new) = (KeyHash([1; 32]), KeyHash([2; 32]));
        let mut key = KeyValidity::new(old, Timestamp(0), DAYS_90);
        key.revoked = true;
        key.rotate(new, Timestamp(1), DAYS_90);
        assert_eq!(key.accepts(&old, Timestamp(1)), None);
        assert_eq!(key.accepts(&new, Timestamp(1)), None);
    }
}
