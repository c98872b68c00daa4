//! The audit log.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// The audit log's head.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct AuditState {
    /// How many entries it has.
    pub size: u64,
    /// The key device that signs its checkpoints.
    pub device: String,
    /// The last verification since the console started.
    pub verified: Option<Verification>,
}

/// The outcome of a verification of the whole audit log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Verification {
    /// When it ended.
    pub at: String,
    /// Whether every entry hashes into the signed root.
    pub sound: bool,
    /// How many entries were checked.
    pub size: u64,
    /// The Merkle root (RFC 9162) in base64.
    pub root: String,
    /// The public key that signs the log, in verifier form (C2SP signed note).
    pub key: String,
    /// When the last checkpoint was signed.
    pub checkpoint_at: String,
    /// What is wrong and where; empty when sound.
    pub problems: Vec<String>,
    /// How long it took, in microseconds.
    pub took_us: u64,
}

/// One entry of the audit log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct AuditEntry {
    /// Its place in the log, from 0.
    pub sequence: u64,
    /// When it happened.
    pub at: String,
    /// Who did it: `user:ann`, `key:… (ann)`, `operator:0`, `redan:proxy` or `anonymous`.
    pub actor: String,
    /// What was done, such as `configuration.committed`.
    pub action: String,
    /// To what, such as `service/shop`.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The client's address; empty where it came from within.
    pub address: String,
    /// The client's user agent.
    pub agent: String,
    /// The state before, where it matters.
    pub before: Option<String>,
    /// The state after, where it matters.
    pub after: Option<String>,
    /// The HTTP request that it belongs to.
    pub request: Option<AuditedRequest>,
    /// The incident that a person was shown.
    pub incident: Option<String>,
    /// In words.
    pub message: String,
}

/// The HTTP request of an audit entry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct AuditedRequest {
    /// The method.
    pub method: String,
    /// The path, without the query.
    pub path: String,
    /// The status answered.
    pub status: u16,
    /// How many such requests of this actor this entry stands for.
    pub count: u32,
}

/// How an audited act ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Refused by policy.
    Denied,
    /// Tried, and went wrong.
    Failed,
    /// Done.
    Succeeded,
}

/// Some entries of the audit log, newest first.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct AuditPage {
    /// The entries that match, newest first.
    pub entries: Vec<AuditEntry>,
    /// Pass it as `before` for the next older page; absent when there is none.
    pub next: Option<u64>,
    /// How many entries the log has, matching or not.
    pub size: u64,
}
