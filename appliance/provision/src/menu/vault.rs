//! What opens the vault: its recovery, brought or made.

use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_ipc::messages::seal::{RecoveryShape, SealReply, SealRequest, SealStatus};
use redan_types::SecretString;

use super::{Menu, Rights, State, is_yes};
use crate::line::Echo;
use crate::screens;
use crate::text::{WIDTH, plain, wrapped};
use crate::world::World;

/// A recovery key for one person. Shares for several are made over the console or with `redan vault recovery`.
const ONE: RecoveryShape = RecoveryShape {
    shares: 1,
    threshold: 1,
};

impl<W: World> Menu<W> {
    pub(super) fn show_vault(&mut self) {
        let status = match self.seal(SealRequest::Status) {
            Ok(SealReply::Status(status)) => status,
            Ok(SealReply::Recovery(_)) => return self.read("The vault gave an answer to another question."),
            Err(why) => return self.read(&why),
        };
        self.title("Vault");
        for line in screens::seal(&status) {
            self.say(&line);
        }
        self.say("");
        if status.sealed.is_some() {
            self.ask_share(&status);
        } else if self.rights == Rights::All && status.recovery.is_none() {
            self.prompt(
                "  Make a recovery key now? It is shown once. (y/n) ",
                State::MakeRecovery,
                Echo::Visible,
            );
        } else {
            self.prompt_read();
        }
    }

    pub(super) fn bring_share(&mut self, share: &SecretString) {
        if share.expose().trim().is_empty() {
            return self.main();
        }
        let share = SecretString::new(share.expose().trim().to_owned());
        match self.seal(SealRequest::Unseal { share }) {
            Ok(SealReply::Status(status)) if status.sealed.is_none() => self.read("The vault is open."),
            Ok(SealReply::Status(status)) => self.ask_share(&status),
            Ok(SealReply::Recovery(_)) => self.read("The vault gave an answer to another question."),
            Err(why) => self.read(&why),
        }
    }

    pub(super) fn make_recovery(&mut self, word: &str) {
        if !is_yes(word) {
            return self.main();
        }
        let request = SealRequest::Recovery {
            shape: ONE,
            present: Vec::new(),
        };
        match self.seal(request) {
            Ok(SealReply::Recovery(made)) => {
                self.title("Vault");
                self.say("  This key opens the vault without its key device. It is shown now and never");
                self.say("  again: write it down and keep it away from the appliance.");
                self.say("");
                for line in made.iter().flat_map(|key| wrapped(key.expose(), WIDTH - 6)) {
                    self.say(&format!("    {line}"));
                }
                self.prompt_read();
            }
            Ok(SealReply::Status(_)) => self.read("The vault gave an answer to another question."),
            Err(why) => self.read(&why),
        }
    }

    fn ask_share(&mut self, status: &SealStatus) {
        let needed = status.recovery.map_or(1, |recovery| recovery.shape.threshold);
        let prompt = if needed > 1 {
            format!("  Share {} of {needed}: ", status.gathered.saturating_add(1))
        } else {
            "  Recovery key: ".to_owned()
        };
        self.prompt(&plain(&prompt), State::Share, Echo::Visible);
    }

    fn seal(&mut self, request: SealRequest) -> Result<SealReply, String> {
        match self.world.ask(&OperatorRequest::Seal(request))? {
            OperatorReply::Seal(reply) => Ok(reply),
            _ => Err("The vault gave an answer to another question.".to_owned()),
        }
    }
}
