//! In the supervisor's place: tries, as PID 1 and root of the appliance, what a captured supervisor could try. One question a line on
//! the serial line, one answer.
#![forbid(unsafe_code)]
#![allow(
    clippy::unwrap_used,
    reason = "a test's own program: where it fails the machine restarts, and the test sees that"
)]

use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};

const PROGRAM: &str = "/usr/lib/redan/redan-data";

fn main() {
    let line = OpenOptions::new().read(true).write(true).open("/dev/ttyS0").unwrap();
    let mut answers = line.try_clone().unwrap();
    for question in BufReader::new(line).lines() {
        let question = question.unwrap();
        let answer = answer(question.trim());
        writeln!(answers, "\rprobe> {}\r", answer.replace(['\n', '\r'], " | ")).unwrap();
    }
}

fn answer(question: &str) -> String {
    match question.split_once(' ').unwrap_or((question, "")) {
        ("read", path) => {
            fs::read_to_string(path).map_or_else(|error| format!("error: {error}"), |text| text.trim().to_owned())
        }
        ("write", path) => outcome(fs::write(path, "x")),
        ("remember", text) => outcome(fs::write("/data/remembered", text).map(|()| rustix::fs::sync())),
        ("execute", "verified") => execute(PROGRAM),
        ("execute", "dropped") => {
            // A file system of its own without `noexec`, so that it is the policy that decides.
            let copied =
                mount("tmpfs", "/boot", "tmpfs", MountFlags::empty(), c"mode=0755").map_err(std::io::Error::from);
            let copied = copied.and_then(|()| fs::copy(PROGRAM, "/boot/dropped"));
            let copied = copied.and_then(|_| fs::set_permissions("/boot/dropped", fs::Permissions::from_mode(0o755)));
            copied.map_or_else(|error| format!("not tried: {error}"), |()| execute("/boot/dropped"))
        }
        ("execute", "memory") => {
            let memory = rustix::fs::memfd_create("program", rustix::fs::MemfdFlags::empty()).unwrap();
            let mut file = File::from(memory);
            file.write_all(&fs::read(PROGRAM).unwrap()).unwrap();
            execute(&format!("/proc/{}/fd/{}", std::process::id(), file.as_raw_fd()))
        }
        ("module", _) => {
            let file = File::open(PROGRAM).unwrap();
            outcome(rustix::system::finit_module(&file, c"", 0).map_err(std::io::Error::from))
        }
        ("open", key) => data("open", key),
        ("destroy", _) => data("destroy", ""),
        // Opening arms it, and closing without the magic character does not disarm it.
        ("starve", _) => outcome(OpenOptions::new().write(true).open("/dev/watchdog").map(drop)),
        ("reboot", _) => end(RebootCommand::Restart),
        ("off", _) => end(RebootCommand::PowerOff),
        _ => "unknown".to_owned(),
    }
}

fn execute(path: &str) -> String {
    match Command::new(path).stdin(Stdio::null()).output() {
        Ok(output) => format!("executed: {}", String::from_utf8_lossy(&output.stdout).trim()),
        Err(error) => format!("error: {error}"),
    }
}

fn data(task: &str, key: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .arg(task)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(format!("{key}\n").as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    format!("{} {}", output.status, String::from_utf8_lossy(&output.stdout).trim())
}

fn outcome(outcome: std::io::Result<()>) -> String {
    outcome.map_or_else(|error| format!("error: {error}"), |()| "done".to_owned())
}

fn end(how: RebootCommand) -> String {
    rustix::fs::sync();
    outcome(reboot(how).map_err(std::io::Error::from))
}
