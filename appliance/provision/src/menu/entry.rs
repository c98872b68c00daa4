//! The way in: the PIN, and at first run the recovery key.

use redan_identity::password::PasswordHash;
use redan_ipc::messages::machine::{MachineReply, MachineRequest};
use redan_ipc::messages::manager::{OperatorReply, OperatorRequest};
use redan_types::SecretString;
use std::time::Duration;

use super::{Menu, Rights, State};
use crate::line::Echo;
use crate::text::{WIDTH, wrapped};
use crate::world::World;

/// The shortest and the longest PIN, in characters.
const PIN: std::ops::RangeInclusive<usize> = 6..=64;
/// The longest wait after wrong PINs. There is no closing for ever: whoever holds the line could close it for everybody.
const LONGEST_WAIT: Duration = Duration::from_mins(5);

impl<W: World> Menu<W> {
    pub(super) fn open(&mut self, now: Duration) {
        if now < self.closed_until {
            let left = self.closed_until.saturating_sub(now).as_secs() + 1;
            self.say(&format!("  After wrong PINs the menu opens again in {left} s."));
            self.wait_for(State::Closed, Echo::Hidden);
            return;
        }
        match self.world.ask(&OperatorRequest::SerialPin) {
            Ok(OperatorReply::SerialPin(Some(hash))) => {
                self.asked = now;
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

    pub(super) fn check_pin(&mut self, hash: PasswordHash, pin: &SecretString, now: Duration) {
        if pin.expose().is_empty() {
            return self.close();
        }
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
            // Noted or not: whoever broke off at first run is shown it again.
            return self.show_recovery_key();
        }
        self.record(
            "serial.opened",
            false,
            &format!("wrong PIN, {} in a row", self.failures),
        );
        self.say("  Wrong PIN.");
        self.wait_for(State::Closed, Echo::Hidden);
    }

    pub(super) fn new_pin(&mut self, first: Option<SecretString>, pin: &SecretString) {
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
    pub(super) fn show_recovery_key(&mut self) {
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

    pub(super) fn recovery_noted(&mut self, word: &str) {
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
}

/// The wait after this many wrong PINs in a row: none after the first two, then 2 s, 4 s and so on.
fn wait_after(failures: u32) -> Duration {
    match failures {
        0..=2 => Duration::ZERO,
        more => Duration::from_secs(2_u64.saturating_pow(more - 2)).min(LONGEST_WAIT),
    }
}
