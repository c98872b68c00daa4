//! What the console needs while the vault is sealed: its certificate's key, where it listens, and the packet filter around it.
//!
//! It lies beside the store in the file `management`, encrypted under a key that the key device seals to itself and to no state of
//! the machine: a machine whose state changed can still say so to its operators over the network, and a stolen disk alone cannot
//! pretend to be the console. Nothing else is in it; it opens no record.

use crate::store::{NONCE_LENGTH, StoreError, TAG_LENGTH, Xaes, read_file, replace_file};
use redan_hal::keys::{KeyDevice, KeyError};
use redan_ipc::messages::vault::Management;
use redan_types::SecretBytes;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The content.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(crate) struct Kept {
    /// What the manager gives to the services.
    pub(crate) management: Management,
    /// The console's key, as PKCS#8.
    pub(crate) key: SecretBytes,
}

#[derive(Deserialize, Serialize)]
struct File {
    sealed_key: Vec<u8>,
    nonce: [u8; NONCE_LENGTH],
    body: Vec<u8>,
    tag: [u8; TAG_LENGTH],
}

impl Kept {
    /// Writes it, for the device that is present.
    pub(crate) fn write(&self, state: &Path, device: &dyn KeyDevice) -> Result<(), StoreError> {
        let failed = |_| StoreError::Library("encode what the console needs");
        let mut key = Zeroizing::new([0; KEY]);
        super::random(device, &mut *key)?;
        let mut nonce = [0; NONCE_LENGTH];
        super::random(device, &mut nonce)?;
        let mut body = Zeroizing::new(postcard::to_stdvec(self).map_err(failed)?);
        let tag = Xaes::new(&key)
            .seal(&nonce, CONTEXT, &mut body)
            .ok_or(StoreError::Library("encrypt what the console needs"))?;
        let file = File {
            sealed_key: device.seal(CONTEXT, &SecretBytes::new(key.to_vec()))?,
            nonce,
            body: std::mem::take(&mut *body),
            tag,
        };
        replace_file(&path(state), &postcard::to_stdvec(&file).map_err(failed)?)
    }

    /// Reads it; `None` where there is none, or none that this device opens.
    pub(crate) fn read(state: &Path, device: &dyn KeyDevice) -> Result<Option<Self>, StoreError> {
        let path = path(state);
        let Some(bytes) = read_file(&path, LIMIT)? else {
            return Ok(None);
        };
        let damaged = || StoreError::damaged(&path, 0, "it does not authenticate");
        let file: File = postcard::from_bytes(&bytes).map_err(|_| damaged())?;
        let key = match device.unseal(CONTEXT, &file.sealed_key) {
            Err(KeyError::OtherDevice { .. }) => return Ok(None),
            other => other?,
        };
        let key: &[u8; KEY] = key.expose().try_into().map_err(|_| damaged())?;
        let mut body = Zeroizing::new(file.body);
        Xaes::new(key)
            .open(&file.nonce, CONTEXT, &mut body, &file.tag)
            .ok_or_else(damaged)?;
        postcard::from_bytes(&body).map(Some).map_err(|_| damaged())
    }
}

fn path(state: &Path) -> PathBuf {
    state.join("management")
}

const CONTEXT: &[u8] = b"redan management\0";
const KEY: usize = 32;
const LIMIT: u64 = 8 << 20;
