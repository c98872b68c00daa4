//! Rules for passwords, and their hashes: argon2id (RFC 9106) in PHC string form.

use crate::weak::{Known, Weakness, weakness};
use crate::{NoRandomness, random};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use base64::Engine;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use redan_types::SecretString;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// The longest password, in bytes: what a person can use, and no work for the hash beyond it.
pub const MAX_BYTES: usize = 1024;

/// Memory of one hash in KiB, passes over it, lanes: the OWASP cheat sheet's first choice for argon2id with little memory.
const MEMORY: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
const SALT: usize = 16;
const OUTPUT: usize = 32;
/// Working memories that are kept for the next hash.
const KEPT: usize = 2;

/// What a new password must be.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PasswordRules {
    /// Least number of characters.
    pub min_length: u16,
    /// How many earlier passwords may not come back.
    pub history: u16,
}

impl Default for PasswordRules {
    /// 12 characters, the last 5 passwords.
    fn default() -> Self {
        Self {
            min_length: 12,
            history: 5,
        }
    }
}

/// Why a new password is refused, in words for the person who chose it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PasswordRefusal {
    /// One that the operators refuse, or little more.
    #[error("this password is on the list of those that nobody may have; {RIGHT}")]
    Common,
    /// It holds control characters.
    #[error("a password has no control characters")]
    Control,
    /// Beyond [`MAX_BYTES`].
    #[error("a password has at most {MAX_BYTES} bytes")]
    TooLong,
    /// Fewer characters than the rules ask for.
    #[error("a password has at least {0} characters")]
    TooShort(u16),
    /// Used before.
    #[error("this password was used before")]
    Used,
    /// Without the names that it holds it would be weak.
    #[error(
        "a password must not be built on the user's name, a host's or the product's: they count for nothing, and the rest is too easy to guess; {RIGHT}"
    )]
    Names,
    /// A pattern that is tried early.
    #[error(
        "this password is too easy to guess: a common word with digits or signs, steps on the keyboard, or a repetition; {RIGHT}"
    )]
    Weak,
}

/// What would be right.
const RIGHT: &str =
    "take three or more words that have nothing to do with each other, or let a password manager make one";

impl PasswordRules {
    /// Checks a new password against what a guesser knows; `earlier` are the user's hashes, the newest first, of which as many count
    /// as the rules remember. Each of them costs one hash.
    ///
    /// # Errors
    /// The first rule that the password breaks.
    pub fn check(
        &self,
        password: &SecretString,
        user: &str,
        known: &Known,
        earlier: &[PasswordHash],
        hasher: &Hasher,
    ) -> Result<(), PasswordRefusal> {
        let text = password.expose();
        if text.len() > MAX_BYTES {
            return Err(PasswordRefusal::TooLong);
        }
        if text.chars().any(char::is_control) {
            return Err(PasswordRefusal::Control);
        }
        if text.chars().count() < usize::from(self.min_length) {
            return Err(PasswordRefusal::TooShort(self.min_length));
        }
        if known.refuses(&Zeroizing::new(text.to_lowercase())) {
            return Err(PasswordRefusal::Common);
        }
        match weakness(text, user, known) {
            Some(Weakness::Names) => return Err(PasswordRefusal::Names),
            Some(Weakness::Pattern) => return Err(PasswordRefusal::Weak),
            None => {}
        }
        let used = earlier
            .iter()
            .take(usize::from(self.history))
            .any(|hash| hasher.verify(password, Some(hash)));
        if used { Err(PasswordRefusal::Used) } else { Ok(()) }
    }
}

/// A password's hash in PHC string form. Not printed: it can be attacked offline.
#[derive(Clone, Deserialize, Serialize)]
#[serde(transparent)]
pub struct PasswordHash(String);

impl PasswordHash {
    /// A hash as it was kept. Text that is none matches no password.
    #[must_use]
    pub const fn from_stored(text: String) -> Self {
        Self(text)
    }

    /// The PHC string.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PasswordHash(..)")
    }
}

/// Why no hash was made.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HashError {
    /// No salt.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// No memory for the hash, or the password is longer than [`MAX_BYTES`].
    #[error("the password cannot be hashed: no memory, or it is too long")]
    Hash,
}

/// Makes and verifies hashes.
pub struct Hasher {
    params: Params,
    // Each hash needs 19 MiB. Given back to the allocator they would not all come back from it, so that a guesser at the login could
    // make the process grow; as many are kept as hashes are made at a time.
    memories: Mutex<Vec<Vec<Block>>>,
    /// Verified against where there is no user, so that an answer takes as long as for one that exists.
    dummy: PasswordHash,
}

impl Hasher {
    /// A hasher. Costs one hash, for the one that unknown users are verified against.
    ///
    /// # Errors
    /// [`HashError`] where a hash cannot be made here at all.
    pub fn new() -> Result<Self, HashError> {
        let params = Params::new(MEMORY, PASSES, LANES, Some(OUTPUT)).map_err(|_| HashError::Hash)?;
        let mut hasher = Self {
            params,
            memories: Mutex::default(),
            dummy: PasswordHash(String::new()),
        };
        // Nobody knows a password with this hash: 32 random bytes that are forgotten here.
        hasher.dummy = hasher.hash_bytes(random::<32>()?.as_slice())?;
        Ok(hasher)
    }

    /// Hashes a password with a fresh salt.
    ///
    /// # Errors
    /// [`HashError`] without randomness or memory, or for a password beyond [`MAX_BYTES`].
    pub fn hash(&self, password: &SecretString) -> Result<PasswordHash, HashError> {
        if password.expose().len() > MAX_BYTES {
            return Err(HashError::Hash);
        }
        self.hash_bytes(password.expose().as_bytes())
    }

    /// Whether the password is the one of the hash. Without a hash (no such user) the answer is no, after the same work: what the
    /// caller does next must not depend on which of the two it was.
    #[must_use]
    pub fn verify(&self, password: &SecretString, hash: Option<&PasswordHash>) -> bool {
        let text = password.expose();
        // Too long a password is nobody's; the work is done with a part of it.
        let part = text.as_bytes().get(..MAX_BYTES);
        let known = hash.is_some() && part.is_none_or(|part| part.len() == text.len());
        let phc = hash.map_or(self.dummy.as_str(), PasswordHash::as_str);
        let matches = self.matches(part.unwrap_or(text.as_bytes()), phc);
        known && matches
    }

    /// Does the work of a verification, for a login that is refused before its password is looked at.
    pub fn dummy_verify(&self, password: &SecretString) {
        // The result is known to be no; it is the time that matters.
        let _ = self.verify(password, None);
    }

    fn hash_bytes(&self, password: &[u8]) -> Result<PasswordHash, HashError> {
        let salt = random::<SALT>()?;
        let output = self
            .derive(&self.params, password, salt.as_slice())
            .ok_or(HashError::Hash)?;
        let (salt, output) = (
            STANDARD_NO_PAD.encode(salt.as_slice()),
            STANDARD_NO_PAD.encode(&*output),
        );
        Ok(PasswordHash(format!(
            "$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}${salt}${output}"
        )))
    }

    fn matches(&self, password: &[u8], phc: &str) -> bool {
        let computed = Phc::parse(phc).and_then(|phc| {
            let output = self.derive(&phc.params, password, &phc.salt)?;
            Some(bool::from(output.ct_eq(&phc.output)))
        });
        computed.unwrap_or(false)
    }

    fn derive(&self, params: &Params, password: &[u8], salt: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let kept = self.memories.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let mut memory = kept.unwrap_or_default();
        memory.resize(params.block_count(), Block::default());
        let mut output = Zeroizing::new(vec![0; OUTPUT]);
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params.clone());
        let done = argon2.hash_password_into_with_memory(password, salt, &mut output, &mut memory);
        memory.iter_mut().for_each(Zeroize::zeroize);
        let mut memories = self.memories.lock().unwrap_or_else(PoisonError::into_inner);
        if memories.len() < KEPT {
            memories.push(memory);
        }
        done.ok().map(|()| output)
    }

    /// Whether the hash was made with less work than today's: to be made again at the next good login.
    #[must_use]
    pub fn is_outdated(&self, hash: &PasswordHash) -> bool {
        !hash
            .as_str()
            .starts_with(&format!("$argon2id$v=19$m={MEMORY},t={PASSES},p={LANES}$"))
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hasher(argon2id, {MEMORY} KiB, {PASSES} passes, {LANES} lane)")
    }
}

/// The parts of a PHC string with argon2id, version 19 (0x13).
struct Phc {
    params: Params,
    salt: Vec<u8>,
    output: Vec<u8>,
}

impl Phc {
    fn parse(text: &str) -> Option<Self> {
        let rest = text.strip_prefix("$argon2id$v=19$m=")?;
        let (memory, rest) = rest.split_once(",t=")?;
        let (passes, rest) = rest.split_once(",p=")?;
        let (lanes, rest) = rest.split_once('$')?;
        let (salt, output) = rest.split_once('$')?;
        let (memory, passes, lanes) = (memory.parse().ok()?, passes.parse().ok()?, lanes.parse().ok()?);
        // A record that asks for more than today's work was not made by this program.
        if memory > MEMORY || passes > PASSES || lanes > LANES {
            return None;
        }
        Some(Self {
            params: Params::new(memory, passes, lanes, Some(OUTPUT)).ok()?,
            salt: STANDARD_NO_PAD.decode(salt).ok()?,
            output: STANDARD_NO_PAD.decode(output).ok()?,
        })
    }
}

/// A one-time password: four groups of five characters, 100 bits, none of which is mistaken for another when read out.
///
/// # Errors
/// [`NoRandomness`] where the kernel gives none.
pub fn one_time() -> Result<SecretString, NoRandomness> {
    /// Crockford's base 32 in lower case: without i, l, o and u. 32 symbols divide 256, so that the remainder is unbiased.
    const SYMBOLS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
    let mut text = String::with_capacity(23);
    for (at, byte) in random::<20>()?.iter().enumerate() {
        if at > 0 && at % 5 == 0 {
            text.push('-');
        }
        let symbol = SYMBOLS.get(usize::from(byte % 32)).copied().unwrap_or(b'0');
        text.push(char::from(symbol));
    }
    Ok(SecretString::new(text))
}

#[cfg(test)]
mod tests {
    use super::{Hasher, MAX_BYTES, PasswordHash, PasswordRefusal, PasswordRules, one_time};
    use crate::weak::Known;
    use redan_types::SecretString;
    use std::time::Instant;

    fn secret(text: &str) -> SecretString {
        SecretString::new(text.to_owned())
    }

    fn check(password: &str) -> Result<(), PasswordRefusal> {
        let known = Known::new(["shop.example"], ["correct horse battery"]);
        PasswordRules::default().check(&secret(password), "Ann.Miller", &known, &[], &Hasher::new().unwrap())
    }

    #[test]
    fn a_password_verifies_against_its_hash_only() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash(&secret("a good password")).unwrap();
        assert!(
            hash.as_str().starts_with("$argon2id$v=19$m=19456,t=2,p=1$"),
            "{}",
            hash.as_str()
        );
        assert!(hasher.verify(&secret("a good password"), Some(&hash)));
        assert!(!hasher.verify(&secret("a good passwore"), Some(&hash)));
        assert!(!hasher.verify(&secret("a good password"), None));
        assert!(!hasher.is_outdated(&hash));
        assert!(hasher.is_outdated(&PasswordHash("$argon2id$v=19$m=8,t=1,p=1$x$y".into())));
        assert_ne!(hash.as_str(), hasher.hash(&secret("a good password")).unwrap().as_str());
    }

    #[test]
    fn a_damaged_hash_verifies_nothing() {
        let hasher = Hasher::new().unwrap();
        for damaged in ["", "$argon2id$", "$argon2id$v=19$m=19456,t=2,p=1$c2FsdHNhbHQ", "plain"] {
            assert!(!hasher.verify(&secret(damaged), Some(&PasswordHash(damaged.into()))));
        }
    }

    #[test]
    fn a_password_that_only_begins_like_a_long_one_is_another() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash(&secret(&"x".repeat(MAX_BYTES))).unwrap();
        assert!(hasher.verify(&secret(&"x".repeat(MAX_BYTES)), Some(&hash)));
        assert!(!hasher.verify(&secret(&"x".repeat(MAX_BYTES + 1)), Some(&hash)));
        assert!(hasher.hash(&secret(&"x".repeat(MAX_BYTES + 1))).is_err());
    }

    #[test]
    fn an_unknown_user_takes_the_same_work() {
        let hasher = Hasher::new().unwrap();
        let hash = hasher.hash(&secret("a good password")).unwrap();
        let took = |known: Option<&PasswordHash>| {
            let mut times: Vec<_> = (0..5)
                .map(|_| {
                    let start = Instant::now();
                    assert!(!hasher.verify(&secret("a wrong password"), known));
                    start.elapsed()
                })
                .collect();
            times.sort_unstable();
            times[0]
        };
        let (known, unknown) = (took(Some(&hash)), took(None));
        // The fastest of five, within a factor that a busy machine keeps and a skipped hash (a thousandth of the time) does not.
        assert!(
            unknown * 4 > known && known * 4 > unknown,
            "known {known:?}, unknown {unknown:?}"
        );
    }

    #[test]
    fn each_rule_refuses_what_it_is_for() {
        assert_eq!(check("elevenchars"), Err(PasswordRefusal::TooShort(12)));
        assert_eq!(
            check("éàü öäß ñçø"),
            Err(PasswordRefusal::TooShort(12)),
            "characters are counted, not bytes"
        );
        assert_eq!(check("correct HORSE battery!"), Err(PasswordRefusal::Common));
        assert_eq!(check("password1234"), Err(PasswordRefusal::Weak));
        assert_eq!(check("ann.miller likes"), Err(PasswordRefusal::Names));
        assert_eq!(check("ann.miller likes bees and tea"), Ok(()));
        assert_eq!(check("twelve chars\n"), Err(PasswordRefusal::Control));
        assert_eq!(check(&"x".repeat(MAX_BYTES + 1)), Err(PasswordRefusal::TooLong));
        assert_eq!(check("a good password"), Ok(()));
    }

    #[test]
    fn an_earlier_password_does_not_come_back_while_it_is_remembered() {
        let hasher = Hasher::new().unwrap();
        let earlier = ["the third password", "the second password", "the first password"];
        let earlier = earlier.map(|text| hasher.hash(&secret(text)).unwrap());
        let rules = PasswordRules {
            min_length: 12,
            history: 2,
        };
        let check = |text| rules.check(&secret(text), "ann", &Known::default(), &earlier, &hasher);
        assert_eq!(check("the second password"), Err(PasswordRefusal::Used));
        assert_eq!(check("the first password"), Ok(()));
    }

    #[test]
    fn a_one_time_password_is_readable_and_never_the_same() {
        let (one, other) = (one_time().unwrap(), one_time().unwrap());
        assert_ne!(one.expose(), other.expose());
        assert_eq!(one.expose().len(), 23);
        assert!(
            one.expose()
                .split('-')
                .all(|group| group.len() == 5 && !group.contains(['i', 'l', 'o', 'u']))
        );
        assert_eq!(check(one.expose()), Ok(()));
    }
}
