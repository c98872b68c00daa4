//! Versions of the configuration, and which of them runs. The manager decides; the vault remembers.

use super::VaultError;
use super::change::{Change, Key, decode, encode};
use crate::store::{Name, Store, Tree};
use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::vault::{CommitState, Version, VersionInfo};
use redan_types::{Generation, Timestamp};
use sha2::{Digest, Sha256};
use std::sync::{Mutex, PoisonError};

/// Where versions are kept.
#[derive(Debug, Default)]
pub(crate) struct Configurations {
    /// Numbers are given one at a time.
    numbering: Mutex<()>,
}

impl Configurations {
    /// Keeps a new version and returns its number.
    pub(crate) fn put(
        &self,
        store: &Store,
        document: String,
        author: Actor,
        comment: String,
        time: Timestamp,
    ) -> Result<Generation, VaultError> {
        if document.len() > DOCUMENT || comment.len() > COMMENT {
            return Err(VaultError::Refused(format!(
                "a configuration has at most {DOCUMENT} bytes and its comment {COMMENT}, not {} and {}",
                document.len(),
                comment.len()
            )));
        }
        let _one = self.numbering.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = store.numbered(Tree::Configurations, 0..u64::MAX, true, 1)?;
        let last = match newest.into_iter().next() {
            // A damaged newest version still has a number, which is not given again.
            Some(Err(crate::store::StoreError::Corrupt { key, .. })) => key.number().unwrap_or(0),
            Some(record) => record?.number.unwrap_or(0),
            None => 0,
        };
        let generation = Generation(last + 1);
        let hash = Sha256::digest(&document)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let info = VersionInfo {
            generation,
            author,
            comment,
            time,
            hash,
        };
        let mut batch = store.batch();
        let value = encode(VERSION, &Version { info, document })?;
        Change::Put(Tree::Configurations, Key::Number(generation.0), value).add_to(&mut batch)?;
        batch.commit()?;
        Ok(generation)
    }

    /// One version.
    pub(crate) fn version(store: &Store, generation: Generation) -> Result<Option<Version>, VaultError> {
        let found = store.get(Tree::Configurations, Name::Number(generation.0))?;
        found.map(|bytes| decode(VERSION, &bytes)).transpose()
    }

    /// At most a hundred versions below `before`, newest first. One that is damaged is left out: asked for by number, it says so.
    pub(crate) fn list(store: &Store, before: Option<Generation>) -> Result<Vec<VersionInfo>, VaultError> {
        let end = before.map_or(u64::MAX, |before| before.0);
        let mut infos = Vec::new();
        for record in store
            .numbered(Tree::Configurations, 0..end, true, LISTED)?
            .into_iter()
            .flatten()
        {
            let version: Version = decode(VERSION, &record.value)?;
            infos.push(version.info);
        }
        Ok(infos)
    }

    /// What runs and what waits for confirmation.
    pub(crate) fn state(store: &Store) -> Result<CommitState, VaultError> {
        match store.get(Tree::State, Name::Secret(STATE))? {
            Some(bytes) => decode(VERSION, &bytes),
            None => Ok(CommitState::default()),
        }
    }

    /// The hash of the serial line's PIN; `None` while there is no PIN.
    pub(crate) fn serial_pin(store: &Store) -> Result<Option<String>, VaultError> {
        match store.get(Tree::State, Name::Secret(SERIAL_PIN))? {
            Some(bytes) => decode(VERSION, &bytes),
            None => Ok(None),
        }
    }

    /// Keeps another hash, or none.
    pub(crate) fn set_serial_pin(store: &Store, hash: Option<&str>) -> Result<(), VaultError> {
        if hash.is_some_and(|hash| hash.len() > HASH) {
            return Err(VaultError::Refused(format!("a PIN's hash has at most {HASH} bytes")));
        }
        let mut batch = store.batch();
        Change::put(Tree::State, SERIAL_PIN, VERSION, &hash)?.add_to(&mut batch)?;
        Ok(batch.commit()?)
    }

    /// Changes what runs and what waits, in one durable step.
    pub(crate) fn set_state(store: &Store, state: &CommitState) -> Result<(), VaultError> {
        let mut batch = store.batch();
        Change::put(Tree::State, STATE, VERSION, state)?.add_to(&mut batch)?;
        Ok(batch.commit()?)
    }
}

const STATE: &[u8] = b"commit state";
const SERIAL_PIN: &[u8] = b"serial pin";
const HASH: usize = 256;
const VERSION: u8 = 1;
const DOCUMENT: usize = 3 << 20;
const COMMENT: usize = 4 << 10;
const LISTED: usize = 100;
