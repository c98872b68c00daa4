//! What can go wrong with a key device.

use super::{Algorithm, DeviceIdentity};
use redan_types::KeyId;
use std::io;
use std::path::{Path, PathBuf};

/// Why a key device did not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The device keeps no such key.
    #[error("the key device keeps no key {0}")]
    NoSuchKey(KeyId),
    /// The device cannot do this at all.
    #[error("{device} cannot {operation}")]
    Unsupported {
        /// The device asked.
        device: DeviceIdentity,
        /// What it lacks, as a verb.
        operation: &'static str,
    },
    /// The key given is not a well-formed key of the algorithm.
    #[error("the key given is not a well-formed {0} key in PKCS#8")]
    Malformed(Algorithm),
    /// Another device sealed this.
    #[error("sealed by another key device: {sealed_by}; the one present is {present}")]
    OtherDevice {
        /// The device that sealed it.
        sealed_by: DeviceIdentity,
        /// The device that was asked to open it.
        present: DeviceIdentity,
    },
    /// Sealed by this device, but altered since or for another context.
    #[error("a sealed secret does not open: it was altered, or sealed for another purpose")]
    Unsealable,
    /// The secret does not fit.
    #[error("a secret of {length} bytes cannot be sealed, the device takes {limit}")]
    TooLong {
        /// The secret's length in bytes.
        length: usize,
        /// What the device takes.
        limit: usize,
    },
    /// The device's file is not what the device wrote.
    #[error("{} is corrupt: {what}; restore it from a backup, for without it the store cannot be opened", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The device's file was written by a newer version.
    #[error("{} has format {found}, this version reads up to {known}", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// The format found.
        found: u16,
        /// The newest known.
        known: u16,
    },
    /// Other people can read or write the device's file.
    #[error("{} has mode {mode:o}; it must be 600, for whoever reads it has the keys", path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
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
    /// The cryptographic library failed.
    #[error("the cryptographic library failed to {0}")]
    Library(&'static str),
}

impl KeyError {
    pub(super) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File {
            operation,
            path,
            source,
        }
    }
}
