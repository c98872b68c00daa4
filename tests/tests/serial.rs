//! The serial line's menu over a real terminal, on a running appliance.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use redan_tests::appliance::Appliance;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::{Duration, Instant};

/// How long an answer may take on a busy machine: a commit is prepared by every service.
const PATIENCE: Duration = Duration::from_secs(90);
const PIN: &str = "246810\r";

/// A terminal: this end is the person's.
struct Line {
    person: File,
    /// Held, so that the terminal outlives the appliance's restarts.
    _appliance: OwnedFd,
    path: String,
    seen: String,
}

impl Line {
    fn new() -> Self {
        let pair = nix::pty::openpty(None, None).unwrap();
        let path = std::fs::read_link(format!("/proc/self/fd/{}", pair.slave.as_raw_fd())).unwrap();
        Self {
            person: File::from(pair.master),
            path: path.to_str().unwrap().to_owned(),
            _appliance: pair.slave,
            seen: String::new(),
        }
    }

    /// Types, and waits until the screen says `awaited`; gives what came since the keys.
    fn types(&mut self, keys: &[u8], awaited: &str) -> String {
        self.seen.clear();
        let until = Instant::now() + PATIENCE;
        let mut keys = keys;
        let mut buffer = [0; 4096];
        while !keys.is_empty() || !self.seen.contains(awaited) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no `{awaited}` in:\n{}", self.seen);
            let wanted = if keys.is_empty() {
                PollFlags::POLLIN
            } else {
                PollFlags::POLLIN | PollFlags::POLLOUT
            };
            let mut polled = [PollFd::new(self.person.as_fd(), wanted)];
            poll(&mut polled, PollTimeout::try_from(left).unwrap()).unwrap();
            let ready = polled[0].revents().unwrap_or(PollFlags::empty());
            if ready.contains(PollFlags::POLLIN) {
                let length = self.person.read(&mut buffer).unwrap();
                self.seen.push_str(&String::from_utf8_lossy(&buffer[..length]));
            }
            if ready.contains(PollFlags::POLLOUT) && !keys.is_empty() {
                // As much as a serial line's buffer takes.
                let length = self.person.write(&keys[..keys.len().min(256)]).unwrap();
                keys = &keys[length..];
            }
        }
        std::mem::take(&mut self.seen)
    }

    /// Reads on until nothing more comes for a while.
    fn quiet(&mut self) {
        let mut buffer = [0; 4096];
        loop {
            let mut polled = [PollFd::new(self.person.as_fd(), PollFlags::POLLIN)];
            if poll(&mut polled, PollTimeout::from(2_000_u16)).unwrap() == 0 {
                return;
            }
            let _ = self.person.read(&mut buffer).unwrap();
        }
    }
}

fn started() -> (Line, Appliance) {
    let line = Line::new();
    let appliance = Appliance::start(&["--serial", &line.path]);
    (line, appliance)
}

/// First run until the main menu.
fn set_up(line: &mut Line) -> String {
    line.types(b"\r", "New PIN:");
    line.types(PIN.as_bytes(), "same again:");
    line.types(PIN.as_bytes(), "Choice:")
}

#[test]
fn an_appliance_is_set_up_and_configured_over_its_serial_line() {
    let (mut line, appliance) = started();
    let main = set_up(&mut line);
    assert!(main.contains("https://"), "{main}");

    let status = line.types(b"1\r", "back.");
    for service in ["vault", "manager", "network", "proxy", "console", "provision"] {
        assert!(status.contains(service), "no {service} in {status}");
    }
    let console = line.types(b"\r5\r", "sits in between.");
    let shown: String = console.chars().filter(char::is_ascii_hexdigit).collect();
    let fingerprint: String = appliance
        .text("fingerprint")
        .chars()
        .filter(char::is_ascii_hexdigit)
        .collect();
    assert!(
        shown.to_lowercase().contains(&fingerprint.to_lowercase()),
        "{fingerprint} in {console}"
    );

    let running = appliance.redan_ok(&["config", "show"]);
    line.types(b"\r", "Choice:");
    line.types(b"4\r", "Ctrl-C leaves.");
    let wrong = format!("{running}\nwrong = 1\n.\n");
    let mistakes = line.types(wrong.as_bytes(), "back.");
    assert!(
        mistakes.contains("nothing was changed") && mistakes.contains("redan.toml:"),
        "{mistakes}"
    );

    line.types(b"\r", "Choice:");
    line.types(b"4\r", "Ctrl-C leaves.");
    let right = format!("{running}\n[zones.pasted]\n.\n");
    let question = line.types(right.as_bytes(), "Apply it? (y/n)");
    assert!(question.contains("pasted"), "{question}");
    line.types(b"y\r", "Type KEEP");
    line.types(b"keep\r", "is kept.");
    assert!(appliance.redan_ok(&["config", "show"]).contains("[zones.pasted]"));

    line.types(b"\r", "Choice:");
    line.types(b"x\r", "Press Enter");
    line.types(b"\r", "PIN:");
    line.types(b"000000\r", "Wrong PIN.");
    line.types(b"\r", "PIN:");
    line.types(PIN.as_bytes(), "Choice:");
    let log = appliance.redan_ok(&["audit", "search", "--action", "serial"]);
    for said in ["serial.pin-changed", "wrong PIN, 1 in a row", "the PIN was told"] {
        assert!(log.contains(said), "no {said} in {log}");
    }
}

#[test]
fn noise_on_the_line_ends_nothing_and_a_new_service_asks_for_the_pin() {
    let (mut line, appliance) = started();
    set_up(&mut line);
    line.types(b"x\r", "Press Enter");
    // No line in it is the PIN; Ctrl-C and Enter at its end lead to a known place.
    let noise: Vec<u8> = (0..=255_u8).cycle().take(8 << 10).collect();
    line.types(&noise, "PIN:");
    line.quiet();
    assert_eq!(appliance.service("provision")["restarts"], 0);

    let pid = i32::try_from(appliance.pid("provision")).unwrap();
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), nix::sys::signal::Signal::SIGKILL).unwrap();
    line.types(b"", "Press Enter");
    appliance.until("the service is back", PATIENCE, |appliance| {
        appliance.service("provision")["state"] == "ready"
    });
    let asked = line.types(b"\r", "PIN:");
    assert!(!asked.contains("New PIN"), "{asked}");
    line.types(PIN.as_bytes(), "Choice:");
    // An evaluation is no machine that could be restarted.
    line.types(b"8\r", "(y/n)");
    line.types(b"y\r", "no machine of its own");
}
