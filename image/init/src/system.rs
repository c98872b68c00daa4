//! System calls without a safe form in the crates that we use. Each function is one call; nothing is decided here.
#![expect(
    unsafe_code,
    reason = "ioctl and add_key take pointers whose meaning only this file states"
)]

use libc::c_ulong;
use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// An ioctl of the device mapper on a `struct dm_ioctl` with its data behind it (`linux/dm-ioctl.h`).
pub(crate) fn device_mapper(control: &File, command: u8, buffer: &mut [u8]) -> io::Result<()> {
    // The structure's size field tells the kernel how much of the buffer it may touch, so it must be the buffer's own.
    let size = buffer
        .get(12..16)
        .and_then(|bytes| bytes.try_into().ok())
        .map(u32::from_le_bytes);
    if size.and_then(|size| usize::try_from(size).ok()) != Some(buffer.len()) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // _IOWR(0xfd, command, struct dm_ioctl) with its 312 bytes.
    let request: c_ulong = 3 << 30 | 312 << 16 | 0xfd << 8 | c_ulong::from(command);
    // SAFETY: the descriptor is open for the call; the kernel reads and writes at most as many bytes of the buffer as its size
    // field says, which was compared with its length, and the buffer is borrowed mutably for the call.
    let outcome = unsafe { libc::ioctl(control.as_raw_fd(), request, buffer.as_mut_ptr()) };
    done(outcome.into())
}

/// Grows a mounted ext4 file system to this number of blocks (`EXT4_IOC_RESIZE_FS`).
pub(crate) fn resize_ext4(mounted: &File, blocks: u64) -> io::Result<()> {
    // _IOW('f', 16, __u64).
    let request: c_ulong = 1 << 30 | 8 << 16 | 0x66 << 8 | 16;
    // SAFETY: the descriptor is open for the call; the kernel reads eight bytes from the pointer, which is to a `u64` that lives
    // until the call returns.
    let outcome = unsafe { libc::ioctl(mounted.as_raw_fd(), request, &raw const blocks) };
    done(outcome.into())
}

/// Tells the kernel that a partition has grown (`BLKPG_RESIZE_PARTITION`); start and length are in bytes.
pub(crate) fn resize_partition(disk: &File, number: i32, start: i64, length: i64) -> io::Result<()> {
    let mut partition = kernel::BlkpgPartition {
        start,
        length,
        pno: number,
        devname: [0; 64],
        volname: [0; 64],
    };
    let argument = kernel::BlkpgIoctlArg {
        op: 3,
        flags: 0,
        datalen: i32::try_from(size_of::<kernel::BlkpgPartition>()).unwrap_or(0),
        data: &raw mut partition,
    };
    // _IO(0x12, 105).
    let request: c_ulong = 0x12 << 8 | 105;
    // SAFETY: the descriptor is open for the call; both structures have the kernel's layout (`linux/blkpg.h`) and live until the
    // call returns; the kernel only reads them.
    let outcome = unsafe { libc::ioctl(disk.as_raw_fd(), request, &raw const argument) };
    done(outcome.into())
}

/// Puts a key into this process's keyring, where the device mapper finds it; it goes when the process executes another program.
pub(crate) fn add_key(kind: &CStr, description: &CStr, content: &[u8]) -> io::Result<()> {
    // SAFETY: both strings end with a zero; the kernel reads as many bytes of the content as its length says; all three are
    // borrowed for the call. -2 is KEY_SPEC_PROCESS_KEYRING.
    let outcome = unsafe {
        libc::syscall(
            libc::SYS_add_key,
            kind.as_ptr(),
            description.as_ptr(),
            content.as_ptr(),
            content.len(),
            -2_i64,
        )
    };
    done(outcome)
}

fn done(outcome: i64) -> io::Result<()> {
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Structures of `linux/blkpg.h`.
mod kernel {
    #[repr(C)]
    pub(super) struct BlkpgPartition {
        pub(super) start: i64,
        pub(super) length: i64,
        pub(super) pno: i32,
        pub(super) devname: [u8; 64],
        pub(super) volname: [u8; 64],
    }

    #[repr(C)]
    pub(super) struct BlkpgIoctlArg {
        pub(super) op: i32,
        pub(super) flags: i32,
        pub(super) datalen: i32,
        pub(super) data: *mut BlkpgPartition,
    }
}
