//! An update as one file.
//!
//! ```text
//! magic                16 bytes, "redan update v1\0"
//! length of manifest   u32, little-endian
//! manifest             postcard, see [`Manifest`]
//! length of signature  u32, little-endian
//! signature            RSA PKCS#1 v1.5 with SHA-256 over everything before the signature's length
//! parts                the bytes of each part in the order of the manifest, nothing between them, nothing after them
//! ```
//!
//! The head is small: it is read and its signature checked before anything is written anywhere, and each part is checked against its
//! hash while it is written. A part that does not match leaves an empty slot and an unfinished file behind, never something that
//! starts.

use crate::slot::Trailer;
use crate::{Version, sha256};
use aws_lc_rs::signature::{RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey};
use serde::{Deserialize, Serialize};

/// The longest head: magic, manifest, signature.
pub const LONGEST_HEAD: usize = 128 << 10;

const MAGIC: &[u8; 16] = b"redan update v1\0";

/// What a bundle holds.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Manifest {
    /// The version of the image.
    pub version: Version,
    /// Its security version: not to be installed where a higher one has been made permanent.
    pub security: u32,
    /// The unified kernel image, for the system partition.
    pub kernel: Part,
    /// The root file system and its hash tree, for the beginning of a slot.
    pub root: Part,
    /// For the end of the slot; written last.
    pub trailer: Trailer,
}

/// Some bytes of a bundle.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Part {
    /// How many.
    pub length: u64,
    /// Their SHA-256.
    pub hash: [u8; 32],
}

/// Whose updates are taken: an RSA public key as PKCS#1 `RSAPublicKey` (RFC 8017, A.1.1).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct UpdateKey(pub Vec<u8>);

/// The head of a bundle whose signature holds. Only [`Head::open`] makes one.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Head {
    manifest: Manifest,
    length: u64,
}

/// This is no update for this appliance.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum BundleError {
    /// Another kind of file.
    #[error("this is no update bundle")]
    Other,
    /// It ends too early or its form is wrong.
    #[error("the update bundle is damaged")]
    Damaged,
    /// The signature does not hold.
    #[error("the update bundle is not signed by the maker of this appliance")]
    Signature,
}

impl Manifest {
    /// The bytes that are signed.
    ///
    /// # Errors
    /// It is too long for a head.
    pub fn signed(&self) -> Result<Vec<u8>, BundleError> {
        let body = postcard::to_stdvec(self).map_err(|_| BundleError::Damaged)?;
        let length = u32::try_from(body.len()).map_err(|_| BundleError::Damaged)?;
        let bytes = [&MAGIC[..], &length.to_le_bytes(), &body].concat();
        if bytes.len() > LONGEST_HEAD / 2 + TRAILER_ROOM {
            return Err(BundleError::Damaged);
        }
        Ok(bytes)
    }
}

/// A trailer's approvals and signature are most of a manifest.
const TRAILER_ROOM: usize = 32 << 10;
/// RSA of 8192 bits.
const LONGEST_SIGNATURE: usize = 1_024;

/// The head of a bundle: what was signed, and the signature.
#[must_use]
pub fn head(signed: &[u8], signature: &[u8]) -> Vec<u8> {
    // No signature is anywhere near the limit of the number.
    let length = u32::try_from(signature.len()).unwrap_or(0);
    [signed, &length.to_le_bytes(), signature].concat()
}

impl Head {
    /// Reads the beginning of a bundle, at most [`LONGEST_HEAD`] bytes of it, and checks the signature.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn open(bytes: &[u8], key: &UpdateKey) -> Result<Self, BundleError> {
        let rest = bytes.strip_prefix(MAGIC).ok_or(BundleError::Other)?;
        let (body, rest) = sized(rest, LONGEST_HEAD)?;
        let signed = bytes.get(..MAGIC.len() + 4 + body.len()).ok_or(BundleError::Damaged)?;
        let (signature, _) = sized(rest, LONGEST_SIGNATURE)?;
        UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, &key.0)
            .verify(signed, signature)
            .map_err(|_| BundleError::Signature)?;
        let manifest = postcard::from_bytes(body).map_err(|_| BundleError::Damaged)?;
        let length = signed.len() + 4 + signature.len();
        Ok(Self {
            manifest,
            length: length.try_into().map_err(|_| BundleError::Damaged)?,
        })
    }

    /// What the bundle holds.
    #[must_use]
    pub const fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where the kernel image begins in the file; the root follows it.
    #[must_use]
    pub const fn kernel_offset(&self) -> u64 {
        self.length
    }

    /// Where the root begins in the file.
    ///
    /// # Errors
    /// The lengths make no sense.
    pub fn root_offset(&self) -> Result<u64, BundleError> {
        let offset = self.length.checked_add(self.manifest.kernel.length);
        offset.ok_or(BundleError::Damaged)
    }

    /// How long the whole file is.
    ///
    /// # Errors
    /// The lengths make no sense.
    pub fn whole(&self) -> Result<u64, BundleError> {
        let whole = self.root_offset()?.checked_add(self.manifest.root.length);
        whole.ok_or(BundleError::Damaged)
    }
}

impl Part {
    /// These bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self {
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            hash: sha256(&[bytes]),
        }
    }
}

fn sized(bytes: &[u8], limit: usize) -> Result<(&[u8], &[u8]), BundleError> {
    let (length, rest) = bytes.split_first_chunk().ok_or(BundleError::Damaged)?;
    let length = usize::try_from(u32::from_le_bytes(*length)).map_err(|_| BundleError::Damaged)?;
    if length > limit {
        return Err(BundleError::Damaged);
    }
    rest.split_at_checked(length).ok_or(BundleError::Damaged)
}

#[cfg(test)]
mod tests {
    use super::{BundleError, Head, Manifest, Part, UpdateKey, head};
    use crate::slot::{Root, Trailer};
    use aws_lc_rs::rand::SystemRandom;
    use aws_lc_rs::rsa::{KeyPair, KeySize};
    use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
    use std::sync::LazyLock;

    static KEY: LazyLock<KeyPair> = LazyLock::new(|| KeyPair::generate(KeySize::Rsa2048).unwrap());

    fn key() -> UpdateKey {
        UpdateKey(KEY.public_key().as_ref().to_vec())
    }

    fn manifest() -> Manifest {
        let version: crate::Version = "2.0".parse().unwrap();
        let root = Root {
            hash: [1; 32],
            salt: [2; 32],
            blocks: 3,
        };
        Manifest {
            version: version.clone(),
            security: 1,
            kernel: Part::of(b"kernel"),
            root: Part::of(b"root file system"),
            trailer: Trailer {
                version,
                security: 1,
                root,
                signature: vec![4; 500],
                approvals: Vec::new(),
            },
        }
    }

    fn bundle() -> Vec<u8> {
        let signed = manifest().signed().unwrap();
        let mut signature = vec![0; KEY.public_modulus_len()];
        KEY.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), &signed, &mut signature).unwrap();
        [&head(&signed, &signature)[..], b"kernel", b"root file system"].concat()
    }

    #[test]
    fn a_signed_bundle_says_where_its_parts_are() {
        let bundle = bundle();
        let head = Head::open(&bundle, &key()).unwrap();
        assert_eq!(*head.manifest(), manifest());
        let at = |offset: u64| &bundle[usize::try_from(offset).unwrap()..];
        assert!(at(head.kernel_offset()).starts_with(b"kernel"));
        assert_eq!(at(head.root_offset().unwrap()), b"root file system");
        assert_eq!(head.whole().unwrap(), u64::try_from(bundle.len()).unwrap());
    }

    #[test]
    fn a_bundle_of_somebody_else_is_refused() {
        let other = KeyPair::generate(KeySize::Rsa2048).unwrap();
        let other = UpdateKey(other.public_key().as_ref().to_vec());
        assert_eq!(Head::open(&bundle(), &other), Err(BundleError::Signature));
    }

    #[test]
    fn a_changed_head_is_refused_wherever_it_was_changed() {
        let whole = bundle();
        let length = usize::try_from(Head::open(&whole, &key()).unwrap().kernel_offset()).unwrap();
        for at in 0..length {
            let mut changed = whole.clone();
            changed[at] ^= 1;
            assert!(Head::open(&changed, &key()).is_err(), "byte {at}");
        }
        for cut in 0..length {
            assert!(Head::open(&whole[..cut], &key()).is_err(), "cut at {cut}");
        }
    }
}
