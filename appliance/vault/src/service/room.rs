//! The room that the vault is in: closed, or open. While it is closed, nothing that needs the vault is answered but with the reason; the
//! questions about the seal itself are always answered.
//!
//! Sealing on purpose ends the process: whatever was in its memory is gone then, and the next one comes up closed. Opening happens
//! in the process. What was tried while the room was closed is recorded as soon as there is a log to record it in.

use super::audit::Export;
use super::pool::Pool;
use super::signer::{Signers, Wire};
use super::{Clock, FirstPassword, Vault, VaultError};
use crate::seal::management::Kept;
use crate::seal::{Closed, Guard, SealFile, Share, Source, describe};
use crate::store::{Direct, StateFolder, Store};
use redan_hal::keys::software::SoftwareKey;
use redan_hal::keys::{Algorithm, KeyDevice, KeyError};
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::seal::{MOST_SHARES, RecoveryShape, SealReply, SealRequest, SealStatus, Unsealing};
use redan_ipc::messages::sign::{SignRefusal, SignReply, SignRequest};
use redan_ipc::messages::vault::{
    CertificateOwner, ConsoleVaultReply, ConsoleVaultRequest, Management, ManagerVaultReply, ManagerVaultRequest,
    VaultRefusal,
};
use redan_ipc::messages::{ConsoleVault, ManagerVault};
use redan_ipc::{Pair, Responder};
use redan_types::SecretString;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The room.
pub(crate) struct Room {
    state: StateFolder,
    source: Box<dyn Source>,
    clock: Clock,
    outside: Outside,
    // Lock order: `change`, then `condition`, which is only held for a look or an assignment.
    change: Mutex<Tried>,
    condition: RwLock<Condition>,
    pool: Pool,
}

/// What the room tells those outside.
pub(crate) struct Outside {
    /// That it is closed and why, or open.
    pub(crate) sealed: Box<dyn Fn(Option<String>) + Send + Sync>,
    /// The first administrator's password.
    pub(crate) password: Box<dyn Fn(&Vault, &FirstPassword) + Send + Sync>,
    /// That the process is to end, once the answer under way has gone out.
    pub(crate) end: Box<dyn Fn() + Send + Sync>,
}

#[derive(Clone)]
enum Condition {
    Open(Arc<Vault>, Arc<Guard>),
    Closed {
        why: String,
        may_pass: bool,
        /// What the console needs, and the signer with its key and no other.
        management: Option<Arc<(Management, Signers)>>,
    },
}

/// Who asks, and from where.
#[derive(Clone, Debug)]
pub(crate) struct Asker {
    pub(crate) actor: Actor,
    pub(crate) address: Option<IpAddr>,
}

/// What was tried while the room was closed.
#[derive(Debug, Default)]
struct Tried {
    shares: Vec<Share>,
    /// To be recorded; the first ones are kept, the others counted.
    events: Vec<AuditEvent>,
    dropped: u64,
}

/// Why the room does not open.
enum Trouble {
    Closed(Closed),
    /// Nobody can do anything about it while the process runs.
    Fatal(VaultError),
}

impl<E: Into<VaultError>> From<E> for Trouble {
    fn from(error: E) -> Self {
        Self::Fatal(error.into())
    }
}

impl Room {
    /// The room of a locked state folder, opened where the key device opens it.
    pub(crate) fn new(
        state: StateFolder,
        source: Box<dyn Source>,
        clock: Clock,
        outside: Outside,
    ) -> Result<Arc<Self>, VaultError> {
        let room = Self {
            state,
            source,
            clock,
            outside,
            change: Mutex::default(),
            condition: RwLock::new(Condition::Closed {
                why: "it is being opened".to_owned(),
                may_pass: false,
                management: None,
            }),
            pool: Pool::start("seal", 1, 16, false)?,
        };
        let mut tried = room.changing();
        let outcome = room.open_by_device(&mut tried);
        drop(tried);
        match outcome {
            Ok(()) => {}
            Err(Trouble::Fatal(error)) => return Err(error),
            Err(Trouble::Closed(why)) => room.stay_closed(&why),
        }
        Ok(Arc::new(room))
    }

    /// The vault, or why there is none.
    pub(crate) fn vault(&self) -> Result<Arc<Vault>, VaultRefusal> {
        match &*self.condition.read().unwrap_or_else(PoisonError::into_inner) {
            Condition::Open(vault, _) => Ok(Arc::clone(vault)),
            Condition::Closed { why, .. } => Err(VaultRefusal::Sealed(why.clone())),
        }
    }

    /// A handshake signature.
    pub(crate) fn sign(&self, wire: Wire, request: &SignRequest) -> SignReply {
        match &*self.condition.read().unwrap_or_else(PoisonError::into_inner) {
            Condition::Open(vault, _) => vault.signers.answer(wire, request),
            Condition::Closed {
                management: Some(management),
                ..
            } if wire == Wire::Console => management.1.answer(wire, request),
            Condition::Closed { .. } => SignReply::Refused(SignRefusal::Sealed),
        }
    }

    /// Answers the manager. `export` is what this wire is exporting.
    pub(crate) fn answer_manager(
        self: &Arc<Self>,
        export: &Arc<Mutex<Option<Export>>>,
        request: ManagerVaultRequest,
        responder: Responder<ManagerVault>,
    ) {
        let refused = ManagerVaultReply::Refused;
        match (request, self.vault()) {
            (ManagerVaultRequest::Seal { actor, request }, _) => {
                let asker = Asker { actor, address: None };
                self.later(responder, refused, move |room| {
                    room.answer(&asker, request).map(ManagerVaultReply::Seal)
                });
            }
            (ManagerVaultRequest::KeepManagement(management), Ok(_)) => self.later(responder, refused, move |room| {
                room.keep_management(*management).map(|()| ManagerVaultReply::Done)
            }),
            (ManagerVaultRequest::Management, Err(_)) => {
                let kept = match self.now() {
                    Condition::Closed { management, .. } => management.map(|kept| Box::new(kept.0.clone())),
                    Condition::Open(..) => None,
                };
                responder.reply(&ManagerVaultReply::Management(kept));
            }
            (request, Ok(vault)) => vault.answer_manager(export, request, responder),
            (_, Err(sealed)) => responder.reply(&refused(sealed)),
        }
    }

    /// Answers the console. `export` is what this wire is exporting.
    pub(crate) fn answer_console(
        self: &Arc<Self>,
        export: &Arc<Mutex<Option<Export>>>,
        request: ConsoleVaultRequest,
        responder: Responder<ConsoleVault>,
    ) {
        let refused = ConsoleVaultReply::Refused;
        match (request, self.vault()) {
            (
                ConsoleVaultRequest::Seal {
                    actor,
                    address,
                    request,
                },
                vault,
            ) => {
                let address = Some(address);
                self.later(responder, refused, move |room| {
                    // Whether it is open is no secret to whoever may ask at all; the console says no more of it to strangers.
                    if let (Ok(vault), false) = (vault, matches!(request, SealRequest::Status)) {
                        vault.may_seal(&actor)?;
                    }
                    let asker = Asker { actor, address };
                    room.answer(&asker, request).map(ConsoleVaultReply::Seal)
                });
            }
            (request, Ok(vault)) => vault.answer_console(export, request, responder),
            (_, Err(sealed)) => responder.reply(&refused(sealed)),
        }
    }

    /// The device may take its time, and the store is read whole when it is opened: not on a wire's own thread.
    fn later<P: Pair>(
        self: &Arc<Self>,
        responder: Responder<P>,
        refused: fn(VaultRefusal) -> P::Reply,
        work: impl FnOnce(&Self) -> Result<P::Reply, VaultError> + Send + 'static,
    ) {
        let room = Arc::clone(self);
        self.pool.run(move |accepted| {
            let reply = if accepted {
                work(&room).map_err(Into::into)
            } else {
                Err(VaultRefusal::Busy)
            };
            responder.reply(&reply.unwrap_or_else(refused));
        });
    }

    /// Does what has to be done now and then.
    pub(crate) fn keep_house(&self) {
        match self.now() {
            Condition::Open(vault, _) => vault.keep_house(),
            Condition::Closed { may_pass: false, .. } => {}
            Condition::Closed { may_pass: true, .. } => {
                let mut tried = self.changing();
                if self.vault().is_err()
                    && let Err(trouble) = self.open_by_device(&mut tried)
                {
                    match trouble {
                        Trouble::Closed(why) => self.stay_closed(&why),
                        Trouble::Fatal(error) => self.close_for(error.to_string(), false),
                    }
                }
            }
        }
    }

    /// Ends orderly.
    pub(crate) fn close(&self) {
        if let Condition::Open(vault, _) = self.now() {
            vault.close();
        }
    }

    /// Answers a question about the seal.
    pub(crate) fn answer(&self, asker: &Asker, request: SealRequest) -> Result<SealReply, VaultError> {
        let mut tried = self.changing();
        match request {
            SealRequest::Status => {}
            SealRequest::Forget => tried.shares.clear(),
            SealRequest::Unseal { share } => self.unseal(&mut tried, asker, &share)?,
            SealRequest::Seal => self.seal(asker)?,
            SealRequest::Recovery { shape, present } => {
                return self.make_recovery(asker, shape, &present).map(SealReply::Recovery);
            }
            SealRequest::Reseal { unsealing } => self.reseal(asker, unsealing)?,
        }
        Ok(SealReply::Status(self.status(&tried)?))
    }

    fn status(&self, tried: &Tried) -> Result<SealStatus, VaultError> {
        Ok(match self.now() {
            Condition::Open(vault, guard) => {
                describe(Some(&guard.file()), None, Some(vault.device.identity().to_string()), 0)
            }
            Condition::Closed { why, .. } => {
                let file = SealFile::read(self.state.path())?;
                describe(file.as_ref(), Some(why), None, tried.shares.len())
            }
        })
    }

    fn open_by_device(&self, tried: &mut Tried) -> Result<(), Trouble> {
        let state = self.state.path();
        let file = SealFile::read(state)?;
        match &file {
            Some(file) if file.held => return Err(Trouble::Closed(Closed::Held)),
            Some(file) if file.automatic.is_none() => return Err(Trouble::Closed(Closed::Manual)),
            _ => {}
        }
        let hopeless = |error: KeyError| {
            let is_recoverable = file.as_ref().is_some_and(|file| file.recovery.is_some());
            if self.source.is_file() && !is_recoverable {
                Trouble::Fatal(error.into())
            } else {
                Trouble::Closed(Closed::Device(error))
            }
        };
        let existing = self.state.holds_store();
        let device = self.source.open(existing).map_err(hopeless)?;
        let guard = match &file {
            Some(file) => match Guard::open_by(state, file, &*self.source, Arc::clone(&device)) {
                Err(Closed::Device(error)) => return Err(hopeless(error)),
                other => other.map_err(Trouble::Closed)?,
            },
            None => {
                if existing {
                    // Sealed by the device alone, as the first version did. A seal is made only where the device fits, since it
                    // would stand in the way of the right one.
                    Store::is_opened_by(&self.state, &Direct(&*device))?;
                }
                Guard::make(state, &*self.source, Arc::clone(&device))?
            }
        };
        self.enter(tried, guard, device, None).map_err(Trouble::Fatal)
    }

    /// Opens the vault behind an open seal. `by` is who brought the recovery.
    fn enter(
        &self,
        tried: &mut Tried,
        guard: Guard,
        device: Arc<dyn KeyDevice>,
        by: Option<&Asker>,
    ) -> Result<(), VaultError> {
        let (vault, first) = Vault::open_sealed(&self.state, &guard, device, self.clock)?;
        tried.shares.clear();
        if let Some(asker) = by {
            let mut event = self.event(asker, "vault.unsealed", Outcome::Succeeded);
            event.message = "with the recovery".to_owned();
            if let Condition::Closed { why, .. } = self.now() {
                event.message = format!("with the recovery; it was sealed because {why}");
            }
            if !guard.opens_by_itself() {
                vault.note("the key device does not open the store: seal it anew with `redan vault reseal`".to_owned());
            }
            tried.events.push(event);
        }
        if tried.dropped > 0 {
            vault.note(format!(
                "{} attempts to unseal were not recorded, there were too many",
                std::mem::take(&mut tried.dropped)
            ));
        }
        vault.try_to("record how it was unsealed", vault.record(&tried.events));
        tried.events.clear();
        if let Some(first) = &first {
            (self.outside.password)(&vault, first);
        }
        self.become_now(Condition::Open(vault, Arc::new(guard)));
        (self.outside.sealed)(None);
        Ok(())
    }

    fn unseal(&self, tried: &mut Tried, asker: &Asker, text: &SecretString) -> Result<(), VaultError> {
        if self.vault().is_ok() {
            return Err(refused("the vault is open"));
        }
        let outcome = self.take_share(tried, asker, text);
        if let Err(error) = &outcome {
            let mut event = self.event(asker, "vault.unseal-failed", Outcome::Denied);
            event.message = error.to_string();
            if tried.events.len() < EVENTS {
                tried.events.push(event);
            } else {
                tried.dropped += 1;
            }
        }
        outcome
    }

    fn take_share(&self, tried: &mut Tried, asker: &Asker, text: &SecretString) -> Result<(), VaultError> {
        let state = self.state.path();
        let file = SealFile::read(state)?.ok_or_else(|| refused("there is no store yet"))?;
        let recovery = file
            .recovery
            .as_ref()
            .ok_or_else(|| refused("no recovery was ever made for this store; only its key device opens it"))?;
        let share = Share::parse(text.expose()).map_err(|error| refused(&error.to_string()))?;
        check(&file, &share)?;
        tried.shares.retain(|other| other.point.place != share.point.place);
        tried.shares.push(share);
        if tried.shares.len() < usize::from(recovery.threshold) {
            return Ok(());
        }
        let Some(key) = file.open_with(&tried.shares) else {
            tried.shares.clear();
            return Err(refused(
                "these shares do not open the store; begin again with the first one",
            ));
        };
        // The device of before, or another one in its place. Without any the vault cannot count, certify or sign its log.
        let device = match self.source.open(true) {
            Err(KeyError::OtherDevice { .. } | KeyError::File { .. }) => self.source.open_other()?,
            other => other?,
        };
        let guard = Guard::opened(state, &file, key, Arc::clone(&device));
        guard.hold(false)?;
        self.enter(tried, guard, device, Some(asker))
    }

    fn seal(&self, asker: &Asker) -> Result<(), VaultError> {
        let (vault, guard) = self.opened()?;
        if guard.file().recovery.is_none() {
            return Err(refused(
                "nobody could open it again: make a recovery first, with `redan vault recovery`",
            ));
        }
        vault.record(&[self.event(asker, "vault.sealed", Outcome::Succeeded)])?;
        guard.hold(true)?;
        self.close_for(Closed::Held.to_string(), false);
        vault.close();
        (self.outside.end)();
        Ok(())
    }

    fn make_recovery(
        &self,
        asker: &Asker,
        shape: RecoveryShape,
        present: &[SecretString],
    ) -> Result<Vec<SecretString>, VaultError> {
        let (vault, guard) = self.opened()?;
        let RecoveryShape { shares, threshold } = shape;
        if shares == 0 || shares > MOST_SHARES || threshold == 0 || threshold > shares {
            return Err(refused(&format!(
                "a recovery has 1 to {MOST_SHARES} shares, and needs at most as many as there are"
            )));
        }
        if shares > 1 && threshold == 1 {
            return Err(refused(
                "several shares of which one is enough are several recovery keys: ask for one share",
            ));
        }
        // Let go of before the guard is asked again.
        let file = guard.file().clone();
        self.check_present(&file, &guard, present)?;
        let mut event = self.event(asker, "vault.recovery-made", Outcome::Succeeded);
        event.after = Some(format!("{threshold} of {shares} shares"));
        event.before = guard
            .file()
            .recovery
            .as_ref()
            .map(|old| format!("{} of {} shares", old.threshold, old.shares));
        vault.record(&[event.clone()])?;
        let made = guard.recover_by(shape, vault.now());
        if let Err(error) = &made {
            event.outcome = Outcome::Failed;
            event.message = error.to_string();
            vault.try_to("record that no recovery was made", vault.record(&[event]));
        }
        Ok(made?)
    }

    /// Whoever replaces a recovery brings it: otherwise whoever operates the appliance for a minute could take the store home.
    fn check_present(&self, file: &SealFile, guard: &Guard, present: &[SecretString]) -> Result<(), VaultError> {
        let Some(recovery) = &file.recovery else { return Ok(()) };
        let shares = present
            .iter()
            .take(usize::from(MOST_SHARES))
            .map(|text| Share::parse(text.expose()))
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| refused(&error.to_string()))?;
        shares.iter().try_for_each(|share| check(file, share))?;
        if shares.len() >= usize::from(recovery.threshold) && guard.is_opened_with(&shares) {
            return Ok(());
        }
        Err(refused(&format!(
            "there is a recovery already: bring {} of its {} shares to replace it",
            recovery.threshold, recovery.shares
        )))
    }

    fn reseal(&self, asker: &Asker, unsealing: Unsealing) -> Result<(), VaultError> {
        let (vault, guard) = self.opened()?;
        if unsealing == Unsealing::Manual && guard.file().recovery.is_none() {
            return Err(refused(
                "nobody could open it again: make a recovery first, with `redan vault recovery`",
            ));
        }
        let before = describe(Some(&guard.file()), None, None, 0).sealed_to;
        guard.reseal(&*self.source, unsealing)?;
        let mut event = self.event(asker, "vault.resealed", Outcome::Succeeded);
        event.before = Some(before);
        event.after = Some(describe(Some(&guard.file()), None, None, 0).sealed_to);
        vault.record(&[event])
    }

    /// Keeps what the console needs while the vault is sealed; what is kept already is not written again.
    fn keep_management(&self, management: Management) -> Result<(), VaultError> {
        let _one = self.changing();
        let (vault, _) = self.opened()?;
        let state = self.state.path();
        let key = vault.console_key(&management.console.certificate)?;
        let kept = Kept { management, key };
        // One that cannot be read is written anew.
        let before = Kept::read(state, &*vault.device).ok().flatten();
        if before.is_some_and(|before| before.management == kept.management) {
            return Ok(());
        }
        Ok(kept.write(state, &*vault.device)?)
    }

    fn management(&self, device: Option<&dyn KeyDevice>) -> Option<Arc<(Management, Signers)>> {
        let read = |device: &dyn KeyDevice| -> Result<_, VaultError> {
            let Some(kept) = Kept::read(self.state.path(), device)? else {
                return Ok(None);
            };
            let signers = Signers::default();
            let key = SoftwareKey::parse(Algorithm::EcdsaP256, &kept.key)?;
            signers.allow(&CertificateOwner::Console, key);
            Ok(Some(Arc::new((kept.management, signers))))
        };
        let outcome = match device {
            Some(device) => read(device),
            // A device that cannot be opened was told of with the reason why the vault is sealed.
            None => read(&*self.source.open(true).ok()?),
        };
        outcome.unwrap_or_else(|error| {
            eprintln!("the console cannot be reached while the vault is sealed: {error}");
            None
        })
    }

    fn opened(&self) -> Result<(Arc<Vault>, Arc<Guard>), VaultError> {
        match self.now() {
            Condition::Open(vault, guard) => Ok((vault, guard)),
            Condition::Closed { why, .. } => Err(VaultRefusal::Sealed(why).into()),
        }
    }

    fn now(&self) -> Condition {
        self.condition.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn become_now(&self, condition: Condition) {
        *self.condition.write().unwrap_or_else(PoisonError::into_inner) = condition;
    }

    fn stay_closed(&self, why: &Closed) {
        self.close_for(why.to_string(), why.may_pass());
    }

    fn close_for(&self, why: String, may_pass: bool) {
        let known = matches!(self.now(), Condition::Closed { why: before, .. } if before == why);
        if !known {
            eprintln!("the vault is sealed: {why}");
            (self.outside.sealed)(Some(why.clone()));
        }
        let management = match self.now() {
            Condition::Open(vault, _) => self.management(Some(&*vault.device)),
            Condition::Closed {
                management: Some(management),
                ..
            } => Some(management),
            Condition::Closed { .. } if may_pass => None,
            Condition::Closed { .. } => self.management(None),
        };
        self.become_now(Condition::Closed {
            why,
            may_pass,
            management,
        });
    }

    fn changing(&self) -> MutexGuard<'_, Tried> {
        // A poisoned lock is sound: shares that were half taken in open nothing.
        self.change.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn event(&self, asker: &Asker, action: &str, outcome: Outcome) -> AuditEvent {
        AuditEvent {
            time: (self.clock)(),
            actor: asker.actor.clone(),
            action: action.to_owned(),
            resource: "vault".to_owned(),
            outcome,
            before: None,
            after: None,
            address: asker.address,
            agent: None,
            request: None,
            incident: None,
            message: String::new(),
        }
    }
}

/// Whether a share belongs to this seal and its present recovery.
fn check(file: &SealFile, share: &Share) -> Result<(), VaultError> {
    let Some(recovery) = &file.recovery else {
        return Err(refused("there is no recovery"));
    };
    if share.seal != file.mark() {
        return Err(refused("this recovery key or share belongs to another appliance"));
    }
    if share.generation != recovery.generation {
        return Err(refused(&format!(
            "this is of recovery {}, which was replaced; the present one is number {}",
            share.generation, recovery.generation
        )));
    }
    if share.threshold != recovery.threshold {
        return Err(refused(
            "this share and the seal's file disagree about how many are needed",
        ));
    }
    Ok(())
}

fn refused(why: &str) -> VaultError {
    VaultError::Refused(why.to_owned())
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// Attempts that are kept to be recorded.
const EVENTS: usize = 200;
