//! New keys for old: the store key and every tree's encryption key in one replacement of the file.
//!
//! A tree has more than one encryption key from a rotation until every record has been encrypted under the newest; that is how an
//! interrupted rotation is found again. Naming keys stay: a record's place is derived from them.

use super::{ENCRYPTION, Keyring, KeyringFile, NAMING, StoredTree, TreeKeys, random_key, xaes};
use crate::store::error::StoreError;
use crate::store::folder;
use crate::store::sealing::Sealing;
use crate::store::tree::{Name, RecordKey, Tree};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, PoisonError};

/// Keys that are on disk already and wait to be used.
pub(crate) struct NewKeys(BTreeMap<Tree, Arc<TreeKeys>>);

impl Keyring {
    /// Gives the store and every tree a new key on disk. They are used from [`Keyring::adopt`] on.
    pub(crate) fn renew(folder: &Path, sealing: &dyn Sealing) -> Result<NewKeys, StoreError> {
        let path = Self::path(folder);
        let mut file = KeyringFile::load(&path)?;
        let store_key = sealing.unseal(file.device, &file.store_context(), &file.store_key)?;
        let store_key =
            xaes(&store_key).ok_or_else(|| StoreError::damaged(&path, 0, "the store key has a wrong length"))?;
        let version = file
            .store_key_version
            .checked_add(1)
            .ok_or(StoreError::Library("number another store key"))?;
        let new_store_key = random_key(sealing)?;
        // Contexts name the store key's version, so that everything is wrapped for the new one.
        let mut renewed = KeyringFile {
            store_id: file.store_id,
            device: sealing.identity(),
            store_key_version: version,
            store_key: Vec::new(),
            trees: Vec::new(),
        };
        renewed.store_key = sealing.seal(&renewed.store_context(), &new_store_key)?;
        let new_store_key = xaes(&new_store_key).ok_or(StoreError::Library("make the store key"))?;
        for stored in std::mem::take(&mut file.trees) {
            let tree = stored.tree;
            let again = |purpose, version, wrapped| {
                let place = (tree, purpose, version);
                let key = file.unwrap(&path, &store_key, place, wrapped)?;
                renewed.wrap(&new_store_key, place, &key[..], sealing)
            };
            let naming = again(NAMING, 0, &stored.naming)?;
            let mut encryption = Vec::with_capacity(stored.encryption.len() + 1);
            for (version, wrapped) in &stored.encryption {
                encryption.push((*version, again(ENCRYPTION, *version, wrapped)?));
            }
            // The records of a newer version's tree cannot be walked here, so its keys stay.
            if Tree::parse(tree).is_some() {
                let newest = encryption.iter().map(|(version, _)| *version).max().unwrap_or(0);
                let next = newest
                    .checked_add(1)
                    .ok_or(StoreError::Library("number another tree key"))?;
                let key = random_key(sealing)?;
                let wrapped = renewed.wrap(&new_store_key, (tree, ENCRYPTION, next), key.expose(), sealing)?;
                encryption.push((next, wrapped));
            }
            renewed.trees.push(StoredTree {
                tree,
                naming,
                encryption,
            });
        }
        // What is written is what is used: it is read back out of the form that goes to the disk.
        let unlocked = renewed.unlock(&path, &new_store_key)?;
        folder::replace(&path, &renewed.encode()?)?;
        Ok(NewKeys(
            unlocked.trees.into_inner().unwrap_or_else(PoisonError::into_inner),
        ))
    }

    /// Uses new keys from now on. The caller holds the journal, so that no record gets in under an old one afterwards.
    pub(crate) fn adopt(&self, keys: NewKeys) {
        *self.trees.write().unwrap_or_else(PoisonError::into_inner) = keys.0;
    }

    /// Destroys all but the newest encryption key of every tree, on disk and in memory.
    pub(crate) fn retire(&self, folder: &Path) -> Result<(), StoreError> {
        let path = Self::path(folder);
        let mut file = KeyringFile::load(&path)?;
        let known = |stored: &&mut StoredTree| Tree::parse(stored.tree).is_some();
        for stored in file.trees.iter_mut().filter(known) {
            let newest = stored.encryption.iter().map(|(version, _)| *version).max();
            stored.encryption.retain(|(version, _)| Some(*version) == newest);
        }
        folder::replace(&path, &file.encode()?)?;
        let mut trees = self.trees.write().unwrap_or_else(PoisonError::into_inner);
        for keys in trees.values_mut() {
            let newest = keys.encryption.last_key_value();
            let encryption = newest.map(|(version, cipher)| (*version, Arc::clone(cipher)));
            *keys = Arc::new(TreeKeys {
                naming: keys.naming.clone(),
                encryption: encryption.into_iter().collect(),
            });
        }
        Ok(())
    }

    /// Whether any tree has a key beside its newest.
    pub(crate) fn rotating(&self) -> bool {
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        trees.values().any(|keys| keys.encryption.len() > 1)
    }

    /// The newest key's version of every tree.
    pub(crate) fn versions(&self) -> Vec<(Tree, u32)> {
        let trees = self.trees.read().unwrap_or_else(PoisonError::into_inner);
        let newest = |keys: &TreeKeys| keys.encryption.last_key_value().map_or(0, |(version, _)| *version);
        trees.iter().map(|(tree, keys)| (*tree, newest(keys))).collect()
    }

    /// Whether a record stands under its tree's newest key.
    pub(crate) fn is_fresh(&self, key: &RecordKey, sealed: &[u8]) -> bool {
        let newest = key.tree().and_then(|tree| {
            let keys = self.keys(tree).ok()?;
            keys.encryption.last_key_value().map(|(version, _)| *version)
        });
        newest.is_some() && version(sealed) == newest
    }

    /// Encrypts a record anew where it does not stand under its tree's newest key.
    pub(crate) fn refresh(&self, key: &RecordKey, sealed: &mut Vec<u8>) -> Result<(), StoreError> {
        if self.is_fresh(key, sealed) {
            return Ok(());
        }
        let opened = self.open_record(key, sealed)?;
        let tree = key.tree().ok_or(StoreError::Library("find a record's tree"))?;
        let name = key.number().map_or(Name::Secret(&opened.name), Name::Number);
        *sealed = self.seal(tree, key, name, &opened.value)?;
        Ok(())
    }
}

impl KeyringFile {
    fn load(path: &Path) -> Result<Self, StoreError> {
        let bytes = folder::read(path, super::FILE_LIMIT)?
            .ok_or_else(|| StoreError::KeyringMissing { path: path.to_owned() })?;
        Self::parse(path, &bytes)
    }
}

/// The version of the key that a record stands under; `None` where it is no record of this format.
fn version(sealed: &[u8]) -> Option<u32> {
    let (format, rest) = sealed.split_first()?;
    let version = rest.first_chunk()?;
    (*format == super::RECORD_FORMAT).then(|| u32::from_be_bytes(*version))
}
