//! The empty tree that a service lives in, and folders that reach it as descriptors.
#![forbid(unsafe_code)]

use rustix::fs::{AtFlags, CWD, Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, mount_remount, open_tree,
    unmount,
};
use rustix::process::{chdir, pivot_root};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// A descriptor of the same folder through a mount of its own that is attached nowhere: `..` at its top leads nowhere, so whoever
/// holds it reaches what lies beneath and nothing else. Needs `CAP_SYS_ADMIN` over the mount namespace.
///
/// # Errors
/// What the kernel says.
pub fn confined_folder(folder: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    let tree = open_tree(folder, c"", flags)?;
    // The descriptor of `open_tree` is an `O_PATH` one, which cannot be synced.
    openat(
        tree,
        c".",
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )
}

/// Makes an empty, read-only file system the root and lets go of everything else. The caller has checked that its mount namespace
/// is its own.
pub(crate) fn pivot_to_empty() -> Result<(), (&'static str, Errno)> {
    let step = |name: &'static str| move |errno| (name, errno);
    // Nothing done here may travel back to the namespace that this one was copied from.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(step("make mounts private"))?;
    // Any folder will do as the place to mount on; /proc is there on every system and was needed until now.
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("redan", "/proc", "tmpfs", quiet, c"mode=0555,size=4k,nr_inodes=2")
        .map_err(step("mount an empty file system"))?;
    chdir("/proc").map_err(step("enter the empty file system"))?;
    // The old root is stacked on the new one and taken off again: pivot_root(2), "pivot_root(".", ".")".
    pivot_root(".", ".").map_err(step("pivot"))?;
    unmount(".", UnmountFlags::DETACH).map_err(step("let go of the old root"))?;
    chdir("/").map_err(step("enter the new root"))?;
    mount_remount("/", quiet | MountFlags::RDONLY, c"").map_err(step("make the root read-only"))
}

/// Whether the root is the empty tree: it has no entry, not even the one that every system has.
pub(crate) fn root_is_empty() -> bool {
    let gone = |path: &Path| {
        rustix::fs::statat(CWD.as_fd(), path, AtFlags::SYMLINK_NOFOLLOW).is_err_and(|errno| errno == Errno::NOENT)
    };
    let entries = std::fs::read_dir("/").map(Iterator::count);
    matches!(entries, Ok(0))
        && ["/proc", "/etc", "/dev", "/sys"]
            .iter()
            .all(|path| gone(Path::new(path)))
}
