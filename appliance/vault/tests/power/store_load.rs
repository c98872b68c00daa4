//! Load for the store, and what must be true of it at every moment: changes of several records are there whole or not at all,
//! in their order, and none that was acknowledged is missing.

use super::load::{Told, Wrong};
use redan_hal::keys::software::SoftwareDevice;
use redan_vault::store::{Name, OpenReport, StateFolder, Store, StoreError, Tree};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

const WRITERS: u64 = 4;
/// Entries of a writer that there are at once: each change deletes an old one.
const KEPT: u64 = 8;
const SLOTS: u64 = 5;

fn open(folder: &Path) -> Result<(StateFolder, Store, OpenReport, SoftwareDevice), String> {
    let state = StateFolder::lock(folder).map_err(|error| error.to_string())?;
    let device = SoftwareDevice::open(folder).map_err(|error| error.to_string())?;
    let (store, report) = Store::open(&state, &device).map_err(|error| error.to_string())?;
    Ok((state, store, report, device))
}

fn value(writer: u64, number: u64) -> Vec<u8> {
    let seed = writer * 1_000_003 + number;
    let length = if number.is_multiple_of(16) {
        9_000 + seed % 20_000
    } else {
        40 + seed % 900
    };
    seed.to_le_bytes()
        .into_iter()
        .cycle()
        .take(usize::try_from(length).unwrap())
        .collect()
}

fn current(store: &Store, writer: u64) -> Result<u64, StoreError> {
    let name = format!("writer-{writer}");
    let found = store.get(Tree::Users, Name::Secret(name.as_bytes()))?;
    Ok(found.map_or(0, |value| u64::from_le_bytes(value.as_slice().try_into().unwrap())))
}

fn change(store: &Store, writer: u64, number: u64) -> Result<(), StoreError> {
    let mut batch = store.batch();
    batch.put(
        Tree::AuditEntries,
        Name::Number(number * WRITERS + writer),
        &value(writer, number),
    )?;
    if let Some(old) = number.checked_sub(KEPT) {
        batch.delete(Tree::AuditEntries, Name::Number(old * WRITERS + writer))?;
    }
    let slot = format!("slot-{writer}-{}", number % SLOTS);
    batch.put(Tree::Sessions, Name::Secret(slot.as_bytes()), &value(writer, number))?;
    batch.put(
        Tree::Users,
        Name::Secret(format!("writer-{writer}").as_bytes()),
        &number.to_le_bytes(),
    )?;
    batch.commit()
}

/// Writes until it is told to end, killed or refused.
pub(crate) fn write(folder: &Path, told: &Told) {
    // A disk that fails at the start is said, and there is no store.
    let (_state, store, report, device) = match open(folder) {
        Ok(opened) => opened,
        Err(error) => return told.refused(&error),
    };
    assert_eq!(report.corrupt_count, 0, "{report:?}");
    assert!(!report.snapshot_damaged, "{report:?}");
    let stop = AtomicBool::new(false);
    let begin: Vec<u64> = (0..WRITERS).map(|writer| current(&store, writer).unwrap()).collect();
    if store.unwritable().is_none() {
        // What a start finds has been shown: from here on it counts as much as what was acknowledged.
        begin
            .iter()
            .zip(0..)
            .for_each(|(number, writer)| told.ack(&format!("{writer} {number}")));
    }
    std::thread::scope(|scope| {
        for (begin, writer) in begin.iter().zip(0..) {
            let (store, stop, device) = (&store, &stop, &device);
            scope.spawn(move || {
                for number in begin + 1.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    match change(store, writer, number) {
                        Ok(()) => told.ack(&format!("{writer} {number}")),
                        Err(error) => {
                            told.refused(&error.to_string());
                            break;
                        }
                    }
                    if writer == 0 && number.is_multiple_of(97) {
                        // A snapshot that fails leaves everything as it was.
                        let _ = store.compact();
                    }
                    if writer == 1 && number.is_multiple_of(23) {
                        // So does a rotation, and one that is under way refuses another.
                        let _ = store.rotate_keys(device);
                    }
                }
            });
        }
        told.wait_for_end();
        stop.store(true, Ordering::Relaxed);
    });
    store.close().unwrap();
}

/// What the program was told by a cut, of each writer.
#[derive(Debug, Default)]
pub(crate) struct Promised(BTreeMap<u64, u64>);

impl Promised {
    pub(crate) fn told(&mut self, text: &str) {
        let (writer, number) = text.split_once(' ').unwrap();
        let number: u64 = number.parse().unwrap();
        let newest = self.0.entry(writer.parse().unwrap()).or_default();
        *newest = number.max(*newest);
    }
}

/// Checks a store that a cut has left. Returns what the start said.
pub(crate) fn check(folder: &Path, promised: &Promised, again: bool) -> Result<OpenReport, Wrong> {
    let (state, store, report, _device) = open(folder).map_err(Wrong::Named)?;
    sound(&report)?;
    let text = Wrong::torn::<StoreError>;
    let mut expected = 0;
    for writer in 0..WRITERS {
        let number = current(&store, writer).map_err(text)?;
        let least = promised.0.get(&writer).copied().unwrap_or(0);
        if number < least {
            return Err(Wrong::Missing(format!(
                "writer {writer}: change {least} was acknowledged, the newest is {number}"
            )));
        }
        let oldest = (number + 1).saturating_sub(KEPT).max(1);
        for number in oldest..=number {
            let found = store
                .get(Tree::AuditEntries, Name::Number(number * WRITERS + writer))
                .map_err(text)?;
            if found.as_ref().map(|found| found.as_slice()) != Some(&value(writer, number)) {
                return Err(Wrong::Torn(format!(
                    "writer {writer}: entry {number} is missing or wrong"
                )));
            }
            expected += 1;
        }
        for number in (number + 1).saturating_sub(SLOTS).max(1)..=number {
            let slot = format!("slot-{writer}-{}", number % SLOTS);
            let found = store.get(Tree::Sessions, Name::Secret(slot.as_bytes())).map_err(text)?;
            if found.as_ref().map(|found| found.as_slice()) != Some(&value(writer, number)) {
                return Err(Wrong::Torn(format!(
                    "writer {writer}: slot {slot} does not have change {number}"
                )));
            }
        }
    }
    let entries = store.list(Tree::AuditEntries).map_err(text)?.len();
    if entries != expected {
        return Err(Wrong::Torn(format!(
            "{entries} entries where there should be {expected}: a change is there in part"
        )));
    }
    if again {
        change(&store, 0, current(&store, 0).map_err(text)? + 1).map_err(text)?;
        store.close().map_err(text)?;
        let notes = store.notes();
        drop((store, state));
        let (_state, _store, report, _device) = open(folder).map_err(Wrong::Torn)?;
        sound(&report)?;
        if let Some(why) = report.rebuilt {
            return Err(Wrong::Torn(format!("after an orderly end: {why}; {notes:?}")));
        }
    }
    Ok(report)
}

fn sound(report: &OpenReport) -> Result<(), Wrong> {
    if report.corrupt_count > 0 || report.snapshot_damaged || report.read_only.is_some() {
        return Err(Wrong::Named(format!("{report:?}")));
    }
    Ok(())
}
