//! The attack clients against the smallest proxy that keeps the rules.
#![allow(missing_docs, reason = "the names of tests are their documentation")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its own functions too"
)]

mod toy;

use redan_tests::h2_flood::{Flood, starve};
use redan_tests::slow::{Slow, hold, idle_memory, read_late};
use redan_tests::wire::Target;
use redan_tests::witness::Witness;
use redan_tests::{h2_smuggle, http1_probe};
use std::time::Duration;

fn toy() -> (Witness, Target) {
    let witness = Witness::start().unwrap();
    let target = Target::new(toy::start(witness.address()), "localhost").unwrap();
    (witness, target)
}

#[test]
fn every_http1_probe_gets_its_verdict() {
    let (witness, target) = toy();
    let mut wrong = Vec::new();
    for probe in http1_probe::probes("localhost") {
        let verdict = http1_probe::run(&target, &probe, Some(&witness), Duration::from_secs(2)).unwrap();
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
    let (witness, target) = toy();
    let mut wrong = Vec::new();
    for case in h2_smuggle::cases("localhost") {
        let verdict = h2_smuggle::run(&target, &case, Some(&witness), Duration::from_secs(2)).unwrap();
        wrong.extend(
            verdict
                .contradicts(case.expected)
                .map(|why| format!("{}: {why}", case.name)),
        );
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn floods_are_sent_and_told_apart_from_silence() {
    let (_witness, target) = toy();
    for flood in Flood::ALL {
        let verdict = flood.run(&target, 2_000, Duration::from_secs(5)).unwrap();
        println!(
            "{flood:?}: {} of {} sent, stopped {}, goaway {:?}, end {:?}, {} resets, served {:?}",
            verdict.sent,
            verdict.planned,
            verdict.was_stopped(),
            verdict.heard.goaway,
            verdict.heard.end,
            verdict.heard.resets.len(),
            verdict.served
        );
        assert!(verdict.served.is_some(), "{flood:?}");
        // The `h2` crate by itself stops these.
        if matches!(flood, Flood::Continuation | Flood::RapidReset | Flood::MadeYouResetData) {
            assert!(verdict.was_stopped(), "{flood:?}");
        }
    }
}

#[test]
fn starving_streams_hold_nothing_back_from_others() {
    let (_witness, target) = toy();
    let verdict = starve(&target, "/bytes/100000", 50, Duration::from_secs(1)).unwrap();
    assert_eq!(verdict.heard.responses.len(), 50, "{:?}", verdict.heard);
    assert_eq!(verdict.heard.data, 0);
    assert!(verdict.served.is_some());
}

#[test]
fn slow_clients_are_cut_at_the_deadline() {
    let (_witness, target) = toy();
    for what in [Slow::Handshake, Slow::Head, Slow::Body, Slow::Idle] {
        let verdict = hold(&target, what, 20, Duration::from_millis(300), Duration::from_secs(3)).unwrap();
        assert_eq!((verdict.opened, verdict.held()), (20, 0), "{what:?}: {verdict:?}");
        assert!(
            verdict.cut.iter().all(|cut| *cut < Duration::from_secs(2)),
            "{what:?}: {verdict:?}"
        );
        assert!(verdict.slowest_service().is_some(), "{what:?}: {verdict:?}");
        let expected = if what == Slow::Handshake { 0 } else { 20 };
        assert_eq!(verdict.statuses, vec![408; expected], "{what:?}");
    }
}

#[test]
fn a_client_that_does_not_read_is_cut() {
    let (_witness, target) = toy();
    let unread = read_late(&target, 32 << 20, Duration::from_secs(2)).unwrap();
    assert!(unread.was_cut(), "{unread:?}");
    let read = read_late(&target, 1 << 20, Duration::ZERO).unwrap();
    assert!(!read.was_cut(), "{read:?}");
}

#[test]
fn idle_connections_are_counted_and_weighed() {
    let (_witness, target) = toy();
    let memory = idle_memory(&target, &[std::process::id()], 100).unwrap();
    assert_eq!(memory.opened, 100);
    println!("client and server together: {} bytes a connection", memory.each());
    assert!(memory.each() > 0);
}
