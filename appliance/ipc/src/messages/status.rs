//! What the manager asks the supervisor: listeners, the state of services, what happened to them.

use super::control::WantedListener;
use crate::rules::RuleArchive;
use redan_types::{Generation, Mode, Process, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// A question to the supervisor.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum SupervisorRequest {
    /// How is everybody?
    Status,
    /// What happened since the event with this number? (0: from the beginning that is still kept.)
    Events {
        /// The last number that the manager has recorded.
        after: u64,
    },
    /// Bind what a candidate needs beyond what is bound already.
    PrepareListeners {
        /// The candidate.
        generation: Generation,
        /// All its listeners.
        listeners: Vec<WantedListener>,
    },
    /// Hand the prepared listeners to their services and close the others.
    CommitListeners {
        /// The candidate.
        generation: Generation,
    },
    /// The rule files of a folder, for the web application firewall.
    RuleFiles {
        /// The folder, absolute. Rule files and data files are in it or in its folder `rules`.
        directory: String,
        /// The file with the rule set's own settings; `None`: the usual one in the folder, if there is one.
        setup: Option<String>,
    },
    /// Forget the prepared listeners.
    AbortListeners {
        /// The candidate.
        generation: Generation,
    },
}

/// The supervisor's answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum SupervisorReply {
    /// To `Status`.
    Status(ApplianceStatus),
    /// To `Events`: oldest first; asking again after the last continues.
    Events(Vec<ServiceEvent>),
    /// Done.
    Done,
    /// A listener cannot be had; nothing was changed.
    Refused {
        /// Which.
        address: SocketAddr,
        /// Why, for an operator.
        reason: String,
    },
    /// The generation is not the one prepared.
    NotPrepared,
    /// To `RuleFiles`.
    RuleFiles(RuleArchive),
    /// To `RuleFiles`: there are none that can be used.
    NoRuleFiles {
        /// Why, for an operator.
        reason: String,
    },
}

/// The appliance as its supervisor sees it.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ApplianceStatus {
    /// How it runs.
    pub mode: Mode,
    /// When the supervisor started.
    pub started: Timestamp,
    /// What the whole appliance lacks in this mode, in words (for instance that the host's own traffic is unfiltered).
    pub notes: Vec<String>,
    /// Every service of the manifest.
    pub services: Vec<ServiceStatus>,
}

/// One service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServiceStatus {
    /// Which.
    pub process: Process,
    /// Its state.
    pub state: ServiceState,
    /// Its process id in the supervisor's view.
    pub pid: Option<u32>,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Starts after the first.
    pub restarts: u32,
    /// When the running instance started.
    pub started: Option<Timestamp>,
    /// What confines it, and what is absent.
    pub protections: Vec<Protection>,
    /// How the instance before ended.
    pub last_exit: Option<String>,
}

/// The state of a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ServiceState {
    /// Waiting for its next start.
    BackOff,
    /// Able to do its work.
    Ready,
    /// Started, not ready yet.
    Starting,
    /// Ended on purpose.
    Stopped,
}

impl ServiceState {
    /// The state in status output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::BackOff => "back-off",
            Self::Ready => "ready",
            Self::Starting => "starting",
            Self::Stopped => "stopped",
        }
    }
}

/// One protection of a service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Protection {
    /// For instance `seccomp`, `network namespace`.
    pub name: String,
    /// Whether it holds.
    pub state: ProtectionState,
    /// What it is (`92 system calls allowed`) or why it is absent.
    pub detail: String,
}

/// Whether a protection holds.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ProtectionState {
    /// The host or the mode lacks it.
    Absent,
    /// Proven by the service itself.
    Active,
}

/// Something that happened to a service; becomes an audit entry.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ServiceEvent {
    /// Counts up from 1.
    pub number: u64,
    /// When.
    pub time: Timestamp,
    /// To which.
    pub process: Process,
    /// What.
    pub kind: ServiceEventKind,
    /// In words: signal, exit code, what it said last.
    pub detail: String,
}

/// What happened to a service.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ServiceEventKind {
    /// It ended, or was ended because its heartbeat stopped.
    Died,
    /// It became ready for the first time.
    Started,
    /// It became ready again after a death.
    Restarted,
    /// It told something worth keeping.
    Noted,
}
