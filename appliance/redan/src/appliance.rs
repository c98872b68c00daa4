//! The operators' socket of a running appliance.

use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use redan_ipc::messages::OperatorManager;
use redan_ipc::messages::manager::{ManagerReply, ManagerRequest, OperatorReply, OperatorRequest};
use redan_ipc::{Channel, Client};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use crate::error::CommandError;

/// Where an evaluation keeps its state unless told otherwise.
const DEFAULT_STATE: &str = "redan-state";
/// The socket of an appliance that is PID 1 of its machine.
const MACHINE_SOCKET: &str = "/run/redan/operator.sock";
/// The longest path that a socket's address takes (`sun_path` is 108 bytes with its terminator).
const LONGEST_PATH: usize = 107;
/// How long most answers may take.
const PATIENCE: Duration = Duration::from_secs(15);
/// A commit is prepared by every service; the whole log may have to be read.
const LONG_PATIENCE: Duration = Duration::from_secs(120);

/// A running appliance.
pub(crate) struct Appliance {
    client: Client<OperatorManager>,
}

impl Appliance {
    /// Connects to the appliance with this state folder, or to the one that is likely meant.
    pub(crate) fn open(state: Option<&Path>) -> Result<Self, CommandError> {
        let path = match state {
            Some(state) => state.join("run/operator.sock"),
            None => {
                let near = Path::new(DEFAULT_STATE).join("run/operator.sock");
                let machine = PathBuf::from(MACHINE_SOCKET);
                if !near.exists() && machine.exists() {
                    machine
                } else {
                    near
                }
            }
        };
        let socket = dial(&path).map_err(|errno| match errno {
            Errno::NOENT | Errno::NOTDIR => CommandError::NotRunning(path.clone()),
            Errno::CONNREFUSED => CommandError::NobodyListens(path.clone()),
            Errno::ACCESS | Errno::PERM => CommandError::NotAllowed(path.clone()),
            errno => CommandError::Connect {
                path: path.clone(),
                source: errno.into(),
            },
        })?;
        Ok(Self {
            client: Client::new(Channel::from_descriptor(socket)),
        })
    }

    /// Asks, and waits for the answer.
    pub(crate) fn ask(&self, request: &OperatorRequest) -> Result<OperatorReply, CommandError> {
        let patience = match request {
            OperatorRequest::AuditErase { .. }
            | OperatorRequest::AuditSeal { .. }
            | OperatorRequest::AuditVerify
            | OperatorRequest::Seal(_)
            | OperatorRequest::Manager(
                ManagerRequest::Commit { .. } | ManagerRequest::Confirm { .. } | ManagerRequest::Rollback { .. },
            ) => LONG_PATIENCE,
            _ => PATIENCE,
        };
        match self.client.call(request, patience)? {
            OperatorReply::Refused(reason) => Err(CommandError::Refused(reason)),
            reply => Ok(reply),
        }
    }

    /// Asks the manager itself.
    pub(crate) fn ask_manager(&self, request: ManagerRequest) -> Result<ManagerReply, CommandError> {
        match self.ask(&OperatorRequest::Manager(request))? {
            OperatorReply::Manager(ManagerReply::Refused(reasons)) => Err(CommandError::Refused(reasons.join("; "))),
            OperatorReply::Manager(reply) => Ok(reply),
            _ => Err(CommandError::Answer("what came")),
        }
    }
}

fn dial(path: &Path) -> Result<rustix::fd::OwnedFd, Errno> {
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
    if path.as_os_str().len() <= LONGEST_PATH {
        connect(&socket, &SocketAddrUnix::new(path)?)?;
        return Ok(socket);
    }
    // A folder too deep for a socket's address is reached through its descriptor.
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::NAMETOOLONG);
    };
    let errno = |error: io::Error| Errno::from_io_error(&error).unwrap_or(Errno::IO);
    let folder = std::fs::File::open(folder).map_err(errno)?;
    let short = PathBuf::from(format!("/proc/self/fd/{}", folder.as_raw_fd())).join(name);
    connect(&socket, &SocketAddrUnix::new(&short)?)?;
    Ok(socket)
}
