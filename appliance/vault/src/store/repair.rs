//! Opening a damaged store without what cannot be read: only where an operator allowed it, and with a report that names the loss.
//!
//! A store whose journal or snapshot is damaged does not open by itself. What is lost may have been the revocation of a key or the
//! end of a session, so that going on without it is a decision. An empty file [`ALLOWED`] in the state folder is that decision, once.
//!
//! Everything that can be read is written into a new snapshot; the damaged files are kept in a folder beside it, with the report.
//! Within a damaged frame each record carries its own authentication: one that passes is whole, and is kept. Deletions carry none and
//! are only named.

use super::error::StoreError;
use super::folder;
use super::index::CleanMark;
use super::journal::{self, Active, Hole, Position, Salvaged};
use super::keyring::Keyring;
use super::mutation::Mutation;
use super::snapshot::{self, Covered};
use super::tree::{RecordKey, Tree};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// What a repair could not read, and what became of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Repair {
    /// Each place where something is lost.
    pub losses: Vec<Loss>,
    /// Records that could be read.
    pub records: u64,
    /// The folder that the damaged files and this report were kept in.
    pub kept: PathBuf,
}

/// One place where something is lost.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Loss {
    /// The file.
    pub path: PathBuf,
    /// Its bytes that could not be read; none where the whole file is missing.
    pub bytes: std::ops::Range<u64>,
    /// The numbers of the lost group commits, where they follow from what is around them.
    pub frames: std::ops::Range<u64>,
    /// What was found.
    pub what: &'static str,
    /// Changes in it that were whole by themselves and were kept.
    pub kept: u64,
    /// Records that it seems to have changed and that are as they were before, or gone. More may be concerned.
    pub concerned: Vec<(Tree, RecordKey)>,
}

/// Whether an operator allowed a repair of the store in this state folder.
pub(super) fn is_allowed(state: &Path) -> bool {
    state.join(ALLOWED).exists()
}

/// Takes the permission back: it is given for one start.
pub(super) fn take_back(state: &Path) -> Result<(), StoreError> {
    folder::remove(&state.join(ALLOWED))?;
    folder::sync(state)
}

/// Makes a store that opens out of what can be read.
pub(super) fn repair(folder: &Path, keyring: &Keyring) -> Result<Repair, StoreError> {
    let store_id = keyring.store_id();
    let mut records = BTreeMap::new();
    let mut losses = Vec::new();
    let snapshots = snapshot::all(folder)?;
    let base = snapshots.last().copied().unwrap_or(0);
    let mut position = Position::birth(store_id);
    if base > 0 {
        let (stood, lost) = snapshot::salvage(folder, store_id, base, &mut records)?;
        let path = snapshot::path(folder, base);
        losses.extend(
            lost.into_iter()
                .map(|bytes| Loss::new(&path, bytes, "rows of a snapshot cannot be read")),
        );
        if let Some(stood) = stood {
            position = stood;
        } else {
            losses.push(Loss::new(&path, 0..0, "its head is damaged"));
        }
    }
    let segments = journal::segments(folder)?;
    let last = segments.last().copied().unwrap_or(base).max(base);
    let (end, found) = journal::salvage(folder, store_id, base + 1..=last, position)?;
    for salvaged in found {
        match salvaged {
            Salvaged::Change(Mutation::Put(key, value)) => drop(records.insert(key, value)),
            Salvaged::Change(Mutation::Delete(key)) => drop(records.remove(&key)),
            Salvaged::Hole(hole) => losses.push(take_remains(hole, keyring, &mut records)),
        }
    }
    let kept = folder.join(format!("damaged-{last:016x}"));
    folder::create(&kept)?;
    let covered = Covered {
        segment: last,
        position: end,
        bytes: 0,
    };
    let repair = Repair {
        losses,
        records: records.len() as u64,
        kept,
    };
    snapshot::prepare(folder, store_id, &covered, &records)?;
    for path in segments
        .iter()
        .map(|number| journal::segment_path(folder, *number))
        .chain(snapshots.iter().map(|number| snapshot::path(folder, *number)))
    {
        let name = path.file_name().unwrap_or_default();
        let copy = repair.kept.join(name);
        folder::remove(&copy)?;
        std::fs::hard_link(&path, &copy).map_err(StoreError::file("keep", &path))?;
    }
    folder::replace(&repair.kept.join("report"), repair.to_string().as_bytes())?;
    CleanMark::remove(folder)?;
    // The segment after the new snapshot first: an interruption leaves a journal that does not fit, and that is repaired again.
    Active::begin(folder, store_id, last + 1, end)?;
    snapshot::publish(folder, &covered)?;
    Ok(repair)
}

/// Keeps what is whole by itself of a hole, and names the rest.
fn take_remains(hole: Hole, keyring: &Keyring, records: &mut BTreeMap<RecordKey, Vec<u8>>) -> Loss {
    let mut loss = Loss::new(&hole.path, hole.bytes, hole.what);
    loss.frames = hole.frames;
    for mutation in hole.remains {
        match mutation {
            Mutation::Put(key, value) if keyring.open_record(&key, &value).is_ok() => {
                loss.kept += 1;
                records.insert(key, value);
            }
            Mutation::Put(key, _) | Mutation::Delete(key) => loss.name(key),
        }
    }
    loss
}

impl Loss {
    fn new(path: &Path, bytes: std::ops::Range<u64>, what: &'static str) -> Self {
        Self {
            path: path.to_owned(),
            bytes,
            frames: 0..0,
            what,
            kept: 0,
            concerned: Vec::new(),
        }
    }

    fn name(&mut self, key: RecordKey) {
        if self.concerned.len() < CONCERNED
            && let Some(tree) = key.tree()
        {
            self.concerned.push((tree, key));
        }
    }
}

impl std::fmt::Display for Loss {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}, bytes {} to {}: {}",
            self.path.display(),
            self.bytes.start,
            self.bytes.end,
            self.what
        )?;
        if !self.frames.is_empty() {
            write!(f, "; group commits {} to {}", self.frames.start, self.frames.end - 1)?;
        }
        if self.kept > 0 {
            write!(f, "; {} changes in it were whole and kept", self.kept)?;
        }
        for (tree, key) in &self.concerned {
            write!(f, "; a change of {key} in tree {tree} is lost")?;
        }
        Ok(())
    }
}

impl std::fmt::Display for Repair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut text = String::new();
        for loss in &self.losses {
            writeln!(text, "{loss}")?;
        }
        writeln!(
            f,
            "{text}{} records could be read; the damaged files are in {}",
            self.records,
            self.kept.display()
        )
    }
}

/// The file in the state folder that allows one repair.
const ALLOWED: &str = "repair";
/// Records named for one place.
const CONCERNED: usize = 100;
