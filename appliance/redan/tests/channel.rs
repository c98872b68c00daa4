//! What the command asks over the operators' socket, and what it makes of the answers.

use std::collections::VecDeque;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use redan_ipc::messages::OperatorManager;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditPage, ExportPart, NumberedEvent, Outcome};
use redan_ipc::messages::manager::{
    Change, ChangeKind, ConfigurationState, ManagerReply, ManagerRequest, OperatorReply, OperatorRequest,
};
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_ipc::messages::status::{ApplianceStatus, Protection, ProtectionState, ServiceState, ServiceStatus};
use redan_ipc::messages::vault::{CommitState, Pending, Version, VersionInfo};
use redan_ipc::{Channel, serve};
use redan_types::{Generation, Mode, Process, RecordId, SecretString, Timestamp};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept, bind, listen, socket_with};

const EXAMPLE: &str = include_str!("../../../config/examples/minimal.toml");

/// A state folder whose socket gives these answers in this order, then the questions that were asked.
struct Answering {
    state: PathBuf,
    asked: JoinHandle<Vec<OperatorRequest>>,
    _folder: tempfile::TempDir,
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn answering(answers: Vec<OperatorReply>) -> Answering {
    let folder = tempfile::tempdir().unwrap();
    // Deeper than a socket's address is long.
    let state = folder.path().join("a".repeat(100)).join("state");
    std::fs::create_dir_all(state.join("run")).unwrap();
    let run = std::fs::File::open(state.join("run")).unwrap();
    let socket = socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    let short = format!("/proc/self/fd/{}/operator.sock", std::os::fd::AsRawFd::as_raw_fd(&run));
    bind(&socket, &SocketAddrUnix::new(short.as_str()).unwrap()).unwrap();
    listen(&socket, 1).unwrap();
    let asked = std::thread::spawn(move || {
        let mut answers = VecDeque::from(answers);
        let mut asked = Vec::new();
        let peer = accept(&socket).unwrap();
        serve::<OperatorManager>(Channel::from_descriptor(peer), |request, responder| {
            asked.push(request);
            responder.reply(
                &answers
                    .pop_front()
                    .unwrap_or_else(|| OperatorReply::Refused("no more answers".to_owned())),
            );
        });
        asked
    });
    Answering {
        state,
        asked,
        _folder: folder,
    }
}

impl Answering {
    #[expect(clippy::unwrap_used, reason = "a helper of tests")]
    fn run(self, arguments: &[&str], input: &str) -> (i32, String, String, Vec<OperatorRequest>) {
        let mut child = Command::new(env!("CARGO_BIN_EXE_redan"))
            .arg("--state")
            .arg(&self.state)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A command that reads nothing may have ended already.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
            self.asked.join().unwrap(),
        )
    }
}

fn manager(reply: ManagerReply) -> OperatorReply {
    OperatorReply::Manager(reply)
}

fn info(number: u64) -> VersionInfo {
    VersionInfo {
        generation: Generation(number),
        author: Actor::Operator { uid: 0 },
        comment: "first".to_owned(),
        time: Timestamp(0),
        hash: "0123456789abcdef".to_owned(),
    }
}

fn configuration(pending: Option<u64>) -> OperatorReply {
    let pending = pending.map(|number| Pending {
        generation: Generation(number),
        deadline: Timestamp(60_000_000),
        actor: Actor::Anonymous,
    });
    manager(ManagerReply::Configuration(ConfigurationState {
        state: CommitState {
            confirmed: Generation(3),
            pending,
        },
        running: Some(Version {
            info: info(3),
            document: EXAMPLE.to_owned(),
        }),
        now: Timestamp(0),
    }))
}

fn status(state: ServiceState) -> OperatorReply {
    let protection = |name: &str, state, detail: &str| Protection {
        name: name.to_owned(),
        state,
        detail: detail.to_owned(),
    };
    manager(ManagerReply::Status(ApplianceStatus {
        mode: Mode::EvaluationRoot,
        started: Timestamp(0),
        notes: vec!["the host's own traffic is not filtered".to_owned()],
        services: vec![ServiceStatus {
            process: Process::Proxy,
            state,
            pid: Some(4711),
            memory: 20 << 20,
            restarts: 2,
            started: Some(Timestamp(0)),
            protections: vec![
                protection("seccomp", ProtectionState::Active, "90 system calls"),
                protection("cgroup", ProtectionState::Absent, "the host has no v2 controllers"),
            ],
            last_exit: Some("signal 9\u{1b}[31m".to_owned()),
        }],
    }))
}

#[test]
fn status_shows_each_service_and_what_is_absent() {
    let answers = vec![
        status(ServiceState::Ready),
        OperatorReply::Refused("the vault is down".to_owned()),
    ];
    let (code, out, err, _) = answering(answers).run(&["status"], "");
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    for part in [
        "evaluation (root)",
        "proxy",
        "ready",
        "4711",
        "20 MiB",
        "seccomp",
        "the host has no v2 controllers",
        "ended before: signal 9",
        "no answer: the vault is down",
        "the host's own traffic is not filtered",
    ] {
        assert!(out.contains(part), "{part}\n{out}");
    }
    assert!(!out.contains('\u{1b}'));
}

#[test]
fn status_as_json_is_for_scripts() {
    let answers = vec![
        status(ServiceState::BackOff),
        OperatorReply::Refused("the vault is down".to_owned()),
    ];
    let (code, out, _, _) = answering(answers).run(&["status", "--json"], "");
    // Something is not as it should be, and scripts see it without reading.
    assert_eq!(code, 1);
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["services"][0]["service"], "proxy");
    assert_eq!(value["services"][0]["state"], "back-off");
    assert_eq!(value["services"][0]["pid"], 4711);
    assert_eq!(value["services"][0]["protections"][1]["active"], false);
    assert_eq!(value["vault"]["error"], "the vault is down");
}

#[test]
fn applying_names_the_version_that_was_seen_and_says_what_changes() {
    let done = manager(ManagerReply::Done(CommitState {
        confirmed: Generation(3),
        pending: Some(Pending {
            generation: Generation(4),
            deadline: Timestamp(60_000_000),
            actor: Actor::Anonymous,
        }),
    }));
    let change = Change {
        kind: ChangeKind::Added,
        path: "zones.x".to_owned(),
        text: "zone x added".to_owned(),
    };
    let answers = vec![configuration(None), manager(ManagerReply::Diff(vec![change])), done];
    let (code, out, err, asked) = answering(answers).run(
        &["config", "apply", "-", "--confirm-within", "2m", "--comment", "why"],
        EXAMPLE,
    );
    assert_eq!((code, err.as_str()), (0, ""), "{out}");
    assert!(
        out.starts_with("+ zone x added\nversion 4 runs on probation until 1970-01-01T00:01:00.000Z"),
        "{out}"
    );
    let Some(OperatorRequest::Manager(ManagerRequest::Commit {
        document,
        confirm_within,
        comment,
        base,
        ..
    })) = asked.get(2)
    else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (document.as_str(), *confirm_within, comment.as_str(), *base),
        (EXAMPLE, 120, "why", Some(Generation(3)))
    );
}

#[test]
fn a_refused_commit_is_bad_news_with_its_reasons() {
    let refused = manager(ManagerReply::Refused(vec![
        "port 443 is in use".to_owned(),
        "a\u{1b}b".to_owned(),
    ]));
    let answers = vec![configuration(None), manager(ManagerReply::Diff(Vec::new())), refused];
    let (code, _, err, _) = answering(answers).run(&["config", "apply", "-"], EXAMPLE);
    assert_eq!(
        (code, err.as_str()),
        (1, "redan: refused: port 443 is in use; a\u{fffd}b\n")
    );
}

#[test]
fn confirming_names_the_version_that_waits() {
    let done = manager(ManagerReply::Done(CommitState {
        confirmed: Generation(7),
        pending: None,
    }));
    let (code, out, _, asked) = answering(vec![configuration(Some(7)), done]).run(&["config", "confirm"], "");
    assert_eq!((code, out.as_str()), (0, "version 7 runs\n"));
    assert!(matches!(
        asked.get(1),
        Some(OperatorRequest::Manager(ManagerRequest::Confirm {
            generation: Generation(7),
            ..
        }))
    ));
    let (code, _, err, _) = answering(vec![configuration(None)]).run(&["config", "rollback"], "");
    assert_eq!((code, err.as_str()), (1, "redan: nothing waits for confirmation\n"));
}

#[test]
fn the_running_document_is_printed_as_it_is() {
    let (code, out, _, _) = answering(vec![configuration(None)]).run(&["config", "show"], "");
    assert_eq!((code, out.as_str()), (0, EXAMPLE));
}

#[test]
fn history_follows_the_pages_to_the_end() {
    let answers = vec![
        configuration(Some(4)),
        manager(ManagerReply::Versions(vec![info(4), info(3)])),
        manager(ManagerReply::Versions(vec![info(2), info(1)])),
        manager(ManagerReply::Versions(Vec::new())),
    ];
    let (code, out, _, asked) = answering(answers).run(&["config", "history"], "");
    assert_eq!(code, 0);
    let first: Vec<&str> = out.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(first, ["VERSION", "4", "3", "2", "1"], "{out}");
    assert!(out.contains("on probation") && out.contains("running"), "{out}");
    assert!(matches!(
        asked.get(3),
        Some(OperatorRequest::Manager(ManagerRequest::Versions {
            before: Some(Generation(1))
        }))
    ));
}

#[test]
fn a_new_user_s_password_comes_from_standard_input_and_never_from_arguments() {
    let answer = OperatorReply::Accounts(AccountReply::Done { id: None, secret: None });
    let (code, out, err, asked) = answering(vec![answer]).run(
        &["user", "create", "ann", "--role", "viewer"],
        "correct horse\nnot this\n",
    );
    assert_eq!((code, out.as_str(), err.as_str()), (0, "done\n", ""));
    let Some(OperatorRequest::Accounts(AccountRequest::CreateUser { password, .. })) = asked.first() else {
        panic!("{asked:?}")
    };
    assert_eq!(password.expose(), "correct horse");
}

#[test]
fn a_new_key_is_printed_once() {
    let secret = Some(SecretString::new("redan_0123".to_owned()));
    let answer = OperatorReply::Accounts(AccountReply::Done {
        id: Some(RecordId([1; 8])),
        secret,
    });
    let (code, out, _, _) = answering(vec![answer]).run(&["key", "create", "ann", "--role", "user"], "");
    assert_eq!(
        (code, out.as_str()),
        (
            0,
            "done: 0101010101010101\nShown once, kept nowhere else:\nredan_0123\n"
        )
    );
}

#[test]
fn a_block_is_asked_for_in_seconds() {
    let (code, out, _, asked) = answering(vec![OperatorReply::Network(NetworkReply::Done)])
        .run(&["block", "192.0.2.7", "--for", "10m", "--reason", "scan"], "");
    assert_eq!((code, out.as_str()), (0, "192.0.2.7/32 is cut off for 10m 0s\n"));
    assert!(matches!(
        asked.first(),
        Some(OperatorRequest::Network(NetworkRequest::Block { seconds: 600, reason, .. })) if reason == "scan"
    ));
}

#[test]
fn an_export_is_whole_or_not_there() {
    let part = |text: &str, next| {
        OperatorReply::AuditExport(ExportPart {
            text: text.to_owned(),
            next,
        })
    };
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("log");
    let name = file.to_str().unwrap();
    let (code, _, err, _) =
        answering(vec![part("one\n", Some(1)), part("two\n", None)]).run(&["audit", "export", name], "");
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "one\ntwo\n");

    let other = folder.path().join("other");
    let refused = OperatorReply::Refused("the vault is down".to_owned());
    let (code, ..) =
        answering(vec![part("one\n", Some(1)), refused]).run(&["audit", "export", other.to_str().unwrap()], "");
    assert_eq!(code, 1);
    assert_eq!(names(folder.path()), ["log"]);
    let circle = vec![part("one\n", Some(1)), part("two\n", Some(1))];
    let (code, ..) = answering(circle).run(&["audit", "export", other.to_str().unwrap()], "");
    assert_eq!(code, 2);
    assert_eq!(names(folder.path()), ["log"]);
}

#[expect(clippy::unwrap_used, reason = "a helper of tests")]
fn names(folder: &Path) -> Vec<String> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect()
}

#[test]
fn audit_entries_cannot_draw_on_the_terminal() {
    let event = AuditEvent {
        time: Timestamp(0),
        actor: Actor::User("eve\u{1b}[2J".to_owned()),
        action: "session.refused".to_owned(),
        resource: "user/eve".to_owned(),
        outcome: Outcome::Denied,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: "wrong\npassword".to_owned(),
    };
    let page = AuditPage {
        entries: vec![NumberedEvent { sequence: 5, event }],
        next: None,
        size: 6,
    };
    let (code, out, _, asked) = answering(vec![OperatorReply::AuditPage(page)])
        .run(&["audit", "search", "eve", "--from", "2h", "--limit", "7"], "");
    assert_eq!(code, 0);
    assert!(
        !out.contains('\u{1b}') && out.contains("wrong password") && out.ends_with("1 of 6 entries\n"),
        "{out}"
    );
    let Some(OperatorRequest::AuditSearch(query)) = asked.first() else {
        panic!("{asked:?}")
    };
    assert_eq!(
        (query.text.as_deref(), query.limit, query.from.is_some()),
        (Some("eve"), 7, true)
    );
}
