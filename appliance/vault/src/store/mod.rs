//! The store: records that are encrypted, durable when acknowledged, and found again.
//!
//! * `journal`, `frame`: every change, appended and synced before it is acknowledged. The source of truth.
//! * `snapshot`: the whole store up to a segment, merged from the journal; what it covers of the journal is removed.
//! * `index`: sled, to find records; can be made again from snapshot and journal at any time, and is after every disorderly end.
//! * `keyring`, `xaes`: the envelope of keys, sealed by the key device; records are XAES-256-GCM, names keyed hashes. `rotation`: new
//!   keys for old while serving.
//! * `schema`: older forms of the content brought up to date. `transfer`: the whole store as one encrypted file, and back.
//! * `repair`: what is left of a damaged store, where an operator allows it.
//! * `group`, `commit`: many callers share one sync. `applier`: the index follows behind them.
//!
//! It touches one folder, which it holds alone, and knows nothing of what the records mean. The vault's services call it from
//! many threads. Order of locks: the queue's, never held with another; `rotating`, then journal, then index, then `covered`, then
//! `spare`; `behind`, last and alone.

mod applier;
mod commit;
mod error;
mod folder;
mod frame;
mod group;
mod index;
mod journal;
mod keyring;
mod mutation;
mod open;
mod repair;
mod rotation;
mod schema;
mod sealing;
mod snapshot;
mod transfer;
mod tree;
mod xaes;

pub use error::StoreError;
pub use folder::StateFolder;
pub(crate) use folder::{read as read_file, replace as replace_file};
pub use group::{GroupCommit, Member, Place};
pub use repair::{Loss, Repair};
pub use rotation::Rotation;
pub use sealing::{Direct, Sealing};
pub use transfer::{ExportKey, Exported};
pub use tree::{Name, RecordKey, Tree};
pub(crate) use xaes::{NONCE_LENGTH, TAG_LENGTH, Xaes};

use applier::Behind;
use index::{CleanMark, Index};
use journal::Active;
use keyring::Keyring;
use mutation::Mutation;
use open::{begin_after, create, open_index};
use snapshot::Covered;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::JoinHandle;
use zeroize::Zeroizing;

/// An open store. Dropping it without [`Store::close`] loses nothing, but the next start builds the index again.
#[derive(Debug)]
pub struct Store {
    inner: Arc<Inner>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

struct Inner {
    folder: PathBuf,
    store_id: [u8; 16],
    keyring: Keyring,
    queue: GroupCommit<Vec<Mutation>, Result<(), commit::Refusal>>,
    broken: Mutex<Option<String>>,
    /// A sync has failed: what was just written may be lost, whatever its own sync says.
    distrusted: AtomicBool,
    /// `None` in a store opened read-only.
    journal: Mutex<Option<Active>>,
    index: RwLock<Index>,
    /// Held while snapshots and segments are replaced.
    covered: Mutex<Covered>,
    notes: Mutex<Vec<String>>,
    work: Mutex<Option<Sender<Work>>>,
    /// Held while the next segment's file is made or used; the last of the locks.
    spare: Mutex<()>,
    behind: Behind,
    /// Held while the keyring's file is replaced.
    rotating: Mutex<()>,
}

/// What was found when the store was opened.
#[derive(Debug, Default)]
pub struct OpenReport {
    /// Whether the store was made just now.
    pub created: bool,
    /// Records in it.
    pub records: u64,
    /// Why the index was built again, where it was.
    pub rebuilt: Option<String>,
    /// Where a crash cut a write short; what was in it was never acknowledged.
    pub cut: Option<(PathBuf, u64)>,
    /// Whether the journal's end was written anew, because the end before was not orderly.
    pub renewed: bool,
    /// What was lost, where the store was damaged and an operator had allowed to go on without what cannot be read.
    pub repaired: Option<Repair>,
    /// The forms of the store's content that it was brought to by this start.
    pub migrated: Vec<u32>,
    /// A snapshot's own hash was wrong; the records below are the damaged ones, all others are good.
    pub snapshot_damaged: bool,
    /// Records that do not authenticate (the first hundred).
    pub corrupt: Vec<(Tree, RecordKey)>,
    /// How many there are of them.
    pub corrupt_count: u64,
    /// Why the store takes no changes, where that is so.
    pub read_only: Option<String>,
}

/// A record that was read.
#[derive(Debug)]
pub struct Record {
    /// Its name; empty where it has a number.
    pub name: Vec<u8>,
    /// Its number, where it has one.
    pub number: Option<u64>,
    /// Its value, wiped when dropped.
    pub value: Zeroizing<Vec<u8>>,
}

/// Changes that are made together or not at all.
#[derive(Debug)]
#[must_use = "changes are made by `commit`"]
pub struct Batch<'a> {
    store: &'a Store,
    mutations: Vec<Mutation>,
}

/// A record that is encrypted for its place and stands nowhere yet.
#[derive(Clone, Debug)]
pub(crate) struct SealedRecord(Mutation);

enum Work {
    /// This segment is now the active one.
    Rotated(u64),
    /// Merge everything closed into a snapshot, and answer.
    Snapshot(Sender<Result<(), StoreError>>),
    /// Encrypt records anew that stand under old keys, from this key on; the number of those that could not be.
    Renew(Vec<u8>, u64),
    Stop,
}

impl Store {
    /// Opens the store in a locked state folder, or makes one where there is none, checks every record, and says what it found.
    ///
    /// # Errors
    /// The store belongs to another device, a file is damaged where acknowledged data lies, or the disk fails. A corrupt record is
    /// no error here but an entry in the report: the others can be read.
    pub fn open(state: &StateFolder, sealing: &dyn Sealing) -> Result<(Self, OpenReport), StoreError> {
        Self::open_in(state.path().join(folder::STORE), state, sealing)
    }

    fn open_in(folder: PathBuf, state: &StateFolder, sealing: &dyn Sealing) -> Result<(Self, OpenReport), StoreError> {
        let mut report = OpenReport::default();
        if state.writable() {
            folder::create(&folder)?;
        }
        let keyring = match Keyring::open(&folder, sealing, state.writable())? {
            Some(keyring) => keyring,
            None => {
                report.created = true;
                create(&folder, sealing)?
            }
        };
        let schema = schema::read(&folder)?;
        let find = |report: &mut OpenReport| {
            let covered = snapshot::newest(&folder, keyring.store_id())?;
            let opened = open_index(&folder, &keyring, &covered, state.writable(), report)?;
            Ok((covered, opened))
        };
        let allowed = state.writable() && repair::is_allowed(state.path());
        let (covered, opened) = match find(&mut report) {
            Err(StoreError::Damaged { .. } | StoreError::Gap { .. }) if allowed => {
                report.repaired = Some(repair::repair(&folder, &keyring)?);
                find(&mut report)?
            }
            other => other?,
        };
        if allowed {
            repair::take_back(state.path())?;
        }
        let mut read_only = (!state.writable()).then(|| "its file system is mounted read-only".to_owned());
        let mut active = None;
        if state.writable() {
            match begin_after(&folder, &keyring, &covered, &opened) {
                Ok(begun) => {
                    report.renewed = !opened.orderly && !report.created;
                    active = Some(begun);
                }
                Err(error) if error.is_full() => read_only = Some(error.to_string()),
                Err(error) => return Err(error),
            }
        }
        report.read_only.clone_from(&read_only);
        let inner = Arc::new(Inner {
            folder,
            store_id: *keyring.store_id(),
            keyring,
            queue: GroupCommit::new(commit::GROUP),
            broken: Mutex::default(),
            distrusted: AtomicBool::new(false),
            journal: Mutex::new(active),
            index: RwLock::new(opened.index),
            covered: Mutex::new(covered),
            notes: Mutex::default(),
            work: Mutex::default(),
            spare: Mutex::default(),
            behind: Behind::default(),
            rotating: Mutex::default(),
        });
        if let Some(why) = read_only {
            inner.break_off(why);
            let threads = Mutex::default();
            return Ok((Self { inner, threads }, report));
        }
        let (work, todo) = channel();
        *inner.work.lock().unwrap_or_else(PoisonError::into_inner) = Some(work);
        let (keeper, applier) = (Arc::clone(&inner), Arc::clone(&inner));
        let threads = vec![
            start(&inner, "store", move || keeper.keep(&todo))?,
            start(&inner, "index", move || applier.apply_behind())?,
        ];
        inner.maintain(Work::Rotated(opened.last_segment + 1));
        if inner.keyring.rotating() {
            inner.maintain(Work::Renew(Vec::new(), 0));
        }
        let threads = Mutex::new(threads);
        let store = Self { inner, threads };
        report.migrated = schema::migrate(&store, schema, &schema::STEPS)?;
        Ok((store, report))
    }

    /// Whether this opens the store in a locked state folder; changes nothing.
    ///
    /// # Errors
    /// Why not.
    pub fn is_opened_by(state: &StateFolder, sealing: &dyn Sealing) -> Result<(), StoreError> {
        Keyring::open(&state.path().join(folder::STORE), sealing, false).map(drop)
    }

    /// The value of a record; `None` where there is none.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where it does not authenticate; the index failed.
    pub fn get(&self, tree: Tree, name: Name<'_>) -> Result<Option<Zeroizing<Vec<u8>>>, StoreError> {
        let key = self.inner.keyring.locate(tree, name)?;
        let sealed = self
            .inner
            .index
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&key)
            .map_err(StoreError::Index)?;
        sealed
            .map(|sealed| self.inner.keyring.open_record(&key, &sealed).map(|opened| opened.value))
            .transpose()
    }

    /// A record as it is on disk.
    #[cfg(test)]
    pub(crate) fn sealed(&self, tree: Tree, name: Name<'_>) -> Option<Vec<u8>> {
        let key = self.inner.keyring.locate(tree, name).ok()?;
        let index = self.inner.index.read().unwrap_or_else(PoisonError::into_inner);
        index.get(&key).ok()?
    }

    /// Every record of a tree, those with a number in their order. A corrupt one is an error in its place.
    ///
    /// # Errors
    /// The index failed.
    pub fn list(&self, tree: Tree) -> Result<Vec<Result<Record, StoreError>>, StoreError> {
        self.read(&[tree.id()], &[tree.id() + 1], false, usize::MAX)
    }

    /// Records of a tree whose numbers lie in `from..to`, lowest first or highest first, at most `limit`.
    ///
    /// # Errors
    /// The index failed.
    pub fn numbered(
        &self,
        tree: Tree,
        numbers: std::ops::Range<u64>,
        highest_first: bool,
        limit: usize,
    ) -> Result<Vec<Result<Record, StoreError>>, StoreError> {
        let start = RecordKey::new(tree, &numbers.start.to_be_bytes());
        let end = RecordKey::new(tree, &numbers.end.to_be_bytes());
        self.read(start.bytes(), end.bytes(), highest_first, limit)
    }

    /// Encrypts a record for a place, to be put there by [`Batch::add`]: for those who encrypt on several threads.
    pub(crate) fn seal(&self, tree: Tree, name: Name<'_>, value: &[u8]) -> Result<SealedRecord, StoreError> {
        let key = self.inner.keyring.locate(tree, name)?;
        let sealed = self.inner.keyring.seal(tree, &key, name, value)?;
        Ok(SealedRecord(Mutation::Put(key, sealed)))
    }

    /// Begins a set of changes.
    pub const fn batch(&self) -> Batch<'_> {
        Batch {
            store: self,
            mutations: Vec::new(),
        }
    }

    /// Why the store takes no changes, where that is so.
    #[must_use]
    pub fn unwritable(&self) -> Option<String> {
        self.inner.broken()
    }

    /// Takes no changes from now on: something else that lives on the same disk could not be made durable, and what it took with it
    /// is not known. The next start reads what there is and writes it anew.
    pub(crate) fn distrust(&self, why: &str) {
        self.inner.distrust(why.to_owned());
    }

    /// What went wrong and was mended since the store was opened, in words.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        self.inner.notes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Bytes on disk.
    #[must_use]
    pub fn disk(&self) -> u64 {
        folder::size(&self.inner.folder)
    }

    /// Merges the journal into a snapshot now: what was deleted or replaced is gone from both when this returns.
    ///
    /// # Errors
    /// The disk is full or failed; the store is as before.
    pub fn compact(&self) -> Result<(), StoreError> {
        let (answer, done) = channel();
        self.inner.rotate()?;
        self.inner.maintain(Work::Snapshot(answer));
        done.recv()
            .map_err(|_| StoreError::ReadOnly("its maintenance has ended".to_owned()))?
    }

    /// The same, for what must not come back: the index on disk, which gives room free without overwriting it, is made anew at the
    /// next start.
    ///
    /// # Errors
    /// As for [`Store::compact`].
    pub(crate) fn compact_for_good(&self) -> Result<(), StoreError> {
        index::mark_stale(&self.inner.folder)?;
        self.compact()
    }

    /// Closes the store so that the next start can use the index as it is. Changes that come later are refused; reading goes on.
    ///
    /// # Errors
    /// The index could not be made durable; nothing is lost, the next start builds it again.
    pub fn close(&self) -> Result<(), StoreError> {
        // First, so that nothing is added behind the threads' backs.
        let sound = self.inner.break_off("it was closed".to_owned());
        drop(self.inner.journal.lock().unwrap_or_else(PoisonError::into_inner));
        self.stop_threads();
        let journal = self.inner.journal.lock().unwrap_or_else(PoisonError::into_inner);
        let index = self.inner.index.read().unwrap_or_else(PoisonError::into_inner);
        let (Some(active), Some(sled)) = (journal.as_ref(), index.sled()) else {
            return Ok(());
        };
        if !sound || index.pending() > 0 {
            // After an error nothing is claimed about what the disk holds, and an index that could not follow is built again.
            return Ok(());
        }
        let fingerprint = index.visit(|_, _| ()).map_err(StoreError::Index)?;
        sled.sync(&index::path(&self.inner.folder)).map_err(StoreError::Index)?;
        CleanMark::new(self.inner.store_id, &active.position(), fingerprint).write(&self.inner.folder)
    }

    fn read(
        &self,
        start: &[u8],
        end: &[u8],
        backwards: bool,
        limit: usize,
    ) -> Result<Vec<Result<Record, StoreError>>, StoreError> {
        let index = self.inner.index.read().unwrap_or_else(PoisonError::into_inner);
        let found = index.range(start..end, backwards, limit).map_err(StoreError::Index)?;
        drop(index);
        let open = |(key, sealed): (RecordKey, Vec<u8>)| {
            let opened = self.inner.keyring.open_record(&key, &sealed)?;
            Ok(Record {
                name: opened.name,
                number: key.number(),
                value: opened.value,
            })
        };
        Ok(found.into_iter().map(open).collect())
    }

    fn stop_threads(&self) {
        self.inner.maintain(Work::Stop);
        // In the order in which they were started: maintenance still writes, and the index takes up what it wrote.
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A panic there has been reported by the panic itself.
            let _ = thread.join();
            self.inner.behind.stop();
        }
    }
}

fn start(inner: &Inner, name: &str, work: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StoreError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(work)
        .map_err(StoreError::file("start a thread for", &inner.folder))
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop_threads();
    }
}

impl Batch<'_> {
    /// Puts a record, replacing what was under the name.
    ///
    /// # Errors
    /// The name is longer than 65,535 bytes, or a library failed.
    pub fn put(&mut self, tree: Tree, name: Name<'_>, value: &[u8]) -> Result<(), StoreError> {
        let sealed = self.store.seal(tree, name, value)?;
        self.add(sealed);
        Ok(())
    }

    /// Puts a record that was encrypted before.
    pub(crate) fn add(&mut self, record: SealedRecord) {
        self.mutations.push(record.0);
    }

    /// Deletes a record; one that is not there is no error.
    ///
    /// # Errors
    /// A library failed.
    pub fn delete(&mut self, tree: Tree, name: Name<'_>) -> Result<(), StoreError> {
        self.mutations
            .push(Mutation::Delete(self.store.inner.keyring.locate(tree, name)?));
        Ok(())
    }

    /// Makes the changes; they are durable when this returns.
    ///
    /// # Errors
    /// [`StoreError::Full`], [`StoreError::ReadOnly`]: not acknowledged; [`StoreError::TooLarge`].
    pub fn commit(self) -> Result<(), StoreError> {
        self.store.inner.keep_pace(applier::PATIENCE);
        self.store.inner.commit(self.mutations)
    }
}

impl Inner {
    fn maintain(&self, work: Work) {
        if let Some(sender) = &*self.work.lock().unwrap_or_else(PoisonError::into_inner) {
            // The thread ends before the sender only when the store is being closed.
            let _ = sender.send(work);
        }
    }

    fn note(&self, note: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES {
            notes.push(note);
        }
    }

    /// The maintenance thread: prepares the next segment's file and makes snapshots.
    fn keep(&self, todo: &Receiver<Work>) {
        while let Ok(work) = todo.recv() {
            match work {
                Work::Stop => return,
                Work::Snapshot(answer) => {
                    // Whoever asked may have gone.
                    let _ = answer.send(self.heed(self.snapshot()));
                }
                Work::Renew(from, kept) => self.keep_renewing(&from, kept),
                Work::Rotated(active) => {
                    if let Err(error) = self.heed(self.after_rotation(active)) {
                        self.note(format!(
                            "maintenance of the journal failed, it will be tried again: {error}"
                        ));
                    }
                }
            }
        }
    }

    /// A sync that failed may have lost more than what it was for: a disk drops what it could not write, whosever it is, and takes
    /// later flushes for done. Nothing is acknowledged after that; the next start reads the last segment and writes it anew.
    fn heed<T>(&self, result: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &result
            && error.is_failed_sync()
        {
            self.distrust(error.to_string());
        }
        result
    }

    fn distrust(&self, why: String) {
        self.break_off(why);
        self.distrusted.store(true, Ordering::Release);
    }

    fn after_rotation(&self, active: u64) -> Result<(), StoreError> {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        journal::prepare_spare(&self.folder)?;
        drop(spare);
        let covered = *self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = active.saturating_sub(1).saturating_sub(covered.segment);
        let bytes: u64 = (covered.segment + 1..active)
            .map(|number| journal::segment_bytes(&self.folder, number))
            .sum();
        // A snapshot costs as much as it holds, so it waits until the journal has grown by half of that; many short segments
        // (restarts) are merged too. The upper bound is what the merge holds in memory.
        if (bytes >= (covered.bytes / 2).clamp(SNAPSHOT_MIN, SNAPSHOT_MAX)) || closed >= SEGMENTS_MAX {
            self.snapshot()?;
        }
        Ok(())
    }

    fn snapshot(&self) -> Result<(), StoreError> {
        let active = self
            .journal
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_ref()
            .map(Active::number);
        let mut covered = self.covered.lock().unwrap_or_else(PoisonError::into_inner);
        match active {
            Some(active) if active > covered.segment + 1 => {
                *covered = snapshot::advance(&self.folder, &self.store_id, &covered, active - 1)?;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

const NOTES: usize = 100;
const SNAPSHOT_MIN: u64 = 32 << 20;
const SNAPSHOT_MAX: u64 = 256 << 20;
const SEGMENTS_MAX: u64 = 16;

#[cfg(test)]
mod faults;
#[cfg(test)]
mod tests;
