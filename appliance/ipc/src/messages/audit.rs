//! Audit events, and questions to the audit log. An audit event is acknowledged only when it is durable.

use redan_types::{IncidentId, Process, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Something that must be found in the log afterwards. The vault sets nothing but the sequence number.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditEvent {
    /// When, by the reporter's clock.
    pub time: Timestamp,
    /// Who.
    pub actor: Actor,
    /// What: a dotted name from a closed list of its reporter, for instance `configuration.committed`.
    pub action: String,
    /// On what, for instance `service/shop` or `user/ann`.
    pub resource: String,
    /// With which result.
    pub outcome: Outcome,
    /// State before, where it matters.
    pub before: Option<String>,
    /// State after, where it matters.
    pub after: Option<String>,
    /// The client's address.
    pub address: Option<IpAddr>,
    /// The client's user agent, cut to 256 characters.
    pub agent: Option<String>,
    /// The HTTP request that it belongs to.
    pub request: Option<AuditedRequest>,
    /// The incident that a person was shown.
    pub incident: Option<IncidentId>,
    /// In words.
    pub message: String,
}

/// A part of the log that was sealed and given up after it was exported.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditSegment {
    /// Its first entry.
    pub first: u64,
    /// The first entry after it.
    pub until: u64,
    /// When it was sealed.
    pub sealed: Timestamp,
    /// The signed checkpoint that it ends with.
    pub note: String,
}

/// The HTTP request of an audit event.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct AuditedRequest {
    /// The method.
    pub method: String,
    /// The path, without the query, cut to 1,024 characters.
    pub path: String,
    /// The status answered.
    pub status: u16,
    /// How many such requests of this actor this entry stands for: refusals of one kind are gathered for some seconds, so that
    /// an attacker cannot flood the log.
    pub count: u32,
}

/// Who did it.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Actor {
    /// Nobody known.
    Anonymous,
    /// An API key, by its id and owner.
    Key {
        /// The key's record.
        id: redan_types::RecordId,
        /// Whose it is.
        owner: String,
    },
    /// Somebody with the local operators' channel, by user id.
    Operator {
        /// The peer's user id.
        uid: u32,
    },
    /// The appliance itself.
    Process(Process),
    /// A user.
    User(String),
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Anonymous => f.write_str("anonymous"),
            Self::Key { id, owner } => write!(f, "key:{id} ({owner})"),
            Self::Operator { uid } => write!(f, "operator:{uid}"),
            Self::Process(process) => write!(f, "redan:{process}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

/// How it ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Outcome {
    /// Refused by policy.
    Denied,
    /// Tried, and went wrong.
    Failed,
    /// Done.
    Succeeded,
}

impl Outcome {
    /// The name in entries and on pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Denied => "denied",
            Self::Failed => "failed",
            Self::Succeeded => "succeeded",
        }
    }
}

/// Which entries? Every filter that is present must match.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub struct AuditQuery {
    /// Text within any field, case folded.
    pub text: Option<String>,
    /// The actor as printed, or its beginning.
    pub actor: Option<String>,
    /// The action or its beginning up to a dot.
    pub action: Option<String>,
    /// The resource or its beginning.
    pub resource: Option<String>,
    /// The outcome.
    pub outcome: Option<Outcome>,
    /// Not before.
    pub from: Option<Timestamp>,
    /// Not after.
    pub until: Option<Timestamp>,
    /// Only sequence numbers below this: the next page, since the newest come first.
    pub before: Option<u64>,
    /// At most this many, at most 500.
    pub limit: u16,
}

/// Entries found.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct AuditPage {
    /// Newest first.
    pub entries: Vec<NumberedEvent>,
    /// Where the next page begins; `None` when this was the last.
    pub next: Option<u64>,
    /// Entries in the whole log.
    pub size: u64,
}

/// An entry with its place in the log.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct NumberedEvent {
    /// Its place, from 0.
    pub sequence: u64,
    /// What happened.
    pub event: AuditEvent,
}

/// A piece of an export: JSON lines that `redan-audit verify` reads.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ExportPart {
    /// Whole lines.
    pub text: String,
    /// Ask for the part from this place next; `None` when this was the last.
    pub next: Option<u64>,
}

/// What a verification of the live log found.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct VerifyReport {
    /// Entries checked.
    pub size: u64,
    /// The root hash in base64.
    pub root: String,
    /// The log's public key in verifier form (C2SP signed note).
    pub key: String,
    /// The public key inside the key device that signs checkpoints too, where there is one.
    pub inside: Option<String>,
    /// When the last checkpoint was signed.
    pub checkpoint: Timestamp,
    /// Every mistake found, each with its place; empty when the log is intact.
    pub mistakes: Vec<String>,
    /// How long it took, in microseconds.
    pub micros: u64,
}
