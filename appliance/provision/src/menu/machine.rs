//! What is done to the machine itself.

use redan_ipc::messages::machine::{DataState, MachineRequest};

use redan_types::SecretString;

use super::{Menu, State, is_yes};
use crate::line::Echo;
use crate::text::{WIDTH, wrapped};
use crate::world::World;

/// What has to be typed for a factory reset.
const RESET_WORD: &str = "ERASE";
const REASON: &str = "asked for over the serial line";

impl<W: World> Menu<W> {
    pub(super) fn ask_restart(&mut self) {
        self.title("Restart");
        self.prompt(
            "  Stop everything and start again? (y/n) ",
            State::Restart,
            Echo::Visible,
        );
    }

    pub(super) fn ask_switch_off(&mut self) {
        self.title("Switch off");
        self.prompt(
            "  Stop everything and switch off? (y/n) ",
            State::SwitchOff,
            Echo::Visible,
        );
    }

    pub(super) fn ask_factory_reset(&mut self) {
        self.title("Factory reset");
        self.say("  The keys of all data are destroyed first, then the data: configuration,");
        self.say("  accounts, certificates, audit log. Nobody can read any of it afterwards,");
        self.say("  with whatever key.");
        self.say("");
        let prompt = format!("  Type {RESET_WORD} to do it: ");
        self.prompt(&prompt, State::FactoryReset, Echo::Visible);
    }

    pub(super) fn ask_unlock(&mut self) {
        self.title("Unlock the data");
        if let DataState::Locked { reason } = self.facts().data {
            for line in wrapped(&reason, WIDTH - 4) {
                self.say(&format!("  {line}"));
            }
            self.say("");
        }
        self.prompt("  Recovery key: ", State::Unlock, Echo::Visible);
    }

    pub(super) fn restart(&mut self, word: &str) {
        let reason = REASON.to_owned();
        self.end_machine(word, "restart", &MachineRequest::Reboot { reason });
    }

    pub(super) fn switch_off(&mut self, word: &str) {
        let reason = REASON.to_owned();
        self.end_machine(word, "switch off", &MachineRequest::PowerOff { reason });
    }

    pub(super) fn unlock(&mut self, key: &SecretString) {
        if key.expose().trim().is_empty() {
            return self.main();
        }
        let request = MachineRequest::Unlock { key: key.clone() };
        match self.world.machine(&request) {
            Ok(_) => self.read("The key is being tried. The main menu shows whether the data are open."),
            Err(why) => self.read(&why),
        }
    }

    fn end_machine(&mut self, word: &str, what: &str, request: &MachineRequest) {
        if !is_yes(word) {
            return self.main();
        }
        self.record("serial.ended", true, what);
        match self.world.machine(request) {
            Ok(_) => {
                self.say("  Stopping ...");
                self.wait_for(State::Closed, Echo::Hidden);
            }
            Err(why) => self.read(&why),
        }
    }

    pub(super) fn factory_reset(&mut self, word: &str) {
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
}
