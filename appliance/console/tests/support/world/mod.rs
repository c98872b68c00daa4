//! What the services that answer the console in this process know, and how they answer.

mod accounts;
mod manager;

use redan_console::now;
use redan_ipc::messages::accounts::{KeyRecord, Principal, SessionRecord};
use redan_ipc::messages::audit::{
    Actor, AuditEvent, AuditPage, AuditQuery, ExportPart, NumberedEvent, Outcome, VerifyReport,
};
use redan_ipc::messages::network::{Block, NetworkReply, NetworkRequest};
use redan_ipc::messages::traffic::TrafficSample;
use redan_ipc::messages::transit::TransitReply;
use redan_ipc::messages::vault::{
    CommitState, ConsoleVaultReply, ConsoleVaultRequest, LoginOutcome, VaultHealth, VaultRefusal, Version, VersionInfo,
};
use redan_types::{Generation, Process, RecordId, RoleName, SecretString, Timestamp, UserName};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

pub const KEY: &str = "redan_0123456789abcdef0123456789abcdef";
pub const DOCUMENT: &str = "# The appliance of the tests.\n[system]\nname = \"gate\"\n\n[services.shop]\nlisten = [\"0.0.0.0:8443\"]\n\
    hosts = [\"shop.example\"] # what clients ask for\n\n[services.shop.limits]\nrequests = 60\n";

/// What the peers know.
pub struct World {
    pub passwords: HashMap<String, (String, bool)>,
    pub roles: HashMap<String, Vec<RoleName>>,
    pub sessions: HashMap<String, SessionRecord>,
    pub idle: Duration,
    pub events: Vec<AuditEvent>,
    pub damage: Vec<String>,
    pub versions: Vec<Version>,
    pub commit: CommitState,
    pub blocks: Vec<Block>,
    pub keys: Vec<KeyRecord>,
    pub disabled: HashSet<String>,
    pub down: Option<Process>,
    pub sealed: bool,
    pub traffic: bool,
    next: u8,
}

pub type Shared = Arc<Mutex<World>>;

pub fn lock(world: &Shared) -> MutexGuard<'_, World> {
    world.lock().unwrap()
}

fn role(name: &str) -> RoleName {
    RoleName::parse(name).unwrap()
}

/// A world with `admin` (one-time password `once`), `ann` (administrator) and `eve` (viewer), the last two with `correct horse`.
pub fn world() -> Shared {
    let user = |name: &str, roles: &[&str]| (name.to_owned(), roles.iter().map(|name| role(name)).collect::<Vec<_>>());
    let mut world = World {
        passwords: HashMap::from([
            ("admin".to_owned(), ("once".to_owned(), true)),
            ("ann".to_owned(), ("correct horse".to_owned(), false)),
            ("eve".to_owned(), ("correct horse".to_owned(), false)),
        ]),
        roles: HashMap::from([
            user("admin", &["admin"]),
            user("ann", &["admin"]),
            user("eve", &["viewer"]),
        ]),
        sessions: HashMap::new(),
        idle: Duration::from_secs(900),
        events: Vec::new(),
        damage: Vec::new(),
        versions: Vec::new(),
        commit: CommitState::default(),
        blocks: Vec::new(),
        keys: Vec::new(),
        disabled: HashSet::new(),
        down: None,
        sealed: false,
        traffic: true,
        next: 1,
    };
    world.store(DOCUMENT.to_owned(), Actor::Process(Process::Manager), "the first");
    world.commit.confirmed = Generation(1);
    Arc::new(Mutex::new(world))
}

impl World {
    fn id(&mut self) -> RecordId {
        self.next += 1;
        RecordId([self.next; 8])
    }

    fn store(&mut self, document: String, author: Actor, comment: &str) -> Generation {
        let generation = Generation(self.versions.len() as u64 + 1);
        let info = VersionInfo {
            generation,
            author,
            comment: comment.to_owned(),
            time: now(),
            hash: format!("{:064x}", document.len()),
        };
        self.versions.push(Version { info, document });
        generation
    }

    pub fn record(&mut self, actor: Actor, action: &str, resource: &str, outcome: Outcome, message: &str) {
        self.events.push(AuditEvent {
            time: now(),
            actor,
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome,
            before: None,
            after: None,
            address: None,
            agent: None,
            request: None,
            incident: None,
            message: message.to_owned(),
        });
    }

    /// What the manager's timer does.
    fn time_out(&mut self) {
        if self
            .commit
            .pending
            .as_ref()
            .is_some_and(|pending| pending.deadline <= now())
        {
            self.commit.pending = None;
            let actor = Actor::Process(Process::Manager);
            self.record(
                actor,
                "configuration.rolled-back",
                "configuration",
                Outcome::Succeeded,
                "not confirmed in time",
            );
        }
    }

    pub fn vault(&mut self, request: ConsoleVaultRequest) -> ConsoleVaultReply {
        use ConsoleVaultReply as Reply;
        if self.sealed {
            return Reply::Refused(VaultRefusal::Sealed("locked by an operator".to_owned()));
        }
        match request {
            ConsoleVaultRequest::Login {
                user,
                password,
                address,
                agent,
                device: _,
            } => {
                let known = self
                    .passwords
                    .get(&user)
                    .cloned()
                    .filter(|(good, _)| good == password.expose());
                let Some((_, must_change)) = known.filter(|_| !self.disabled.contains(&user)) else {
                    self.record(
                        Actor::User(user),
                        "session.refused",
                        "console",
                        Outcome::Denied,
                        "wrong name or password",
                    );
                    return Reply::Login(LoginOutcome::Wrong);
                };
                let id = self.id();
                let session = SessionRecord {
                    id,
                    user: UserName::parse(&user).unwrap(),
                    roles: self.roles[&user].clone(),
                    must_change,
                    created: now(),
                    used: now(),
                    idle_until: now().after(self.idle),
                    until: now().after(Duration::from_secs(36_000)),
                    address: Some(address),
                    agent,
                };
                let token = format!("token-{id}");
                self.sessions.insert(token.clone(), session.clone());
                self.record(Actor::User(user), "session.opened", "console", Outcome::Succeeded, "");
                Reply::Login(LoginOutcome::Session {
                    token: SecretString::new(token),
                    session,
                    device: SecretString::new(format!("device-{id}")),
                })
            }
            ConsoleVaultRequest::Session { token } => {
                let idle = self.idle;
                let session = self
                    .sessions
                    .get_mut(token.expose())
                    .filter(|session| session.idle_until > now());
                Reply::Session(session.map(|session| {
                    session.idle_until = now().after(idle);
                    session.clone()
                }))
            }
            ConsoleVaultRequest::Logout { token } => {
                self.sessions.remove(token.expose());
                Reply::Done
            }
            ConsoleVaultRequest::ChangePassword { token, old, new } => {
                let Some(session) = self.sessions.get_mut(token.expose()) else {
                    return Reply::Refused(VaultRefusal::Missing);
                };
                let known = self.passwords.get_mut(session.user.as_str()).unwrap();
                if known.0 != old.expose() {
                    return Reply::Refused(VaultRefusal::Refused("The current password is wrong.".to_owned()));
                }
                *known = (new.expose().to_owned(), false);
                session.must_change = false;
                Reply::Done
            }
            ConsoleVaultRequest::ResolveKey { key } => Reply::Principal((key.expose() == KEY).then(|| Principal {
                id: RecordId([9; 8]),
                user: UserName::parse("admin").unwrap(),
                roles: vec![role("admin")],
                until: now().after(Duration::from_secs(3_600)),
            })),
            ConsoleVaultRequest::Accounts { request, .. } => Reply::Accounts(self.accounts(request)),
            ConsoleVaultRequest::Audit { events } => {
                self.events.extend(events);
                Reply::Recorded
            }
            // Which keys there are and what they do is tried on a real vault, among the tests of the whole appliance.
            ConsoleVaultRequest::Transit { .. } => Reply::Transit(TransitReply::Forbidden),
            ConsoleVaultRequest::AuditSearch(query) => Reply::AuditPage(self.search(&query)),
            ConsoleVaultRequest::AuditVerify => Reply::AuditVerified(VerifyReport {
                size: self.events.len() as u64,
                root: "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=".to_owned(),
                key: "redan.example/audit+1f2e3d4c+AZq1mXk0tTn0".to_owned(),
                inside: None,
                checkpoint: now(),
                mistakes: self.damage.clone(),
                micros: 4_200,
            }),
            ConsoleVaultRequest::AuditExport { from } => {
                let next = from + 1;
                let text = format!("{{\"sequence\":{from}}}\n");
                Reply::AuditExport(ExportPart {
                    text,
                    next: (next < self.events.len() as u64).then_some(next),
                })
            }
            ConsoleVaultRequest::Traffic { after } => Reply::Traffic(self.seconds(after)),
            ConsoleVaultRequest::Seal { .. } => Reply::Refused(VaultRefusal::Missing),
            ConsoleVaultRequest::Health => Reply::Health(VaultHealth {
                device: "software (evaluation only)".to_owned(),
                evaluation_only: true,
                unwritable: None,
                notes: Vec::new(),
                audit_size: self.events.len() as u64,
                checkpoint: None,
                disk: 1 << 20,
                signatures: 7,
            }),
        }
    }

    fn seconds(&self, after: Timestamp) -> Vec<TrafficSample> {
        let first = (after.seconds() + 1).max(now().seconds().saturating_sub(300));
        if !self.traffic {
            return Vec::new();
        }
        (first..=now().seconds())
            .map(|second| {
                // Something that looks like traffic and is the same whenever it is asked for.
                let wave = (second % 120).abs_diff(60);
                let requests = 40 + wave + (second * 7_919) % 13;
                let mut sample = TrafficSample {
                    time: Timestamp(second * 1_000_000),
                    requests,
                    connections: 20 + wave / 4,
                    ..TrafficSample::default()
                };
                sample.refused[4] = (second * 104_729) % 5;
                sample.refused[3] = u64::from(second % 17 == 0);
                sample.refused[1] = u64::from(second % 5 == 0);
                sample.latency[4] = 35;
                sample.latency[6] = u32::try_from(requests - 36).unwrap();
                sample.latency[9] = 1;
                sample
            })
            .collect()
    }

    fn search(&self, query: &AuditQuery) -> AuditPage {
        let holds = |event: &AuditEvent| {
            let all = format!("{} {} {} {}", event.actor, event.action, event.resource, event.message).to_lowercase();
            query
                .text
                .as_ref()
                .is_none_or(|text| all.contains(&text.to_lowercase()))
                && query
                    .actor
                    .as_ref()
                    .is_none_or(|actor| event.actor.to_string().starts_with(actor))
                && query
                    .action
                    .as_ref()
                    .is_none_or(|action| event.action.starts_with(action))
                && query
                    .resource
                    .as_ref()
                    .is_none_or(|resource| event.resource.starts_with(resource))
                && query.outcome.is_none_or(|outcome| event.outcome == outcome)
        };
        let mut found: Vec<_> = (0..self.events.len())
            .rev()
            .map(|i| (i as u64, &self.events[i]))
            .filter(|(sequence, event)| query.before.is_none_or(|before| *sequence < before) && holds(event))
            .take(usize::from(query.limit) + 1)
            .map(|(sequence, event)| NumberedEvent {
                sequence,
                event: event.clone(),
            })
            .collect();
        let more = found.len() > usize::from(query.limit);
        found.truncate(usize::from(query.limit));
        AuditPage {
            next: more.then(|| found.last().unwrap().sequence),
            entries: found,
            size: self.events.len() as u64,
        }
    }

    pub fn network(&mut self, request: NetworkRequest) -> NetworkReply {
        match request {
            NetworkRequest::Block {
                network,
                seconds,
                reason,
            } => {
                let until = Some(now().after(Duration::from_secs(seconds.into())));
                self.blocks.push(Block { network, until, reason });
                NetworkReply::Done
            }
            NetworkRequest::Unblock { network } => {
                self.blocks.retain(|block| block.network != network);
                NetworkReply::Done
            }
            NetworkRequest::Blocklist => NetworkReply::Blocklist(self.blocks.clone()),
            NetworkRequest::Counters => NetworkReply::Counters(Vec::new()),
        }
    }
}
