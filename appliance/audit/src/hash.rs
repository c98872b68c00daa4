//! SHA-256 as RFC 9162 section 2.1.1 uses it: different prefixes for leaves and nodes, so that neither can stand for the other.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;

/// A SHA-256 value of the tree. Prints and serialises as standard base64 with padding.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct Hash(pub [u8; 32]);

impl Hash {
    /// The root of a tree without leaves: the hash of nothing.
    #[must_use]
    pub fn of_empty_tree() -> Self {
        Self(Sha256::digest(b"").into())
    }

    /// Reads the base64 form; `None` where it is anything but 32 bytes in canonical base64.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        // 32 bytes are exactly 44 characters; longer text is refused before it is decoded.
        if text.len() != 44 {
            return None;
        }
        STANDARD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&STANDARD.encode(self.0))
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

impl From<Hash> for String {
    fn from(hash: Hash) -> Self {
        hash.to_string()
    }
}

impl TryFrom<String> for Hash {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text).ok_or("not 32 bytes in base64")
    }
}

/// The hash of a leaf: SHA-256 of 0x00 and the leaf's data.
#[must_use]
pub fn leaf_hash(data: &[u8]) -> Hash {
    Hash(Sha256::new().chain_update([0x00]).chain_update(data).finalize().into())
}

/// The hash of a node: SHA-256 of 0x01, the left child and the right child.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    Hash(
        Sha256::new()
            .chain_update([0x01])
            .chain_update(left.0)
            .chain_update(right.0)
            .finalize()
            .into(),
    )
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn only_the_canonical_base64_of_32_bytes_is_a_hash() {
        let text = Hash([0; 32]).to_string();
        assert_eq!(Hash::parse(&text), Some(Hash([0; 32])));
        // The last character before the padding carries two bits that must be zero.
        assert_eq!(Hash::parse(&format!("{}B=", &text[..42])), None);
        assert_eq!(Hash::parse(&text[..43]), None);
        assert_eq!(Hash::parse(&format!("{text}=")), None);
    }
}
