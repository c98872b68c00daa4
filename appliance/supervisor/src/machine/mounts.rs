//! File systems: what the initramfs has not mounted, and what it mounted with fewer restrictions than there can be.

use rustix::io::Errno;
use rustix::mount::{MountFlags, mount, mount_remount};
use std::ffi::CStr;
use std::path::Path;

/// Where, what, options. Nothing outside the verified root can be executed, be a device (but in `/dev`) or change a user.
const MOUNTS: [(&str, &str, Flags, &CStr); 6] = [
    ("/proc", "proc", Flags::Nothing, c""),
    ("/sys", "sysfs", Flags::Nothing, c""),
    ("/dev", "devtmpfs", Flags::Devices, c"mode=0755"),
    ("/run", "tmpfs", Flags::Nothing, c"mode=0755,size=16m,nr_inodes=4k"),
    // The services' limits.
    ("/sys/fs/cgroup", "cgroup2", Flags::Nothing, c"nsdelegate"),
    // The loader's and firmware's variables are not mounted: nothing here needs them.
    ("/sys/kernel/security", "securityfs", Flags::ReadOnly, c""),
];

#[derive(Clone, Copy)]
enum Flags {
    Devices,
    Nothing,
    ReadOnly,
}

impl Flags {
    fn bits(self) -> MountFlags {
        let quiet = MountFlags::NOSUID | MountFlags::NOEXEC;
        match self {
            Self::Devices => quiet,
            Self::Nothing => quiet | MountFlags::NODEV,
            Self::ReadOnly => quiet | MountFlags::NODEV | MountFlags::RDONLY,
        }
    }
}

/// Mounts what is missing and restricts the rest; says what could not be done.
pub(super) fn mount_missing() -> Vec<String> {
    let mut notes = Vec::new();
    for (place, kind, flags, options) in MOUNTS {
        let done = if is_mounted(place) {
            restrict(place, flags)
        } else {
            mount(kind, place, kind, flags.bits(), options)
        };
        if let Err(errno) = done {
            notes.push(format!("{place} cannot be mounted or restricted: {errno}"));
        }
    }
    if is_mounted("/data")
        && let Err(errno) = restrict("/data", Flags::Nothing)
    {
        notes.push(format!("/data cannot be restricted: {errno}"));
    }
    notes
}

/// Whether a file system is mounted at this place.
pub(crate) fn is_mounted(place: &str) -> bool {
    let Ok(mounts) = std::fs::read_to_string("/proc/self/mounts") else {
        // Without /proc nothing else tells; a second mount of it is refused by the kernel or harmless.
        return false;
    };
    mounts.lines().any(|line| {
        line.split(' ')
            .nth(1)
            .is_some_and(|mounted| Path::new(mounted) == Path::new(place))
    })
}

fn restrict(place: &str, flags: Flags) -> Result<(), Errno> {
    // This place only; another mount of the same file system keeps its own restrictions.
    mount_remount(place, MountFlags::BIND | flags.bits(), c"")
}
