//! An update on disks that lose power at every write, and what the boot loader would do afterwards.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use ed25519_dalek::{Signer as _, SigningKey};
use redan_update::bundle::{BundleError, Digest, Extent, Manifest, begin};
use redan_update::esp::Esp;
use redan_update::install::{InstallError, Installation, PRODUCT, Running};
use redan_update::storage::Storage;
use redan_update::version::{BootEntry, Tries, Version};
use std::cell::RefCell;
use std::io::{self, Cursor, Read, Seek, SeekFrom, Write};
use std::rc::Rc;

/// A disk of two partitions that can be looked at as it was after any write.
#[derive(Default)]
struct Log {
    writes: Vec<(Which, u64, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Which {
    Esp,
    Slot,
}

struct Disk {
    which: Which,
    content: Cursor<Vec<u8>>,
    log: Rc<RefCell<Log>>,
}

impl Read for Disk {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.content.read(buffer)
    }
}

impl Write for Disk {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let at = self.content.position();
        let end = usize::try_from(at).unwrap() + bytes.len();
        if end > self.content.get_ref().len() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        // A disk writes sectors, and power may be cut between any two.
        let is_whole = self.which == Which::Slot || at.is_multiple_of(SECTOR);
        assert!(is_whole, "a write that can be torn within a sector");
        for (place, sector) in (at..).step_by(512).zip(bytes.chunks(512)) {
            self.log.borrow_mut().writes.push((self.which, place, sector.to_vec()));
        }
        self.content.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Seek for Disk {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.content.seek(to)
    }
}

impl Storage for Disk {
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn forget(&mut self) -> io::Result<()> {
        Ok(())
    }
}

const SECTOR: u64 = 512;
const OLD: &[u8] = b"the kernel image that runs";
const SLOT_SIZE: usize = 256 << 10;

fn version(text: &str) -> Version {
    Version::parse(text).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_bytes(&[3; 32])
}

fn running() -> Running {
    Running {
        version: version("1.0.0"),
        security_version: 2,
        key: key().verifying_key(),
    }
}

/// A boot partition with these entries.
fn boot_partition(entries: &[(&str, &[u8])]) -> Vec<u8> {
    let mut volume = Cursor::new(vec![0; 4 << 20]);
    fatfs::format_volume(&mut volume, fatfs::FormatVolumeOptions::new()).unwrap();
    {
        let fs = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new()).unwrap();
        fs.root_dir().create_dir("EFI").unwrap().create_dir("Linux").unwrap();
        let folder = fs.root_dir().open_dir("EFI/Linux").unwrap();
        for (name, content) in entries {
            folder.create_file(name).unwrap().write_all(content).unwrap();
        }
    }
    volume.into_inner()
}

fn kernel() -> Vec<u8> {
    (0..150_000_u32)
        .map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1])
        .collect()
}

fn slot() -> Vec<u8> {
    (0..200_000_u32)
        .map(|number| number.to_le_bytes()[1].wrapping_mul(7))
        .collect()
}

fn bundle_of(product: &str, number: &str, security: u32) -> Vec<u8> {
    let (slot, kernel) = (slot(), kernel());
    let manifest = Manifest {
        product: product.to_owned(),
        version: version(number),
        security_version: security,
        root_hash: Digest::of(b"root"),
        slot: Extent::of(&slot),
        kernel: Extent::of(&kernel),
    };
    let head: Result<_, BundleError> = begin(&manifest, |bytes| Ok(key().sign(bytes).to_bytes()));
    [head.unwrap(), slot, kernel].concat()
}

struct Machine {
    esp: Vec<u8>,
    slot: Vec<u8>,
    log: Rc<RefCell<Log>>,
}

impl Machine {
    fn new(entries: &[(&str, &[u8])]) -> Self {
        Self {
            esp: boot_partition(entries),
            slot: vec![0xee; SLOT_SIZE],
            log: Rc::default(),
        }
    }

    fn install(&self, bundle: &[u8]) -> Result<(Disk, Disk), InstallError> {
        let disk = |which, content: &Vec<u8>| Disk {
            which,
            content: Cursor::new(content.clone()),
            log: Rc::clone(&self.log),
        };
        let mut slot = disk(Which::Slot, &self.slot);
        let mut esp = Esp::new(disk(Which::Esp, &self.esp));
        let mut installation = Installation::begin(running());
        for portion in bundle.chunks(48 << 10) {
            installation.take(portion, &mut slot, &mut esp)?;
        }
        installation.finish(&mut esp)?;
        Ok((slot, esp.into_storage()))
    }
}

/// What the boot loader finds: entries with their content.
fn entries(esp: &[u8]) -> Vec<(BootEntry, Vec<u8>)> {
    let mut volume = Cursor::new(esp.to_vec());
    let fs = fatfs::FileSystem::new(&mut volume, fatfs::FsOptions::new()).unwrap();
    let folder = fs.root_dir().open_dir("EFI/Linux").unwrap();
    let mut found = Vec::new();
    for entry in folder.iter() {
        let entry = entry.unwrap();
        if let Some(parsed) = BootEntry::parse(&entry.file_name()) {
            let mut content = Vec::new();
            entry.to_file().read_to_end(&mut content).unwrap();
            if parsed.tries.is_some() {
                // Else the firmware renames it not, and no try is ever counted.
                let days = [entry.created().date, entry.modified().date];
                assert!(days.iter().all(|date| date.month > 0 && date.day > 0), "{days:?}");
            }
            found.push((parsed, content));
        }
    }
    found
}

/// Whether a machine with these partitions starts, and what.
fn starts(esp: &[u8], slot_content: &[u8]) -> Version {
    let found = entries(esp);
    let old = (BootEntry::permanent(version("1.0.0")), OLD.to_vec());
    assert!(
        found.contains(&old),
        "the version that ran cannot be started any more: {found:?}"
    );
    for (entry, content) in &found {
        if entry.version != old.0.version {
            assert_eq!(*entry, BootEntry::on_probation(version("1.1.0")));
            assert_eq!(*content, kernel(), "an entry appeared before its content");
            assert_eq!(
                slot_content[..slot().len()],
                slot(),
                "an entry appeared before its slot"
            );
            return entry.version;
        }
    }
    old.0.version
}

#[test]
fn power_that_is_cut_at_any_write_leaves_a_machine_that_starts() {
    let machine = Machine::new(&[("redan_1.0.0.efi", OLD), ("redan_0.9.0.efi", b"older")]);
    machine.install(&bundle_of(PRODUCT, "1.1.0", 2)).unwrap();
    let log = machine.log.borrow();
    let (mut esp, mut slot) = (machine.esp.clone(), machine.slot.clone());
    let mut outcomes = Vec::new();
    for (which, at, bytes) in &log.writes {
        let disk = if *which == Which::Esp { &mut esp } else { &mut slot };
        let at = usize::try_from(*at).unwrap();
        // Before the older entry is gone its slot is whole; it is not looked at here.
        disk[at..at + bytes.len()].copy_from_slice(bytes);
        let without_older = entries(&esp).iter().all(|(entry, _)| entry.version != version("0.9.0"));
        if without_older {
            outcomes.push(starts(&esp, &slot));
        } else {
            assert!(
                *which == Which::Esp,
                "the slot is written while its entry is still there"
            );
            let old = (BootEntry::permanent(version("1.0.0")), OLD.to_vec());
            assert!(
                entries(&esp).contains(&old),
                "the version that runs cannot be started any more"
            );
        }
    }
    assert!(log.writes.len() > 100, "{} writes", log.writes.len());
    assert_eq!(outcomes.last(), Some(&version("1.1.0")));
    assert!(outcomes.is_sorted(), "once the new version is there, it stays");
}

#[test]
fn after_a_cut_the_same_update_can_be_installed_again() {
    let machine = Machine::new(&[("redan_1.0.0.efi", OLD)]);
    machine.install(&bundle_of(PRODUCT, "1.1.0", 2)).unwrap();
    let writes = std::mem::take(&mut machine.log.borrow_mut().writes);
    for cut in (0..writes.len()).step_by(7) {
        let mut after = Machine::new(&[]);
        after.esp.clone_from(&machine.esp);
        for (which, at, bytes) in &writes[..cut] {
            let disk = if *which == Which::Esp {
                &mut after.esp
            } else {
                &mut after.slot
            };
            let at = usize::try_from(*at).unwrap();
            disk[at..at + bytes.len()].copy_from_slice(bytes);
        }
        // Where the entry was there already, this is the version that is tried; nothing is left to do.
        let (slot, esp) = after.install(&bundle_of(PRODUCT, "1.1.0", 2)).unwrap();
        assert_eq!(
            starts(esp.content.get_ref(), slot.content.get_ref()),
            version("1.1.0"),
            "cut at {cut}"
        );
    }
}

#[test]
fn what_must_not_be_installed_is_refused_before_anything_is_written() {
    let machine = Machine::new(&[("redan_1.0.0.efi", OLD)]);
    let stranger = {
        let mut bundle = bundle_of(PRODUCT, "1.1.0", 2);
        bundle[20] ^= 1;
        bundle
    };
    for (bundle, words) in [
        (bundle_of("redan-sparc", "1.1.0", 2), "this machine runs"),
        (bundle_of(PRODUCT, "1.0.0", 2), "only a newer one"),
        (bundle_of(PRODUCT, "0.9.9", 9), "only a newer one"),
        (bundle_of(PRODUCT, "1.1.0", 1), "has holes that are known"),
        (stranger, "signature"),
    ] {
        let error = machine.install(&bundle).map(drop).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
        assert!(machine.log.borrow().writes.is_empty(), "{words}");
    }
    let probation = Machine::new(&[("redan_1.0.0+0-1.efi", OLD)]);
    let error = probation
        .install(&bundle_of(PRODUCT, "1.1.0", 2))
        .map(drop)
        .unwrap_err();
    assert!(matches!(error, InstallError::Probation(_)), "{error}");
    assert!(probation.log.borrow().writes.is_empty());
}

#[test]
fn a_bundle_that_is_cut_short_or_damaged_never_becomes_an_entry() {
    let bundle = bundle_of(PRODUCT, "1.1.0", 2);
    let mut damaged = bundle.clone();
    let last = damaged.len() - 1;
    damaged[last] ^= 1;
    for bad in [&bundle[..bundle.len() - 1], &bundle[..1000], &damaged] {
        let machine = Machine::new(&[("redan_1.0.0.efi", OLD)]);
        machine.install(bad).map(drop).unwrap_err();
        let mut esp = machine.esp.clone();
        for (which, at, bytes) in &machine.log.borrow().writes {
            if *which == Which::Esp {
                let at = usize::try_from(*at).unwrap();
                esp[at..at + bytes.len()].copy_from_slice(bytes);
            }
        }
        assert_eq!(starts(&esp, &[]), version("1.0.0"));
    }
}

#[test]
fn a_version_that_proved_itself_is_kept_and_one_that_failed_is_told_once() {
    let disk = |entries: &[(&str, &[u8])]| {
        Esp::new(Disk {
            which: Which::Esp,
            content: Cursor::new(boot_partition(entries)),
            log: Rc::default(),
        })
    };
    let mut good = disk(&[("redan_1.0.0.efi", OLD), ("redan_1.1.0+0-1.efi", b"new")]);
    assert!(good.keep(version("1.1.0")).unwrap());
    assert!(!good.keep(version("1.1.0")).unwrap(), "it is permanent already");
    let all = good.entries().unwrap();
    assert!(
        all.contains(&BootEntry::permanent(version("1.1.0"))) && all.len() == 2,
        "{all:?}"
    );

    let mut bad = disk(&[("redan_1.0.0.efi", OLD), ("redan_1.1.0+0-1.efi", b"new")]);
    bad.leave_reason("the proxy does not run").unwrap();
    let failures = bad.take_failures(version("1.0.0")).unwrap();
    assert_eq!(
        failures,
        [(version("1.1.0"), Some("the proxy does not run".to_owned()))]
    );
    assert!(bad.take_failures(version("1.0.0")).unwrap().is_empty());
    let tries = Some(Tries { left: 0, done: 1 });
    let mut own = disk(&[("redan_1.1.0+0-1.efi", b"new")]);
    assert!(
        own.take_failures(version("1.1.0")).unwrap().is_empty(),
        "what runs has not failed"
    );
    assert_eq!(
        own.entries().unwrap(),
        [BootEntry {
            version: version("1.1.0"),
            tries
        }]
    );
}
