//! The index: where a record is found without reading the journal. It can always be made again.
//!
//! sled 0.34.7 keeps it on disk. Nothing rests on sled: an acknowledgement waits for the journal alone, snapshots are made from
//! the journal alone, and an index that was not closed in good order is thrown away and built again at the next start. That rule
//! covers a crash, a power cut (sled's own `flush` is not durable on Linux), and a panic inside sled, which ends the process: the
//! marker that allows the index to be used again is removed before sled opens it and comes back only when it was closed.
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
use std::ops::Range;
use std::path::{Path, PathBuf};

/// The index, wherever it lives.
#[derive(Debug)]
pub(crate) enum Index {
    Sled(SledIndex),
    Memory(BTreeMap<Vec<u8>, Vec<u8>>),
}

impl Index {
    pub(crate) fn apply(&mut self, mutation: &Mutation) -> Result<(), String> {
        match (self, mutation) {
            (Self::Sled(sled), Mutation::Put(key, value)) => sled.put(key.bytes(), value),
            (Self::Sled(sled), Mutation::Delete(key)) => sled.delete(key.bytes()),
            (Self::Memory(map), Mutation::Put(key, value)) => {
                map.insert(key.bytes().to_vec(), value.clone());
                Ok(())
            }
            (Self::Memory(map), Mutation::Delete(key)) => {
                map.remove(key.bytes());
                Ok(())
            }
        }
    }

    pub(crate) fn get(&self, key: &RecordKey) -> Result<Option<Vec<u8>>, String> {
        match self {
            Self::Sled(sled) => sled.get(key.bytes()),
            Self::Memory(map) => Ok(map.get(key.bytes()).cloned()),
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
        let keyed = |key: &[u8], value| {
            RecordKey::parse(key)
                .map(|key| (key, value))
                .ok_or_else(|| "an impossible key".to_owned())
        };
        match self {
            Self::Sled(sled) => {
                let iter = sled.records.range(range.start.to_vec()..range.end.to_vec());
                let read = |item: sled::Result<(sled::IVec, sled::IVec)>| {
                    let (key, first) = item.map_err(|error| error.to_string())?;
                    keyed(&key, sled.assemble(&key, &first)?)
                };
                if backwards {
                    iter.rev().take(limit).map(read).collect()
                } else {
                    iter.take(limit).map(read).collect()
                }
            }
            Self::Memory(map) => {
                let iter = map.range(range.start.to_vec()..range.end.to_vec());
                let read = |(key, value): (&Vec<u8>, &Vec<u8>)| keyed(key, value.clone());
                if backwards {
                    iter.rev().take(limit).map(read).collect()
                } else {
                    iter.take(limit).map(read).collect()
                }
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

/// How many records an index holds, and the hash of them all.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Fingerprint {
    pub(crate) records: u64,
    pub(crate) hash: [u8; 32],
}

/// The index on disk.
///
/// sled wants values under 4 KiB: a longer one is cut into parts, the first beside its number of parts in `records`, the others in
/// `parts`. The store's lock keeps readers out while a record changes, so that parts never mix.
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

    /// Takes the mark away, durably, and returns it; `None` where there is none, or none that can be trusted.
    pub(crate) fn take(store: &Path) -> Result<Option<Self>, StoreError> {
        let path = Self::path(store);
        let Some(bytes) = folder::read(&path, 4096)? else {
            return Ok(None);
        };
        folder::remove(&path)?;
        folder::sync(store)?;
        let parse = || {
            let (content, checksum) = bytes.split_last_chunk()?;
            (crc32c::crc32c(content) == u32::from_le_bytes(*checksum)).then(|| postcard::from_bytes(content).ok())?
        };
        Ok(parse())
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
