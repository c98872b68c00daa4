//! A partition, as far as this crate needs it.

use rustix::fs::{Advice, fadvise};
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes that can be read and written at any place and made durable.
pub trait Storage: Read + Seek + Write {
    /// Returns once everything written is on the disk.
    ///
    /// # Errors
    /// What the disk says.
    fn sync(&mut self) -> io::Result<()>;

    /// Forgets what was read or written, so that the next read comes from the disk.
    ///
    /// # Errors
    /// What the kernel says.
    fn forget(&mut self) -> io::Result<()>;

    /// Its size in bytes.
    ///
    /// # Errors
    /// What the kernel says.
    fn size(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }
}

impl Storage for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget(&mut self) -> io::Result<()> {
        // The length is missing: to the end.
        Ok(fadvise(&*self, 0, None, Advice::DontNeed)?)
    }
}

/// What is read and written as a whole: a disk tears nothing smaller.
const SECTOR: usize = 512;
/// Sectors that are kept in memory without having been changed; a file system's tables are read word by word.
const KEPT: usize = 4_096;
/// Sectors that are written at once.
const RUN: usize = 128;

type Sector = [u8; SECTOR];
/// A sector in memory, and whether it was changed.
type Held = (Box<Sector>, bool);

/// A storage that several file systems use, one after the other. Changes are gathered in memory and written when they are flushed, in
/// the order of their places: tables before what they describe, and each sector once and whole. Without that a power cut could
/// leave a directory's entry of which only the name is new.
#[derive(Debug)]
pub(crate) struct Gathered<'a, S> {
    under: &'a mut S,
    at: u64,
    size: u64,
    /// By number.
    sectors: BTreeMap<u64, Held>,
}

impl<'a, S: Storage> Gathered<'a, S> {
    pub(crate) fn over(under: &'a mut S) -> io::Result<Self> {
        let size = under.size()?;
        Ok(Self {
            under,
            at: 0,
            size,
            sectors: BTreeMap::new(),
        })
    }

    /// The sector at the present place, the place within it, and how many bytes of it are on the disk.
    fn sector(&mut self) -> io::Result<(&mut Held, usize, usize)> {
        let number = self.at / LENGTH;
        let within = usize::try_from(self.at % LENGTH).unwrap_or_default();
        let begin = number * LENGTH;
        let there = usize::try_from(self.size.saturating_sub(begin).min(LENGTH)).unwrap_or_default();
        if self.sectors.len() >= KEPT && !self.sectors.contains_key(&number) {
            self.sectors.retain(|_, (_, changed)| *changed);
        }
        let sector = match self.sectors.entry(number) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => {
                let mut bytes = Box::new([0; SECTOR]);
                self.under.seek(SeekFrom::Start(begin))?;
                self.under.read_exact(bytes.get_mut(..there).unwrap_or_default())?;
                new.insert((bytes, false))
            }
        };
        Ok((sector, within, there))
    }

    fn advance(&mut self, bytes: usize) {
        self.at = self.at.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
    }
}

impl<S: Storage> Read for Gathered<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.at >= self.size {
            return Ok(0);
        }
        let ((bytes, _), within, there) = self.sector()?;
        let from = bytes.get(within..there).unwrap_or_default();
        let length = from.len().min(buffer.len());
        if let (Some(to), Some(from)) = (buffer.get_mut(..length), from.get(..length)) {
            to.copy_from_slice(from);
        }
        self.advance(length);
        Ok(length)
    }
}

impl<S: Storage> Write for Gathered<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.at >= self.size {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let ((sector, changed), within, there) = self.sector()?;
        let to = sector.get_mut(within..there).unwrap_or_default();
        let length = to.len().min(bytes.len());
        if let (Some(to), Some(from)) = (to.get_mut(..length), bytes.get(..length)) {
            *changed |= to != from;
            to.copy_from_slice(from);
        }
        self.advance(length);
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut run: Vec<u8> = Vec::new();
        let mut begin = 0;
        let mut written = Vec::new();
        for (number, (bytes, _)) in self.sectors.iter().filter(|(_, (_, changed))| *changed) {
            let place = number * LENGTH;
            let follows = place == begin + u64::try_from(run.len()).unwrap_or(u64::MAX);
            if !follows || run.len() >= RUN * SECTOR {
                write_run(self.under, begin, &run)?;
                run.clear();
                begin = place;
            }
            let there = usize::try_from(self.size.saturating_sub(place).min(LENGTH)).unwrap_or_default();
            run.extend_from_slice(bytes.get(..there).unwrap_or_default());
            written.push(*number);
        }
        write_run(self.under, begin, &run)?;
        for number in written {
            if let Some((_, changed)) = self.sectors.get_mut(&number) {
                *changed = false;
            }
        }
        self.under.flush()
    }
}

impl<S: Storage> Seek for Gathered<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let place = match to {
            SeekFrom::Start(place) => Some(place),
            SeekFrom::End(by) => self.size.checked_add_signed(by),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
        };
        self.at = place.ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

fn write_run(under: &mut impl Storage, at: u64, bytes: &[u8]) -> io::Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    under.seek(SeekFrom::Start(at))?;
    under.write_all(bytes)
}

/// [`SECTOR`] as a distance on a disk.
const LENGTH: u64 = 512;
