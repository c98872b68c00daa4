//! The file `seal`, which lies beside the store and can be read while the store is closed.
//!
//! It holds the seal's key twice at most: sealed by the key device, and wrapped under the recovery. Nothing in it opens anything
//! without one of the two. Whoever can write it can put an older one back: the recovery of that time opens the store then, so a
//! recovery that has become known is worth replacing only together with the store's keys.

use super::shamir;
use super::share::Share;
use crate::store::{NONCE_LENGTH, StoreError, TAG_LENGTH, Xaes, read_file, replace_file};
use hmac::{Hmac, KeyInit, Mac};
use redan_hal::keys::{DeviceIdentity, KeyDevice, KeyError, SealPolicy, Unlock};
use redan_hal::memory::Locked;
use redan_ipc::messages::seal::RecoveryShape;
use redan_types::{SecretBytes, SecretString, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::path::{Path, PathBuf};
use zeroize::{Zeroize, Zeroizing};

/// What the file holds.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct SealFile {
    /// Which seal, at random.
    pub(crate) id: [u8; 16],
    /// An operator closed the vault: it stays closed until the recovery is brought.
    pub(crate) held: bool,
    /// How the key device opens it; `None` where people do.
    pub(crate) automatic: Option<DeviceSeal>,
    /// The recovery.
    pub(crate) recovery: Option<Recovery>,
    /// How many recoveries were made so far.
    pub(crate) recoveries: u16,
}

/// The seal's key, sealed by a device.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct DeviceSeal {
    pub(crate) device: DeviceIdentity,
    /// To what else, in words.
    pub(crate) to: String,
    sealed: Vec<u8>,
}

/// The seal's key, wrapped under the recovery.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Recovery {
    pub(crate) shares: u8,
    pub(crate) threshold: u8,
    pub(crate) generation: u16,
    pub(crate) made: Timestamp,
    nonce: [u8; NONCE_LENGTH],
    key: [u8; KEY],
    tag: [u8; TAG_LENGTH],
}

impl SealFile {
    /// Where it lies in a state folder.
    pub(crate) fn path(state: &Path) -> PathBuf {
        state.join("seal")
    }

    /// Reads it; `None` where there is none.
    pub(crate) fn read(state: &Path) -> Result<Option<Self>, StoreError> {
        let path = Self::path(state);
        let Some(bytes) = read_file(&path, FILE_LIMIT)? else {
            return Ok(None);
        };
        let damaged = |what| StoreError::damaged(&path, 0, what);
        let (content, checksum) = bytes.split_last_chunk().ok_or_else(|| damaged("it is too short"))?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum does not match"));
        }
        let rest = content.strip_prefix(MAGIC).ok_or_else(|| damaged("it is not a seal"))?;
        let (format, body) = rest.split_first_chunk().ok_or_else(|| damaged("it is too short"))?;
        let found = u16::from_le_bytes(*format);
        if found != FORMAT {
            return Err(StoreError::Newer {
                path,
                found,
                known: FORMAT,
            });
        }
        postcard::from_bytes(body)
            .map(Some)
            .map_err(|_| damaged("its content does not parse"))
    }

    /// Replaces it, durably.
    pub(crate) fn write(&self, state: &Path) -> Result<(), StoreError> {
        let body = postcard::to_stdvec(self).map_err(|_| StoreError::Library("encode the seal"))?;
        let mut bytes = [MAGIC, &FORMAT.to_le_bytes(), &body].concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        replace_file(&Self::path(state), &bytes)
    }

    /// Seals the key to a device.
    pub(crate) fn seal_to(
        &mut self,
        device: &dyn KeyDevice,
        policy: &SealPolicy,
        to: String,
        key: &Locked,
    ) -> Result<(), KeyError> {
        let secret = SecretBytes::new(key.expose().to_vec());
        let sealed = device.seal_to(&self.context(), &secret, policy)?;
        self.automatic = Some(DeviceSeal {
            device: *device.identity(),
            to,
            sealed,
        });
        Ok(())
    }

    /// Opens it with the device.
    pub(crate) fn open_by(&self, device: &dyn KeyDevice, unlock: &Unlock<'_>) -> Option<Result<Locked, KeyError>> {
        let automatic = self.automatic.as_ref()?;
        let present = *device.identity();
        if present != automatic.device {
            return Some(Err(KeyError::OtherDevice {
                sealed_by: automatic.device,
                present,
            }));
        }
        let opened = device.unseal_with(&self.context(), &automatic.sealed, unlock);
        Some(opened.and_then(|secret| {
            let mut copy = Zeroizing::new(secret.expose().to_vec());
            if copy.len() == KEY {
                Locked::new(&mut copy).map_err(|_| KeyError::Library("lock memory"))
            } else {
                Err(KeyError::Unsealable)
            }
        }))
    }

    /// Makes a recovery and gives its shares; the one before opens nothing any more.
    pub(crate) fn recover_by(
        &mut self,
        shape: RecoveryShape,
        key: &Locked,
        now: Timestamp,
        mut random: impl FnMut(&mut [u8]) -> Result<(), KeyError>,
    ) -> Result<Vec<SecretString>, KeyError> {
        let mut secret = Zeroizing::new([0; shamir::LENGTH]);
        random(&mut *secret)?;
        let points = shamir::split(&secret, shape.shares, shape.threshold, &mut random)?
            .ok_or(KeyError::Library("make shares of these numbers"))?;
        let generation = self.recoveries.saturating_add(1);
        let mut nonce = [0; NONCE_LENGTH];
        random(&mut nonce)?;
        let mut wrapped = [0; KEY];
        wrapped.copy_from_slice(key.expose());
        let context = self.recovery_context(generation);
        let sealed = self
            .recovery_key(&secret, generation)
            .and_then(|wrapping| wrapping.seal(&nonce, &context, &mut wrapped));
        let Some(tag) = sealed else {
            wrapped.zeroize();
            return Err(KeyError::Library("wrap the seal's key"));
        };
        self.recoveries = generation;
        self.recovery = Some(Recovery {
            shares: shape.shares,
            threshold: shape.threshold,
            generation,
            made: now,
            nonce,
            key: wrapped,
            tag,
        });
        let seal = self.mark();
        let text = |point| {
            Share {
                seal,
                generation,
                threshold: shape.threshold,
                point,
            }
            .text()
        };
        Ok(points.into_iter().map(text).collect())
    }

    /// Opens it with enough shares; `None` where they do not fit.
    pub(crate) fn open_with(&self, shares: &[Share]) -> Option<Locked> {
        let recovery = self.recovery.as_ref()?;
        let points: Vec<_> = shares.iter().map(|share| share.point.clone()).collect();
        let secret = shamir::combine(&points)?;
        let mut key = Zeroizing::new(recovery.key);
        self.recovery_key(&secret, recovery.generation)?.open(
            &recovery.nonce,
            &self.recovery_context(recovery.generation),
            &mut *key,
            &recovery.tag,
        )?;
        Locked::new(&mut *key).ok()
    }

    /// What a share of this seal begins with.
    pub(crate) const fn mark(&self) -> [u8; 4] {
        let [a, b, c, d, ..] = self.id;
        [a, b, c, d]
    }

    fn context(&self) -> Vec<u8> {
        [b"redan seal\0", &self.id[..]].concat()
    }

    fn recovery_context(&self, generation: u16) -> Vec<u8> {
        [b"redan recovery\0", &self.id[..], &generation.to_be_bytes()].concat()
    }

    fn recovery_key(&self, secret: &[u8; shamir::LENGTH], generation: u16) -> Option<Xaes> {
        let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
        mac.update(b"redan recovery key v1\0");
        mac.update(&self.id);
        mac.update(&generation.to_be_bytes());
        let mut bytes = Zeroizing::new([0; KEY]);
        bytes.copy_from_slice(&mac.finalize().into_bytes());
        Some(Xaes::new(&bytes))
    }
}

/// Bytes of the seal's key.
pub(crate) const KEY: usize = 32;
const MAGIC: &[u8] = b"redan seal\n";
const FORMAT: u16 = 1;
const FILE_LIMIT: u64 = 64 << 10;
