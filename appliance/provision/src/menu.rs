//! The menu: what is shown, and what follows on what is typed.

use redan_identity::password::{Hasher, PasswordHash};
use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::machine::{DataState, MachineFacts, MachineReply, MachineRequest};
use redan_ipc::messages::manager::{
    ConfigurationState, ManagerReply, ManagerRequest, OperatorReply, OperatorRequest, Source,
};
use redan_types::{Generation, Process, SecretString, UserName};
use std::collections::VecDeque;
use std::time::Duration;

use crate::line::{Echo, LineReader, Paste, Pasted, Typed};
use crate::screens;
use crate::sticks::Sticks;
use crate::text::{HEIGHT, WIDTH, plain, wrapped};
use crate::world::World;

/// After so long without a key the menu is closed, and asks for its PIN again.
const IDLE: Duration = Duration::from_mins(10);
/// A configuration that nobody keeps within this time is rolled back.
const PROBATION: u32 = 120;
/// The shortest and the longest PIN, in characters.
const PIN: std::ops::RangeInclusive<usize> = 6..=64;
/// The longest wait after wrong PINs.
const LONGEST_WAIT: Duration = Duration::from_mins(5);
/// Lines of a page: the title's two and the prompt's two are not part of it.
const PAGE: usize = HEIGHT - 4;
/// What has to be typed for a factory reset.
const RESET_WORD: &str = "ERASE";

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
    last_key: Duration,
    hasher: Option<Hasher>,
    pub(crate) sticks: Sticks,
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
    Apply { document: String, base: Option<Generation> },
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
    /// Whether to apply the unsigned document of the stick.
    ApplyStick { document: String, base: Option<Generation> },
    /// Whether to install the version on the stick.
    InstallStick,
    /// Whether to restart.
    Restart,
    /// Whether to switch off.
    SwitchOff,
    /// The word that destroys everything.
    FactoryReset,
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
                let lines = paste.lines();
                if let Some(ended) = ended {
                    self.pasted(ended, lines);
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
        let open = !matches!(self.state, State::Closed);
        if open && now.saturating_sub(self.last_key) >= IDLE {
            self.close();
        }
        self.sticks.tick(&mut self.world, now);
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
            State::Main => self.choose(word),
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
            State::Apply { document, base } => {
                if is_yes(word) {
                    self.commit(document, base);
                } else {
                    self.read("Nothing was changed.");
                }
            }
            State::ApplyStick { document, base } => {
                if is_yes(word) {
                    self.sticks
                        .close_offer("an unsigned configuration was accepted over the serial line");
                    self.commit(document, base);
                } else {
                    self.read("Nothing was changed.");
                }
            }
            State::InstallStick => self.install(word),
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
            State::Restart => self.end_machine(
                word,
                &MachineRequest::Reboot {
                    reason: REASON.to_owned(),
                },
            ),
            State::SwitchOff => self.end_machine(
                word,
                &MachineRequest::PowerOff {
                    reason: REASON.to_owned(),
                },
            ),
            State::FactoryReset => self.factory_reset(word),
        }
    }

    // --- the way in ---

    fn open(&mut self, now: Duration) {
        if now < self.closed_until {
            let left = self.closed_until.saturating_sub(now).as_secs() + 1;
            self.say(&format!("  After wrong PINs the menu opens again in {left} s."));
            self.wait_for(State::Closed, Echo::Hidden);
            return;
        }
        match self.world.ask(&OperatorRequest::SerialPin) {
            Ok(OperatorReply::SerialPin(Some(hash))) => {
                self.prompt("  PIN: ", State::Pin(PasswordHash::from_stored(hash)), Echo::Hidden);
            }
            Ok(OperatorReply::SerialPin(None)) => {
                self.title("First run");
                self.say("  This menu has no PIN yet. Choose one: 6 to 64 characters. It is asked for");
                self.say("  whenever the menu is opened over this line. Ctrl-C leaves the menu.");
                self.say("");
                self.prompt("  New PIN: ", State::NewPin(None), Echo::Hidden);
            }
            Ok(_) | Err(_) => {
                self.rights = Rights::Hands;
                self.main();
            }
        }
    }

    fn check_pin(&mut self, hash: PasswordHash, pin: &SecretString, now: Duration) {
        // The wait is set before the work, so that breaking off gains nothing.
        self.failures = self.failures.saturating_add(1);
        self.closed_until = now.saturating_add(wait_after(self.failures));
        let good = self.hasher().is_some_and(|hasher| hasher.verify(pin, Some(&hash)));
        drop(hash);
        if good {
            self.failures = 0;
            self.closed_until = Duration::ZERO;
            self.rights = Rights::All;
            self.record("serial.opened", true, "the PIN was told");
            self.main();
            return;
        }
        self.record(
            "serial.opened",
            false,
            &format!("wrong PIN, {} in a row", self.failures),
        );
        self.say("  Wrong PIN.");
        self.wait_for(State::Closed, Echo::Hidden);
    }

    fn new_pin(&mut self, first: Option<SecretString>, pin: &SecretString) {
        let Some(first) = first else {
            if !PIN.contains(&pin.expose().len()) {
                self.say("  A PIN has 6 to 64 characters.");
                return self.prompt("  New PIN: ", State::NewPin(None), Echo::Hidden);
            }
            return self.prompt("  The same again: ", State::NewPin(Some(pin.clone())), Echo::Hidden);
        };
        if first.expose() != pin.expose() {
            self.say("  They differ.");
            return self.prompt("  New PIN: ", State::NewPin(None), Echo::Hidden);
        }
        let hash = self.hasher().and_then(|hasher| hasher.hash(pin).ok());
        let Some(hash) = hash else {
            return self.read("The PIN cannot be hashed: no memory.");
        };
        match self
            .world
            .ask(&OperatorRequest::SetSerialPin(Some(hash.as_str().to_owned())))
        {
            Ok(_) => {
                self.rights = Rights::All;
                self.record("serial.pin-changed", true, "");
                self.show_recovery_key();
            }
            Err(why) => self.read(&format!("The PIN was not set: {why}")),
        }
    }

    /// The recovery key of a new data partition, before anything else.
    fn show_recovery_key(&mut self) {
        let Ok(MachineReply::RecoveryKey(Some(key))) = self.world.machine(&MachineRequest::RecoveryKey) else {
            return self.main();
        };
        self.title("Recovery key");
        self.say("  This key opens the appliance's data when the security module does not, for");
        self.say("  instance after the firmware was changed. It is shown now and never again.");
        self.say("");
        for line in wrapped(key.expose(), WIDTH - 6) {
            self.say(&format!("    {line}"));
        }
        self.say("");
        self.say("  Write it down and keep it away from the appliance.");
        self.say("");
        self.prompt(
            "  Type YES once it is written down: ",
            State::RecoveryShown,
            Echo::Visible,
        );
    }

    fn recovery_noted(&mut self, word: &str) {
        if !word.eq_ignore_ascii_case("yes") {
            return self.prompt(
                "  Type YES once it is written down: ",
                State::RecoveryShown,
                Echo::Visible,
            );
        }
        if let Err(why) = self.world.machine(&MachineRequest::RecoveryKeyNoted) {
            return self.read(&why);
        }
        self.record("serial.recovery-key-noted", true, "the recovery key was shown");
        self.main();
    }

    // --- the main menu ---

    fn main(&mut self) {
        let facts = self.facts();
        let running = self.configuration();
        let status = self.world.ask(&OperatorRequest::Manager(ManagerRequest::Status));
        self.title("");
        for line in screens::summary(&facts, running.as_ref(), status.as_ref()) {
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
        self.say("");
        self.prompt(" Choice: ", State::Main, Echo::Visible);
    }

    fn choose(&mut self, word: &str) {
        let chosen = CHOICES.iter().find(|(key, ..)| key.eq_ignore_ascii_case(word));
        let Some((key, _, needs)) = chosen else {
            return self.main();
        };
        if !matches!(needs, Needs::Hands | Needs::Locked) && self.rights != Rights::All {
            return self.main();
        }
        match *key {
            "1" => self.show_status(),
            "2" => self.show_interfaces(),
            "3" => self.show_administrator(),
            "4" => self.begin_paste(),
            "5" => self.show_console(),
            "6" => self.show_support(),
            "7" => {
                self.title("PIN");
                self.prompt("  New PIN: ", State::NewPin(None), Echo::Hidden);
            }
            "8" => {
                self.title("Restart");
                self.prompt(
                    "  Stop everything and start again? (y/n) ",
                    State::Restart,
                    Echo::Visible,
                );
            }
            "9" => {
                self.title("Switch off");
                self.prompt(
                    "  Stop everything and switch off? (y/n) ",
                    State::SwitchOff,
                    Echo::Visible,
                );
            }
            "0" => {
                self.title("Factory reset");
                self.say("  The keys of all data are destroyed first, then the data: configuration,");
                self.say("  accounts, certificates, audit log. Nothing of it can be read afterwards,");
                self.say("  by nobody, with no key.");
                self.say("");
                let prompt = format!("  Type {RESET_WORD} to do it: ");
                self.prompt(&prompt, State::FactoryReset, Echo::Visible);
            }
            "S" => self.offer_stick(),
            "V" => {
                self.title("New version");
                let Some(name) = self.sticks.bundle().map(str::to_owned) else {
                    return self.main();
                };
                self.say(&format!("  {name}"));
                self.say("  It is checked, written beside the version that runs, tried at the next start,");
                self.say("  and given up by itself if it does not work.");
                self.say("");
                self.prompt("  Install it and restart? (y/n) ", State::InstallStick, Echo::Visible);
            }
            "U" => {
                self.title("Unlock the data");
                if let DataState::Locked { reason } = self.facts().data {
                    for line in wrapped(&reason, WIDTH - 4) {
                        self.say(&format!("  {line}"));
                    }
                    self.say("");
                }
                self.prompt("  Recovery key: ", State::Unlock, Echo::Visible);
            }
            _ => self.close(),
        }
    }

    // --- what is shown ---

    fn show_status(&mut self) {
        let facts = self.facts();
        let status = self.world.ask(&OperatorRequest::Manager(ManagerRequest::Status));
        let vault = self.world.ask(&OperatorRequest::VaultHealth);
        let lines = screens::status(&facts, status.as_ref(), vault.as_ref());
        self.pages("Status", lines.into());
    }

    fn show_console(&mut self) {
        let running = self.configuration();
        let certificates = self.world.ask(&OperatorRequest::Certificates);
        self.title("Console");
        for line in screens::console(running.as_ref(), certificates.as_ref()) {
            self.say(&line);
        }
        self.prompt_read();
    }

    fn show_support(&mut self) {
        let facts = self.facts();
        let status = self.world.ask(&OperatorRequest::Manager(ManagerRequest::Status));
        let vault = self.world.ask(&OperatorRequest::VaultHealth);
        let audit = self.world.ask(&OperatorRequest::AuditSearch(screens::newest_entries()));
        let log = self.world.machine(&MachineRequest::Log);
        self.clear();
        // Not in pages: whoever wants it records what the line says.
        self.say("-----BEGIN REDAN SUPPORT INFORMATION-----");
        for line in screens::status(&facts, status.as_ref(), vault.as_ref()) {
            self.say(&line);
        }
        for line in screens::support(audit.as_ref(), log.as_ref()) {
            self.say(&line);
        }
        self.say("-----END REDAN SUPPORT INFORMATION-----");
        self.prompt_read();
    }

    fn show_administrator(&mut self) {
        let users = match self.world.ask(&OperatorRequest::Accounts(AccountRequest::Users)) {
            Ok(OperatorReply::Accounts(AccountReply::Users(users))) => users,
            Ok(_) => return self.read("The vault gave an answer to another question."),
            Err(why) => return self.read(&why),
        };
        let fresh = users.iter().any(|user| user.name.as_str() == FIRST && user.must_change);
        let told = if fresh { self.world.told_password() } else { None };
        self.title("Administrators");
        if let Some(password) = told {
            self.say(&format!(
                "  The first administrator is `{FIRST}`; the password works once:"
            ));
            self.say("");
            self.say(&format!("    {}", plain(password.expose())));
            self.say("");
            self.record(
                "serial.password-shown",
                true,
                "the first administrator's one-time password",
            );
        }
        let names: Vec<_> = users.iter().map(|user| user.name.clone()).take(PAGE - 8).collect();
        for (number, user) in (1..).zip(&users).take(names.len()) {
            self.say(&screens::user(number, user));
        }
        self.say("");
        self.say("  A number gives that user a new one-time password; Enter goes back.");
        self.prompt("  User: ", State::ResetPassword(names), Echo::Visible);
    }

    fn reset_password(&mut self, names: &[UserName], word: &str) {
        let Some(name) = choice(names, word) else {
            return self.main();
        };
        let request = OperatorRequest::Accounts(AccountRequest::ResetPassword { name: name.clone() });
        match self.world.ask(&request) {
            Ok(OperatorReply::Accounts(AccountReply::Done {
                secret: Some(secret), ..
            })) => {
                self.say("");
                self.say(&format!("  {name} can sign in once with: {}", plain(secret.expose())));
                self.prompt_read();
            }
            Ok(OperatorReply::Accounts(AccountReply::Refused(why))) | Err(why) => self.read(&why),
            Ok(_) => self.read("The vault gave an answer to another question."),
        }
    }

    // --- configurations ---

    fn begin_paste(&mut self) {
        self.title("Apply a configuration");
        self.say("  Paste the document. A line with a single full stop ends it, Ctrl-C leaves.");
        self.say("");
        self.state = State::Paste(Paste::new(redan_config::LARGEST));
    }

    fn pasted(&mut self, ended: Pasted, lines: usize) {
        match ended {
            Pasted::Cancelled => self.main(),
            Pasted::Refused(why) => self.read(&format!("Nothing was changed: {why}.")),
            Pasted::Document(document) => {
                self.title("Apply a configuration");
                self.say(&format!("  Read: {lines} lines, {} bytes.", document.len()));
                let base = self
                    .configuration()
                    .and_then(|running| running.running)
                    .map(|running| running.info.generation);
                self.offer(document, base);
            }
        }
    }

    fn offer_stick(&mut self) {
        let Some(document) = self.sticks.offer().map(str::to_owned) else {
            return self.main();
        };
        self.title("Configuration on the stick");
        self.say("  Nobody signed it. Apply it only if you know who wrote it.");
        let base = self
            .configuration()
            .and_then(|running| running.running)
            .map(|running| running.info.generation);
        self.offer(document, base);
        if let State::Apply { document, base } = std::mem::replace(&mut self.state, State::Read) {
            self.state = State::ApplyStick { document, base };
        }
    }

    fn install(&mut self, word: &str) {
        if !is_yes(word) {
            return self.main();
        }
        self.say("  Installing ...");
        match self.sticks.install(&mut self.world) {
            Ok(version) => {
                self.say(&format!("  Version {version} is installed. Restarting ..."));
                self.wait_for(State::Closed, Echo::Hidden);
            }
            Err(why) => self.read(&format!("Nothing was changed: {why}")),
        }
    }

    /// Checks a document, says what it would change, and asks.
    fn offer(&mut self, document: String, base: Option<Generation>) {
        let check = ManagerRequest::Check {
            document: document.clone(),
        };
        let mistakes = match self.world.ask(&OperatorRequest::Manager(check)) {
            Ok(OperatorReply::Manager(ManagerReply::Checked(mistakes))) => mistakes,
            Ok(_) => return self.read("The manager gave an answer to another question."),
            Err(why) => return self.read(&why),
        };
        if mistakes.iter().any(|mistake| mistake.fatal) {
            let lines: VecDeque<_> = screens::mistakes(&mistakes).into();
            return self.pages("Mistakes: nothing was changed", lines);
        }
        for line in screens::mistakes(&mistakes) {
            self.say(&line);
        }
        let changes = if base.is_some() {
            let diff = ManagerRequest::Diff {
                from: Source::Running,
                to: Source::Text(document.clone()),
            };
            match self.world.ask(&OperatorRequest::Manager(diff)) {
                Ok(OperatorReply::Manager(ManagerReply::Diff(changes))) => screens::changes(&changes),
                Ok(_) => vec!["  (what changes cannot be told)".to_owned()],
                Err(why) => return self.read(&why),
            }
        } else {
            vec!["  It is the first configuration.".to_owned()]
        };
        let shown = changes.len().min(MOST_CHANGES);
        for line in changes.iter().take(shown) {
            self.say(line);
        }
        if changes.len() > shown {
            self.say(&format!("  ... and {} more changes", changes.len() - shown));
        }
        self.say("");
        self.prompt("  Apply it? (y/n) ", State::Apply { document, base }, Echo::Visible);
    }

    fn commit(&mut self, document: String, base: Option<Generation>) {
        self.say("  Applying ...");
        let request = ManagerRequest::Commit {
            document,
            confirm_within: PROBATION,
            comment: "over the serial line".to_owned(),
            actor: SELF,
            base,
        };
        match self.world.ask(&OperatorRequest::Manager(request)) {
            Ok(OperatorReply::Manager(ManagerReply::Done(state))) => match state.pending {
                Some(pending) => {
                    self.say(&format!(
                        "  Version {} runs. It is rolled back after {PROBATION} s,",
                        pending.generation
                    ));
                    self.say("  unless it is kept: check now that everything can be reached.");
                    self.say("");
                    self.prompt(
                        "  Type KEEP to keep it, Enter to go back: ",
                        State::Keep(pending.generation),
                        Echo::Visible,
                    );
                }
                None => self.read(&format!("Version {} runs.", state.confirmed)),
            },
            Ok(OperatorReply::Manager(ManagerReply::Mistaken(mistakes))) => {
                self.pages("Mistakes: nothing was changed", screens::mistakes(&mistakes).into());
            }
            Ok(_) => self.read("The manager gave an answer to another question."),
            Err(why) => self.read(&format!("Nothing was changed: {why}")),
        }
    }

    fn keep(&mut self, generation: Generation, word: &str) {
        let request = if word.eq_ignore_ascii_case("keep") {
            ManagerRequest::Confirm {
                generation,
                actor: SELF,
            }
        } else {
            ManagerRequest::Rollback {
                generation,
                actor: SELF,
            }
        };
        match self.world.ask(&OperatorRequest::Manager(request)) {
            Ok(OperatorReply::Manager(ManagerReply::Done(state))) => {
                self.read(&format!("Version {} runs and is kept.", state.confirmed));
            }
            Ok(_) => self.read("The manager gave an answer to another question."),
            Err(why) => self.read(&why),
        }
    }

    // --- addresses ---

    fn show_interfaces(&mut self) {
        let facts = self.facts();
        let running = self.configuration();
        let (lines, names) = screens::interfaces(&facts, running.as_ref());
        self.title("Interfaces");
        for line in lines.iter().take(PAGE - 3) {
            self.say(line);
        }
        self.say("");
        let Some(running) = running.and_then(|running| running.running) else {
            return self.prompt_read();
        };
        self.say("  A number changes the address of that interface; Enter goes back.");
        let state = State::ChooseInterface {
            document: running.document,
            base: Some(running.info.generation),
            names,
        };
        self.prompt("  Interface: ", state, Echo::Visible);
    }

    fn choose_interface(&mut self, document: String, base: Option<Generation>, names: &[String], word: &str) {
        let Some(name) = choice(names, word) else {
            return self.main();
        };
        let state = State::NewAddress {
            document,
            base,
            name: name.clone(),
        };
        let prompt = format!("  Address of {} with its prefix (such as 10.0.0.5/24): ", plain(name));
        self.prompt(&prompt, state, Echo::Visible);
    }

    fn new_address(&mut self, document: String, base: Option<Generation>, name: String, word: &str) {
        if word.is_empty() {
            return self.main();
        }
        let state = State::NewGateway {
            document,
            base,
            name,
            address: word.to_owned(),
        };
        self.prompt("  Router for the default route (Enter: none): ", state, Echo::Visible);
    }

    fn new_gateway(&mut self, document: &str, base: Option<Generation>, name: &str, address: &str, word: &str) {
        match crate::address::changed(document, name, address, word) {
            Ok(document) => {
                self.title("Interfaces");
                self.offer(document, base);
            }
            Err(why) => self.read(&why),
        }
    }

    // --- the machine ---

    fn unlock(&mut self, key: &SecretString) {
        if key.expose().trim().is_empty() {
            return self.main();
        }
        let request = MachineRequest::Unlock { key: key.clone() };
        match self.world.machine(&request) {
            Ok(_) => self.read("The key is being tried. The main menu shows whether the data are open."),
            Err(why) => self.read(&why),
        }
    }

    fn end_machine(&mut self, word: &str, request: &MachineRequest) {
        if !is_yes(word) {
            return self.main();
        }
        self.record("serial.ended", true, &format!("{request:?}"));
        match self.world.machine(request) {
            Ok(_) => {
                self.say("  Stopping ...");
                self.wait_for(State::Closed, Echo::Hidden);
            }
            Err(why) => self.read(&why),
        }
    }

    fn factory_reset(&mut self, word: &str) {
        if word != RESET_WORD {
            return self.read("Nothing was changed.");
        }
        let request = MachineRequest::FactoryReset {
            reason: REASON.to_owned(),
        };
        match self.world.machine(&request) {
            Ok(_) => {
                self.say("  Erasing everything ...");
                self.wait_for(State::Closed, Echo::Hidden);
            }
            Err(why) => self.read(&why),
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

    // --- the screen ---

    fn clear(&mut self) {
        // Attributes off, erase all, cursor home: VT100 and everything since.
        self.out.extend(b"\x1b[0m\x1b[2J\x1b[H");
    }

    fn title(&mut self, title: &str) {
        self.clear();
        let facts = self.facts();
        self.say(&screens::head(&facts, title));
        self.rule();
    }

    fn rule(&mut self) {
        self.say(&"-".repeat(WIDTH - 1));
    }

    fn say(&mut self, line: &str) {
        self.out.extend(plain(line).bytes().take(WIDTH - 1));
        self.out.extend(b"\r\n");
    }

    fn prompt(&mut self, text: &str, state: State, echo: Echo) {
        self.out.extend(plain(text).bytes());
        self.wait_for(state, echo);
    }

    fn prompt_read(&mut self) {
        self.say("");
        self.prompt(" Enter goes back. ", State::Read, Echo::Visible);
    }

    /// Says something and waits until it was read.
    fn read(&mut self, text: &str) {
        self.say("");
        for line in wrapped(text, WIDTH - 4) {
            self.say(&format!("  {line}"));
        }
        self.prompt_read();
    }

    fn pages(&mut self, title: &'static str, mut rest: VecDeque<String>) {
        self.title(title);
        let page: Vec<_> = rest.drain(..rest.len().min(PAGE)).collect();
        for line in &page {
            self.say(line);
        }
        if rest.is_empty() {
            return self.prompt_read();
        }
        let prompt = format!(" Enter shows more ({} lines), q goes back. ", rest.len());
        self.prompt(&prompt, State::Pages { title, rest }, Echo::Visible);
    }

    fn wait_for(&mut self, state: State, echo: Echo) {
        self.state = state;
        self.reader.begin(echo);
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

const CHOICES: [(&str, &str, Needs); 14] = [
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
    ("X", "Close this menu", Needs::Hands),
];
/// Who commits; the manager sets it anyway.
const SELF: Actor = Actor::Process(Process::Provision);
/// The account that the vault makes first.
const FIRST: &str = "admin";
const REASON: &str = "asked for over the serial line";
const MOST_CHANGES: usize = 14;

/// The wait after this many wrong PINs in a row: none after the first two, then 2 s, 4 s and so on.
fn wait_after(failures: u32) -> Duration {
    match failures {
        0..=2 => Duration::ZERO,
        more => Duration::from_secs(2_u64.saturating_pow(more - 2)).min(LONGEST_WAIT),
    }
}

fn is_yes(word: &str) -> bool {
    word.eq_ignore_ascii_case("y") || word.eq_ignore_ascii_case("yes")
}

/// The item with this number, counted from 1.
fn choice<'a, T>(items: &'a [T], word: &str) -> Option<&'a T> {
    let number: usize = word.parse().ok()?;
    items.get(number.checked_sub(1)?)
}
