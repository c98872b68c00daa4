//! Keys that applications use through the vault: what may be asked of them. The keys themselves never cross a wire.

use redan_types::{KeyName, SecretBytes, Timestamp};
use serde::{Deserialize, Serialize};

/// What a key does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum KeyKind {
    /// Encrypts: XAES-256-GCM.
    Aes256,
    /// Signs: Ed25519 (RFC 8032).
    Ed25519,
    /// Authenticates: HMAC-SHA-256 (RFC 2104).
    Hmac,
    /// Signs: ECDSA on P-256 with SHA-256 (FIPS 186-5).
    P256,
}

/// One operation with a key, on many items at once. Each item has its own answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum TransitRequest {
    /// Encrypt each.
    Encrypt(Vec<Plain>),
    /// Decrypt each.
    Decrypt(Vec<Sealed>),
    /// Decrypt each and encrypt it with the newest version; the plaintext stays in the vault.
    Rewrap(Vec<Sealed>),
    /// A new key for the application's own use, sealed by this one.
    DataKey {
        /// Bound to the sealed key.
        context: Vec<u8>,
        /// Whether the key itself is in the answer too.
        reveal: bool,
    },
    /// Sign each, or authenticate it with an HMAC.
    Sign(Vec<SecretBytes>),
    /// Check each.
    Verify(Vec<Signed>),
    /// The key's versions and its public halves.
    Describe,
    /// Make a new version, which is used from now on.
    Rotate,
    /// Versions below this one are destroyed, in all their copies; what they sealed is lost.
    Trim {
        /// The oldest that stays.
        oldest: u32,
    },
}

/// To be encrypted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Plain {
    /// The content.
    pub plaintext: SecretBytes,
    /// Must be given again to decrypt it: the row, the tenant, the column.
    pub context: Vec<u8>,
}

/// To be decrypted.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Sealed {
    /// As it was given out.
    pub ciphertext: String,
    /// As it was given when it was encrypted.
    pub context: Vec<u8>,
}

/// To be checked.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Signed {
    /// What was signed.
    pub input: SecretBytes,
    /// As it was given out.
    pub signature: String,
}

/// The answer; items in the order of the request.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum TransitReply {
    /// Ciphertexts, signatures or HMACs; an item's own error is for the person who asked.
    Texts(Vec<Result<String, String>>),
    /// To `Decrypt`.
    Plaintexts(Vec<Result<SecretBytes, String>>),
    /// To `DataKey`.
    DataKey {
        /// For safe keeping.
        sealed: String,
        /// For use now, where it was asked for.
        key: Option<SecretBytes>,
    },
    /// To `Verify`.
    Verified(Vec<bool>),
    /// To `Describe`, `Rotate` and `Trim`.
    Key(KeyDescription),
    /// Over the rate: ask again then.
    TooMany {
        /// Milliseconds to wait.
        wait: u64,
    },
    /// The caller's roles do not allow it, or there is no such key: the two are told apart for nobody.
    Forbidden,
    /// Refused, and why, for the person who asked.
    Refused(String),
}

/// What is known of a key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KeyDescription {
    /// Its name.
    pub name: KeyName,
    /// What it does.
    pub kind: KeyKind,
    /// Whether the same plaintext and context give the same ciphertext.
    pub convergent: bool,
    /// Its versions, oldest first.
    pub versions: Vec<KeyVersion>,
    /// Operations since the vault's start.
    pub used: u64,
}

/// A version of a key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KeyVersion {
    /// Its number.
    pub number: u32,
    /// Made when.
    pub created: Timestamp,
    /// The `SubjectPublicKeyInfo` in DER, of a key that signs.
    pub public: Option<Vec<u8>>,
}

/// Who may do what with a key: one row of the table in the configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct KeyRules {
    /// Which key.
    pub name: KeyName,
    /// What it does; never changes.
    pub kind: KeyKind,
    /// Whether the same plaintext and context give the same ciphertext; never changes.
    pub convergent: bool,
    /// Roles that may encrypt, rewrap and make data keys.
    pub encrypt: Vec<redan_types::RoleName>,
    /// Roles that may decrypt, and see new data keys.
    pub decrypt: Vec<redan_types::RoleName>,
    /// Roles that may sign.
    pub sign: Vec<redan_types::RoleName>,
    /// Roles that may verify.
    pub verify: Vec<redan_types::RoleName>,
    /// Roles that may rotate and trim.
    pub manage: Vec<redan_types::RoleName>,
    /// Items a minute for each caller.
    pub rate: u32,
    /// A new version is made by itself after so many seconds.
    pub rotate_after: Option<u64>,
}
