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
    /// With which user agent.
    pub agent: String,
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
    /// Not in force: another followed, or it was taken back.
    Idle,
    /// Applied, and waits for confirmation.
    Pending,
    /// In force and confirmed.
    Running,
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
    /// When it is taken back unless confirmed.
    pub revert_at: String,
    /// The time left when this was written, in milliseconds: counting down from here needs no agreement about the clock.
    pub remaining_ms: u64,
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
    /// All mistakes; the candidate may be committed when none of them is fatal.
    pub mistakes: Vec<Mistake>,
    /// What committing it would change, in words; empty where there are fatal mistakes.
    pub changes: Vec<Change>,
    /// The same as lines of text.
    pub diff: Vec<DiffLine>,
}

/// One mistake in a candidate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Mistake {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// How many characters it concerns.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right; may be empty.
    pub help: String,
    /// Whether it prevents a commit.
    pub fatal: bool,
}

/// One difference between two configurations, in words.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Where, such as `services.shop.limits`.
    pub path: String,
    /// In words.
    pub text: String,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Other than before.
    Changed,
    /// Gone.
    Removed,
}

/// The difference between two versions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Diff {
    /// The older side's number.
    pub from: u64,
    /// The newer side's number.
    pub to: u64,
    /// What differs, in words.
    pub changes: Vec<Change>,
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
    /// How long to wait for confirmation before it is taken back, in seconds: 30 to 600.
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
    /// How long to wait for confirmation, in seconds: 30 to 600; 60 where absent. Taking a pending commit back waits for nothing.
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
    /// Whether the password must be changed at the next sign-in.
    pub must_change_password: bool,
    /// Locked until then after too many failures.
    pub locked_until: Option<String>,
    /// When the user was made.
    pub created_at: String,
    /// When the user signed in last.
    pub signed_in_at: Option<String>,
}

/// A new user.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name to sign in with.
    pub name: String,
    /// The roles held.
    pub roles: Vec<String>,
}

/// What to change about a user; what is absent stays.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// All roles from now on.
    #[serde(default)]
    #[ts(optional)]
    pub roles: Option<Vec<String>>,
    /// Whether the user may sign in; switching off ends sessions and keys at once.
    #[serde(default)]
    #[ts(optional)]
    pub enabled: Option<bool>,
}

/// A one-time password: shown this once, kept nowhere.
#[derive(Debug, Serialize, ToSchema, TS)]
pub struct OneTimePassword {
    /// Whose.
    pub name: String,
    /// The password; it must be changed at the first sign-in.
    #[schema(value_type = String)]
    #[ts(type = "string")]
    pub password: SecretString,
}

/// An API key, without its secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct ApiKey {
    /// Its id, which is not the key.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// The roles it acts with.
    pub roles: Vec<String>,
    /// What for.
    pub comment: String,
    /// When it was made.
    pub created_at: String,
    /// Works until then.
    pub expires_at: String,
    /// Where rotated: the secret before works until then.
    pub previous_until: Option<String>,
    /// Used last, to the minute.
    pub used_at: Option<String>,
    /// Whether an administrator ended it.
    pub revoked: bool,
}

/// A new API key.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Whose it is.
    pub owner: String,
    /// The roles it acts with; at most what the owner may.
    pub roles: Vec<String>,
    /// What for; at most 200 characters.
    pub comment: String,
}

/// An API key with its secret: shown this once, kept nowhere.
#[derive(Debug, Serialize, ToSchema, TS)]
pub struct IssuedApiKey {
    /// Its id.
    pub id: String,
    /// The key itself, to be sent as `Authorization: Bearer …`.
    #[schema(value_type = String)]
    #[ts(type = "string")]
    pub key: SecretString,
}

/// An address that the packet filter drops.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Block {
    /// The address or network, such as `192.0.2.7` or `192.0.2.0/24`.
    pub address: String,
    /// When it is let in again; absent for an entry of the configuration.
    pub until: Option<String>,
    /// Why.
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
