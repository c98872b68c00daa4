//! One entry as the tree holds it.
//!
//! ```text
//! leaf data  = version (1 byte, 0x01) | sequence (8, big endian) | time (8, microseconds since 1970, big endian)
//!            | salt (32) | commitment (32) | ciphertext (the rest)
//! commitment = SHA-256("redan audit entry v1\n" | sequence | time | salt | opening (32) | plaintext)
//! ```
//!
//! The sequence is the leaf's index in the tree. The plaintext is an [`Entry`](crate::Entry)'s canonical bytes. The ciphertext is the
//! opening and the plaintext, encrypted by the vault under a key of the person whom the entry concerns, with the leaf's first 81
//! bytes ([`LeafHeader::to_bytes`]) as associated data; salt and opening are fresh random bytes for every entry.
//!
//! Why a commitment, and not the entry's key in the export: authenticated ciphers such as AES-GCM do not commit to their key, so
//! whoever writes the log could prepare a ciphertext that opens to one text with one key and to another text with another. SHA-256
//! has no such second opening: what an export shows as plaintext is what was committed to when the entry was appended, the verifier
//! needs no cipher, and an export hands out no key. The opening is random and stands nowhere but in the ciphertext: once the
//! person's key is destroyed, nobody can test a guess of the plaintext against the commitment, and the leaf, the tree and every
//! proof stay as they are.

use crate::hash::{Hash, leaf_hash};
use sha2::{Digest, Sha256};
use std::fmt;

/// The version of the leaf's layout.
pub const LEAF_VERSION: u8 = 1;
/// Bytes before the ciphertext.
pub const HEADER: usize = 1 + 8 + 8 + 32 + 32;
/// The longest leaf data, in bytes.
pub const MAX_LEAF: usize = 64 * 1024;

const DOMAIN: &[u8] = b"redan audit entry v1\n";

/// Why bytes are not a leaf.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum LeafError {
    /// Shorter than the fixed part or longer than [`MAX_LEAF`].
    #[error("leaf data has {HEADER} to {MAX_LEAF} bytes, not {0}")]
    Length(usize),
    /// Of a layout that this program does not know.
    #[error("the leaf has version {0}, this program reads version {LEAF_VERSION}")]
    Version(u8),
}

/// What opens a leaf's commitment: 32 random bytes, secret until the entry is shown to somebody. Not printed.
#[derive(Clone, Eq, PartialEq)]
pub struct Opening(pub [u8; 32]);

impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opening(..)")
    }
}

/// The leaf's part before the ciphertext.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct LeafHeader {
    /// The leaf's index in the tree, from 0.
    pub sequence: u64,
    /// Microseconds since 1970-01-01T00:00:00Z.
    pub time: u64,
    /// Fresh random bytes.
    pub salt: [u8; 32],
    /// What ties the plaintext to the leaf.
    pub commitment: [u8; 32],
}

impl LeafHeader {
    /// The header of an entry: computes the commitment to `plaintext`. `salt` and `opening` must be fresh random bytes.
    #[must_use]
    pub fn commit(sequence: u64, time: u64, salt: [u8; 32], opening: &Opening, plaintext: &[u8]) -> Self {
        Self {
            sequence,
            time,
            salt,
            commitment: commitment(sequence, time, &salt, opening, plaintext),
        }
    }

    /// Whether `plaintext` is what was committed to.
    #[must_use]
    pub fn opens(&self, opening: &Opening, plaintext: &[u8]) -> bool {
        commitment(self.sequence, self.time, &self.salt, opening, plaintext) == self.commitment
    }

    /// The bytes of the header, which are also the associated data of the ciphertext.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.push(LEAF_VERSION);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.time.to_be_bytes());
        bytes.extend_from_slice(&self.salt);
        bytes.extend_from_slice(&self.commitment);
        bytes
    }
}

/// A leaf's data.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Leaf {
    /// The part before the ciphertext.
    pub header: LeafHeader,
    /// Opening and plaintext, encrypted.
    pub ciphertext: Vec<u8>,
}

impl Leaf {
    /// The leaf data that the tree hashes.
    ///
    /// # Errors
    /// [`LeafError::Length`] beyond [`MAX_LEAF`].
    pub fn to_bytes(&self) -> Result<Vec<u8>, LeafError> {
        let mut bytes = self.header.to_bytes();
        bytes.extend_from_slice(&self.ciphertext);
        if bytes.len() > MAX_LEAF {
            Err(LeafError::Length(bytes.len()))
        } else {
            Ok(bytes)
        }
    }

    /// Reads leaf data. Every accepted input is the only one for its leaf.
    ///
    /// # Errors
    /// Says what about the bytes is wrong.
    pub fn parse(data: &[u8]) -> Result<Self, LeafError> {
        let length = LeafError::Length(data.len());
        if data.len() > MAX_LEAF {
            return Err(length);
        }
        let (version, rest) = data.split_first().ok_or(length)?;
        let (sequence, rest) = rest.split_first_chunk().ok_or(length)?;
        let (time, rest) = rest.split_first_chunk().ok_or(length)?;
        let (salt, rest) = rest.split_first_chunk().ok_or(length)?;
        let (commitment, ciphertext) = rest.split_first_chunk().ok_or(length)?;
        if *version != LEAF_VERSION {
            return Err(LeafError::Version(*version));
        }
        let header = LeafHeader {
            sequence: u64::from_be_bytes(*sequence),
            time: u64::from_be_bytes(*time),
            salt: *salt,
            commitment: *commitment,
        };
        Ok(Self {
            header,
            ciphertext: ciphertext.to_vec(),
        })
    }

    /// The leaf's hash.
    ///
    /// # Errors
    /// [`LeafError::Length`] beyond [`MAX_LEAF`].
    pub fn hash(&self) -> Result<Hash, LeafError> {
        self.to_bytes().map(|data| leaf_hash(&data))
    }
}

fn commitment(sequence: u64, time: u64, salt: &[u8; 32], opening: &Opening, plaintext: &[u8]) -> [u8; 32] {
    // Every field but the last has a fixed length, so no two inputs give the same bytes to hash.
    Sha256::new()
        .chain_update(DOMAIN)
        .chain_update(sequence.to_be_bytes())
        .chain_update(time.to_be_bytes())
        .chain_update(salt)
        .chain_update(opening.0)
        .chain_update(plaintext)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use super::{HEADER, Leaf, LeafError, LeafHeader, MAX_LEAF, Opening};
    use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

    proptest! {
        #[test]
        fn a_leaf_reads_what_it_writes(data in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut data = data;
            if let Some(version) = data.first_mut() { *version = 1; }
            match Leaf::parse(&data) {
                Ok(leaf) => prop_assert_eq!(leaf.to_bytes().unwrap(), data),
                Err(error) => { prop_assert!(data.len() < HEADER); prop_assert_eq!(error, LeafError::Length(data.len())); }
            }
        }
    }

    #[test]
    fn a_commitment_opens_to_its_plaintext_only() {
        let opening = Opening([2; 32]);
        let header = LeafHeader::commit(5, 6, [1; 32], &opening, b"text");
        assert!(header.opens(&opening, b"text"));
        assert!(!header.opens(&opening, b"texu"));
        assert!(!header.opens(&Opening([3; 32]), b"text"));
        assert!(!LeafHeader { sequence: 6, ..header }.opens(&opening, b"text"));
        assert!(!LeafHeader { time: 7, ..header }.opens(&opening, b"text"));
    }

    #[test]
    fn other_versions_and_lengths_are_refused() {
        assert_eq!(Leaf::parse(&[2; HEADER]), Err(LeafError::Version(2)));
        assert_eq!(
            Leaf::parse(&vec![1; MAX_LEAF + 1]),
            Err(LeafError::Length(MAX_LEAF + 1))
        );
    }
}
