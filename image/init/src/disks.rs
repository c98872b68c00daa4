//! Which partitions are ours, without any helper: the kernel tells the names of the partition table in sysfs.

use crate::system;
use crate::{Context, Failure};
use redan_image_layout::disk::{self, Partition};
use redan_image_layout::facts::Slot;
use redan_image_layout::gpt;
use redan_image_layout::slot::{Root, TRAILER, Trailer};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// A partition that was found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Found {
    /// The disk, as the kernel calls it.
    pub disk: String,
    /// The device file.
    pub device: PathBuf,
    /// Major and minor number, as the device mapper takes them.
    pub numbers: String,
    /// Its number in the partition table.
    pub number: i32,
    /// Where it begins on the disk, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub size: u64,
}

/// A slot that holds the wanted root file system.
#[derive(Clone, Debug)]
pub struct FoundSlot {
    /// Which.
    pub slot: Slot,
    /// Where.
    pub partition: Found,
    /// What its trailer says.
    pub trailer: Trailer,
}

const SYSFS: &str = "/sys/class/block";
const SECTOR: u64 = 512;

/// The partitions of this name, those of fixed disks first.
#[must_use]
pub fn find(wanted: Partition) -> Vec<Found> {
    find_in(Path::new(SYSFS), Path::new("/dev"), wanted)
}

/// The partition of this name on this disk.
#[must_use]
pub fn find_on(disk: &str, wanted: Partition) -> Option<Found> {
    find(wanted).into_iter().find(|found| found.disk == disk)
}

/// The slot with the root file system that the kernel's command line names. Another disk with the same content, a copy on a
/// stick for instance, comes after the fixed disks; whichever is taken, the kernel checks every block of it.
#[must_use]
pub fn find_slot(root: &Root) -> Option<FoundSlot> {
    let slots = [(Slot::A, disk::SLOT_A), (Slot::B, disk::SLOT_B)];
    let all = slots
        .into_iter()
        .flat_map(|(slot, name)| find(name).into_iter().map(move |found| (slot, found)));
    all.filter_map(|(slot, partition)| {
        let trailer = trailer(&partition, root).ok().flatten()?;
        (trailer.root == *root).then_some(FoundSlot {
            slot,
            partition,
            trailer,
        })
    })
    .next()
}

/// Lets the data partition reach the end of its disk, where it does not, and returns it.
///
/// # Errors
/// The table cannot be read or written, or the kernel does not take the new size.
pub fn grow(name: &str) -> Result<Found, Failure> {
    let failed = || format!("the partition table of {name} cannot be changed");
    let mut disk = OpenOptions::new()
        .read(true)
        .write(true)
        .open(Path::new("/dev").join(name))
        .context(failed)?;
    let size = disk.seek(SeekFrom::End(0)).context(failed)?;
    let mut head = vec![0; gpt::HEAD];
    disk.read_exact_at(&mut head, 0).context(failed)?;
    if let Some(grown) = gpt::grow(&head, size) {
        let tail = size / SECTOR * SECTOR - u64::try_from(grown.tail.len()).unwrap_or(0);
        // The copy at the end first: the one at the beginning is the one that counts while both are whole.
        disk.write_all_at(&grown.tail, tail)
            .and_then(|()| disk.sync_all())
            .context(failed)?;
        disk.write_all_at(&grown.head, 0)
            .and_then(|()| disk.sync_all())
            .context(failed)?;
        let bytes = |number: u64| i64::try_from(number).context(failed);
        system::resize_partition(&disk, grown.number, bytes(grown.start)?, bytes(grown.length)?).context(failed)?;
    }
    find_on(name, disk::DATA).ok_or_else(|| Failure::new("the data partition is gone"))
}

/// What the trailer says of a slot that should hold this root; `None` where there is none or it is damaged.
///
/// # Errors
/// It cannot be read.
fn trailer(slot: &Found, root: &Root) -> io::Result<Option<Trailer>> {
    let mut file = File::open(&slot.device)?;
    let mut bytes = vec![0; TRAILER];
    file.seek(SeekFrom::Start(
        root.trailer_offset().ok_or(io::ErrorKind::InvalidData)?,
    ))?;
    file.read_exact(&mut bytes)?;
    Ok(Trailer::decode(&bytes).ok())
}

fn find_in(sysfs: &Path, devices: &Path, wanted: Partition) -> Vec<Found> {
    let mut found: Vec<(bool, Found)> = Vec::new();
    for entry in fs::read_dir(sysfs).into_iter().flatten().flatten() {
        let folder = entry.path();
        let Ok(event) = fs::read_to_string(folder.join("uevent")) else {
            continue;
        };
        let value = |key: &str| event.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        if value("PARTNAME") != Some(wanted.name) {
            continue;
        }
        let number = |name: &str| fs::read_to_string(folder.join(name)).ok()?.trim().parse::<u64>().ok();
        // The entry is a link into the disk's own folder.
        let disk = folder
            .canonicalize()
            .ok()
            .and_then(|path| Some(path.parent()?.file_name()?.to_str()?.to_owned()));
        let removable = fs::read_to_string(folder.join("../removable")).is_ok_and(|text| text.trim() == "1");
        if let (Some(disk), Some(name), Some(major), Some(minor), Some(start), Some(size), Some(index)) = (
            disk,
            value("DEVNAME"),
            value("MAJOR"),
            value("MINOR"),
            number("start"),
            number("size"),
            value("PARTN").and_then(|text| text.parse().ok()),
        ) {
            found.push((
                removable,
                Found {
                    disk,
                    device: devices.join(name),
                    numbers: format!("{major}:{minor}"),
                    number: index,
                    start: start.saturating_mul(SECTOR),
                    size: size.saturating_mul(SECTOR),
                },
            ));
        }
    }
    found.sort_by(|one, other| (one.0, &one.1.disk).cmp(&(other.0, &other.1.disk)));
    found.into_iter().map(|(_, found)| found).collect()
}

#[cfg(test)]
mod tests {
    use super::find_in;
    use redan_image_layout::disk::{DATA, SLOT_A};
    use std::fs;
    use std::path::Path;

    #[test]
    fn partitions_are_found_by_name_fixed_disks_first() {
        let sysfs = tempfile::tempdir().unwrap();
        let devices = sysfs.path().join("devices");
        let class = sysfs.path().join("class");
        fs::create_dir_all(&class).unwrap();
        for (disk, removable, minor) in [("sda", "1", "1"), ("vda", "0", "17")] {
            let folder = devices.join(disk).join(format!("{disk}2"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(devices.join(disk).join("removable"), removable).unwrap();
            let event =
                format!("MAJOR=8\nMINOR={minor}\nDEVNAME={disk}2\nDEVTYPE=partition\nPARTN=2\nPARTNAME=redan-a\n");
            fs::write(folder.join("uevent"), event).unwrap();
            fs::write(folder.join("start"), "2048\n").unwrap();
            fs::write(folder.join("size"), "16\n").unwrap();
            std::os::unix::fs::symlink(&folder, class.join(format!("{disk}2"))).unwrap();
        }
        let found = find_in(&class, Path::new("/dev"), SLOT_A);
        let names: Vec<_> = found.iter().map(|found| found.device.to_str().unwrap()).collect();
        assert_eq!(names, ["/dev/vda2", "/dev/sda2"]);
        assert_eq!(
            (found[0].size, found[0].start, found[0].numbers.as_str()),
            (8192, 1 << 20, "8:17")
        );
        assert!(find_in(&class, Path::new("/dev"), DATA).is_empty());
    }
}
