//! One service: its entry in the manifest, its life, and its process while there is one.

use redan_ipc::messages::control::{End, ToService};
use redan_ipc::messages::status::Protection;
use redan_ipc::{Channel, IpcError};
use redan_sandbox::{Cgroup, Child, Launch, NamespaceIds, SpawnError, Spec, spawn};
use redan_types::{Mode, Timestamp};
use rustix::fs::{Mode as FileMode, OFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitStatus};
use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Instant;

use crate::cgroup::Groups;
use crate::life::Life;
use crate::log::Log;
use crate::manifest::Entry;
use crate::outbox::{Outbox, OutboxError};

/// A service's binary that cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the binary {}", path.display())]
pub struct BinaryError {
    path: PathBuf,
    source: std::io::Error,
}

/// Why a start failed. Later starts may succeed, so each is reported and followed by a delay.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    #[error("cannot make its log: {0}")]
    Log(Errno),
    #[error("cannot make its channel: {0}")]
    Channel(#[from] IpcError),
    #[error("cannot make its control group: {0}")]
    Group(std::io::Error),
    #[error("cannot encode its sandbox: {0}")]
    Spec(String),
    #[error("{0}: {source}", source = std::error::Error::source(.0).map_or_else(String::new, ToString::to_string))]
    Spawn(SpawnError),
    #[error("cannot send to it: {0}")]
    Send(#[from] OutboxError),
}

/// What every service is started with alike.
#[derive(Debug)]
pub(crate) struct Ground {
    pub(crate) mode: Mode,
    pub(crate) threads: u16,
    pub(crate) is_root: bool,
    pub(crate) outside: NamespaceIds,
    pub(crate) null: File,
    pub(crate) groups: Result<Groups, String>,
}

#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) entry: &'static Entry,
    pub(crate) life: Life,
    pub(crate) process: Option<Running>,
    /// What the latest process proved.
    pub(crate) protections: Vec<Protection>,
    pub(crate) started: Option<Timestamp>,
    pub(crate) last_exit: Option<String>,
    pub(crate) was_ready: bool,
    program: OwnedFd,
}

/// A running process.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) child: Child,
    pub(crate) control: Outbox,
    pub(crate) log: Log,
    /// What it said when it failed.
    pub(crate) failure: Option<String>,
}

/// A message with what it carries.
pub(crate) type Parcel = (ToService, Vec<Rc<OwnedFd>>);

impl Service {
    pub(crate) fn new(entry: &'static Entry, binaries: &Path) -> Result<Self, BinaryError> {
        let path = binaries.join(entry.binary.to_string_lossy().as_ref());
        // Opened once: every restart runs the same program, whatever happens to its path.
        let program = rustix::fs::open(&path, OFlags::PATH | OFlags::CLOEXEC, FileMode::empty()).map_err(|errno| {
            BinaryError {
                path,
                source: errno.into(),
            }
        })?;
        Ok(Self {
            entry,
            life: Life::default(),
            process: None,
            protections: Vec::new(),
            started: None,
            last_exit: None,
            was_ready: false,
            program,
        })
    }

    /// Starts the process and queues its first messages: who it is, `parcels`, and that this was all.
    pub(crate) fn start(&mut self, ground: &Ground, parcels: Vec<Parcel>, now: Instant) -> Result<(), StartError> {
        let name = self.entry.process.name();
        let (log, log_end) = Log::new(name, now).map_err(StartError::Log)?;
        let (ours, theirs) = Channel::pair()?;
        let (group, cgroup) = match &ground.groups {
            Err(reason) => (None, Cgroup::Absent(reason.clone())),
            Ok(groups) => {
                let (folder, path) = groups.of(name, self.entry.group).map_err(StartError::Group)?;
                (Some(folder), Cgroup::Placed(path))
            }
        };
        let namespaces = self.entry.namespaces(ground.mode);
        let spec = Spec {
            process: self.entry.process,
            mode: ground.mode,
            identity: self.entry.identity(ground.is_root, ground.mode),
            capabilities: self.entry.kept(ground.mode),
            limits: self.entry.limits,
            namespaces: namespaces.clone(),
            outside: ground.outside,
            outbound: self.entry.outbound(),
            cgroup,
        };
        let begin = ToService::Begin {
            process: self.entry.process,
            mode: ground.mode,
            threads: ground.threads,
            sandbox: spec.encode().map_err(|error| StartError::Spec(error.to_string()))?,
        };
        let child = spawn(&Launch {
            program: self.program.as_fd(),
            name: self.entry.binary,
            input: ground.null.as_fd(),
            log: log_end.as_fd(),
            control: theirs.as_fd(),
            namespaces: &namespaces,
            cgroup: group.as_ref().map(AsFd::as_fd),
        })
        .map_err(StartError::Spawn)?;
        // From here on there is a process to be watched and reaped, whether it can be talked to or not.
        self.life.started(now);
        self.protections.clear();
        let control = Outbox::new(ours)?;
        let process = self.process.insert(Running {
            child,
            control,
            log,
            failure: None,
        });
        process.control.notify(&begin, Vec::new())?;
        for (message, descriptors) in parcels {
            process.control.notify(&message, descriptors)?;
        }
        process.control.notify(&ToService::Started, Vec::new())?;
        Ok(())
    }

    /// Sends to the process, if there is one. A process that cannot be sent to is to be killed by the caller.
    pub(crate) fn send(&mut self, (message, descriptors): Parcel) -> Result<(), OutboxError> {
        match &mut self.process {
            Some(process) => process.control.notify(&message, descriptors),
            None => Ok(()),
        }
    }

    /// Kills the process, if there is one. Its end is noticed like any other.
    pub(crate) fn kill(&self) {
        if let Some(process) = &self.process {
            // The only error is that it has ended already.
            let _ = process.child.signal(Signal::KILL);
        }
    }

    /// Resident memory in bytes; 0 where it cannot be read.
    pub(crate) fn memory(&self) -> u64 {
        let resident = || {
            let pid = self.process.as_ref()?.child.pid().as_raw_nonzero();
            let text = std::fs::read_to_string(format!("/proc/{pid}/statm")).ok()?;
            text.split(' ').nth(1)?.parse::<u64>().ok()
        };
        let page = u64::try_from(rustix::param::page_size()).unwrap_or(4096);
        resident().map_or(0, |pages| pages.saturating_mul(page))
    }
}

/// A wire's end as a message.
pub(crate) fn wire(tag: u8, end: End, index: u16, generation: u32, channel: Channel) -> Parcel {
    let message = ToService::Wire {
        pair: tag,
        end,
        index,
        generation: generation.into(),
    };
    (message, vec![Rc::new(channel.into_descriptor())])
}

/// How a process ended, in words.
pub(crate) fn describe(status: WaitStatus) -> String {
    const SIGSYS: i32 = 31;
    match (status.exit_status(), status.terminating_signal()) {
        (Some(127), _) => "exit status 127: the binary could not be executed".to_owned(),
        (Some(code), _) => format!("exit status {code}"),
        (_, Some(SIGSYS)) => "killed by seccomp (SIGSYS): it made a system call that it may not make".to_owned(),
        (_, Some(signal)) => match signal_name(signal) {
            Some(name) => format!("killed by signal {signal} ({name})"),
            None => format!("killed by signal {signal}"),
        },
        _ => "ended".to_owned(),
    }
}

const fn signal_name(signal: i32) -> Option<&'static str> {
    Some(match signal {
        4 => "SIGILL",
        6 => "SIGABRT",
        7 => "SIGBUS",
        8 => "SIGFPE",
        9 => "SIGKILL",
        11 => "SIGSEGV",
        15 => "SIGTERM",
        _ => return None,
    })
}
