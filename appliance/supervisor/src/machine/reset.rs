//! Factory reset of what the data partition's file system holds: keys first, then everything.
//!
//! The partition's own keys are destroyed before this, by the program that knows its header; with them all that is here becomes
//! unreadable at once. This is the second line, for a partition that was not encrypted or whose header could not be written.

use rustix::fs::{FileType, Mode, OFlags, fstat, fsync, open};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Files that open the rest, by the names that they and what replaces them begin with: the software key device's keys, the vault's
/// seal, the store's keys.
const KEYS: [&str; 3] = ["device", "keyring", "seal"];
/// Deeper than anything that the appliance makes.
const DEEPEST: usize = 8;
/// Written at once.
const PORTION: usize = 4096;
const ZEROS: [u8; PORTION] = [0; PORTION];

/// Destroys what is in a folder, the keys first. Goes on where something fails; the first failure is told at the end.
///
/// Nothing else runs any more. Links are not followed: what lies here was written by services, and root follows none of them.
pub(crate) fn erase(folder: &Path) -> io::Result<()> {
    let mut files = Vec::new();
    let mut outcome = collect(folder, 0, &mut files);
    for path in files.iter().filter(|path| is_key(path)) {
        outcome = outcome.and(overwrite(path));
    }
    for entry in fs::read_dir(folder)? {
        outcome = outcome.and(entry.and_then(|entry| remove(&entry)));
    }
    outcome.and(File::open(folder).and_then(|folder| folder.sync_all()))
}

fn is_key(path: &Path) -> bool {
    path.file_stem()
        .and_then(|name| name.to_str())
        .is_some_and(|stem| KEYS.contains(&stem))
}

/// Ordinary files, deepest folders included.
fn collect(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_file() {
            files.push(entry.path());
        } else if kind.is_dir() && depth < DEEPEST {
            collect(&entry.path(), depth + 1, files)?;
        }
    }
    Ok(())
}

/// Overwrites a file where it lies, and removes it.
fn overwrite(path: &Path) -> io::Result<()> {
    let file = open(path, OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let found = fstat(&file)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::RegularFile {
        return Ok(());
    }
    let mut left = usize::try_from(found.st_size).unwrap_or(0);
    let mut file = File::from(file);
    while left > 0 {
        let length = left.min(PORTION);
        file.write_all(ZEROS.get(..length).unwrap_or_default())?;
        left -= length;
    }
    // On the medium before anything else is touched.
    fsync(file.as_fd())?;
    fs::remove_file(path)
}

fn remove(entry: &fs::DirEntry) -> io::Result<()> {
    if entry.file_type()?.is_dir() {
        // It does not follow links either.
        fs::remove_dir_all(entry.path())
    } else {
        fs::remove_file(entry.path())
    }
}

#[cfg(test)]
mod tests {
    use super::erase;
    use std::fs::{self, File};
    use std::io::{Read, Seek};
    use std::path::Path;
    use std::process::Command;

    const SECRET: &[u8] = b"this opens everything: 7b1f0c55d2";

    fn fill(folder: &Path) {
        fs::create_dir_all(folder.join("store/store/index")).unwrap();
        fs::write(folder.join("store/device.key"), SECRET).unwrap();
        fs::write(folder.join("store/seal"), SECRET).unwrap();
        fs::write(folder.join("store/store/keyring"), SECRET).unwrap();
        fs::write(folder.join("store/store/journal"), b"records").unwrap();
        fs::write(folder.join("store/store/index/db"), b"records").unwrap();
        fs::write(folder.join("approver"), b"key").unwrap();
    }

    #[test]
    fn keys_are_overwritten_where_they_lie_and_nothing_is_left() {
        let folder = tempfile::tempdir().unwrap();
        fill(folder.path());
        let names = ["store/device.key", "store/seal", "store/store/keyring"];
        let mut held: Vec<File> = names
            .iter()
            .map(|name| File::open(folder.path().join(name)).unwrap())
            .collect();
        erase(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
        for file in &mut held {
            let mut found = Vec::new();
            file.rewind().unwrap();
            file.read_to_end(&mut found).unwrap();
            assert_eq!(found, vec![0; SECRET.len()]);
        }
    }

    #[test]
    fn a_link_that_a_service_left_leads_nowhere() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let kept = outside.path().join("device.key");
        fs::write(&kept, SECRET).unwrap();
        fs::create_dir(folder.path().join("store")).unwrap();
        std::os::unix::fs::symlink(&kept, folder.path().join("store/device.key")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("store/more")).unwrap();
        erase(folder.path()).unwrap();
        assert_eq!(fs::read(&kept).unwrap(), SECRET);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    /// A file system in a file, as a thief of the disk would read it.
    #[test]
    fn on_the_disk_itself_no_key_is_found_afterwards() {
        let folder = tempfile::tempdir().unwrap();
        let (disk, place) = (folder.path().join("disk"), folder.path().join("mounted"));
        fs::create_dir(&place).unwrap();
        File::create(&disk).unwrap().set_len(8 << 20).unwrap();
        let run = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .output()
                .is_ok_and(|output| output.status.success())
        };
        let (disk_name, place_name) = (disk.to_str().unwrap(), place.to_str().unwrap());
        let is_mounted =
            run("mkfs.ext4", &["-q", "-F", disk_name]) && run("mount", &["-o", "loop", disk_name, place_name]);
        if !is_mounted {
            eprintln!("SKIPPED on_the_disk_itself_no_key_is_found_afterwards: needs root, mkfs.ext4 and a loop device");
            return;
        }
        fill(&place);
        rustix::fs::sync();
        let holds = || {
            let bytes = fs::read(&disk).unwrap();
            bytes.windows(SECRET.len()).any(|window| window == SECRET)
        };
        let before = holds();
        let erased = erase(&place);
        assert!(run("umount", &[place_name]));
        erased.unwrap();
        assert!(before && !holds());
    }
}
