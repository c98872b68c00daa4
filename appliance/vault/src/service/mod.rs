//! What the vault does for the other services.
//!
//! * [`signer`]: handshake signatures, a thread for each wire.
//! * `certificates`: the appliance's own authority and the leaf certificates that it issues.
//! * `accounts`: users, sessions, API keys. `audit`: the log. `configurations`: versions and which one runs.
//! * `transit`: keys that applications use without having them.
//! * `traffic`: telemetry in memory.
//! * `room`: sealed or open.
//! * `handlers`: which request of which wire goes where, and in which pool of threads it may wait.
//!
//! A wire's own thread answers at once what needs no disk and no password hash (sessions, API keys, telemetry) and hands everything
//! else to a bounded pool; hashing and reading run below the signers' priority.

mod accounts;
mod audit;
mod certificates;
mod change;
mod configurations;
mod handlers;
mod pool;
mod room;
mod run;
pub mod signer;
mod traffic;
mod transit;

pub use run::{RunError, run};

use crate::store::{Direct, OpenReport, Sealing, StateFolder, Store, StoreError};
use accounts::Accounts;
use audit::AuditLog;
use certificates::Certificates;
use configurations::Configurations;
use pool::Pool;
use redan_hal::keys::{KeyDevice, KeyError};
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::vault::{Certificate, VaultHealth, VaultRefusal};
use redan_types::{Process, SecretBytes, SecretString, Timestamp, UserName};
use signer::Signers;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use traffic::Traffic;
use transit::Transit;

/// Why the vault did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The key device failed.
    #[error("key device: {0}")]
    Device(#[from] KeyError),
    /// A thread could not be started.
    #[error("a thread cannot be started: {0}")]
    Thread(#[from] std::io::Error),
    /// A value is not of the form that it should have.
    #[error("{0}")]
    Form(&'static str),
    /// There is nothing of that name.
    #[error("no such record")]
    Missing,
    /// The rules forbid it, and why.
    #[error("{0}")]
    Refused(String),
    /// Nothing can be written, and why.
    #[error("the store cannot be written: {0}")]
    Unwritable(String),
    /// Whoever worked for a group of callers failed; this is what it said.
    #[error(transparent)]
    Told(#[from] VaultRefusal),
}

impl From<VaultError> for VaultRefusal {
    fn from(error: VaultError) -> Self {
        match error {
            VaultError::Told(refusal) => refusal,
            VaultError::Missing => Self::Missing,
            VaultError::Refused(why) => Self::Refused(why),
            VaultError::Unwritable(why) => Self::Unwritable(why),
            VaultError::Store(error @ (StoreError::Corrupt { .. } | StoreError::Index(_))) => {
                Self::Damaged(error.to_string())
            }
            VaultError::Store(error @ StoreError::TooLarge { .. }) => Self::Refused(error.to_string()),
            VaultError::Store(error) => Self::Unwritable(error.to_string()),
            error @ VaultError::Form(_) => Self::Damaged(error.to_string()),
            error @ (VaultError::Device(_) | VaultError::Thread(_)) => Self::Unwritable(error.to_string()),
        }
    }
}

/// The vault's clock: time is a parameter, so that tests control it.
pub type Clock = fn() -> Timestamp;

/// The open vault. Shared by the threads of all wires.
#[derive(Debug)]
pub struct Vault {
    store: Arc<Store>,
    device: Arc<dyn KeyDevice>,
    signers: Arc<Signers>,
    certificates: Certificates,
    audit: Arc<AuditLog>,
    accounts: Accounts,
    configurations: Configurations,
    traffic: Mutex<Traffic>,
    transit: Transit,
    disk: Pool,
    hashing: Pool,
    reading: Pool,
    clock: Clock,
    notes: Mutex<Vec<String>>,
    refused_signatures: AtomicU64,
}

/// The first administrator and the password that works once.
pub type FirstPassword = (UserName, SecretString);

impl Vault {
    /// Opens the vault in a locked state folder, where the store is sealed by the device itself.
    ///
    /// # Errors
    /// As [`Vault::open_sealed`].
    pub fn open(
        state: &StateFolder,
        device: Arc<dyn KeyDevice>,
        clock: Clock,
    ) -> Result<(Arc<Self>, Option<FirstPassword>), VaultError> {
        Self::open_sealed(state, &Direct(&*Arc::clone(&device)), device, clock)
    }

    /// Opens the vault in a locked state folder. The one-time password is returned until somebody has changed it.
    ///
    /// # Errors
    /// The store or the key device cannot be used, or a thread not be started.
    pub fn open_sealed(
        state: &StateFolder,
        sealing: &dyn Sealing,
        device: Arc<dyn KeyDevice>,
        clock: Clock,
    ) -> Result<(Arc<Self>, Option<FirstPassword>), VaultError> {
        let now = clock();
        let (store, report) = Store::open(state, sealing)?;
        let store = Arc::new(store);
        let mut notes = describe(&report);
        let (audit, found) = AuditLog::open(Arc::clone(&store), Arc::clone(&device))?;
        notes.extend(found);
        let audit = Arc::new(audit);
        let signers = Arc::new(Signers::default());
        let (certificates, found) = Certificates::open(&store, &*device, &signers, now)?;
        notes.extend(found);
        let (accounts, found) = Accounts::open(Arc::clone(&store), Arc::clone(&audit))?;
        notes.extend(found);
        let (transit, found) = Transit::open(Arc::clone(&store), Arc::clone(&audit))?;
        notes.extend(found);
        let first = accounts.first_administrator(now)?;
        let vault = Self {
            store,
            device,
            signers,
            certificates,
            audit,
            accounts,
            configurations: Configurations::default(),
            traffic: Mutex::default(),
            transit,
            disk: Pool::start("disk", 16, 1_024, false)?,
            hashing: Pool::start("hashing", 2, 64, true)?,
            reading: Pool::start("reading", 2, 64, true)?,
            clock,
            notes: Mutex::new(notes.clone()),
            refused_signatures: AtomicU64::new(0),
        };
        let mut started = vault.event("vault.started", Outcome::Succeeded);
        started.message = notes.join("; ");
        // A store that cannot be written still serves what can be read; its state says why.
        if let Err(error) = vault.audit.append(&[started], Vec::new()) {
            vault.note(format!("the start could not be recorded: {error}"));
        }
        Ok((Arc::new(vault), first))
    }

    /// The keys that signers use.
    #[must_use]
    pub fn signers(&self) -> Arc<Signers> {
        Arc::clone(&self.signers)
    }

    /// The authority's certificate in DER, for those who want to trust the appliance's own certificates.
    #[must_use]
    pub fn authority(&self) -> &[u8] {
        self.certificates.authority()
    }

    /// Records events; they are durable when this returns. At most 256.
    ///
    /// # Errors
    /// The store cannot be written, or an event is not of a form that the log takes.
    pub fn record(&self, events: &[AuditEvent]) -> Result<(), VaultError> {
        Ok(self.audit.append(events, Vec::new())?)
    }

    /// Does what has to be done now and then: stores last uses, ends sessions, signs a checkpoint, reports refused signatures.
    pub fn keep_house(&self) {
        if self.store.unwritable().is_some() {
            return;
        }
        let now = self.now();
        let refused = self.signers.refused();
        let before = self.refused_signatures.swap(refused, Ordering::Relaxed);
        if refused > before {
            let mut event = self.event("signature.refused", Outcome::Denied);
            event.message = format!("{} requests to the signers were refused", refused - before);
            self.try_to("report refused signatures", self.audit.append(&[event], Vec::new()));
        }
        self.try_to("rotate the keys of applications", self.transit.keep_house(now));
        self.try_to("store last uses", self.accounts.keep_house(now));
        self.try_to("sign a checkpoint of the audit log", self.audit.checkpoint_in_time(now));
    }

    /// Ends orderly: the log gets its checkpoint, the index need not be built again.
    pub fn close(&self) {
        if self.store.unwritable().is_none() {
            let mut event = self.event("vault.stopped", Outcome::Succeeded);
            event.message = format!("{} handshakes were signed since the start", self.signers.signed());
            self.try_to("record the end", self.audit.append(&[event], Vec::new()));
        }
        self.keep_house();
        if self.store.unwritable().is_none() {
            self.try_to("sign a checkpoint of the audit log", self.audit.checkpoint(self.now()));
        }
        self.try_to("close the store", self.store.close());
    }

    fn health(&self) -> VaultHealth {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner).clone();
        notes.extend(self.store.notes());
        VaultHealth {
            device: self.device.identity().to_string(),
            evaluation_only: !self.device.capabilities().protects_keys,
            unwritable: self.store.unwritable(),
            notes,
            audit_size: self.audit.size(),
            checkpoint: self.audit.checkpointed(),
            disk: self.store.disk(),
            signatures: self.signers.signed(),
        }
    }

    /// The key of the console's certificate.
    fn console_key(&self, certificate: &Certificate) -> Result<SecretBytes, VaultError> {
        Certificates::console_key(&self.store, certificate)?.ok_or(VaultError::Missing)
    }

    /// Whether an actor of the console may do something about the seal.
    fn may_seal(&self, actor: &Actor) -> Result<(), VaultError> {
        self.accounts.may_administrate(accounts::Vouched::Console, actor)
    }

    fn now(&self) -> Timestamp {
        (self.clock)()
    }

    fn event(&self, action: &str, outcome: Outcome) -> AuditEvent {
        AuditEvent {
            time: self.now(),
            actor: Actor::Process(Process::Vault),
            action: action.to_owned(),
            resource: "vault".to_owned(),
            outcome,
            before: None,
            after: None,
            address: None,
            agent: None,
            request: None,
            incident: None,
            message: String::new(),
        }
    }

    fn event_by(&self, actor: Actor, action: &str, resource: &str) -> AuditEvent {
        AuditEvent {
            actor,
            resource: resource.to_owned(),
            ..self.event(action, Outcome::Succeeded)
        }
    }

    /// What fails here has nobody to be told to; the vault's state shows it.
    fn try_to<E: std::fmt::Display>(&self, what: &str, result: Result<(), E>) {
        if let Err(error) = result {
            self.note(format!("could not {what}: {error}"));
        }
    }

    fn note(&self, note: String) {
        let mut notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES && notes.last() != Some(&note) {
            eprintln!("{note}");
            notes.push(note);
        }
    }
}

/// What was found when the store was opened, in words for an operator.
fn describe(report: &OpenReport) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(why) = &report.rebuilt {
        notes.push(format!("the index was built again from the journal: {why}"));
    }
    if let Some((path, offset)) = &report.cut {
        notes.push(format!(
            "a write was cut short in {} at byte {offset}; nothing in it had been acknowledged",
            path.display()
        ));
    }
    if report.snapshot_damaged {
        notes.push("a snapshot of the store is damaged; the damaged records are named below".to_owned());
    }
    notes.extend(
        report
            .corrupt
            .iter()
            .map(|(tree, key)| format!("corrupt record {key} in tree {tree}")),
    );
    let more = report
        .corrupt_count
        .saturating_sub(u64::try_from(report.corrupt.len()).unwrap_or(u64::MAX));
    if more > 0 {
        notes.push(format!("and {more} more corrupt records"));
    }
    if let Some(why) = &report.read_only {
        notes.push(format!("the store is read-only: {why}"));
    }
    notes
}

const NOTES: usize = 200;

#[cfg(test)]
mod tests;
