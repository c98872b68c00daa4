//! Configurations and addresses.

use redan_ipc::messages::manager::{ManagerReply, ManagerRequest, OperatorReply, OperatorRequest, Source};
use redan_types::Generation;
use std::collections::VecDeque;

use super::{Menu, PAGE, Proposal, SELF, State, choice};
use crate::line::{Echo, Paste, Pasted};
use crate::screens;
use crate::text::plain;
use crate::world::World;

/// A configuration that nobody keeps within this time is rolled back, in seconds.
const PROBATION: u32 = 120;
/// Lines of warnings and of changes that fit on the screen with the question.
const MOST_WARNINGS: usize = 4;
const MOST_CHANGES: usize = 10;

impl<W: World> Menu<W> {
    pub(super) fn begin_paste(&mut self) {
        self.title("Apply a configuration");
        self.say("  Paste the document. A line with a single full stop ends it, Ctrl-C leaves.");
        self.say("");
        self.state = State::Paste(Paste::new(redan_config::LARGEST));
    }

    pub(super) fn pasted(&mut self, ended: Pasted) {
        match ended {
            Pasted::Cancelled => self.main(),
            Pasted::Refused(why) => self.read(&format!("Nothing was changed: {why}.")),
            Pasted::Document(document) => {
                self.title("Apply a configuration");
                let lines = document.lines().count();
                self.say(&format!("  Read: {lines} lines, {} bytes.", document.len()));
                let base = self.running_generation();
                self.offer(Proposal {
                    document,
                    base,
                    is_from_stick: false,
                });
            }
        }
    }

    pub(super) fn running_generation(&mut self) -> Option<Generation> {
        let running = self.configuration()?.running?;
        Some(running.info.generation)
    }

    /// Checks a document, says what it would change, and asks.
    pub(super) fn offer(&mut self, proposal: Proposal) {
        let check = ManagerRequest::Check {
            document: proposal.document.clone(),
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
        let warnings = screens::mistakes(&mistakes);
        for line in warnings.iter().take(MOST_WARNINGS) {
            self.say(line);
        }
        let changes = if proposal.base.is_some() {
            let diff = ManagerRequest::Diff {
                from: Source::Running,
                to: Source::Text(proposal.document.clone()),
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
        self.prompt("  Apply it? (y/n) ", State::Apply(proposal), Echo::Visible);
    }

    pub(super) fn commit(&mut self, proposal: Proposal) {
        let Proposal {
            document,
            base,
            is_from_stick,
        } = proposal;
        let comment = if is_from_stick {
            "unsigned, from a USB stick, accepted over the serial line"
        } else {
            "over the serial line"
        };
        let request = ManagerRequest::Commit {
            document,
            confirm_within: PROBATION,
            comment: comment.to_owned(),
            actor: SELF,
            base,
        };
        let reply = self.world.ask(&OperatorRequest::Manager(request));
        if is_from_stick {
            let pending = match &reply {
                Ok(OperatorReply::Manager(ManagerReply::Done(state))) => state.pending.as_ref(),
                _ => None,
            };
            match (&reply, pending) {
                (_, Some(pending)) => self.sticks.accepted(pending.generation),
                (Err(why), _) => self.sticks.note(&format!("it was not applied: {why}")),
                (Ok(_), None) => self.sticks.note("it was not applied"),
            }
        }
        match reply {
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

    pub(super) fn keep(&mut self, generation: Generation, word: &str) {
        let is_kept = word.eq_ignore_ascii_case("keep");
        let request = if is_kept {
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
                self.sticks.settled(generation, is_kept);
                let how = if is_kept { "and is kept" } else { "again" };
                self.read(&format!("Version {} runs {how}.", state.confirmed));
            }
            Ok(_) => self.read("The manager gave an answer to another question."),
            Err(why) => self.read(&why),
        }
    }

    pub(super) fn show_interfaces(&mut self) {
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

    pub(super) fn choose_interface(
        &mut self,
        document: String,
        base: Option<Generation>,
        names: &[String],
        word: &str,
    ) {
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

    pub(super) fn new_address(&mut self, document: String, base: Option<Generation>, name: String, word: &str) {
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

    pub(super) fn new_gateway(
        &mut self,
        document: &str,
        base: Option<Generation>,
        name: &str,
        address: &str,
        word: &str,
    ) {
        match crate::address::changed(document, name, address, word) {
            Ok(document) => {
                self.title("Interfaces");
                self.offer(Proposal {
                    document,
                    base,
                    is_from_stick: false,
                });
            }
            Err(why) => self.read(&why),
        }
    }
}
