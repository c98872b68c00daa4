//! The manager over real socket pairs, with small stand-ins for the processes at the other ends.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditPage};
use redan_ipc::messages::control::WantedListener;
use redan_ipc::messages::manager::{ManagerReply, ManagerRequest, OperatorReply, OperatorRequest, Source};
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_ipc::messages::status::{
    ApplianceStatus, ServiceEvent, ServiceEventKind, SupervisorReply, SupervisorRequest,
};
use redan_ipc::messages::vault::{
    Certificate, CommitState, ManagerVaultReply, ManagerVaultRequest, VaultRefusal, Version, VersionInfo,
};
use redan_ipc::messages::{ConsoleManager, OperatorManager};
use redan_ipc::{Channel, Client, Pair, serve};
use redan_manager::answer::Answerer;
use redan_manager::journal::Journal;
use redan_manager::keep::Shared;
use redan_manager::operators::{Doorkeeper, attend};
use redan_manager::peers::Peers;
use redan_manager::transaction::Denial;
use redan_service::Peer;
use redan_types::{Generation, KeyId, Mode, Process, Timestamp};
use std::collections::HashMap;
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

const DOCUMENT: &str = include_str!("../../../config/examples/evaluation-bare.toml");
const PATIENCE: Duration = Duration::from_secs(10);

/// What the other processes hold.
#[derive(Default)]
struct Held {
    state: CommitState,
    versions: Vec<Version>,
    prepared: HashMap<Process, Generation>,
    runs: HashMap<Process, Generation>,
    listeners: Vec<WantedListener>,
    prepared_listeners: Option<(Generation, Vec<WantedListener>)>,
    configured: u32,
    audited: Vec<AuditEvent>,
    events: Vec<ServiceEvent>,
    refuses: Option<Process>,
    unwritable: bool,
}

#[derive(Clone, Default)]
struct Others(Arc<(Mutex<Held>, Condvar)>);

impl Others {
    fn held(&self) -> MutexGuard<'_, Held> {
        self.0.0.lock().unwrap()
    }

    fn changed(&self) {
        self.0.1.notify_all();
    }

    /// Waits until it is so, within bounds.
    fn until(&self, what: &str, is_so: impl Fn(&Held) -> bool) {
        let (_held, timeout) = self
            .0
            .1
            .wait_timeout_while(self.held(), PATIENCE, |held| !is_so(held))
            .unwrap();
        assert!(!timeout.timed_out(), "{what}");
    }

    fn all_run(&self, generation: u64) {
        self.until(&format!("everybody runs version {generation}"), |held| {
            [Process::Network, Process::Proxy, Process::Console, Process::Supervisor]
                .iter()
                .all(|who| held.runs.get(who) == Some(&Generation(generation)))
        });
    }

    fn audited(&self, action: &str) -> AuditEvent {
        self.until(action, |held| held.audited.iter().any(|event| event.action == action));
        self.held()
            .audited
            .iter()
            .rfind(|event| event.action == action)
            .unwrap()
            .clone()
    }

    fn vault(&self, request: ManagerVaultRequest) -> ManagerVaultReply {
        let mut held = self.held();
        if held.unwritable {
            return ManagerVaultReply::Refused(VaultRefusal::Unwritable("the disk is full".into()));
        }
        match request {
            ManagerVaultRequest::PutVersion {
                document,
                author,
                comment,
                time,
            } => {
                let generation = Generation(u64::try_from(held.versions.len()).unwrap() + 1);
                let info = VersionInfo {
                    generation,
                    author,
                    comment,
                    time,
                    hash: String::new(),
                };
                held.versions.push(Version { info, document });
                ManagerVaultReply::Stored(generation)
            }
            ManagerVaultRequest::Version(generation) => {
                let version = held
                    .versions
                    .iter()
                    .find(|version| version.info.generation == generation);
                ManagerVaultReply::Version(version.cloned())
            }
            ManagerVaultRequest::Versions { .. } => {
                ManagerVaultReply::Versions(held.versions.iter().rev().map(|version| version.info.clone()).collect())
            }
            ManagerVaultRequest::CommitState => ManagerVaultReply::CommitState(held.state.clone()),
            ManagerVaultRequest::SetCommitState(state) => {
                held.state = state;
                ManagerVaultReply::Done
            }
            ManagerVaultRequest::EnsureCertificate { .. } => {
                let until = Timestamp(u64::MAX);
                ManagerVaultReply::Certificate(Certificate {
                    key: KeyId([1; 16]),
                    chain: vec![vec![0]],
                    until,
                })
            }
            ManagerVaultRequest::Configure(_) => {
                held.configured += 1;
                ManagerVaultReply::Done
            }
            ManagerVaultRequest::KeepManagement(_) => ManagerVaultReply::Done,
            ManagerVaultRequest::Audit { events } => {
                held.audited.extend(events);
                ManagerVaultReply::Done
            }
            ManagerVaultRequest::AuditSearch(_) => ManagerVaultReply::AuditPage(AuditPage {
                entries: Vec::new(),
                next: None,
                size: 0,
            }),
            other => panic!("not asked here: {other:?}"),
        }
    }

    fn apply<S>(&self, who: Process, request: &ApplyRequest<S>) -> ApplyReply {
        let mut held = self.held();
        match request {
            ApplyRequest::Prepare { .. } if held.refuses == Some(who) => ApplyReply::Refused {
                reasons: vec!["it does not like it".into()],
            },
            ApplyRequest::Prepare { generation, .. } => {
                held.prepared.insert(who, *generation);
                ApplyReply::Done
            }
            ApplyRequest::Commit { generation } => {
                if held.prepared.remove(&who) != Some(*generation) {
                    return ApplyReply::NotPrepared;
                }
                held.runs.insert(who, *generation);
                ApplyReply::Done
            }
            ApplyRequest::Abort { .. } => {
                held.prepared.remove(&who);
                ApplyReply::Done
            }
            ApplyRequest::Current => ApplyReply::Current(held.runs.get(&who).copied()),
        }
    }

    fn supervisor(&self, request: SupervisorRequest) -> SupervisorReply {
        let mut held = self.held();
        match request {
            SupervisorRequest::Status => SupervisorReply::Status(ApplianceStatus {
                mode: Mode::EvaluationBare,
                started: Timestamp(0),
                notes: Vec::new(),
                services: Vec::new(),
            }),
            SupervisorRequest::Events { after } => SupervisorReply::Events(
                held.events
                    .iter()
                    .filter(|event| event.number > after)
                    .cloned()
                    .collect(),
            ),
            SupervisorRequest::PrepareListeners { generation, listeners } => {
                held.prepared_listeners = Some((generation, listeners));
                SupervisorReply::Done
            }
            SupervisorRequest::CommitListeners { generation } => match held.prepared_listeners.take() {
                Some((prepared, listeners)) if prepared == generation => {
                    held.listeners = listeners;
                    held.runs.insert(Process::Supervisor, generation);
                    SupervisorReply::Done
                }
                _ => SupervisorReply::NotPrepared,
            },
            SupervisorRequest::AbortListeners { .. } => {
                held.prepared_listeners = None;
                SupervisorReply::Done
            }
        }
    }

    fn wire<P: Pair>(&self, answer: impl Fn(&Self, P::Request) -> P::Reply + Send + 'static) -> Peer<P> {
        let (ours, theirs) = Channel::pair().unwrap();
        let others = self.clone();
        std::thread::spawn(move || {
            serve::<P>(theirs, |request, responder| {
                let reply = answer(&others, request);
                responder.reply(&reply);
                others.changed();
            })
        });
        Peer::fixed(ours)
    }

    fn peers(&self) -> Peers {
        Peers {
            blocklist: self.wire(|_, request| match request {
                NetworkRequest::Counters => NetworkReply::Counters(Vec::new()),
                _ => NetworkReply::Done,
            }),
            console: self.wire(|others, request| others.apply(Process::Console, &request)),
            network: self.wire(|others, request| others.apply(Process::Network, &request)),
            proxy: self.wire(|others, request| others.apply(Process::Proxy, &request)),
            supervisor: self.wire(Self::supervisor),
            vault: self.wire(Self::vault),
        }
    }
}

/// A running manager. It ends when it is dropped, as if it were killed: the others keep what they hold.
struct Manager {
    console: Client<ConsoleManager>,
    operators: Answerer,
    _stop: Sender<()>,
}

impl Manager {
    fn start(others: &Others) -> Self {
        let shared = Shared::new(others.peers(), Some(DOCUMENT.into()));
        let mut journal = Journal::default();
        shared.begin(&mut journal).unwrap();
        let answerer = Answerer::new(shared.clone());
        let (stop, stopped) = mpsc::channel();
        std::thread::spawn(move || shared.keep(journal, &stopped));
        let (ours, theirs) = Channel::pair().unwrap();
        let answering = answerer.clone();
        std::thread::spawn(move || {
            serve::<ConsoleManager>(theirs, |request, responder| answering.console(request, responder))
        });
        Self {
            console: Client::new(ours),
            operators: answerer,
            _stop: stop,
        }
    }

    fn ask(&self, request: &ManagerRequest) -> ManagerReply {
        self.console.call(request, PATIENCE).unwrap()
    }

    fn commit(&self, document: &str) -> ManagerReply {
        self.ask(&ManagerRequest::Commit {
            document: document.into(),
            confirm_within: 30,
            comment: "a test".into(),
            actor: Actor::User("ann".into()),
            base: None,
        })
    }
}

fn changed() -> String {
    DOCUMENT.replace("guest = 600", "guest = 700")
}

#[test]
fn a_commit_reaches_everybody_and_is_confirmed() {
    let others = Others::default();
    let manager = Manager::start(&others);
    others.all_run(1);
    assert_eq!(
        others.audited("configuration.first").actor,
        Actor::Process(Process::Supervisor)
    );
    assert_eq!(others.held().listeners.len(), 2);

    let ManagerReply::Done(state) = manager.commit(&changed()) else {
        panic!("the commit failed")
    };
    assert_eq!(state.pending.as_ref().unwrap().generation, Generation(2));
    others.all_run(2);
    let event = others.audited("configuration.committed");
    assert_eq!(
        (event.before.as_deref(), event.after.as_deref()),
        (Some("1"), Some("2"))
    );
    assert_eq!(event.actor, Actor::User("ann".into()));

    let actor = Actor::User("bob".into());
    let reply = manager.ask(&ManagerRequest::Confirm {
        generation: Generation(2),
        actor,
    });
    assert!(
        matches!(
            reply,
            ManagerReply::Done(CommitState {
                confirmed: Generation(2),
                pending: None
            })
        ),
        "{reply:?}"
    );
    assert_eq!(
        others.audited("configuration.confirmed").actor,
        Actor::User("bob".into())
    );
    let ManagerReply::Configuration(configuration) = manager.ask(&ManagerRequest::Configuration) else {
        panic!()
    };
    assert_eq!(configuration.running.unwrap().document, changed());
}

#[test]
fn a_killed_manager_takes_the_timer_up_again_and_rolls_back_what_is_over() {
    let others = Others::default();
    let manager = Manager::start(&others);
    others.all_run(1);
    assert!(matches!(manager.commit(&changed()), ManagerReply::Done(_)));
    others.all_run(2);
    drop(manager);

    let manager = Manager::start(&others);
    others.all_run(2);
    assert!(others.held().state.pending.is_some(), "its time is not over");
    drop(manager);

    others.held().state.pending.as_mut().unwrap().deadline = Timestamp(1);
    let _manager = Manager::start(&others);
    others.all_run(1);
    assert_eq!(
        others.audited("configuration.rolled-back").actor,
        Actor::Process(Process::Manager)
    );
    assert_eq!(
        others.held().state,
        CommitState {
            confirmed: Generation(1),
            pending: None
        }
    );
}

#[test]
fn one_refusal_is_reported_with_its_reason_and_changes_nothing() {
    let others = Others::default();
    let manager = Manager::start(&others);
    others.all_run(1);
    others.held().refuses = Some(Process::Proxy);
    let reply = manager.commit(&changed());
    assert!(
        matches!(&reply, ManagerReply::Refused(why) if *why == ["proxy: it does not like it"]),
        "{reply:?}"
    );
    others.all_run(1);
    assert_eq!(others.held().versions.len(), 1);
    others.audited("configuration.refused");
}

#[test]
fn mistakes_are_reported_with_their_places() {
    let others = Others::default();
    let manager = Manager::start(&others);
    let ManagerReply::Mistaken(mistakes) = manager.commit("schema = 1\nnonsense = 2\n") else {
        panic!()
    };
    assert!(
        mistakes.iter().any(|mistake| mistake.line == 2 && mistake.fatal),
        "{mistakes:?}"
    );
    let ManagerReply::Diff(changes) = manager.ask(&ManagerRequest::Diff {
        from: Source::Running,
        to: Source::Text(changed()),
    }) else {
        panic!()
    };
    assert_eq!(changes.len(), 1);
}

#[test]
fn a_restarted_proxy_gets_the_running_version_and_the_restart_is_recorded() {
    let others = Others::default();
    let _manager = Manager::start(&others);
    others.all_run(1);
    {
        let mut held = others.held();
        held.runs.remove(&Process::Proxy);
        held.events.push(ServiceEvent {
            number: 1,
            time: Timestamp(5),
            process: Process::Proxy,
            kind: ServiceEventKind::Restarted,
            detail: "killed by signal 9".into(),
        });
    }
    others.all_run(1);
    let event = others.audited("process.restarted");
    assert_eq!(
        (event.resource.as_str(), event.message.as_str()),
        ("process/proxy", "killed by signal 9")
    );
}

#[test]
fn a_restarted_vault_gets_its_rules_again() {
    let others = Others::default();
    let _manager = Manager::start(&others);
    others.all_run(1);
    let before = others.held().configured;
    others.held().events.push(ServiceEvent {
        number: 1,
        time: Timestamp(5),
        process: Process::Vault,
        kind: ServiceEventKind::Restarted,
        detail: String::new(),
    });
    others.until("the vault is configured again", |held| held.configured > before);
}

#[test]
fn a_vault_that_cannot_write_refuses_the_commit_in_words() {
    let others = Others::default();
    let manager = Manager::start(&others);
    others.all_run(1);
    others.held().unwritable = true;
    let reply = manager.commit(&changed());
    assert!(
        matches!(&reply, ManagerReply::Refused(why) if why[0].contains("the disk is full")),
        "{reply:?}"
    );
    others.held().unwritable = false;
    others.audited("configuration.refused");
    others.all_run(1);
}

#[test]
fn a_first_configuration_with_mistakes_is_an_error() {
    let others = Others::default();
    let shared = Shared::new(others.peers(), Some("schema = 1\n".into()));
    assert!(matches!(
        shared.begin(&mut Journal::default()),
        Err(Denial::Mistaken(_))
    ));
}

#[test]
fn an_operator_is_who_the_kernel_says_and_reaches_the_manager_and_the_network() {
    use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, listen, socket_with};
    let others = Others::default();
    let manager = Manager::start(&others);
    others.all_run(1);
    let folder = tempfile::tempdir().unwrap();
    let address = SocketAddrUnix::new(folder.path().join("socket")).unwrap();
    let socket = || socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let listener = socket();
    bind(&listener, &address).unwrap();
    listen(&listener, 8).unwrap();
    let answerer = manager.operators.clone();
    std::thread::spawn(move || attend(&listener, Doorkeeper::new(Mode::EvaluationBare), &answerer));

    let connection = socket();
    connect(&connection, &address).unwrap();
    let operator = Client::<OperatorManager>::new(Channel::from_descriptor(connection));
    let commit = ManagerRequest::Commit {
        document: changed(),
        confirm_within: 30,
        comment: String::new(),
        actor: Actor::User("somebody else".into()),
        base: Some(Generation(1)),
    };
    let reply = operator.call(&OperatorRequest::Manager(commit), PATIENCE).unwrap();
    assert!(
        matches!(reply, OperatorReply::Manager(ManagerReply::Done(_))),
        "{reply:?}"
    );
    let uid = rustix::process::getuid().as_raw();
    assert_eq!(others.audited("configuration.committed").actor, Actor::Operator { uid });
    let reply = operator
        .call(&OperatorRequest::Network(NetworkRequest::Counters), PATIENCE)
        .unwrap();
    assert!(
        matches!(reply, OperatorReply::Network(NetworkReply::Counters(_))),
        "{reply:?}"
    );
    let OperatorReply::Certificates(certificates) = operator.call(&OperatorRequest::Certificates, PATIENCE).unwrap()
    else {
        panic!()
    };
    assert_eq!(certificates.len(), 2);
}
