//! Key devices: the trait that every one of them implements, and what its operations speak of.
//!
//! A device says by its [`Capabilities`] what it can do; what it lacks fails with [`KeyError::Unsupported`] and is never emulated
//! behind the caller's back. Everything that a device seals names the device, so that a store carried to another machine is
//! refused by name and not by a mysterious authentication failure.

mod error;
pub mod software;

pub use error::KeyError;

use redan_types::{KeyId, SecretBytes};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A place where private keys live and are used without leaving it.
///
/// One value is shared by all threads of the vault; an implementation with one session to its hardware queues the callers
/// itself. `sign` is on the path of TLS handshakes: it waits neither for a key being made nor for a disk.
pub trait KeyDevice: fmt::Debug + Send + Sync {
    /// Which device this is. The same hardware (or software key file) answers the same for all its life.
    fn identity(&self) -> &DeviceIdentity;

    /// What this device can do.
    fn capabilities(&self) -> &Capabilities;

    /// Fills `buffer` from the device's random number generator.
    ///
    /// # Errors
    /// The device does not answer or refuses.
    fn random(&self, buffer: &mut [u8]) -> Result<(), KeyError>;

    /// Makes a key and keeps it; durable when this returns.
    ///
    /// # Errors
    /// The device lacks the algorithm, is full, or could not keep the key.
    fn generate(&self, algorithm: Algorithm) -> Result<KeyId, KeyError>;

    /// Keeps a key that was made elsewhere, given as PKCS#8 (RFC 5958); durable when this returns. A key that is already there
    /// stays, and its identifier is returned.
    ///
    /// # Errors
    /// The key is not of the algorithm or is malformed; the device refuses imports or could not keep the key.
    fn import(&self, algorithm: Algorithm, pkcs8: &SecretBytes) -> Result<KeyId, KeyError>;

    /// Destroys a key; gone for good when this returns.
    ///
    /// # Errors
    /// There is no such key, or the device could not destroy it.
    fn destroy(&self, key: KeyId) -> Result<(), KeyError>;

    /// The keys that the device keeps, in order of their identifiers.
    ///
    /// # Errors
    /// The device does not answer.
    fn keys(&self) -> Result<Vec<KeyId>, KeyError>;

    /// The public half of a key.
    ///
    /// # Errors
    /// There is no such key, or the device does not answer.
    fn public_key(&self, key: KeyId) -> Result<PublicKey, KeyError>;

    /// Signs `message` (hashed as the key's algorithm prescribes): ECDSA as the DER of RFC 3279 section 2.2.3, Ed25519 as the 64
    /// bytes of RFC 8032.
    ///
    /// # Errors
    /// There is no such key, or the device does not answer.
    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Encrypts a short secret so that this device alone can open it again, and only for the same `context`.
    ///
    /// # Errors
    /// The secret is longer than the device takes, or the device does not answer.
    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError>;

    /// Opens what [`KeyDevice::seal`] made.
    ///
    /// # Errors
    /// [`KeyError::OtherDevice`] where another device sealed it, naming both; [`KeyError::Unsealable`] where it was altered or
    /// sealed for another context.
    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, KeyError>;

    /// The monotonic counter's value; 0 before the first increment.
    ///
    /// # Errors
    /// The device has no counter or does not answer.
    fn counter(&self) -> Result<u64, KeyError>;

    /// Adds one to the monotonic counter and returns the new value; durable when this returns.
    ///
    /// # Errors
    /// The device has no counter, the counter is worn out, or the device does not answer.
    fn increment(&self) -> Result<u64, KeyError>;
}

/// What a key is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256 (FIPS 186-5).
    EcdsaP256,
    /// Ed25519 (RFC 8032).
    Ed25519,
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Ed25519 => "Ed25519",
        })
    }
}

/// Which kind of device, and which one of its kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct DeviceIdentity {
    /// The kind.
    pub kind: DeviceKind,
    /// Which one: random for software, derived from an unchangeable key for hardware.
    pub id: [u8; 16],
}

impl fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A kind of key device.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A file. For development and evaluation: whoever reads the file has the keys.
    Software,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Software => f.write_str("software keys (development and evaluation only)"),
        }
    }
}

/// What a device can do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// The algorithms of its keys.
    pub algorithms: &'static [Algorithm],
    /// Whether keys made elsewhere can be brought in.
    pub import: bool,
    /// Whether private keys are kept from whoever owns the disk and the memory.
    pub protects_keys: bool,
    /// Whether the counter survives the restoring of an old disk, so that a rollback shows.
    pub counter_survives_restore: bool,
    /// The longest secret that it seals, in bytes.
    pub seal_limit: usize,
}

/// The public half of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The raw key: the uncompressed point (65 bytes) for P-256, 32 bytes for Ed25519.
    pub raw: Vec<u8>,
}

impl PublicKey {
    /// The `SubjectPublicKeyInfo` in DER (RFC 5480 section 2, RFC 8410 section 4).
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        // The bytes before the key are the same for every key of the algorithm: lengths are fixed, so there is nothing to encode.
        let head: &[u8] = match self.algorithm {
            Algorithm::EcdsaP256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
            Algorithm::Ed25519 => &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00],
        };
        [head, &self.raw].concat()
    }

    /// The key's identifier: the first half of the SHA-256 of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &self.spki());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        KeyId(id)
    }
}
