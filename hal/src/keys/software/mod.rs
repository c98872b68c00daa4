//! The software key device: keys in a file, for development and evaluation.
//!
//! Whoever reads `device.key` has every key in it; that is why the device's identity says what it is good for. Otherwise it keeps
//! the promises of the trait: what it returns is durable, a damaged file is refused, another device's seal is refused by name. Its
//! counter never goes back by itself, but an old copy of the file brings an old counter: its capabilities say so. It has no PCRs
//! and counts no guesses, so it seals to nothing but itself.

pub(in crate::keys) mod file;
mod key;
#[cfg(test)]
mod tests;

pub use key::SoftwareKey;

use super::{
    Algorithm, Binding, Capabilities, DeviceIdentity, DeviceKind, KeyDevice, KeyError, OaepHash, Operation, PublicKey,
    Scheme, SealPolicy, Unlock,
};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::{hmac, rand};
use file::{Kept, MASTER_LENGTH, StoredKey};
use key::Usable;
use redan_types::{KeyId, SecretBytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The key device in a file.
pub struct SoftwareDevice {
    identity: DeviceIdentity,
    capabilities: Capabilities,
    path: PathBuf,
    seal_key: RandomizedNonceKey,
    /// What the file holds. Held while the file is written; never taken by `sign`.
    kept: Mutex<Kept>,
    /// The keys ready for use. Lock order: `kept`, then `usable`, which is only held for a look-up or an insertion.
    usable: RwLock<BTreeMap<KeyId, Arc<Usable>>>,
}

impl SoftwareDevice {
    /// The name of the device's file within its folder.
    pub const FILE: &str = "device.key";

    /// Opens the device whose file lies in `folder`, or makes a new one where there is none. The caller holds the lock on the
    /// folder: two processes with one device would lose each other's keys.
    ///
    /// # Errors
    /// The file is corrupt, of a newer format, readable by others, or cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(Self::FILE);
        match file::read(&path)? {
            Some(kept) => Self::with(path, kept),
            None => {
                let mut id = [0; 16];
                let mut master = vec![0; MASTER_LENGTH];
                rand::fill(&mut id).map_err(|_| KeyError::Library("give random bytes"))?;
                rand::fill(&mut master).map_err(|_| KeyError::Library("give random bytes"))?;
                let kept = Kept {
                    id,
                    master: SecretBytes::new(master),
                    counter: 0,
                    keys: Vec::new(),
                };
                file::write(&path, &kept)?;
                Self::with(path, kept)
            }
        }
    }

    /// Opens an existing device and never makes one.
    ///
    /// # Errors
    /// As [`SoftwareDevice::open`], and where there is no device.
    pub fn open_existing(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(Self::FILE);
        let kept = file::read(&path)?.ok_or_else(|| KeyError::file("open", &path)(ErrorKind::NotFound.into()))?;
        Self::with(path, kept)
    }

    fn with(path: PathBuf, kept: Kept) -> Result<Self, KeyError> {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, kept.master.expose()), SEAL_LABEL);
        let seal_key = RandomizedNonceKey::new(&AES_256_GCM, key.as_ref())
            .map_err(|_| KeyError::Library("make the sealing key"))?;
        let mut usable = BTreeMap::new();
        for stored in &kept.keys {
            let ready = Usable::parse(stored.algorithm, &stored.key).map_err(|_| KeyError::Corrupt {
                path: path.clone(),
                what: "a key in it is malformed",
            })?;
            usable.insert(ready.id(), Arc::new(ready));
        }
        Ok(Self {
            identity: DeviceIdentity {
                kind: DeviceKind::Software,
                id: kept.id,
            },
            capabilities: Capabilities {
                operations: Operation::all()
                    .into_iter()
                    .filter(|operation| !lacks(*operation))
                    .collect(),
                protects_keys: false,
                counter_survives_restore: false,
                seal_limit: SEAL_LIMIT,
            },
            path,
            seal_key,
            kept: Mutex::new(kept),
            usable: RwLock::new(usable),
        })
    }

    /// Changes what the file holds: written first, then taken over, so that a failed write changes nothing.
    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> Result<T, KeyError> {
        let mut kept = self.locked();
        let mut next = kept.clone();
        let answer = change(&mut next);
        file::write(&self.path, &next)?;
        *kept = next;
        Ok(answer)
    }

    fn keep(&self, algorithm: Algorithm, key: SecretBytes) -> Result<KeyId, KeyError> {
        let ready = Usable::parse(algorithm, &key)?;
        let id = ready.id();
        if self.find(id).is_ok() {
            return Ok(id);
        }
        self.change(|kept| kept.keys.push(StoredKey { algorithm, key }))?;
        self.usable
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::new(ready));
        Ok(id)
    }

    fn find(&self, key: KeyId) -> Result<Arc<Usable>, KeyError> {
        let usable = self.usable.read().unwrap_or_else(PoisonError::into_inner);
        usable.get(&key).cloned().ok_or(KeyError::NoSuchKey(key))
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        // A poisoned lock is sound: `change` replaces the value in one assignment or not at all.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bound(&self, context: &[u8]) -> Vec<u8> {
        [SEAL_LABEL, &self.identity.id, context].concat()
    }
}

impl KeyDevice for SoftwareDevice {
    fn identity(&self) -> &DeviceIdentity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), KeyError> {
        rand::fill(buffer).map_err(|_| KeyError::Library("give random bytes"))
    }

    fn generate(&self, algorithm: Algorithm) -> Result<KeyId, KeyError> {
        self.keep(algorithm, SoftwareKey::generate(algorithm)?)
    }

    fn import(&self, algorithm: Algorithm, key: &SecretBytes) -> Result<KeyId, KeyError> {
        self.keep(algorithm, key.clone())
    }

    fn destroy(&self, key: KeyId) -> Result<(), KeyError> {
        self.find(key)?;
        self.change(|kept| {
            kept.keys.retain(|stored| {
                Usable::parse(stored.algorithm, &stored.key).map_or(true, |usable| usable.id() != key)
            });
        })?;
        self.usable.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(())
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyError> {
        let usable = self.usable.read().unwrap_or_else(PoisonError::into_inner);
        Ok(usable.keys().copied().collect())
    }

    fn algorithm(&self, key: KeyId) -> Result<Algorithm, KeyError> {
        Ok(self.find(key)?.algorithm())
    }

    fn public_key(&self, key: KeyId) -> Result<PublicKey, KeyError> {
        self.find(key)?.public().cloned()
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.find(key)?.sign(message)
    }

    fn sign_with(&self, key: KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.find(key)?.sign_with(scheme, message)
    }

    fn verify(&self, key: KeyId, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.find(key)?.public()?.verify(scheme, message, signature)
    }

    fn agree(&self, key: KeyId, peer: &PublicKey) -> Result<SecretBytes, KeyError> {
        self.find(key)?.agree(peer)
    }

    fn decrypt(&self, key: KeyId, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        self.find(key)?.decrypt(hash, ciphertext)
    }

    fn encrypt_data(&self, key: KeyId, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.find(key)?.encrypt_data(&[DATA_LABEL, context].concat(), plaintext)
    }

    fn decrypt_data(&self, key: KeyId, context: &[u8], ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        self.find(key)?
            .decrypt_data(&[DATA_LABEL, context].concat(), ciphertext)
    }

    fn wrap_key(&self, key: KeyId, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        fits(secret)?;
        self.find(key)?
            .encrypt_data(&[WRAP_LABEL, context].concat(), secret.expose())
    }

    fn unwrap_key(&self, key: KeyId, context: &[u8], wrapped: &[u8]) -> Result<SecretBytes, KeyError> {
        self.find(key)?.decrypt_data(&[WRAP_LABEL, context].concat(), wrapped)
    }

    fn seal_to(&self, context: &[u8], secret: &SecretBytes, policy: &SealPolicy) -> Result<Vec<u8>, KeyError> {
        if policy.pin.is_some() {
            return Err(self.lacks(Operation::SealToPin));
        }
        match policy.binding {
            Binding::Device => {}
            Binding::Pcrs(_) => return Err(self.lacks(Operation::SealToPcrs)),
            Binding::Approved { .. } => return Err(self.lacks(Operation::SealToApproval)),
        }
        fits(secret)?;
        let mut ciphertext = secret.expose().to_vec();
        let nonce = self
            .seal_key
            .seal_in_place_append_tag(Aad::from(self.bound(context)), &mut ciphertext)
            .map_err(|_| KeyError::Library("seal"))?;
        let sealed = Sealed {
            version: SEAL_VERSION,
            by: self.identity,
            nonce: *nonce.as_ref(),
            ciphertext,
        };
        postcard::to_stdvec(&sealed).map_err(|_| KeyError::Library("encode a sealed secret"))
    }

    fn unseal_with(&self, context: &[u8], sealed: &[u8], _: &Unlock<'_>) -> Result<SecretBytes, KeyError> {
        let by = super::sealed_by(sealed).ok_or(KeyError::Unsealable)?;
        if by != self.identity {
            return Err(KeyError::OtherDevice {
                sealed_by: by,
                present: self.identity,
            });
        }
        let sealed: Sealed = postcard::from_bytes(sealed).map_err(|_| KeyError::Unsealable)?;
        if sealed.version != SEAL_VERSION {
            return Err(KeyError::Unsealable);
        }
        let mut buffer = sealed.ciphertext;
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let length = self
            .seal_key
            .open_in_place(nonce, Aad::from(self.bound(context)), &mut buffer)
            .map_err(|_| KeyError::Unsealable)?
            .len();
        buffer.truncate(length);
        Ok(SecretBytes::new(buffer))
    }

    fn counter(&self) -> Result<u64, KeyError> {
        Ok(self.locked().counter)
    }

    fn increment(&self) -> Result<u64, KeyError> {
        self.change(|kept| {
            kept.counter = kept.counter.saturating_add(1);
            kept.counter
        })
    }
}

impl std::fmt::Debug for SoftwareDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareDevice")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

#[derive(Deserialize, Serialize)]
struct Sealed {
    version: u8,
    by: DeviceIdentity,
    nonce: [u8; NONCE_LEN],
    ciphertext: Vec<u8>,
}

const fn lacks(operation: Operation) -> bool {
    matches!(
        operation,
        Operation::SealToPin
            | Operation::SealToPcrs
            | Operation::SealToApproval
            | Operation::CertifyCounter
            | Operation::Extend
            | Operation::Quote
    )
}

fn fits(secret: &SecretBytes) -> Result<(), KeyError> {
    let length = secret.expose().len();
    if length > SEAL_LIMIT {
        return Err(KeyError::TooLong {
            length,
            limit: SEAL_LIMIT,
        });
    }
    Ok(())
}

const SEAL_VERSION: u8 = 1;
const SEAL_LABEL: &[u8] = b"redan software device seal v1";
const DATA_LABEL: &[u8] = b"redan data v1\0";
const WRAP_LABEL: &[u8] = b"redan wrapped key v1\0";
/// A sealed secret is a key, perhaps with a policy beside it; a TPM takes about this much.
const SEAL_LIMIT: usize = 128;
