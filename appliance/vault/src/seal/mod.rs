//! The seal: what the vault opens its store with, and who can open that.
//!
//! The store key is encrypted under the seal's own key. That key is sealed by the key device (on a TPM: to the machine's state), so that
//! the vault opens by itself, and wrapped under a recovery, which is one key or Shamir shares in people's hands. Either can be
//! replaced without touching the store; so the store's keys can be rotated without calling people together.
//!
//! * `management`: what the console needs while the vault is sealed, outside of the store.
//! * `file`: what lies on disk; `share`, `shamir`: the recovery; `source`: how the key device is opened, again and again.
//!
//! It touches the file `seal` and the key device. `crate::service::room` decides when.

mod file;
pub(crate) mod management;
mod shamir;
mod share;
pub(crate) mod source;
#[cfg(test)]
mod tests;

pub(crate) use file::SealFile;
pub(crate) use share::Share;
pub(crate) use source::Source;

use crate::store::{Direct, NONCE_LENGTH, Sealing, StoreError, TAG_LENGTH, Xaes};
use redan_hal::keys::{DeviceIdentity, KeyDevice, KeyError};
use redan_hal::memory::Locked;
use redan_ipc::messages::seal::{RecoveryShape, RecoveryStatus, SealStatus, Unsealing};
use redan_types::{SecretBytes, SecretString, Timestamp};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use zeroize::Zeroizing;

/// The open seal.
pub(crate) struct Guard {
    state: PathBuf,
    key: Locked,
    device: Arc<dyn KeyDevice>,
    file: Mutex<SealFile>,
}

/// Why the seal does not open by itself.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum Closed {
    /// Somebody closed it.
    #[error("an operator sealed it")]
    Held,
    /// It is not sealed to a device.
    #[error("it is opened by people at each start")]
    Manual,
    /// The device is not there or does not open it.
    #[error("{0}")]
    Device(KeyError),
}

impl Closed {
    /// Whether it may open by itself a little later.
    pub(crate) const fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Device(
                KeyError::Busy { .. } | KeyError::Gone { .. } | KeyError::Reset { .. } | KeyError::Silent { .. }
            )
        )
    }
}

impl Guard {
    /// Makes a seal for a new store, or for one that was sealed by the device alone.
    pub(crate) fn make(state: &Path, source: &dyn Source, device: Arc<dyn KeyDevice>) -> Result<Self, StoreError> {
        let mut file = SealFile {
            id: [0; 16],
            held: false,
            automatic: None,
            recovery: None,
            recoveries: 0,
        };
        random(&*device, &mut file.id)?;
        let mut key = Locked::zeroed(file::KEY).map_err(|_| StoreError::Library("lock memory for the seal's key"))?;
        random(&*device, key.expose_mut())?;
        let (policy, to) = source.policy();
        file.seal_to(&*device, &policy, to, &key)?;
        file.write(state)?;
        Ok(Self {
            state: state.to_owned(),
            key,
            device,
            file: Mutex::new(file),
        })
    }

    /// Opens a seal with the device.
    pub(crate) fn open_by(
        state: &Path,
        file: &SealFile,
        source: &dyn Source,
        device: Arc<dyn KeyDevice>,
    ) -> Result<Self, Closed> {
        if file.held {
            return Err(Closed::Held);
        }
        match file.open_by(&*device, &source.unlock()) {
            None => Err(Closed::Manual),
            Some(Err(error)) => Err(Closed::Device(error)),
            Some(Ok(key)) => Ok(Self::opened(state, file, key, device)),
        }
    }

    /// A seal that the recovery opened.
    pub(crate) fn opened(state: &Path, file: &SealFile, key: Locked, device: Arc<dyn KeyDevice>) -> Self {
        Self {
            state: state.to_owned(),
            key,
            device,
            file: Mutex::new(file.clone()),
        }
    }

    /// Whether the device that is present opens it.
    pub(crate) fn opens_by_itself(&self) -> bool {
        let file = self.file();
        file.automatic
            .as_ref()
            .is_some_and(|automatic| automatic.device == *self.device.identity())
    }

    /// Keeps the vault closed from the next start on, or lets it open again.
    pub(crate) fn hold(&self, held: bool) -> Result<(), StoreError> {
        self.change(|file| {
            file.held = held;
            Ok(())
        })
    }

    /// Makes a recovery, or replaces the one there is.
    pub(crate) fn recover_by(&self, shape: RecoveryShape, now: Timestamp) -> Result<Vec<SecretString>, StoreError> {
        self.change(|file| file.recover_by(shape, &self.key, now, |buffer| random(&*self.device, buffer)))
    }

    /// Whether these shares open it.
    pub(crate) fn is_opened_with(&self, shares: &[Share]) -> bool {
        self.file().open_with(shares).is_some()
    }

    /// Seals it anew to the device and the machine's state, or leaves it to people.
    pub(crate) fn reseal(&self, source: &dyn Source, unsealing: Unsealing) -> Result<(), StoreError> {
        self.change(|file| match unsealing {
            Unsealing::Manual => {
                file.automatic = None;
                Ok(())
            }
            Unsealing::Automatic => {
                let (policy, to) = source.policy();
                file.seal_to(&*self.device, &policy, to, &self.key)
            }
        })
    }

    /// What it is now.
    pub(crate) fn file(&self) -> MutexGuard<'_, SealFile> {
        // A poisoned lock is sound: the file is replaced in one assignment after it is on disk.
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut SealFile) -> Result<T, KeyError>) -> Result<T, StoreError> {
        let mut file = self.file();
        let mut next = file.clone();
        let answer = change(&mut next)?;
        next.write(&self.state)?;
        *file = next;
        Ok(answer)
    }

    fn cipher(&self) -> Option<Xaes> {
        self.key.expose().try_into().ok().map(Xaes::new)
    }
}

impl Sealing for Guard {
    fn identity(&self) -> DeviceIdentity {
        *self.device.identity()
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), StoreError> {
        Ok(random(&*self.device, buffer)?)
    }

    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, StoreError> {
        let failed = StoreError::Library("seal the store key");
        let mut nonce = [0; NONCE_LENGTH];
        random(&*self.device, &mut nonce)?;
        // Encrypted in place: the secret is not left in freed memory.
        let mut sealed = Vec::with_capacity(FORM.len() + NONCE_LENGTH + secret.expose().len() + TAG_LENGTH);
        sealed.extend_from_slice(FORM);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(secret.expose());
        let (head, body) = sealed.split_at_mut(FORM.len() + NONCE_LENGTH);
        let tag = self
            .cipher()
            .and_then(|cipher| cipher.seal(&nonce, &[head, context].concat(), body))
            .ok_or(failed)?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    fn unseal(&self, sealed_by: DeviceIdentity, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, StoreError> {
        if self.is_outdated(sealed) {
            return Direct(&*self.device).unseal(sealed_by, context, sealed);
        }
        let open = || -> Option<SecretBytes> {
            let (content, tag) = sealed.split_last_chunk::<TAG_LENGTH>()?;
            let (head, body) = content.split_at_checked(FORM.len() + NONCE_LENGTH)?;
            let nonce = head.last_chunk()?;
            let mut secret = Zeroizing::new(body.to_vec());
            self.cipher()?
                .open(nonce, &[head, context].concat(), &mut secret, tag)?;
            Some(SecretBytes::new(std::mem::take(&mut *secret)))
        };
        open().ok_or(StoreError::Device(KeyError::Unsealable))
    }

    fn is_outdated(&self, sealed: &[u8]) -> bool {
        !sealed.starts_with(FORM)
    }
}

impl std::fmt::Debug for Guard {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Guard")
            .field("state", &self.state)
            .finish_non_exhaustive()
    }
}

/// Random bytes of the device and of the system together: neither alone knows them.
fn random(device: &dyn KeyDevice, buffer: &mut [u8]) -> Result<(), KeyError> {
    let mut mask = Zeroizing::new(vec![0; buffer.len()]);
    getrandom::fill(&mut mask).map_err(|_| KeyError::Library("give random bytes"))?;
    device.random(buffer)?;
    buffer
        .iter_mut()
        .zip(mask.iter())
        .for_each(|(byte, mask)| *byte ^= mask);
    Ok(())
}

/// What a seal says about itself to operators.
pub(crate) fn describe(
    file: Option<&SealFile>,
    sealed: Option<String>,
    device: Option<String>,
    gathered: usize,
) -> SealStatus {
    let automatic = file.and_then(|file| file.automatic.as_ref());
    let recovery = file
        .and_then(|file| file.recovery.as_ref())
        .map(|recovery| RecoveryStatus {
            shape: RecoveryShape {
                shares: recovery.shares,
                threshold: recovery.threshold,
            },
            generation: recovery.generation,
            made: recovery.made,
        });
    SealStatus {
        sealed,
        device,
        unsealing: if automatic.is_some() {
            Unsealing::Automatic
        } else {
            Unsealing::Manual
        },
        sealed_to: automatic.map_or_else(
            || "nothing but the recovery".to_owned(),
            |automatic| format!("{}, {}", automatic.device, automatic.to),
        ),
        recovery,
        gathered: u8::try_from(gathered).unwrap_or(u8::MAX),
    }
}

/// Begins what the seal itself encrypted; a device's sealed secrets begin otherwise.
const FORM: &[u8] = b"redan seal 1\0";
