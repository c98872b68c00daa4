//! The index: where a record is found without reading the journal. It can always be made again.
//!
//! sled 0.34.7 keeps it on disk. Nothing rests on sled: an acknowledgement waits for the journal alone, snapshots are made from
//! the journal alone, and an index that was not closed in good order is thrown away and built again at the next start. That rule
//! covers a crash, a power cut (sled's own `flush` is not durable on Linux), and a panic inside sled, which ends the process: the
//! marker that allows the index to be used again is removed before sled opens it and comes back only when it was closed.
//!
//! The disk follows behind the acknowledgements (`applier`): what is not there yet is found in memory first.
//!
//! When sled fails while the vault runs, or the disk is too full for it to grow, the index moves to memory and reading goes on.

use super::error::StoreError;
use super::folder;
use super::journal::Position;
use super::mutation::Mutation;
use super::tree::RecordKey;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::ops::{Bound, Range};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The index: what it has on disk or in memory, and what was acknowledged since the disk was brought up to date.
#[derive(Debug)]
pub(crate) struct Index {
    base: Base,
    /// Newest, not on its way to disk yet.
    fresh: Changes,
    fresh_bytes: usize,
    /// On its way to disk.
    step: Option<Arc<Changes>>,
    step_bytes: usize,
}

#[derive(Debug)]
enum Base {
    Sled(Arc<SledIndex>),
    Memory(BTreeMap<RecordKey, Vec<u8>>),
}

/// Records as they are now; `None` for those that are no more.
pub(crate) type Changes = BTreeMap<RecordKey, Option<Vec<u8>>>;

impl Index {
    pub(crate) const fn in_memory(records: BTreeMap<RecordKey, Vec<u8>>) -> Self {
        Self::with(Base::Memory(records))
    }

    pub(crate) fn on_disk(sled: SledIndex) -> Self {
        Self::with(Base::Sled(Arc::new(sled)))
    }

    const fn with(base: Base) -> Self {
        Self {
            base,
            fresh: BTreeMap::new(),
            fresh_bytes: 0,
            step: None,
            step_bytes: 0,
        }
    }

    /// The database, where there is one.
    pub(crate) fn sled(&self) -> Option<&SledIndex> {
        match &self.base {
            Base::Sled(sled) => Some(sled),
            Base::Memory(_) => None,
        }
    }

    /// Makes a change at once.
    pub(crate) fn apply(&mut self, mutation: Mutation) -> Result<(), String> {
        match (&mut self.base, mutation) {
            (Base::Sled(sled), Mutation::Put(key, value)) => sled.set(key.bytes(), Some(&value)),
            (Base::Sled(sled), Mutation::Delete(key)) => sled.set(key.bytes(), None),
            (Base::Memory(map), Mutation::Put(key, value)) => {
                map.insert(key, value);
                Ok(())
            }
            (Base::Memory(map), Mutation::Delete(key)) => {
                map.remove(&key);
                Ok(())
            }
        }
    }

    /// Makes a change in memory; the disk follows.
    pub(crate) fn add(&mut self, mutation: Mutation) {
        let (key, value) = match mutation {
            Mutation::Put(key, value) => (key, Some(value)),
            Mutation::Delete(key) => (key, None),
        };
        match (&mut self.base, value) {
            (Base::Memory(map), Some(value)) => {
                map.insert(key, value);
            }
            (Base::Memory(map), None) => {
                map.remove(&key);
            }
            (Base::Sled(_), value) => {
                self.fresh_bytes += ENTRY + value.as_ref().map_or(0, Vec::len);
                if let Some(Some(old)) = self.fresh.insert(key, value) {
                    self.fresh_bytes = self.fresh_bytes.saturating_sub(ENTRY + old.len());
                }
            }
        }
    }

    /// Bytes that the disk is behind.
    pub(crate) const fn pending(&self) -> usize {
        self.fresh_bytes + self.step_bytes
    }

    /// What is to be brought to disk next, where there is something and nothing is on its way.
    pub(crate) fn begin_step(&mut self) -> Option<(Arc<SledIndex>, Arc<Changes>, usize)> {
        let Base::Sled(sled) = &self.base else { return None };
        if self.step.is_some() || self.fresh.is_empty() {
            return None;
        }
        let step = Arc::new(std::mem::take(&mut self.fresh));
        self.step = Some(Arc::clone(&step));
        self.step_bytes = std::mem::take(&mut self.fresh_bytes);
        Some((Arc::clone(sled), step, self.step_bytes))
    }

    /// What was on its way has arrived.
    pub(crate) fn end_step(&mut self) {
        self.step = None;
        self.step_bytes = 0;
    }

    pub(crate) fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, String> {
        let step = self.step.as_ref().and_then(|step| step.get(key));
        match (self.fresh.get(key).or(step), &self.base) {
            (Some(changed), _) => Ok(changed.clone()),
            (None, Base::Sled(sled)) => sled.get(key.bytes()),
            (None, Base::Memory(map)) => Ok(map.get(key).cloned()),
        }
    }

    /// Records whose keys lie in `range`, in order of keys or backwards, at most `limit`.
    pub(crate) fn range(
        &self,
        range: Range<&[u8]>,
        backwards: bool,
        limit: usize,
    ) -> Result<Vec<(RecordKey, Vec<u8>)>, String> {
        if range.start >= range.end {
            return Ok(Vec::new());
        }
        let bounds = (Bound::Included(range.start), Bound::Excluded(range.end));
        match &self.base {
            Base::Sled(sled) => {
                let mut changed: BTreeMap<&RecordKey, &Option<Vec<u8>>> = BTreeMap::new();
                if let Some(step) = &self.step {
                    changed.extend(step.range::<[u8], _>(bounds));
                }
                changed.extend(self.fresh.range::<[u8], _>(bounds));
                let stored = sled.records.range(range.start.to_vec()..range.end.to_vec());
                if backwards {
                    merge(sled, stored.rev(), changed.into_iter().rev(), limit, |one, other| {
                        one > other
                    })
                } else {
                    merge(sled, stored, changed.into_iter(), limit, |one, other| one < other)
                }
            }
            Base::Memory(map) => {
                let iter = map.range::<[u8], _>(bounds);
                let owned = |(key, value): (&RecordKey, &Vec<u8>)| (key.clone(), value.clone());
                Ok(if backwards {
                    iter.rev().take(limit).map(owned).collect()
                } else {
                    iter.take(limit).map(owned).collect()
                })
            }
        }
    }

    /// Visits every record and returns the hash of them all, with their number.
    pub(crate) fn visit(&self, mut visit: impl FnMut(&RecordKey, &[u8])) -> Result<Fingerprint, String> {
        let mut fingerprint = Fingerprint {
            records: 0,
            hash: [0; 32],
        };
        let mut hash = Sha256::new();
        let mut from = vec![0];
        loop {
            let page = self.range(&from[..]..&[0xff], false, PAGE)?;
            for (key, value) in &page {
                hash.update([u8::try_from(key.len()).unwrap_or(u8::MAX)]);
                hash.update(key.bytes());
                hash.update((value.len() as u64).to_le_bytes());
                hash.update(value);
                fingerprint.records += 1;
                visit(key, value);
            }
            let Some((last, _)) = page.last() else { break };
            from = [last.bytes(), &[0]].concat();
        }
        fingerprint.hash = hash.finalize().into();
        Ok(fingerprint)
    }
}

/// Merges what the database has with what changed since; a changed key hides the stored one. `earlier` is the order of both.
fn merge<'a>(
    sled: &SledIndex,
    stored: impl Iterator<Item = sled::Result<(sled::IVec, sled::IVec)>>,
    changed: impl Iterator<Item = (&'a RecordKey, &'a Option<Vec<u8>>)>,
    limit: usize,
    earlier: impl Fn(&[u8], &[u8]) -> bool,
) -> Result<Vec<(RecordKey, Vec<u8>)>, String> {
    let mut found = Vec::new();
    let mut changed = changed.peekable();
    for item in stored {
        let (key, first) = item.map_err(|error| error.to_string())?;
        while let Some((new, value)) = changed.next_if(|(new, _)| earlier(new.bytes(), &key)) {
            if found.len() == limit {
                return Ok(found);
            }
            found.extend(value.as_ref().map(|value| (new.clone(), value.clone())));
        }
        if found.len() == limit {
            return Ok(found);
        }
        if let Some((new, value)) = changed.next_if(|(new, _)| new.bytes() == &key[..]) {
            found.extend(value.as_ref().map(|value| (new.clone(), value.clone())));
        } else {
            let parsed = RecordKey::parse(&key).ok_or_else(|| "an impossible key".to_owned())?;
            found.push((parsed, sled.assemble(&key, &first)?));
        }
    }
    let rest = changed.filter_map(|(new, value)| value.as_ref().map(|value| (new.clone(), value.clone())));
    let room = limit.saturating_sub(found.len());
    found.extend(rest.take(room));
    Ok(found)
}

/// How many records an index holds, and the hash of them all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Fingerprint {
    pub(crate) records: u64,
    pub(crate) hash: [u8; 32],
}

/// The index on disk.
///
/// sled wants values under 4 KiB: a longer one is cut into parts, the first beside its number of parts in `records`, the others in
/// `parts`. While a record changes here, its key is among the changes in memory and readers take it from there: parts never mix.
pub(crate) struct SledIndex {
    database: sled::Db,
    records: sled::Tree,
    parts: sled::Tree,
}

impl SledIndex {
    /// Opens the database in `folder`, or makes one.
    pub(crate) fn open(folder: &Path) -> Result<Self, String> {
        let text = |error: sled::Error| error.to_string();
        // An empty or missing `conf` beside a `db` makes sled 0.34 truncate the database.
        let size = |name: &str| std::fs::metadata(folder.join(name)).map_or(0, |data| data.len());
        if size("db") > 0 && size("conf") == 0 {
            return Err("its conf is empty or missing".to_owned());
        }
        let database = sled::Config::new()
            .path(folder)
            .mode(sled::Mode::LowSpace)
            .use_compression(false)
            .flush_every_ms(None)
            .cache_capacity(CACHE)
            .open()
            .map_err(text)?;
        let records = database.open_tree("records").map_err(text)?;
        let parts = database.open_tree("parts").map_err(text)?;
        Ok(Self {
            database,
            records,
            parts,
        })
    }

    /// Brings everything to disk: sled's flush, and then the syncs that it leaves out.
    pub(crate) fn sync(&self, folder: &Path) -> Result<(), String> {
        self.database.flush().map_err(|error| error.to_string())?;
        let sync = |path: &Path| {
            File::open(path)
                .and_then(|file| file.sync_all())
                .map_err(|error| error.to_string())
        };
        for entry in std::fs::read_dir(folder).map_err(|error| error.to_string())? {
            let path = entry.map_err(|error| error.to_string())?.path();
            if path.is_file() {
                sync(&path)?;
            }
        }
        sync(folder)?;
        sync(folder::parent(folder))
    }

    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, String> {
        match self.records.get(key).map_err(|error| error.to_string())? {
            Some(first) => self.assemble(key, &first).map(Some),
            None => Ok(None),
        }
    }

    /// Puts a record, or deletes it. What readers see of it meanwhile is not for them: the caller hides it.
    pub(crate) fn set(&self, key: &[u8], value: Option<&[u8]>) -> Result<(), String> {
        match value {
            Some(value) => self.put(key, value),
            None => self.delete(key),
        }
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let text = |error: sled::Error| error.to_string();
        let (first, rest) = value.split_at(value.len().min(PART));
        let mut count = 0_u16;
        for (part, number) in rest.chunks(PART).zip(0_u16..) {
            self.parts.insert(part_key(key, number), part).map_err(text)?;
            count = number + 1;
        }
        let old = self
            .records
            .insert(key, [&count.to_le_bytes(), first].concat())
            .map_err(text)?;
        self.trim(key, count, old.as_deref())
    }

    fn delete(&self, key: &[u8]) -> Result<(), String> {
        let old = self.records.remove(key).map_err(|error| error.to_string())?;
        self.trim(key, 0, old.as_deref())
    }

    fn trim(&self, key: &[u8], keep: u16, old: Option<&[u8]>) -> Result<(), String> {
        let count = old
            .and_then(|old| old.first_chunk())
            .map_or(0, |count| u16::from_le_bytes(*count));
        for number in keep..count {
            self.parts
                .remove(part_key(key, number))
                .map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    fn assemble(&self, key: &[u8], first: &[u8]) -> Result<Vec<u8>, String> {
        let (count, first) = first.split_first_chunk().ok_or("a record without a number of parts")?;
        let mut value = first.to_vec();
        for number in 0..u16::from_le_bytes(*count) {
            let part = self
                .parts
                .get(part_key(key, number))
                .map_err(|error| error.to_string())?;
            value.extend_from_slice(&part.ok_or("a part of a record is missing")?);
        }
        Ok(value)
    }
}

impl std::fmt::Debug for SledIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SledIndex(..)")
    }
}

fn part_key(key: &[u8], number: u16) -> Vec<u8> {
    [key, &number.to_be_bytes()].concat()
}

/// Says that the index on disk was closed in good order, and what it holds.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct CleanMark {
    pub(crate) store_id: [u8; 16],
    sequence: u64,
    chain: [u8; 32],
    pub(crate) fingerprint: Fingerprint,
}

impl CleanMark {
    pub(crate) const fn new(store_id: [u8; 16], position: &Position, fingerprint: Fingerprint) -> Self {
        Self {
            store_id,
            sequence: position.sequence,
            chain: position.chain,
            fingerprint,
        }
    }

    pub(crate) const fn position(&self) -> Position {
        Position {
            sequence: self.sequence,
            chain: self.chain,
        }
    }

    pub(crate) fn write(&self, store: &Path) -> Result<(), StoreError> {
        let mut bytes = postcard::to_stdvec(self).map_err(|_| StoreError::Library("encode the index's mark"))?;
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        folder::replace(&Self::path(store), &bytes)
    }

    /// The mark; `None` where there is none, or none that can be trusted.
    pub(crate) fn read(store: &Path) -> Result<Option<Self>, StoreError> {
        let Some(bytes) = folder::read(&Self::path(store), 4096)? else {
            return Ok(None);
        };
        let parse = || {
            let (content, checksum) = bytes.split_last_chunk()?;
            (crc32c::crc32c(content) == u32::from_le_bytes(*checksum)).then(|| postcard::from_bytes(content).ok())?
        };
        Ok(parse())
    }

    /// Takes the mark away, durably: from here on the index and the journal may change.
    pub(crate) fn remove(store: &Path) -> Result<(), StoreError> {
        folder::remove(&Self::path(store))?;
        folder::sync(store)
    }

    fn path(store: &Path) -> PathBuf {
        store.join("index.clean")
    }
}

/// The database's folder within the store's.
pub(crate) fn path(store: &Path) -> PathBuf {
    store.join("index")
}

/// Moves a damaged database away, for whoever wants to know what happened to it; the one set aside before goes.
pub(crate) fn set_aside(store: &Path) -> Result<(), StoreError> {
    let (index, aside) = (path(store), store.join("index.old"));
    if !index.exists() {
        return Ok(());
    }
    remove_folder(&aside)?;
    std::fs::rename(&index, &aside).map_err(StoreError::file("set aside", &index))?;
    folder::sync(store)
}

/// Says that the database is not to be used by another start: it may still hold what was to be gone.
pub(crate) fn mark_stale(store: &Path) -> Result<(), StoreError> {
    folder::replace(&stale_mark(store), b"")
}

/// Whether that was said.
pub(crate) fn is_stale(store: &Path) -> bool {
    stale_mark(store).exists()
}

/// Removes a database that is not to be used again, and then what says so.
pub(crate) fn discard_stale(store: &Path) -> Result<(), StoreError> {
    discard(store)?;
    folder::sync(store)?;
    folder::remove(&stale_mark(store))
}

fn stale_mark(store: &Path) -> PathBuf {
    store.join("index.stale")
}

/// Removes a database that is merely behind, and one that was set aside: the room may be needed for the next.
pub(crate) fn discard(store: &Path) -> Result<(), StoreError> {
    remove_folder(&path(store))?;
    remove_folder(&store.join("index.old"))
}

fn remove_folder(path: &Path) -> Result<(), StoreError> {
    if path.exists() {
        std::fs::remove_dir_all(path).map_err(StoreError::file("remove", path))
    } else {
        Ok(())
    }
}

/// Whether the file system has room for the index to grow by `bytes` of records. sled's answer to a full disk is not something to
/// rely on.
pub(crate) fn has_room(store: &Path, bytes: u64) -> bool {
    // sled takes up to 3.4 bytes for each (measured); segments of half a MiB are written ahead.
    let needed = ROOM.saturating_add(bytes.saturating_mul(4));
    rustix::fs::statvfs(store).is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) >= needed)
}

/// Room for what one large group commit can need.
const ROOM: u64 = 24 << 20;
const CACHE: u64 = 32 << 20;
const PART: usize = 3_500;
const PAGE: usize = 256;
/// What a record takes in memory beside its value, roughly.
const ENTRY: usize = 128;
