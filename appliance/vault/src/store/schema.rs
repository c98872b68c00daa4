//! The form of what is stored, as a number, and the steps from one to the next.
//!
//! It says how records belong together: which trees there are, what stands in which, under which names. (The forms of the files
//! carry numbers of their own, and so does each value.) A step is code that is never changed once it has shipped. It may be
//! interrupted at any point and is then done again, so that doing it twice must be the same as doing it once. A store of a newer
//! form is refused: an older program would read it wrongly.

use super::error::StoreError;
use super::{Store, folder};
use std::path::Path;

/// One step.
pub(super) struct Step {
    /// The form that it leads to.
    pub(super) to: u32,
    pub(super) run: fn(&Store) -> Result<(), StoreError>,
}

/// The number of a store's form. One without a number is of the first, from before there were numbers.
pub(super) fn read(store: &Path) -> Result<u32, StoreError> {
    let path = store.join(FILE);
    let Some(bytes) = folder::read(&path, 64)? else {
        return Ok(FIRST);
    };
    let parse = || {
        let text = std::str::from_utf8(&bytes).ok()?;
        text.strip_prefix(PREFIX)?.strip_suffix('\n')?.parse::<u32>().ok()
    };
    let found = parse().ok_or_else(|| StoreError::damaged(&path, 0, "it is not the number of a store's form"))?;
    if found > CURRENT {
        return Err(StoreError::Newer {
            path,
            found: u16::try_from(found).unwrap_or(u16::MAX),
            known: u16::try_from(CURRENT).unwrap_or(u16::MAX),
        });
    }
    Ok(found)
}

/// Writes the number of a store's form.
pub(super) fn write(store: &Path, number: u32) -> Result<(), StoreError> {
    folder::replace(&store.join(FILE), format!("{PREFIX}{number}\n").as_bytes())
}

/// Takes every step after `from`; returns where they led.
pub(super) fn migrate(store: &Store, from: u32, steps: &[Step]) -> Result<Vec<u32>, StoreError> {
    let mut taken = Vec::new();
    for step in steps.iter().filter(|step| step.to > from) {
        (step.run)(store)?;
        write(&store.inner.folder, step.to)?;
        taken.push(step.to);
    }
    Ok(taken)
}

const FIRST: u32 = 1;
/// The form that this program reads and writes.
pub(super) const CURRENT: u32 = 1;
/// The steps to it, in their order.
pub(super) const STEPS: [Step; 0] = [];
const FILE: &str = "schema";
const PREFIX: &str = "redan store schema ";
