//! One machine.

use crate::image::Image;
use crate::program;
use serde_json::Value;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// A side of the machine.
#[derive(Clone, Copy, Debug)]
pub enum Side {
    /// Where its first interface leads to: 192.168.1.2 and 10.77.1.2.
    Public,
    /// Where its second one leads to: 10.77.2.2.
    Private,
}

/// What a machine keeps while it is switched off: its disk, its firmware's variables, its TPM.
#[derive(Debug)]
pub struct Body {
    folder: TempDir,
    image: Image,
}

/// A machine that is switched on. Switched off, hard, when dropped.
#[derive(Debug)]
pub struct Machine<'a> {
    body: &'a Body,
    child: Child,
    serial: UnixStream,
    /// Everything that the serial line said.
    said: String,
    /// How much of it has been waited for.
    heard: usize,
    _turn: File,
}

/// From the firmware to the first program under emulation takes half a minute; on a busy machine, minutes.
const START: Duration = Duration::from_secs(420);
const ANSWER: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(100);

impl Body {
    /// A new machine with this image on its disk.
    ///
    /// # Panics
    /// Where there is no room for it.
    #[must_use]
    pub fn new(image: &Image) -> Self {
        let body = Self {
            folder: tempfile::tempdir().unwrap(),
            image: image.clone(),
        };
        body.fill();
        body
    }

    /// A new disk, a new TPM, and what the firmware was like at first.
    ///
    /// # Panics
    /// Where there is no room for it.
    pub fn renew(&self) {
        for entry in fs::read_dir(self.folder.path()).unwrap().flatten() {
            let path = entry.path();
            if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
        self.fill();
    }

    fn fill(&self) {
        let copied = Command::new("cp")
            .arg("--sparse=always")
            .args([self.image.file("img"), self.disk()])
            .status()
            .unwrap();
        assert!(copied.success());
    }

    /// Something that it keeps.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Its disk.
    #[must_use]
    pub fn disk(&self) -> PathBuf {
        self.path("disk.img")
    }

    /// Switches it on.
    ///
    /// # Panics
    /// Where QEMU does not start.
    #[must_use]
    pub fn start(&self) -> Machine<'_> {
        // One at a time on the whole machine: two would only be slower.
        let turn = File::create(std::env::temp_dir().join("redan-image-tests.turn")).unwrap();
        turn.lock().unwrap();
        for stale in ["running.json", "serial.sock"] {
            let _ = fs::remove_file(self.path(stale));
        }
        let output = File::create(self.path("output")).unwrap();
        let mut child = Command::new(program("redan-image"))
            .args([
                "run",
                "--serial",
                "socket",
                "--version",
                self.image.kind.version(),
                "--out",
            ])
            .arg(&self.image.folder)
            .arg("--keys")
            .arg(&self.image.keys)
            .arg("--state")
            .arg(self.folder.path())
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .spawn()
            .unwrap();
        let end = Instant::now() + Duration::from_secs(60);
        let serial = loop {
            if self.path("running.json").exists()
                && let Ok(serial) = UnixStream::connect(self.path("serial.sock"))
            {
                break serial;
            }
            let ended = child.try_wait().unwrap();
            let output = || fs::read_to_string(self.path("output")).unwrap_or_default();
            assert!(
                ended.is_none() && Instant::now() < end,
                "QEMU did not start: {}",
                output()
            );
            std::thread::sleep(LOOK);
        };
        serial.set_read_timeout(Some(LOOK)).unwrap();
        Machine {
            body: self,
            child,
            serial,
            said: String::new(),
            heard: 0,
            _turn: turn,
        }
    }
}

impl Machine<'_> {
    /// Waits for the first program's last words.
    pub fn wait_for_start(&mut self) -> String {
        self.wait_for("handing over", START)
    }

    /// Waits until one of these is said; which.
    ///
    /// # Panics
    /// When none is said in time.
    pub fn wait_for_any(&mut self, texts: &[&str]) -> usize {
        let end = Instant::now() + START;
        loop {
            let new = &self.said[self.heard..];
            if let Some(which) = texts.iter().position(|text| new.contains(text)) {
                self.heard = self.said.len();
                return which;
            }
            assert!(
                Instant::now() < end,
                "none of {texts:?} was said; it said: {}",
                self.said
            );
            self.listen();
        }
    }

    /// Waits until this is said, and returns the line.
    ///
    /// # Panics
    /// When it is not said in time.
    pub fn wait_for(&mut self, text: &str, patience: Duration) -> String {
        let end = Instant::now() + patience;
        loop {
            let new = &self.said[self.heard..];
            // A whole line only.
            if let Some(at) = new.find(text)
                && let Some(length) = new[at..].find('\n')
            {
                let begin = new[..at].rfind('\n').map_or(0, |line| line + 1);
                let line = new[begin..at + length].trim_end().to_owned();
                self.heard += at + length;
                return line;
            }
            assert!(Instant::now() < end, "{text:?} was not said; it said: {}", self.said);
            self.listen();
        }
    }

    /// Waits until this stands on the line, at its end or not.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn expect(&mut self, text: &str) {
        self.expect_within(text, ANSWER);
    }

    /// The same, with another patience.
    ///
    /// # Panics
    /// When it does not in time.
    pub fn expect_within(&mut self, text: &str, patience: Duration) {
        let said = self.is_said_within(text, patience);
        assert!(said, "{text:?} was not said; it said: {}", self.said);
    }

    /// Whether this comes within a time.
    pub fn is_said_within(&mut self, text: &str, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            if let Some(at) = self.said[self.heard..].find(text) {
                self.heard += at + text.len();
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            self.listen();
        }
    }

    /// How much of what was said has been waited for, in bytes.
    #[must_use]
    pub const fn heard(&self) -> usize {
        self.heard
    }

    /// What it said since the screen was last cleared.
    #[must_use]
    pub fn last_screen(&self) -> &str {
        self.said
            .rsplit_once("\u{1b}[2J")
            .map_or(&self.said, |(_, screen)| screen)
    }

    /// What it keeps while it is switched off.
    #[must_use]
    pub const fn body(&self) -> &Body {
        self.body
    }

    /// Types a line.
    ///
    /// # Panics
    /// Where the serial line is gone.
    pub fn type_line(&mut self, line: &str) {
        self.serial.write_all(format!("{line}\r").as_bytes()).unwrap();
    }

    /// What has been said since what was waited for last.
    #[must_use]
    pub fn since(&self) -> &str {
        &self.said[self.heard..]
    }

    /// Asks the probe.
    pub fn ask(&mut self, question: &str) -> String {
        self.heard = self.said.len();
        self.serial.write_all(format!("{question}\n").as_bytes()).unwrap();
        let line = self.wait_for("probe> ", ANSWER);
        line.split_once("probe> ").unwrap().1.to_owned()
    }

    /// Runs a program on one of the sides, to its end.
    pub fn on(&self, side: Side, command: &[&str]) -> Output {
        let (program, arguments) = command.split_first().unwrap();
        self.program_on(side, Path::new(program))
            .args(arguments)
            .output()
            .unwrap()
    }

    /// A program that will run on one of the sides.
    #[must_use]
    pub fn program_on(&self, side: Side, program: &Path) -> Command {
        let running: Value = serde_json::from_slice(&fs::read(self.body.path("running.json")).unwrap()).unwrap();
        let name = match side {
            Side::Public => "public",
            Side::Private => "private",
        };
        let mut command = Command::new("nsenter");
        command
            .args(["--target", &running[name].to_string(), "--net", "--"])
            .arg(program);
        command
    }

    /// Everything that was said.
    pub fn said(&mut self) -> &str {
        self.listen();
        &self.said
    }

    /// Waits until it has switched itself off.
    pub fn wait_for_end(mut self) {
        let end = Instant::now() + ANSWER;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "it does not switch itself off: {}", self.said);
            self.listen();
        }
    }

    fn listen(&mut self) {
        let mut bytes = [0; 4_096];
        match self.serial.read(&mut bytes) {
            // What firmware draws on a terminal is not always UTF-8.
            Ok(0) => std::thread::sleep(LOOK),
            Ok(length) => self.said.push_str(&String::from_utf8_lossy(&bytes[..length])),
            Err(error)
                if matches!(
                    error.kind(),
                    std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut
                ) => {}
            Err(error) => panic!("the serial line failed: {error}"),
        }
    }
}

impl Drop for Machine<'_> {
    fn drop(&mut self) {
        if let Some(qemu) = pid(&self.body.path("running.json")) {
            // Gone already where it switched itself off.
            let _ = rustix::process::kill_process(qemu, rustix::process::Signal::KILL);
        }
        let _ = self.child.wait();
    }
}

fn pid(running: &Path) -> Option<rustix::process::Pid> {
    let running: Value = serde_json::from_slice(&fs::read(running).ok()?).ok()?;
    rustix::process::Pid::from_raw(i32::try_from(running["qemu"].as_i64()?).ok()?)
}
