//! Namespaces by identity: proof that one's own differs is that its inode does.
#![forbid(unsafe_code)]

use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

/// A kind of namespace (namespaces(7)) that the appliance uses.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Namespace {
    /// System V and POSIX message objects.
    Ipc,
    /// Mounts.
    Mount,
    /// Interfaces, routes, sockets.
    Network,
    /// Process ids.
    Pid,
    /// Host name.
    Uts,
}

impl Namespace {
    /// Each kind.
    pub const ALL: [Self; 5] = [Self::Ipc, Self::Mount, Self::Network, Self::Pid, Self::Uts];

    pub(crate) const fn clone_flag(self) -> i32 {
        match self {
            Self::Ipc => libc::CLONE_NEWIPC,
            Self::Mount => libc::CLONE_NEWNS,
            Self::Network => libc::CLONE_NEWNET,
            Self::Pid => libc::CLONE_NEWPID,
            Self::Uts => libc::CLONE_NEWUTS,
        }
    }

    const fn file(self) -> &'static str {
        match self {
            Self::Ipc => "/proc/self/ns/ipc",
            Self::Mount => "/proc/self/ns/mnt",
            Self::Network => "/proc/self/ns/net",
            Self::Pid => "/proc/self/ns/pid",
            Self::Uts => "/proc/self/ns/uts",
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ipc => "IPC",
            Self::Mount => "mount",
            Self::Network => "network",
            Self::Pid => "PID",
            Self::Uts => "UTS",
        })
    }
}

/// The identities of a process's namespaces, in the order of [`Namespace::ALL`].
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct NamespaceIds([u64; 5]);

impl NamespaceIds {
    /// The calling process's namespaces.
    ///
    /// # Errors
    /// `/proc` is not mounted or belongs to another PID namespace.
    pub fn own() -> io::Result<Self> {
        let mut ids = [0; 5];
        for (id, kind) in ids.iter_mut().zip(Namespace::ALL) {
            *id = fs::metadata(kind.file())?.ino();
        }
        Ok(Self(ids))
    }

    /// The kinds that are not the same in `other`.
    pub(crate) fn differing(&self, other: &Self) -> impl Iterator<Item = Namespace> {
        let pairs: Vec<_> = self.0.into_iter().zip(other.0).zip(Namespace::ALL).collect();
        pairs
            .into_iter()
            .filter(|((own, theirs), _)| own != theirs)
            .map(|(_, kind)| kind)
    }
}
