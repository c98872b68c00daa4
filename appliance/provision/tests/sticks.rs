//! What becomes of a stick, on the stick itself and for whoever sits at the line.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

mod support;

use proptest::prelude::{ProptestConfig, any, prop};
use proptest::{prop_assert, proptest};
use std::os::unix::fs::FileExt;
use std::time::Duration;
use support::stick::{Operator, Volume};
use support::{DOCUMENT, Script, Seat};

const REPORT: &str = "redan-report-RD-0001.txt";

/// An appliance that runs a configuration with this operator's key.
fn configured(operator: &Operator) -> (Seat, String) {
    let document = format!("{DOCUMENT}\n[system]\noperator-keys = [\"{}\"]\n", operator.public());
    let seat = Seat::new(Script {
        versions: vec![document.clone()],
        ..Script::default()
    });
    (seat, document)
}

fn recorded(seat: &Seat, wanted: &str) -> bool {
    seat.world
        .script()
        .recorded
        .iter()
        .any(|entry| entry.starts_with(wanted))
}

#[test]
fn a_signed_configuration_is_applied_without_anybody_and_kept_when_everything_runs_with_it() {
    let operator = Operator::new();
    let (mut seat, document) = configured(&operator);
    let wanted = format!("{document}[zones.servers]\n");
    let stick = Volume::new(&[
        ("redan.toml", wanted.as_bytes()),
        ("redan.toml.minisig", operator.sign(&wanted).as_bytes()),
    ]);
    seat.plugs_in(stick.plug());
    assert_eq!(seat.world.script().pending, Some(2));
    let report = stick.read(REPORT).unwrap();
    assert!(report.contains("zone servers added"), "{report}");
    assert!(report.contains("version 2 runs on probation"), "{report}");
    seat.waits(Duration::from_secs(20));
    assert_eq!(seat.world.script().confirmed, 2);
    assert!(stick.read(REPORT).unwrap().contains("version 2 is kept"));
    assert!(recorded(&seat, "stick.applied true") && recorded(&seat, "stick.kept true"));
    // In again: there is nothing to be done.
    seat.plugs_in(stick.plug());
    assert!(stick.read(REPORT).unwrap().contains("runs already"));
    assert_eq!(seat.world.script().versions.len(), 2);
}

#[test]
fn a_configuration_with_which_a_service_does_not_run_is_not_kept() {
    let operator = Operator::new();
    let (mut seat, document) = configured(&operator);
    seat.world.script().broken = vec![redan_types::Process::Proxy];
    let wanted = format!("{document}[zones.servers]\n");
    let stick = Volume::new(&[
        ("redan.toml", wanted.as_bytes()),
        ("redan.toml.sig", operator.sign(&wanted).as_bytes()),
    ]);
    seat.plugs_in(stick.plug());
    seat.waits(Duration::from_secs(20));
    assert_eq!(seat.world.script().confirmed, 1);
    let report = stick.read(REPORT).unwrap();
    assert!(
        report.contains("version 2 is rolled back: the proxy is not ready"),
        "{report}"
    );
    assert!(recorded(&seat, "stick.refused false"));
}

#[test]
fn a_signature_of_anybody_else_and_a_document_with_mistakes_change_nothing() {
    let (operator, stranger) = (Operator::new(), Operator::new());
    let (mut seat, document) = configured(&operator);
    let wanted = format!("{document}[zones.servers]\n");
    let wrong = format!("{document}wrong = 1\n");
    for (text, signature, why) in [
        (
            &wanted,
            stranger.sign(&wanted),
            "no operator's key of the configuration made it",
        ),
        (
            &wanted,
            operator.sign(&document),
            "no operator's key of the configuration made it",
        ),
        (&wanted, "nonsense".to_owned(), "it is none of minisign's"),
        (&wrong, operator.sign(&wrong), "it has mistakes"),
    ] {
        let stick = Volume::new(&[
            ("redan.toml", text.as_bytes()),
            ("redan.toml.minisig", signature.as_bytes()),
        ]);
        seat.plugs_in(stick.plug());
        let report = stick.read(REPORT).unwrap();
        assert!(report.contains(why), "{report}");
        assert_eq!(seat.world.script().versions.len(), 1);
    }
}

#[test]
fn an_unsigned_configuration_is_accepted_over_the_line_and_only_as_the_first() {
    let mut seat = Seat::new(Script::default());
    let wanted = format!("{DOCUMENT}[zones.servers]\n");
    let stick = Volume::new(&[("redan.toml", wanted.as_bytes())]);
    seat.plugs_in(stick.plug());
    assert!(seat.types("s\r").contains("New PIN"), "nothing without a PIN");
    seat.types("\x03");
    let main = seat.set_up();
    assert!(main.contains("S  Apply the unsigned configuration"), "{main}");
    assert!(seat.types("s\r").contains("Nobody signed it."));
    assert!(seat.types("n\r").contains("Nothing was changed."));
    seat.types("\rs\r");
    assert!(seat.types("y\r").contains("Version 2 runs."));
    seat.types("keep\r");
    assert_eq!(seat.world.script().confirmed, 2);
    let report = stick.read(REPORT).unwrap();
    assert!(
        report.contains("unsigned: version 2 runs on probation") && report.contains("version 2 is kept"),
        "{report}"
    );
    assert!(!seat.types("\r").contains("S  Apply"));
    let later = Volume::new(&[("redan.toml", DOCUMENT.as_bytes())]);
    seat.plugs_in(later.plug());
    assert!(later.read(REPORT).unwrap().contains("redan.toml: it is not signed"));
    assert!(!seat.types("s\r").contains("Nobody signed it."));
    assert_eq!(seat.world.script().confirmed, 2);
}

#[test]
fn a_stick_waits_for_a_manager_that_does_not_answer_yet() {
    let mut seat = Seat::new(Script {
        is_up: false,
        ..Script::default()
    });
    let stick = Volume::new(&[("redan.toml", DOCUMENT.as_bytes())]);
    seat.plugs_in(stick.plug());
    assert!(stick.read(REPORT).is_none());
    seat.world.script().is_up = true;
    seat.waits(Duration::from_secs(5));
    assert!(stick.read(REPORT).unwrap().contains("runs already"));
}

#[test]
fn one_stick_serves_several_appliances_each_with_its_own_file_and_report() {
    let mine = format!("{DOCUMENT}[zones.mine]\n");
    let stick = Volume::new(&[
        ("redan.toml", DOCUMENT.as_bytes()),
        ("redan-RD-0001.toml", mine.as_bytes()),
    ]);
    for (serial, said) in [
        ("RD-0001", "redan-RD-0001.toml: it is not signed"),
        ("RD-0002", "redan.toml: this configuration runs already"),
    ] {
        let mut script = Script::default();
        script.facts.serial = serial.to_owned();
        Seat::new(script).plugs_in(stick.plug());
        let report = stick.read(&format!("redan-report-{serial}.txt")).unwrap();
        assert!(report.contains(said), "{report}");
    }
}

#[test]
fn a_stick_of_somebody_else_is_left_alone() {
    let stick = Volume::labelled(*b"HOLIDAY    ", &[("redan.toml", b"schema = 1\n")]);
    let mut seat = Seat::new(Script::default());
    seat.plugs_in(stick.plug());
    assert!(stick.read(REPORT).is_none());
    assert!(!seat.set_up().contains("Stick"));
}

#[test]
fn a_new_version_is_installed_when_that_is_meant() {
    let bundle = [b"a bundle".as_slice(), &vec![7; 200_000]].concat();
    let stick = Volume::new(&[("redan-0.2.0.update", &bundle)]);
    let mut seat = Seat::new(Script::default());
    seat.plugs_in(stick.plug());
    assert!(stick.read(REPORT).unwrap().contains("serial menu (V)"));
    seat.set_up();
    assert!(seat.types("v\r").contains("redan-0.2.0.update"));
    seat.types("n\r");
    assert!(seat.world.script().bundle.is_empty());
    seat.types("v\r");
    let said = seat.types("y\r");
    assert!(
        said.contains("Installing.") && said.contains("Version 0.2.0 is installed. Restarting"),
        "{said}"
    );
    assert_eq!(seat.world.script().bundle, bundle);
    // What is said is seen before the machine restarts.
    assert_eq!(seat.world.script().done, ["installed 0.2.0"]);
    seat.waits(Duration::from_secs(1));
    assert_eq!(seat.world.script().done, ["installed 0.2.0", "reboot"]);
    assert!(stick.read(REPORT).unwrap().contains("version 0.2.0 was installed"));
}

#[test]
fn a_new_version_that_is_refused_is_told_and_given_up() {
    let stick = Volume::new(&[("redan-0.2.0.update", b"another bundle")]);
    let mut seat = Seat::new(Script::default());
    seat.plugs_in(stick.plug());
    seat.set_up();
    seat.types("v\r");
    assert!(
        seat.types("y\r")
            .contains("Nothing was changed: its signature is not good")
    );
    assert_eq!(seat.world.script().done, ["install given up"]);
    assert!(stick.read(REPORT).unwrap().contains("was not installed"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    /// A stick is foreign: whatever its structures say, the menu goes on, and no version is applied.
    #[test]
    fn a_damaged_stick_ends_nothing(
        damage in prop::collection::vec((0..200_u64 << 10, any::<u8>()), 1..20),
        boot in prop::collection::vec((0..512_u64, any::<u8>()), 0..3),
    ) {
        let wanted = format!("{DOCUMENT}[zones.servers]\n");
        let stick = Volume::new(&[("redan.toml", wanted.as_bytes())]);
        for (at, byte) in damage.into_iter().chain(boot) {
            stick.0.write_all_at(&[byte], at).unwrap();
        }
        let mut seat = Seat::new(Script::default());
        seat.plugs_in(stick.plug());
        prop_assert!(seat.types("\r").contains("New PIN"));
        prop_assert!(seat.world.script().versions.len() == 1);
    }
}
