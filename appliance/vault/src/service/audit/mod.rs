//! The audit log: appended to in groups, durable before it is acknowledged, a Merkle tree from the first entry on.
//!
//! An entry is encrypted under a key of whoever it concerns, with fresh salt; the tree hashes the ciphertext (`redan_audit::leaf`
//! says why). A group of entries, the changes they report, the tree's new head and any new person's key are one change of the
//! store: what was done and the entry about it are there together or not at all.

mod counting;
mod entries;
mod export;
mod keys;
mod people;
mod search;
mod segments;
mod verify;

pub(crate) use export::Export;

use super::VaultError;
use super::change::{Change, decode, encode};
use crate::store::{GroupCommit, Member, Name, Store, StoreError, Tree};
use counting::compare_counter;
use entries::{Draft, Prepared};
use keys::Keys;
use people::{Pending, PersonKey};
use redan_audit::note::SignError;
use redan_audit::{Checkpoint, CheckpointError, Frontier, Hash};
use redan_hal::keys::{Attestation, DeviceIdentity, DeviceKind, KeyDevice, Operation};
use redan_ipc::messages::audit::AuditEvent;
use redan_ipc::messages::vault::VaultRefusal;
use redan_types::Timestamp;
use segments::Segments;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The log.
#[derive(Debug)]
pub(crate) struct AuditLog {
    store: Arc<Store>,
    device: Arc<dyn KeyDevice>,
    keys: Keys,
    /// What was sealed and given up.
    segments: Mutex<Segments>,
    /// One checkpoint at a time. Held while the device is asked, which may take its time; appending goes on meanwhile.
    checkpointing: Mutex<()>,
    queue: GroupCommit<Arc<Job>, Result<(), VaultRefusal>>,
    /// What is to be added to the number of events that joined the queue before one to get its place in the tree. Right unless a
    /// group is refused meanwhile: it only spares the one who writes for a group the sealing of all its entries.
    offset: AtomicU64,
    // Lock order: `live`, then `people`; neither is held while joining the queue.
    live: Mutex<Live>,
    people: Mutex<HashMap<String, Arc<PersonKey>>>,
}

/// Where the log stands.
#[derive(Clone, Debug)]
struct Live {
    frontier: Frontier,
    checkpoint: Option<Signed>,
}

/// What one caller wants recorded.
#[derive(Debug)]
struct Job {
    /// Whose key is destroyed, before the entries: they are not under it.
    erases: Option<String>,
    entries: Vec<Draft>,
    changes: Vec<Change>,
}

/// A checkpoint as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Signed {
    size: u64,
    time: Timestamp,
    /// As the checkpoint says it: it goes on counting where another device's counter begins anew.
    counter: Option<u64>,
    /// The highest one that any checkpoint said.
    reached: u64,
    /// The device that counted, and what it said itself.
    device: DeviceIdentity,
    counted: u64,
    note: String,
    /// The device's own statement that its counter had this value when it was given the hash of the checkpoint's text.
    certified: Option<Attestation>,
}

/// As it was stored before there were devices without a counter.
#[derive(Deserialize)]
struct FirstSigned {
    size: u64,
    time: Timestamp,
    counter: u64,
    note: String,
}

impl Signed {
    /// Reads a stored one. One of the first form was counted by a software device, the only kind there was; it is taken to be the
    /// present one where that is of this kind.
    fn read(bytes: &[u8], device: &dyn KeyDevice) -> Result<Self, VaultError> {
        if bytes.first() != Some(&VERSION) {
            return decode(SIGNED, bytes);
        }
        let FirstSigned {
            size,
            time,
            counter,
            note,
        } = decode(VERSION, bytes)?;
        let present = *device.identity();
        let unknown = DeviceIdentity {
            kind: DeviceKind::Software,
            id: [0; 16],
        };
        Ok(Self {
            size,
            time,
            counter: Some(counter),
            reached: counter,
            device: if present.kind == DeviceKind::Software {
                present
            } else {
                unknown
            },
            counted: counter,
            note,
            certified: None,
        })
    }
}

/// The tree's state as it is stored with every group.
#[derive(Debug, Deserialize, Serialize)]
struct Head {
    size: u64,
    frontier: Vec<[u8; 32]>,
}

impl AuditLog {
    /// Opens the log, or begins one. Returns what does not fit together, in words: each is a sign of tampering or a damaged disk.
    pub(crate) fn open(store: Arc<Store>, device: Arc<dyn KeyDevice>) -> Result<(Self, Vec<String>), VaultError> {
        let (keys, mut notes) = Keys::open(&store, &device)?;
        let segments = Segments::read(&store)?;
        let head = match store.get(Tree::State, Name::Secret(HEAD))? {
            Some(bytes) => decode(VERSION, &bytes)?,
            None => Head {
                size: 0,
                frontier: Vec::new(),
            },
        };
        let frontier = Frontier::from_hashes(head.size, head.frontier.into_iter().map(Hash).collect())
            .map_err(|error| VaultError::Refused(error.to_string()))?;
        let last = store
            .numbered(Tree::AuditEntries, 0..u64::MAX, true, 1)?
            .into_iter()
            .next();
        let entries = match &last {
            Some(Ok(record)) => record.number.map_or(0, |number| number + 1),
            // A damaged last entry is found by its number when the log is verified.
            Some(Err(_)) => head.size,
            None => 0,
        };
        if entries != head.size {
            notes.push(format!(
                "the audit log has {entries} entries, its head says {}",
                head.size
            ));
        }
        let newest = store
            .numbered(Tree::AuditCheckpoints, 0..u64::MAX, true, 1)?
            .into_iter()
            .next();
        let checkpoint: Option<Signed> = match newest {
            Some(record) => Some(Signed::read(&record?.value, &*device)?),
            None => None,
        };
        notes.extend(compare_counter(&store, &*device, checkpoint.as_ref())?);
        if let Some(checkpoint) = &checkpoint {
            match open_by_any(&checkpoint.note, &keys) {
                Ok(opened) if opened.size > head.size => notes.push(format!(
                    "the audit log has {} entries, its last checkpoint was signed over {}: the end is missing",
                    head.size, opened.size
                )),
                Ok(opened) if opened.size == head.size && opened.root != frontier.root() => {
                    notes.push("the audit log's tree does not fit its last checkpoint".to_owned());
                }
                Ok(_) => {}
                Err(error) => notes.push(format!("the audit log's last checkpoint: {error}")),
            }
        }
        let log = Self {
            store,
            device,
            keys,
            segments: Mutex::new(segments),
            checkpointing: Mutex::default(),
            queue: GroupCommit::new(GROUP),
            offset: AtomicU64::new(frontier.size()),
            live: Mutex::new(Live { frontier, checkpoint }),
            people: Mutex::default(),
        };
        if log.store.unwritable().is_none() {
            log.sweep()?;
        }
        Ok((log, notes))
    }

    /// Records events, together with the changes that they report; both are durable when this returns.
    ///
    /// Whoever comes first writes for all who wait, as in the store: the entries of a group need their places in the tree before
    /// they can be encrypted, so that the grouping has to happen here.
    pub(crate) fn append(&self, events: &[AuditEvent], changes: Vec<Change>) -> Result<(), VaultRefusal> {
        self.append_and_erase(events, changes, None)
    }

    /// The same, and destroys a person's key with it.
    fn append_and_erase(
        &self,
        events: &[AuditEvent],
        changes: Vec<Change>,
        erases: Option<String>,
    ) -> Result<(), VaultRefusal> {
        if events.len() > EVENTS {
            return Err(VaultRefusal::Refused(format!(
                "at most {EVENTS} events at once, not {}",
                events.len()
            )));
        }
        let entries = events.iter().map(Prepared::new).collect::<Result<Vec<_>, _>>()?;
        let weight =
            entries.iter().map(Prepared::weight).sum::<usize>() + changes.iter().map(Change::weight).sum::<usize>();
        let job = Arc::new(Job {
            erases,
            entries: entries.into_iter().map(Draft::new).collect(),
            changes,
        });
        let place = self.queue.join(Arc::clone(&job), weight, job.entries.len() as u64);
        self.seal_ahead(&job, place.before);
        self.queue
            .finish(&place, |group| self.write(group).map_err(VaultRefusal::from))
    }

    /// Seals a caller's entries on its own thread, for the places that they will probably have.
    fn seal_ahead(&self, job: &Job, before: u64) {
        let first = self.offset.load(Ordering::Relaxed).wrapping_add(before);
        for (draft, sequence) in job.entries.iter().zip(first..) {
            let known = self.people().get(draft.person()).map(Arc::clone);
            if let Some(key) = known {
                draft.seal_ahead(&self.store, sequence, &key);
            }
        }
    }

    fn write(&self, group: &[Member<Arc<Job>>]) -> Result<(), VaultError> {
        let mut live = self.live();
        let mut result = self.write_after(&mut live, group, true);
        if matches!(result, Err(VaultError::Store(StoreError::Stale(_)))) {
            // The store's keys were rotated since the entries were sealed.
            result = self.write_after(&mut live, group, false);
        }
        if let Some(last) = group.last() {
            let joined = last.before + last.job.entries.len() as u64;
            self.offset
                .store(live.frontier.size().wrapping_sub(joined), Ordering::Relaxed);
        }
        result
    }

    /// `ahead`: whether what the callers have sealed may be taken.
    fn write_after(&self, live: &mut Live, group: &[Member<Arc<Job>>], ahead: bool) -> Result<(), VaultError> {
        let mut frontier = live.frontier.clone();
        let mut batch = self.store.batch();
        let mut pending = Pending::default();
        for Member { job, .. } in group {
            if let Some(person) = &job.erases {
                pending.erase(person, &mut batch)?;
            }
            for draft in &job.entries {
                let key = self.key_for(draft.person(), frontier.size(), &mut pending)?;
                draft.add_to(&self.store, &mut batch, &mut frontier, &key, ahead)?;
            }
            job.changes.iter().try_for_each(|change| change.add_to(&mut batch))?;
        }
        if frontier.size() != live.frontier.size() {
            let head = Head {
                size: frontier.size(),
                frontier: frontier.hashes().iter().map(|hash| hash.0).collect(),
            };
            Change::put(Tree::State, HEAD, VERSION, &head)?.add_to(&mut batch)?;
        }
        pending.add_to(&mut batch)?;
        batch.commit()?;
        live.frontier = frontier;
        self.take_up(pending);
        Ok(())
    }

    /// Entries in the log.
    pub(crate) fn size(&self) -> u64 {
        self.live().frontier.size()
    }

    /// When the last checkpoint was signed.
    pub(crate) fn checkpointed(&self) -> Option<Timestamp> {
        self.live().checkpoint.as_ref().map(|checkpoint| checkpoint.time)
    }

    /// Signs a checkpoint now and then: at once where the device's counter costs nothing, else at most once a minute, for
    /// memory that survives a power cut wears.
    pub(crate) fn checkpoint_in_time(&self, now: Timestamp) -> Result<(), VaultError> {
        let wears = self.device.capabilities().counter_survives_restore;
        let recent = |last: Timestamp| last <= now && now.since(last) < COUNTING;
        if wears && self.checkpointed().is_some_and(recent) {
            return Ok(());
        }
        self.checkpoint(now)
    }

    /// Signs a checkpoint over what the log holds now, unless the last one covers it.
    pub(crate) fn checkpoint(&self, now: Timestamp) -> Result<(), VaultError> {
        let _one = self.checkpointing.lock().unwrap_or_else(PoisonError::into_inner);
        let Live { frontier, checkpoint } = self.live().clone();
        let size = frontier.size();
        if checkpoint.as_ref().is_some_and(|checkpoint| checkpoint.size == size) {
            return Ok(());
        }
        if let Some(why) = self.store.unwritable() {
            return Err(VaultError::Unwritable(why));
        }
        let device = *self.device.identity();
        let (counter, counted, reached) = if self.device.capabilities().offers(Operation::Count) {
            let counted = self.count(checkpoint.as_ref())?;
            let counter = match &checkpoint {
                Some(last) if last.device == device => last.counter.map_or(counted, |said| {
                    said.saturating_sub(last.counted).saturating_add(counted)
                }),
                // Another device's counter begins anew; what the log says never goes back.
                Some(last) => last.reached.saturating_add(1).max(counted),
                None => counted,
            };
            (Some(counter), counted, counter)
        } else {
            (None, 0, checkpoint.as_ref().map_or(0, |last| last.reached))
        };
        let statement = Checkpoint {
            origin: self.keys.common.name().to_owned(),
            size,
            root: frontier.root(),
            counter,
        };
        let note = statement
            .sign(&self.keys.common, |text| self.keys.sign(text))
            .map_err(unsigned)?;
        let note = match &self.keys.inside {
            Some((key, id)) => key
                .cosign(&note, |text| self.device.sign(*id, text).map_err(VaultError::from))
                .map_err(unsigned)?,
            None => note,
        };
        let certified = if self.device.capabilities().offers(Operation::CertifyCounter) {
            let subject = Sha256::digest(statement.text().as_bytes()).into();
            Some(self.device.certify_counter(&subject)?)
        } else {
            None
        };
        let signed = Signed {
            size,
            time: now,
            counter,
            reached,
            device,
            counted,
            note,
            certified,
        };
        let mut batch = self.store.batch();
        batch.put(Tree::AuditCheckpoints, Name::Number(size), &encode(SIGNED, &signed)?)?;
        batch.commit()?;
        self.live().checkpoint = Some(signed);
        Ok(())
    }

    fn live(&self) -> MutexGuard<'_, Live> {
        // A poisoned lock is sound: the state is replaced in one assignment after its change is durable.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens a note with the key of now, or with one of before where the store was moved since.
fn open_by_any(note: &str, keys: &Keys) -> Result<Checkpoint, CheckpointError> {
    let former = keys.former.iter().find_map(|key| Checkpoint::open(note, key).ok());
    match (Checkpoint::open(note, &keys.common), former) {
        (Err(_), Some(checkpoint)) => Ok(checkpoint),
        (opened, _) => opened,
    }
}

fn unsigned(error: SignError<VaultError>) -> VaultError {
    match error {
        SignError::Signer(error) => error,
        SignError::Text(error) => VaultError::Refused(error.to_string()),
    }
}

const HEAD: &[u8] = b"audit head";
const VERSION: u8 = 1;
/// The form of checkpoints.
const SIGNED: u8 = 2;
/// Between two increments of a counter in hardware.
const COUNTING: Duration = Duration::from_mins(1);
/// Events in one call.
const EVENTS: usize = 256;
/// Bytes of one group: hundreds of events, and far below what one change of the store may hold.
const GROUP: usize = 1 << 20;

#[cfg(test)]
mod tests;
