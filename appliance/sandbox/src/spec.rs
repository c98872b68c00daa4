//! What a service may do, as the supervisor's manifest decides it.

use redan_types::{Mode, Process};
use serde::{Deserialize, Serialize};

use crate::{Capabilities, Namespace, NamespaceIds};

/// The confinement of one service, decided by the supervisor and applied by the service to itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Spec {
    /// Which service: selects the system calls that it may make.
    pub process: Process,
    /// Decides what may be absent.
    pub mode: Mode,
    /// The user to become; `None` where there is only one user (an ordinary user's evaluation).
    pub identity: Option<Identity>,
    /// Capabilities kept; every other one is dropped for good.
    pub capabilities: Capabilities,
    /// Resource limits.
    pub limits: Limits,
    /// Namespaces that must differ from the supervisor's.
    pub namespaces: Vec<Namespace>,
    /// The supervisor's namespaces, for that comparison.
    pub outside: NamespaceIds,
    /// Whether the service opens TCP connections.
    pub outbound: Outbound,
    /// Where the supervisor put the process before executing it.
    pub cgroup: Cgroup,
}

impl Spec {
    /// The form in which the supervisor sends it.
    ///
    /// # Errors
    /// Out of memory.
    pub fn encode(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_stdvec(self)
    }

    /// Reads what [`Self::encode`] wrote.
    ///
    /// # Errors
    /// The bytes are something else.
    pub fn decode(bytes: &[u8]) -> Result<Self, postcard::Error> {
        match postcard::take_from_bytes(bytes)? {
            (spec, []) => Ok(spec),
            _ => Err(postcard::Error::DeserializeBadEncoding),
        }
    }
}

/// A numeric user and its group. No password file is involved.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Identity {
    /// The user id; never 0.
    pub uid: u32,
    /// The group id.
    pub gid: u32,
}

/// Resource limits (`setrlimit`); core dumps and message queues are always 0. Each is lowered to the limit that the process
/// already has where that is smaller.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Limits {
    /// Open descriptors.
    pub open_files: u64,
    /// Threads of the service's user. Applied only where the service has a user of its own: the kernel counts by user.
    pub tasks: u64,
    /// Bytes of private writable memory, used or not: a backstop where there is no memory controller. The allocator reserves 1 GiB
    /// at once and that counts, so nothing below 2 GiB leaves a service room.
    pub data: u64,
    /// Bytes that may be locked into memory.
    pub locked: u64,
}

/// Whether a service opens TCP connections of its own.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outbound {
    /// It connects (the proxy, to upstreams).
    Connects,
    /// It never does.
    Never,
}

/// The control group of the service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Cgroup {
    /// Created in this group, with limits on memory, CPU and tasks: the path within the unified hierarchy.
    Placed(String),
    /// There is none, and why.
    Absent(String),
}
