//! Files beneath a folder that the service was given.

use libc::{
    F_OFD_SETLK, F_SETLK, SYS_faccessat, SYS_faccessat2, SYS_fallocate, SYS_fchdir, SYS_fchmod, SYS_fcntl,
    SYS_fdatasync, SYS_flock, SYS_fstatfs, SYS_fsync, SYS_getcwd, SYS_getdents64, SYS_mkdirat, SYS_msync, SYS_openat,
    SYS_preadv, SYS_pwritev, SYS_readlinkat, SYS_renameat, SYS_renameat2, SYS_statfs, SYS_sync_file_range,
    SYS_unlinkat,
};

use super::legacy::{SYS_access, SYS_mkdir, SYS_open, SYS_readlink, SYS_rename, SYS_rmdir, SYS_stat, SYS_unlink};
use super::{Allowed, When, any, when};

pub(super) const FILES: &[Allowed] = &[
    any(SYS_openat, "store; the tree and Landlock end at the folder"),
    any(SYS_open, "store"),
    any(
        SYS_fchdir,
        "the store's folder becomes the working directory, so that the index can name its files",
    ),
    any(SYS_getcwd, "the index makes its path absolute"),
    any(SYS_stat, "store"),
    any(SYS_access, "store; allocator looks for memory nodes"),
    any(SYS_faccessat, "store"),
    any(SYS_faccessat2, "store"),
    any(SYS_readlink, "the index makes its path absolute"),
    any(SYS_readlinkat, "the index makes its path absolute"),
    any(SYS_fallocate, "the journal is preallocated"),
    any(SYS_fdatasync, "acknowledged means durable"),
    any(SYS_fsync, "new files and folders are durable"),
    any(SYS_msync, "the index"),
    any(SYS_sync_file_range, "the index's flush"),
    any(SYS_flock, "one vault a store"),
    when(SYS_fcntl, &[When::Is(1, F_SETLK)], "one vault a store"),
    when(SYS_fcntl, &[When::Is(1, F_OFD_SETLK)], "one vault a store"),
    any(SYS_fchmod, "files are the vault's alone"),
    any(SYS_fstatfs, "free space"),
    any(SYS_statfs, "free space"),
    any(SYS_getdents64, "segments of the journal, snapshots of the index"),
    any(SYS_mkdir, "the index's folder"),
    any(SYS_mkdirat, "the store's folders"),
    any(SYS_preadv, "journal"),
    any(SYS_pwritev, "journal"),
    any(SYS_rename, "files are replaced whole"),
    any(SYS_renameat, "files are replaced whole"),
    any(SYS_renameat2, "files are replaced whole"),
    any(SYS_unlink, "the index's old snapshots"),
    any(SYS_unlinkat, "cut segments of the journal"),
    any(SYS_rmdir, "a rebuilt index's old folder"),
];
