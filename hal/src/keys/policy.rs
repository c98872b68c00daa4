//! What a sealed secret can be bound to: a PIN, the machine's measured state, states that somebody approves.
//!
//! The digests are those of TPM 2.0 (TCG "Trusted Platform Module Library", part 3, `TPM2_PolicyPCR` and `TPM2_PolicyAuthorize`), so
//! that a signer without any TPM can approve the state that an update will bring.

use super::{KeyError, PublicKey};
use aws_lc_rs::digest::{SHA256, digest};
use redan_types::{Scheme, SecretString};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Some of the 24 platform configuration registers of the SHA-256 bank.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PcrSelection(u32);

impl PcrSelection {
    /// How many registers there are.
    pub const COUNT: u8 = 24;

    /// These registers; `None` where one of them does not exist.
    #[must_use]
    pub fn new(pcrs: &[u8]) -> Option<Self> {
        pcrs.iter().try_fold(Self::default(), |selection, pcr| {
            (*pcr < Self::COUNT).then(|| Self(selection.0 | 1 << pcr))
        })
    }

    /// The registers in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        (0..Self::COUNT).filter(move |pcr| self.0 & 1 << pcr != 0)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The bits as TPM 2.0 writes them: register 0 is the lowest bit of the first byte.
    #[must_use]
    pub(super) const fn bits(self) -> [u8; 3] {
        let [first, second, third, _] = self.0.to_le_bytes();
        [first, second, third]
    }

    pub(super) const fn from_bits(bits: [u8; 3]) -> Self {
        let [first, second, third] = bits;
        Self(u32::from_le_bytes([first, second, third, 0]))
    }

    /// `TPML_PCR_SELECTION` of the SHA-256 bank.
    pub(super) fn encoded(self) -> [u8; 10] {
        let [first, second, third] = self.bits();
        [0, 0, 0, 1, 0x00, 0x0b, 3, first, second, third]
    }
}

impl fmt::Display for PcrSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("no PCR");
        }
        for (index, pcr) in self.iter().enumerate() {
            write!(f, "{}{pcr}", if index == 0 { "PCR " } else { ", " })?;
        }
        Ok(())
    }
}

/// Values of some registers.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct PcrValues {
    selection: PcrSelection,
    values: Vec<[u8; 32]>,
}

impl PcrValues {
    /// The values of the registers of `selection`, in ascending order; `None` where there are more or fewer.
    #[must_use]
    pub fn new(selection: PcrSelection, values: Vec<[u8; 32]>) -> Option<Self> {
        (selection.iter().count() == values.len()).then_some(Self { selection, values })
    }

    /// Which registers.
    #[must_use]
    pub const fn selection(&self) -> PcrSelection {
        self.selection
    }

    /// Registers and values, in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &[u8; 32])> {
        self.selection.iter().zip(&self.values)
    }

    /// The hash of all values, as quotes and policies name them.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        sha256(&[self.values.as_flattened()])
    }

    /// The registers whose values differ from those of `other`; a register that only one of them has differs.
    #[must_use]
    pub fn differing(&self, other: &Self) -> PcrSelection {
        let value = |values: &Self, pcr| values.iter().find(|(at, _)| *at == pcr).map(|(_, value)| *value);
        let either = PcrSelection(self.selection.0 | other.selection.0);
        either
            .iter()
            .filter(|pcr| value(self, *pcr) != value(other, *pcr))
            .fold(PcrSelection::default(), |selection, pcr| {
                PcrSelection(selection.0 | 1 << pcr)
            })
    }

    /// The policy that a TPM satisfies while its registers have these values (`TPM2_PolicyPCR`).
    #[must_use]
    pub fn policy(&self) -> [u8; 32] {
        sha256(&[&[0; 32], &POLICY_PCR, &self.selection.encoded(), &self.digest()])
    }

    /// What a signer signs to approve these values: the policy and the `reference` that the secret was sealed with (for instance
    /// the appliance's line of updates).
    #[must_use]
    pub fn approval_message(&self, reference: &[u8]) -> Vec<u8> {
        [&self.policy()[..], reference].concat()
    }
}

/// Somebody's approval of a state of the machine.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct PcrApproval {
    /// The values that the registers will have.
    pub values: PcrValues,
    /// The signature over [`PcrValues::approval_message`], ECDSA P-256 with SHA-256 in DER.
    pub signature: Vec<u8>,
}

impl PcrApproval {
    /// Checks the signature.
    ///
    /// # Errors
    /// [`KeyError::ApprovalSignature`].
    pub fn check(&self, signer: &PublicKey, reference: &[u8]) -> Result<(), KeyError> {
        signer
            .verify(
                Scheme::EcdsaP256Sha256,
                &self.values.approval_message(reference),
                &self.signature,
            )
            .map_err(|_| KeyError::ApprovalSignature)
    }
}

/// What a sealed secret is bound to besides the device.
#[derive(Clone, Debug, Default)]
pub struct SealPolicy {
    /// The machine's state.
    pub binding: Binding,
    /// A PIN, whose wrong guesses the device counts and stops.
    pub pin: Option<SecretString>,
}

/// To which states of the machine a secret is bound.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
#[non_exhaustive]
pub enum Binding {
    /// To none: it opens on this device whatever runs there.
    #[default]
    Device,
    /// To the values that these registers have now.
    Pcrs(PcrSelection),
    /// To the values that the holder of `signer` (an ECDSA P-256 key) approves, now or later, for `reference`.
    Approved {
        /// Whose approvals count.
        signer: PublicKey,
        /// What the approvals must be for, at most 32 bytes.
        reference: Vec<u8>,
    },
}

/// What opens a sealed secret besides the device.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unlock<'a> {
    /// Approvals of states; the one that fits the machine is used.
    pub approvals: &'a [PcrApproval],
    /// The PIN.
    pub pin: Option<&'a SecretString>,
}

pub(super) fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = [0; 32];
    let all = digest(&SHA256, &parts.concat());
    hash.iter_mut().zip(all.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// `TPM_CC_PolicyPCR`.
const POLICY_PCR: [u8; 4] = [0x00, 0x00, 0x01, 0x7f];

#[cfg(test)]
mod tests {
    use super::{PcrSelection, PcrValues};

    #[test]
    fn a_selection_names_its_registers() {
        let selection = PcrSelection::new(&[7, 0, 23, 7]).unwrap();
        assert_eq!(selection.to_string(), "PCR 0, 7, 23");
        assert_eq!(selection.bits(), [0x81, 0x00, 0x80]);
        assert_eq!(PcrSelection::from_bits(selection.bits()), selection);
        assert_eq!(PcrSelection::new(&[24]), None);
        assert_eq!(PcrSelection::default().to_string(), "no PCR");
    }

    #[test]
    fn the_registers_that_differ_are_named() {
        let two = PcrSelection::new(&[1, 2]).unwrap();
        let before = PcrValues::new(two, vec![[1; 32], [2; 32]]).unwrap();
        let after = PcrValues::new(two, vec![[1; 32], [3; 32]]).unwrap();
        assert_eq!(before.differing(&after), PcrSelection::new(&[2]).unwrap());
        assert!(before.differing(&before).is_empty());
        let other = PcrValues::new(PcrSelection::new(&[5]).unwrap(), vec![[1; 32]]).unwrap();
        assert_eq!(before.differing(&other).to_string(), "PCR 1, 2, 5");
        assert_eq!(PcrValues::new(two, vec![[0; 32]]), None);
    }
}
