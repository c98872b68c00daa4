//! The attack clients against the whole appliance, through its published port, with a witness as the application.

mod site;

use redan_tests::h2_flood::{Flood, starve};
use redan_tests::slow::{Slow, hold, idle_memory, read_late};
use redan_tests::{h2_smuggle, http1_probe};
use site::{HOST, Site};
use std::time::Duration;

const MIB: u64 = 1 << 20;

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
