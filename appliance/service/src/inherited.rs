//! The one descriptor that a service finds open when it starts.
#![allow(unsafe_code)]

use redan_ipc::Channel;
use redan_ipc::messages::control::DESCRIPTOR;
use std::os::fd::{BorrowedFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The control channel, once; `None` at a second call or when the descriptor is not open, as when a person starts the binary.
#[must_use]
pub fn control_channel() -> Option<Channel> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return None;
    }
    // SAFETY: the borrow ends with this expression; a number that names no open descriptor makes the duplication fail, nothing else.
    let open = unsafe { BorrowedFd::borrow_raw(DESCRIPTOR) }
        .try_clone_to_owned()
        .is_ok();
    if !open {
        return None;
    }
    // SAFETY: the descriptor is open, the supervisor passed it for this process to own, the flag above makes this the only
    // place and time where it is taken, and nothing else in the process has opened descriptors before `main`.
    let owned = unsafe { OwnedFd::from_raw_fd(DESCRIPTOR) };
    Some(Channel::from_descriptor(owned))
}
