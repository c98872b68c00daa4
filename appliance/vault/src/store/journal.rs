//! The journal: every change, in order, on disk before it is acknowledged.
//!
//! It is a row of segment files `journal-<number>`, each preallocated with zeros (so that a sync writes data and no file system
//! metadata) and made under another name, so that a segment with its name is whole at its head. The head repeats where the chain
//! stands, which ties the files to each other: a closed segment that lost its end does not fit the next one's head. A start
//! always begins a new segment; what a crash left after the last whole frame is never written over.

use super::error::StoreError;
use super::folder;
use super::frame::{self, Chain, Found};
use super::mutation::Mutation;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Where the journal stands: the next frame's number and the chain so far.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Position {
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
}

impl Position {
    /// The journal of a store begins with its identifier.
    pub(crate) fn birth(store_id: &[u8; 16]) -> Self {
        let mut chain = [0; 32];
        chain[..16].copy_from_slice(store_id);
        Self { sequence: 1, chain }
    }
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    file: File,
    path: PathBuf,
    number: u64,
    offset: u64,
    position: Position,
}

impl Active {
    /// Begins a segment. A spare made by [`prepare_spare`] is used where there is one.
    pub(crate) fn begin(
        store: &Path,
        store_id: &[u8; 16],
        number: u64,
        position: Position,
    ) -> Result<Self, StoreError> {
        let (spare, path) = (spare_path(store), segment_path(store, number));
        prepare_spare(store)?;
        let file = File::options()
            .read(true)
            .write(true)
            .open(&spare)
            .map_err(StoreError::file("open", &spare))?;
        let head = Head {
            store_id: *store_id,
            number,
            position,
        }
        .encode();
        file.write_all_at(&head, 0).map_err(StoreError::file("write", &spare))?;
        file.sync_all().map_err(StoreError::file("sync", &spare))?;
        std::fs::rename(&spare, &path).map_err(StoreError::file("rename", &spare))?;
        folder::sync(store)?;
        Ok(Self {
            file,
            path,
            number,
            offset: HEAD_LENGTH as u64,
            position,
        })
    }

    /// Writes and syncs a frame that [`frame::begin`] began; what it holds is durable when this returns. `false` where the segment
    /// has no room for it, and then nothing was done.
    pub(crate) fn append(&mut self, frame: &mut Vec<u8>) -> Result<bool, StoreError> {
        if self.offset + (frame.len() + frame::TRAILER.len()) as u64 > SEGMENT {
            return Ok(false);
        }
        let chain = frame::finish(frame, &self.position.chain, self.position.sequence)
            .ok_or(StoreError::Library("encode a frame"))?;
        self.file
            .write_all_at(frame, self.offset)
            .map_err(StoreError::file("write", &self.path))?;
        self.file.sync_data().map_err(StoreError::file("sync", &self.path))?;
        self.offset += frame.len() as u64;
        self.position = Position {
            sequence: self.position.sequence + 1,
            chain,
        };
        Ok(true)
    }

    /// Gives back the room that was not used. The segment is closed by the next one's head; this
    /// only saves disk.
    pub(crate) fn trim(&self) {
        // Failing to save disk is no failure.
        let _ = self.file.set_len(self.offset);
    }

    pub(crate) const fn number(&self) -> u64 {
        self.number
    }

    pub(crate) const fn position(&self) -> Position {
        self.position
    }
}

/// Makes the file that becomes the next segment, unless it is there: full of zeros and durable, so that beginning a segment is
/// quick. Two threads must not be here or in [`Active::begin`] at once.
pub(crate) fn prepare_spare(store: &Path) -> Result<(), StoreError> {
    let (fresh, spare) = (store.join("journal-spare.new"), spare_path(store));
    if spare.exists() {
        return Ok(());
    }
    let made = folder::create_file(&fresh).and_then(|mut file| {
        let zeros = vec![0; 1 << 20];
        for _ in 0..SEGMENT >> 20 {
            file.write_all(&zeros).map_err(StoreError::file("fill", &fresh))?;
        }
        file.sync_all().map_err(StoreError::file("sync", &fresh))?;
        std::fs::rename(&fresh, &spare).map_err(StoreError::file("rename", &fresh))
    });
    if made.is_err() {
        // On a full disk the half-made file would only make things worse; that it cannot be removed changes nothing.
        let _ = folder::remove(&fresh);
    }
    made
}

/// The numbers of the segments that there are, in order.
pub(crate) fn segments(store: &Path) -> Result<Vec<u64>, StoreError> {
    numbered(store, SEGMENT_PREFIX)
}

/// The numbers of files `<prefix><number in 16 hexadecimal digits>`, in order.
pub(crate) fn numbered(store: &Path, prefix: &str) -> Result<Vec<u64>, StoreError> {
    let mut numbers = Vec::new();
    for entry in std::fs::read_dir(store).map_err(StoreError::file("list", store))? {
        let name = entry.map_err(StoreError::file("list", store))?.file_name();
        let digits = name
            .to_str()
            .and_then(|name| name.strip_prefix(prefix))
            .filter(|digits| digits.len() == 16);
        numbers.extend(digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()));
    }
    numbers.sort_unstable();
    Ok(numbers)
}

/// The path of a segment.
pub(crate) fn segment_path(store: &Path, number: u64) -> PathBuf {
    store.join(format!("{SEGMENT_PREFIX}{number:016x}"))
}

/// Bytes of a segment's file; one that is not there has none.
pub(crate) fn segment_bytes(store: &Path, number: u64) -> u64 {
    std::fs::metadata(segment_path(store, number)).map_or(0, |data| data.len())
}

/// How the last segment ended.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Replay {
    pub(crate) position: Position,
    pub(crate) frames: u64,
    /// Where the last segment ends.
    pub(crate) end: u64,
    /// Where a write was cut short by a crash.
    pub(crate) cut: Option<(PathBuf, u64)>,
}

/// Reads the segments `numbers`, which continue each other from `from`, and hands every change to `apply`, in order.
pub(crate) fn replay(
    store: &Path,
    store_id: &[u8; 16],
    numbers: &[u64],
    from: Position,
    mut apply: impl FnMut(Mutation) -> Result<(), StoreError>,
) -> Result<Replay, StoreError> {
    let mut replay = Replay {
        position: from,
        frames: 0,
        end: 0,
        cut: None,
    };
    let mut expected = numbers.first().copied();
    for number in numbers {
        if expected != Some(*number) {
            return Err(StoreError::Gap {
                path: segment_path(store, expected.unwrap_or(0)),
            });
        }
        expected = number.checked_add(1);
        let path = segment_path(store, *number);
        let segment = folder::read(&path, SEGMENT)?.ok_or_else(|| StoreError::Gap { path: path.clone() })?;
        let head = Head::parse(&path, &segment)?;
        if head.store_id != *store_id || head.number != *number {
            return Err(StoreError::damaged(&path, 0, "it belongs to another store or place"));
        }
        if head.position != replay.position {
            return Err(StoreError::damaged(
                &path,
                0,
                "it does not continue the segment before it, which lost its end",
            ));
        }
        // A cut is only a cut where nothing came after it; the check above has just proven that nothing is missing.
        replay.cut = None;
        let mut at = HEAD_LENGTH;
        loop {
            match frame::read(&segment, at, &replay.position.chain, replay.position.sequence) {
                Found::Frame(frame) => {
                    let mutations = Mutation::decode_all(frame.body)
                        .ok_or_else(|| StoreError::damaged(&path, at, "a frame's content does not parse"))?;
                    mutations.into_iter().try_for_each(&mut apply)?;
                    replay.position = Position {
                        sequence: frame.sequence + 1,
                        chain: frame.chain,
                    };
                    replay.frames += 1;
                    at = frame.end;
                }
                Found::End => break,
                Found::Cut => {
                    replay.cut = Some((path.clone(), at as u64));
                    break;
                }
                Found::Damaged(what) => return Err(StoreError::damaged(&path, at, what)),
            }
        }
        replay.end = at as u64;
    }
    Ok(replay)
}

/// Gives back the room after the end of a closed segment. That this fails is no failure: it only saves disk.
pub(crate) fn trim(store: &Path, number: u64, end: u64) {
    let _ = File::options()
        .write(true)
        .open(segment_path(store, number))
        .and_then(|file| file.set_len(end));
}

/// Whether a segment holds nothing but its head.
pub(crate) fn is_empty(store: &Path, number: u64) -> Result<bool, StoreError> {
    let bytes = folder::read(&segment_path(store, number), SEGMENT)?.unwrap_or_default();
    Ok(bytes.iter().skip(HEAD_LENGTH).all(|byte| *byte == 0))
}

struct Head {
    store_id: [u8; 16],
    number: u64,
    position: Position,
}

impl Head {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = [
            MAGIC,
            &self.store_id,
            &self.number.to_le_bytes(),
            &self.position.sequence.to_le_bytes(),
            &self.position.chain,
        ]
        .concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }

    fn parse(path: &Path, segment: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what| StoreError::damaged(path, 0, what);
        let head: &[u8; HEAD_LENGTH] = segment.first_chunk().ok_or_else(|| damaged("it is too short"))?;
        let rest = head
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("it is not a segment of a journal of this version"))?;
        let fields = || -> Option<Self> {
            let (store_id, rest) = rest.split_first_chunk()?;
            let (number, rest) = rest.split_first_chunk()?;
            let (sequence, rest) = rest.split_first_chunk()?;
            let (chain, rest) = rest.split_first_chunk()?;
            let checksum: [u8; 4] = rest.try_into().ok()?;
            let position = Position {
                sequence: u64::from_le_bytes(*sequence),
                chain: *chain,
            };
            (crc32c::crc32c(&head[..HEAD_LENGTH - 4]) == u32::from_le_bytes(checksum)).then_some(Self {
                store_id: *store_id,
                number: u64::from_le_bytes(*number),
                position,
            })
        };
        fields().ok_or_else(|| damaged("its head is damaged"))
    }
}

fn spare_path(store: &Path) -> PathBuf {
    store.join("journal-spare")
}

/// Bytes of a segment.
pub(crate) const SEGMENT: u64 = 8 << 20;
/// The most that one frame's body may hold.
pub(crate) const BODY_LIMIT: usize = 7 << 20;
const SEGMENT_PREFIX: &str = "journal-";
const MAGIC: &[u8] = b"redan journal 1\n";
const HEAD_LENGTH: usize = 16 + 16 + 8 + 8 + 32 + 4;
