//! What can go wrong with a key device.

use super::{DeviceIdentity, PcrSelection};
use redan_types::{Algorithm, KeyId, Operation};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

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
        /// What it lacks.
        operation: Operation,
    },
    /// The device can do this, but not with this key.
    #[error("key {key} is for {algorithm}, which does not {operation}")]
    Unfit {
        /// The key.
        key: KeyId,
        /// What it is.
        algorithm: Algorithm,
        /// What was asked of it, as a verb.
        operation: &'static str,
    },
    /// The key given is not a well-formed key of the algorithm.
    #[error("the key given is not a well-formed {0} key")]
    Malformed(Algorithm),
    /// What was given to be verified is not the key's signature of the message.
    #[error("the signature does not verify")]
    Signature,
    /// What was given to be decrypted or unwrapped does not authenticate: altered, for another context, or made with another key.
    #[error("a ciphertext does not open: it was altered, or made with another key or for another purpose")]
    Ciphertext,
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
    /// Sealed to another state of the machine.
    #[error("sealed to another state of the machine: {0} changed since")]
    OtherState(PcrSelection),
    /// Sealed to whatever states a signer approves, and no approval was given that fits.
    #[error("the machine's state is none of the {given} approved ones; from the nearest it differs in {differing}")]
    NotApproved {
        /// How many approvals were given.
        given: usize,
        /// Where the machine differs from the nearest of them; all of the PCRs where none was given.
        differing: PcrSelection,
    },
    /// An approval fits the machine's state, but its signature is not the signer's.
    #[error("the approval of the machine's state is not signed by the key that the secret was sealed to")]
    ApprovalSignature,
    /// The PIN is wrong or missing.
    #[error("the PIN is wrong or missing{}", attempts.map_or_else(String::new, |left| format!("; {left} attempts are left")))]
    Pin {
        /// How many attempts are left before the device locks, where it says so.
        attempts: Option<u32>,
    },
    /// Too many wrong guesses: the device answers nothing that they could be tried on.
    #[error("{device} has locked itself after too many wrong PINs{}", recovery.map_or_else(String::new, |time| format!("; it takes the next one in at most {} s", time.as_secs())))]
    LockedOut {
        /// The device.
        device: String,
        /// How long until it takes another guess, where it says so.
        recovery: Option<Duration>,
    },
    /// The device stayed busy.
    #[error("{device} stayed busy for {} ms", waited.as_millis())]
    Busy {
        /// The device.
        device: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The device gave no answer in time. Whether it did what it was asked is not known.
    #[error("{device} gave no answer within {} ms", waited.as_millis())]
    Silent {
        /// The device.
        device: String,
        /// How long it was waited for.
        waited: Duration,
    },
    /// The device cannot be reached, or went away while it worked. Whether it did what it was asked is not known; the next
    /// request looks for it again.
    #[error("{device} is gone: {source}")]
    Gone {
        /// The device.
        device: String,
        /// What the system says.
        source: io::Error,
    },
    /// The device was reset while it worked and forgot what it was doing. It did not do what it was asked.
    #[error("{device} was reset while it worked; ask again")]
    Reset {
        /// The device.
        device: String,
    },
    /// An answer was altered on its way, or comes from another device.
    #[error(
        "an answer of {device} does not authenticate: something between it and the processor alters messages, or it is another device"
    )]
    Tampered {
        /// The device.
        device: String,
    },
    /// The device broke its protocol.
    #[error("{device} answered what it may not: {what}")]
    Protocol {
        /// The device.
        device: String,
        /// What is wrong with the answer.
        what: &'static str,
    },
    /// The device refused with a code of its own.
    #[error("{device} refused to {operation}: {code}")]
    Refused {
        /// The device.
        device: String,
        /// What was being done, as a verb.
        operation: &'static str,
        /// Its code, in its standard's words.
        code: String,
    },
    /// The device has no room left.
    #[error("{device} is full")]
    Full {
        /// The device.
        device: String,
    },
    /// The device's counter is gone or another one stands in its place.
    #[error(
        "the counter of {device} is not the one that was made in it: {what}; the audit log's state cannot be told from an older one"
    )]
    CounterLost {
        /// The device.
        device: DeviceIdentity,
        /// How it differs.
        what: &'static str,
    },
    /// A certificate of the device does not hold.
    #[error("a certificate of the key device does not hold: {0}")]
    Certificate(&'static str),
    /// The secret does not fit.
    #[error("a secret of {length} bytes does not fit, the device takes {limit}")]
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
