//! Every screen as a terminal of 80×24 shows it. `UPDATE_SCREENS=1` writes them anew, to be read before they are committed.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

mod support;

use redan_ipc::messages::machine::DataState;
use std::path::PathBuf;
use support::stick::Volume;
use support::{DOCUMENT, Script, Seat};

fn same(seat: &Seat, name: &str) {
    assert_eq!(seat.terminal.scrolled, 0, "{name} does not fit on 24 lines");
    assert_eq!(seat.terminal.wrapped, 0, "{name} does not fit on 80 columns");
    assert_eq!(seat.terminal.strange, 0, "{name} needs more than a VT100");
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(format!("tests/screens/{name}.txt"));
    let text = seat.terminal.text();
    if std::env::var_os("UPDATE_SCREENS").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(text, kept, "{} differs", path.display());
}

#[test]
fn first_run() {
    let mut seat = Seat::new(Script::default());
    same(&seat, "closed");
    seat.types("\r");
    same(&seat, "first-run");
    seat.types("123456\r123456\r");
    same(&seat, "recovery-key");
    seat.types("yes\r");
    same(&seat, "main");
}

#[test]
fn what_is_shown() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    for (keys, name) in [
        ("1\r", "status"),
        ("\r2\r", "interfaces"),
        ("\r3\r", "administrators"),
        ("\r5\r", "console"),
        ("\rr\r", "vault"),
        ("n\r8\r", "restart"),
        ("n\r0\r", "factory-reset"),
    ] {
        seat.types(keys);
        same(&seat, name);
    }
}

#[test]
fn a_configuration() {
    let mut seat = Seat::new(Script::default());
    seat.set_up();
    seat.types("4\r");
    same(&seat, "paste");
    seat.types(&format!("{DOCUMENT}[zones.servers]\n.\n"));
    same(&seat, "diff");
    seat.types("y\r");
    same(&seat, "probation");
    seat.types("keep\r");
    same(&seat, "kept");
    seat.types("\r4\r");
    seat.types("schema = 1\n[zones.management]\nwrong = 3\n.\n");
    same(&seat, "mistakes");
}

#[test]
fn locked_data() {
    let mut script = Script {
        is_up: false,
        ..Script::default()
    };
    script.facts.data = DataState::Locked {
        reason: "PCR 7 (Secure Boot's keys) differs from what the data were sealed to".to_owned(),
    };
    let mut seat = Seat::new(script);
    seat.types("\r");
    same(&seat, "locked");
    seat.types("u\r");
    same(&seat, "unlock");
}

#[test]
fn a_stick() {
    let document = format!("{DOCUMENT}[zones.servers]\n");
    let stick = Volume::new(&[
        ("redan.toml", document.as_bytes()),
        ("redan-0.2.0.update", b"another bundle"),
    ]);
    let mut seat = Seat::new(Script::default());
    seat.plugs_in(stick.plug());
    seat.set_up();
    same(&seat, "stick");
    seat.types("1\r");
    same(&seat, "stick-status");
    seat.types("q\rs\r");
    same(&seat, "stick-configuration");
    seat.types("n\r\rv\r");
    same(&seat, "stick-version");
    seat.types("y\r");
    same(&seat, "stick-version-refused");
}
