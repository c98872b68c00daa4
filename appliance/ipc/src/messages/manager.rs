//! The configuration's transaction, as the console and operators ask for it.

use super::accounts::{AccountReply, AccountRequest};
use super::audit::{Actor, AuditPage, AuditQuery, AuditSegment, ExportPart, VerifyReport};
use super::network::{NetworkReply, NetworkRequest};
use super::seal::{SealReply, SealRequest};
use super::status::ApplianceStatus;
use super::vault::{Certificate, CertificateOwner, CommitState, VaultHealth, Version, VersionInfo};
use super::waf::{ExceptionPreview, ExceptionWish, WafReply, WafRequest};
use redan_types::{Generation, Timestamp};
use serde::{Deserialize, Serialize};

/// A question to the manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ManagerRequest {
    /// How is everybody?
    Status,
    /// What runs, what waits for confirmation.
    Configuration,
    /// One version with its document.
    Version(Generation),
    /// Versions below this one, newest first, at most 100.
    Versions {
        /// `None`: from the newest.
        before: Option<Generation>,
    },
    /// All mistakes of a document; changes nothing.
    Check {
        /// The document's text.
        document: String,
    },
    /// What would change, in words.
    Diff {
        /// From this.
        from: Source,
        /// To this.
        to: Source,
    },
    /// Exceptions for what the web application firewall found; changes nothing.
    PreviewException(ExceptionWish),
    /// Check, prepare, commit; roll back unless confirmed in time.
    Commit {
        /// The document's text.
        document: String,
        /// Seconds to confirm in, 30 to 600.
        confirm_within: u32,
        /// Why.
        comment: String,
        /// Who; the operators' channel overrides it with the peer's credentials.
        actor: Actor,
        /// The version that the author saw running: another one means that somebody was faster.
        base: Option<Generation>,
    },
    /// Keep the version that waits.
    Confirm {
        /// Which.
        generation: Generation,
        /// Who.
        actor: Actor,
    },
    /// Return to the confirmed version now.
    Rollback {
        /// Which is given up.
        generation: Generation,
        /// Who.
        actor: Actor,
    },
}

/// A document, by number or by text.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Source {
    /// What runs now.
    Running,
    /// This text.
    Text(String),
    /// A stored version.
    Version(Generation),
}

/// The manager's answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ManagerReply {
    /// To `Status`.
    Status(ApplianceStatus),
    /// To `Configuration`.
    Configuration(ConfigurationState),
    /// To `Version`.
    Version(Option<Version>),
    /// To `Versions`.
    Versions(Vec<VersionInfo>),
    /// To `Check`: empty when it may be committed.
    Checked(Vec<Mistake>),
    /// To `Diff`.
    Diff(Vec<Change>),
    /// To `PreviewException`.
    ExceptionPreview(Box<ExceptionPreview>),
    /// To `Commit`, `Confirm`, `Rollback`: what runs now.
    Done(CommitState),
    /// The document has mistakes; nothing changed.
    Mistaken(Vec<Mistake>),
    /// Refused, with reasons; nothing changed.
    Refused(Vec<String>),
}

/// What runs.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct ConfigurationState {
    /// Confirmed and pending.
    pub state: CommitState,
    /// The version that runs, with its document; `None` before the first.
    pub running: Option<Version>,
    /// The manager's clock, so that a countdown does not depend on the reader's.
    pub now: Timestamp,
}

/// A mistake in a document.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Mistake {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Length in characters.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: Option<String>,
    /// As a compiler would print it, with the line and carets.
    pub rendered: String,
    /// Whether it prevents a commit.
    pub fatal: bool,
}

/// A difference between two configurations.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Where, for instance `services.shop.limits`.
    pub path: String,
    /// In words.
    pub text: String,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ChangeKind {
    /// New.
    Added,
    /// Other than before.
    Changed,
    /// Gone.
    Removed,
}

/// A question of an operator on the local channel.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum OperatorRequest {
    /// As the console asks it.
    Manager(ManagerRequest),
    /// Accounts.
    Accounts(AccountRequest),
    /// Find audit entries.
    AuditSearch(AuditQuery),
    /// Export the audit log.
    AuditExport {
        /// From this place, 0 first.
        from: u64,
    },
    /// Check the live audit log.
    AuditVerify,
    /// The sealed segments of the log.
    AuditSegments,
    /// Seal what was exported of the log, and give it up.
    AuditSeal {
        /// At most the entries before this one.
        until: u64,
    },
    /// Destroy a person's key.
    AuditErase {
        /// Whose, as the log names the actor.
        person: String,
    },
    /// Blocklist and counters.
    Network(NetworkRequest),
    /// The vault's state.
    VaultHealth,
    /// New keys for the store.
    RotateKeys,
    /// The certificates in use.
    Certificates,
    /// The serial line's PIN, as its hash; for the provisioning service alone.
    SerialPin,
    /// Another PIN for the serial line, or none.
    SetSerialPin(Option<String>),
    /// Put this into the audit log; for the provisioning service alone, under its own name.
    Record {
        /// What: `serial.` or `stick.` and a word.
        action: String,
        /// Whether it was done.
        done: bool,
        /// In words.
        message: String,
    },
    /// What the web application firewall found.
    Waf(WafRequest),
    /// What opens the vault.
    Seal(SealRequest),
}

/// The answer to an operator.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum OperatorReply {
    /// From the manager.
    Manager(ManagerReply),
    /// From the vault.
    Accounts(AccountReply),
    /// From the vault.
    AuditPage(AuditPage),
    /// From the vault.
    AuditExport(ExportPart),
    /// From the vault.
    AuditVerified(VerifyReport),
    /// From the vault.
    AuditSegments(Vec<AuditSegment>),
    /// Done.
    Done,
    /// From the network service.
    Network(NetworkReply),
    /// From the vault.
    VaultHealth(VaultHealth),
    /// To `Certificates`.
    Certificates(Vec<(CertificateOwner, Certificate)>),
    /// To `SerialPin`.
    SerialPin(Option<String>),
    /// From the vault.
    Waf(WafReply),
    /// From the vault.
    Seal(SealReply),
    /// Not done, and why.
    Refused(String),
}
