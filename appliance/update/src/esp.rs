//! The boot partition: which versions the boot loader will start, in which order and how often.
//!
//! Each step leaves a partition that starts the version that runs now: its entry is never touched while another is written, and a new
//! entry appears under its name only when its content is on the disk.

use fatfs::{Date, DateTime, FileSystem, FsOptions, Time, TimeProvider};
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Seek, SeekFrom, Write};

use crate::bundle::{Digest, Extent};
use crate::storage::{Gathered, Storage};
use crate::version::{BootEntry, Version};

/// The folder that the boot loader looks through.
const FOLDER: &str = "EFI/Linux";
/// A kernel image that is being written; the boot loader passes over it.
const NEW: &str = "redan.new";
/// Why a version that was tried gave itself up.
const WHY: &str = "redan.why";
/// The longest reason.
const LONGEST_WHY: usize = 1_000;
/// More files than the folder should ever have.
const MOST: usize = 64;
/// What must stay free: folders grow by a cluster now and then.
const MARGIN: u64 = 256 << 10;
const PORTION: usize = 64 << 10;
/// Bytes of a kernel image that are written at once: each time the file's chain of clusters is walked to its end.
const GATHERED: usize = 4 << 20;

/// The boot partition.
#[derive(Debug)]
pub struct Esp<S> {
    storage: S,
    /// Bytes of the new kernel image that are not written yet, and how many are.
    gathered: Vec<u8>,
    written: u64,
}

/// The date of every file. UEFI's FAT driver renames no file whose date is none (EDK II, `FatSetFileInfo`), and by renaming the boot
/// loader counts its tries; a clock that went back to 1970 would leave such dates.
#[derive(Debug)]
struct FixedTime;

impl TimeProvider for FixedTime {
    fn get_current_date(&self) -> Date {
        Date {
            year: 2026,
            month: 1,
            day: 1,
        }
    }

    fn get_current_date_time(&self) -> DateTime {
        DateTime {
            date: self.get_current_date(),
            time: Time {
                hour: 0,
                min: 0,
                sec: 0,
                millis: 0,
            },
        }
    }
}

type Volume<'a, S> = FileSystem<Gathered<'a, S>>;

impl<S: Storage> Esp<S> {
    /// On this partition.
    pub const fn new(storage: S) -> Self {
        Self {
            storage,
            gathered: Vec::new(),
            written: 0,
        }
    }

    /// The entries of ours.
    ///
    /// # Errors
    /// The partition cannot be read.
    pub fn entries(&mut self) -> io::Result<Vec<BootEntry>> {
        let volume = self.open()?;
        let names = names(&volume)?;
        Ok(names.iter().filter_map(|name| BootEntry::parse(name)).collect())
    }

    /// Removes what is not the entry of this version: other versions, and what an update that was cut off left.
    ///
    /// # Errors
    /// The partition cannot be written.
    pub fn keep_only(&mut self, version: Version) -> io::Result<()> {
        self.change(|volume| {
            let folder = volume.root_dir().open_dir(FOLDER)?;
            for name in names(volume)? {
                let other = BootEntry::parse(&name).is_some_and(|entry| entry.version != version);
                if other || name.eq_ignore_ascii_case(NEW) {
                    folder.remove(&name)?;
                }
            }
            Ok(())
        })
    }

    /// Bytes for a further kernel image.
    ///
    /// # Errors
    /// The partition cannot be read.
    pub fn room(&mut self) -> io::Result<u64> {
        let volume = self.open()?;
        let stats = volume.stats()?;
        Ok((u64::from(stats.free_clusters()) * u64::from(stats.cluster_size())).saturating_sub(MARGIN))
    }

    /// Takes a portion of the new kernel image; the first begins it.
    ///
    /// # Errors
    /// It does not follow on the one before, or the partition cannot be written.
    pub fn append(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if offset == 0 {
            self.gathered.clear();
            self.written = 0;
        }
        let gathered = u64::try_from(self.gathered.len()).unwrap_or(u64::MAX);
        if self.written.checked_add(gathered) != Some(offset) {
            return Err(io::Error::other("this is not where the kernel image goes on"));
        }
        self.gathered.extend_from_slice(bytes);
        if self.gathered.len() >= GATHERED {
            self.write_gathered()?;
        }
        Ok(())
    }

    fn write_gathered(&mut self) -> io::Result<()> {
        let bytes = std::mem::take(&mut self.gathered);
        let offset = self.written;
        let volume = self.open()?;
        let folder = volume.root_dir().open_dir(FOLDER)?;
        let mut file = if offset == 0 {
            let mut file = folder.create_file(NEW)?;
            file.truncate()?;
            file
        } else {
            folder.open_file(NEW)?
        };
        if file.seek(SeekFrom::End(0))? != offset {
            return Err(io::Error::other(
                "the kernel image on the boot partition has another length",
            ));
        }
        file.write_all(&bytes)?;
        file.flush()?;
        drop(file);
        drop(folder);
        volume.unmount()?;
        self.written = offset.saturating_add(u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        Ok(())
    }

    /// Makes the new kernel image an entry that is tried once, if it is what it should be. Afterwards it is on the disk.
    ///
    /// # Errors
    /// It is not, or the partition cannot be written.
    pub fn publish(&mut self, version: Version, wanted: Extent) -> io::Result<()> {
        self.write_gathered()?;
        self.storage.sync()?;
        self.storage.forget()?;
        if self.digest_of_new()? != Some(wanted) {
            return Err(io::Error::other(
                "the kernel image reads back other than it was written",
            ));
        }
        self.change(|volume| {
            let folder = volume.root_dir().open_dir(FOLDER)?;
            folder.rename(NEW, &folder, &BootEntry::on_probation(version).to_string())
        })
    }

    /// Makes the entry of this version permanent. Says whether it was on probation.
    ///
    /// # Errors
    /// The partition cannot be written.
    pub fn keep(&mut self, version: Version) -> io::Result<bool> {
        let on_probation = {
            let volume = self.open()?;
            let all = names(&volume)?;
            all.into_iter().find(|name| {
                BootEntry::parse(name).is_some_and(|entry| entry.version == version && entry.tries.is_some())
            })
        };
        let Some(name) = on_probation else { return Ok(false) };
        self.change(|volume| {
            let folder = volume.root_dir().open_dir(FOLDER)?;
            folder.rename(&name, &folder, &BootEntry::permanent(version).to_string())
        })?;
        Ok(true)
    }

    /// Leaves behind why the version that runs gives itself up.
    ///
    /// # Errors
    /// The partition cannot be written.
    pub fn leave_reason(&mut self, why: &str) -> io::Result<()> {
        let why: String = why.chars().take(LONGEST_WHY / 4).collect();
        self.change(|volume| {
            let mut file = volume.root_dir().open_dir(FOLDER)?.create_file(WHY)?;
            file.truncate()?;
            file.write_all(why.as_bytes())?;
            file.flush()
        })
    }

    /// The versions that were tried in vain, with the reason that the last one left; they are removed. `running` is never among them.
    ///
    /// # Errors
    /// The partition cannot be read or written.
    pub fn take_failures(&mut self, running: Version) -> io::Result<Vec<(Version, Option<String>)>> {
        let (failed, why) = {
            let volume = self.open()?;
            let failed: Vec<_> = names(&volume)?
                .into_iter()
                .filter_map(|name| Some((BootEntry::parse(&name)?, name)))
                .filter(|(entry, _)| entry.version != running && entry.tries.is_some_and(|tries| tries.left == 0))
                .collect();
            (failed, reason(&volume))
        };
        if failed.is_empty() {
            return Ok(Vec::new());
        }
        self.change(|volume| {
            let folder = volume.root_dir().open_dir(FOLDER)?;
            for (_, name) in &failed {
                folder.remove(name)?;
            }
            if why.is_some() {
                folder.remove(WHY)?;
            }
            Ok(())
        })?;
        Ok(failed
            .into_iter()
            .map(|(entry, _)| (entry.version, why.clone()))
            .collect())
    }

    /// Gives the partition back.
    pub fn into_storage(self) -> S {
        self.storage
    }

    fn digest_of_new(&mut self) -> io::Result<Option<Extent>> {
        let volume = self.open()?;
        let mut file = volume.root_dir().open_dir(FOLDER)?.open_file(NEW)?;
        let (mut hash, mut size) = (Sha256::new(), 0_u64);
        let mut buffer = vec![0; PORTION];
        loop {
            let length = file.read(&mut buffer)?;
            if length == 0 {
                break;
            }
            hash.update(buffer.get(..length).unwrap_or_default());
            size = size.saturating_add(u64::try_from(length).unwrap_or(u64::MAX));
        }
        Ok(Some(Extent {
            size,
            digest: Digest(hash.finalize().into()),
        }))
    }

    fn open(&mut self) -> io::Result<Volume<'_, S>> {
        let options = FsOptions::new().time_provider(&FixedTime);
        FileSystem::new(Gathered::over(&mut self.storage)?, options)
    }

    /// Makes a change and waits until it is on the disk.
    fn change(&mut self, change: impl FnOnce(&Volume<'_, S>) -> io::Result<()>) -> io::Result<()> {
        let volume = self.open()?;
        change(&volume)?;
        volume.unmount()?;
        self.storage.sync()
    }
}

fn names<S: Storage>(volume: &Volume<'_, S>) -> io::Result<Vec<String>> {
    let folder = volume.root_dir().open_dir(FOLDER)?;
    folder
        .iter()
        .take(MOST)
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect()
}

fn reason<S: Storage>(volume: &Volume<'_, S>) -> Option<String> {
    let file = volume.root_dir().open_dir(FOLDER).ok()?.open_file(WHY).ok()?;
    let mut bytes = Vec::new();
    let most = u64::try_from(LONGEST_WHY).unwrap_or(u64::MAX);
    file.take(most).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
