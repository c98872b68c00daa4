//! What an operator does in the serial menu.

use crate::machine::Machine;
use std::time::{Duration, Instant};

/// Chosen at the first run.
pub const PIN: &str = "314159265";
/// Between two looks at the main menu.
const AGAIN: Duration = Duration::from_secs(2);
/// A new stick, a restart of a service: seconds on a machine, more where it is emulated.
const NOTICED: Duration = Duration::from_secs(180);
/// Checking and writing a version under emulation.
const INSTALLED: Duration = Duration::from_secs(600);

impl Machine<'_> {
    /// Opens the menu for the first time, up to the main menu. Returns the recovery key.
    pub fn first_run(&mut self) -> String {
        self.open_menu("New PIN:");
        self.type_line(PIN);
        self.expect("The same again:");
        self.type_line(PIN);
        self.expect("never again.");
        let before = self.heard();
        self.expect("Type YES once it is written down:");
        let key = self.said()[before..]
            .split_ascii_whitespace()
            .find(|word| word.len() == 44 && word.contains('-'))
            .expect("a recovery key")
            .to_owned();
        self.type_line("YES");
        self.expect("Choice:");
        key
    }

    /// Opens the menu with the PIN, up to the main menu.
    pub fn log_in(&mut self) {
        self.open_menu("PIN:");
        self.type_line(PIN);
        self.expect("Choice:");
    }

    /// Opens the menu until it asks for this: the vault, which knows the PIN, may not have started yet.
    fn open_menu(&mut self, text: &str) {
        self.expect_within("Press Enter to open the menu", NOTICED);
        let end = Instant::now() + NOTICED;
        loop {
            self.type_line("");
            if self.is_said_within(text, AGAIN * 5) {
                return;
            }
            assert!(Instant::now() < end, "{text:?} is not asked for: {}", self.said());
        }
    }

    /// Looks at the main menu until it offers this.
    pub fn wait_for_choice(&mut self, text: &str) {
        let end = Instant::now() + NOTICED;
        loop {
            self.type_line("");
            self.expect("Choice:");
            if self.last_screen().contains(text) {
                return;
            }
            assert!(Instant::now() < end, "{text:?} is not offered: {}", self.said());
            std::thread::sleep(AGAIN);
        }
    }

    /// Applies what is offered, and keeps it.
    pub fn keep_what_is_offered(&mut self) {
        self.expect("Apply it? (y/n)");
        self.type_line("y");
        self.expect("Type KEEP to keep it");
        self.type_line("KEEP");
        self.expect("runs and is kept");
    }

    /// Begins to install the version on the stick.
    pub fn begin_install(&mut self) {
        self.wait_for_choice("Install the new version on the stick");
        self.type_line("V");
        self.expect("Install it and restart? (y/n)");
        self.type_line("y");
        self.expect("Installing.");
    }

    /// Waits until it is installed.
    pub fn wait_for_install(&mut self, version: &str) {
        self.expect_within(&format!("Version {version} is installed. Restarting"), INSTALLED);
    }
}
