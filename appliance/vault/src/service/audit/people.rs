//! The keys of those who act. Destroying one erases what its person's entries say, and nothing else.
//!
//! Whoever acts again after that gets a new key. A key therefore says from which entry on it is used: what its person did before
//! was encrypted under keys that are no more, and is erased, not damaged.

use super::{AuditLog, VERSION};
use crate::service::VaultError;
use crate::service::change::{Change, decode};
use crate::store::{Batch, Name, Tree, Xaes};
use redan_types::SecretBytes;
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, MutexGuard, PoisonError};

/// A person's key.
#[derive(Debug)]
pub(super) struct PersonKey {
    /// The first entry that it is used for. No two keys of a person have the same.
    pub(super) first: u64,
    pub(super) cipher: Xaes,
}

/// As it is stored.
#[derive(Debug, Deserialize, Serialize)]
struct StoredKey {
    first: u64,
    key: SecretBytes,
}

/// What a group does to the keys, before it is durable.
#[derive(Debug, Default)]
pub(super) struct Pending {
    made: HashMap<String, (StoredKey, Arc<PersonKey>)>,
    erased: HashSet<String>,
}

impl StoredKey {
    fn read(bytes: &[u8]) -> Result<Self, VaultError> {
        // Before keys said where they begin, nobody's key was ever made anew.
        match bytes.first() {
            Some(&VERSION) => decode(VERSION, bytes).map(|key| Self { first: 0, key }),
            _ => decode(STORED, bytes),
        }
    }

    fn ready(&self) -> Result<Arc<PersonKey>, VaultError> {
        let cipher = self
            .key
            .expose()
            .try_into()
            .map(Xaes::new)
            .map_err(|_| VaultError::Form("a person's key has a wrong length"))?;
        Ok(Arc::new(PersonKey {
            first: self.first,
            cipher,
        }))
    }
}

impl Pending {
    /// Destroys a person's key. What the group adds for the person from here on is under a new one.
    pub(super) fn erase(&mut self, person: &str, batch: &mut Batch<'_>) -> Result<(), VaultError> {
        self.made.remove(person);
        self.erased.insert(person.to_owned());
        Change::delete(Tree::PersonKeys, person.as_bytes()).add_to(batch)
    }

    /// Adds the keys that were made. After everything else: one may take the place of a key that the group destroys.
    pub(super) fn add_to(&self, batch: &mut Batch<'_>) -> Result<(), VaultError> {
        self.made.iter().try_for_each(|(person, (stored, _))| {
            Change::put(Tree::PersonKeys, person.as_bytes(), STORED, stored)?.add_to(batch)
        })
    }
}

impl AuditLog {
    /// The key for a person's entry with this number, made where there is none yet. A new one is kept by the group's change.
    pub(super) fn key_for(
        &self,
        person: &str,
        sequence: u64,
        pending: &mut Pending,
    ) -> Result<Arc<PersonKey>, VaultError> {
        if let Some((_, key)) = pending.made.get(person) {
            return Ok(Arc::clone(key));
        }
        if !pending.erased.contains(person)
            && let Some(known) = self.key_now(person)?
        {
            return Ok(known);
        }
        let mut key = vec![0; 32];
        // Of the system, not of the device: nobody's entry waits for hardware.
        getrandom::fill(&mut key).map_err(|_| VaultError::Form("the system gives no random bytes"))?;
        let stored = StoredKey {
            first: sequence,
            key: SecretBytes::new(key),
        };
        let key = stored.ready()?;
        pending.made.insert(person.to_owned(), (stored, Arc::clone(&key)));
        Ok(key)
    }

    /// Takes up what a group has done, now that it is durable. The caller holds the log, so that nothing is added under a key that
    /// has been destroyed.
    pub(super) fn take_up(&self, pending: Pending) {
        let mut people = self.people();
        for person in &pending.erased {
            people.remove(person);
        }
        if people.len() + pending.made.len() > PEOPLE {
            people.clear();
        }
        people.extend(pending.made.into_iter().map(|(person, (_, key))| (person, key)));
    }

    /// The key that a person's entry with this number is encrypted under; `None` where it is no more.
    pub(super) fn key_of(&self, person: &str, sequence: u64) -> Result<Option<Arc<PersonKey>>, VaultError> {
        Ok(self.key_now(person)?.filter(|key| key.first <= sequence))
    }

    /// The key that a person has now; `None` where there is none, or none any more.
    pub(super) fn key_now(&self, person: &str) -> Result<Option<Arc<PersonKey>>, VaultError> {
        // Held while the store is read: what is put here was not destroyed before.
        let mut people = self.people();
        if let Some(known) = people.get(person) {
            return Ok(Some(Arc::clone(known)));
        }
        let Some(bytes) = self.store.get(Tree::PersonKeys, Name::Secret(person.as_bytes()))? else {
            return Ok(None);
        };
        let key = StoredKey::read(&bytes)?.ready()?;
        if people.len() >= PEOPLE {
            people.clear();
        }
        people.insert(person.to_owned(), Arc::clone(&key));
        Ok(Some(key))
    }

    pub(super) fn people(&self) -> MutexGuard<'_, HashMap<String, Arc<PersonKey>>> {
        // A poisoned lock is sound: it holds copies of what is stored.
        self.people.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The form of keys.
const STORED: u8 = 2;
/// Keys kept ready.
const PEOPLE: usize = 4_096;
