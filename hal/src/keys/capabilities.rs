//! Which device it is and what it can do.

use redan_types::{Algorithm, Operation};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;

/// Which kind of device, and which one of its kind.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct DeviceIdentity {
    /// The kind.
    pub kind: DeviceKind,
    /// Which one: random for software; for a TPM derived from its storage root key, which only clearing the TPM changes; for an
    /// HSM from its token's serial number and the sealing key made in it.
    pub id: [u8; 16],
}

impl fmt::Display for DeviceIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.kind)?;
        self.id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A kind of key device.
// New variants go to the end: the order is the form on disk.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
#[non_exhaustive]
pub enum DeviceKind {
    /// A file. For development and evaluation: whoever reads the file has the keys.
    Software,
    /// A TPM 2.0, soldered to the board or in the processor's firmware.
    Tpm2,
    /// A hardware security module behind its vendor's PKCS#11 module.
    Pkcs11,
}

impl fmt::Display for DeviceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Software => "software keys (development and evaluation only)",
            Self::Tpm2 => "TPM 2.0",
            Self::Pkcs11 => "PKCS#11 module",
        })
    }
}

/// What a device can do.
#[derive(Clone, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Capabilities {
    /// Everything that it offers. What is not in here fails with [`super::KeyError::Unsupported`].
    pub operations: BTreeSet<Operation>,
    /// Whether private keys are kept from whoever owns the disk and the memory.
    pub protects_keys: bool,
    /// Whether the counter survives the restoring of an old disk, so that a rollback shows.
    pub counter_survives_restore: bool,
    /// The longest secret that it seals, in bytes.
    pub seal_limit: usize,
}

impl Capabilities {
    /// Whether the device can do this.
    #[must_use]
    pub fn offers(&self, operation: Operation) -> bool {
        self.operations.contains(&operation)
    }

    /// The algorithms that it makes keys of.
    pub fn algorithms(&self) -> impl Iterator<Item = Algorithm> {
        Algorithm::ALL
            .into_iter()
            .filter(|algorithm| self.offers(Operation::Generate(*algorithm)))
    }
}

impl fmt::Display for Capabilities {
    /// A few lines for an operator: what the device is good for, and what it lacks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let listed = |f: &mut fmt::Formatter<'_>, items: Vec<String>| match items.split_last() {
            None => f.write_str("none"),
            Some((last, [])) => f.write_str(last),
            Some((last, others)) => write!(f, "{} and {last}", others.join(", ")),
        };
        f.write_str(if self.protects_keys {
            "Private keys never leave the device.\n"
        } else {
            "Whoever reads the device's file has its keys.\n"
        })?;
        f.write_str("Makes keys: ")?;
        listed(f, self.algorithms().map(|algorithm| algorithm.to_string()).collect())?;
        f.write_str(".\nSeals the store to: ")?;
        let bonds = [
            (Operation::Seal, "itself"),
            (Operation::SealToPin, "a PIN"),
            (Operation::SealToPcrs, "the measured boot state"),
            (Operation::SealToApproval, "boot states that a signer approves"),
        ];
        listed(
            f,
            bonds
                .iter()
                .filter(|(operation, _)| self.offers(*operation))
                .map(|(_, words)| (*words).to_owned())
                .collect(),
        )?;
        f.write_str(match (self.offers(Operation::Count), self.counter_survives_restore) {
            (false, _) => ".\nNo counter: an older state of the disk cannot be told by it.",
            (true, false) => ".\nIts counter goes back when an old copy of its file is restored.",
            (true, true) => ".\nIts counter tells when an old state of the disk was restored.",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Capabilities, DeviceIdentity, DeviceKind};
    use redan_types::{Algorithm, Operation};
    use std::collections::BTreeSet;

    #[test]
    fn capabilities_read_as_sentences() {
        let mut capabilities = Capabilities {
            operations: BTreeSet::from([
                Operation::Generate(Algorithm::EcdsaP256),
                Operation::Generate(Algorithm::Rsa2048),
                Operation::Seal,
                Operation::Count,
            ]),
            protects_keys: true,
            counter_survives_restore: true,
            seal_limit: 128,
        };
        assert_eq!(
            capabilities.to_string(),
            "Private keys never leave the device.\nMakes keys: ECDSA P-256 and RSA 2048.\nSeals the store to: itself.\nIts counter \
             tells when an old state of the disk was restored."
        );
        capabilities.operations.clear();
        assert!(
            capabilities.to_string().contains("Makes keys: none.") && capabilities.to_string().contains("No counter")
        );
    }

    #[test]
    fn an_identity_names_kind_and_device() {
        let identity = DeviceIdentity {
            kind: DeviceKind::Tpm2,
            id: [0xab; 16],
        };
        assert_eq!(identity.to_string(), format!("TPM 2.0 {}", "ab".repeat(16)));
    }
}
