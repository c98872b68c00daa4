//! The attack clients against the whole appliance, through its published port, with a witness as the application.

#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its own functions too"
)]

use redan_tests::appliance::Appliance;
use redan_tests::h2_flood::{Flood, starve};
use redan_tests::slow::{Slow, hold, idle_memory, read_late, resident};
use redan_tests::wire::Target;
use redan_tests::witness::Witness;
use redan_tests::{h2_smuggle, http1_probe};
use std::time::Duration;
use tempfile::TempDir;

const HOST: &str = "shop.test";
const MIB: u64 = 1 << 20;

/// A published witness. Deadlines are as short as the configuration allows, and nobody is stopped for asking too often.
struct Site {
    appliance: Appliance,
    witness: Witness,
    target: Target,
}

impl Site {
    fn start() -> Self {
        let witness = Witness::start().unwrap();
        let folder = TempDir::new().unwrap();
        let file = folder.path().join("attacked.toml");
        std::fs::write(&file, configuration(witness.address().port())).unwrap();
        let appliance = Appliance::start_in(folder, &["--config", file.to_str().unwrap()]);
        let target = Target::new(appliance.published().parse().unwrap(), HOST).unwrap();
        // The health check of the upstream, and the pools' first buffers.
        assert!(target.serves().is_some());
        witness.take();
        Self {
            appliance,
            witness,
            target,
        }
    }

    fn proxy_memory(&self) -> u64 {
        resident(&[self.appliance.pid("proxy")]).unwrap()
    }
}

fn configuration(upstream: u16) -> String {
    format!(
        r#"schema = 1

[zones.public]
[zones.management]

[interfaces.public0]
zone = "public"
addresses = ["10.77.1.1/24"]

[interfaces.mgmt0]
zone = "management"
addresses = ["10.77.3.1/24"]

[services.shop]
listen = [{{ interface = "public0", port = 8443 }}]
hosts = ["{HOST}"]
upstreams.main = {{ servers = ["127.0.0.1:{upstream}"], response-timeout = "5s" }}
routes = [{{ name = "all", upstream = "main" }}]
rates = {{ guest = 1000000 }}
limits = {{ head-timeout = "2s", write-stall = "2s", idle-timeout = "3s" }}

[limits]
connections-per-source = 20000

[[identity.users]]
name = "admin"
roles = ["admin"]

[console]
listen = {{ interface = "mgmt0", port = 9443 }}
"#
    )
}

#[test]
fn every_http1_probe_gets_its_verdict() {
    let site = Site::start();
    let mut wrong = Vec::new();
    for probe in http1_probe::probes(HOST) {
        let verdict = http1_probe::run(&site.target, &probe, Some(&site.witness), Duration::from_secs(4)).unwrap();
        wrong.extend(
            verdict
                .contradicts(probe.expected)
                .map(|why| format!("{}: {why}", probe.name)),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_http2_case_gets_its_verdict() {
    let site = Site::start();
    let mut wrong = Vec::new();
    for case in h2_smuggle::cases(HOST) {
        let verdict = h2_smuggle::run(&site.target, &case, Some(&site.witness), Duration::from_secs(4)).unwrap();
        wrong.extend(
            verdict
                .contradicts(case.expected)
                .map(|why| format!("{}: {why}", case.name)),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_flood_is_stopped_and_leaves_no_memory_behind() {
    let site = Site::start();
    let mut wrong = Vec::new();
    let before = site.proxy_memory();
    for flood in Flood::ALL {
        let verdict = flood.run(&site.target, 20_000, Duration::from_secs(10)).unwrap();
        if !verdict.was_stopped() {
            wrong.push(format!("{flood:?}: all of {} units were put up with", verdict.sent));
        }
        if verdict.served.is_none() {
            wrong.push(format!("{flood:?}: nobody else is served"));
        }
    }
    let grown = site.proxy_memory().saturating_sub(before);
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(grown < 32 * MIB, "the proxy has {grown} bytes more");
}

#[test]
fn streams_without_a_window_are_given_up() {
    let site = Site::start();
    let before = site.proxy_memory();
    let verdict = starve(&site.target, "/bytes/1000000", 100, Duration::from_secs(12)).unwrap();
    assert!(verdict.served.is_some(), "nobody else is served");
    let given_up = verdict.heard.is_over() || !verdict.heard.resets.is_empty();
    assert!(given_up, "{:?}", verdict.heard);
    let grown = site.proxy_memory().saturating_sub(before);
    // A hundred windows of 64 KiB would be 6 MiB; a hundred responses would be 95.
    assert!(grown < 32 * MIB, "the proxy has {grown} bytes more");
}

#[test]
fn slow_and_idle_clients_are_cut_at_their_deadlines() {
    let site = Site::start();
    for (what, deadline) in [(Slow::Handshake, 12), (Slow::Head, 2), (Slow::Body, 6), (Slow::Idle, 3)] {
        let lasting = Duration::from_secs(deadline + 4);
        let verdict = hold(&site.target, what, 300, Duration::from_millis(500), lasting).unwrap();
        assert_eq!(verdict.held(), 0, "{what:?}: {verdict:?}");
        // The ordinary client comes from the same address: while that address has as many handshakes open as one may have, it has to
        // wait like the others.
        if what != Slow::Handshake {
            assert!(verdict.slowest_service().is_some(), "{what:?}: {verdict:?}");
        }
    }
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let site = Site::start();
    let unread = read_late(&site.target, 48 << 20, Duration::from_secs(5)).unwrap();
    assert!(unread.was_cut(), "{unread:?}");
}

#[test]
fn an_idle_connection_costs_at_most_16_kib() {
    let site = Site::start();
    let proxy = site.appliance.pid("proxy");
    // Warms the pools; what stays of it is not counted twice.
    idle_memory(&site.target, &[proxy], 500).unwrap();
    let memory = idle_memory(&site.target, &[proxy], 1_000).unwrap();
    assert_eq!(memory.opened, 1_000);
    assert!(memory.each() <= 16 * 1_024, "{memory:?}: {} bytes each", memory.each());
}
