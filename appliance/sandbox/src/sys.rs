//! The calls of [`crate::enter`] that no safe wrapper offers.
#![allow(unsafe_code)]

use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

/// Closes every descriptor that is not in `kept`, which must be sorted.
///
/// The caller says by `kept` which descriptors of this process have an owner; see the SAFETY note.
pub(crate) fn close_all_but(kept: &[RawFd]) -> Result<(), Errno> {
    let mut first: u32 = 0;
    for fd in kept {
        let Ok(fd) = u32::try_from(*fd) else { continue };
        if fd > first {
            close_range(first, fd - 1)?;
        }
        first = fd.saturating_add(1);
    }
    close_range(first, u32::MAX)
}

fn close_range(first: u32, last: u32) -> Result<(), Errno> {
    // SAFETY: the call touches no memory. Descriptors that some `OwnedFd` owns must stay open: `enter` runs in a fresh process
    // with one thread and is given a borrow of each descriptor in use, so a number in the range has no owner in this program
    // (it was inherited, which is what is being undone).
    let result = unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    if result == 0 { Ok(()) } else { Err(last_errno()) }
}

/// Makes the descriptor `fd` mean what `with` means; its number stays.
pub(crate) fn replace(fd: BorrowedFd<'_>, with: &OwnedFd) -> Result<(), Errno> {
    // SAFETY: the number is open (it is borrowed) and stays open with the same owner, who is told by `enter` that a detached folder
    // becomes the attached one. The process has one thread, so nobody uses the number in between.
    let result = unsafe { libc::dup3(with.as_raw_fd(), fd.as_raw_fd(), libc::O_CLOEXEC) };
    if result >= 0 { Ok(()) } else { Err(last_errno()) }
}

/// Empties the environment.
///
/// The process must have one thread.
pub(crate) fn clear_environment() -> Result<(), Errno> {
    // SAFETY: `clearenv` races with readers of the environment in other threads; `enter` has read from /proc/self/status that
    // there is no other thread.
    let result = unsafe { libc::clearenv() };
    if result == 0 { Ok(()) } else { Err(Errno::INVAL) }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL)
}
