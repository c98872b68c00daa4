//! What a verification found, in words.

use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::hash::Hash;
use crate::leaf::LeafError;
use std::fmt;

/// Where the keys came from that the checkpoints were verified with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum KeySource {
    /// From the export itself: proves only that the export agrees with itself.
    Export,
    /// Given by the person who verifies.
    Pinned,
}

/// The result of reading an export to its end.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The log's name.
    pub origin: String,
    /// Where the keys came from.
    pub key_source: KeySource,
    /// The index of the first exported entry.
    pub first: u64,
    /// Entries read.
    pub entries: u64,
    /// Entries whose plaintext is shown and fits the leaf.
    pub shown: u64,
    /// Checkpoints whose signature and root were verified.
    pub checkpoints: u64,
    /// The last checkpoint that was verified, as a signed note: worth keeping for the next verification.
    pub last: Option<(Checkpoint, String)>,
    /// Everything that is wrong, in the order of the lines.
    pub findings: Vec<Finding>,
    /// Findings beyond the limit, which are counted only.
    pub more: u64,
}

impl Report {
    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.findings.is_empty() && self.more == 0
    }
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// The line in the file, from 1; for what is missing, the line before which it is missed.
    pub line: u64,
    /// What is wrong.
    pub problem: Problem,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.problem)
    }
}

/// What is wrong. Entries are named by their sequence, the index in the log from 0.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// A line is no line of an export.
    #[error("the line cannot be read: {0}")]
    Malformed(String),
    /// A line cannot be read, and from those around it it is this entry's.
    #[error("entry {sequence}: its line cannot be read: {why}")]
    Unread {
        /// The entry.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// The plaintext that an entry shows cannot be read.
    #[error("entry {sequence}: the plaintext shown cannot be read: {why}")]
    PlaintextUnread {
        /// The entry.
        sequence: u64,
        /// Why.
        why: String,
    },
    /// A line stands where it does not belong.
    #[error("{0}")]
    Misplaced(&'static str),
    /// The header names another log than the key.
    #[error("the export is of the log {found}, the key is of {expected}")]
    Origin {
        /// The log that the key belongs to.
        expected: String,
        /// The log that the header names.
        found: String,
    },
    /// The pinned key is not among the header's.
    #[error("the export was made with other keys than the one you gave: {0}")]
    Keys(String),
    /// A leaf cannot be read.
    #[error("entry {sequence}: its data is not a leaf: {error}")]
    Leaf {
        /// The entry.
        sequence: u64,
        /// Why.
        error: LeafError,
    },
    /// A leaf's data is not base64.
    #[error("entry {0}: its data is not base64")]
    LeafBase64(u64),
    /// An entry's data is not what its hash says, and the signed root confirms the hash.
    #[error("entry {sequence}: its data was changed: the signed log holds the hash {stated}, the data has {computed}")]
    DataChanged {
        /// The entry.
        sequence: u64,
        /// The hash in the line.
        stated: Hash,
        /// The hash of the data.
        computed: Hash,
    },
    /// An entry's hash is not that of its data, and the signed root confirms the data.
    #[error("entry {sequence}: its stated hash was changed: the line says {stated}, the signed log holds {computed}")]
    HashChanged {
        /// The entry.
        sequence: u64,
        /// The hash in the line.
        stated: Hash,
        /// The hash of the data.
        computed: Hash,
    },
    /// An entry's data and its hash differ, and no checkpoint tells which is right.
    #[error("entry {sequence}: data and hash do not fit: the line says {stated}, the data has {computed}")]
    HashDiffers {
        /// The entry.
        sequence: u64,
        /// The hash in the line.
        stated: Hash,
        /// The hash of the data.
        computed: Hash,
    },
    /// The line's sequence is not the leaf's.
    #[error("entry {leaf}: the line calls it entry {line}")]
    Sequence {
        /// The sequence in the line.
        line: u64,
        /// The sequence in the leaf.
        leaf: u64,
    },
    /// The shown plaintext is not what was committed to.
    #[error("entry {0}: the plaintext shown is not the one that was logged")]
    Plaintext(u64),
    /// The shown plaintext has another time than the leaf.
    #[error("entry {sequence}: the plaintext has the time {plaintext}, the leaf has {leaf}")]
    Time {
        /// The entry.
        sequence: u64,
        /// The plaintext's time.
        plaintext: u64,
        /// The leaf's time.
        leaf: u64,
    },
    /// Only one of opening and plaintext is there.
    #[error("entry {0}: opening and plaintext belong together, one of them is missing")]
    HalfShown(u64),
    /// Entries are missing.
    #[error("{} missing", entries(*.from, *.to, "is", "are"))]
    Missing {
        /// The first missing entry.
        from: u64,
        /// The last missing entry.
        to: u64,
    },
    /// The tail is missing: the last checkpoint, the header or a checkpoint kept from before attests more entries than are there.
    #[error("the tail is cut off: {attests} attests {size} entries, {} missing", entries(*.from, size.saturating_sub(1), "is", "are"))]
    CutOff {
        /// What attests the size.
        attests: &'static str,
        /// The attested size.
        size: u64,
        /// The first missing entry.
        from: u64,
    },
    /// An entry stands after a later one.
    #[error("entry {sequence} stands after entry {after}: the order was changed")]
    Order {
        /// The entry.
        sequence: u64,
        /// The entry before it in the file.
        after: u64,
    },
    /// An entry appears again.
    #[error("entry {0} appears twice")]
    Twice(u64),
    /// A checkpoint is not one of this log, or its signature is wrong.
    #[error("the checkpoint after {} is refused: {error}", after(*.position))]
    Checkpoint {
        /// Entries before it.
        position: u64,
        /// Why.
        error: CheckpointError,
    },
    /// A checkpoint's size does not fit its place.
    #[error("the checkpoint of {size} entries stands after {}", after(*.position))]
    CheckpointPlace {
        /// The checkpoint's size.
        size: u64,
        /// Entries before it.
        position: u64,
    },
    /// The counter of a later checkpoint is lower: the store was replaced by an older copy in between.
    #[error(
        "the checkpoint of {size} entries has the counter {counter}, an earlier one has {before}: the log was rolled back in between"
    )]
    Counter {
        /// The checkpoint's size.
        size: u64,
        /// Its counter.
        counter: u64,
        /// The earlier checkpoint's counter.
        before: u64,
    },
    /// The entries do not lead to the signed root.
    #[error("{} not what was signed: they lead to the root {found}, the checkpoint of {size} entries has {signed}", entries(*.from, size.saturating_sub(1), "is", "are"))]
    Root {
        /// The first entry that the previous good checkpoint does not cover.
        from: u64,
        /// The checkpoint's size.
        size: u64,
        /// The signed root.
        signed: Hash,
        /// The root of the entries in the export.
        found: Hash,
    },
    /// The log does not contain the log of a checkpoint that the verifier kept from before.
    #[error(
        "the log was rewritten: its first {size} entries have the root {found}, the checkpoint you kept has {kept}"
    )]
    Rewritten {
        /// The kept checkpoint's size.
        size: u64,
        /// Its root.
        kept: Hash,
        /// The root of as many entries of the export.
        found: Hash,
    },
    /// Entries after the last checkpoint.
    #[error("{} not covered by a checkpoint", entries(*.from, *.to, "is", "are"))]
    Unattested {
        /// The first such entry.
        from: u64,
        /// The last such entry.
        to: u64,
    },
    /// There is no good checkpoint at all.
    #[error("the export has no checkpoint that verifies, so nothing in it is attested")]
    NoCheckpoint,
    /// The header announces another end than the last checkpoint attests.
    #[error("the header announces entries up to {announced}, the export ends before entry {found}")]
    Range {
        /// The header's `end`.
        announced: u64,
        /// The end found.
        found: u64,
    },
    /// The last line is not an end line.
    #[error("the export has no end line: it was cut off here")]
    NoEnd,
    /// The end line counts other lines than there are.
    #[error("the end line counts {counted} lines before it, there are {found}")]
    Lines {
        /// The number in the end line.
        counted: u64,
        /// Lines before the end line.
        found: u64,
    },
    /// The end line's digest does not fit.
    #[error("the end line's digest does not fit the file: bytes were changed, or the end line was")]
    Digest,
}

fn entries(from: u64, to: u64, one: &str, many: &str) -> String {
    if from >= to {
        format!("entry {from} {one}")
    } else {
        format!("entries {from} to {to} {many}")
    }
}

fn after(position: u64) -> String {
    match position.checked_sub(1) {
        Some(entry) => format!("entry {entry}"),
        None => "the header".to_owned(),
    }
}
