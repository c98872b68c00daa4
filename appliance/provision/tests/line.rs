//! The menu over a real terminal of the kernel's.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

mod support;

use redan_provision::menu::Menu;
use redan_provision::serial;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{Mode, OFlags, fcntl_setfl, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use std::os::fd::OwnedFd;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use support::{DOCUMENT, Shared};

const PATIENCE: Duration = Duration::from_secs(20);

/// A person at a terminal, at whose other end the menu runs.
struct Person {
    terminal: OwnedFd,
    menu: JoinHandle<bool>,
}

impl Person {
    fn new() -> Self {
        let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
        grantpt(&terminal).unwrap();
        unlockpt(&terminal).unwrap();
        let path = ptsname(&terminal, Vec::new()).unwrap();
        let line = open(
            path.as_c_str(),
            OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK,
            Mode::empty(),
        )
        .unwrap();
        let mut modes = tcgetattr(&line).unwrap();
        modes.make_raw();
        tcsetattr(&line, OptionalActions::Now, &modes).unwrap();
        fcntl_setfl(&terminal, OFlags::NONBLOCK).unwrap();
        let menu = std::thread::spawn(move || serial::run(&line, &mut Menu::new(Shared::default())).is_ok());
        Self { terminal, menu }
    }

    /// Types everything, then reads until the screen says `awaited`; gives what was read.
    fn types(&self, keys: &[u8], awaited: &str) -> String {
        let (mut keys, mut seen) = (keys, String::new());
        let until = Instant::now() + PATIENCE;
        while !keys.is_empty() || !seen.contains(awaited) {
            assert!(Instant::now() < until, "no `{awaited}` in:\n{seen}");
            let wanted = if keys.is_empty() {
                PollFlags::IN
            } else {
                PollFlags::IN | PollFlags::OUT
            };
            let mut polled = [PollFd::new(&self.terminal, wanted)];
            poll(&mut polled, Some(&Timespec { tv_sec: 1, tv_nsec: 0 })).unwrap();
            let ready = polled[0].revents();
            if ready.contains(PollFlags::IN) {
                let mut buffer = [0; 4096];
                let length = rustix::io::read(&self.terminal, &mut buffer).unwrap();
                seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            if ready.contains(PollFlags::OUT)
                && let Ok(length) = rustix::io::write(&self.terminal, keys)
            {
                keys = &keys[length..];
            }
        }
        seen
    }
}

#[test]
fn a_document_is_pasted_over_a_terminal_and_the_menu_ends_with_it() {
    let person = Person::new();
    person.types(b"\r", "New PIN:");
    person.types(b"123456\r", "same again:");
    person.types(b"123456\r", "written down:");
    person.types(b"yes\r", "Choice:");
    person.types(b"4\r", "Ctrl-C leaves.");
    // Longer than the kernel's buffer for a terminal.
    let comment = "# a comment that fills the line\n".repeat(2_000);
    let document = format!("{DOCUMENT}\n[zones.servers]\n{comment}.\n");
    let question = person.types(document.as_bytes(), "Apply it? (y/n)");
    assert!(question.contains("zone servers added"), "{question}");
    person.types(b"y\r", "Type KEEP");
    person.types(b"keep\r", "Version 2 runs and is kept.");
    let Person { terminal, menu } = person;
    drop(terminal);
    assert!(menu.join().is_ok());
}

#[test]
fn after_any_noise_the_menu_still_answers() {
    let person = Person::new();
    let noise: Vec<u8> = (0..=255_u8).cycle().take(64 << 10).collect();
    person.types(&noise, "Press Enter");
    // Ctrl-C leads out of whatever the noise has led into.
    person.types(b"\x03\x03\r", "New PIN:");
}
