//! The device's counter, which ties the log to a place that the disk's contents cannot be put back in.
//!
//! A checkpoint is counted first and stored then, and a crash may come between. So what the device has counted is put on record
//! before it counts on: the device is then at most one ahead of the record, however often that happens in a row.

use super::{AuditLog, Signed, VERSION};
use crate::service::VaultError;
use crate::service::change::{Change, decode};
use crate::store::{Name, Store, Tree};
use redan_hal::keys::{DeviceIdentity, KeyDevice, KeyError, Operation};
use serde::{Deserialize, Serialize};

/// What a device had counted without a checkpoint to show for it.
#[derive(Debug, Deserialize, Serialize)]
struct Counted {
    /// The checkpoint that is the newest, by its size.
    after: u64,
    device: DeviceIdentity,
    value: u64,
}

impl AuditLog {
    /// Counts one further than the device has.
    pub(super) fn count(&self, last: Option<&Signed>) -> Result<u64, VaultError> {
        let device = *self.device.identity();
        if let Some(last) = last.filter(|last| last.device == device) {
            match self.device.counter() {
                Ok(value) if value != recorded(&self.store, last)? => {
                    let counted = Counted {
                        after: last.size,
                        device,
                        value,
                    };
                    let mut batch = self.store.batch();
                    Change::put(Tree::State, COUNTED, VERSION, &counted)?.add_to(&mut batch)?;
                    batch.commit()?;
                }
                // A counter that was lost is told at the start, and begins anew.
                Ok(_) | Err(KeyError::CounterLost { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.device.increment().map_err(|error| {
            if let KeyError::File { .. } = error {
                // A device that keeps its counter in a file, most likely on the same disk: what a failed sync has taken with it is
                // not known, and may be of the journal.
                self.store.distrust(&error.to_string());
            }
            error.into()
        })
    }
}

/// What the device had counted, as far as the store knows.
fn recorded(store: &Store, last: &Signed) -> Result<u64, VaultError> {
    let found = match store.get(Tree::State, Name::Secret(COUNTED))? {
        Some(bytes) => Some(decode::<Counted>(VERSION, &bytes)?),
        None => None,
    };
    let found = found.filter(|found| found.after == last.size && found.device == last.device);
    Ok(found.map_or(last.counted, |found| found.value))
}

/// What the device's counter says about the log that was found: in words where it does not fit.
pub(super) fn compare_counter(
    store: &Store,
    device: &dyn KeyDevice,
    last: Option<&Signed>,
) -> Result<Option<String>, VaultError> {
    if !device.capabilities().offers(Operation::Count) {
        return Ok(Some(
            "the key device has no counter: the audit log is not tied to one, and an older copy of the whole store would not show"
                .to_owned(),
        ));
    }
    let counter = match device.counter() {
        Err(error @ KeyError::CounterLost { .. }) => return Ok(Some(error.to_string())),
        other => other?,
    };
    let Some(last) = last else {
        // A store that is made on a device that has counted before, or one whose log was taken away.
        return Ok(None);
    };
    if last.device != *device.identity() || last.counter.is_none() {
        return Ok(Some(
            "the audit log's last checkpoint was counted by another key device, so that an older copy of it would not show"
                .to_owned(),
        ));
    }
    let recorded = recorded(store, last)?;
    // One ahead is a crash between counting and storing; more, or less, is another state of the disk or of the device.
    Ok(
        (!(recorded..=recorded.saturating_add(1)).contains(&counter)).then(|| {
            format!(
                "the key device's counter is {counter}, the audit log's record of it says {recorded}: an older state of the store or \
                 of the device was restored"
            )
        }),
    )
}

const COUNTED: &[u8] = b"audit counted";
