//! What stands at the end of a slot.
//!
//! A slot holds, from its first byte on, the root file system (EROFS), the dm-verity hash tree, and the trailer. A slot is written
//! from front to back, so that one that was written half has no trailer that fits its kernel image; and were an old trailer still
//! there, the kernel would find the first block that does not fit its hash.
//!
//! Nothing in a trailer is trusted: which root file system a kernel starts stands in its signed command line ([`Root`]), the kernel
//! checks the signature over the root hash, and the device checks each approval.

use crate::{Version, hex, sha256, unhex};
use serde::{Deserialize, Serialize};

/// Bytes of the trailer.
pub const TRAILER: usize = 64 << 10;
/// Bytes of a block of the file system and of the hash tree.
pub const BLOCK: u64 = 4_096;
/// The most blocks of a root file system: 1 TiB.
const LARGEST: u64 = 1 << 28;
/// The word of the kernel's command line that says which root file system belongs to it.
pub const PARAMETER: &str = "redan.root=";

const MAGIC: &[u8; 16] = b"redan slot v1\0\0\0";

/// A root file system: everything that the kernel needs to check each of its blocks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Root {
    /// The hash at the root of the tree.
    pub hash: [u8; 32],
    /// What each block's hash begins with.
    pub salt: [u8; 32],
    /// Blocks of the file system; the tree begins right after them.
    pub blocks: u64,
}

/// The trailer's content.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Trailer {
    /// The version of the image: major, minor, patch.
    pub version: [u32; 3],
    /// See [`Approval::security`]; the image's own.
    pub security: u32,
    /// The root file system.
    pub root: Root,
    /// PKCS#7 (DER, detached) over the root hash in hexadecimal, as dm-verity wants it.
    pub signature: Vec<u8>,
    /// States of the machine while this image runs that its maker approves.
    pub approvals: Vec<Approval>,
}

/// The maker's approval of one state of the machine: a value of PCR 11, where the unified kernel image is measured.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Approval {
    /// When.
    pub phase: Phase,
    /// The security version that data was sealed under for which this holds. An image approves its own and all lower ones, so
    /// that it opens what an older one sealed, and no older one opens what it sealed.
    pub security: u32,
    /// The value.
    pub pcr: [u8; 32],
    /// ECDSA P-256 with SHA-256, DER, over the policy that the value makes and the reference ([`reference`]).
    pub signature: Vec<u8>,
}

/// How far the start has come.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Phase {
    /// Until the data partition is open: what the firmware and the stub have measured.
    Start,
    /// From then on: the first program has measured that it is done ([`leaves`]), and what the data partition was sealed to cannot
    /// be had any more until the next start.
    Service,
}

/// This is no trailer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum TrailerError {
    /// There is none: a slot that nothing was written to, or not all.
    #[error("the slot is empty")]
    Empty,
    /// Its checksum or its form is wrong.
    #[error("the slot's trailer is damaged")]
    Damaged,
    /// It does not fit its place.
    #[error("the slot's trailer is longer than its place")]
    Long,
}

impl Trailer {
    /// The trailer as it is written, exactly [`TRAILER`] bytes.
    ///
    /// # Errors
    /// [`TrailerError::Long`].
    pub fn encode(&self) -> Result<Vec<u8>, TrailerError> {
        let body = postcard::to_stdvec(self).map_err(|_| TrailerError::Long)?;
        let length = u32::try_from(body.len()).map_err(|_| TrailerError::Long)?;
        let mut bytes = [&MAGIC[..], &length.to_le_bytes(), &body].concat();
        let checksum = sha256(&[&bytes]);
        bytes.extend_from_slice(&checksum);
        if bytes.len() > TRAILER {
            return Err(TrailerError::Long);
        }
        bytes.resize(TRAILER, 0);
        Ok(bytes)
    }

    /// Reads what stands in the trailer's place.
    ///
    /// # Errors
    /// [`TrailerError::Empty`], [`TrailerError::Damaged`].
    pub fn decode(bytes: &[u8]) -> Result<Self, TrailerError> {
        let Some(rest) = bytes.strip_prefix(MAGIC) else {
            return Err(TrailerError::Empty);
        };
        let (length, rest) = rest.split_first_chunk().ok_or(TrailerError::Damaged)?;
        let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| TrailerError::Damaged)?;
        let (body, rest) = rest.split_at_checked(length).ok_or(TrailerError::Damaged)?;
        let checked = bytes.get(..MAGIC.len() + 4 + length).ok_or(TrailerError::Damaged)?;
        if rest.get(..32) != Some(&sha256(&[checked])[..]) {
            return Err(TrailerError::Damaged);
        }
        postcard::from_bytes(body).map_err(|_| TrailerError::Damaged)
    }
}

impl Trailer {
    /// The version of the image.
    #[must_use]
    pub const fn version(&self) -> Version {
        let [major, minor, patch] = self.version;
        Version { major, minor, patch }
    }
}

impl Root {
    /// Blocks of the hash tree: each of its levels has a hash for every block of the level below, the last one a single block.
    #[must_use]
    pub const fn tree_blocks(&self) -> u64 {
        let (mut below, mut all) = (self.blocks, 0);
        while below > 1 {
            below = below.div_ceil(BLOCK / 32);
            all += below;
        }
        all
    }

    /// Where the trailer is in the slot, in bytes; `None` where no disk is that large.
    #[must_use]
    pub const fn trailer_offset(&self) -> Option<u64> {
        if self.blocks > LARGEST {
            return None;
        }
        Some((self.blocks + self.tree_blocks()) * BLOCK)
    }

    /// The word of the command line.
    #[must_use]
    pub fn parameter(&self) -> String {
        format!("{PARAMETER}{},{},{}", hex(&self.hash), hex(&self.salt), self.blocks)
    }

    /// Reads the word in a command line; `None` where there is none, or more than one, or another form.
    #[must_use]
    pub fn from_command_line(line: &str) -> Option<Self> {
        let mut words = line
            .split_ascii_whitespace()
            .filter_map(|word| word.strip_prefix(PARAMETER));
        let word = words.next()?;
        if words.next().is_some() {
            return None;
        }
        let mut parts = word.split(',');
        let root = Self {
            hash: unhex(parts.next()?)?,
            salt: unhex(parts.next()?)?,
            blocks: parts.next()?.parse().ok()?,
        };
        parts.next().is_none().then_some(root)
    }
}

/// What an approval is for: a line of images and the security version that data was sealed under.
#[must_use]
pub fn reference(security: u32) -> Vec<u8> {
    [&b"redan data v1 "[..], &security.to_be_bytes()].concat()
}

/// What PCR 11 is extended with when the data partition is open.
#[must_use]
pub fn leaves() -> [u8; 32] {
    sha256(&[b"redan: the data partition is open"])
}

/// The register of unified kernel images (UAPI group, "Linux TPM PCR Registry").
pub const IMAGE_PCR: u8 = 11;

#[cfg(test)]
mod tests {
    use super::{Approval, Phase, Root, TRAILER, Trailer, TrailerError};
    use proptest::prelude::*;

    fn trailer() -> Trailer {
        Trailer {
            version: [1, 2, 0],
            security: 3,
            root: Root {
                hash: [1; 32],
                salt: [2; 32],
                blocks: 77,
            },
            signature: vec![5; 900],
            approvals: vec![Approval {
                phase: Phase::Start,
                security: 3,
                pcr: [7; 32],
                signature: vec![8; 70],
            }],
        }
    }

    #[test]
    fn a_trailer_is_read_as_it_was_written() {
        let bytes = trailer().encode().unwrap();
        assert_eq!(bytes.len(), TRAILER);
        assert_eq!(Trailer::decode(&bytes), Ok(trailer()));
    }

    #[test]
    fn a_place_with_zeros_is_an_empty_slot() {
        assert_eq!(Trailer::decode(&vec![0; TRAILER]), Err(TrailerError::Empty));
        assert_eq!(Trailer::decode(&[]), Err(TrailerError::Empty));
    }

    #[test]
    fn the_trailer_follows_the_tree() {
        let blocks = |blocks| Root {
            blocks,
            ..trailer().root
        };
        assert_eq!(blocks(128).tree_blocks(), 1);
        assert_eq!(blocks(129).tree_blocks(), 2 + 1);
        assert_eq!(blocks(128 * 128 + 1).tree_blocks(), 129 + 2 + 1);
        assert_eq!(blocks(128).trailer_offset(), Some(129 * 4_096));
        assert_eq!(blocks(u64::MAX).trailer_offset(), None);
    }

    #[test]
    fn a_command_line_names_one_root() {
        let root = trailer().root;
        let line = format!("quiet {} ro", root.parameter());
        assert_eq!(Root::from_command_line(&line), Some(root));
        assert_eq!(Root::from_command_line(&format!("{line} {}", root.parameter())), None);
        assert_eq!(Root::from_command_line(&line.replace(",77", ",77,1")), None);
        assert_eq!(Root::from_command_line("quiet"), None);
    }

    proptest! {
        #[test]
        fn a_changed_trailer_is_not_read(at in 0_usize..1_100, bit in 0_u8..8) {
            let mut bytes = trailer().encode().unwrap();
            let whole = 20 + postcard::to_stdvec(&trailer()).unwrap().len() + 32;
            prop_assume!(at < whole);
            bytes[at] ^= 1 << bit;
            prop_assert!(Trailer::decode(&bytes).is_err());
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Trailer::decode(&bytes);
            let _ = Trailer::decode(&[&super::MAGIC[..], &bytes].concat());
        }
    }
}
