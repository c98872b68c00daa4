//! What can go wrong with the store.

use super::tree::{RecordKey, Tree};
use redan_hal::keys::{DeviceIdentity, KeyError};
use std::io;
use std::path::{Path, PathBuf};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the store open.
    #[error("{} is in use by another vault", path.display())]
    InUse {
        /// The lock file.
        path: PathBuf,
    },
    /// A file could not be read or written.
    #[error("{operation} {}: {source}", path.display())]
    File {
        /// What was being done, as a verb.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// The system's answer.
        source: io::Error,
    },
    /// The key device failed.
    #[error("key device: {0}")]
    Device(#[from] KeyError),
    /// The store belongs to another key device.
    #[error("this store belongs to another key device: it was sealed by {sealed_by}; the one present is {present}")]
    OtherDevice {
        /// The device that sealed the store.
        sealed_by: DeviceIdentity,
        /// The device that is there.
        present: DeviceIdentity,
    },
    /// The keyring is missing, though there is data that needs it.
    #[error("{} is missing, but there is a journal: without it the records cannot be read; restore it from a backup", path.display())]
    KeyringMissing {
        /// The keyring's file.
        path: PathBuf,
    },
    /// A file of the store was written by a newer version of Redan.
    #[error("{} has format {found}, this version reads up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u16,
        /// The newest known.
        known: u16,
    },
    /// A file of the store is damaged where data that was acknowledged lies, so that the store cannot be opened as a whole.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// The journal's files do not continue each other.
    #[error("the journal has a gap: {} is missing", path.display())]
    Gap {
        /// The file that should be there.
        path: PathBuf,
    },
    /// An export cannot be read: it was cut short or altered, or the key is another.
    #[error("the export cannot be read: {0}")]
    Export(&'static str),
    /// The file of an export could not be read or written.
    #[error("the export's file: {0}")]
    ExportFile(String),
    /// There is a store already where one was to be made from an export.
    #[error("{} holds a store already", path.display())]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// One record does not authenticate. The others can be read.
    #[error("corrupt record {key} in tree {tree}: it was altered on disk, or belongs elsewhere")]
    Corrupt {
        /// The tree.
        tree: Tree,
        /// The record: the keyed hash of its name, or its number.
        key: RecordKey,
    },
    /// A record is larger than the store takes.
    #[error("a change of {length} bytes is more than the store takes at once ({limit})")]
    TooLarge {
        /// The change's size in bytes.
        length: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// The disk is full: this change was not made. Later ones may succeed.
    #[error("the disk is full, the change was not made: {0}")]
    Full(String),
    /// The store takes no changes until it is opened again: this one was not acknowledged. Reading goes on.
    #[error("the store is read-only, the change was not acknowledged: {0}")]
    ReadOnly(String),
    /// A record had been encrypted for this change under a key that was rotated away before the change was made. Try again.
    #[error("the keys were rotated meanwhile, the change was not made: {0}")]
    Stale(String),
    /// A rotation of the keys is under way already.
    #[error("the keys are being rotated already")]
    Rotating,
    /// The index failed while reading and could not be rebuilt.
    #[error("the index failed: {0}")]
    Index(String),
    /// A library failed in a way that no input explains.
    #[error("failed to {0}")]
    Library(&'static str),
}

impl StoreError {
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }

    pub(crate) fn damaged(path: &Path, offset: usize, what: &'static str) -> Self {
        Self::Damaged {
            path: path.to_owned(),
            offset: u64::try_from(offset).unwrap_or(u64::MAX),
            what,
        }
    }

    /// Whether this is a sync that failed, and not for want of room.
    pub(crate) fn is_failed_sync(&self) -> bool {
        matches!(self, Self::File { operation: "sync", .. }) && !self.is_full()
    }

    /// Whether this is the system saying that the disk is full.
    pub(crate) fn is_full(&self) -> bool {
        matches!(self, Self::File { source, .. }
            if matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded))
    }
}
