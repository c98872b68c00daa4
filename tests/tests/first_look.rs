//! What a newcomer is promised by `cargo evaluate`: the five commands that it prints, and an end that leaves nothing behind.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, binary, curl};
use std::process::Command;
use std::time::Duration;

#[test]
fn a_good_request_reaches_the_application_and_its_banners_stay_behind() {
    let appliance = Appliance::start(&[]);
    let page = curl(&[appliance.url()]);
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("Corner shop"), "{page:?}");
    assert_eq!(page.field("x-content-type-options"), Some("nosniff"), "{page:?}");
    assert_eq!(page.field("x-frame-options"), Some("DENY"), "{page:?}");
    assert_eq!(
        page.field("strict-transport-security"),
        Some("max-age=31536000; includeSubDomains"),
        "{page:?}"
    );
    assert_eq!(
        (page.field("server"), page.field("x-powered-by")),
        (None, None),
        "{page:?}"
    );
    let second = curl(&["--http1.1", appliance.url()]);
    assert!(second.head.starts_with("HTTP/1.1 200"), "{second:?}");
    assert!(page.head.starts_with("HTTP/2 200"), "{page:?}");
}

#[test]
fn a_request_over_the_limit_is_refused_with_the_time_to_wait() {
    let appliance = Appliance::start(&[]);
    let url = format!("{}limited", appliance.url());
    let responses: Vec<_> = (0..14).map(|_| curl(&[&url])).collect();
    let passed = responses.iter().filter(|response| response.status == 200).count();
    let refused: Vec<_> = responses.iter().filter(|response| response.status == 429).collect();
    assert!((10..=11).contains(&passed), "{passed} of 14 passed");
    assert_eq!(passed + refused.len(), 14);
    let wait: u32 = refused[0]
        .field("retry-after")
        .and_then(|value| value.parse().ok())
        .unwrap();
    assert!((1..=60).contains(&wait), "{:?}", refused[0]);
    assert!(
        responses[0].head.to_lowercase().contains("ratelimit-limit"),
        "{:?}",
        responses[0]
    );
}

#[test]
fn a_protected_path_asks_for_a_key_and_checks_its_role() {
    let appliance = Appliance::start(&[]);
    let (orders, users) = (
        format!("{}api/orders", appliance.url()),
        format!("{}api/admin/users", appliance.url()),
    );
    let key = format!("Authorization: Bearer {}", appliance.text("api_key"));
    assert_eq!(curl(&[&orders]).status, 401);
    let allowed = curl(&["-H", &key, &orders]);
    assert_eq!(allowed.status, 200, "{allowed:?}");
    let forbidden = curl(&["-H", &key, &users]);
    assert_eq!(forbidden.status, 403, "{forbidden:?}");
    let wrong = curl(&["-H", "Authorization: Bearer redan_wrong", &orders]);
    assert_eq!(wrong.status, 401, "{wrong:?}");
    // The refusals are in the log, with who and what.
    appliance.until(
        "the refusals are in the audit log",
        Duration::from_secs(20),
        |appliance| {
            let found = appliance.redan_ok(&["audit", "search", "--outcome", "denied"]);
            found.contains("/api/admin/users") && found.contains("/api/orders")
        },
    );
}

#[test]
fn an_application_error_is_masked_and_carries_an_incident() {
    let appliance = Appliance::start(&[]);
    let response = curl(&[format!("{}error", appliance.url())]);
    assert_eq!(response.status, 500, "{response:?}");
    assert!(
        !response.body.contains("Traceback") && !response.body.contains("hunter2"),
        "{response:?}"
    );
    assert!(response.body.to_lowercase().contains("incident"), "{response:?}");
}

#[test]
fn the_audit_log_verifies_and_a_changed_export_does_not() {
    let appliance = Appliance::start(&[]);
    let export = appliance.folder().join("audit.jsonl");
    let export = export.to_str().unwrap();
    let _ = appliance.redan_ok(&["audit", "export", export]);
    let verified = appliance.redan_ok(&["audit", "verify", export]);
    assert!(
        verified.contains("verified") || verified.contains("intact"),
        "{verified}"
    );
    let text = std::fs::read_to_string(export).unwrap();
    let mut lines: Vec<&str> = text.lines().collect();
    assert!(lines.len() > 5, "{text}");
    lines.remove(3);
    std::fs::write(export, lines.join("\n") + "\n").unwrap();
    let changed = Command::new(binary("redan-audit"))
        .args(["verify", export])
        .output()
        .unwrap();
    assert_eq!(changed.status.code(), Some(1), "{changed:?}");
}

#[test]
fn the_end_leaves_nothing_behind_but_the_store() {
    let appliance = Appliance::start(&[]);
    let processes: Vec<u32> = ["vault", "proxy", "console", "manager", "network"]
        .into_iter()
        .map(|service| appliance.pid(service))
        .chain([appliance.launcher()])
        .collect();
    let folder = appliance.stop();
    for pid in processes {
        assert!(
            !std::path::Path::new(&format!("/proc/{pid}")).exists(),
            "process {pid} is still there"
        );
    }
    let links = Command::new("ip").args(["-o", "link"]).output().unwrap();
    assert!(!String::from_utf8_lossy(&links.stdout).contains("public0"), "{links:?}");
    assert!(folder.path().join("state").is_dir());
    // And the store serves the next start.
    let again = Appliance::start_in(folder, &[]);
    assert_eq!(curl(&[again.url()]).status, 200);
    let versions = again.redan_ok(&["config", "history"]);
    assert!(versions.contains('1'), "{versions}");
}

#[test]
fn a_port_in_use_is_said_with_the_option_that_changes_it() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = tempfile::TempDir::new().unwrap();
    let output = Appliance::command(folder.path())
        .args(["--published", &address])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains(&address) && text.contains("--published"), "{text}");
}
