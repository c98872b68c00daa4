//! The empty tree that a service lives in, and folders that reach it as descriptors.
#![forbid(unsafe_code)]

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fcntl_getfl, fstat, mkdir, openat, statat};
use rustix::io::Errno;
use rustix::mount::{
    MountFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags, mount, mount_change, mount_remount,
    move_mount, open_tree, unmount,
};
use rustix::process::{chdir, pivot_root};
use std::os::fd::{BorrowedFd, OwnedFd};

use crate::sys;

/// A mount of the folder that is attached nowhere yet, to be passed to a service: [`crate::enter`] attaches it in the service's
/// empty tree, where it is all there is and `..` leads nowhere. Good for one service. Needs `CAP_SYS_ADMIN` over the mount
/// namespace.
///
/// # Errors
/// What the kernel says.
pub fn detached_folder(folder: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC | OpenTreeFlags::AT_EMPTY_PATH;
    open_tree(folder, c"", flags)
}

/// Makes an empty, read-only file system the root and lets go of everything else; only the detached folders among `given` are
/// attached in it, and their descriptors replaced by ones of the folders where they are now. The caller has checked that its mount
/// namespace is its own. Returns how many were attached.
pub(crate) fn pivot_to_empty(given: &[BorrowedFd<'_>]) -> Result<usize, (&'static str, Errno)> {
    let step = |name: &'static str| move |errno| (name, errno);
    // Nothing done here may travel back to the namespace that this one was copied from.
    mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
        .map_err(step("make mounts private"))?;
    // Any folder will do as the place to mount on; /proc is there on every system and was needed until now.
    let quiet = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    mount("redan", "/proc", "tmpfs", quiet, c"mode=0555,size=4k,nr_inodes=8")
        .map_err(step("mount an empty file system"))?;
    chdir("/proc").map_err(step("enter the empty file system"))?;
    // The old root is stacked on the new one and taken off again: pivot_root(2), "pivot_root(".", ".")".
    pivot_root(".", ".").map_err(step("pivot"))?;
    unmount(".", UnmountFlags::DETACH).map_err(step("let go of the old root"))?;
    chdir("/").map_err(step("enter the new root"))?;
    let mut attached = 0;
    for fd in given.iter().filter(|fd| is_detached_folder(**fd)) {
        attach(*fd, &format!("/folder-{attached}"), quiet).map_err(step("attach a folder"))?;
        attached += 1;
    }
    mount_remount("/", quiet | MountFlags::RDONLY, c"").map_err(step("make the root read-only"))?;
    Ok(attached)
}

/// What [`detached_folder`] made: a folder that is open as a place only.
fn is_detached_folder(fd: BorrowedFd<'_>) -> bool {
    is_folder(fd) && fcntl_getfl(fd).is_ok_and(|flags| flags.contains(OFlags::PATH))
}

pub(crate) fn is_folder(fd: BorrowedFd<'_>) -> bool {
    fstat(fd).is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory)
}

fn attach(fd: BorrowedFd<'_>, path: &str, flags: MountFlags) -> Result<(), Errno> {
    mkdir(path, Mode::from_bits_truncate(0o700))?;
    move_mount(fd, c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    mount_remount(path, MountFlags::BIND | flags, c"")?;
    let folder = openat(
        CWD,
        path,
        OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    sys::replace(fd, &folder)
}

/// Whether the root holds nothing but the attached folders, not even what every system has.
pub(crate) fn root_holds_only(attached: usize) -> bool {
    let gone = |path: &str| statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).is_err_and(|errno| errno == Errno::NOENT);
    let entries = std::fs::read_dir("/").map(Iterator::count);
    entries.is_ok_and(|count| count == attached) && ["/proc", "/etc", "/dev", "/sys"].into_iter().all(gone)
}
