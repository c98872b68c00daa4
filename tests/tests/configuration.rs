//! The configuration's transaction, as an operator sees it.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, curl};
use std::time::Duration;

/// The running document with a change.
fn changed(appliance: &Appliance, from: &str, to: &str) -> String {
    let running = appliance.redan_ok(&["config", "show"]);
    assert!(running.contains(from), "{running}");
    let path = appliance.folder().join("candidate.toml");
    std::fs::write(&path, running.replace(from, to)).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn a_commit_that_nobody_confirms_is_rolled_back() {
    let appliance = Appliance::start(&[]);
    let candidate = changed(&appliance, "path = \"/limited\"", "path = \"/elsewhere\"");
    let _ = appliance.redan_ok(&[
        "config",
        "apply",
        &candidate,
        "--confirm-within",
        "30s",
        "--comment",
        "a try",
    ]);
    let limited = format!("{}limited", appliance.url());
    let is_limited = || {
        curl(&[&limited])
            .field("ratelimit-limit")
            .is_some_and(|limit| limit.starts_with("10"))
    };
    assert!(!is_limited(), "the candidate runs");
    appliance.until("the confirmed version is back", Duration::from_secs(60), |_| {
        is_limited()
    });
    let log = appliance.redan_ok(&["audit", "search", "--action", "configuration"]);
    assert!(log.contains("rolled"), "{log}");
}

#[test]
fn a_confirmed_commit_stays_over_a_restart() {
    let appliance = Appliance::start(&[]);
    let candidate = changed(&appliance, "guest = 10,", "guest = 12,");
    let _ = appliance.redan_ok(&[
        "config",
        "apply",
        &candidate,
        "--confirm-within",
        "60s",
        "--comment",
        "more",
    ]);
    let _ = appliance.redan_ok(&["config", "confirm"]);
    let again = Appliance::start_in(appliance.stop(), &[]);
    assert!(again.redan_ok(&["config", "show"]).contains("guest = 12,"));
    let limit = curl(&[format!("{}limited", again.url())]);
    assert!(
        limit
            .field("ratelimit-limit")
            .is_some_and(|limit| limit.starts_with("12")),
        "{limit:?}"
    );
}

#[test]
fn a_document_with_mistakes_changes_nothing_and_every_mistake_is_named() {
    let appliance = Appliance::start(&[]);
    let before = appliance.redan_ok(&["config", "show"]);
    let candidate = changed(&appliance, "upstream = \"main\"", "upstraem = \"main\"");
    let output = appliance.redan(&["config", "apply", &candidate]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(!output.status.success());
    assert!(
        text.contains("upstraem") && text.contains("upstream") && text.contains("candidate.toml"),
        "{text}"
    );
    assert_eq!(appliance.redan_ok(&["config", "show"]), before);
    assert_eq!(curl(&[appliance.url()]).status, 200);
}

#[test]
fn the_running_document_applied_again_is_no_change_and_no_probation() {
    let appliance = Appliance::start(&[]);
    let before = appliance.redan_ok(&["config", "history"]);
    let path = appliance.folder().join("same.toml");
    std::fs::write(&path, appliance.redan_ok(&["config", "show"])).unwrap();
    let text = appliance.redan_ok(&["config", "apply", path.to_str().unwrap()]);
    assert!(text.contains("no change") && !text.contains("probation"), "{text}");
    assert_eq!(appliance.redan_ok(&["config", "history"]), before);
    assert!(
        !appliance.redan(&["config", "confirm"]).status.success(),
        "nothing waits"
    );
}

#[test]
fn the_printed_address_goes_on_serving_when_a_commit_moves_the_port() {
    let appliance = Appliance::start(&[]);
    let candidate = changed(&appliance, "port = 8443", "port = 8444");
    let _ = appliance.redan_ok(&[
        "config",
        "apply",
        &candidate,
        "--confirm-within",
        "60s",
        "--comment",
        "moved",
    ]);
    appliance.until("the printed address follows", Duration::from_secs(20), |appliance| {
        curl(&[appliance.url()]).status == 200 && appliance.printed().contains(":8444")
    });
    let _ = appliance.redan_ok(&["config", "rollback"]);
    appliance.until("and back", Duration::from_secs(20), |appliance| {
        curl(&[appliance.url()]).status == 200 && appliance.printed().contains("leads to 10.77.1.1:8443")
    });
    let port = appliance.text("console_url").to_owned();
    assert_eq!(curl(&[&port]).status, 200);
}
