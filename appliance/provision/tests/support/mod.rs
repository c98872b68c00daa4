//! An appliance that answers by a script, and a terminal of 80×24 that refuses what a VT100 would not show well.
#![allow(
    dead_code,
    unreachable_pub,
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do; each of them uses a part of this"
)]

pub mod stick;
mod terminal;

pub use terminal::Terminal;

use redan_config::{Appliance, ChangeKind as Kind, diff};
use redan_ipc::messages::accounts::{AccountReply, AccountRequest, UserRecord};
use redan_ipc::messages::audit::{Actor, AuditPage};
use redan_ipc::messages::machine::{DataState, InterfaceFacts, MachineFacts, MachineReply, MachineRequest, Reading};
use redan_ipc::messages::manager::{
    Change, ChangeKind, ConfigurationState, ManagerReply, ManagerRequest, Mistake, OperatorReply, OperatorRequest,
    Source,
};
use redan_ipc::messages::seal::{RecoveryShape, RecoveryStatus, SealReply, SealRequest, SealStatus, Unsealing};
use redan_ipc::messages::status::{ApplianceStatus, ServiceState, ServiceStatus};
use redan_ipc::messages::update::{PORTION, UpdateReply, UpdateRequest, UpdateState};
use redan_ipc::messages::vault::{
    Certificate, CertificateOwner, CommitState, Pending, VaultHealth, Version, VersionInfo,
};
use redan_provision::menu::Menu;
use redan_provision::world::World;
use redan_types::{Generation, KeyId, Mode, Process, SecretString, Timestamp, UserName};
use std::cell::{RefCell, RefMut};
use std::fs::File;
use std::rc::Rc;
use std::time::Duration;

/// The built-in configuration, as the supervisor writes it.
pub const DOCUMENT: &str = "# What runs until somebody gives the appliance a configuration of its own.\nschema = 1\n\n\
    [zones.management]\ncomment = \"whoever sets up the appliance\"\n\n[interfaces.eth0]\nzone = \"management\"\n\
    addresses = [\"192.168.1.1/24\"]\n\n[console]\nlisten = { interface = \"eth0\", port = 9443 }\n\
    networks = [\"192.168.1.0/24\"]\n\n[[identity.users]]\nname = \"admin\"\nroles = [\"admin\"]\n";

/// What the script knows and was asked.
#[derive(Debug)]
pub struct Script {
    /// Whether manager and vault answer.
    pub is_up: bool,
    pub pin: Option<String>,
    pub facts: MachineFacts,
    pub recovery: Option<SecretString>,
    pub told: Option<SecretString>,
    pub versions: Vec<String>,
    pub confirmed: u64,
    pub pending: Option<u64>,
    /// Whether the vault is sealed, and the shares brought.
    pub is_sealed: bool,
    pub gathered: u8,
    /// A stick that was just plugged in.
    pub stick: Option<File>,
    /// How the update service says that things are, and what it was sent.
    pub update: UpdateState,
    pub bundle: Vec<u8>,
    /// Services that do not run.
    pub broken: Vec<Process>,
    /// What was to be done to the machine.
    pub done: Vec<String>,
    /// What went to the audit log.
    pub recorded: Vec<String>,
}

impl Default for Script {
    fn default() -> Self {
        let interface = |name: &str, last: u8, carrier| InterfaceFacts {
            name: name.to_owned(),
            mac: format!("52:54:00:12:34:{last:02x}"),
            carrier,
        };
        Self {
            is_up: true,
            pin: None,
            facts: MachineFacts {
                version: "0.1.0".to_owned(),
                slot: "a".to_owned(),
                security_version: 1,
                root_hash: "ab".repeat(32),
                serial: "RD-0001".to_owned(),
                data: DataState::New,
                started: NOW,
                interfaces: vec![interface("eth0", 0x56, Some(true)), interface("eth1", 0x57, None)],
                board: vec![
                    Reading {
                        name: "watchdog".to_owned(),
                        value: "fed".to_owned(),
                        good: true,
                    },
                    Reading {
                        name: "temperature board".to_owned(),
                        value: "41.5 \u{b0}C".to_owned(),
                        good: true,
                    },
                    Reading {
                        name: "chassis".to_owned(),
                        value: "was opened".to_owned(),
                        good: false,
                    },
                ],
                built_in: DOCUMENT.to_owned(),
                notes: Vec::new(),
                ..MachineFacts::default()
            },
            recovery: Some(SecretString::new(RECOVERY.to_owned())),
            told: Some(SecretString::new("one-time-password".to_owned())),
            versions: vec![DOCUMENT.to_owned()],
            confirmed: 1,
            pending: None,
            is_sealed: false,
            gathered: 0,
            stick: None,
            update: UpdateState {
                running: "0.1.0".to_owned(),
                security_version: 1,
                ..UpdateState::default()
            },
            bundle: Vec::new(),
            broken: Vec::new(),
            done: Vec::new(),
            recorded: Vec::new(),
        }
    }
}

/// What a bundle that is taken begins with.
pub const GOOD_BUNDLE: &[u8] = b"a bundle";
pub const RECOVERY: &str = "ABCD-EFGH-JKMN-PQRS-TVWX-YZ01-2345-6789-ABCD";
/// 2026-11-22T12:00:00Z.
const NOW: Timestamp = Timestamp(1_795_348_800_000_000);

/// The script, shared with the menu that asks it.
#[derive(Clone, Debug, Default)]
pub struct Shared(Rc<RefCell<Script>>);

impl Shared {
    pub fn script(&self) -> RefMut<'_, Script> {
        self.0.borrow_mut()
    }
}

/// A menu, its appliance, its terminal and its clock.
#[derive(Debug)]
pub struct Seat {
    pub world: Shared,
    pub menu: Menu<Shared>,
    pub terminal: Terminal,
    pub now: Duration,
}

impl Seat {
    pub fn new(script: Script) -> Self {
        let world = Shared(Rc::new(RefCell::new(script)));
        let mut seat = Self {
            menu: Menu::new(world.clone()),
            world,
            terminal: Terminal::default(),
            now: Duration::ZERO,
        };
        seat.menu.begin(seat.now);
        seat.show();
        seat
    }

    /// Types; gives what was sent to the terminal since.
    pub fn types(&mut self, keys: &str) -> String {
        self.menu.take(keys.as_bytes(), self.now);
        let said = self.show();
        // What takes a while begins when the terminal has been told.
        self.menu.tick(self.now);
        [said, self.show()].concat()
    }

    /// Plugs a stick in.
    pub fn plugs_in(&mut self, stick: File) -> String {
        self.world.script().stick = Some(stick);
        self.waits(Duration::from_secs(1))
    }

    /// Lets time pass; gives what was sent to the terminal since.
    pub fn waits(&mut self, span: Duration) -> String {
        self.now += span;
        self.menu.tick(self.now);
        self.show()
    }

    /// First run until the main menu.
    pub fn set_up(&mut self) -> String {
        self.types("\r");
        self.types("123456\r123456\r");
        self.types("yes\r")
    }

    fn show(&mut self) -> String {
        let sent = self.menu.take_output();
        self.terminal.take(&sent);
        String::from_utf8(sent).unwrap()
    }
}

impl Script {
    fn running(&self) -> (u64, &str) {
        let number = self.pending.unwrap_or(self.confirmed);
        let index = usize::try_from(number).unwrap() - 1;
        (number, self.versions.get(index).map_or("", String::as_str))
    }

    fn seal(&mut self, request: &SealRequest) -> SealReply {
        match request {
            SealRequest::Recovery { .. } => return SealReply::Recovery(vec![SecretString::new("V-KEY".to_owned())]),
            SealRequest::Unseal { share } if share.expose().starts_with("share") => self.gathered += 1,
            _ => {}
        }
        let is_open = !self.is_sealed || self.gathered == 2;
        SealReply::Status(SealStatus {
            sealed: (!is_open).then(|| "the key device is another one".to_owned()),
            device: Some("TPM 2.0".to_owned()),
            unsealing: Unsealing::Automatic,
            sealed_to: "this TPM".to_owned(),
            recovery: self.is_sealed.then_some(RecoveryStatus {
                shape: RecoveryShape {
                    shares: 3,
                    threshold: 2,
                },
                generation: 1,
                made: NOW,
            }),
            gathered: self.gathered,
        })
    }

    fn state(&self) -> CommitState {
        CommitState {
            confirmed: Generation(self.confirmed),
            pending: self.pending.map(|number| Pending {
                generation: Generation(number),
                deadline: NOW.after(Duration::from_secs(120)),
                actor: Actor::Process(Process::Provision),
            }),
        }
    }

    fn manager(&mut self, request: &ManagerRequest) -> Result<ManagerReply, String> {
        Ok(match request {
            ManagerRequest::Status => ManagerReply::Status(status(&self.broken)),
            ManagerRequest::Configuration => {
                let (number, document) = self.running();
                ManagerReply::Configuration(ConfigurationState {
                    state: self.state(),
                    running: Some(Version {
                        info: VersionInfo {
                            generation: Generation(number),
                            author: Actor::Process(Process::Manager),
                            comment: String::new(),
                            time: NOW,
                            hash: String::new(),
                        },
                        document: document.to_owned(),
                    }),
                    now: NOW,
                })
            }
            ManagerRequest::Check { document } => ManagerReply::Checked(check(document)),
            ManagerRequest::Diff {
                to: Source::Text(document),
                ..
            } => ManagerReply::Diff(changes(self.running().1, document)),
            ManagerRequest::Commit { document, base, .. } => {
                if *base != Some(Generation(self.running().0)) {
                    return Err("somebody was faster".to_owned());
                }
                self.versions.push(document.clone());
                self.pending = Some(self.versions.len() as u64);
                ManagerReply::Done(self.state())
            }
            ManagerRequest::Confirm { generation, .. } => {
                self.confirmed = generation.0;
                self.pending = None;
                ManagerReply::Done(self.state())
            }
            ManagerRequest::Rollback { .. } => {
                self.pending = None;
                ManagerReply::Done(self.state())
            }
            other => return Err(format!("not in the script: {other:?}")),
        })
    }
}

impl World for Shared {
    fn ask(&mut self, request: &OperatorRequest) -> Result<OperatorReply, String> {
        let mut script = self.0.borrow_mut();
        if !script.is_up {
            return Err("the manager does not answer: nobody is there".to_owned());
        }
        Ok(match request {
            OperatorRequest::SerialPin if script.is_sealed => return Err("the vault is sealed".to_owned()),
            OperatorRequest::SerialPin => OperatorReply::SerialPin(script.pin.clone()),
            OperatorRequest::SetSerialPin(hash) => {
                script.pin.clone_from(hash);
                OperatorReply::Done
            }
            OperatorRequest::Record { action, done, message } => {
                script.recorded.push(format!("{action} {done} {message}"));
                OperatorReply::Done
            }
            OperatorRequest::Manager(request) => OperatorReply::Manager(script.manager(request)?),
            OperatorRequest::Seal(request) => OperatorReply::Seal(script.seal(request)),
            OperatorRequest::VaultHealth => OperatorReply::VaultHealth(VaultHealth {
                device: "TPM 2.0".to_owned(),
                evaluation_only: false,
                unwritable: None,
                notes: Vec::new(),
                audit_size: 41,
                checkpoint: Some(NOW),
                disk: 9 << 20,
                signatures: 3,
            }),
            OperatorRequest::Certificates => OperatorReply::Certificates(vec![(
                CertificateOwner::Console,
                Certificate {
                    key: KeyId::parse("00112233445566778899aabbccddeeff").unwrap(),
                    chain: vec![b"a certificate".to_vec()],
                    until: NOW.after(Duration::from_hours(24 * 90)),
                },
            )]),
            OperatorRequest::Accounts(AccountRequest::Users) => {
                OperatorReply::Accounts(AccountReply::Users(vec![UserRecord {
                    name: UserName::parse("admin").unwrap(),
                    roles: vec!["admin".parse().unwrap()],
                    enabled: true,
                    must_change: true,
                    locked_until: None,
                    created: NOW,
                    last_login: None,
                }]))
            }
            OperatorRequest::Accounts(AccountRequest::ResetPassword { .. }) => {
                OperatorReply::Accounts(AccountReply::Done {
                    id: None,
                    secret: Some(SecretString::new("another-password".to_owned())),
                })
            }
            OperatorRequest::AuditSearch(_) => OperatorReply::AuditPage(AuditPage {
                entries: Vec::new(),
                next: None,
                size: 0,
            }),
            other => return Err(format!("not in the script: {other:?}")),
        })
    }

    fn machine(&mut self, request: &MachineRequest) -> Result<MachineReply, String> {
        let mut script = self.0.borrow_mut();
        Ok(match request {
            MachineRequest::Facts => MachineReply::Facts(Box::new(script.facts.clone())),
            MachineRequest::Log => MachineReply::Log(vec!["supervisor: the image is version 0.1.0".to_owned()]),
            MachineRequest::RecoveryKey => MachineReply::RecoveryKey(script.recovery.clone()),
            MachineRequest::RecoveryKeyNoted => {
                script.recovery = None;
                MachineReply::Done
            }
            MachineRequest::Unlock { key } => {
                script.done.push(format!("unlock {}", key.expose()));
                MachineReply::Done
            }
            MachineRequest::Reboot { .. } => {
                script.done.push("reboot".to_owned());
                MachineReply::Done
            }
            MachineRequest::PowerOff { .. } => {
                script.done.push("power off".to_owned());
                MachineReply::Done
            }
            MachineRequest::FactoryReset { .. } => {
                script.done.push("factory reset".to_owned());
                MachineReply::Done
            }
            #[allow(unreachable_patterns, reason = "requests that the menu does not make")]
            other => return Err(format!("not in the script: {other:?}")),
        })
    }

    fn told_password(&mut self) -> Option<SecretString> {
        self.0.borrow().told.clone()
    }

    fn update(&mut self, request: &UpdateRequest) -> Result<UpdateReply, String> {
        let mut script = self.0.borrow_mut();
        Ok(match request {
            UpdateRequest::State => UpdateReply::State(script.update.clone()),
            UpdateRequest::Begin { .. } => {
                script.bundle.clear();
                UpdateReply::Taken { version: None }
            }
            UpdateRequest::Data(bytes) => {
                assert!(bytes.len() <= PORTION);
                script.bundle.extend(bytes);
                UpdateReply::Taken { version: None }
            }
            UpdateRequest::Finish { restart: false } if script.bundle.starts_with(GOOD_BUNDLE) => {
                script.done.push("installed 0.2.0".to_owned());
                UpdateReply::Installed {
                    version: "0.2.0".to_owned(),
                }
            }
            UpdateRequest::Finish { .. } => return Err("its signature is not good".to_owned()),
            UpdateRequest::Abort => {
                script.done.push("install given up".to_owned());
                UpdateReply::Taken { version: None }
            }
        })
    }

    fn stick(&mut self) -> Option<File> {
        self.0.borrow_mut().stick.take()
    }
}

fn status(broken: &[Process]) -> ApplianceStatus {
    let service = |process, memory| ServiceStatus {
        process,
        state: if broken.contains(&process) {
            ServiceState::BackOff
        } else {
            ServiceState::Ready
        },
        pid: Some(7),
        memory,
        restarts: 0,
        started: Some(NOW),
        protections: Vec::new(),
        last_exit: None,
    };
    ApplianceStatus {
        mode: Mode::Appliance,
        started: NOW,
        notes: Vec::new(),
        services: vec![
            service(Process::Vault, 30 << 20),
            service(Process::Manager, 8 << 20),
            service(Process::Network, 6 << 20),
            service(Process::Proxy, 24 << 20),
            service(Process::Console, 16 << 20),
            service(Process::Provision, 4 << 20),
            service(Process::Update, 3 << 20),
        ],
    }
}

/// As the manager does.
fn check(document: &str) -> Vec<Mistake> {
    let Err(mistakes) = Appliance::parse(document, "redan.toml") else {
        return Vec::new();
    };
    let number = |number: usize| u32::try_from(number).unwrap();
    let errors = mistakes.errors.iter();
    errors
        .map(|mistake| Mistake {
            line: number(mistake.line),
            column: number(mistake.column),
            length: number(mistake.length),
            message: mistake.message.clone(),
            help: mistake.help.clone(),
            rendered: mistakes.render(mistake, "error"),
            fatal: true,
        })
        .collect()
}

fn changes(from: &str, to: &str) -> Vec<Change> {
    let read = |text| Appliance::parse(text, "redan.toml").unwrap();
    let kind = |kind| match kind {
        Kind::Added => ChangeKind::Added,
        Kind::Changed => ChangeKind::Changed,
        Kind::Removed => ChangeKind::Removed,
    };
    diff(&read(from), &read(to))
        .into_iter()
        .map(|change| Change {
            kind: kind(change.kind),
            path: change.path,
            text: change.text,
        })
        .collect()
}
