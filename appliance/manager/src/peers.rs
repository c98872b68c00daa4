//! The world that the process has: wires to the vault, the services and the supervisor.

use crate::document;
use crate::slice::Plan;
use crate::world::{Participant, PlanError, Unavailable, World};
use redan_ipc::Pair;
use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::messages::audit::{Actor, AuditEvent};
use redan_ipc::messages::control::WantedListener;
use redan_ipc::messages::status::{SupervisorReply, SupervisorRequest};
use redan_ipc::messages::vault::{
    CommitState, Management, ManagerVaultReply, ManagerVaultRequest, VaultRefusal, Version,
};
use redan_ipc::messages::{
    ManagerBlocklist, ManagerConsole, ManagerNetwork, ManagerProxy, ManagerSupervisor, ManagerVault,
};
use redan_service::{Peer, Service};
use redan_types::{Generation, Process, Timestamp};
use std::collections::VecDeque;
use std::time::{Duration, Instant, SystemTime};

/// What runs while the vault is sealed: no version, so that the one behind the seal replaces it.
const SEALED: Generation = Generation(0);
/// How long a step of a transaction may take.
const STEP: Duration = Duration::from_secs(5);
/// How long the vault may take to store something: its disk may be slow.
const VAULT: Duration = Duration::from_secs(10);
/// How long the vault may take to read its whole log.
const WHOLE_LOG: Duration = Duration::from_mins(1);
/// How long a service may take to say what it runs; one that is being started again says nothing.
const GLANCE: Duration = Duration::from_millis(100);
/// Events kept while the vault does not take them; older ones are dropped then, and counted.
const KEPT: usize = 1_000;
/// Events in one request.
const BATCH: usize = 256;

/// The asking ends of all wires. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Peers {
    /// Blocklist and counters.
    pub blocklist: Peer<ManagerBlocklist>,
    /// The console's part.
    pub console: Peer<ManagerConsole>,
    /// The network service's part.
    pub network: Peer<ManagerNetwork>,
    /// The proxy's part.
    pub proxy: Peer<ManagerProxy>,
    /// Listeners and the state of services.
    pub supervisor: Peer<ManagerSupervisor>,
    /// Versions, certificates, audit.
    pub vault: Peer<ManagerVault>,
}

impl Peers {
    /// Takes the wires of a started service.
    #[must_use]
    pub fn of(service: &Service) -> Self {
        Self {
            blocklist: service.peer(0),
            console: service.peer(0),
            network: service.peer(0),
            proxy: service.peer(0),
            supervisor: service.peer(0),
            vault: service.peer(0),
        }
    }

    /// Asks the vault.
    ///
    /// # Errors
    /// [`Unavailable`] where it does not answer or refuses.
    pub fn ask_vault(&self, request: &ManagerVaultRequest) -> Result<ManagerVaultReply, Unavailable> {
        // The whole log is read for that; everybody else who asks the vault through this wire waits meanwhile.
        // So is the whole store when the vault is unsealed.
        let patience = match request {
            ManagerVaultRequest::AuditErase { .. }
            | ManagerVaultRequest::AuditSeal { .. }
            | ManagerVaultRequest::AuditVerify
            | ManagerVaultRequest::Seal { .. } => WHOLE_LOG,
            _ => VAULT,
        };
        match self.vault.call(request, patience) {
            Ok(ManagerVaultReply::Refused(refusal)) => Err(Unavailable(refusal.to_string())),
            Ok(reply) => Ok(reply),
            Err(error) => Err(Unavailable(format!("the vault: {error}"))),
        }
    }

    /// Whether the vault says that it is sealed.
    #[must_use]
    pub fn is_sealed(&self) -> bool {
        matches!(
            self.vault.call(&ManagerVaultRequest::CommitState, VAULT),
            Ok(ManagerVaultReply::Refused(VaultRefusal::Sealed(_)))
        )
    }

    /// Asks the supervisor.
    ///
    /// # Errors
    /// [`Unavailable`] where it does not answer.
    pub fn ask_supervisor(&self, request: &SupervisorRequest) -> Result<SupervisorReply, Unavailable> {
        self.supervisor
            .call(request, STEP)
            .map_err(|error| Unavailable(format!("the supervisor: {error}")))
    }

    /// The state of commits.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn commit_state(&self) -> Result<CommitState, Unavailable> {
        match self.ask_vault(&ManagerVaultRequest::CommitState)? {
            ManagerVaultReply::CommitState(state) => Ok(state),
            _ => Err(odd_answer()),
        }
    }

    /// A stored version.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn version(&self, generation: Generation) -> Result<Option<Version>, Unavailable> {
        match self.ask_vault(&ManagerVaultRequest::Version(generation))? {
            ManagerVaultReply::Version(version) => Ok(version),
            _ => Err(odd_answer()),
        }
    }
}

/// An answer to another question: a peer of another build, which the wiring does not allow.
pub(crate) fn odd_answer() -> Unavailable {
    Unavailable("the vault gave an answer to another question".to_owned())
}

/// The wall clock.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

/// The wires as a [`World`].
#[derive(Debug)]
pub struct Wires {
    peers: Peers,
    since: Instant,
    /// What the vault and the supervisor were given: they are asked nothing, because only this process gives them anything.
    vault_runs: Option<Generation>,
    listeners_run: Option<Generation>,
    unrecorded: VecDeque<AuditEvent>,
    lost: u64,
}

impl Wires {
    /// The world behind these wires.
    #[must_use]
    pub fn new(peers: Peers) -> Self {
        Self {
            peers,
            since: Instant::now(),
            vault_runs: None,
            listeners_run: None,
            unrecorded: VecDeque::new(),
            lost: 0,
        }
    }

    /// The wires.
    #[must_use]
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The vault has started again: it has to be given its rules again.
    pub const fn vault_restarted(&mut self) {
        self.vault_runs = None;
    }

    /// While the vault is sealed: brings up what operators need to reach the console, and nothing else.
    pub fn manage(&mut self) {
        let Ok(ManagerVaultReply::Management(Some(management))) =
            self.peers.ask_vault(&ManagerVaultRequest::Management)
        else {
            return;
        };
        let Management {
            network,
            console,
            listeners,
        } = *management;
        let peers = &self.peers;
        let mut outcomes = Vec::new();
        if current(&peers.network).is_ok_and(|runs| runs.is_none()) {
            let prepare = ApplyRequest::Prepare {
                generation: SEALED,
                slice: network,
            };
            let outcome = apply(&peers.network, &prepare);
            let commit = || apply(&peers.network, &ApplyRequest::Commit { generation: SEALED });
            outcomes.push(outcome.and_then(|()| commit()));
        }
        if current(&peers.console).is_ok_and(|runs| runs.is_none()) {
            let prepare = ApplyRequest::Prepare {
                generation: SEALED,
                slice: console,
            };
            let outcome = apply(&peers.console, &prepare);
            let commit = || apply(&peers.console, &ApplyRequest::Commit { generation: SEALED });
            outcomes.push(outcome.and_then(|()| commit()));
        }
        // Nothing listens before the packet filter is up.
        if self.listeners_run.is_none() && current(&peers.network).is_ok_and(|runs| runs == Some(SEALED)) {
            let prepare = SupervisorRequest::PrepareListeners {
                generation: SEALED,
                listeners,
            };
            let outcome = listen(peers, &prepare);
            let commit = || listen(peers, &SupervisorRequest::CommitListeners { generation: SEALED });
            let outcome = outcome.and_then(|()| commit());
            if outcome.is_ok() {
                self.listeners_run = Some(SEALED);
            }
            outcomes.push(outcome);
        }
        for reasons in outcomes.into_iter().filter_map(Result::err) {
            eprintln!(
                "the console cannot be brought up while the vault is sealed: {}",
                reasons.join("; ")
            );
        }
    }

    /// Records what could not be recorded before, the oldest first.
    pub fn flush(&mut self) {
        while !self.unrecorded.is_empty() {
            let events: Vec<_> = self.unrecorded.iter().take(BATCH).cloned().collect();
            let count = events.len();
            match self.peers.ask_vault(&ManagerVaultRequest::Audit { events }) {
                Ok(ManagerVaultReply::Done) => drop(self.unrecorded.drain(..count)),
                Ok(_) | Err(_) => return,
            }
        }
        if self.lost > 0 {
            eprintln!(
                "{} events could not be recorded while the vault was away",
                std::mem::take(&mut self.lost)
            );
        }
    }
}

impl World for Wires {
    type Plan = Plan;

    fn now(&self) -> Timestamp {
        now()
    }

    fn elapsed(&self) -> Duration {
        self.since.elapsed()
    }

    fn plan(&mut self, document: &str) -> Result<Plan, PlanError> {
        let appliance = document::parse(document).map_err(PlanError::Mistaken)?;
        Plan::new(&appliance, |owner, names| {
            match self
                .peers
                .ask_vault(&ManagerVaultRequest::EnsureCertificate { owner, names })?
            {
                ManagerVaultReply::Certificate(certificate) => Ok(certificate),
                _ => Err(odd_answer().into()),
            }
        })
    }

    fn differ(&self, old: &Plan, new: &Plan) -> bool {
        old.certificates() != new.certificates()
    }

    fn load(&mut self) -> Result<CommitState, Unavailable> {
        self.peers.commit_state()
    }

    fn save(&mut self, state: &CommitState) -> Result<(), Unavailable> {
        let reply = self
            .peers
            .ask_vault(&ManagerVaultRequest::SetCommitState(state.clone()))?;
        done(&reply)
    }

    fn newest(&mut self) -> Result<Generation, Unavailable> {
        match self.peers.ask_vault(&ManagerVaultRequest::Versions { before: None })? {
            ManagerVaultReply::Versions(versions) => Ok(versions.first().map_or(Generation(0), |info| info.generation)),
            _ => Err(odd_answer()),
        }
    }

    fn version(&mut self, generation: Generation) -> Result<Option<Version>, Unavailable> {
        self.peers.version(generation)
    }

    fn put(&mut self, document: &str, author: &Actor, comment: &str) -> Result<Generation, Unavailable> {
        let request = ManagerVaultRequest::PutVersion {
            document: document.to_owned(),
            author: author.clone(),
            comment: comment.to_owned(),
            time: now(),
        };
        match self.peers.ask_vault(&request)? {
            ManagerVaultReply::Stored(generation) => Ok(generation),
            _ => Err(odd_answer()),
        }
    }

    fn prepare(&mut self, who: Participant, generation: Generation, plan: &Plan) -> Result<(), Vec<String>> {
        let peers = &self.peers;
        match who {
            Participant::Console => apply(
                &peers.console,
                &ApplyRequest::Prepare {
                    generation,
                    slice: plan.console.clone(),
                },
            ),
            Participant::Listeners => {
                let listeners = plan.listeners.clone();
                listen(peers, &SupervisorRequest::PrepareListeners { generation, listeners })
            }
            Participant::Network => apply(
                &peers.network,
                &ApplyRequest::Prepare {
                    generation,
                    slice: plan.network.clone(),
                },
            ),
            Participant::Proxy => apply(
                &peers.proxy,
                &ApplyRequest::Prepare {
                    generation,
                    slice: plan.proxy.clone(),
                },
            ),
            // Its rules were checked with the document, and it takes them in one step.
            Participant::Vault => Ok(()),
        }
    }

    fn commit(&mut self, who: Participant, generation: Generation, plan: &Plan) -> Result<(), Vec<String>> {
        let peers = &self.peers;
        match who {
            Participant::Console => {
                apply(&peers.console, &ApplyRequest::Commit { generation })?;
                // With every new certificate too.
                let management = Management {
                    network: plan.network.clone(),
                    console: plan.console.clone(),
                    listeners: of_the_console(&plan.listeners),
                };
                let kept = peers
                    .ask_vault(&ManagerVaultRequest::KeepManagement(Box::new(management)))
                    .and_then(|reply| done(&reply));
                if let Err(error) = kept {
                    // The appliance runs all the same; only a sealed one could not be reached over the network.
                    eprintln!("what the console needs while the vault is sealed cannot be kept: {error}");
                }
                Ok(())
            }
            Participant::Listeners => {
                // Where the answer is lost, it is unknown which run.
                self.listeners_run = None;
                listen(peers, &SupervisorRequest::CommitListeners { generation })?;
                self.listeners_run = Some(generation);
                Ok(())
            }
            Participant::Network => apply(&peers.network, &ApplyRequest::Commit { generation }),
            Participant::Proxy => apply(&peers.proxy, &ApplyRequest::Commit { generation }),
            Participant::Vault => {
                self.vault_runs = None;
                let configured = peers
                    .ask_vault(&ManagerVaultRequest::Configure(plan.vault.clone()))
                    .and_then(|reply| done(&reply));
                configured.map_err(|error| vec![error.to_string()])?;
                self.vault_runs = Some(generation);
                Ok(())
            }
        }
    }

    fn abort(&mut self, who: Participant, generation: Generation) {
        let peers = &self.peers;
        // One that cannot be reached has nothing to forget: a preparation does not outlive a process or a newer one.
        let _ = match who {
            Participant::Console => apply(&peers.console, &ApplyRequest::Abort { generation }),
            Participant::Listeners => listen(peers, &SupervisorRequest::AbortListeners { generation }),
            Participant::Network => apply(&peers.network, &ApplyRequest::Abort { generation }),
            Participant::Proxy => apply(&peers.proxy, &ApplyRequest::Abort { generation }),
            Participant::Vault => Ok(()),
        };
    }

    fn current(&mut self, who: Participant) -> Result<Option<Generation>, Unavailable> {
        match who {
            Participant::Console => current(&self.peers.console),
            Participant::Listeners => Ok(self.listeners_run),
            Participant::Network => current(&self.peers.network),
            Participant::Proxy => current(&self.peers.proxy),
            Participant::Vault => Ok(self.vault_runs),
        }
    }

    fn audit(&mut self, event: AuditEvent) {
        if self.unrecorded.len() >= KEPT {
            self.unrecorded.pop_front();
            self.lost = self.lost.saturating_add(1);
        }
        self.unrecorded.push_back(event);
        self.flush();
    }
}

fn apply<P, S>(peer: &Peer<P>, request: &ApplyRequest<S>) -> Result<(), Vec<String>>
where
    P: Pair<Request = ApplyRequest<S>, Reply = ApplyReply>,
{
    match peer.call(request, STEP) {
        Ok(ApplyReply::Done) => Ok(()),
        Ok(ApplyReply::Refused { reasons }) => Err(reasons),
        Ok(ApplyReply::NotPrepared) => Err(vec!["it has started again in between".to_owned()]),
        Ok(ApplyReply::Current(_)) => Err(vec!["it gave an answer to another question".to_owned()]),
        Err(error) => Err(vec![error.to_string()]),
    }
}

fn current<P, S>(peer: &Peer<P>) -> Result<Option<Generation>, Unavailable>
where
    P: Pair<Request = ApplyRequest<S>, Reply = ApplyReply>,
{
    match peer.call(&ApplyRequest::Current, GLANCE) {
        Ok(ApplyReply::Current(generation)) => Ok(generation),
        Ok(_) => Err(Unavailable(format!(
            "the {} gave an answer to another question",
            P::SERVER
        ))),
        Err(error) => Err(Unavailable(format!("the {}: {error}", P::SERVER))),
    }
}

fn listen(peers: &Peers, request: &SupervisorRequest) -> Result<(), Vec<String>> {
    match peers.ask_supervisor(request) {
        Ok(SupervisorReply::Done) => Ok(()),
        Ok(SupervisorReply::Refused { address, reason }) => Err(vec![format!("{address}: {reason}")]),
        Ok(SupervisorReply::NotPrepared) => Err(vec!["they were not prepared".to_owned()]),
        Ok(SupervisorReply::Events(_) | SupervisorReply::Status(_)) => {
            Err(vec!["the supervisor gave an answer to another question".to_owned()])
        }
        Err(error) => Err(vec![error.to_string()]),
    }
}

fn of_the_console(listeners: &[WantedListener]) -> Vec<WantedListener> {
    let mut own = listeners.to_vec();
    own.retain(|listener| listener.process == Process::Console);
    own
}

fn done(reply: &ManagerVaultReply) -> Result<(), Unavailable> {
    if matches!(reply, ManagerVaultReply::Done) {
        Ok(())
    } else {
        Err(odd_answer())
    }
}
