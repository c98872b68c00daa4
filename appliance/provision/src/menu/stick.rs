//! What a stick offers to whoever told the PIN.

use redan_ipc::messages::machine::MachineRequest;

use super::{Menu, Proposal, State, Work, is_yes};
use crate::line::Echo;
use crate::world::World;

impl<W: World> Menu<W> {
    pub(super) fn offer_stick(&mut self) {
        let Some(document) = self.sticks.offer().map(str::to_owned) else {
            return self.main();
        };
        self.title("Configuration on the stick");
        self.say("  Nobody signed it. Apply it only if you know who wrote it.");
        let base = self.running_generation();
        self.offer(Proposal {
            document,
            base,
            is_from_stick: true,
        });
    }

    pub(super) fn ask_install(&mut self) {
        let Some(name) = self.sticks.bundle().map(str::to_owned) else {
            return self.main();
        };
        self.title("New version");
        self.say(&format!("  {name}"));
        self.say("");
        self.say("  It is checked, written beside the version that runs, tried at the next start,");
        self.say("  and given up by itself if it does not work.");
        self.say("");
        self.prompt("  Install it and restart? (y/n) ", State::InstallStick, Echo::Visible);
    }

    pub(super) fn begin_install(&mut self, word: &str) {
        if !is_yes(word) {
            return self.main();
        }
        self.say("  Installing. This takes minutes; leave the stick where it is ...");
        self.wait_for(State::Busy(Work::Install), Echo::Hidden);
    }

    pub(super) fn install(&mut self) {
        match self.sticks.install(&mut self.world) {
            Ok(version) => {
                self.say(&format!("  Version {version} is installed. Restarting ..."));
                self.wait_for(State::Busy(Work::Restart(version)), Echo::Hidden);
            }
            Err(why) => self.read(&format!("Nothing was changed: {why}")),
        }
    }

    pub(super) fn restart_into(&mut self, version: &str) {
        let reason = format!("into version {version}");
        match self.world.machine(&MachineRequest::Reboot { reason }) {
            Ok(_) => self.wait_for(State::Closed, Echo::Hidden),
            Err(why) => self.read(&why),
        }
    }
}
