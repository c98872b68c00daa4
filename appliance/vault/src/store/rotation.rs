//! Rotating the keys while serving.
//!
//! New keys go to disk first, then into use while the journal is held: from then on nothing is written under an old key, whoever
//! encrypted it when. Behind that the maintenance thread walks all records, encrypts anew what stands under an old key, and
//! where nothing is left, merges the journal (old segments and snapshots hold old records) and destroys the old keys. A crash
//! anywhere in between leaves old keys in the keyring, which is how the next start knows to go on.

use super::error::StoreError;
use super::keyring::Keyring;
use super::mutation::Mutation;
use super::sealing::Sealing;
use super::tree::{RecordKey, Tree};
use super::{Inner, Store, Work};
use std::sync::PoisonError;

/// Where the keys stand.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rotation {
    /// Whether records are still being encrypted anew.
    pub under_way: bool,
    /// The version of every tree's key that is in use.
    pub versions: Vec<(Tree, u32)>,
}

impl Store {
    /// Gives the store key and every tree's encryption key a new version. Changes use them when this returns; what is stored is
    /// encrypted anew behind it, then the old keys are destroyed. [`Store::rotation`] says how far it is.
    ///
    /// # Errors
    /// The device or the disk failed, or a rotation is under way: the keys are as before.
    pub fn rotate_keys(&self, sealing: &dyn Sealing) -> Result<(), StoreError> {
        let inner = &self.inner;
        let _one = inner.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(why) = inner.broken() {
            return Err(StoreError::ReadOnly(why));
        }
        if inner.keyring.rotating() {
            return Err(StoreError::Rotating);
        }
        let keys = inner.heed(Keyring::renew(&inner.folder, sealing))?;
        let journal = inner.journal.lock().unwrap_or_else(PoisonError::into_inner);
        inner.keyring.adopt(keys);
        drop(journal);
        inner.maintain(Work::Renew(Vec::new(), 0));
        Ok(())
    }

    /// Where the keys stand.
    #[must_use]
    pub fn rotation(&self) -> Rotation {
        Rotation {
            under_way: self.inner.keyring.rotating(),
            versions: self.inner.keyring.versions(),
        }
    }
}

impl Inner {
    /// One step of the walk, and the order for the next: in between the maintenance thread does what else there is.
    pub(super) fn keep_renewing(&self, from: &[u8], kept: u64) {
        match self.renew_some(from) {
            Ok(Step::On(next, more)) => self.maintain(Work::Renew(next, kept + more)),
            Ok(Step::End) if kept == 0 => {
                if let Err(error) = self.heed(self.retire()) {
                    self.note(format!(
                        "the old keys could not be destroyed, the next start tries again: {error}"
                    ));
                }
            }
            Ok(Step::End) => self.note(format!(
                "the old keys are kept: {kept} damaged records claim to stand under them"
            )),
            Err(error) => self.note(format!(
                "records could not be encrypted anew, the next start goes on: {error}"
            )),
        }
    }

    /// Encrypts anew what of a page of records stands under old keys.
    fn renew_some(&self, from: &[u8]) -> Result<Step, StoreError> {
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let page = index.range(from..&[0xff], false, PAGE).map_err(StoreError::Index)?;
        drop(index);
        let Some((last, _)) = page.last() else {
            return Ok(Step::End);
        };
        let next = [last.bytes(), &[0]].concat();
        let (mut renewed, mut kept) = (Vec::new(), 0);
        for (key, old) in page {
            if self.keyring.is_fresh(&key, &old) {
                continue;
            }
            let mut sealed = old.clone();
            match self.keyring.refresh(&key, &mut sealed) {
                Ok(()) => renewed.push((key, old, sealed)),
                // It does not open, so that nobody can encrypt it anew. It stays as it is, and is named at every start.
                Err(_) => kept += 1,
            }
        }
        while !renewed.is_empty() {
            self.put_unchanged(take(&mut renewed))?;
        }
        Ok(Step::On(next, kept))
    }

    /// Puts records that nobody has changed since they were read; changed ones stand under the new key already.
    fn put_unchanged(&self, records: Vec<(RecordKey, Vec<u8>, Vec<u8>)>) -> Result<(), StoreError> {
        self.keep_pace(super::applier::PATIENCE);
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.index.read().unwrap_or_else(PoisonError::into_inner);
        let mut mutations = Vec::new();
        for (key, old, sealed) in records {
            if index.get(&key).map_err(StoreError::Index)?.as_ref() == Some(&old) {
                mutations.push(Mutation::Put(key, sealed));
            }
        }
        drop(index);
        match journal.as_mut() {
            Some(_) if mutations.is_empty() => Ok(()),
            Some(active) => Ok(self.write_with(active, mutations)?),
            None => Err(StoreError::ReadOnly("it was opened read-only".to_owned())),
        }
    }

    /// Merges the journal, so that no old record is on disk where the store would read it, and destroys the old keys.
    fn retire(&self) -> Result<(), StoreError> {
        let _one = self.rotating.lock().unwrap_or_else(PoisonError::into_inner);
        self.rotate()?;
        self.snapshot()?;
        self.keyring.retire(&self.folder)
    }
}

enum Step {
    /// The next key, and how many records of this page had to be left.
    On(Vec<u8>, u64),
    End,
}

/// Takes as many as one frame should hold.
fn take(records: &mut Vec<(RecordKey, Vec<u8>, Vec<u8>)>) -> Vec<(RecordKey, Vec<u8>, Vec<u8>)> {
    let mut bytes = 0;
    let fits = records.iter().take_while(|(_, _, sealed)| {
        bytes += sealed.len();
        bytes <= FRAME
    });
    let count = fits.count().max(1);
    records.drain(..count).collect()
}

/// Records read at once.
const PAGE: usize = 128;
/// Bytes written at once: those who wait meanwhile wait for a sync more.
const FRAME: usize = 512 << 10;
