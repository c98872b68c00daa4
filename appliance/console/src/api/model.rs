//! What the API says and accepts, as JSON. The same types make the OpenAPI document (`utoipa`) and the pages' TypeScript
//! (`ts-rs`, written to `web/src/api/types.ts`; a test compares), so neither can drift from the code.
//!
//! Points in time are RFC 3339 text in UTC; durations carry their unit in the name. Enumerations are kebab-case words.

use redan_types::SecretString;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// What somebody may do in the console. The table of `api::access` says what each endpoint asks for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees everything but secrets, changes nothing.
    Viewer,
    /// Sees and changes everything.
    Admin,
}

/// Every error of the API has this body.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Failure {
    /// A fixed word for programs, such as `not-authorised`.
    pub code: String,
    /// One sentence for people; never a path, a version or a parser's position inside the appliance.
    pub message: String,
    /// Names this occurrence; the appliance's own log has it too.
    pub incident: String,
    /// The mistakes in a candidate configuration, where that is why the request was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// Credentials.
#[derive(Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub name: String,
    /// The password; at most 1,024 bytes.
    #[schema(value_type = String, format = Password)]
    #[ts(type = "string")]
    pub password: SecretString,
}

/// Who is signed in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Session {
    /// The user's name.
    pub name: String,
    /// The strongest role of the console that the user holds.
    pub role: Role,
    /// A one-time password was used: nothing but changing it is allowed.
    pub must_change_password: bool,
    /// When the session ends, unless it ends earlier for want of use.
    pub expires_at: String,
}

/// A change of the caller's own password.
#[derive(Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password in use.
    #[schema(value_type = String, format = Password)]
    #[ts(type = "string")]
    pub current: SecretString,
    /// The new one.
    #[schema(value_type = String, format = Password)]
    #[ts(type = "string")]
    pub new: SecretString,
}

/// One open session of the console.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct OpenSession {
    /// Its public number; not the secret in the cookie.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// The address it was opened from.
    pub source: String,
    /// When it was opened.
    pub opened_at: String,
    /// When it was last used.
    pub used_at: String,
    /// Whether it is the caller's own.
    pub current: bool,
}

/// Everything that the overview shows; afterwards the event stream keeps it current.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct Overview {
    /// The appliance itself.
    pub appliance: Appliance,
    /// What changes seldom.
    pub state: State,
    /// One sample a second, oldest first, at most the last 15 minutes.
    pub traffic: Vec<Sample>,
    /// Refused requests by reason since the proxy started, most frequent first.
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
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
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
    /// The median time that a request took, upstream included, in microseconds.
    pub p50_us: u64,
    /// The 99th percentile, in microseconds.
    pub p99_us: u64,
}

/// Refused requests of one reason.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Refusal {
    /// The stage and its verdict, such as `rate-limit`.
    pub reason: String,
    /// How many since the proxy started.
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
    pub restarts: u64,
    /// When the present process was started.
    pub since: Option<String>,
    /// What confines it, and what is missing.
    pub confinement: Vec<Protection>,
}

/// What a service is doing.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum ServiceState {
    /// Not running; the supervisor waits before it tries again.
    Down,
    /// Started, not yet ready.
    Starting,
    /// Ready, and its heartbeat is on time.
    Running,
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

/// The audit log's head.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct AuditState {
    /// How many entries it has.
    pub size: u64,
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
    /// The Merkle root (RFC 9162) in hexadecimal.
    pub root: String,
    /// What is wrong and where; empty when sound.
    pub problems: Vec<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
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

/// One entry of the audit log.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct AuditEntry {
    /// Its place in the log, from 0.
    pub index: u64,
    /// When it happened.
    pub at: String,
    /// The user, key or process that did it.
    pub actor: String,
    /// The address it came from; empty where it came from within.
    pub source: String,
    /// What was done, such as `configuration.commit`.
    pub action: String,
    /// To what.
    pub target: String,
    /// Whether it succeeded.
    pub outcome: Outcome,
    /// Anything else, in words.
    pub detail: String,
}

/// Whether an audited act succeeded.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Done,
    /// It was not allowed.
    Refused,
    /// It was allowed and did not work.
    Failed,
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

/// One version of the configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Version {
    /// Its number: 1 for the first.
    pub number: u64,
    /// Who committed it.
    pub author: String,
    /// When.
    pub at: String,
    /// Why, in the author's words.
    pub comment: String,
    /// SHA-256 of the document in hexadecimal.
    pub hash: String,
    /// What became of it.
    pub state: VersionState,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// Applied, and waits for confirmation.
    Pending,
    /// In force.
    Running,
    /// Was in force, and another followed.
    Superseded,
    /// Was not confirmed, or was taken back.
    RolledBack,
}

/// A version with its text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Document {
    /// Which version.
    pub version: Version,
    /// The document as it was committed (TOML).
    pub text: String,
}

/// A commit that waits for confirmation. The manager holds the timer; the console only shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Pending {
    /// The version that was applied.
    pub version: u64,
    /// The version to return to.
    pub previous: u64,
    /// Who applied it.
    pub author: String,
    /// Why.
    pub comment: String,
    /// When it is taken back unless confirmed.
    pub revert_at: String,
    /// The time left when this was written, in milliseconds: counting down from here needs no agreement about the clock.
    pub remaining_ms: u64,
    /// The whole time that was granted, in milliseconds.
    pub granted_ms: u64,
}

/// A candidate to check.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The whole document (TOML), at most 512 KiB.
    pub text: String,
}

/// The outcome of a check.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Check {
    /// All mistakes; the candidate may be committed when there are none.
    pub mistakes: Vec<Mistake>,
    /// What committing it would change, in words.
    pub changes: Vec<String>,
    /// The same as lines of text.
    pub diff: Vec<DiffLine>,
}

/// One mistake in a candidate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Mistake {
    /// The line, from 1; 0 where it concerns the whole.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right; may be empty.
    pub help: String,
}

/// The difference between two versions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Diff {
    /// The older side's number.
    pub from: u64,
    /// The newer side's number.
    pub to: u64,
    /// The lines, with three of context around each change.
    pub lines: Vec<DiffLine>,
}

/// One line of a difference.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct DiffLine {
    /// What the line is.
    pub kind: DiffKind,
    /// Its number in the old text, from 1; absent on an added line.
    pub old: Option<u32>,
    /// Its number in the new text, from 1; absent on a removed line.
    pub new: Option<u32>,
    /// The text without its end of line.
    pub text: String,
}

/// What a line of a difference is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum DiffKind {
    /// In the new text only.
    Added,
    /// Lines left out here.
    Gap,
    /// In the old text only.
    Removed,
    /// In both.
    Same,
}

/// A candidate to apply.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The whole document (TOML), at most 512 KiB.
    pub text: String,
    /// Why; at most 500 characters, not empty.
    pub comment: String,
    /// The version that the text was made from; the commit is refused if another is running by now.
    pub base: u64,
    /// How long to wait for confirmation before it is taken back, in seconds: 5 to 600.
    pub confirm_within_s: u32,
}

/// Names the pending commit that is meant.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The pending version's number.
    pub version: u64,
}

/// A return to an earlier version, or the end of a pending commit.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The version to return to; absent takes the pending commit back.
    #[serde(default)]
    #[ts(optional)]
    pub version: Option<u64>,
    /// How long to wait for confirmation, in seconds: 5 to 600; 60 where absent. Taking a pending commit back waits for nothing.
    #[serde(default)]
    #[ts(optional)]
    pub confirm_within_s: Option<u32>,
}

/// A user.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct User {
    /// The name to sign in with.
    pub name: String,
    /// The roles held.
    pub roles: Vec<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// When the user was made.
    pub created_at: String,
}

/// An API key, without its secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct ApiKey {
    /// Its public number, which also begins the key itself.
    pub id: String,
    /// What it is for, or whose it is.
    pub owner: String,
    /// The roles it acts with.
    pub roles: Vec<String>,
    /// When it was made.
    pub created_at: String,
    /// When it ends; absent where it does not.
    pub expires_at: Option<String>,
    /// When it was revoked; absent while it works.
    pub revoked_at: Option<String>,
}

/// A new API key.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// What it is for.
    pub owner: String,
    /// The roles it acts with.
    pub roles: Vec<String>,
    /// How many days it lives, 1 to 3,650; absent for no end.
    #[serde(default)]
    #[ts(optional)]
    pub days: Option<u32>,
}

/// An API key with its secret: shown this once, kept nowhere.
#[derive(Debug, Serialize, ToSchema, TS)]
pub struct IssuedApiKey {
    /// Its public number.
    pub id: String,
    /// The key itself, to be sent as `Authorization: Bearer …`.
    pub key: String,
}

/// An address that the packet filter drops.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Block {
    /// The address or network, such as `192.0.2.7` or `192.0.2.0/24`.
    pub address: String,
    /// When it is let in again.
    pub until: String,
    /// Why; as far as the appliance remembers.
    pub reason: String,
}

/// An address to drop.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewBlock {
    /// The address or network.
    pub address: String,
    /// For how long, in seconds: 1 to 2,592,000 (30 days).
    pub seconds: u32,
    /// Why; at most 200 characters.
    pub reason: String,
}
