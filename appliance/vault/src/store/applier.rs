//! Bringing the index on disk up to date, behind the acknowledgements.
//!
//! What was acknowledged is in the journal and in memory; the index on disk may lag behind both, for it is never used after a
//! disorderly end. It follows in larger steps: a record that changes often is then written once, and no caller waits for sled.

use super::index::{self, Index};
use super::{Inner, error::StoreError};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

/// How far the index on disk is behind, in bytes. The last of the locks.
#[derive(Debug, Default)]
pub(super) struct Behind {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    pending: usize,
    stop: bool,
}

impl Behind {
    /// Says how much waits now.
    pub(super) fn tell(&self, pending: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let wake = (state.pending < EAGER) != (pending < EAGER) || pending < state.pending;
        state.pending = pending;
        drop(state);
        if wake {
            self.changed.notify_all();
        }
    }

    /// Waits until less than `limit` is pending, or nobody works on it any more.
    pub(super) fn wait_below(&self, limit: usize) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.pending >= limit && !state.stop {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    pub(super) fn stop(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).stop = true;
        self.changed.notify_all();
    }

    /// Waits for enough to be worth a step, or for a while; `false` when it is time to end.
    fn next(&self) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.pending < EAGER && !state.stop {
            let (woken, timeout) = self
                .changed
                .wait_timeout(state, PAUSE)
                .unwrap_or_else(PoisonError::into_inner);
            state = woken;
            if timeout.timed_out() && state.pending > 0 {
                break;
            }
        }
        !state.stop
    }
}

impl Inner {
    /// The applying thread.
    pub(super) fn apply_behind(&self) {
        while self.behind.next() {
            self.bring_up_to_date();
        }
        self.bring_up_to_date();
    }

    /// Brings what waits to the index on disk. Readers find it in memory until it is there.
    fn bring_up_to_date(&self) {
        let begun = self.index.write().unwrap_or_else(PoisonError::into_inner).begin_step();
        let Some((sled, changes, bytes)) = begun else {
            return;
        };
        let result = if index::has_room(&self.folder, bytes as u64) {
            changes
                .iter()
                .try_for_each(|(key, value)| sled.set(key.bytes(), value.as_deref()))
        } else {
            Err("the disk is almost full".to_owned())
        };
        drop(changes);
        match result {
            Ok(()) => self.index.write().unwrap_or_else(PoisonError::into_inner).end_step(),
            Err(why) => self.move_to_memory(&why),
        }
        let pending = self.index.read().unwrap_or_else(PoisonError::into_inner).pending();
        self.behind.tell(pending);
    }

    /// Builds the index again in memory, for the one on disk failed.
    fn move_to_memory(&self, why: &str) {
        let journal = self.journal.lock().unwrap_or_else(PoisonError::into_inner);
        match self.index_in_memory() {
            Ok(index) => {
                *self.index.write().unwrap_or_else(PoisonError::into_inner) = index;
                drop(journal);
                self.note(format!("the index moved to memory: {why}"));
            }
            // What waits stays in memory and is found there; only changes have to stop.
            Err(error) => self.break_off(format!("the index failed ({why}) and could not be made again: {error}")),
        }
    }

    /// Builds the index again, in memory, from snapshot and journal. The caller holds the journal, so that nothing is added.
    pub(super) fn index_in_memory(&self) -> Result<Index, StoreError> {
        let covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut index = Index::in_memory(BTreeMap::new());
        super::open::fill(&self.folder, &self.store_id, &covered, &mut index)?;
        Ok(index)
    }
}

/// Worth a step at once.
const EAGER: usize = 4 << 20;
/// Whatever waits is worth one after this.
const PAUSE: Duration = Duration::from_secs(2);
/// Callers wait beyond this.
pub(super) const LIMIT: usize = 64 << 20;
