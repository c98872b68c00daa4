//! The operators' socket: only root may ask, or in an ordinary user's evaluation that user.

use crate::answer::Answerer;
use redan_ipc::messages::OperatorManager;
use redan_ipc::{Channel, serve};
use redan_types::Mode;
use rustix::net::{SocketFlags, accept_with};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Operators at once; one more is sent away.
const OPERATORS: usize = 16;
/// An operator who says nothing for so long is sent away.
const IDLE: Duration = Duration::from_mins(2);
/// A pause until descriptors may be free again.
const CROWDED: Duration = Duration::from_millis(100);
/// How long an answer may wait to be taken.
const STALL: Duration = Duration::from_secs(10);

/// Who may ask.
#[derive(Clone, Copy, Debug)]
pub struct Doorkeeper {
    own: Option<u32>,
}

impl Doorkeeper {
    /// The rule of this mode: root, and where the appliance is an ordinary user's, that user.
    #[must_use]
    pub fn new(mode: Mode) -> Self {
        let own = rustix::process::getuid().as_raw();
        let is_users = matches!(mode, Mode::EvaluationBare | Mode::EvaluationUser);
        Self {
            own: is_users.then_some(own),
        }
    }

    /// Whether this user may ask.
    #[must_use]
    pub fn admits(&self, uid: u32) -> bool {
        uid == 0 || self.own == Some(uid)
    }
}

/// Accepts operators until the socket fails; each gets a thread.
pub fn attend(socket: &OwnedFd, doorkeeper: Doorkeeper, answerer: &Answerer) -> rustix::io::Errno {
    let inside = Arc::new(AtomicUsize::new(0));
    loop {
        let connection = match accept_with(socket, SocketFlags::CLOEXEC) {
            Ok(connection) => connection,
            // A client that went away before it was accepted, a signal, or too many descriptors for a moment.
            Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => continue,
            Err(rustix::io::Errno::MFILE | rustix::io::Errno::NFILE) => {
                std::thread::sleep(CROWDED);
                continue;
            }
            Err(errno) => return errno,
        };
        let Some(uid) = peer(&connection).filter(|uid| doorkeeper.admits(*uid)) else {
            continue;
        };
        if inside.fetch_add(1, Ordering::AcqRel) >= OPERATORS {
            inside.fetch_sub(1, Ordering::AcqRel);
            continue;
        }
        let channel = Channel::from_descriptor(connection);
        let bounded = channel
            .set_receive_timeout(Some(IDLE))
            .and_then(|()| channel.set_send_timeout(Some(STALL)));
        let (answerer, leaving) = (answerer.clone(), Arc::clone(&inside));
        let serving = move || {
            if bounded.is_ok() {
                // However it ends, the operator sees it on the other side.
                serve::<OperatorManager>(channel, |request, responder| answerer.operator(uid, request, responder));
            }
            leaving.fetch_sub(1, Ordering::AcqRel);
        };
        if std::thread::Builder::new()
            .name("operator".to_owned())
            .spawn(serving)
            .is_err()
        {
            inside.fetch_sub(1, Ordering::AcqRel);
        }
    }
}

/// The user id of the peer, from the kernel. (rustix's type holds a process id that is never 0, but it is 0 for a peer of another
/// process namespace, as every operator is.)
fn peer(connection: &OwnedFd) -> Option<u32> {
    nix::sys::socket::getsockopt(connection, nix::sys::socket::sockopt::PeerCredentials)
        .ok()
        .map(|peer| peer.uid())
}

#[cfg(test)]
mod tests {
    use super::{Doorkeeper, peer};
    use redan_types::Mode;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};

    #[test]
    fn only_root_is_admitted_but_in_a_users_own_evaluation() {
        let own = rustix::process::getuid().as_raw();
        for mode in [Mode::Appliance, Mode::EvaluationRoot] {
            let doorkeeper = Doorkeeper::new(mode);
            assert!(doorkeeper.admits(0));
            assert!(!doorkeeper.admits(own.max(1)) && !doorkeeper.admits(65_534));
        }
        let doorkeeper = Doorkeeper::new(Mode::EvaluationUser);
        assert!(doorkeeper.admits(0) && doorkeeper.admits(own));
        assert!(!doorkeeper.admits(own + 1));
    }

    #[test]
    fn the_kernel_says_who_the_peer_is() {
        let (a, _b) = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
        assert_eq!(peer(&a), Some(rustix::process::getuid().as_raw()));
    }
}
