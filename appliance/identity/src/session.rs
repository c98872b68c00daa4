//! Sessions: a token of 32 random bytes, and an end after idleness and after a while in any case.

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

/// The length of a token in characters: 32 bytes in base64url without padding.
pub const TOKEN_LENGTH: usize = 43;

/// A session's token, as it stands in the cookie. Not printed, wiped when dropped.
#[derive(Clone, Debug)]
pub struct SessionToken(SecretString);

impl SessionToken {
    /// A new token.
    ///
    /// # Errors
    /// [`NoRandomness`] where the kernel gives none.
    pub fn generate() -> Result<Self, NoRandomness> {
        Ok(Self(SecretString::new(
            URL_SAFE_NO_PAD.encode(random::<32>()?.as_slice()),
        )))
    }

    /// Reads a token as it was presented; `None` where it cannot be one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.len() != TOKEN_LENGTH {
            return None;
        }
        URL_SAFE_NO_PAD.decode(text).map(Zeroizing::new).ok()?;
        Some(Self(SecretString::new(text.to_owned())))
    }

    /// The text, for the cookie.
    #[must_use]
    pub const fn secret(&self) -> &SecretString {
        &self.0
    }

    /// What is stored and looked up.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.0.expose()).into())
    }
}

/// The SHA-256 of a session's token. Comparing takes the same time whatever the bytes.
#[derive(Clone, Copy, Deserialize, Eq, Ord, PartialOrd, Serialize)]
pub struct TokenHash(pub [u8; 32]);

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Hash for TokenHash {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

/// How long sessions live.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionRules {
    /// Ended after this time without use.
    pub idle: Duration,
    /// Ended after this time in any case.
    pub absolute: Duration,
}

impl Default for SessionRules {
    /// 30 minutes idle, 12 hours in any case.
    fn default() -> Self {
        Self {
            idle: Duration::from_mins(30),
            absolute: Duration::from_hours(12),
        }
    }
}

/// When a session was made and used last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SessionTimes {
    /// Made.
    pub created: Timestamp,
    /// Used last.
    pub used: Timestamp,
}

impl SessionTimes {
    /// A session made now.
    #[must_use]
    pub const fn begin(now: Timestamp) -> Self {
        Self {
            created: now,
            used: now,
        }
    }

    /// When it ends if it is not used again.
    #[must_use]
    pub fn idle_until(&self, rules: &SessionRules) -> Timestamp {
        self.used.after(rules.idle).min(self.until(rules))
    }

    /// When it ends in any case.
    #[must_use]
    pub fn until(&self, rules: &SessionRules) -> Timestamp {
        self.created.after(rules.absolute)
    }

    /// Whether it is alive. A clock that was set back before the session began ends it: its age cannot be told any more.
    #[must_use]
    pub fn is_alive(&self, rules: &SessionRules, now: Timestamp) -> bool {
        self.created <= now && now < self.idle_until(rules)
    }

    /// Counts a use, where the session is alive; says whether it is.
    #[must_use]
    pub fn touch(&mut self, rules: &SessionRules, now: Timestamp) -> bool {
        let alive = self.is_alive(rules, now);
        if alive {
            self.used = self.used.max(now);
        }
        alive
    }
}

#[cfg(test)]
mod tests {
    use super::{SessionRules, SessionTimes, SessionToken};
    use redan_types::Timestamp;
    use std::time::Duration;

    #[test]
    fn a_token_reads_what_it_shows() {
        let token = SessionToken::generate().unwrap();
        assert_eq!(
            SessionToken::parse(token.secret().expose()).unwrap().hash(),
            token.hash()
        );
        assert!(SessionToken::parse("").is_none());
        assert!(SessionToken::parse(&"=".repeat(43)).is_none());
        assert!(SessionToken::parse(&format!("{}A", token.secret().expose())).is_none());
    }

    #[test]
    fn a_session_ends_when_idle() {
        let rules = SessionRules::default();
        let start = Timestamp(1_000_000_000);
        let mut session = SessionTimes::begin(start);
        assert!(session.touch(&rules, start.after(Duration::from_mins(29))));
        assert!(session.touch(&rules, start.after(Duration::from_mins(58))));
        assert!(!session.touch(&rules, start.after(Duration::from_mins(88))));
    }

    #[test]
    fn a_busy_session_ends_all_the_same() {
        let rules = SessionRules::default();
        let start = Timestamp(1_000_000_000);
        let mut session = SessionTimes::begin(start);
        for minute in (0..720).step_by(20) {
            assert!(session.touch(&rules, start.after(Duration::from_mins(minute))));
        }
        assert_eq!(session.idle_until(&rules), start.after(Duration::from_hours(12)));
        assert!(!session.touch(&rules, start.after(Duration::from_hours(12))));
    }

    #[test]
    fn a_clock_set_back_before_its_beginning_ends_a_session() {
        let rules = SessionRules::default();
        let session = SessionTimes::begin(Timestamp(1_000_000_000));
        assert!(!session.is_alive(&rules, Timestamp(999_999_999)));
    }
}
