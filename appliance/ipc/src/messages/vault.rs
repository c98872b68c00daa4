//! What each role may ask the vault.

use super::accounts::{AccountReply, AccountRequest, Principal, SessionRecord};
use super::audit::{Actor, AuditEvent, AuditPage, AuditQuery, AuditSegment, ExportPart, VerifyReport};
use super::control::WantedListener;
use super::seal::{SealReply, SealRequest};
use super::traffic::TrafficSample;
use super::transit::{TransitReply, TransitRequest};
use super::waf::{WafRecord, WafReply, WafRequest};
use crate::slice::{ConsoleSlice, NetworkSlice, VaultSlice};
use redan_types::{Generation, HostName, KeyId, KeyName, SecretString, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Why the vault did not do it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum VaultRefusal {
    /// Too much is waiting already; ask again later.
    #[error("the vault is busy")]
    Busy,
    /// A record is damaged.
    #[error("a record of the store is damaged: {0}")]
    Damaged(String),
    /// Nothing there.
    #[error("no such record")]
    Missing,
    /// Refused by its rules.
    #[error("{0}")]
    Refused(String),
    /// The vault is sealed.
    #[error("the vault is sealed: {0}")]
    Sealed(String),
    /// The disk is full or broken; nothing was acknowledged, reading goes on.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
}

/// From the proxy.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ProxyVaultRequest {
    /// Whose API key is this?
    ResolveKey {
        /// As it was presented.
        key: SecretString,
    },
    /// Record these.
    Audit {
        /// At most 256.
        events: Vec<AuditEvent>,
    },
    /// A second's counts; a notice.
    Traffic(Box<TrafficSample>),
    /// What the web application firewall found; a notice.
    Waf {
        /// At most [`BATCH`](super::waf::BATCH).
        records: Vec<WafRecord>,
    },
}

/// To the proxy.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ProxyVaultReply {
    /// To `ResolveKey`: `None` for an unknown, expired or revoked key.
    Principal(Option<Principal>),
    /// To `Audit`: durable.
    Recorded,
    /// To `Traffic` and `Waf`, should they be asked as requests.
    Noted,
    /// Not done.
    Refused(VaultRefusal),
}

/// From the console.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ConsoleVaultRequest {
    /// Log in.
    Login {
        /// As typed.
        user: String,
        /// As typed.
        password: SecretString,
        /// The client's address.
        address: IpAddr,
        /// The client's user agent.
        agent: Option<String>,
        /// What the client got at an earlier login, as it was presented.
        device: Option<SecretString>,
    },
    /// Is this session alive? Counts as a use.
    Session {
        /// The cookie's value.
        token: SecretString,
    },
    /// End this session.
    Logout {
        /// The cookie's value.
        token: SecretString,
    },
    /// Change one's own password; the other sessions of the user end.
    ChangePassword {
        /// The cookie's value.
        token: SecretString,
        /// The password until now.
        old: SecretString,
        /// The password from now on.
        new: SecretString,
    },
    /// Whose API key is this?
    ResolveKey {
        /// As it was presented.
        key: SecretString,
    },
    /// Accounts.
    Accounts {
        /// Who asks; the console has checked that the role allows it, the vault checks again.
        actor: Actor,
        /// The question or change.
        request: AccountRequest,
    },
    /// Record these.
    Audit {
        /// At most 256.
        events: Vec<AuditEvent>,
    },
    /// Find entries.
    AuditSearch(AuditQuery),
    /// Check the whole log now.
    AuditVerify,
    /// Export the log.
    AuditExport {
        /// From this place, 0 first.
        from: u64,
    },
    /// Seconds after this one, oldest first, of the last 15 minutes.
    Traffic {
        /// The last second that the console has.
        after: Timestamp,
    },
    /// Use a key of applications; the vault knows what the actor may.
    Transit {
        /// Who asks.
        actor: Actor,
        /// Which key.
        key: KeyName,
        /// What to do.
        request: TransitRequest,
    },
    /// What the web application firewall found.
    Waf(WafRequest),
    /// Is the vault well?
    Health,
    /// What opens the vault. The vault checks what the actor may.
    Seal {
        /// Who asks; nobody known where nobody can sign in.
        actor: Actor,
        /// From where.
        address: IpAddr,
        /// The question or change.
        request: SealRequest,
    },
}

/// To the console.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ConsoleVaultReply {
    /// To `Login`.
    Login(LoginOutcome),
    /// To `Session`: `None` when it has ended.
    Session(Option<SessionRecord>),
    /// Done.
    Done,
    /// To `ResolveKey`.
    Principal(Option<Principal>),
    /// To `Accounts`.
    Accounts(AccountReply),
    /// To `Audit`: durable.
    Recorded,
    /// To `AuditSearch`.
    AuditPage(AuditPage),
    /// To `AuditVerify`.
    AuditVerified(VerifyReport),
    /// To `AuditExport`.
    AuditExport(ExportPart),
    /// To `Traffic`.
    Traffic(Vec<TrafficSample>),
    /// To `Health`.
    Health(VaultHealth),
    /// To `Transit`.
    Transit(TransitReply),
    /// To `Waf`.
    Waf(WafReply),
    /// To `Seal`.
    Seal(SealReply),
    /// Not done.
    Refused(VaultRefusal),
}

/// How a login ended.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum LoginOutcome {
    /// Welcome.
    Session {
        /// For the cookie.
        token: SecretString,
        /// What it stands for.
        session: SessionRecord,
        /// For a cookie that outlives the session: who presents it signed in from there before. It opens nothing.
        device: SecretString,
    },
    /// Wrong name or password, or switched off: not said which.
    Wrong,
    /// Too many failures; try again after this many seconds.
    Locked {
        /// Seconds.
        seconds: u32,
    },
}

/// The vault's state.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct VaultHealth {
    /// The key device, for instance `software (evaluation only)`.
    pub device: String,
    /// Whether a person should not trust this device with production keys.
    pub evaluation_only: bool,
    /// Why nothing can be written, where so.
    pub unwritable: Option<String>,
    /// What was found and mended at start, in words.
    pub notes: Vec<String>,
    /// Entries in the audit log.
    pub audit_size: u64,
    /// The log's last checkpoint.
    pub checkpoint: Option<Timestamp>,
    /// Bytes on disk.
    pub disk: u64,
    /// Signatures made since start.
    pub signatures: u64,
}

/// From the manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ManagerVaultRequest {
    /// Keep a new version; its number is the answer.
    PutVersion {
        /// The document's text.
        document: String,
        /// Who wrote it.
        author: Actor,
        /// Why.
        comment: String,
        /// When.
        time: Timestamp,
    },
    /// One version with its document.
    Version(Generation),
    /// Versions below this one (newest first), at most 100.
    Versions {
        /// `None`: from the newest.
        before: Option<Generation>,
    },
    /// What runs and what waits for confirmation.
    CommitState,
    /// Change what runs and what waits, in one durable step.
    SetCommitState(CommitState),
    /// A certificate for these names, made or renewed when there is none good for 30 days more.
    EnsureCertificate {
        /// Whose; also decides which wire may use its key.
        owner: CertificateOwner,
        /// Subject alternative names; at least one.
        names: Vec<HostName>,
    },
    /// Rules for passwords, lockouts, sessions, roles.
    Configure(VaultSlice),
    /// Record these.
    Audit {
        /// At most 256.
        events: Vec<AuditEvent>,
    },
    /// Accounts, asked by an operator on the local channel.
    Accounts {
        /// Who asks.
        actor: Actor,
        /// The question or change.
        request: AccountRequest,
    },
    /// The serial line's PIN, as its hash.
    SerialPin,
    /// Another PIN for the serial line, or none.
    SetSerialPin(Option<String>),
    /// Find entries, for an operator.
    AuditSearch(AuditQuery),
    /// Export the log, for an operator.
    AuditExport {
        /// From this place, 0 first.
        from: u64,
    },
    /// Check the whole log now, for an operator.
    AuditVerify,
    /// Give the store and every tree a new key; what is stored is encrypted anew behind that.
    RotateKeys {
        /// Who asks.
        actor: Actor,
    },
    /// What the web application firewall found, for an operator.
    Waf(WafRequest),
    /// The sealed segments of the log, for an operator.
    AuditSegments,
    /// Seal what was exported, and give it up.
    AuditSeal {
        /// Who asks.
        actor: Actor,
        /// At most the entries before this one.
        until: u64,
    },
    /// Destroy a person's key, so that nobody can read the person's entries any more.
    AuditErase {
        /// Who asks.
        actor: Actor,
        /// Whose, as the log names the actor.
        person: String,
    },
    /// Is the vault well?
    Health,
    /// Keep this outside of the sealed store.
    KeepManagement(Box<Management>),
    /// What was kept so; answered while the vault is sealed.
    Management,
    /// What opens the vault, for an operator.
    Seal {
        /// Who asks.
        actor: Actor,
        /// The question or change.
        request: SealRequest,
    },
}

/// To the manager.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ManagerVaultReply {
    /// To `PutVersion`.
    Stored(Generation),
    /// To `Version`.
    Version(Option<Version>),
    /// To `Versions`; documents are left empty.
    Versions(Vec<VersionInfo>),
    /// To `CommitState`.
    CommitState(CommitState),
    /// To `EnsureCertificate`.
    Certificate(Certificate),
    /// To `SerialPin`.
    SerialPin(Option<String>),
    /// Done.
    Done,
    /// To `Accounts`.
    Accounts(AccountReply),
    /// To `AuditSearch`.
    AuditPage(AuditPage),
    /// To `AuditExport`.
    AuditExport(ExportPart),
    /// To `AuditVerify`.
    AuditVerified(VerifyReport),
    /// To `Waf`.
    Waf(WafReply),
    /// To `AuditSegments` and `AuditSeal`, where it is the one sealed now.
    AuditSegments(Vec<AuditSegment>),
    /// To `Health`.
    Health(VaultHealth),
    /// To `Seal`.
    Seal(SealReply),
    /// To `Management`: `None` where nothing was kept, or the key device does not open it.
    Management(Option<Box<Management>>),
    /// Not done.
    Refused(VaultRefusal),
}

/// What operators need to reach the console while the vault is sealed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Management {
    /// The packet filter and the interfaces.
    pub network: NetworkSlice,
    /// The console.
    pub console: ConsoleSlice,
    /// Where the console listens.
    pub listeners: Vec<WantedListener>,
}

/// Whose certificate.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum CertificateOwner {
    /// The console's; its key signs on the console's wire only.
    Console,
    /// A published service's; its key signs on the proxy's wires only.
    Service(ServiceName),
}

/// A certificate whose key stays in the vault.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Certificate {
    /// The key's name.
    pub key: KeyId,
    /// The chain in DER, the leaf first.
    pub chain: Vec<Vec<u8>>,
    /// Good until.
    pub until: Timestamp,
}

/// Which configuration runs.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct CommitState {
    /// The last confirmed version; 0 before the first.
    pub confirmed: Generation,
    /// A version that runs on probation.
    pub pending: Option<Pending>,
}

/// A version that is rolled back unless somebody confirms it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Pending {
    /// Which.
    pub generation: Generation,
    /// Rolled back then.
    pub deadline: Timestamp,
    /// Who committed it.
    pub actor: Actor,
}

/// A version of the configuration.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Version {
    /// What the list shows.
    pub info: VersionInfo,
    /// The document's text.
    pub document: String,
}

/// A version without its document.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct VersionInfo {
    /// Its number.
    pub generation: Generation,
    /// Who wrote it.
    pub author: Actor,
    /// Why.
    pub comment: String,
    /// When.
    pub time: Timestamp,
    /// SHA-256 of the document, in hexadecimal.
    pub hash: String,
}
