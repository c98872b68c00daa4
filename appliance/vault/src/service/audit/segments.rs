//! Retention: the oldest part of the log is sealed and given up once somebody has exported it. Nothing is rewritten.
//!
//! A sealed segment ends at a checkpoint. What stays of it is its frontier, a handful of hashes from which the tree goes on: every
//! later checkpoint, and every proof that begins after the segment, is as good as before, and the exported segment together with a
//! later export is the whole log again. The entries themselves are deleted after the segment is durable; what a crash leaves of
//! them is deleted at the next start.

use super::{AuditLog, Live, Signed, VERSION};
use crate::service::VaultError;
use crate::service::change::{Change, decode};
use crate::store::{Name, Store, Tree};
use redan_audit::{Frontier, Hash};
use redan_ipc::messages::audit::{AuditEvent, AuditSegment};
use redan_types::Timestamp;
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;

/// The sealed segments, the oldest first.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(super) struct Segments(Vec<Segment>);

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Segment {
    first: u64,
    until: u64,
    frontier: Vec<[u8; 32]>,
    note: String,
    sealed: Timestamp,
}

impl Segments {
    pub(super) fn read(store: &Store) -> Result<Self, VaultError> {
        match store.get(Tree::State, Name::Secret(SEGMENTS))? {
            Some(bytes) => decode(VERSION, &bytes),
            None => Ok(Self::default()),
        }
    }

    /// The first entry that is still there.
    pub(super) fn first(&self) -> u64 {
        self.0.last().map_or(0, |segment| segment.until)
    }

    /// The tree before it.
    pub(super) fn frontier(&self) -> Result<Frontier, VaultError> {
        match self.0.last() {
            Some(segment) => Frontier::from_hashes(segment.until, segment.frontier.iter().copied().map(Hash).collect())
                .map_err(|error| VaultError::Refused(error.to_string())),
            None => Ok(Frontier::new()),
        }
    }
}

impl AuditLog {
    /// The segments that were sealed, the oldest first.
    pub(crate) fn segments(&self) -> Vec<AuditSegment> {
        self.sealed().0.iter().map(Segment::told).collect()
    }

    /// Seals everything before the last checkpoint over at most `until` entries, and gives it up. `event` reports it.
    ///
    /// The newest checkpoint's entries stay: a log is never empty of what was signed last.
    pub(crate) fn seal_segment(&self, until: u64, mut event: AuditEvent) -> Result<AuditSegment, VaultError> {
        let _one = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut segments = self.sealed();
        let (first, mut frontier) = (segments.first(), segments.frontier()?);
        let Live { checkpoint, .. } = self.live().clone();
        let newest = checkpoint.map_or(0, |checkpoint| checkpoint.size);
        let end = until.saturating_add(1).min(newest);
        let found = self
            .store
            .numbered(Tree::AuditCheckpoints, first.saturating_add(1)..end, true, 1)?
            .into_iter()
            .next();
        let Some(found) = found else {
            return Err(VaultError::Refused(format!(
                "no checkpoint but the newest ends between entries {first} and {until}: there is nothing to seal yet"
            )));
        };
        let signed = Signed::read(&found?.value, &*self.device)?;
        self.walk(first..signed.size, |hash| {
            frontier.append(hash);
        })?;
        let opened =
            super::open_by_any(&signed.note, &self.keys).map_err(|error| VaultError::Refused(error.to_string()))?;
        if opened.size != frontier.size() || opened.root != frontier.root() {
            return Err(VaultError::Refused(format!(
                "the first {} entries do not have the root that was signed: verify the log before anything of it is given up",
                opened.size
            )));
        }
        let segment = Segment {
            first,
            until: signed.size,
            frontier: frontier.hashes().iter().map(|hash| hash.0).collect(),
            note: signed.note,
            sealed: event.time,
        };
        let told = segment.told();
        if segments.0.len() >= SEGMENTS_KEPT {
            // What the export of the oldest one held says the same.
            segments.0.remove(0);
        }
        segments.0.push(segment);
        event.after = Some(format!("entries {} to {}", told.first, told.until.saturating_sub(1)));
        event.message = format!("root {}", opened.root);
        self.append(&[event], vec![Change::put(Tree::State, SEGMENTS, VERSION, &segments)?])?;
        *self.segments.lock().unwrap_or_else(PoisonError::into_inner) = segments;
        self.sweep()?;
        Ok(told)
    }

    /// Destroys a person's key: what the person's entries say is gone, and every proof goes on to hold.
    pub(crate) fn erase_person(&self, person: &str, event: AuditEvent) -> Result<(), VaultError> {
        if self.key_now(person)?.is_none() {
            return Err(VaultError::Missing);
        }
        self.append_and_erase(&[event], Vec::new(), Some(person.to_owned()))?;
        // The key is gone from the disk when nothing holds it any more, not when it is forgotten.
        Ok(self.store.compact_for_good()?)
    }

    /// Deletes what lies before the first entry that is kept.
    pub(super) fn sweep(&self) -> Result<(), VaultError> {
        let first = self.sealed().first();
        for tree in [Tree::AuditEntries, Tree::AuditCheckpoints] {
            loop {
                let old = self.store.numbered(tree, 0..first, false, SWEEP)?;
                let numbers: Vec<_> = old.iter().flatten().filter_map(|record| record.number).collect();
                if numbers.is_empty() {
                    break;
                }
                let mut batch = self.store.batch();
                numbers
                    .into_iter()
                    .try_for_each(|number| batch.delete(tree, Name::Number(number)))?;
                batch.commit()?;
            }
        }
        Ok(())
    }

    pub(super) fn sealed(&self) -> Segments {
        self.segments.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn walk(&self, numbers: std::ops::Range<u64>, mut take: impl FnMut(Hash)) -> Result<(), VaultError> {
        let mut next = numbers.start;
        while next < numbers.end {
            let until = next.saturating_add(STEP).min(numbers.end);
            for record in self
                .store
                .numbered(Tree::AuditEntries, next..until, false, usize::MAX)?
            {
                let record = record?;
                if record.number != Some(next) {
                    break;
                }
                take(Hash(super::entries::StoredEntry::parse(&record.value)?.hash));
                next += 1;
            }
            if next != until {
                return Err(VaultError::Refused(format!("entry {next} of the audit log is missing")));
            }
        }
        Ok(())
    }
}

impl Segment {
    fn told(&self) -> AuditSegment {
        AuditSegment {
            first: self.first,
            until: self.until,
            sealed: self.sealed,
            note: self.note.clone(),
        }
    }
}

const SEGMENTS: &[u8] = b"audit segments";
/// Segments whose notes are kept; the last one's frontier is what the log goes on from.
const SEGMENTS_KEPT: usize = 256;
const STEP: u64 = 1_024;
/// Records deleted in one change.
const SWEEP: usize = 1_024;
