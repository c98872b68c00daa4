//! Making changes: one frame of the journal for all who wait, then the index.

use super::applier;
use super::error::StoreError;
use super::frame;
use super::group::Member;
use super::journal::Active;
use super::mutation::Mutation;
use super::{Inner, journal};
use std::sync::PoisonError;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// Why a change was not acknowledged, in a form that all of a group can be told.
#[derive(Clone, Debug)]
pub(super) enum Refusal {
    /// Nothing was written; the store is as before.
    Full(String),
    /// Something failed in mid-write: the store takes no more.
    Broken(String),
    /// A record was encrypted under a key that is no more; nothing was written.
    Stale(String),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full(why) => Self::Full(why),
            Refusal::Broken(why) => Self::ReadOnly(why),
            Refusal::Stale(why) => Self::Stale(why),
        }
    }
}

impl Inner {
    /// Why no change is taken, where that is so.
    pub(super) fn broken(&self) -> Option<String> {
        self.broken.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Refuses all changes from now on; `false` where they were refused already, for another reason.
    pub(super) fn break_off(&self, why: String) -> bool {
        let mut broken = self.broken.lock().unwrap_or_else(PoisonError::into_inner);
        let first = broken.is_none();
        broken.get_or_insert(why);
        first
    }

    /// Makes changes, all or none; they are durable when this returns `Ok`.
    pub(super) fn commit(&self, mutations: Vec<Mutation>) -> Result<(), StoreError> {
        let bytes = mutations.iter().map(Mutation::encoded_len).sum();
        if bytes > journal::BODY_LIMIT {
            return Err(StoreError::TooLarge {
                length: bytes,
                limit: journal::BODY_LIMIT,
            });
        }
        if mutations.is_empty() {
            return Ok(());
        }
        let place = self.queue.join(mutations, bytes, 0);
        self.queue.finish(&place, |group| self.write(group))?;
        Ok(())
    }

    fn write(&self, group: &mut Vec<Member<Vec<Mutation>>>) -> Result<(), Refusal> {
        if let Some(why) = self.broken() {
            return Err(Refusal::Broken(why));
        }
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(active) = journal.as_mut() else {
            return Err(Refusal::Broken("it was opened read-only".to_owned()));
        };
        self.write_with(active, group.drain(..).flat_map(|member| member.job).collect())
    }

    /// Writes one frame and brings the index up to date. The caller holds the journal.
    pub(super) fn write_with(&self, active: &mut Active, mutations: Vec<Mutation>) -> Result<(), Refusal> {
        self.while_sound(|| self.write_frame(active, mutations))
    }

    /// Does something to the journal, unless something failed before; the caller holds it. Both the question and the answer belong
    /// under that lock: what a write that failed has left must not be followed by another.
    fn while_sound(&self, work: impl FnOnce() -> Result<(), Refusal>) -> Result<(), Refusal> {
        if let Some(why) = self.broken() {
            return Err(Refusal::Broken(why));
        }
        let result = work();
        if let Err(Refusal::Broken(why)) = &result {
            self.break_off(why.clone());
        }
        result
    }

    fn write_frame(&self, active: &mut Active, mut mutations: Vec<Mutation>) -> Result<(), Refusal> {
        // Here and not before: keys are replaced while the journal is held, so that nothing gets in under an old one afterwards.
        for mutation in &mut mutations {
            if let Mutation::Put(key, sealed) = mutation {
                self.keyring
                    .refresh(key, sealed)
                    .map_err(|error| Refusal::Stale(error.to_string()))?;
            }
        }
        let length = mutations.iter().map(Mutation::encoded_len).sum();
        let mut frame = frame::begin(length);
        for mutation in &mutations {
            mutation.encode(&mut frame);
        }
        let broken = |error: StoreError| Refusal::Broken(error.to_string());
        if !active.append(&mut frame).map_err(broken)? {
            self.next_segment(active)?;
            if !active.append(&mut frame).map_err(broken)? {
                return Err(Refusal::Full(
                    "one change is larger than a segment of the journal".to_owned(),
                ));
            }
        }
        // From here on the changes are durable, whatever becomes of the index.
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        for mutation in mutations {
            index.add(mutation);
        }
        let pending = index.pending();
        drop(index);
        self.behind.tell(pending);
        if self.distrusted.load(Ordering::Acquire) {
            // Somebody else's sync has failed meanwhile, and may have taken this frame with it.
            return Err(Refusal::Broken(self.broken().unwrap_or_default()));
        }
        Ok(())
    }

    /// Waits while more waits for the index on disk than memory should hold. Where the index does not follow at all, changes are
    /// refused from then on: a caller is told so, and never waits for ever.
    pub(super) fn keep_pace(&self, patience: Duration) {
        if self.broken().is_none() && !self.behind.wait_below(applier::LIMIT, patience) {
            self.break_off(format!(
                "the index on disk has not followed for {} seconds",
                patience.as_secs()
            ));
        }
    }

    /// Begins a new segment, so that everything before is closed.
    pub(super) fn rotate(&self) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match journal.as_mut() {
            Some(active) => Ok(self.while_sound(|| self.next_segment(active))?),
            None => Err(StoreError::ReadOnly("it was opened read-only".to_owned())),
        }
    }

    fn next_segment(&self, active: &mut Active) -> Result<(), Refusal> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Active::begin(&self.folder, &self.store_id, active.number() + 1, active.position());
        drop(spare);
        let next = next.map_err(|error| {
            if error.is_full() {
                Refusal::Full(error.to_string())
            } else {
                Refusal::Broken(error.to_string())
            }
        })?;
        active.trim();
        *active = next;
        self.maintain(super::Work::Rotated(active.number()));
        Ok(())
    }
}

/// The most that one group commit writes: large enough for hundreds of records, small enough that nobody waits long.
pub(super) const GROUP: usize = 1 << 20;
