//! Key devices: the trait that every one of them implements, and what its operations speak of.
//!
//! A device says by its [`Capabilities`] what it can do; what it lacks fails with [`KeyError::Unsupported`] and is never emulated
//! behind the caller's back. Everything that a device seals names the device, so that a store carried to another machine is
//! refused by name and not by a mysterious authentication failure.
//!
//! * [`software`]: a file, for development and evaluation;
//! * [`tpm2`]: a TPM 2.0 over `/dev/tpmrm0` or a simulator's socket;
//! * [`pkcs11`]: an HSM, whose vendor's module lives in a process of its own (`appliance/pkcs11`).
//!
//! One conformance suite runs against all of them; its table is `hal/CONFORMANCE.md`.

mod attestation;
mod capabilities;
mod der;
mod error;
pub mod pkcs11;
mod policy;
mod public;
pub mod software;
pub mod tpm2;

pub use attestation::{Attestation, CertifiedCounter, DeviceTime};
pub use capabilities::{Capabilities, DeviceIdentity, DeviceKind};
pub use error::KeyError;
pub use policy::{Binding, PcrApproval, PcrSelection, PcrValues, SealPolicy, Unlock};
pub use public::PublicKey;
pub use redan_types::{Algorithm, OaepHash, Operation, Scheme};

use redan_types::{KeyId, SecretBytes};
use std::fmt;

/// A place where private keys live and are used without leaving it.
///
/// One value is shared by all threads of the vault; an implementation with one session to its hardware queues the callers
/// itself. Every call is bounded in time. `sign` of the software device is on the path of TLS handshakes: it waits neither for a
/// key being made nor for a disk.
///
/// Methods with a body are what few devices offer; the body says so.
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

    /// Keeps a key that was made elsewhere, given as PKCS#8 (RFC 5958), AES as its 32 bytes; durable when this returns. A key that
    /// is already there stays, and its identifier is returned.
    ///
    /// # Errors
    /// The key is not of the algorithm or is malformed; the device refuses imports or could not keep the key.
    fn import(&self, algorithm: Algorithm, key: &SecretBytes) -> Result<KeyId, KeyError>;

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

    /// What a key is.
    ///
    /// # Errors
    /// There is no such key, or the device does not answer.
    fn algorithm(&self, key: KeyId) -> Result<Algorithm, KeyError>;

    /// The public half of a key.
    ///
    /// # Errors
    /// There is no such key, it has no public half, or the device does not answer.
    fn public_key(&self, key: KeyId) -> Result<PublicKey, KeyError>;

    /// Signs `message` as [`KeyDevice::sign_with`] does under the scheme of the key's algorithm ([`Algorithm::scheme`]).
    ///
    /// # Errors
    /// As [`KeyDevice::sign_with`].
    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let algorithm = self.algorithm(key)?;
        match algorithm.scheme() {
            Some(scheme) => self.sign_with(key, scheme, message),
            None => Err(KeyError::Unfit {
                key,
                algorithm,
                operation: "sign",
            }),
        }
    }

    /// Signs `message`, hashed as the scheme says: ECDSA as the DER of RFC 3279 section 2.2.3, Ed25519 as the 64 bytes of
    /// RFC 8032, RSA as long as its modulus.
    ///
    /// # Errors
    /// There is no such key, it cannot sign so, or the device does not answer.
    fn sign_with(&self, key: KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError>;

    /// Checks a signature of one of the device's keys.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where it does not verify; there is no such key, or the device does not answer.
    fn verify(&self, key: KeyId, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError>;

    /// Agrees with the holder of `peer`: the x coordinate of the common point (SP 800-56A section 5.7.1.2), from which the caller
    /// derives keys.
    ///
    /// # Errors
    /// There is no such key, `peer` is of another curve or not on it, or the device does not answer.
    fn agree(&self, key: KeyId, peer: &PublicKey) -> Result<SecretBytes, KeyError>;

    /// Decrypts what somebody encrypted for an RSA key with OAEP and an empty label ([`PublicKey::encrypt`]).
    ///
    /// # Errors
    /// [`KeyError::Ciphertext`] where it does not decrypt; there is no such key, or the device does not answer.
    fn decrypt(&self, key: KeyId, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyError>;

    /// Encrypts data under an AES key with AES-256-GCM (SP 800-38D): 12 bytes of random nonce, the ciphertext, 16 bytes of tag.
    /// `context` is authenticated with it.
    ///
    /// # Errors
    /// There is no such key, or the device does not answer.
    fn encrypt_data(&self, key: KeyId, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let _ = (key, context, plaintext);
        Err(self.lacks(Operation::EncryptData))
    }

    /// Decrypts what [`KeyDevice::encrypt_data`] made.
    ///
    /// # Errors
    /// [`KeyError::Ciphertext`] where it was altered or is for another context or key.
    fn decrypt_data(&self, key: KeyId, context: &[u8], ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        let _ = (key, context, ciphertext);
        Err(self.lacks(Operation::EncryptData))
    }

    /// Wraps a key of at most [`Capabilities::seal_limit`] bytes under one of the device's AES keys, for `context` only. The form
    /// is the device's own.
    ///
    /// # Errors
    /// There is no such key, the one to be wrapped is too long, or the device does not answer.
    fn wrap_key(&self, key: KeyId, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError>;

    /// Unwraps what [`KeyDevice::wrap_key`] made.
    ///
    /// # Errors
    /// [`KeyError::Ciphertext`] where it was altered or is for another context or key.
    fn unwrap_key(&self, key: KeyId, context: &[u8], wrapped: &[u8]) -> Result<SecretBytes, KeyError>;

    /// Encrypts a short secret so that this device alone can open it again, only for the same `context`, and only as `policy` says.
    ///
    /// # Errors
    /// The device lacks what the policy asks for; the secret is longer than the device takes; the device does not answer.
    fn seal_to(&self, context: &[u8], secret: &SecretBytes, policy: &SealPolicy) -> Result<Vec<u8>, KeyError>;

    /// Opens what [`KeyDevice::seal_to`] made.
    ///
    /// # Errors
    /// [`KeyError::OtherDevice`] where another device sealed it, naming both; [`KeyError::OtherState`] and
    /// [`KeyError::NotApproved`], naming the PCRs; [`KeyError::Pin`] and [`KeyError::LockedOut`]; [`KeyError::Unsealable`] where it
    /// was altered or sealed for another context.
    fn unseal_with(&self, context: &[u8], sealed: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, KeyError>;

    /// Seals to this device and nothing else.
    ///
    /// # Errors
    /// As [`KeyDevice::seal_to`].
    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        self.seal_to(context, secret, &SealPolicy::default())
    }

    /// Opens what was sealed without a PIN and without an approval.
    ///
    /// # Errors
    /// As [`KeyDevice::unseal_with`].
    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, KeyError> {
        self.unseal_with(context, sealed, &Unlock::default())
    }

    /// The monotonic counter's value; 0 before the first increment, which may take it to any higher value.
    ///
    /// # Errors
    /// The device has no counter, [`KeyError::CounterLost`], or the device does not answer.
    fn counter(&self) -> Result<u64, KeyError> {
        Err(self.lacks(Operation::Count))
    }

    /// Adds one to the monotonic counter and returns the new value; durable when this returns.
    ///
    /// # Errors
    /// As [`KeyDevice::counter`]. After [`KeyError::Gone`] and [`KeyError::Silent`] the counter may have been counted up.
    fn increment(&self) -> Result<u64, KeyError> {
        Err(self.lacks(Operation::Count))
    }

    /// A statement signed by the device: its counter has this value, and this is the `subject` that the caller gave it (the hash
    /// of a checkpoint). [`Attestation::counter`] reads it.
    ///
    /// # Errors
    /// As [`KeyDevice::counter`].
    fn certify_counter(&self, subject: &[u8; 32]) -> Result<Attestation, KeyError> {
        let _ = subject;
        Err(self.lacks(Operation::CertifyCounter))
    }

    /// The public half of the key that signs what the device says about itself: to be written down when the appliance is set up,
    /// for whoever checks [`Attestation`]s later.
    ///
    /// # Errors
    /// The device signs no such statements, or does not answer.
    fn attestation_key(&self) -> Result<PublicKey, KeyError> {
        Err(self.lacks(Operation::Quote))
    }

    /// Extends a PCR of the SHA-256 bank: it becomes the hash of its old value and `digest`.
    ///
    /// # Errors
    /// The device has no PCRs, not this one, or does not answer.
    fn extend(&self, pcr: u8, digest: &[u8; 32]) -> Result<(), KeyError> {
        let _ = (pcr, digest);
        Err(self.lacks(Operation::Extend))
    }

    /// What the PCRs of the SHA-256 bank say.
    ///
    /// # Errors
    /// The device has no PCRs or does not answer.
    fn pcrs(&self, selection: PcrSelection) -> Result<PcrValues, KeyError> {
        let _ = selection;
        Err(self.lacks(Operation::Quote))
    }

    /// A statement signed by the device about its PCRs; `nonce`, of at most 32 bytes, shows that it is fresh.
    /// [`Attestation::quote`] reads it.
    ///
    /// # Errors
    /// The device has no PCRs or does not answer.
    fn quote(&self, selection: PcrSelection, nonce: &[u8]) -> Result<Attestation, KeyError> {
        let _ = (selection, nonce);
        Err(self.lacks(Operation::Quote))
    }

    /// The error that says that the device cannot do this.
    fn lacks(&self, operation: Operation) -> KeyError {
        KeyError::Unsupported {
            device: *self.identity(),
            operation,
        }
    }
}

/// Which device sealed this; `None` where it is nothing that a device sealed.
#[must_use]
pub fn sealed_by(sealed: &[u8]) -> Option<DeviceIdentity> {
    // Every device begins what it seals with a version and its identity.
    postcard::take_from_bytes::<(u8, DeviceIdentity)>(sealed)
        .ok()
        .map(|((_, by), _)| by)
}
