//! Sealing: what operators and the console may ask about the key that opens the store, and how the vault is told its key device.

use redan_types::{SecretString, Timestamp};
use serde::{Deserialize, Serialize};

/// The most shares that a recovery has.
pub const MOST_SHARES: u8 = 16;

/// A question or a change.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum SealRequest {
    /// Is the vault open, and what opens it?
    Status,
    /// Close the vault: nothing that needs it succeeds until somebody brings the recovery.
    Seal,
    /// Open the vault: the recovery key, or one of its shares. Shares are gathered until there are enough.
    Unseal {
        /// As it was written down.
        share: SecretString,
    },
    /// Forget the shares gathered so far.
    Forget,
    /// Make a recovery key, or replace the one there is. It is shown in the answer and never again.
    Recovery {
        /// What is made.
        shape: RecoveryShape,
        /// The recovery that is replaced: its key, or as many of its shares as it needs. Empty where there is none.
        present: Vec<SecretString>,
    },
    /// Seal the store anew to the key device that is present and to the machine's present state.
    Reseal {
        /// Whether the vault opens by itself at its start.
        unsealing: Unsealing,
    },
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum SealReply {
    /// To everything but `Recovery`: how things are now.
    Status(SealStatus),
    /// To `Recovery`: to be written down now.
    Recovery(Vec<SecretString>),
}

/// How many people a recovery takes.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryShape {
    /// Shares that are made, 1 to [`MOST_SHARES`]. One is a recovery key.
    pub shares: u8,
    /// How many of them are needed.
    pub threshold: u8,
}

/// Who opens the vault at its start.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Unsealing {
    /// The key device.
    Automatic,
    /// People, with the recovery.
    Manual,
}

/// How the vault is sealed.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct SealStatus {
    /// Why the vault is sealed; `None` while it is open.
    pub sealed: Option<String>,
    /// The key device that is present; `None` where it does not answer.
    pub device: Option<String>,
    /// Who opens the vault at its start.
    pub unsealing: Unsealing,
    /// What the store is sealed to, in words.
    pub sealed_to: String,
    /// The recovery, where there is one.
    pub recovery: Option<RecoveryStatus>,
    /// Shares gathered so far.
    pub gathered: u8,
}

/// A recovery, without anything secret.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecoveryStatus {
    /// How many people it takes.
    pub shape: RecoveryShape,
    /// Counts the recoveries that were made for this store; shares of different ones do not go together.
    pub generation: u16,
    /// When it was made.
    pub made: Timestamp,
}

/// Which key device the vault uses; the supervisor says so at the start, before the store can be read.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub enum KeyDeviceChoice {
    /// A file beside the store, for evaluation.
    #[default]
    Software,
    /// A TPM 2.0, whose descriptor comes with [`super::control::Purpose::Tpm`].
    Tpm {
        /// What people call it.
        name: String,
        /// Whether the descriptor is a simulator's socket; otherwise it is a device file.
        simulator: bool,
        /// The registers that the store is sealed to where no approval key is given; none: to the device alone.
        pcrs: Vec<u8>,
        /// Whose approvals of states count.
        approval: Option<ApprovalKey>,
        /// Approved states, as the approval's owner wrote them; read by the vault.
        approvals: Vec<u8>,
    },
    /// A token behind a vendor's module; the PIN comes with [`super::control::Purpose::Pin`].
    Pkcs11 {
        /// The token's label.
        label: String,
    },
}

/// Whose approvals of the machine's states count (`TPM2_PolicyAuthorize`).
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ApprovalKey {
    /// The uncompressed point of an ECDSA P-256 key.
    pub point: Vec<u8>,
    /// What the approvals must be for, at most 32 bytes.
    pub reference: Vec<u8>,
}
