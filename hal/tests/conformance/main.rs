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
use std::fs::File;
use std::io::{Read, Seek, Write};
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

const DEVICES: [&str; 3] = ["software", "TPM 2.0 (swtpm)", "PKCS#11 (SoftHSM)"];

const HEAD: &str = "# What the key devices do

Made by the conformance suite (`hal/tests/conformance`), which does each operation on each device. \"yes\": done and
checked against an independent implementation. \"–\": the device does not offer it, says so in its capabilities, and fails
with a typed error; nothing is emulated.

";

const NOTES: &str = "
An AES-256 key of a TPM is a storage key: other keys are wrapped under it by the TPM itself, but it encrypts no data. A PKCS#11
token wraps a key by encrypting it with AES-256-GCM within the token. The software device's counter goes back when an old copy of
its file is restored; its capabilities say so. PKCS#11 hashes for OAEP are the module's: this one takes SHA-1 only.
";

/// The table with one device's column made anew; the others stay as they are in `before`.
fn rendered(device: usize, column: &Column, before: &str) -> String {
    let mut text = format!(
        "{HEAD}| operation | {} |\n|---{}|\n",
        DEVICES.join(" | "),
        "|---".repeat(DEVICES.len())
    );
    for operation in Operation::all() {
        let start = format!("| {operation} | ");
        let old: Vec<&str> = before
            .lines()
            .find_map(|line| line.strip_prefix(&start)?.strip_suffix(" |"))
            .map_or_else(Vec::new, |cells| cells.split(" | ").collect());
        let cells = (0..DEVICES.len()).map(|index| match (index == device, column[&operation]) {
            (true, true) => "yes",
            (true, false) => "–",
            (false, _) => old.get(index).copied().unwrap_or("?"),
        });
        text.push_str(&format!("{start}{} |\n", cells.collect::<Vec<_>>().join(" | ")));
    }
    text.push_str(NOTES);
    text
}

/// Compares a device's column with the table, or writes it.
fn compare(device: usize, column: &Column) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("CONFORMANCE.md");
    let writes = std::env::var_os("REDAN_WRITE_CONFORMANCE").is_some();
    let mut file = File::options()
        .read(true)
        .write(writes)
        .create(writes)
        .truncate(false)
        .open(&path)
        .unwrap();
    if writes {
        // The devices are examined side by side.
        file.lock().unwrap();
    }
    let mut before = String::new();
    file.read_to_string(&mut before).unwrap();
    let now = rendered(device, column, &before);
    if writes {
        file.set_len(0).unwrap();
        file.rewind().unwrap();
        file.write_all(now.as_bytes()).unwrap();
    } else {
        assert_eq!(
            before,
            now,
            "{} is stale; REDAN_WRITE_CONFORMANCE=1 makes it anew",
            path.display()
        );
    }
}

#[test]
fn the_software_device_does_what_it_offers_and_refuses_the_rest_and_the_table_says_so() {
    let folder = tempfile::tempdir().unwrap();
    compare(0, &examine(&SoftwareDevice::open(folder.path()).unwrap()));
}

#[test]
fn the_tpm_does_what_it_offers_and_refuses_the_rest_and_the_table_says_so() {
    let Some(tpm) = Swtpm::start() else { return };
    compare(1, &examine(&tpm.open()));
}

#[test]
fn the_hsm_does_what_it_offers_and_refuses_the_rest_and_the_table_says_so() {
    let Some(hsm) = SoftHsm::start() else { return };
    compare(2, &examine(&hsm.open()));
}
