//! The log's keys.
//!
//! Every checkpoint has an Ed25519 line, which all readers of signed notes know. Its key lives in the key device where that makes
//! Ed25519 keys and protects them; else in the store, which the device seals: a TPM makes none, and the software device would be no
//! better a place. Where the device protects keys, a second line is signed by an ECDSA P-256 key inside of it: nobody who copied the
//! store can make that one.
//!
//! Keys in a device stay there. When the store moves to another device, the log goes on under new keys, and the old public ones are
//! kept for those who verify.

use crate::service::VaultError;
use crate::service::change::{Change, decode};
use crate::store::{Name, Store, Tree};
use redan_audit::LogKey;
use redan_hal::keys::software::SoftwareKey;
use redan_hal::keys::{Algorithm, DeviceIdentity, KeyDevice, Operation};
use redan_types::{KeyId, SecretBytes};
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// The log's keys, ready for use.
#[derive(Debug)]
pub(super) struct Keys {
    /// The Ed25519 key.
    pub(super) common: LogKey,
    holder: Signing,
    /// The key inside the device.
    pub(super) inside: Option<(LogKey, KeyId)>,
    /// Keys of before, the youngest first.
    pub(super) former: Vec<LogKey>,
    device: Arc<dyn KeyDevice>,
}

#[derive(Debug)]
enum Signing {
    Device(KeyId),
    Store(SoftwareKey),
}

/// What is stored, since version 2.
#[derive(Debug, Deserialize, Serialize)]
struct Stored {
    origin: String,
    device: DeviceIdentity,
    common: Holder,
    inside: Option<(KeyId, String)>,
    former: Vec<String>,
    /// The device's key for statements about itself, where it makes any: whoever checks them compares it.
    attestation: Option<Vec<u8>>,
}

#[derive(Debug, Deserialize, Serialize)]
enum Holder {
    Device(KeyId, String),
    Store(SecretBytes, String),
}

/// Version 1: an Ed25519 key in the device.
#[derive(Debug, Deserialize, Serialize)]
struct First {
    origin: String,
    key: KeyId,
}

impl Keys {
    /// Opens the keys, or makes those that the device does not have. Returns what changed, in words.
    pub(super) fn open(store: &Store, device: &Arc<dyn KeyDevice>) -> Result<(Self, Vec<String>), VaultError> {
        let mut notes = Vec::new();
        let present = *device.identity();
        let stored = match store.get(Tree::State, Name::Secret(IDENTITY))? {
            Some(bytes) if bytes.first() == Some(&FIRST) => {
                let first: First = decode(FIRST, &bytes)?;
                let held = device
                    .public_key(first.key)
                    .ok()
                    .map(|public| log_key(&first.origin, &public.raw));
                match held.transpose()? {
                    Some(key) => Some(Stored {
                        common: Holder::Device(first.key, key.to_string()),
                        origin: first.origin,
                        device: present,
                        inside: None,
                        former: Vec::new(),
                        attestation: None,
                    }),
                    None => {
                        notes.push(
                            "the audit log's key was in another key device; the log goes on under a new one".to_owned(),
                        );
                        Some(Stored {
                            common: make_common(&first.origin, &**device)?,
                            origin: first.origin,
                            device: present,
                            inside: None,
                            former: Vec::new(),
                            attestation: None,
                        })
                    }
                }
            }
            Some(bytes) => Some(decode(VERSION, &bytes)?),
            None => None,
        };
        let mut changed = stored.as_ref().is_none_or(|stored| stored.inside.is_none());
        let mut stored = match stored {
            Some(stored) => stored,
            None => begin(&**device)?,
        };
        if stored.device != present {
            changed = true;
            notes.push(format!(
                "the store was moved from {} to {present}; the audit log goes on under the keys of the new device",
                stored.device
            ));
            if let Some((_, key)) = stored.inside.take() {
                stored.former.insert(0, key);
            }
            if let Holder::Device(_, key) = &stored.common {
                stored.former.insert(0, key.clone());
                stored.common = make_common(&stored.origin, &**device)?;
            }
            stored.former.truncate(FORMER);
            stored.device = present;
            stored.attestation = None;
        }
        if stored.inside.is_none() && makes(&**device, Algorithm::EcdsaP256) {
            let key = device.generate(Algorithm::EcdsaP256)?;
            let public = LogKey::p256(&stored.origin, &device.public_key(key)?.raw).map_err(refused)?;
            stored.inside = Some((key, public.to_string()));
        }
        if stored.attestation.is_none() && device.capabilities().offers(Operation::CertifyCounter) {
            stored.attestation = Some(device.attestation_key()?.spki());
        }
        if changed {
            let mut batch = store.batch();
            Change::put(Tree::State, IDENTITY, VERSION, &stored)?.add_to(&mut batch)?;
            batch.commit()?;
        }
        Ok((Self::ready(stored, device)?, notes))
    }

    fn ready(stored: Stored, device: &Arc<dyn KeyDevice>) -> Result<Self, VaultError> {
        let (holder, common) = match stored.common {
            Holder::Device(key, text) => (Signing::Device(key), text),
            Holder::Store(pkcs8, text) => (Signing::Store(SoftwareKey::parse(Algorithm::Ed25519, &pkcs8)?), text),
        };
        let inside = stored
            .inside
            .map(|(key, text)| LogKey::parse(&text).map(|public| (public, key)));
        let former = stored
            .former
            .iter()
            .map(|text| LogKey::parse(text))
            .collect::<Result<_, _>>();
        Ok(Self {
            common: LogKey::parse(&common).map_err(refused)?,
            holder,
            inside: inside.transpose().map_err(refused)?,
            former: former.map_err(refused)?,
            device: Arc::clone(device),
        })
    }

    /// Signs with the Ed25519 key.
    pub(super) fn sign(&self, text: &[u8]) -> Result<Vec<u8>, VaultError> {
        Ok(match &self.holder {
            Signing::Device(key) => self.device.sign(*key, text)?,
            Signing::Store(key) => key.sign(text)?,
        })
    }

    /// All keys for those who verify, those of now first.
    pub(super) fn published(&self) -> Vec<LogKey> {
        let inside = self.inside.iter().map(|(key, _)| key);
        inside.chain(&self.former).cloned().collect()
    }
}

fn begin(device: &dyn KeyDevice) -> Result<Stored, VaultError> {
    let mut mark = [0; 4];
    device.random(&mut mark)?;
    let origin = format!("redan-{:08x}/audit", u32::from_be_bytes(mark));
    Ok(Stored {
        common: make_common(&origin, device)?,
        origin,
        device: *device.identity(),
        inside: None,
        former: Vec::new(),
        attestation: None,
    })
}

fn make_common(origin: &str, device: &dyn KeyDevice) -> Result<Holder, VaultError> {
    if makes(device, Algorithm::Ed25519) {
        let key = device.generate(Algorithm::Ed25519)?;
        let public = log_key(origin, &device.public_key(key)?.raw)?;
        return Ok(Holder::Device(key, public.to_string()));
    }
    let pkcs8 = SoftwareKey::generate(Algorithm::Ed25519)?;
    let public = log_key(origin, &SoftwareKey::parse(Algorithm::Ed25519, &pkcs8)?.public().raw)?;
    Ok(Holder::Store(pkcs8, public.to_string()))
}

/// Whether keys of the device's own making are worth more than the store's.
fn makes(device: &dyn KeyDevice, algorithm: Algorithm) -> bool {
    let capabilities = device.capabilities();
    capabilities.protects_keys && capabilities.offers(Operation::Generate(algorithm))
}

fn log_key(origin: &str, raw: &[u8]) -> Result<LogKey, VaultError> {
    let raw = raw
        .try_into()
        .map_err(|_| VaultError::Form("the log's key is no Ed25519 key"))?;
    LogKey::new(origin, raw).map_err(refused)
}

fn refused(error: impl std::fmt::Display) -> VaultError {
    VaultError::Refused(error.to_string())
}

const IDENTITY: &[u8] = b"audit log";
const FIRST: u8 = 1;
const VERSION: u8 = 2;
/// Keys of before that are kept; an export names sixteen in all.
const FORMER: usize = 13;
