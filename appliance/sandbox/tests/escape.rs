//! A process in the sandbox tries to break out, in each mode that this machine has.
#![expect(clippy::unwrap_used, reason = "helpers of tests")]

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::OnceLock;

/// How a mode is entered from the test, which runs as whoever calls it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Mode {
    Root,
    User,
    Bare,
}

struct Report {
    text: String,
}

impl Report {
    fn possible(&self) -> bool {
        self.text.lines().any(|line| line == "possible")
    }

    fn killed_by_the_filter(&self) -> bool {
        self.text.ends_with("end: signal 31\n")
    }

    fn refused(&self) -> bool {
        self.text.lines().any(|line| line.starts_with("refused: ")) && self.text.ends_with("end: exit 0\n")
    }

    fn absent(&self) -> Vec<&str> {
        self.text
            .lines()
            .filter_map(|line| line.strip_prefix("absent: ")?.split_once(':'))
            .map(|pair| pair.0)
            .collect()
    }
}

/// The program, copied to where an ordinary user can execute it.
fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<(tempfile::TempDir, PathBuf)> = OnceLock::new();
    &PROGRAM
        .get_or_init(|| {
            use std::os::unix::fs::PermissionsExt;
            let here = std::env::current_exe().unwrap();
            let built = here.parent().unwrap().parent().unwrap().join("examples/escape");
            assert!(
                built.exists(),
                "{} is missing: build the package's examples",
                built.display()
            );
            let folder = tempfile::tempdir().unwrap();
            std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
            let copy = folder.path().join("escape");
            std::fs::copy(built, &copy).unwrap();
            (folder, copy)
        })
        .1
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// `None` where the machine cannot do it; says so.
fn run(mode: Mode, service: &str, attempt: &str, folder: Option<&str>) -> Option<Report> {
    let name = match mode {
        Mode::Root => "root",
        Mode::User => "user",
        Mode::Bare => "bare",
    };
    let mut words: Vec<&str> = Vec::new();
    if mode == Mode::Root && !is_root() {
        eprintln!("SKIPPED: {mode:?} needs root");
        return None;
    }
    if mode != Mode::Root && is_root() {
        words.extend(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]);
    }
    if mode == Mode::User {
        words.extend([
            "unshare",
            "--user",
            "--map-root-user",
            "--mount",
            "--net",
            "--ipc",
            "--uts",
        ]);
    }
    let program = program().to_str().unwrap();
    words.extend([program, service, name, attempt]);
    words.extend(folder);
    let (first, rest) = words.split_first().unwrap();
    let Output { status, stdout, stderr } = Command::new(first).args(rest).output().unwrap();
    let (text, errors) = (String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap());
    if errors.contains("unshare") {
        eprintln!("SKIPPED: this machine has no unprivileged user namespaces: {errors}");
        return None;
    }
    assert!(
        status.success() && !text.is_empty(),
        "{mode:?} {service} {attempt}: {text}{errors}"
    );
    Some(Report { text })
}

const MODES: [Mode; 3] = [Mode::Root, Mode::User, Mode::Bare];
const SERVICES: [&str; 7] = ["console", "manager", "network", "provision", "proxy", "update", "vault"];

#[test]
fn each_service_can_work_in_its_sandbox() {
    for mode in MODES {
        for service in SERVICES {
            let Some(report) = run(mode, service, "work", None) else {
                break;
            };
            assert!(report.possible(), "{mode:?} {service}: {}", report.text);
            let Some(report) = run(mode, service, "serve events", None) else {
                break;
            };
            assert!(report.possible(), "{mode:?} {service}: {}", report.text);
        }
    }
}

#[test]
fn what_no_service_may_do_kills_it() {
    let attempts = [
        "become root",
        "datagram socket",
        "execute",
        "executable memory",
        "fork",
        "from a thread",
        "io_uring",
        "kill the parent",
        "mount",
        "new user namespace",
        "raise a limit",
        "trace the parent",
    ];
    for mode in MODES {
        for service in ["console", "vault"] {
            for attempt in attempts {
                let Some(report) = run(mode, service, attempt, None) else {
                    break;
                };
                assert!(
                    report.killed_by_the_filter(),
                    "{mode:?} {service} {attempt}: {}",
                    report.text
                );
            }
        }
    }
}

#[test]
fn only_the_proxy_makes_internet_sockets_and_only_the_network_service_netlink_sockets() {
    for mode in MODES {
        for service in SERVICES {
            let Some(report) = run(mode, service, "internet socket", None) else {
                break;
            };
            assert_eq!(
                report.possible(),
                service == "proxy",
                "{mode:?} {service}: {}",
                report.text
            );
            assert_eq!(
                report.killed_by_the_filter(),
                service != "proxy",
                "{mode:?} {service}: {}",
                report.text
            );
            let Some(report) = run(mode, service, "netlink socket", None) else {
                break;
            };
            assert_eq!(
                report.possible(),
                service == "network",
                "{mode:?} {service}: {}",
                report.text
            );
        }
    }
}

#[test]
fn no_service_binds_a_port() {
    for mode in MODES {
        for service in SERVICES {
            let Some(report) = run(mode, service, "bind a port", None) else {
                break;
            };
            assert!(!report.possible(), "{mode:?} {service}: {}", report.text);
        }
    }
}

#[test]
fn no_service_reads_a_file_of_the_host() {
    for mode in MODES {
        for service in SERVICES {
            for attempt in ["read /etc/passwd", "read /proc/1/environ"] {
                let Some(report) = run(mode, service, attempt, None) else {
                    break;
                };
                assert!(report.refused(), "{mode:?} {service} {attempt}: {}", report.text);
            }
        }
    }
}

#[test]
fn an_inherited_descriptor_is_closed() {
    for mode in MODES {
        let Some(report) = run(mode, "console", "use an inherited descriptor", None) else {
            continue;
        };
        assert!(
            report.refused() && report.text.contains("Bad file descriptor"),
            "{mode:?}: {}",
            report.text
        );
    }
}

#[test]
fn the_vault_works_in_its_folder_and_cannot_climb_out() {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        if is_root() {
            let owner = if mode == Mode::Root { 64_199 } else { 65_534 };
            std::os::unix::fs::chown(folder.path(), Some(owner), Some(owner)).unwrap();
        }
        let path = folder.path().to_str();
        let Some(report) = run(mode, "vault", "work", path) else {
            continue;
        };
        assert!(report.possible(), "{mode:?}: {}", report.text);
        let Some(report) = run(mode, "vault", "keep an index", path) else {
            continue;
        };
        assert!(report.possible(), "{mode:?}: {}", report.text);
        let Some(report) = run(mode, "vault", "climb out of the folder", path) else {
            continue;
        };
        assert!(report.refused(), "{mode:?}: {}", report.text);
    }
}

#[test]
fn a_process_with_threads_is_not_let_in() {
    for mode in MODES {
        let Some(report) = run(mode, "console", "threads first", None) else {
            continue;
        };
        assert!(
            report.text.contains("before any thread is started; there are 2"),
            "{mode:?}: {}",
            report.text
        );
    }
}

#[test]
fn a_mode_lacks_only_what_its_table_allows() {
    for (mode, allowed) in [
        (Mode::Root, &["control group", "Landlock"][..]),
        (
            Mode::User,
            &["control group", "Landlock", "groups", "own user", "task limit"],
        ),
        (
            Mode::Bare,
            &[
                "control group",
                "Landlock",
                "groups",
                "own user",
                "task limit",
                "bounding set",
                "empty tree",
                "IPC namespace",
                "mount namespace",
                "network namespace",
                "PID namespace",
                "UTS namespace",
            ],
        ),
    ] {
        let Some(report) = run(mode, "vault", "nothing", None) else {
            continue;
        };
        println!("{mode:?}:\n{}", report.text);
        assert!(report.possible(), "{mode:?}: {}", report.text);
        for name in report.absent() {
            assert!(allowed.contains(&name), "{mode:?} lacks {name}");
        }
    }
}

#[test]
fn the_appliance_refuses_to_run_without_a_control_group() {
    if !is_root() {
        eprintln!("SKIPPED: needs root");
        return;
    }
    let output = Command::new(program())
        .args(["vault", "appliance", "nothing"])
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(
        text.contains("refused to run: control group is required in this mode and absent"),
        "{text}"
    );
    assert!(text.ends_with("end: exit 1\n"), "{text}");
}
