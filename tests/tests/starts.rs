//! Starts under other circumstances than the usual: as an ordinary user, without namespaces, without the key device, on a port that
//! somebody else has. Each either serves and says what it is without, or ends by itself and says why, once.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, binary, curl, is_root};
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// An ordinary user and group: nobody.
const ORDINARY: u32 = 65_534;

/// Longer than any start that cannot succeed may take, and far less than the launcher's patience with a silent one.
const SOON: Duration = Duration::from_secs(30);

/// Runs a command that is to end by itself.
fn ends(mut command: Command, what: &str) -> Output {
    let folder = TempDir::new().unwrap();
    let log = folder.path().join("log");
    let file = fs::File::create(&log).unwrap();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(file.try_clone().unwrap())
        .stderr(file)
        .spawn()
        .unwrap();
    let until = Instant::now() + SOON;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > until {
            let _ = (child.kill(), child.wait());
            panic!("{what} does not end by itself:\n{}", fs::read_to_string(&log).unwrap());
        }
        std::thread::sleep(Duration::from_millis(50));
    };
    Output {
        status,
        stdout: fs::read(&log).unwrap(),
        stderr: Vec::new(),
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Every file below a folder with its content.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else {
                let bytes = fs::read(&path).unwrap_or_default();
                found.insert(path, bytes);
            }
        }
    }
    found
}

#[test]
fn an_ordinary_user_gets_an_appliance_that_says_what_it_is_without() {
    let root = nix::unistd::geteuid().is_root();
    let as_ordinary = |program: &Path| {
        let mut command = Command::new(program);
        if root {
            command.uid(ORDINARY).gid(ORDINARY);
        }
        command
    };
    let allowed = as_ordinary(Path::new("unshare"))
        .args(["--user", "--net", "true"])
        .output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: this kernel gives ordinary users no user namespaces");
        return;
    }
    // The build's own folder need not be readable for others.
    let programs = TempDir::new().unwrap();
    fs::set_permissions(programs.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for name in [
        "redan",
        "redan-evaluate",
        "redan-supervisor",
        "redan-vault",
        "redan-manager",
        "redan-network",
        "redan-proxy",
        "redan-console",
    ] {
        fs::copy(binary(name), programs.path().join(name)).unwrap();
    }
    let folder = TempDir::new().unwrap();
    if root {
        chown(folder.path(), Some(ORDINARY), Some(ORDINARY)).unwrap();
    }
    let launcher = programs.path().join("redan-evaluate");
    let mut command = Appliance::command_of(&launcher, folder.path());
    if root {
        command.uid(ORDINARY).gid(ORDINARY);
    }
    let appliance = Appliance::start_with(folder, command, &[]);
    assert_eq!(
        appliance.text("mode"),
        "evaluation (user namespace)",
        "{}",
        appliance.printed()
    );
    let page = curl(&[appliance.url()]);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(
        appliance.printed().contains("off: services share one user id"),
        "{}",
        appliance.printed()
    );
    // Its owner operates it, and every service is confined.
    let status = as_ordinary(&programs.path().join("redan"))
        .arg("--state")
        .arg(appliance.folder().join("state"))
        .args(["status", "--json"])
        .output()
        .unwrap();
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap_or_else(|_| panic!("{status:?}"));
    let services = status["services"].as_array().unwrap();
    assert_eq!(services.len(), 5, "{status}");
    assert!(services.iter().all(|service| service["state"] == "ready"), "{status}");
}

#[test]
fn without_namespaces_it_serves_and_says_which_protections_are_off() {
    if TcpListener::bind("127.0.0.1:18080").is_err() {
        eprintln!("SKIPPED: another program has the sample application's port");
        return;
    }
    let (published, console) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let appliance = Appliance::start(&["--bare", "--published", &published, "--console", &console]);
    assert_eq!(appliance.published(), published);
    let page = curl(&[appliance.url()]);
    assert_eq!(page.status, 200, "{page:?}");
    let printed = appliance.printed();
    for off in ["off: the packet filter", "off: namespaces and separate user ids"] {
        assert!(printed.contains(off), "{printed}");
    }
    let status = appliance.redan_ok(&["status"]);
    assert!(
        status.contains("packet filter") || status.contains("without namespaces"),
        "{status}"
    );
}

#[test]
fn a_port_that_another_program_has_ends_the_start_and_is_named_once() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    for option in ["--published", "--console"] {
        let folder = TempDir::new().unwrap();
        let (published, console) = (
            format!("127.0.0.1:{}", free_port()),
            format!("127.0.0.1:{}", free_port()),
        );
        let mut command = Appliance::command(folder.path());
        command.args(["--bare", "--published", &published, "--console", &console]);
        command.args([option, &address]);
        let output = ends(command, "a start on a port in use");
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success());
        assert_eq!(text.matches(&address).count(), 1, "{text}");
        assert!(text.contains(option), "{text}");
    }
}

#[test]
fn a_port_that_is_taken_when_the_store_s_own_configuration_wants_it_ends_the_start_and_is_named() {
    if TcpListener::bind("127.0.0.1:18080").is_err() {
        eprintln!("SKIPPED: another program has the sample application's port");
        return;
    }
    let (published, console) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let first = Appliance::start(&["--bare", "--published", &published, "--console", &console]);
    let folder = first.stop();
    // What runs is what the store says, whatever the options say: only the supervisor finds out.
    let _taken = TcpListener::bind(&published).unwrap();
    let (other, another) = (
        format!("127.0.0.1:{}", free_port()),
        format!("127.0.0.1:{}", free_port()),
    );
    let mut command = Appliance::command(folder.path());
    command.args(["--bare", "--published", &other, "--console", &another]);
    let output = ends(command, "a start on a port in use");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    let last = text.lines().last().unwrap_or_default();
    assert!(
        last.contains(&published) && last.contains("another program listens"),
        "{text}"
    );
}

#[test]
fn without_its_key_device_a_store_is_refused_and_nothing_is_written() {
    let appliance = Appliance::start(&[]);
    let folder = appliance.stop();
    let state = folder.path().join("state");
    assert!(
        !state.join("given.toml").exists() && !folder.path().join("ready.json").exists(),
        "left behind"
    );
    let key = contents(&state)
        .into_keys()
        .find(|path| path.ends_with("device.key"))
        .unwrap();
    fs::remove_file(&key).unwrap();
    let before = contents(&state);
    let output = ends(Appliance::command(folder.path()), "a start without device.key");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert_eq!(contents(&state), before, "{text}");
    let error = text.lines().last().unwrap_or_default();
    assert!(
        error.starts_with("error: ") && error.contains(key.to_str().unwrap()),
        "{text}"
    );
    assert_eq!(text.matches("device.key").count(), 1, "the cause is named once: {text}");
}

#[test]
fn an_unfit_state_folder_ends_the_start_and_is_named() {
    if !is_root("an_unfit_state_folder_ends_the_start_and_is_named") {
        return;
    }
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("state"), "a file").unwrap();
    let output = ends(Appliance::command(folder.path()), "a start on a file");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(text.contains(folder.path().join("state").to_str().unwrap()), "{text}");
}
