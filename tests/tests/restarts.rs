//! A service that dies is restarted; the others go on, and what was acknowledged is still there.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use redan_tests::appliance::{Appliance, curl};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

fn kill(pid: u32) {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).unwrap());
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).unwrap();
}

fn is_back(appliance: &Appliance, service: &str, before: u32) -> bool {
    // While the manager itself is away nobody answers.
    let status = appliance.redan(&["status", "--json"]);
    let Ok(status) = serde_json::from_slice::<serde_json::Value>(&status.stdout) else {
        return false;
    };
    let services = status["services"].as_array().cloned().unwrap_or_default();
    let Some(now) = services.iter().find(|one| one["service"] == service) else {
        return false;
    };
    now["state"] == "ready" && now["pid"].as_u64().is_some_and(|pid| pid != u64::from(before))
}

#[test]
fn each_service_killed_under_load_comes_back_and_the_log_says_so() {
    let appliance = Appliance::start(&[]);
    let (stop, served) = (AtomicBool::new(false), AtomicU32::new(0));
    std::thread::scope(|scope| {
        // Load all the time, bounded by the test's own end.
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                if curl(&[appliance.url()]).status == 200 {
                    served.fetch_add(1, Ordering::Relaxed);
                }
            }
        });
        for service in ["network", "console", "vault", "proxy"] {
            let before = appliance.pid(service);
            kill(before);
            appliance.until(&format!("the {service} is back"), PATIENCE, |appliance| {
                is_back(appliance, service, before)
            });
            let count = served.load(Ordering::Relaxed);
            appliance.until(
                &format!("requests are served after the {service}'s restart"),
                PATIENCE,
                |_| served.load(Ordering::Relaxed) > count,
            );
        }
        stop.store(true, Ordering::Relaxed);
    });
    appliance.until("the restarts are in the audit log", PATIENCE, |appliance| {
        let found = appliance.redan_ok(&["audit", "search", "--action", "process", "--limit", "200"]);
        ["network", "console", "vault", "proxy"]
            .iter()
            .all(|service| found.contains(service))
    });
}

#[test]
fn the_manager_killed_comes_back_to_the_same_configuration() {
    let appliance = Appliance::start(&[]);
    let before = appliance.redan_ok(&["config", "show"]);
    let pid = appliance.pid("manager");
    kill(pid);
    appliance.until("the manager answers again", PATIENCE, |appliance| {
        is_back(appliance, "manager", pid)
    });
    assert_eq!(appliance.redan_ok(&["config", "show"]), before);
    assert_eq!(curl(&[appliance.url()]).status, 200);
}

#[test]
fn an_api_key_acknowledged_before_the_vault_was_killed_works_afterwards() {
    let appliance = Appliance::start(&[]);
    let created = appliance.redan_ok(&["key", "create", "admin", "--role", "user", "--comment", "survives"]);
    let key = created
        .split_whitespace()
        .find(|word| word.starts_with("redan_"))
        .expect("the key is printed")
        .to_owned();
    let pid = appliance.pid("vault");
    kill(pid);
    appliance.until("the vault is back", PATIENCE, |appliance| {
        is_back(appliance, "vault", pid)
    });
    let url = format!("{}api/orders", appliance.url());
    let bearer = format!("Authorization: Bearer {key}");
    appliance.until("the key works", PATIENCE, |_| {
        curl(&["-H", &bearer, &url]).status == 200
    });
}

#[test]
fn the_first_handshakes_after_the_vault_was_killed_are_served() {
    let appliance = Appliance::start(&[]);
    for _ in 0..3 {
        let pid = appliance.pid("vault");
        kill(pid);
        appliance.until("the vault is back", PATIENCE, |appliance| {
            is_back(appliance, "vault", pid)
        });
        // Each a connection of its own, to every thread of the proxy and to the console.
        let statuses: Vec<u16> = std::thread::scope(|scope| {
            let published = (0..8).map(|_| scope.spawn(|| curl(&[appliance.url()]).status));
            let console = (0..4).map(|_| scope.spawn(|| curl(&[appliance.text("console_url")]).status));
            let all: Vec<_> = published.chain(console).collect();
            all.into_iter().map(|one| one.join().unwrap()).collect()
        });
        assert_eq!(statuses, [200; 12]);
    }
}
