//! Snapshots: the whole store at the end of a segment, so that the journal before it can go.
//!
//! A snapshot is made by merging the snapshot before it with the closed segments since; the index has no part in it, so that no
//! guarantee rests on the index. Rows stand in the order of their keys, values stay sealed as they are. A row carries its own
//! checksum and the file ends with a count and a SHA-256 of everything: one damaged value costs one record, and a file that lost
//! its end is refused.

use super::error::StoreError;
use super::folder;
use super::journal::{self, Position};
use super::mutation::Mutation;
use super::tree::RecordKey;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

/// What a snapshot covers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Covered {
    /// The last segment in it; 0 where there is no snapshot yet.
    pub(crate) segment: u64,
    /// Where the journal stood.
    pub(crate) position: Position,
    /// Bytes of the file.
    pub(crate) bytes: u64,
}

/// The newest snapshot's coverage; the store's birth where there is none.
pub(crate) fn newest(store: &Path, store_id: &[u8; 16]) -> Result<Covered, StoreError> {
    match journal::numbered(store, PREFIX)?.last() {
        Some(number) => Reader::open(store, store_id, *number).map(|reader| reader.covered),
        None => Ok(Covered {
            segment: 0,
            position: Position::birth(store_id),
            bytes: 0,
        }),
    }
}

/// Whether there is any snapshot.
pub(crate) fn exists(store: &Path) -> Result<bool, StoreError> {
    Ok(!journal::numbered(store, PREFIX)?.is_empty())
}

/// Hands every record of the snapshot that covers `segment` to `apply`, in order of keys. `segment` 0 is the empty snapshot.
///
/// Returns whether the file's own hash was right; where it is not, each record's authentication says which one is damaged.
pub(crate) fn read(
    store: &Path,
    store_id: &[u8; 16],
    segment: u64,
    mut apply: impl FnMut(RecordKey, Vec<u8>) -> Result<(), StoreError>,
) -> Result<bool, StoreError> {
    if segment == 0 {
        return Ok(true);
    }
    let mut reader = Reader::open(store, store_id, segment)?;
    while let Some((key, value)) = reader.next()? {
        apply(key, value)?;
    }
    Ok(reader.intact)
}

/// Merges the snapshot `base` and the closed segments after it up to `segment` into a new snapshot, then removes what it replaces.
pub(crate) fn advance(store: &Path, store_id: &[u8; 16], base: &Covered, segment: u64) -> Result<Covered, StoreError> {
    let numbers: Vec<u64> = (base.segment + 1..=segment).collect();
    let mut changes: BTreeMap<RecordKey, Option<Vec<u8>>> = BTreeMap::new();
    let replay = journal::replay(store, store_id, &numbers, base.position, |mutation| {
        match mutation {
            Mutation::Put(key, value) => changes.insert(key, Some(value)),
            Mutation::Delete(key) => changes.insert(key, None),
        };
        Ok(())
    })?;
    let fresh = store.join(FRESH);
    let mut covered = Covered {
        segment,
        position: replay.position,
        bytes: 0,
    };
    let mut writer = Writer::create(&fresh, store_id, &covered)?;
    let mut changes = changes.into_iter().peekable();
    read(store, store_id, base.segment, |key, value| {
        while let Some((changed, new)) = changes.next_if(|(changed, _)| *changed < key) {
            writer.row(&changed, new.as_deref())?;
        }
        match changes.next_if(|(changed, _)| *changed == key) {
            Some((_, new)) => writer.row(&key, new.as_deref()),
            None => writer.row(&key, Some(&value)),
        }
    })?;
    for (key, new) in changes {
        writer.row(&key, new.as_deref())?;
    }
    covered.bytes = writer.finish()?;
    publish(store, &covered)?;
    Ok(covered)
}

/// Removes the segments and snapshots that a snapshot replaces, and what an interrupted one left.
pub(crate) fn clean(store: &Path, covered: &Covered) -> Result<(), StoreError> {
    for number in journal::numbered(store, PREFIX)?
        .into_iter()
        .filter(|number| *number < covered.segment)
    {
        folder::remove(&path(store, number))?;
    }
    for number in journal::segments(store)?
        .into_iter()
        .filter(|number| *number <= covered.segment)
    {
        folder::remove(&journal::segment_path(store, number))?;
    }
    folder::remove(&store.join(FRESH))
}

/// Writes a snapshot of these records under the name of one that is not finished; [`publish`] makes it the newest.
pub(crate) fn prepare(
    store: &Path,
    store_id: &[u8; 16],
    covered: &Covered,
    records: &BTreeMap<RecordKey, Vec<u8>>,
) -> Result<(), StoreError> {
    let mut writer = Writer::create(&store.join(FRESH), store_id, covered)?;
    for (key, value) in records {
        writer.row(key, Some(value))?;
    }
    writer.finish().map(drop)
}

/// Makes the snapshot that [`prepare`] wrote the newest, and removes what it replaces.
pub(crate) fn publish(store: &Path, covered: &Covered) -> Result<(), StoreError> {
    let fresh = store.join(FRESH);
    std::fs::rename(&fresh, path(store, covered.segment)).map_err(StoreError::file("rename", &fresh))?;
    folder::sync(store)?;
    clean(store, covered)
}

/// The numbers of the snapshots that there are, in order.
pub(crate) fn all(store: &Path) -> Result<Vec<u64>, StoreError> {
    journal::numbered(store, PREFIX)
}

/// Reads what can be read of a snapshot: after damage it goes on at the next row. Returns the place where the journal stood, where
/// the head says it, and the ranges of bytes that are no rows.
pub(crate) fn salvage(
    store: &Path,
    store_id: &[u8; 16],
    segment: u64,
    records: &mut BTreeMap<RecordKey, Vec<u8>>,
) -> Result<(Option<Position>, Vec<std::ops::Range<u64>>), StoreError> {
    let path = path(store, segment);
    let bytes = folder::read(&path, SALVAGE_LIMIT)?.unwrap_or_default();
    let position = Reader::open(store, store_id, segment)
        .ok()
        .map(|reader| reader.covered.position);
    let mut lost = Vec::new();
    let mut at = HEAD_LENGTH;
    let mut good = at;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        if rest.first() == Some(&END) && rest.len() == 1 + 8 + 32 {
            break;
        }
        let Some((key, value, length)) = row(rest) else {
            at += 1;
            continue;
        };
        if at > good {
            lost.push(good as u64..at as u64);
        }
        records.insert(key, value.to_vec());
        at += length;
        good = at;
    }
    if at > good || bytes.get(at..).is_none_or(<[u8]>::is_empty) {
        lost.push(good as u64..bytes.len() as u64);
    }
    Ok((position, lost))
}

/// A row at the beginning of `bytes`, with its length.
fn row(bytes: &[u8]) -> Option<(RecordKey, &[u8], usize)> {
    let (first, rest) = bytes.split_first()?;
    let (length, rest) = rest.split_first_chunk()?;
    let (key, rest) = rest.split_at_checked(usize::from(*first))?;
    let (checksum, rest) = rest.split_first_chunk()?;
    let head = 1 + 4 + key.len();
    if crc32c::crc32c(bytes.get(..head)?) != u32::from_le_bytes(*checksum) {
        return None;
    }
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let value = rest.get(..length)?;
    Some((RecordKey::parse(key)?, value, head + 4 + length))
}

/// The path of the snapshot that covers `segment`.
pub(crate) fn path(store: &Path, segment: u64) -> PathBuf {
    store.join(format!("{PREFIX}{segment:016x}"))
}

struct Writer {
    file: BufWriter<File>,
    path: PathBuf,
    hash: Sha256,
    count: u64,
    bytes: u64,
}

impl Writer {
    fn create(path: &Path, store_id: &[u8; 16], covered: &Covered) -> Result<Self, StoreError> {
        let file = BufWriter::with_capacity(BUFFER, folder::create_file(path)?);
        let mut writer = Self {
            file,
            path: path.to_owned(),
            hash: Sha256::new(),
            count: 0,
            bytes: 0,
        };
        let mut head = [
            MAGIC,
            store_id,
            &covered.segment.to_le_bytes(),
            &covered.position.sequence.to_le_bytes(),
            &covered.position.chain,
        ]
        .concat();
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        writer.write(&head)?;
        Ok(writer)
    }

    fn row(&mut self, key: &RecordKey, value: Option<&[u8]>) -> Result<(), StoreError> {
        let Some(value) = value else { return Ok(()) };
        // Both lengths fit: they came through the journal, whose frames are far below 4 GiB.
        let mut head = vec![u8::try_from(key.len()).unwrap_or(u8::MAX)];
        head.extend_from_slice(&u32::try_from(value.len()).unwrap_or(u32::MAX).to_le_bytes());
        head.extend_from_slice(key.bytes());
        head.extend_from_slice(&crc32c::crc32c(&head).to_le_bytes());
        self.write(&head)?;
        self.write(value)?;
        self.count += 1;
        Ok(())
    }

    fn finish(mut self) -> Result<u64, StoreError> {
        let tail = [&[END], &self.count.to_le_bytes()[..]].concat();
        self.write(&tail)?;
        let hash = self.hash.clone().finalize();
        self.write(&hash)?;
        let file = self
            .file
            .into_inner()
            .map_err(|error| StoreError::file("write", &self.path)(error.into_error()))?;
        file.sync_all().map_err(StoreError::file("sync", &self.path))?;
        Ok(self.bytes)
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        self.file
            .write_all(bytes)
            .map_err(StoreError::file("write", &self.path))
    }
}

struct Reader {
    file: BufReader<File>,
    path: PathBuf,
    covered: Covered,
    hash: Sha256,
    offset: usize,
    count: u64,
    intact: bool,
}

impl Reader {
    fn open(store: &Path, store_id: &[u8; 16], segment: u64) -> Result<Self, StoreError> {
        let path = path(store, segment);
        let file = File::open(&path).map_err(StoreError::file("open", &path))?;
        let bytes = file.metadata().map_err(StoreError::file("examine", &path))?.len();
        let mut reader = Self {
            file: BufReader::with_capacity(BUFFER, file),
            covered: Covered {
                segment,
                position: Position::birth(store_id),
                bytes,
            },
            path,
            hash: Sha256::new(),
            offset: 0,
            count: 0,
            intact: false,
        };
        let head: [u8; HEAD_LENGTH] = reader.take()?;
        let damaged = |what| StoreError::damaged(&reader.path, 0, what);
        let fields = || -> Option<(&[u8; 16], u64, Position)> {
            let (checked, checksum) = head.split_last_chunk()?;
            let rest = checked.strip_prefix(MAGIC)?;
            let (id, rest) = rest.split_first_chunk()?;
            let (number, rest) = rest.split_first_chunk()?;
            let (sequence, rest) = rest.split_first_chunk()?;
            let position = Position {
                sequence: u64::from_le_bytes(*sequence),
                chain: rest.try_into().ok()?,
            };
            (crc32c::crc32c(checked) == u32::from_le_bytes(*checksum)).then_some((
                id,
                u64::from_le_bytes(*number),
                position,
            ))
        };
        let (id, number, position) = fields().ok_or_else(|| damaged("its head is not a snapshot's, or damaged"))?;
        if id != store_id || number != segment {
            return Err(damaged("it belongs to another store or place"));
        }
        reader.covered.position = position;
        Ok(reader)
    }

    fn next(&mut self) -> Result<Option<(RecordKey, Vec<u8>)>, StoreError> {
        let at = self.offset;
        let first: [u8; 1] = self.take()?;
        if first == [END] {
            let count: [u8; 8] = self.take()?;
            let expected: [u8; 32] = self.hash.clone().finalize().into();
            let hash: [u8; 32] = self.take()?;
            if u64::from_le_bytes(count) != self.count {
                return Err(StoreError::damaged(&self.path, at, "records are missing"));
            }
            self.intact = hash == expected;
            return Ok(None);
        }
        let length: [u8; 4] = self.take()?;
        let mut key = vec![0; usize::from(first[0])];
        self.fill(&mut key)?;
        let checksum: [u8; 4] = self.take()?;
        let head = [&first, &length[..], &key].concat();
        if crc32c::crc32c(&head) != u32::from_le_bytes(checksum) {
            return Err(StoreError::damaged(&self.path, at, "a row's head is damaged"));
        }
        let key =
            RecordKey::parse(&key).ok_or_else(|| StoreError::damaged(&self.path, at, "a row has an impossible key"))?;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > journal::BODY_LIMIT {
            return Err(StoreError::damaged(&self.path, at, "a row is longer than it can be"));
        }
        let mut value = vec![0; length];
        self.fill(&mut value)?;
        self.count += 1;
        Ok(Some((key, value)))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), StoreError> {
        self.file.read_exact(bytes).map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => StoreError::damaged(&self.path, self.offset, "it lost its end"),
            _ => StoreError::file("read", &self.path)(error),
        })?;
        self.hash.update(&*bytes);
        self.offset += bytes.len();
        Ok(())
    }
}

const PREFIX: &str = "snapshot-";
/// One that is not finished.
const FRESH: &str = "snapshot.new";
/// What a repair takes into memory.
const SALVAGE_LIMIT: u64 = 4 << 30;
const MAGIC: &[u8] = b"redan snapshot1\n";
const HEAD_LENGTH: usize = 16 + 16 + 8 + 8 + 32 + 4;
/// Where a row's key length would stand: no key is that long.
const END: u8 = 0xff;
const BUFFER: usize = 256 << 10;
