//! Load for the audit log, and what must be true of it at every moment: it verifies, entries of one call are there together or not
//! at all, none that was acknowledged is missing, and a cut is no attack.

use super::load::{Told, Wrong};
use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditQuery, Outcome};
use redan_types::Timestamp;
use redan_vault::service::Vault;
use redan_vault::store::StateFolder;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

const WRITERS: u64 = 4;
/// Entries of one call.
const TOGETHER: u64 = 2;

fn open(folder: &Path) -> Result<(StateFolder, Arc<Vault>), String> {
    let state = StateFolder::lock(folder).map_err(|error| error.to_string())?;
    let device = SoftwareDevice::open(folder).map_err(|error| error.to_string())?;
    let clock = || Timestamp::from_system(SystemTime::now());
    let (vault, _) = Vault::open(&state, Arc::new(device), clock).map_err(|error| error.to_string())?;
    Ok((state, vault))
}

fn event(place: &str) -> AuditEvent {
    AuditEvent {
        time: Timestamp(1_000_000),
        actor: Actor::User(format!("user-{}", place.split('/').nth(1).unwrap_or_default())),
        action: "power.measured".to_owned(),
        resource: place.to_owned(),
        outcome: Outcome::Succeeded,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: "x".repeat(place.len() * 17 % 400),
    }
}

/// Writes until it is told to end, killed or refused. `generation` tells its entries from those of the starts before.
pub(crate) fn write(folder: &Path, told: &Told, generation: u64) {
    // A disk that fails at the start is said, and there is no vault.
    let (_state, vault) = match open(folder) {
        Ok(opened) => opened,
        Err(error) => return told.refused(&error),
    };
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (vault, stop) = (&vault, &stop);
            scope.spawn(move || {
                for number in 1_u64.. {
                    if stop.load(Ordering::Relaxed) {
                        break;
                    }
                    let place = format!("{generation}/{writer}/{number}");
                    let events: Vec<_> = (0..TOGETHER).map(|_| event(&place)).collect();
                    match vault.record(&events) {
                        Ok(()) => told.ack(&place),
                        Err(error) => {
                            told.refused(&error.to_string());
                            break;
                        }
                    }
                }
            });
        }
        let (vault, stop) = (&vault, &stop);
        scope.spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                vault.keep_house();
                std::thread::park_timeout(Duration::from_millis(30));
            }
        });
        told.wait_for_end();
        stop.store(true, Ordering::Relaxed);
    });
    vault.close();
}

/// What was acknowledged by a cut.
#[derive(Debug, Default)]
pub(crate) struct Promised(BTreeSet<String>);

impl Promised {
    pub(crate) fn told(&mut self, text: &str) {
        self.0.insert(text.to_owned());
    }
}

/// Checks a log that a cut has left. Returns what the start said.
pub(crate) fn check(folder: &Path, promised: &Promised) -> Result<Vec<String>, Wrong> {
    let (_state, vault) = open(folder).map_err(Wrong::Named)?;
    let notes = vault.notes();
    let harmless = [
        "the index was built again",
        "a write was cut short",
        "the end before was not orderly",
    ];
    if let Some(note) = notes
        .iter()
        .find(|note| !harmless.iter().any(|harmless| note.starts_with(harmless)))
    {
        return Err(Wrong::Named(format!("the start says: {note}")));
    }
    let report = vault.verify_log().map_err(Wrong::torn)?;
    if !report.mistakes.is_empty() {
        return Err(Wrong::Torn(format!("the log does not verify: {:?}", report.mistakes)));
    }
    let mut found: BTreeMap<String, u64> = BTreeMap::new();
    let mut before = None;
    loop {
        let query = AuditQuery {
            action: Some("power.measured".to_owned()),
            before,
            limit: 500,
            ..AuditQuery::default()
        };
        let page = vault.search_log(&query).map_err(Wrong::torn)?;
        for entry in page.entries {
            *found.entry(entry.event.resource).or_default() += 1;
        }
        let Some(next) = page.next else { break };
        before = Some(next);
    }
    if let Some((place, count)) = found.iter().find(|(_, count)| **count != TOGETHER) {
        return Err(Wrong::Torn(format!(
            "{count} of the {TOGETHER} entries of {place} are there"
        )));
    }
    if let Some(missing) = promised.0.iter().find(|place| !found.contains_key(*place)) {
        return Err(Wrong::Missing(format!("{missing} was acknowledged and is not there")));
    }
    Ok(notes)
}
