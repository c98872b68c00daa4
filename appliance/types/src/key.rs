//! What private keys are for, and what a key device may be asked to do with them.

use serde::{Deserialize, Serialize};
use std::fmt;

/// What a key is.
// New variants go to the end: the order is the form on disk.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub enum Algorithm {
    /// A P-256 key: ECDSA with SHA-256 (FIPS 186-5) and Diffie-Hellman (SP 800-56A).
    EcdsaP256,
    /// Ed25519 (RFC 8032).
    Ed25519,
    /// A P-384 key: ECDSA with SHA-384 and Diffie-Hellman.
    EcdsaP384,
    /// RSA with a modulus of 2048 bits and the exponent 65537: signatures and OAEP (RFC 8017).
    Rsa2048,
    /// RSA with 3072 bits.
    Rsa3072,
    /// RSA with 4096 bits.
    Rsa4096,
    /// AES with 256 bits: data and other keys are encrypted under it.
    Aes256,
}

impl Algorithm {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256,
        Self::EcdsaP384,
        Self::Ed25519,
        Self::Rsa2048,
        Self::Rsa3072,
        Self::Rsa4096,
        Self::Aes256,
    ];

    /// The scheme that a key of this algorithm signs with where nobody says which; `None` where it does not sign.
    #[must_use]
    pub const fn scheme(self) -> Option<Scheme> {
        match self {
            Self::EcdsaP256 => Some(Scheme::EcdsaP256Sha256),
            Self::EcdsaP384 => Some(Scheme::EcdsaP384Sha384),
            Self::Ed25519 => Some(Scheme::Ed25519),
            Self::Rsa2048 | Self::Rsa3072 | Self::Rsa4096 => Some(Scheme::RsaPssSha256),
            Self::Aes256 => None,
        }
    }

    /// The modulus in bits, for RSA.
    #[must_use]
    pub const fn rsa_bits(self) -> Option<u16> {
        match self {
            Self::Rsa2048 => Some(2_048),
            Self::Rsa3072 => Some(3_072),
            Self::Rsa4096 => Some(4_096),
            Self::EcdsaP256 | Self::EcdsaP384 | Self::Ed25519 | Self::Aes256 => None,
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256 => "ECDSA P-256",
            Self::Ed25519 => "Ed25519",
            Self::EcdsaP384 => "ECDSA P-384",
            Self::Rsa2048 => "RSA 2048",
            Self::Rsa3072 => "RSA 3072",
            Self::Rsa4096 => "RSA 4096",
            Self::Aes256 => "AES-256",
        })
    }
}

/// A way to sign. The hash is part of it, so that no caller can combine what does not belong together.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub enum Scheme {
    /// ECDSA on P-256 with SHA-256.
    EcdsaP256Sha256,
    /// ECDSA on P-384 with SHA-384.
    EcdsaP384Sha384,
    /// Ed25519.
    Ed25519,
    /// RSASSA-PSS with SHA-256, MGF1 with SHA-256, a salt of 32 bytes (RFC 8446 section 4.2.3).
    RsaPssSha256,
    /// RSASSA-PSS with SHA-384, MGF1 with SHA-384, a salt of 48 bytes.
    RsaPssSha384,
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    RsaPkcs1Sha256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    RsaPkcs1Sha384,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::EcdsaP256Sha256,
        Self::EcdsaP384Sha384,
        Self::Ed25519,
        Self::RsaPssSha256,
        Self::RsaPssSha384,
        Self::RsaPkcs1Sha256,
        Self::RsaPkcs1Sha384,
    ];

    /// Whether a key of `algorithm` can sign so.
    #[must_use]
    pub const fn fits(self, algorithm: Algorithm) -> bool {
        match self {
            Self::EcdsaP256Sha256 => matches!(algorithm, Algorithm::EcdsaP256),
            Self::EcdsaP384Sha384 => matches!(algorithm, Algorithm::EcdsaP384),
            Self::Ed25519 => matches!(algorithm, Algorithm::Ed25519),
            Self::RsaPssSha256 | Self::RsaPssSha384 | Self::RsaPkcs1Sha256 | Self::RsaPkcs1Sha384 => {
                algorithm.rsa_bits().is_some()
            }
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::EcdsaP256Sha256 => "ECDSA P-256 with SHA-256",
            Self::EcdsaP384Sha384 => "ECDSA P-384 with SHA-384",
            Self::Ed25519 => "Ed25519",
            Self::RsaPssSha256 => "RSA-PSS with SHA-256",
            Self::RsaPssSha384 => "RSA-PSS with SHA-384",
            Self::RsaPkcs1Sha256 => "RSA PKCS#1 v1.5 with SHA-256",
            Self::RsaPkcs1Sha384 => "RSA PKCS#1 v1.5 with SHA-384",
        })
    }
}

/// The hash of RSA-OAEP and of its mask (RFC 8017 section 7.1).
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub enum OaepHash {
    /// SHA-1: what some hardware is limited to. OAEP does not need its hash to resist collisions, so this is no weakness here.
    Sha1,
    /// SHA-256.
    Sha256,
    /// SHA-384.
    Sha384,
}

impl OaepHash {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sha1, Self::Sha256, Self::Sha384];
}

impl fmt::Display for OaepHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
        })
    }
}

/// Something that a key device may be asked to do. What it prints completes the sentence "the device can …".
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[non_exhaustive]
pub enum Operation {
    /// Random bytes.
    Random,
    /// Make a key.
    Generate(Algorithm),
    /// Take in a key made elsewhere.
    Import(Algorithm),
    /// List keys.
    List,
    /// Destroy keys.
    Destroy,
    /// Sign.
    Sign(Scheme),
    /// Check a signature of one of its keys.
    Verify(Scheme),
    /// Agree on a secret with the holder of another key.
    Agree(Algorithm),
    /// Decrypt with RSA-OAEP.
    Decrypt(OaepHash),
    /// Encrypt and decrypt data with AES-256-GCM.
    EncryptData,
    /// Wrap and unwrap other keys under a key of its own.
    WrapKey,
    /// Seal a secret to itself.
    Seal,
    /// Seal to itself and a PIN, whose guesses it counts.
    SealToPin,
    /// Seal to itself and the values that its PCRs have.
    SealToPcrs,
    /// Seal to itself and whatever PCR values somebody's key approves.
    SealToApproval,
    /// Count, never backwards.
    Count,
    /// Certify the counter's value together with something of the caller's.
    CertifyCounter,
    /// Extend PCRs.
    Extend,
    /// Certify what its PCRs say.
    Quote,
}

impl Operation {
    /// All of them, in the order in which people read about them.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let mut all = vec![Self::Random];
        all.extend(Algorithm::ALL.map(Self::Generate));
        all.extend(Algorithm::ALL.map(Self::Import));
        all.extend([Self::List, Self::Destroy]);
        all.extend(Scheme::ALL.map(Self::Sign));
        all.extend(Scheme::ALL.map(Self::Verify));
        all.extend([Self::Agree(Algorithm::EcdsaP256), Self::Agree(Algorithm::EcdsaP384)]);
        all.extend(OaepHash::ALL.map(Self::Decrypt));
        all.extend([
            Self::EncryptData,
            Self::WrapKey,
            Self::Seal,
            Self::SealToPin,
            Self::SealToPcrs,
            Self::SealToApproval,
            Self::Count,
            Self::CertifyCounter,
            Self::Extend,
            Self::Quote,
        ]);
        all
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Random => f.write_str("give random bytes"),
            Self::Generate(algorithm) => write!(f, "generate {algorithm} keys"),
            Self::Import(algorithm) => write!(f, "import {algorithm} keys"),
            Self::List => f.write_str("list its keys"),
            Self::Destroy => f.write_str("destroy keys"),
            Self::Sign(scheme) => write!(f, "sign, {scheme}"),
            Self::Verify(scheme) => write!(f, "verify, {scheme}"),
            Self::Agree(algorithm) => match algorithm {
                Algorithm::EcdsaP256 => f.write_str("agree on a secret, ECDH P-256"),
                Algorithm::EcdsaP384 => f.write_str("agree on a secret, ECDH P-384"),
                other => write!(f, "agree on a secret with {other} keys"),
            },
            Self::Decrypt(hash) => write!(f, "decrypt, RSA-OAEP with {hash}"),
            Self::EncryptData => f.write_str("encrypt and decrypt data, AES-256-GCM"),
            Self::WrapKey => f.write_str("wrap and unwrap keys under AES-256"),
            Self::Seal => f.write_str("seal secrets to itself"),
            Self::SealToPin => f.write_str("seal secrets to a PIN"),
            Self::SealToPcrs => f.write_str("seal secrets to PCR values"),
            Self::SealToApproval => f.write_str("seal secrets to a signed PCR policy"),
            Self::Count => f.write_str("count, never backwards"),
            Self::CertifyCounter => f.write_str("certify its counter"),
            Self::Extend => f.write_str("extend PCRs"),
            Self::Quote => f.write_str("quote PCRs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Algorithm, Operation};
    use std::collections::BTreeSet;

    #[test]
    fn no_operation_is_listed_twice_or_named_as_another() {
        let all = Operation::all();
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
        assert_eq!(
            all.iter().map(ToString::to_string).collect::<BTreeSet<_>>().len(),
            all.len()
        );
    }

    #[test]
    fn the_scheme_of_an_algorithm_fits_it() {
        for algorithm in Algorithm::ALL {
            assert!(
                algorithm.scheme().is_none_or(|scheme| scheme.fits(algorithm)),
                "{algorithm}"
            );
        }
    }
}
