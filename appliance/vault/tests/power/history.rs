//! The history of a disk, and the images that a power cut may leave of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// What happened to a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Operation<'a> {
    /// Bytes were written at an offset.
    Write(u64, &'a [u8]),
    /// Everything before was made durable.
    Flush,
    /// That was tried, and failed: what was not durable may never be, whatever is flushed later. Either every flush fails from
    /// there on, or this one was told to whoever asked for it and the next one succeeds as if nothing were missing.
    FlushFailed(Failing),
    /// The program under test was told something.
    Ack(&'a [u8]),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Failing {
    Lasting,
    Once,
}

/// Writes a history down.
pub(crate) struct Recorder(BufWriter<File>);

impl Recorder {
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    }

    /// # Panics
    /// The file that holds the history cannot be written: there is no test without it.
    pub(crate) fn add(&mut self, operation: &Operation<'_>) {
        let (kind, offset, data): (u8, u64, &[u8]) = match operation {
            Operation::Write(offset, data) => (1, *offset, data),
            Operation::Flush => (2, 0, &[]),
            Operation::FlushFailed(failing) => (3, u64::from(*failing == Failing::Once), &[]),
            Operation::Ack(data) => (4, 0, data),
        };
        // Preallocated files are long and all zeros.
        let zeros = kind == 1 && data.iter().all(|byte| *byte == 0);
        self.0.write_all(&[if zeros { 5 } else { kind }]).unwrap();
        self.0.write_all(&offset.to_le_bytes()).unwrap();
        self.0.write_all(&(data.len() as u64).to_le_bytes()).unwrap();
        if !zeros {
            self.0.write_all(data).unwrap();
        }
    }

    pub(crate) fn finish(mut self) -> io::Result<()> {
        self.0.flush()
    }
}

/// A whole history, read back.
pub(crate) struct History {
    bytes: Vec<u8>,
    operations: Vec<(u8, u64, usize, usize)>,
}

static ZEROS: [u8; 1 << 20] = [0; 1 << 20];

impl History {
    pub(crate) fn read(path: &Path) -> io::Result<Self> {
        let bytes = std::fs::read(path)?;
        let (mut at, mut operations) = (0, Vec::new());
        while at < bytes.len() {
            let number = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
            let (kind, offset) = (bytes[at], number(at + 1));
            let length = usize::try_from(number(at + 9)).unwrap();
            operations.push((kind, offset, at + 17, length));
            at += 17 + if kind == 5 { 0 } else { length };
        }
        Ok(Self { bytes, operations })
    }

    pub(crate) const fn len(&self) -> usize {
        self.operations.len()
    }

    pub(crate) fn get(&self, index: usize) -> Operation<'_> {
        let (kind, offset, at, length) = self.operations[index];
        match kind {
            1 => Operation::Write(offset, &self.bytes[at..at + length]),
            2 => Operation::Flush,
            3 if offset == 0 => Operation::FlushFailed(Failing::Lasting),
            3 => Operation::FlushFailed(Failing::Once),
            4 => Operation::Ack(&self.bytes[at..at + length]),
            _ => Operation::Write(offset, &ZEROS[..length]),
        }
    }
}

/// What becomes of writes that were not flushed when the power went.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loss {
    /// All arrived.
    None,
    /// None did.
    All,
    /// Those up to some point did.
    Late,
    /// Whole writes are missing, any of them.
    Writes,
    /// Sectors are missing, any of them: torn and reordered.
    Sectors,
}

impl Loss {
    pub(crate) const ALL: [Self; 5] = [Self::None, Self::All, Self::Late, Self::Writes, Self::Sectors];
}

/// A disk going through its history.
pub(crate) struct Cutter<'a> {
    history: &'a History,
    /// What is durable.
    durable: Vec<u8>,
    written: BTreeSet<usize>,
    /// Writes since the last flush.
    pending: Vec<usize>,
    at: usize,
    random: Random,
    /// Writes were lost by a flush that failed once.
    lost: bool,
    betrayed: bool,
}

impl<'a> Cutter<'a> {
    pub(crate) fn new(history: &'a History, base: Vec<u8>, random: Random) -> Self {
        let used = |chunk: usize| base[chunk * CHUNK..(chunk + 1) * CHUNK].iter().any(|byte| *byte != 0);
        let written = (0..base.len() / CHUNK).filter(|chunk| used(*chunk)).collect();
        Self {
            history,
            durable: base,
            written,
            pending: Vec::new(),
            at: 0,
            random,
            lost: false,
            betrayed: false,
        }
    }

    /// Goes on until `position` operations have happened; hands out what the program was told meanwhile.
    pub(crate) fn advance(&mut self, position: usize, mut told: impl FnMut(&[u8])) {
        while self.at < position {
            match self.history.get(self.at) {
                Operation::Write(..) => self.pending.push(self.at),
                Operation::Flush => {
                    self.betrayed |= self.lost;
                    for index in std::mem::take(&mut self.pending) {
                        if let Operation::Write(offset, data) = self.history.get(index) {
                            let offset = usize::try_from(offset).unwrap();
                            self.durable[offset..offset + data.len()].copy_from_slice(data);
                            self.written.extend(offset / CHUNK..=(offset + data.len() - 1) / CHUNK);
                        }
                    }
                }
                Operation::FlushFailed(failing) => {
                    let random = &mut self.random;
                    let before = self.pending.len();
                    self.pending.retain(|_| random.below(2) == 0);
                    self.lost |= failing == Failing::Once && self.pending.len() < before;
                }
                Operation::Ack(text) => told(text),
            }
            self.at += 1;
        }
    }

    /// Whether the disk has said that something is durable which it had lost before, and told only to another who asked: the file
    /// system's own journal, say. No program on it can know, so that none can promise.
    pub(crate) const fn betrayed(&self) -> bool {
        self.betrayed
    }

    /// Writes the image that a power cut now may leave.
    pub(crate) fn cut(&mut self, loss: Loss, image: &Path) -> io::Result<()> {
        let file = File::create(image)?;
        file.set_len(self.durable.len() as u64)?;
        for chunk in &self.written {
            file.write_all_at(
                &self.durable[chunk * CHUNK..(chunk + 1) * CHUNK],
                (chunk * CHUNK) as u64,
            )?;
        }
        let until = match loss {
            Loss::Late => self.random.below(self.pending.len() + 1),
            _ => self.pending.len(),
        };
        let pending = self.pending.clone();
        // Which version of each sector arrived: 0 is the durable one, then each write to it in turn.
        let mut versions: BTreeMap<u64, Vec<&[u8]>> = BTreeMap::new();
        for index in pending.into_iter().take(until) {
            let Operation::Write(offset, data) = self.history.get(index) else {
                continue;
            };
            let arrives = match loss {
                Loss::None | Loss::Late => true,
                Loss::All => false,
                Loss::Writes => self.random.below(2) == 0,
                Loss::Sectors => {
                    for (sector, bytes) in (offset / SECTOR..).zip(data.chunks(512)) {
                        versions.entry(sector).or_default().push(bytes);
                    }
                    false
                }
            };
            if arrives {
                file.write_all_at(data, offset)?;
            }
        }
        let mut before = None;
        for (sector, versions) in versions {
            let chosen = match before {
                // ext4 takes its superblocks (its own and its journal's, 1,024 bytes) to be written whole: that is its matter.
                Some((first, count, chosen)) if first + 1 == sector && count == versions.len() => chosen,
                _ => self.random.below(versions.len() + 1),
            };
            if let Some(version) = chosen.checked_sub(1) {
                file.write_all_at(versions[version], sector * SECTOR)?;
            }
            let whole = sector == 2 || versions[0].starts_with(JOURNAL_SUPERBLOCK);
            before = whole.then_some((sector, versions.len(), chosen));
        }
        Ok(())
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64, Steele, Lea, Flood 2014).
#[derive(Clone, Debug)]
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) const fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).unwrap()
    }
}

const CHUNK: usize = 64 << 10;
const SECTOR: u64 = 512;
const JOURNAL_SUPERBLOCK: &[u8] = &[0xc0, 0x3b, 0x39, 0x98, 0, 0, 0, 4];
