//! The services that the console asks, each question typed by its answer.

use redan_ipc::IpcError;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest, Principal, SessionRecord};
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditPage, AuditQuery, ExportPart, VerifyReport};
use redan_ipc::messages::manager::{ConfigurationState, ManagerReply, ManagerRequest};
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_ipc::messages::seal::{SealReply, SealRequest};
use redan_ipc::messages::status::ApplianceStatus;
use redan_ipc::messages::traffic::TrafficSample;
use redan_ipc::messages::transit::{TransitReply, TransitRequest};
use redan_ipc::messages::update::{UpdateReply, UpdateRequest};
use redan_ipc::messages::vault::{
    ConsoleVaultReply, ConsoleVaultRequest, LoginOutcome, VaultHealth, VaultRefusal, Version, VersionInfo,
};
use redan_ipc::messages::waf::{WafPage, WafQuery, WafRecord, WafReply, WafRequest};
use redan_ipc::messages::{ConsoleManager, ConsoleNetwork, ConsoleUpdate, ConsoleVault};
use redan_service::AsyncPeer;
use redan_types::{Generation, KeyName, Process, SecretString, Timestamp};
use std::net::IpAddr;
use std::time::Duration;

/// For questions that are answered from memory or with one record.
const SHORT: Duration = Duration::from_secs(5);
/// For questions behind a password hash, a whole log, or a transaction across all services.
const LONG: Duration = Duration::from_secs(50);

/// The console's peers.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Users, sessions, keys, audit log, traffic.
    pub vault: Vault,
    /// Configuration and state.
    pub manager: Manager,
    /// Blocklist.
    pub network: Network,
    /// New versions of the image.
    pub update: Update,
}

/// Why a peer gave no answer that could be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The wire failed or the answer is late.
    #[error("asking the {peer}: {source}")]
    Ipc {
        /// Who was asked.
        peer: Process,
        /// What failed.
        source: IpcError,
    },
    /// The answer is to another question.
    #[error("the {0} answered another question")]
    Unexpected(Process),
    /// The vault refused.
    #[error("the vault refused: {0}")]
    Vault(#[from] VaultRefusal),
}

/// The vault, as the console may ask it.
#[derive(Clone, Debug)]
pub struct Vault(AsyncPeer<ConsoleVault>);

macro_rules! expect {
    ($reply:expr, $peer:ident, $($pattern:pat => $value:expr),+ $(,)?) => {
        match $reply {
            $($pattern => Ok($value),)+
            _ => Err(PeerError::Unexpected(Process::$peer)),
        }
    };
}

impl Vault {
    /// The vault behind this wire.
    #[must_use]
    pub const fn new(wire: AsyncPeer<ConsoleVault>) -> Self {
        Self(wire)
    }

    async fn ask(&self, request: ConsoleVaultRequest, timeout: Duration) -> Result<ConsoleVaultReply, PeerError> {
        match self.0.call(&request, timeout).await {
            Ok(ConsoleVaultReply::Refused(refusal)) => Err(refusal.into()),
            Ok(reply) => Ok(reply),
            Err(source) => Err(PeerError::Ipc {
                peer: Process::Vault,
                source,
            }),
        }
    }

    /// Logs in; the password is hashed and compared there.
    ///
    /// # Errors
    /// No answer. A wrong password is an outcome, no error.
    pub async fn login(
        &self,
        user: String,
        password: SecretString,
        address: IpAddr,
        agent: Option<String>,
        device: Option<SecretString>,
    ) -> Result<LoginOutcome, PeerError> {
        let request = ConsoleVaultRequest::Login {
            user,
            password,
            address,
            agent,
            device,
        };
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Login(outcome) => outcome)
    }

    /// The session of a cookie, which counts as used; `None` when it has ended.
    ///
    /// # Errors
    /// No answer.
    pub async fn session(&self, token: SecretString) -> Result<Option<SessionRecord>, PeerError> {
        let request = ConsoleVaultRequest::Session { token };
        expect!(self.ask(request, SHORT).await?, Vault, ConsoleVaultReply::Session(session) => session)
    }

    /// Ends a session.
    ///
    /// # Errors
    /// No answer.
    pub async fn logout(&self, token: SecretString) -> Result<(), PeerError> {
        let request = ConsoleVaultRequest::Logout { token };
        expect!(self.ask(request, SHORT).await?, Vault, ConsoleVaultReply::Done => ())
    }

    /// Changes the caller's own password.
    ///
    /// # Errors
    /// No answer, or the vault refuses the old or the new password.
    pub async fn change_password(
        &self,
        token: SecretString,
        old: SecretString,
        new: SecretString,
    ) -> Result<(), PeerError> {
        let request = ConsoleVaultRequest::ChangePassword { token, old, new };
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Done => ())
    }

    /// Whose API key this is; `None` for an unknown, expired or revoked one.
    ///
    /// # Errors
    /// No answer.
    pub async fn resolve_key(&self, key: SecretString) -> Result<Option<Principal>, PeerError> {
        let request = ConsoleVaultRequest::ResolveKey { key };
        expect!(self.ask(request, SHORT).await?, Vault, ConsoleVaultReply::Principal(principal) => principal)
    }

    /// Asks about or changes accounts.
    ///
    /// # Errors
    /// No answer. A refusal is an answer.
    pub async fn accounts(&self, actor: Actor, request: AccountRequest) -> Result<AccountReply, PeerError> {
        let request = ConsoleVaultRequest::Accounts { actor, request };
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Accounts(reply) => reply)
    }

    /// Uses a key of applications.
    ///
    /// # Errors
    /// No answer. A refusal is an answer.
    pub async fn transit(
        &self,
        actor: Actor,
        key: KeyName,
        request: TransitRequest,
    ) -> Result<TransitReply, PeerError> {
        let request = ConsoleVaultRequest::Transit { actor, key, request };
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Transit(reply) => reply)
    }

    /// Asks or changes what opens the vault.
    ///
    /// # Errors
    /// No answer, or the vault refuses.
    pub async fn seal(&self, actor: Actor, address: IpAddr, request: SealRequest) -> Result<SealReply, PeerError> {
        let request = ConsoleVaultRequest::Seal {
            actor,
            address,
            request,
        };
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Seal(reply) => reply)
    }

    /// Records an event; durable when this returns.
    ///
    /// # Errors
    /// No answer, or the store cannot be written.
    pub async fn audit(&self, event: AuditEvent) -> Result<(), PeerError> {
        let request = ConsoleVaultRequest::Audit { events: vec![event] };
        expect!(self.ask(request, SHORT).await?, Vault, ConsoleVaultReply::Recorded => ())
    }

    /// Finds entries of the audit log.
    ///
    /// # Errors
    /// No answer.
    pub async fn audit_search(&self, query: AuditQuery) -> Result<AuditPage, PeerError> {
        let request = ConsoleVaultRequest::AuditSearch(query);
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::AuditPage(page) => page)
    }

    /// What the web application firewall found.
    ///
    /// # Errors
    /// No answer.
    pub async fn waf_search(&self, query: WafQuery) -> Result<WafPage, PeerError> {
        let request = ConsoleVaultRequest::Waf(WafRequest::Search(query));
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Waf(WafReply::Page(page)) => page)
    }

    /// One thing that it found, with its audit record; `None` where it is not kept.
    ///
    /// # Errors
    /// No answer.
    pub async fn waf_record(&self, number: u64) -> Result<Option<Box<WafRecord>>, PeerError> {
        let request = ConsoleVaultRequest::Waf(WafRequest::One(number));
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::Waf(WafReply::One(record)) => record)
    }

    /// Checks the whole log.
    ///
    /// # Errors
    /// No answer.
    pub async fn audit_verify(&self) -> Result<VerifyReport, PeerError> {
        let request = ConsoleVaultRequest::AuditVerify;
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::AuditVerified(report) => report)
    }

    /// A part of the log's export.
    ///
    /// # Errors
    /// No answer.
    pub async fn audit_export(&self, from: u64) -> Result<ExportPart, PeerError> {
        let request = ConsoleVaultRequest::AuditExport { from };
        expect!(self.ask(request, LONG).await?, Vault, ConsoleVaultReply::AuditExport(part) => part)
    }

    /// Traffic after this second.
    ///
    /// # Errors
    /// No answer.
    pub async fn traffic(&self, after: Timestamp) -> Result<Vec<TrafficSample>, PeerError> {
        let request = ConsoleVaultRequest::Traffic { after };
        expect!(self.ask(request, SHORT).await?, Vault, ConsoleVaultReply::Traffic(samples) => samples)
    }

    /// The vault's state.
    ///
    /// # Errors
    /// No answer.
    pub async fn health(&self) -> Result<VaultHealth, PeerError> {
        expect!(self.ask(ConsoleVaultRequest::Health, SHORT).await?, Vault, ConsoleVaultReply::Health(health) => health)
    }
}

/// The manager, as the console may ask it.
#[derive(Clone, Debug)]
pub struct Manager(AsyncPeer<ConsoleManager>);

impl Manager {
    /// The manager behind this wire.
    #[must_use]
    pub const fn new(wire: AsyncPeer<ConsoleManager>) -> Self {
        Self(wire)
    }

    /// Asks anything; for answers that have several shapes.
    ///
    /// # Errors
    /// No answer.
    pub async fn ask(&self, request: ManagerRequest) -> Result<ManagerReply, PeerError> {
        let timeout = match request {
            ManagerRequest::Status | ManagerRequest::Configuration => SHORT,
            _ => LONG,
        };
        self.0.call(&request, timeout).await.map_err(|source| PeerError::Ipc {
            peer: Process::Manager,
            source,
        })
    }

    /// The state of all services.
    ///
    /// # Errors
    /// No answer.
    pub async fn status(&self) -> Result<ApplianceStatus, PeerError> {
        expect!(self.ask(ManagerRequest::Status).await?, Manager, ManagerReply::Status(status) => status)
    }

    /// What runs and what waits for confirmation.
    ///
    /// # Errors
    /// No answer.
    pub async fn configuration(&self) -> Result<ConfigurationState, PeerError> {
        expect!(self.ask(ManagerRequest::Configuration).await?, Manager, ManagerReply::Configuration(state) => state)
    }

    /// One version with its document.
    ///
    /// # Errors
    /// No answer.
    pub async fn version(&self, number: Generation) -> Result<Option<Version>, PeerError> {
        expect!(self.ask(ManagerRequest::Version(number)).await?, Manager, ManagerReply::Version(version) => version)
    }

    /// At most 100 versions below this one, newest first.
    ///
    /// # Errors
    /// No answer.
    pub async fn versions(&self, before: Option<Generation>) -> Result<Vec<VersionInfo>, PeerError> {
        let request = ManagerRequest::Versions { before };
        expect!(self.ask(request).await?, Manager, ManagerReply::Versions(versions) => versions)
    }
}

/// The network service, as the console may ask it.
#[derive(Clone, Debug)]
pub struct Network(AsyncPeer<ConsoleNetwork>);

impl Network {
    /// The network service behind this wire.
    #[must_use]
    pub const fn new(wire: AsyncPeer<ConsoleNetwork>) -> Self {
        Self(wire)
    }

    /// Asks.
    ///
    /// # Errors
    /// No answer. A refusal is an answer.
    pub async fn ask(&self, request: NetworkRequest) -> Result<NetworkReply, PeerError> {
        self.0.call(&request, SHORT).await.map_err(|source| PeerError::Ipc {
            peer: Process::Network,
            source,
        })
    }
}

/// The update service, as the console may ask it; only the appliance's own machine has one.
#[derive(Clone, Debug)]
pub struct Update(AsyncPeer<ConsoleUpdate>);

impl Update {
    /// The update service behind this wire.
    #[must_use]
    pub const fn new(wire: AsyncPeer<ConsoleUpdate>) -> Self {
        Self(wire)
    }

    /// Asks.
    ///
    /// # Errors
    /// No answer. A refusal is an answer.
    pub async fn ask(&self, request: UpdateRequest) -> Result<UpdateReply, PeerError> {
        let patience = match request {
            // A slot is read back, a kernel image published: a slow disk takes its time.
            UpdateRequest::Data(_) | UpdateRequest::Finish { .. } => LONG,
            _ => SHORT,
        };
        self.0.call(&request, patience).await.map_err(|source| PeerError::Ipc {
            peer: Process::Update,
            source,
        })
    }
}
