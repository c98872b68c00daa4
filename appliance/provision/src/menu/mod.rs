//! The menu: what is shown, and what follows on what is typed.
//!
//! | module | what |
//! |---|---|
//! | `entry` | the PIN, and the recovery key of a new data partition |
//! | `look` | what is only shown; administrators |
//! | `configure` | a pasted document, another address: checked, compared, applied, kept or rolled back |
//! | `machine` | unlocking, restarting, switching off, factory reset |
//! | `screen` | how lines get to the terminal |
//! | `stick` | what a stick offers: a configuration, a new version |
//! | `vault` | what opens the vault: its recovery, brought or made |

mod configure;
mod entry;
mod look;
mod machine;
mod screen;
mod stick;
mod vault;

use redan_identity::password::{Hasher, PasswordHash};
use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::machine::{DataState, MachineFacts, MachineReply, MachineRequest};
use redan_ipc::messages::manager::{ConfigurationState, ManagerReply, ManagerRequest, OperatorReply, OperatorRequest};
use redan_types::{Generation, Process, SecretString, UserName};
use std::collections::VecDeque;
use std::time::Duration;

use crate::line::{Echo, LineReader, Paste, Typed};
use crate::screens;
use crate::sticks::Sticks;
use crate::text::HEIGHT;
use crate::world::World;

/// After so long without a key the menu is closed, and asks for its PIN again.
const IDLE: Duration = Duration::from_mins(10);
/// Within this time the PIN must have been told, whatever is typed meanwhile.
const LOGIN: Duration = Duration::from_mins(1);
/// Lines of a page: the title's two and the prompt's two are not part of it.
const PAGE: usize = HEIGHT - 4;

/// The menu on one line.
#[derive(Debug)]
pub struct Menu<W> {
    world: W,
    out: Vec<u8>,
    reader: LineReader,
    state: State,
    /// Whether the PIN was told, or there is none to be told yet.
    rights: Rights,
    /// Wrong PINs in a row.
    failures: u32,
    /// No PIN is taken before.
    closed_until: Duration,
    /// When the PIN was asked for.
    asked: Duration,
    last_key: Duration,
    hasher: Option<Hasher>,
    sticks: Sticks,
}

/// What whoever sits at the line may do.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Rights {
    /// Everything.
    All,
    /// What whoever holds the machine can do anyway: the vault, which knows the PIN, cannot be asked.
    Hands,
}

/// What is being waited for.
#[derive(Debug)]
enum State {
    /// Nobody is here: any line opens the menu.
    Closed,
    /// The PIN.
    Pin(PasswordHash),
    /// A new PIN, then the same again.
    NewPin(Option<SecretString>),
    /// The recovery key is on the screen.
    RecoveryShown,
    /// A choice of the main menu.
    Main,
    /// The rest of something long.
    Pages {
        title: &'static str,
        rest: VecDeque<String>,
    },
    /// Somebody who has read what is on the screen.
    Read,
    /// A document.
    Paste(Paste),
    /// Whether to apply this document.
    Apply(Proposal),
    /// Nobody: this takes a while, and begins once the terminal shows that it does.
    Busy(Work),
    /// Whether to keep what runs on probation.
    Keep(Generation),
    /// Which interface gets another address.
    ChooseInterface {
        document: String,
        base: Option<Generation>,
        names: Vec<String>,
    },
    /// Its address.
    NewAddress {
        document: String,
        base: Option<Generation>,
        name: String,
    },
    /// Its default route.
    NewGateway {
        document: String,
        base: Option<Generation>,
        name: String,
        address: String,
    },
    /// Whose password gets another one.
    ResetPassword(Vec<UserName>),
    /// The recovery key.
    Unlock,
    /// Whether to install the version on the stick.
    InstallStick,
    /// The vault's recovery key, or a share of it.
    Share,
    /// Whether to make one.
    MakeRecovery,
    /// Whether to restart.
    Restart,
    /// Whether to switch off.
    SwitchOff,
    /// The word that destroys everything.
    FactoryReset,
}

/// A configuration that was offered.
#[derive(Debug)]
struct Proposal {
    document: String,
    /// The version that it was compared with.
    base: Option<Generation>,
    /// Whether it came on a stick, and nobody signed it.
    is_from_stick: bool,
}

/// What takes a while.
#[derive(Debug)]
enum Work {
    Commit(Proposal),
    Install,
    /// Into this version.
    Restart(String),
}

impl<W: World> Menu<W> {
    /// A menu that nobody uses yet.
    pub fn new(world: W) -> Self {
        Self {
            world,
            out: Vec::new(),
            reader: LineReader::default(),
            state: State::Closed,
            rights: Rights::Hands,
            failures: 0,
            closed_until: Duration::ZERO,
            asked: Duration::ZERO,
            last_key: Duration::ZERO,
            hasher: None,
            sticks: Sticks::default(),
        }
    }

    /// Says that it is there.
    pub fn begin(&mut self, now: Duration) {
        self.last_key = now;
        self.close();
    }

    /// What is to be sent to the terminal.
    pub fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }

    /// Takes what was typed. The time is that since any fixed moment.
    pub fn take(&mut self, bytes: &[u8], now: Duration) {
        self.last_key = now;
        for byte in bytes {
            if let State::Paste(paste) = &mut self.state {
                let ended = paste.take(*byte, &mut self.out);
                if let Some(ended) = ended {
                    self.pasted(ended);
                }
                continue;
            }
            match self.reader.take(*byte, &mut self.out) {
                Some(Typed::Line(line)) => self.typed(&line, now),
                Some(Typed::Cancel) => self.cancel(),
                Some(Typed::Redraw) => self.redraw(),
                None => {}
            }
        }
    }

    /// Lets time pass.
    pub fn tick(&mut self, now: Duration) {
        let over = match self.state {
            State::Closed => false,
            State::Pin(_) => now.saturating_sub(self.asked) >= LOGIN,
            _ => now.saturating_sub(self.last_key) >= IDLE,
        };
        if over {
            self.close();
        }
        if self.out.is_empty() {
            self.work();
        }
        self.sticks.tick(&mut self.world, now);
    }

    /// Does what was announced.
    fn work(&mut self) {
        match std::mem::replace(&mut self.state, State::Main) {
            State::Busy(Work::Commit(proposal)) => self.commit(proposal),
            State::Busy(Work::Install) => self.install(),
            State::Busy(Work::Restart(version)) => self.restart_into(&version),
            other => self.state = other,
        }
    }

    /// The end of a session.
    fn close(&mut self) {
        self.rights = Rights::Hands;
        self.clear();
        self.say("");
        self.say("  Redan");
        self.say("");
        self.say("  This is the appliance's console. There is no shell.");
        self.say("  Press Enter to open the menu.");
        self.say("");
        self.wait_for(State::Closed, Echo::Hidden);
    }

    fn cancel(&mut self) {
        match self.state {
            State::Closed => {}
            State::Pin(_) | State::NewPin(_) | State::RecoveryShown => self.close(),
            State::Keep(generation) => self.keep(generation, ""),
            _ => self.main(),
        }
    }

    fn redraw(&mut self) {
        match self.state {
            State::Main => self.main(),
            State::Closed => self.close(),
            _ => {}
        }
    }

    /// A line was typed.
    fn typed(&mut self, line: &SecretString, now: Duration) {
        let word = line.expose().trim();
        match std::mem::replace(&mut self.state, State::Main) {
            State::Closed => self.open(now),
            State::Pin(hash) => self.check_pin(hash, line, now),
            State::NewPin(first) => self.new_pin(first, line),
            State::RecoveryShown => self.recovery_noted(word),
            State::Main => self.choose(word, now),
            State::Pages { title, rest } => {
                if word.eq_ignore_ascii_case("q") {
                    self.main();
                } else {
                    self.pages(title, rest);
                }
            }
            State::Read => self.main(),
            // Bytes of a paste never become a line.
            State::Paste(paste) => self.state = State::Paste(paste),
            State::Apply(proposal) => {
                if is_yes(word) {
                    self.say("  Applying ...");
                    self.wait_for(State::Busy(Work::Commit(proposal)), Echo::Hidden);
                } else {
                    self.read("Nothing was changed.");
                }
            }
            State::InstallStick => self.begin_install(word),
            // What is typed meanwhile is no answer to anything.
            State::Busy(work) => self.wait_for(State::Busy(work), Echo::Hidden),
            State::Keep(generation) => self.keep(generation, word),
            State::ChooseInterface { document, base, names } => self.choose_interface(document, base, &names, word),
            State::NewAddress { document, base, name } => self.new_address(document, base, name, word),
            State::NewGateway {
                document,
                base,
                name,
                address,
            } => self.new_gateway(&document, base, &name, &address, word),
            State::ResetPassword(names) => self.reset_password(&names, word),
            State::Unlock => self.unlock(line),
            State::Share => self.bring_share(line),
            State::MakeRecovery => self.make_recovery(word),
            State::Restart => self.restart(word),
            State::SwitchOff => self.switch_off(word),
            State::FactoryReset => self.factory_reset(word),
        }
    }

    // --- the main menu ---

    fn main(&mut self) {
        let facts = self.facts();
        let running = self.configuration();
        let status = self.world.ask(&OperatorRequest::Manager(ManagerRequest::Status));
        self.title("");
        for line in screens::summary(&facts, running.as_ref(), status.as_ref(), self.sticks.newest()) {
            self.say(&line);
        }
        self.rule();
        let locked = matches!(facts.data, DataState::Locked { .. } | DataState::Absent);
        for (key, words, needs) in CHOICES {
            let offered = match needs {
                Needs::Everything => self.rights == Rights::All,
                Needs::Hands => true,
                Needs::Locked => locked,
                Needs::Configuration => self.rights == Rights::All && self.sticks.offer().is_some(),
                Needs::Version => self.rights == Rights::All && self.sticks.bundle().is_some(),
            };
            if offered {
                self.say(&format!("   {key}  {words}"));
            }
        }
        if self.rights == Rights::Hands {
            self.say("");
            self.say("   The vault, which knows the PIN, does not answer yet: Enter asks it again.");
        }
        self.say("");
        self.prompt(" Choice: ", State::Main, Echo::Visible);
    }

    fn choose(&mut self, word: &str, now: Duration) {
        let chosen = CHOICES.iter().find(|(key, ..)| key.eq_ignore_ascii_case(word));
        let Some((key, _, needs)) = chosen else {
            // The vault may answer by now, and then the PIN can be told.
            if self.rights == Rights::Hands {
                self.open(now);
            } else {
                self.main();
            }
            return;
        };
        if !matches!(needs, Needs::Hands | Needs::Locked) && self.rights != Rights::All {
            return self.main();
        }
        match *key {
            "1" => self.show_status(),
            "2" => self.show_interfaces(),
            "3" => self.show_administrators(),
            "4" => self.begin_paste(),
            "5" => self.show_console(),
            "6" => self.show_support(),
            "7" => {
                self.title("PIN");
                self.prompt("  New PIN: ", State::NewPin(None), Echo::Hidden);
            }
            "8" => self.ask_restart(),
            "9" => self.ask_switch_off(),
            "0" => self.ask_factory_reset(),
            "S" => self.offer_stick(),
            "V" => self.ask_install(),
            "U" => self.ask_unlock(),
            "R" => self.show_vault(),
            _ => self.close(),
        }
    }

    // --- asking ---

    fn facts(&mut self) -> MachineFacts {
        match self.world.machine(&MachineRequest::Facts) {
            Ok(MachineReply::Facts(facts)) => *facts,
            Ok(_) | Err(_) => MachineFacts::default(),
        }
    }

    fn configuration(&mut self) -> Option<ConfigurationState> {
        match self.world.ask(&OperatorRequest::Manager(ManagerRequest::Configuration)) {
            Ok(OperatorReply::Manager(ManagerReply::Configuration(state))) => Some(state),
            Ok(_) | Err(_) => None,
        }
    }

    /// Puts something into the audit log. A log that cannot be written keeps nobody from the menu: it is where that is mended.
    fn record(&mut self, action: &str, done: bool, message: &str) {
        let request = OperatorRequest::Record {
            action: action.to_owned(),
            done,
            message: message.to_owned(),
        };
        let _ = self.world.ask(&request);
    }

    fn hasher(&mut self) -> Option<&Hasher> {
        if self.hasher.is_none() {
            self.hasher = Hasher::new().ok();
        }
        self.hasher.as_ref()
    }
}

/// When a choice of the main menu is offered.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Needs {
    Everything,
    Hands,
    Locked,
    /// A stick with an unsigned configuration, before there is another.
    Configuration,
    /// A stick with a new version.
    Version,
}

const CHOICES: [(&str, &str, Needs); 15] = [
    ("1", "Status of services and hardware", Needs::Hands),
    ("2", "Interfaces and addresses", Needs::Everything),
    ("3", "Administrators", Needs::Everything),
    ("4", "Apply a configuration (paste)", Needs::Everything),
    ("5", "Console address and certificate", Needs::Everything),
    ("6", "Support information", Needs::Everything),
    ("7", "PIN of this menu", Needs::Everything),
    ("8", "Restart", Needs::Hands),
    ("9", "Switch off", Needs::Hands),
    ("0", "Factory reset", Needs::Hands),
    (
        "S",
        "Apply the unsigned configuration on the stick",
        Needs::Configuration,
    ),
    ("V", "Install the new version on the stick", Needs::Version),
    ("U", "Unlock the data with the recovery key", Needs::Locked),
    ("R", "What opens the vault, and its recovery key", Needs::Hands),
    ("X", "Close this menu", Needs::Hands),
];
/// Who commits; the manager sets it anyway.
const SELF: Actor = Actor::Process(Process::Provision);

fn is_yes(word: &str) -> bool {
    word.eq_ignore_ascii_case("y") || word.eq_ignore_ascii_case("yes")
}

/// The item with this number, counted from 1.
fn choice<'a, T>(items: &'a [T], word: &str) -> Option<&'a T> {
    let number: usize = word.parse().ok()?;
    items.get(number.checked_sub(1)?)
}
