//! New versions: a good one, one that does not start, and power cuts.
#![allow(clippy::unwrap_used, reason = "a test ends where its assumptions do")]

use redan_image_tests::image::{Image, Kind, VERSION};
use redan_image_tests::machine::{Body, Machine};
use redan_image_tests::stick::Stick;
use redan_image_tests::{all, ready};
use std::process::Command;
use std::time::{Duration, Instant};

/// A start under emulation, the proof that everything is well, and some more.
const SETTLED: Duration = Duration::from_secs(420);
const CUTS: u32 = 10;

fn wanted() -> bool {
    if !all() {
        eprintln!("skipped: a long test (tests/run --all)");
        return false;
    }
    ready()
}

fn stick(kind: Kind) -> Stick {
    let bundle = Image::of(kind).file("update");
    Stick::with(&[(&format!("redan-{}.update", kind.version()), &bundle)])
}

/// What the boot loader would find.
fn entries(body: &Body) -> Vec<String> {
    let target = format!("{}@@1M", body.disk().display());
    let listed = Command::new("mdir")
        .args(["-b", "-i", &target, "::EFI/Linux"])
        .env("MTOOLS_SKIP_CHECK", "1")
        .output()
        .unwrap();
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    listed
        .lines()
        .filter_map(|line| line.rsplit_once('/'))
        .map(|(_, name)| name.trim().to_owned())
        .collect()
}

/// Waits until the boot loader has this as a version that is not counted any more.
fn wait_for_permanence(machine: &mut Machine<'_>, version: &str) {
    let wanted = format!("redan_{version}.efi");
    let end = Instant::now() + SETTLED;
    while !entries(machine.body()).contains(&wanted) {
        assert!(
            Instant::now() < end,
            "{wanted} is not among {:?}: {}",
            entries(machine.body()),
            machine.said()
        );
        std::thread::sleep(Duration::from_secs(2));
    }
}

#[test]
fn a_good_version_is_kept_and_a_bad_one_gives_way_to_the_one_before() {
    if !wanted() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Appliance));
    let mut machine = body.start();
    machine.wait_for(&format!("redan-init: version {VERSION} in slot a"), SETTLED);
    machine.first_run();

    let good = stick(Kind::Newer);
    let plugged = machine.plug(&good);
    machine.begin_install();
    machine.wait_for_install(Kind::Newer.version());
    machine.wait_for("redan-init: version 9.0.0 in slot b", SETTLED);
    machine.unplug(&plugged);
    wait_for_permanence(&mut machine, Kind::Newer.version());
    // What was stored is there: the PIN, at least.
    machine.log_in();

    // One that ends at once: it is tried, and then the one before runs again and says so.
    let bad = stick(Kind::Broken);
    let plugged = machine.plug(&bad);
    machine.begin_install();
    machine.wait_for_install(Kind::Broken.version());
    machine.wait_for("redan-init: version 9.1.0 in slot a", SETTLED);
    machine.wait_for("redan-init: version 9.0.0 in slot b", SETTLED);
    machine.unplug(&plugged);
    machine.log_in();
    machine.type_line("6");
    machine.expect("version 9.1.0 was tried and given up, 9.0.0 runs again");
    machine.expect("END REDAN SUPPORT INFORMATION");
    drop(machine);

    // An older one is refused, though it is signed.
    let old = stick(Kind::Appliance);
    let mut machine = body.start();
    machine.wait_for("redan-init: version 9.0.0 in slot b", SETTLED);
    machine.log_in();
    let _old = machine.plug(&old);
    machine.begin_install();
    machine.expect("the bundle has version 0.1.0; 9.0.0 runs");
}

#[test]
fn a_power_cut_at_any_moment_of_an_update_leaves_a_machine_that_starts() {
    if !wanted() {
        return;
    }
    let body = Body::new(&Image::of(Kind::Appliance));
    let stick = stick(Kind::Newer);
    let mut machine = body.start();
    machine.wait_for_start();
    machine.first_run();
    let mut cuts = 0;
    // The moments lie within what a whole installation takes, whatever that is on this machine; the last cuts fall into the restart.
    let mut whole = None;
    while cuts < CUTS {
        let _stick = machine.plug(&stick);
        let begun = Instant::now();
        machine.begin_install();
        let moment = whole.map(|whole: Duration| whole * (cuts + 1) / CUTS);
        match moment {
            None => {
                machine.wait_for_install(Kind::Newer.version());
                whole = Some(begun.elapsed());
            }
            Some(moment) => std::thread::sleep(moment),
        }
        drop(machine);
        cuts += 1;
        eprintln!(
            "cut {cuts}: {:?}, the boot loader has {:?}",
            begun.elapsed(),
            entries(&body)
        );
        machine = body.start();
        machine.wait_for_start();
        // It opens its data with the keys that it has, and everything runs.
        machine.log_in();
        let is_new = machine.said().contains("redan-init: version 9.0.0");
        if is_new {
            // Back to where it began, to be cut again.
            wait_for_permanence(&mut machine, Kind::Newer.version());
            drop(machine);
            body.renew();
            machine = body.start();
            machine.wait_for_start();
            machine.first_run();
        }
    }
}
