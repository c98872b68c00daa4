//! The supervisor with real processes in real sandboxes, in each mode that this machine has.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests")]

use std::collections::BTreeMap;
use std::fs::{File, Permissions};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{FdFlags, fcntl_setfd};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketAddrUnix, SocketType, connect, recv, send, socket};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const PATIENCE: Duration = Duration::from_secs(30);
const NOBODY: u32 = 65_534;

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Root,
    User,
    Bare,
}

const MODES: [Mode; 3] = [Mode::Root, Mode::User, Mode::Bare];

/// A running appliance of toys. Its supervisor is killed when dropped, and the services with it.
struct Appliance {
    supervisor: Child,
    ready: File,
    address: SocketAddr,
    console: SocketAddr,
    log: PathBuf,
    folder: tempfile::TempDir,
}

#[derive(Debug)]
struct Report {
    text: String,
}

#[derive(Clone, Debug, Eq, PartialEq)]
struct ServiceLine {
    state: String,
    pid: i32,
    restarts: u32,
    memory: u64,
}

impl Appliance {
    /// Starts one and waits until everything answers; `None` where the machine cannot do the mode, and it says so.
    fn start(mode: Mode) -> Option<Self> {
        let mut appliance = Self::launch(mode)?;
        let line = appliance.ready_line();
        if line.is_empty() && appliance.log().contains("unshare") {
            eprintln!(
                "SKIPPED: this machine has no unprivileged user namespaces: {}",
                appliance.log()
            );
            return None;
        }
        assert_eq!(line, "ready\n", "{mode:?}: {}", appliance.log());
        Some(appliance)
    }

    fn launch(mode: Mode) -> Option<Self> {
        Self::launch_with(mode, TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap())
    }

    fn launch_with(mode: Mode, address: SocketAddr) -> Option<Self> {
        let root = rustix::process::geteuid().is_root();
        if mode == Mode::Root && !root {
            eprintln!("SKIPPED: {mode:?} needs root");
            return None;
        }
        let folder = tempfile::tempdir().unwrap();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
        let here = std::env::current_exe().unwrap();
        let toy = here.parent().unwrap().parent().unwrap().join("examples/toy");
        assert!(
            toy.exists(),
            "{} is missing: build the package's examples",
            toy.display()
        );
        let binaries = folder.path().join("binaries");
        std::fs::create_dir(&binaries).unwrap();
        for name in ["vault", "manager", "network", "proxy", "console"] {
            std::fs::copy(&toy, binaries.join(format!("redan-{name}"))).unwrap();
        }
        let program = folder.path().join("redan-supervisor");
        std::fs::copy(env!("CARGO_BIN_EXE_redan-supervisor"), &program).unwrap();
        let state = folder.path().join("state");
        std::fs::create_dir(&state).unwrap();
        let document = folder.path().join("document");
        let console = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        std::fs::write(&document, format!("{address}\n{console}\n")).unwrap();
        let (ready, theirs) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        fcntl_setfd(&theirs, FdFlags::empty()).unwrap();
        let log = folder.path().join("log");

        let mut words: Vec<String> = Vec::new();
        if mode != Mode::Root && root {
            chown(&state, Some(NOBODY), Some(NOBODY)).unwrap();
            words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"].map(str::to_owned));
        }
        if mode == Mode::User {
            words.extend(["unshare", "--user", "--map-root-user", "--mount"].map(str::to_owned));
        }
        let name = match mode {
            Mode::Root => "evaluation-root",
            Mode::User => "evaluation-user",
            Mode::Bare => "evaluation-bare",
        };
        words.push(text(&program));
        words.extend([
            "--mode".to_owned(),
            name.to_owned(),
            "--threads".to_owned(),
            "2".to_owned(),
        ]);
        words.extend([
            "--state".to_owned(),
            text(&state),
            "--binaries".to_owned(),
            text(&binaries),
        ]);
        words.extend(["--configuration".to_owned(), text(&document)]);
        words.extend(["--ready-fd".to_owned(), theirs.as_raw_fd().to_string()]);
        let supervisor = Command::new(&words[0])
            .args(&words[1..])
            .stdin(Stdio::null())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        drop(theirs);
        Some(Self {
            supervisor,
            ready: File::from(ready),
            address,
            console,
            log,
            folder,
        })
    }

    fn ready_line(&mut self) -> String {
        wait_for_input(&self.ready);
        let mut line = vec![0; 4096];
        let length = self.ready.read(&mut line).unwrap();
        String::from_utf8_lossy(&line[..length]).into_owned()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap()
    }

    fn socket_path(&self) -> PathBuf {
        self.folder.path().join("state/run/operator.sock")
    }

    /// What the manager says; waits while it restarts.
    fn report(&self) -> Report {
        let end = Instant::now() + PATIENCE;
        loop {
            match self.ask() {
                Ok(text) if !text.is_empty() => return Report { text },
                outcome => assert!(Instant::now() < end, "{outcome:?}: {}", self.log()),
            }
        }
    }

    fn ask(&self) -> rustix::io::Result<String> {
        let socket = socket(AddressFamily::UNIX, SocketType::SEQPACKET, None)?;
        connect(&socket, &SocketAddrUnix::new(self.socket_path())?)?;
        send(&socket, b"report", SendFlags::NOSIGNAL)?;
        wait_for_input(&socket);
        let mut text = vec![0; 128 << 10];
        let (length, _) = recv(&socket, &mut text[..], RecvFlags::empty())?;
        Ok(String::from_utf8_lossy(&text[..length]).into_owned())
    }

    /// Reports until one is as wanted.
    fn report_until(&self, wanted: impl Fn(&Report) -> bool) -> Report {
        let end = Instant::now() + PATIENCE;
        loop {
            let report = self.report();
            if wanted(&report) {
                return report;
            }
            assert!(Instant::now() < end, "{}\n{}", report.text, self.log());
        }
    }

    fn send_to_proxy(&self, word: &[u8]) -> std::io::Result<String> {
        Self::send_to(self.address, word)
    }

    fn send_to(address: SocketAddr, word: &[u8]) -> std::io::Result<String> {
        let mut client = TcpStream::connect(address)?;
        client.set_read_timeout(Some(PATIENCE))?;
        client.write_all(word)?;
        let mut answer = String::new();
        client.read_to_string(&mut answer)?;
        Ok(answer)
    }

    /// Asks for an orderly end, and checks that nothing is left.
    fn stop(mut self) {
        let services = self.report().services();
        let start = Instant::now();
        self.signal(Signal::TERM);
        let status = self.wait();
        assert!(status.success(), "{status}: {}", self.log());
        assert!(
            start.elapsed() < Duration::from_secs(2),
            "{:?}: {}",
            start.elapsed(),
            self.log()
        );
        for (name, service) in services {
            assert!(!exists(service.pid), "the {name} is still there");
        }
        assert!(!self.socket_path().exists());
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.supervisor), signal).unwrap();
    }

    fn wait(&mut self) -> ExitStatus {
        let pidfd =
            rustix::process::pidfd_open(Pid::from_child(&self.supervisor), rustix::process::PidfdFlags::empty());
        wait_for_input(&pidfd.unwrap());
        self.supervisor.wait().unwrap()
    }
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.supervisor.kill();
        let _ = self.supervisor.wait();
    }
}

impl Report {
    fn services(&self) -> BTreeMap<String, ServiceLine> {
        let line = |line: &str| {
            let words: Vec<&str> = line.strip_prefix("service: ")?.split(' ').collect();
            let line = ServiceLine {
                state: words[1].to_owned(),
                pid: words[2].parse().unwrap(),
                restarts: words[3].parse().unwrap(),
                memory: words[4].parse().unwrap(),
            };
            Some((words[0].to_owned(), line))
        };
        self.text.lines().filter_map(line).collect()
    }

    fn service(&self, name: &str) -> ServiceLine {
        self.services().remove(name).expect("a service of the manifest")
    }

    fn is_back(&self, name: &str, restarts: u32) -> bool {
        let service = self.service(name);
        service.state == "ready" && service.restarts == restarts
    }

    fn has_event(&self, process: &str, kind: &str, detail: &str) -> bool {
        let wanted = format!(" {process} {kind}: ");
        self.text
            .lines()
            .any(|line| line.starts_with("event: ") && line.contains(&wanted) && line.contains(detail))
    }

    fn absent(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .text
            .lines()
            .filter_map(|line| line.strip_prefix("absent: ")?.split(": ").nth(1).map(str::to_owned))
            .collect();
        names.sort();
        names.dedup();
        names
    }
}

fn wait_for_input(fd: &impl AsFd) {
    let timeout = Timespec::try_from(PATIENCE).unwrap();
    let count = poll(&mut [PollFd::new(fd, PollFlags::IN)], Some(&timeout)).unwrap();
    assert_eq!(count, 1, "nothing came in time");
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}

fn pid(number: i32) -> Pid {
    Pid::from_raw(number).expect("a running service")
}

fn exists(number: i32) -> bool {
    Pid::from_raw(number).is_some_and(|pid| test_kill_process(pid).is_ok())
}

#[test]
fn everything_starts_confined_and_stops_without_a_trace() {
    for mode in MODES {
        let Some(appliance) = Appliance::start(mode) else {
            continue;
        };
        let report = appliance.report();
        println!("{mode:?}\n{}", report.text);
        let services = report.services();
        assert_eq!(services.len(), 5);
        for (name, service) in services {
            assert_eq!((service.state.as_str(), service.restarts), ("ready", 0), "{name}");
            assert!(service.memory > 100 << 10, "{name} has {} bytes", service.memory);
            assert!(report.has_event(&name, "Started", ""), "{}", report.text);
        }
        assert!(report.text.contains("vault answers: true"), "{}", report.text);
        assert!(appliance.folder.path().join("state/store/kept").exists());
        assert_eq!(appliance.send_to_proxy(b"hi").unwrap(), "hello");
        assert_eq!(Appliance::send_to(appliance.console, b"hi").unwrap(), "hello");
        let absent = report.absent();
        if mode != Mode::Bare {
            let shared = ["control group", "Landlock", "groups", "own user", "task limit"];
            assert!(
                absent.iter().all(|name| shared.contains(&name.as_str())),
                "{mode:?} lacks {absent:?}"
            );
        }
        appliance.stop();
    }
}

#[test]
fn a_vault_killed_is_back_with_new_wires_and_it_is_told() {
    for mode in MODES {
        let Some(appliance) = Appliance::start(mode) else {
            continue;
        };
        let before = appliance.report();
        kill_process(pid(before.service("vault").pid), Signal::KILL).unwrap();
        let report = appliance.report_until(|report| report.is_back("vault", 1));
        assert!(
            report.has_event("vault", "Died", "killed by signal 9 (SIGKILL)"),
            "{}",
            report.text
        );
        assert!(report.has_event("vault", "Restarted", ""), "{}", report.text);
        appliance.report_until(|report| report.text.contains("vault answers: true"));
        for name in ["manager", "network", "proxy", "console"] {
            assert_eq!(report.service(name).pid, before.service(name).pid, "{name}");
        }
        appliance.stop();
    }
}

#[test]
fn a_manager_killed_finds_everybody_again() {
    let Some(appliance) = Appliance::start(Mode::Bare) else {
        return;
    };
    let before = appliance.report();
    kill_process(pid(before.service("manager").pid), Signal::KILL).unwrap();
    let report = appliance.report_until(|report| report.is_back("manager", 1));
    assert!(report.text.contains("vault answers: true"), "{}", report.text);
    assert_eq!(appliance.send_to_proxy(b"hi").unwrap(), "hello");
    appliance.stop();
}

#[test]
fn a_service_that_stops_answering_is_killed_and_started_again() {
    let mode = if rustix::process::geteuid().is_root() {
        Mode::Root
    } else {
        Mode::User
    };
    let Some(appliance) = Appliance::start(mode) else {
        return;
    };
    let before = appliance.report().service("console");
    kill_process(pid(before.pid), Signal::STOP).unwrap();
    let start = Instant::now();
    let report = appliance.report_until(|report| report.is_back("console", 1));
    assert!(start.elapsed() > Duration::from_secs(4), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    assert!(
        report.has_event("console", "Died", "it answered no heartbeat for 5 s"),
        "{}",
        report.text
    );
    appliance.stop();
}

#[test]
fn a_forbidden_system_call_and_last_words_are_told() {
    for mode in MODES {
        let Some(appliance) = Appliance::start(mode) else {
            continue;
        };
        let _ = appliance.send_to_proxy(b"execute");
        let report = appliance.report_until(|report| report.is_back("proxy", 1));
        assert!(
            report.has_event("proxy", "Died", "killed by seccomp (SIGSYS)"),
            "{mode:?} {}",
            report.text
        );
        let _ = appliance.send_to_proxy(b"exit");
        let report = appliance.report_until(|report| report.is_back("proxy", 2));
        assert!(
            report.has_event("proxy", "Died", "exit status 3; it said: told to go"),
            "{}",
            report.text
        );
    }
}

#[test]
fn a_restart_of_the_proxy_refuses_no_client() {
    let Some(appliance) = Appliance::start(Mode::Bare) else {
        return;
    };
    let proxy = pid(appliance.report().service("proxy").pid);
    kill_process(proxy, Signal::KILL).unwrap();
    // Whatever moment of the restart each of these meets: one that connects to the dying process's backlog waits for the next.
    for _ in 0..50 {
        assert_eq!(appliance.send_to_proxy(b"hi").expect("not refused"), "hello");
    }
    let report = appliance.report_until(|report| report.is_back("proxy", 1));
    assert_eq!(report.service("vault").restarts, 0);
}

#[test]
fn a_service_that_does_not_stop_is_killed() {
    let Some(mut appliance) = Appliance::start(Mode::Bare) else {
        return;
    };
    let services = appliance.report().services();
    kill_process(pid(services["vault"].pid), Signal::STOP).unwrap();
    let start = Instant::now();
    appliance.signal(Signal::INT);
    assert!(appliance.wait().success());
    assert!(
        start.elapsed() > Duration::from_secs(2) && start.elapsed() < Duration::from_secs(7),
        "{:?}",
        start.elapsed()
    );
    assert!(services.values().all(|service| !exists(service.pid)));
    assert!(
        appliance
            .log()
            .contains("killing the vault: it did not stop within 3 s"),
        "{}",
        appliance.log()
    );
}

#[test]
fn services_do_not_outlive_a_supervisor_that_is_killed() {
    for mode in MODES {
        let Some(mut appliance) = Appliance::start(mode) else {
            continue;
        };
        let services: Vec<OwnedFd> = appliance
            .report()
            .services()
            .values()
            .map(|service| rustix::process::pidfd_open(pid(service.pid), rustix::process::PidfdFlags::empty()).unwrap())
            .collect();
        appliance.signal(Signal::KILL);
        appliance.wait();
        services.iter().for_each(wait_for_input);
    }
}

#[test]
fn two_supervisors_do_not_share_a_state() {
    let Some(appliance) = Appliance::start(Mode::Bare) else {
        return;
    };
    let folder = appliance.folder.path();
    let output = Command::new(env!("CARGO_BIN_EXE_redan-supervisor"))
        .args(["--mode", "evaluation-bare", "--state", &text(&folder.join("state"))])
        .args(["--binaries", &text(&folder.join("binaries"))])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("another supervisor runs on this state"), "{errors}");
    appliance.report();
}

#[test]
fn a_missing_binary_is_named_and_nothing_is_started() {
    let folder = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_redan-supervisor"))
        .args([
            "--mode",
            "evaluation-bare",
            "--state",
            &text(folder.path()),
            "--binaries",
            "/nonexistent",
        ])
        .output()
        .unwrap();
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains("/nonexistent/redan-vault"), "{errors}");
}

#[test]
fn the_launcher_is_told_what_keeps_the_appliance_from_starting() {
    let stranger = TcpListener::bind("127.0.0.1:0").unwrap();
    let Some(mut appliance) = Appliance::launch_with(Mode::Bare, stranger.local_addr().unwrap()) else {
        return;
    };
    let line = appliance.ready_line();
    assert!(line.starts_with("refused 127.0.0.1:"), "{line}");
    assert!(line.contains("another program listens on this port"), "{line}");
}
