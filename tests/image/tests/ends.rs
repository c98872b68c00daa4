//! How a machine ends, and what is left: a factory reset, the power button, a watchdog that nobody feeds.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_image_tests::image::{Image, Kind};
use redan_image_tests::machine::Body;
use redan_image_tests::{all, ready};
use std::time::Duration;

const START: Duration = Duration::from_secs(420);

fn wanted() -> bool {
    if !all() {
        eprintln!("skipped: a long test (tests/run --all)");
        return false;
    }
    ready()
}

#[test]
fn a_factory_reset_leaves_a_new_machine_and_the_power_button_switches_it_off() {
    if !wanted() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Appliance));
    let mut machine = body.start();
    machine.wait_for("the data partition was made", START);
    let before = machine.first_run();
    machine.type_line("0");
    machine.expect("Type ERASE to do it:");
    machine.type_line("erase");
    machine.expect("Nothing was changed.");
    machine.type_line("");
    machine.expect("Choice:");
    machine.type_line("0");
    machine.expect("Type ERASE to do it:");
    machine.type_line("ERASE");
    machine.expect("Erasing everything");
    machine.wait_for("the data partition was made", START);
    // No PIN, another recovery key.
    let after = machine.first_run();
    assert_ne!(before, after);
    machine.press_power_button();
    machine.wait_for_end();
}

#[test]
fn a_watchdog_that_nobody_feeds_restarts_the_machine() {
    if !wanted() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Probe));
    let mut machine = body.start();
    machine.wait_for_start();
    assert_eq!(machine.ask("starve"), "done");
    machine.wait_for_start();
    assert_eq!(machine.ask("read /proc/sys/kernel/modules_disabled"), "1");
}
