//! The menu as an operator at an 80×24 terminal sees it. The screens stand in `screens/`, to be looked at; `UPDATE_SCREENS=1` writes them
//! anew.

mod terminal;

use redan_ipc::messages::accounts::{AccountReply, AccountRequest, UserRecord};
use redan_ipc::messages::audit::{Actor, AuditPage};
use redan_ipc::messages::machine::{DataState, InterfaceFacts, MachineFacts, MachineReply, MachineRequest, Reading};
use redan_ipc::messages::manager::{
    Change, ChangeKind, ConfigurationState, ManagerReply, ManagerRequest, Mistake, OperatorReply, OperatorRequest,
};
use redan_ipc::messages::status::{ApplianceStatus, ServiceState, ServiceStatus};
use redan_ipc::messages::update::{UpdateReply, UpdateRequest};
use redan_ipc::messages::vault::{
    Certificate, CertificateOwner, CommitState, Pending, VaultHealth, Version, VersionInfo,
};
use redan_provision::menu::Menu;
use redan_provision::world::World;
use redan_types::{Generation, KeyId, Mode, Process, RoleName, SecretString, Timestamp, UserName};
use std::cell::RefCell;
use std::fs::File;
use std::path::Path;
use std::rc::Rc;
use std::time::Duration;
use terminal::Terminal;

const DOCUMENT: &str = "schema = 1\n[zones.management]\n[interfaces.eth0]\nzone = \"management\"\naddresses = \
                        [\"192.168.1.1/24\"]\n[console]\nlisten = { interface = \"eth0\", port = 9443 }\nnetworks = \
                        [\"192.168.1.0/24\"]\n[[identity.users]]\nname = \"admin\"\nroles = [\"admin\"]\n";

/// An appliance with a memory and nothing behind it: what the menu asks is answered as the manager and the supervisor would.
#[derive(Clone, Default)]
struct Appliance(Rc<RefCell<State>>);

#[derive(Default)]
struct State {
    pin: Option<String>,
    sealed: bool,
    recovery: Option<&'static str>,
    asked: Vec<String>,
    document: String,
    pending: bool,
    stick: Option<File>,
    bundle: Vec<u8>,
}

impl World for Appliance {
    fn ask(&mut self, request: &OperatorRequest) -> Result<OperatorReply, String> {
        let mut state = self.0.borrow_mut();
        if state.sealed {
            return Err("the manager does not answer: the deadline has passed".to_owned());
        }
        Ok(match request {
            OperatorRequest::SerialPin => OperatorReply::SerialPin(state.pin.clone()),
            OperatorRequest::SetSerialPin(hash) => {
                state.pin.clone_from(hash);
                OperatorReply::Done
            }
            OperatorRequest::Record { action, done, .. } => {
                state.asked.push(format!("{action} {done}"));
                OperatorReply::Done
            }
            OperatorRequest::Manager(request) => OperatorReply::Manager(state.manager(request)),
            OperatorRequest::Accounts(AccountRequest::Users) => {
                OperatorReply::Accounts(AccountReply::Users(vec![admin()]))
            }
            OperatorRequest::Accounts(AccountRequest::ResetPassword { .. }) => {
                OperatorReply::Accounts(AccountReply::Done {
                    id: None,
                    secret: Some(SecretString::new("kirsch-anker-wolke-77".to_owned())),
                })
            }
            OperatorRequest::VaultHealth => OperatorReply::VaultHealth(health()),
            OperatorRequest::Certificates => OperatorReply::Certificates(vec![(
                CertificateOwner::Console,
                Certificate {
                    key: KeyId::parse("0123456789abcdef").unwrap(),
                    chain: vec![b"leaf".to_vec()],
                    until: Timestamp(1_800_000_000_000_000),
                },
            )]),
            OperatorRequest::AuditSearch(_) => OperatorReply::AuditPage(AuditPage {
                entries: Vec::new(),
                next: None,
                size: 0,
            }),
            other => return Err(format!("nobody asks {other:?} here")),
        })
    }

    fn machine(&mut self, request: &MachineRequest) -> Result<MachineReply, String> {
        let mut state = self.0.borrow_mut();
        Ok(match request {
            MachineRequest::Facts => MachineReply::Facts(Box::new(facts(state.sealed))),
            MachineRequest::Log => MachineReply::Log(vec!["supervisor: everything is ready".to_owned()]),
            MachineRequest::RecoveryKey => {
                MachineReply::RecoveryKey(state.recovery.map(|key| SecretString::new(key.to_owned())))
            }
            MachineRequest::RecoveryKeyNoted => {
                state.recovery = None;
                MachineReply::Done
            }
            MachineRequest::Unlock { key } => {
                state.asked.push(format!("unlock {}", key.expose()));
                MachineReply::Done
            }
            MachineRequest::Reboot { .. } => {
                state.asked.push("reboot".to_owned());
                MachineReply::Done
            }
            MachineRequest::PowerOff { .. } => {
                state.asked.push("power off".to_owned());
                MachineReply::Done
            }
            MachineRequest::FactoryReset { .. } => {
                state.asked.push("factory reset".to_owned());
                MachineReply::Done
            }
        })
    }

    fn told_password(&mut self) -> Option<SecretString> {
        Some(SecretString::new("sessel-birne-taube-31".to_owned()))
    }

    fn update(&mut self, request: &UpdateRequest) -> Result<UpdateReply, String> {
        let mut state = self.0.borrow_mut();
        Ok(match request {
            UpdateRequest::Data(bytes) => {
                state.bundle.extend(bytes);
                UpdateReply::Taken { version: None }
            }
            UpdateRequest::Finish { restart: true } => UpdateReply::Installed {
                version: "0.2.0".to_owned(),
            },
            _ => UpdateReply::Taken { version: None },
        })
    }

    fn stick(&mut self) -> Option<File> {
        self.0.borrow_mut().stick.take()
    }
}

impl State {
    fn manager(&mut self, request: &ManagerRequest) -> ManagerReply {
        match request {
            ManagerRequest::Status => ManagerReply::Status(status()),
            ManagerRequest::Configuration => ManagerReply::Configuration(ConfigurationState {
                state: self.commit_state(),
                running: Some(running(&self.document)),
                now: Timestamp(0),
            }),
            ManagerRequest::Check { document } => ManagerReply::Checked(match document.contains("bad") {
                false => Vec::new(),
                true => vec![Mistake {
                    line: 2,
                    column: 1,
                    length: 3,
                    message: "unknown key `bad`".to_owned(),
                    help: None,
                    rendered: "error: unknown key `bad`\n --> redan.toml:2:1\n  │\n2 │ bad = 1\n  │ ^^^\n".to_owned(),
                    fatal: true,
                }],
            }),
            ManagerRequest::Diff { .. } => ManagerReply::Diff(vec![Change {
                kind: ChangeKind::Changed,
                path: "interfaces.eth0.addresses".to_owned(),
                text: "interface eth0: its addresses are 10.0.0.5/24 instead of 192.168.1.1/24".to_owned(),
            }]),
            ManagerRequest::Commit { document, .. } => {
                self.document.clone_from(document);
                self.pending = true;
                ManagerReply::Done(self.commit_state())
            }
            ManagerRequest::Confirm { .. } => {
                self.pending = false;
                self.asked.push("kept".to_owned());
                ManagerReply::Done(CommitState {
                    confirmed: Generation(2),
                    pending: None,
                })
            }
            ManagerRequest::Rollback { .. } => {
                self.pending = false;
                self.asked.push("rolled back".to_owned());
                ManagerReply::Done(self.commit_state())
            }
            other => ManagerReply::Refused(vec![format!("{other:?}")]),
        }
    }

    fn commit_state(&self) -> CommitState {
        CommitState {
            confirmed: Generation(1),
            pending: self.pending.then_some(Pending {
                generation: Generation(2),
                deadline: Timestamp(0),
                actor: Actor::Process(Process::Provision),
            }),
        }
    }
}

fn running(document: &str) -> Version {
    Version {
        info: VersionInfo {
            generation: Generation(1),
            author: Actor::Process(Process::Supervisor),
            comment: String::new(),
            time: Timestamp(0),
            hash: String::new(),
        },
        document: document.to_owned(),
    }
}

fn admin() -> UserRecord {
    UserRecord {
        name: UserName::parse("admin").unwrap(),
        roles: vec![RoleName::parse("admin").unwrap()],
        enabled: true,
        must_change: true,
        locked_until: None,
        created: Timestamp(0),
        last_login: None,
    }
}

fn health() -> VaultHealth {
    VaultHealth {
        device: "TPM 2.0".to_owned(),
        evaluation_only: false,
        unwritable: None,
        notes: Vec::new(),
        audit_size: 42,
        checkpoint: None,
        disk: 4 << 20,
        signatures: 0,
    }
}

fn status() -> ApplianceStatus {
    let service = |process, memory: u64| ServiceStatus {
        process,
        state: ServiceState::Ready,
        pid: Some(100),
        memory: memory << 10,
        restarts: 0,
        started: None,
        protections: Vec::new(),
        last_exit: None,
    };
    ApplianceStatus {
        mode: Mode::Appliance,
        started: Timestamp(0),
        notes: Vec::new(),
        services: vec![
            service(Process::Vault, 12_345),
            service(Process::Manager, 3_210),
            service(Process::Network, 2_100),
            service(Process::Proxy, 9_876),
            service(Process::Console, 5_432),
            service(Process::Provision, 1_234),
            service(Process::Update, 1_111),
        ],
    }
}

fn facts(sealed: bool) -> MachineFacts {
    let interface = |name: &str, mac: &str, carrier| InterfaceFacts {
        name: name.to_owned(),
        mac: mac.to_owned(),
        carrier,
    };
    MachineFacts {
        version: "0.1.0".to_owned(),
        slot: "a".to_owned(),
        security_version: 1,
        root_hash: "ab".repeat(32),
        serial: "RD-0042".to_owned(),
        data: if sealed {
            DataState::Locked {
                reason: "PCR 7 differs (Secure Boot keys were changed)".to_owned(),
            }
        } else {
            DataState::Opened
        },
        started: Timestamp(0),
        interfaces: vec![
            interface("eth0", "52:54:00:12:34:56", Some(true)),
            interface("eth1", "52:54:00:12:34:57", None),
        ],
        board: vec![Reading {
            name: "watchdog".to_owned(),
            value: "fed".to_owned(),
            good: true,
        }],
        built_in: DOCUMENT.to_owned(),
        notes: Vec::new(),
    }
}

struct Session {
    menu: Menu<Appliance>,
    terminal: Terminal,
    appliance: Appliance,
    now: Duration,
}

impl Session {
    fn new(appliance: &Appliance) -> Self {
        if appliance.0.borrow().document.is_empty() {
            appliance.0.borrow_mut().document = DOCUMENT.to_owned();
        }
        let mut session = Self {
            menu: Menu::new(appliance.clone()),
            terminal: Terminal::default(),
            appliance: appliance.clone(),
            now: Duration::ZERO,
        };
        session.menu.begin(session.now);
        session.show();
        session
    }

    fn show(&mut self) {
        let bytes = self.menu.take_output();
        self.terminal.take(&bytes);
    }

    fn types(&mut self, text: &str) -> &str {
        self.menu.take(text.as_bytes(), self.now);
        self.show();
        self.terminal.text()
    }

    fn waits(&mut self, span: Duration) {
        self.now += span;
        self.menu.tick(self.now);
        self.show();
    }

    /// The screen is as it was when somebody last looked at it.
    #[track_caller]
    fn looks_like(&mut self, name: &str) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/screens")
            .join(format!("{name}.txt"));
        let found = self.terminal.text().to_owned();
        if std::env::var_os("UPDATE_SCREENS").is_some() {
            std::fs::write(&path, &found).unwrap();
        }
        let wanted = std::fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, wanted, "the screen {name} has changed");
    }

    fn asked(&self) -> Vec<String> {
        self.appliance.0.borrow().asked.clone()
    }
}

#[test]
fn at_the_first_run_a_pin_is_chosen_and_the_recovery_key_is_noted() {
    let appliance = Appliance::default();
    appliance.0.borrow_mut().recovery = Some("abcd-efgh-jkmn-pqrs-tuvw-xyz2-3456-789a");
    let mut session = Session::new(&appliance);
    session.looks_like("closed");
    assert!(session.types("\r").contains("This menu has no PIN yet"));
    assert!(session.types("123\r").contains("6 to 64 characters"));
    assert!(session.types("471199\r").contains("The same again:"));
    assert!(session.types("471198\r").contains("They differ."));
    session.types("471199\r");
    session.types("471199\r");
    session.looks_like("recovery-key");
    session.types("no\r");
    assert!(appliance.0.borrow().recovery.is_some(), "it was not noted yet");
    session.types("yes\r");
    session.looks_like("main");
    assert!(appliance.0.borrow().recovery.is_none());
    assert!(appliance.0.borrow().pin.as_ref().unwrap().starts_with("$argon2id$"));
    assert!(
        !session.terminal.everything().contains("471199"),
        "a PIN is never shown"
    );
}

#[test]
fn wrong_pins_are_counted_recorded_and_answered_later_each_time() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    session.types("x\r");
    for attempt in 1..=4 {
        assert!(session.types("\r").contains("PIN:"), "attempt {attempt}");
        assert!(session.types("000000\r").contains("Wrong PIN."));
        if attempt > 2 {
            assert!(session.types("\r").contains("opens again in"), "attempt {attempt}");
            session.waits(Duration::from_secs(2_u64.pow(attempt - 2) + 1));
        }
    }
    let wrong = session
        .asked()
        .iter()
        .filter(|line| *line == "serial.opened false")
        .count();
    assert_eq!(wrong, 4);
    session.types("\r");
    assert!(session.types("471199\r").contains("Choice:"));
}

#[test]
fn a_menu_that_nobody_uses_closes_itself() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    session.waits(Duration::from_mins(10));
    assert!(session.terminal.text().contains("Press Enter"));
    assert!(session.types("\r").contains("PIN:"));
}

#[test]
fn every_screen_fits_the_terminal_and_leads_back() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    for (choice, name) in [
        ("1", "status"),
        ("2", "interfaces"),
        ("3", "administrators"),
        ("5", "console"),
    ] {
        session.types(&format!("{choice}\r"));
        session.looks_like(name);
        assert!(session.types("\r").contains("Choice:"), "{name}");
    }
    let support = session.types("6\r").to_owned();
    assert!(support.contains("END REDAN SUPPORT INFORMATION"), "{support}");
    assert!(session.types("\r").contains("Choice:"));
    assert!(session.terminal.widest() < 80, "{} columns", session.terminal.widest());
}

#[test]
fn a_pasted_configuration_is_shown_applied_on_probation_and_kept() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    session.types("4\r");
    session.looks_like("paste");
    session.types(&DOCUMENT.replace('\n', "\r\n"));
    session.types(".\r\n");
    session.looks_like("difference");
    session.types("y\r");
    session.looks_like("probation");
    session.types("keep\r");
    assert!(session.asked().contains(&"kept".to_owned()));
}

#[test]
fn a_configuration_that_nobody_keeps_goes_and_one_with_mistakes_never_comes() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    session.types("4\rschema = 1\rbad = 1\r.\r");
    session.looks_like("mistakes");
    session.types("\r");
    session.types("4\rschema = 1\r.\r");
    session.types("y\r");
    session.types("\r");
    assert!(session.asked().contains(&"rolled back".to_owned()));
}

#[test]
fn an_address_is_changed_in_the_document_that_runs() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    session.types("2\r1\r");
    session.types("10.0.0.5/24\r");
    session.types("10.0.0.1\r");
    assert!(session.types("y\r").contains("KEEP"));
    let document = appliance.0.borrow().document.clone();
    assert!(
        document.contains("addresses = [\"10.0.0.5/24\"]\ngateway = \"10.0.0.1\"\n"),
        "{document}"
    );
    assert!(document.contains("networks = [\"10.0.0.0/24\"]"), "{document}");
}

#[test]
fn a_locked_machine_offers_what_its_holder_can_do_and_no_more() {
    let appliance = Appliance::default();
    appliance.0.borrow_mut().sealed = true;
    let mut session = Session::new(&appliance);
    session.types("\r");
    session.looks_like("locked");
    session.types("4\r");
    assert!(
        session.terminal.text().contains("Choice:"),
        "nothing is pasted without the PIN"
    );
    session.types("u\r");
    session.looks_like("unlock");
    session.types("abcd-efgh\r");
    assert_eq!(session.asked(), ["unlock abcd-efgh"]);
}

#[test]
fn a_factory_reset_needs_its_word() {
    let appliance = Appliance::default();
    let mut session = Session::new(&appliance);
    session.types("\r471199\r471199\r");
    session.types("0\r");
    session.looks_like("factory-reset");
    session.types("erase\r");
    assert!(!session.asked().contains(&"factory reset".to_owned()));
    session.types("\r0\rERASE\r");
    assert!(session.asked().contains(&"factory reset".to_owned()));
}

#[test]
fn bytes_of_any_kind_leave_a_menu_that_answers() {
    let appliance = Appliance::default();
    appliance.0.borrow_mut().pin = Some("$argon2id$none".to_owned());
    let mut session = Session::new(&appliance);
    let mut state = 1_u32;
    for _ in 0..20_000 {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        // No line is ended often: each would cost a hash.
        let byte = match state.to_be_bytes()[0] {
            b'\r' | b'\n' if !state.is_multiple_of(200) => b'a',
            byte => byte,
        };
        session.menu.take(&[byte], session.now);
        session.show();
    }
    session.waits(Duration::from_mins(20));
    assert!(session.types("\r").contains("PIN:"));
    assert!(!session.asked().contains(&"serial.opened true".to_owned()));
}
