//! Group commit: whoever comes first writes for all who wait.
//!
//! There is no writer thread. A caller joins the queue; if nobody is writing, it takes everything that waits, writes it as one
//! frame, syncs once, brings the index up to date and tells the others. While it syncs, the next group gathers.

use super::Inner;
use super::error::StoreError;
use super::index::{self, Index};
use super::journal::Active;
use super::mutation::Mutation;
use std::sync::{Arc, OnceLock, PoisonError};

/// The changes of one caller.
pub(super) struct Waiting {
    mutations: Vec<Mutation>,
    bytes: usize,
    outcome: Arc<OnceLock<Result<(), Refusal>>>,
}

/// Who waits, and whether somebody writes.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Vec<Waiting>,
    writing: bool,
    broken: Option<String>,
}

/// Why a change was not acknowledged, in a form that all of a group can be told.
#[derive(Clone, Debug)]
enum Refusal {
    /// Nothing was written; the store is as before.
    Full(String),
    /// Something failed in mid-write: the store takes no more.
    Broken(String),
}

impl From<Refusal> for StoreError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Full(why) => Self::Full(why),
            Refusal::Broken(why) => Self::ReadOnly(why),
        }
    }
}

impl Inner {
    /// Why no change is taken, where that is so.
    pub(super) fn broken(&self) -> Option<String> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).broken.clone()
    }

    /// Refuses all changes from now on.
    pub(super) fn break_off(&self, why: String) {
        self.queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .broken
            .get_or_insert(why);
    }

    /// Makes changes, all or none; they are durable when this returns `Ok`.
    pub(super) fn commit(&self, mutations: Vec<Mutation>) -> Result<(), StoreError> {
        let bytes = mutations.iter().map(Mutation::encoded_len).sum();
        if bytes > super::journal::BODY_LIMIT {
            return Err(StoreError::TooLarge {
                length: bytes,
                limit: super::journal::BODY_LIMIT,
            });
        }
        if mutations.is_empty() {
            return Ok(());
        }
        let outcome = Arc::new(OnceLock::new());
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.waiting.push(Waiting {
            mutations,
            bytes,
            outcome: Arc::clone(&outcome),
        });
        loop {
            if let Some(outcome) = outcome.get() {
                return outcome.clone().map_err(Into::into);
            }
            if queue.writing {
                queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            queue.writing = true;
            let group = queue.take_group();
            let broken = queue.broken.clone();
            drop(queue);
            let result = match broken {
                Some(why) => Err(Refusal::Broken(why)),
                None => self.write(&group),
            };
            queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.writing = false;
            if let Err(Refusal::Broken(why)) = &result {
                queue.broken.get_or_insert_with(|| why.clone());
            }
            for waiting in group {
                // Each is set once: a group is taken out of the queue by one writer.
                let _ = waiting.outcome.set(result.clone());
            }
            self.turn.notify_all();
        }
    }

    fn write(&self, group: &[Waiting]) -> Result<(), Refusal> {
        let mut body = Vec::with_capacity(group.iter().map(|waiting| waiting.bytes).sum());
        for mutation in group.iter().flat_map(|waiting| &waiting.mutations) {
            mutation.encode(&mut body);
        }
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(active) = journal.as_mut() else {
            return Err(Refusal::Broken("it was opened read-only".to_owned()));
        };
        let broken = |error: StoreError| Refusal::Broken(error.to_string());
        if !active.append(&body).map_err(broken)? {
            self.next_segment(active)?;
            if !active.append(&body).map_err(broken)? {
                return Err(Refusal::Full(
                    "one change is larger than a segment of the journal".to_owned(),
                ));
            }
        }
        // From here on the changes are durable, whatever becomes of the index.
        let mut index = self.index.write().unwrap_or_else(PoisonError::into_inner);
        let applied = if matches!(*index, Index::Sled(_)) && !index::has_room(&self.folder, 0) {
            Err("the disk is almost full".to_owned())
        } else {
            group
                .iter()
                .flat_map(|waiting| &waiting.mutations)
                .try_for_each(|mutation| index.apply(mutation))
        };
        if let Err(why) = applied {
            *index = self.index_in_memory().map_err(|error| {
                Refusal::Broken(format!("the index failed ({why}) and could not be made again: {error}"))
            })?;
            self.note(format!("the index moved to memory: {why}"));
        }
        Ok(())
    }

    /// Begins a new segment, so that everything before is closed.
    pub(super) fn rotate(&self) -> Result<(), StoreError> {
        let mut journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match journal.as_mut() {
            Some(active) => self.next_segment(active).map_err(Into::into),
            None => Err(StoreError::ReadOnly("it was opened read-only".to_owned())),
        }
    }

    fn next_segment(&self, active: &mut Active) -> Result<(), Refusal> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        let next = Active::begin(
            &self.folder,
            self.keyring.store_id(),
            active.number() + 1,
            active.position(),
        );
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

impl Queue {
    fn take_group(&mut self) -> Vec<Waiting> {
        let mut bytes = 0;
        let fits = self.waiting.iter().take_while(|waiting| {
            bytes += waiting.bytes;
            bytes <= GROUP
        });
        let count = fits.count().max(1).min(self.waiting.len());
        self.waiting.drain(..count).collect()
    }
}

/// The most that one group commit writes: large enough for hundreds of records, small enough that nobody waits long.
const GROUP: usize = 1 << 20;
