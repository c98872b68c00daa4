//! What is only shown, and the administrators.

use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_ipc::messages::machine::MachineRequest;
use redan_ipc::messages::manager::{ManagerRequest, OperatorReply, OperatorRequest};
use redan_ipc::messages::update::UpdateRequest;
use redan_types::UserName;

use super::{Menu, PAGE, State, choice};
use crate::line::Echo;
use crate::screens;
use crate::text::plain;
use crate::world::World;

/// The account that the vault makes first.
const FIRST: &str = "admin";

impl<W: World> Menu<W> {
    pub(super) fn show_status(&mut self) {
        let lines = self.status();
        self.pages("Status", lines.into());
    }

    fn status(&mut self) -> Vec<String> {
        let facts = self.facts();
        let status = self.world.ask(&OperatorRequest::Manager(ManagerRequest::Status));
        let vault = self.world.ask(&OperatorRequest::VaultHealth);
        // An evaluation has no slots, and nobody who would answer.
        let update = (!facts.slot.is_empty()).then(|| self.world.update(&UpdateRequest::State));
        screens::status(
            &facts,
            status.as_ref(),
            vault.as_ref(),
            update.as_ref().map(Result::as_ref),
            self.sticks.report(),
        )
    }

    pub(super) fn show_console(&mut self) {
        let running = self.configuration();
        let certificates = self.world.ask(&OperatorRequest::Certificates);
        self.title("Console");
        for line in screens::console(running.as_ref(), certificates.as_ref()) {
            self.say(&line);
        }
        self.prompt_read();
    }

    pub(super) fn show_support(&mut self) {
        let status = self.status();
        let audit = self.world.ask(&OperatorRequest::AuditSearch(screens::newest_entries()));
        let log = self.world.machine(&MachineRequest::Log);
        self.clear();
        // Not in pages: whoever wants it records what the line says.
        self.say("-----BEGIN REDAN SUPPORT INFORMATION-----");
        for line in status {
            self.say(&line);
        }
        for line in screens::support(audit.as_ref(), log.as_ref()) {
            self.say(&line);
        }
        self.say("-----END REDAN SUPPORT INFORMATION-----");
        self.prompt_read();
    }

    pub(super) fn show_administrators(&mut self) {
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

    pub(super) fn reset_password(&mut self, names: &[UserName], word: &str) {
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
}
