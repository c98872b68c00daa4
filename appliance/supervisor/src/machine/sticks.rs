//! USB sticks that are plugged in: noticed by name and handed over unread.

use rustix::fs::{Mode, OFlags, open};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::fs;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use super::read_line;

const BLOCKS: &str = "/sys/class/block";
/// Between two looks: a person waits that long without noticing, and a look costs a few system calls.
const LOOK: Duration = Duration::from_secs(2);
/// Handed over at a time; whoever plugs in more waits.
const MOST: usize = 4;

/// What is plugged in.
#[derive(Debug, Default)]
pub(crate) struct Sticks {
    known: BTreeSet<String>,
    looked: Option<Instant>,
}

impl Sticks {
    /// Volumes that have come since the last look, each once for each time that it is plugged in: a stick that its reader died of is
    /// not offered again.
    pub(crate) fn look(&mut self, now: Instant) -> Vec<OwnedFd> {
        if self.looked.is_some_and(|looked| now < looked + LOOK) {
            return Vec::new();
        }
        self.looked = Some(now);
        let present = volumes();
        self.known.retain(|name| present.contains(name));
        let mut opened = Vec::new();
        for name in present {
            if opened.len() == MOST {
                break;
            }
            if self.known.insert(name.clone())
                && let Ok(volume) = open_volume(&name)
            {
                opened.push(volume);
            }
        }
        opened
    }

    /// When to look next.
    pub(crate) fn wake(&self, now: Instant) -> Instant {
        self.looked.map_or(now, |looked| looked + LOOK)
    }
}

/// Partitions of sticks, and sticks without partitions.
fn volumes() -> BTreeSet<String> {
    let names: Vec<String> = fs::read_dir(BLOCKS)
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok())
        .filter(|name| is_usb(name) && has_medium(name))
        .collect();
    let has_partitions = |disk: &String| {
        names
            .iter()
            .any(|other| other != disk && other.starts_with(disk.as_str()) && is_partition(other))
    };
    names
        .iter()
        .filter(|name| is_partition(name) || !has_partitions(name))
        .cloned()
        .collect()
}

fn is_usb(name: &str) -> bool {
    let path = fs::canonicalize(format!("{BLOCKS}/{name}"));
    path.is_ok_and(|path| {
        path.components()
            .any(|part| part.as_os_str().to_str().is_some_and(|part| part.starts_with("usb")))
    })
}

fn is_partition(name: &str) -> bool {
    fs::metadata(format!("{BLOCKS}/{name}/partition")).is_ok()
}

fn has_medium(name: &str) -> bool {
    read_line(&format!("{BLOCKS}/{name}/size")).is_some_and(|size| size != "0")
}

fn open_volume(name: &str) -> Result<OwnedFd, Errno> {
    let path = format!("/dev/{name}");
    // Exclusive: a volume that is part of the appliance itself, if it was started from a stick, is in use and refused.
    let flags = OFlags::CLOEXEC | OFlags::EXCL;
    match open(&path, flags | OFlags::RDWR, Mode::empty()) {
        // Write-protected: what it holds can be taken, only the report is lost.
        Err(Errno::ROFS | Errno::ACCESS) => open(&path, flags | OFlags::RDONLY, Mode::empty()),
        other => other,
    }
}
