//! The conformance suite: every operation on every device, and the table of what each offers.
//!
//! What a device says that it offers must work, and what it does not offer must fail as unsupported: the suite tries both. The
//! table in `hal/CONFORMANCE.md` is made of what was found; `REDAN_WRITE_CONFORMANCE=1` writes it anew.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails"
)]

mod exercise;
#[path = "../support/mod.rs"]
mod support;

use redan_hal::keys::software::SoftwareDevice;
use redan_hal::keys::{KeyDevice, KeyError, Operation};
use std::collections::BTreeMap;
use std::path::Path;
use support::softhsm::SoftHsm;
use support::swtpm::Swtpm;

/// What was found of a device: each operation, and whether it is offered.
type Column = BTreeMap<Operation, bool>;

fn examine(device: &dyn KeyDevice) -> Column {
    Operation::all()
        .into_iter()
        .map(|operation| {
            let offered = device.capabilities().offers(operation);
            match (exercise::exercise(device, operation), offered) {
                (Ok(()), true) | (Err(KeyError::Unsupported { .. }), false) => {}
                (outcome, _) => panic!(
                    "{}: {operation}: {}offered, but {outcome:?}",
                    device.identity(),
                    if offered { "" } else { "not " }
                ),
            }
            (operation, offered)
        })
        .collect()
}

fn software() -> Option<Column> {
    let folder = tempfile::tempdir().unwrap();
    Some(examine(&SoftwareDevice::open(folder.path()).unwrap()))
}

fn tpm2() -> Option<Column> {
    let tpm = Swtpm::start()?;
    Some(examine(&tpm.open()))
}

fn pkcs11() -> Option<Column> {
    let hsm = SoftHsm::start()?;
    Some(examine(&hsm.open()))
}

const DEVICES: [&str; 3] = ["software", "TPM 2.0 (swtpm)", "PKCS#11 (SoftHSM)"];

fn rendered(columns: &[Option<Column>], before: &str) -> String {
    let mut text = format!(
        "# What the key devices do\n\nMade by the conformance suite (`hal/tests/conformance`), which does each operation on each device. \
         \"yes\": done and\nchecked against an independent implementation. \"–\": the device does not offer it, says so in its \
         capabilities, and fails\nwith a typed error; nothing is emulated.\n\n| operation | {} |\n|---{}|\n",
        DEVICES.join(" | "),
        "|---".repeat(DEVICES.len())
    );
    for operation in Operation::all() {
        let name = operation.to_string();
        let old = before.lines().find(|line| line.starts_with(&format!("| {name} |")));
        text.push_str(&format!("| {name} |"));
        for (index, column) in columns.iter().enumerate() {
            let cell = match column {
                Some(column) => {
                    if column[&operation] {
                        "yes"
                    } else {
                        "–"
                    }
                }
                // A device that could not be examined here keeps what the file says.
                None => old
                    .and_then(|line| line.split(" | ").nth(index + 1))
                    .map_or("?", |cell| cell.trim_end_matches(" |")),
            };
            text.push_str(&format!(" {cell} |"));
        }
        text.push('\n');
    }
    text
}

#[test]
fn every_device_does_what_it_offers_and_refuses_the_rest_and_the_table_says_so() {
    let columns = [software as fn() -> Option<Column>, tpm2, pkcs11].map(std::thread::spawn);
    let columns = columns.map(|thread| thread.join().unwrap());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md");
    let before = std::fs::read_to_string(&path).unwrap_or_default();
    let now = rendered(&columns, &before);
    if std::env::var_os("REDAN_WRITE_CONFORMANCE").is_some() {
        std::fs::write(&path, &now).unwrap();
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(
        written,
        now,
        "{} is stale; REDAN_WRITE_CONFORMANCE=1 makes it anew",
        path.display()
    );
}
