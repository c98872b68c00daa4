//! The overview and what the event stream keeps current.

use super::audit::{AuditEntry, AuditState};
use super::configuration::{Pending, Version};
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Everything that the overview shows; afterwards the event stream keeps it current.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct Overview {
    /// The appliance itself.
    pub appliance: Appliance,
    /// What changes seldom.
    pub state: State,
    /// One sample a second, oldest first, at most the last 15 minutes.
    pub traffic: Vec<Sample>,
    /// Refused requests by reason in the same time, most frequent first.
    pub refusals: Vec<Refusal>,
    /// The newest entries of the audit log, newest first.
    pub recent: Vec<AuditEntry>,
}

/// The appliance itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Appliance {
    /// Its name in the configuration.
    pub name: String,
    /// How it runs: `appliance`, or one of the evaluation modes.
    pub mode: String,
    /// Whether that is an evaluation: software keys, generated certificates.
    pub evaluation: bool,
    /// Redan's version.
    pub version: String,
}

/// The part of the overview that changes seldom; sent whole on the event stream whenever it does.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct State {
    /// The running configuration; absent until the manager has told.
    pub configuration: Option<Version>,
    /// The commit that waits for confirmation.
    pub pending: Option<Pending>,
    /// The services and their state.
    pub services: Vec<Service>,
    /// The audit log; absent until the vault has told.
    pub audit: Option<AuditState>,
    /// What asks for a person, worst first.
    pub attention: Vec<Attention>,
}

/// One second of the proxy's traffic.
#[derive(Clone, Copy, Debug, Default, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct Sample {
    /// The second's end, in seconds since 1970.
    pub at: u64,
    /// Whether the proxy was reachable in that second; all figures are zero where not.
    pub known: bool,
    /// Requests answered, whatever the answer.
    pub requests: u64,
    /// Requests among them that Redan refused.
    pub refused: u64,
    /// Requests among them that failed at the upstream.
    pub failed: u64,
    /// Connections open at the second's end.
    pub connections: u64,
    /// The median time that a request took, upstream included, over the minute that ends here, in microseconds; 0 without requests.
    /// An estimate: the proxy counts in buckets that double.
    pub p50_us: u64,
    /// The 99th percentile of the same.
    pub p99_us: u64,
}

/// Refused requests of one reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Refusal {
    /// The stage that refused, such as `rate-limit`.
    pub reason: String,
    /// How many in the last 15 minutes.
    pub count: u64,
}

/// One process of the appliance.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// What it is doing.
    pub state: ServiceState,
    /// Its process id in the supervisor's namespace; absent while it is down.
    pub pid: Option<u32>,
    /// Resident memory in bytes.
    pub memory_bytes: u64,
    /// How many times the supervisor started it again.
    pub restarts: u32,
    /// When the present process was started.
    pub since: Option<String>,
    /// What confines it, and what is missing.
    pub confinement: Vec<Protection>,
    /// How the instance before ended; empty where there was none.
    pub last_exit: String,
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Not running; the supervisor waits before it tries again.
    BackOff,
    /// Ready, and its heartbeat is on time.
    Ready,
    /// Started, not yet ready.
    Starting,
    /// Ended on purpose.
    Stopped,
}

/// One of the barriers around a service.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Protection {
    /// Its name, such as `seccomp`.
    pub name: String,
    /// Whether it stands.
    pub active: bool,
    /// Why not, or what it holds.
    pub detail: String,
}

/// Something that asks for a person.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Attention {
    /// How bad it is.
    pub level: Level,
    /// One line.
    pub title: String,
    /// Why, and what to do.
    pub detail: String,
    /// The page that shows more.
    pub page: String,
}

/// How bad something is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum Level {
    /// Something does not work or is open.
    Critical,
    /// Something will not work, or is weaker than it could be.
    Warning,
}
