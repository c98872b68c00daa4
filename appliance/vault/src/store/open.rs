//! Making a store, and opening one: the index as it was closed, or built again from snapshot and journal.

use super::error::StoreError;
use super::index::{self, CleanMark, Index, SledIndex};
use super::journal::{self, Active};
use super::keyring::Keyring;
use super::mutation::Mutation;
use super::schema;
use super::sealing::Sealing;
use super::snapshot::{self, Covered};
use super::{OpenReport, folder};
use std::path::{Path, PathBuf};

/// What opening the index found.
pub(super) struct Opened {
    pub(super) index: Index,
    pub(super) last_segment: u64,
    pub(super) position: journal::Position,
    /// Where the last segment ends.
    pub(super) end: u64,
    pub(super) cut: Option<(PathBuf, u64)>,
    /// The store was closed in good order at exactly this place.
    pub(super) orderly: bool,
}

/// Makes a new store. The keyring comes last: while it is missing, a first segment without content is what an interrupted
/// creation left, and anything more means that the keyring was lost.
pub(super) fn create(folder: &Path, sealing: &dyn Sealing) -> Result<Keyring, StoreError> {
    let missing = || StoreError::KeyringMissing {
        path: Keyring::path(folder),
    };
    match journal::segments(folder)?.as_slice() {
        [] => {}
        [1] if journal::is_empty(folder, 1)? => folder::remove(&journal::segment_path(folder, 1))?,
        _ => return Err(missing()),
    }
    if snapshot::exists(folder)? {
        return Err(missing());
    }
    let (keyring, file) = Keyring::create(folder, sealing)?;
    Active::begin(
        folder,
        keyring.store_id(),
        1,
        journal::Position::birth(keyring.store_id()),
    )?;
    schema::write(folder, schema::CURRENT)?;
    folder::replace(&Keyring::path(folder), &file)?;
    Ok(keyring)
}

/// Opens the index as it was closed, or builds it again; checks every record either way.
pub(super) fn open_index(
    folder: &Path,
    keyring: &Keyring,
    covered: &Covered,
    writable: bool,
    report: &mut OpenReport,
) -> Result<Opened, StoreError> {
    let numbers = segments_after(folder, covered)?;
    let last_segment = numbers.last().copied().unwrap_or(covered.segment);
    let mark = CleanMark::read(folder)?.filter(|mark| mark.store_id == *keyring.store_id());
    let damaged = mark.is_some();
    let stale = index::is_stale(folder);
    let mut orderly = report.created;
    let reason = match mark {
        _ if report.created => String::new(),
        None if writable => "it was not closed in good order".to_owned(),
        None => READ_ONLY.to_owned(),
        Some(mark) => {
            let replay = journal::replay(folder, keyring.store_id(), &numbers, covered.position, |_| Ok(()))?;
            if replay.position.sequence < mark.position().sequence {
                // The mark stays, so that the next start says so again.
                let path = journal::segment_path(folder, last_segment);
                let end = usize::try_from(replay.end).unwrap_or(usize::MAX);
                return Err(StoreError::damaged(
                    &path,
                    end,
                    "the journal ends here, but the store was closed in good order at a later place",
                ));
            }
            orderly = replay.position == mark.position();
            if writable {
                CleanMark::remove(folder)?;
                let reused = if stale {
                    Err(STALE.to_owned())
                } else {
                    reuse(folder, keyring, &mark, &replay, report)
                };
                match reused {
                    Ok(index) => {
                        report.cut.clone_from(&replay.cut);
                        return Ok(Opened {
                            index,
                            last_segment,
                            position: replay.position,
                            end: replay.end,
                            cut: replay.cut,
                            orderly,
                        });
                    }
                    Err(why) => why,
                }
            } else {
                READ_ONLY.to_owned()
            }
        }
    };
    let mut index = Index::in_memory(std::collections::BTreeMap::new());
    if writable {
        if stale {
            index::discard_stale(folder)?;
        } else if damaged {
            index::set_aside(folder)?;
        } else {
            index::discard(folder)?;
        }
        // The journal's next file comes first: what room there is belongs to it. Beginning it says so where there is none.
        let spare = journal::prepare_spare(folder);
        let content = numbers
            .iter()
            .map(|number| journal::segment_bytes(folder, *number))
            .sum::<u64>()
            + covered.bytes;
        if spare.is_ok()
            && index::has_room(folder, content)
            && let Ok(sled) = SledIndex::open(&index::path(folder))
        {
            index = Index::on_disk(sled);
        }
    }
    let filled = fill(folder, keyring.store_id(), covered, &mut index);
    let (replay, intact) = match filled {
        Err(StoreError::Index(_)) => {
            index = Index::in_memory(std::collections::BTreeMap::new());
            fill(folder, keyring.store_id(), covered, &mut index)?
        }
        other => other?,
    };
    report.snapshot_damaged = !intact;
    report.cut.clone_from(&replay.cut);
    report.rebuilt = (!report.created).then_some(if writable && index.sled().is_none() {
        format!("{reason}; it is kept in memory, for the disk is almost full or the database failed")
    } else {
        reason
    });
    check(keyring, &index, report).map_err(StoreError::Index)?;
    Ok(Opened {
        index,
        last_segment,
        position: replay.position,
        end: replay.end,
        cut: replay.cut,
        orderly,
    })
}

/// Makes ready for changes: what the start before left behind is put in order, and a new segment begun.
///
/// After a disorderly end the journal's last frames may be in the page cache and not on the disk: a kill between write and sync, or
/// a sync that failed, after which the system takes the pages for clean. They have been read now and the next segment will build
/// on them, so they are brought to disk in a way that no cache can pretend.
pub(super) fn begin_after(
    folder: &Path,
    keyring: &Keyring,
    covered: &Covered,
    opened: &Opened,
) -> Result<Active, StoreError> {
    // The names that have been found may be as little durable as the frames.
    folder::sync(folder)?;
    snapshot::clean(folder, covered)?;
    if !opened.orderly && opened.last_segment > covered.segment {
        journal::renew(folder, opened.last_segment, opened.end, opened.cut.is_some())?;
    } else if opened.cut.is_none() {
        journal::trim(folder, opened.last_segment, opened.end);
    }
    Active::begin(folder, keyring.store_id(), opened.last_segment + 1, opened.position)
}

/// Takes the index on disk as it is; says why not where it cannot be trusted.
fn reuse(
    folder: &Path,
    keyring: &Keyring,
    mark: &CleanMark,
    replay: &journal::Replay,
    report: &mut OpenReport,
) -> Result<Index, String> {
    if mark.position() != replay.position {
        return Err("it does not belong to this state of the journal".to_owned());
    }
    let database = index::path(folder);
    if !database.join("db").exists() {
        return Err("its database is missing".to_owned());
    }
    let index = Index::on_disk(SledIndex::open(&database)?);
    let mut checked = OpenReport::default();
    let fingerprint = check(keyring, &index, &mut checked)?;
    if fingerprint != mark.fingerprint {
        return Err("its content is not what it was when it was closed".to_owned());
    }
    // What was corrupt when the index was closed is corrupt in the journal too.
    report.records = checked.records;
    report.corrupt = checked.corrupt;
    report.corrupt_count = checked.corrupt_count;
    Ok(index)
}

/// Fills an empty index from snapshot and journal; returns where the journal stands and whether the snapshot was intact.
pub(super) fn fill(
    folder: &Path,
    store_id: &[u8; 16],
    covered: &Covered,
    index: &mut Index,
) -> Result<(journal::Replay, bool), StoreError> {
    let numbers = segments_after(folder, covered)?;
    let intact = snapshot::read(folder, store_id, covered.segment, |key, value| {
        index.apply(Mutation::Put(key, value)).map_err(StoreError::Index)
    })?;
    let replay = journal::replay(folder, store_id, &numbers, covered.position, |mutation| {
        index.apply(mutation).map_err(StoreError::Index)
    })?;
    Ok((replay, intact))
}

fn segments_after(folder: &Path, covered: &Covered) -> Result<Vec<u64>, StoreError> {
    let numbers: Vec<u64> = journal::segments(folder)?
        .into_iter()
        .filter(|number| *number > covered.segment)
        .collect();
    match numbers.first() {
        Some(first) if *first == covered.segment + 1 => Ok(numbers),
        // There is always a segment after the newest snapshot: the one that was active.
        _ => Err(StoreError::Gap {
            path: journal::segment_path(folder, covered.segment + 1),
        }),
    }
}

fn check(keyring: &Keyring, index: &Index, report: &mut OpenReport) -> Result<index::Fingerprint, String> {
    let fingerprint = index.visit(|key, sealed| {
        if let (Err(_), Some(tree)) = (keyring.open_record(key, sealed), key.tree()) {
            report.corrupt_count += 1;
            if report.corrupt.len() < CORRUPT_LISTED {
                report.corrupt.push((tree, key.clone()));
            }
        }
    })?;
    report.records = fingerprint.records;
    Ok(fingerprint)
}

const STALE: &str = "something was erased for good since it was made";
const READ_ONLY: &str = "the file system is read-only, so it is kept in memory";
const CORRUPT_LISTED: usize = 100;
