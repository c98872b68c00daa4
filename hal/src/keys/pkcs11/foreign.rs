//! The numbers of a key that was made elsewhere, and checks of what others send.

use crate::keys::software::SoftwareKey;
use crate::keys::{Algorithm, KeyError, PublicKey, der};
use aws_lc_rs::agreement::{ECDH_P256, ECDH_P384, ParsedPublicKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsBigEndian, Curve25519SeedBin, EcPrivateKeyBin};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
};
use redan_ipc::messages::pkcs11::{ForeignKey, RsaNumbers};
use redan_types::{KeyId, SecretBytes};

/// The numbers of a key and its identifier.
pub(super) fn parse(algorithm: Algorithm, key: &SecretBytes) -> Result<(KeyId, ForeignKey), KeyError> {
    let malformed = || KeyError::Malformed(algorithm);
    if algorithm == Algorithm::Aes256 {
        let bytes: &[u8; 32] = key.expose().try_into().map_err(|_| malformed())?;
        let label = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), AES_LABEL);
        let id = label.as_ref().first_chunk::<16>().ok_or_else(malformed)?;
        return Ok((KeyId(*id), ForeignKey::Aes(key.clone())));
    }
    let parsed = SoftwareKey::parse(algorithm, key)?;
    let id = parsed.public().id();
    let point = parsed.public().raw.clone();
    let curve = |private: &[u8]| ForeignKey::Curve {
        algorithm,
        private: SecretBytes::new(private.to_vec()),
        point,
    };
    let numbers = match algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => {
            let signing = if algorithm == Algorithm::EcdsaP256 {
                &ECDSA_P256_SHA256_ASN1_SIGNING
            } else {
                &ECDSA_P384_SHA384_ASN1_SIGNING
            };
            let pair = EcdsaKeyPair::from_pkcs8(signing, key.expose()).map_err(|_| malformed())?;
            let number: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| malformed())?;
            curve(number.as_ref())
        }
        Algorithm::Ed25519 => {
            let pair = Ed25519KeyPair::from_pkcs8(key.expose()).map_err(|_| malformed())?;
            let seed = pair.seed().map_err(|_| malformed())?;
            let seed: Curve25519SeedBin<'_> = seed.as_be_bytes().map_err(|_| malformed())?;
            curve(seed.as_ref())
        }
        _ => {
            let numbers = der::RsaPrivate::parse(key.expose()).ok_or_else(malformed)?;
            let secret = |bytes: &[u8]| SecretBytes::new(bytes.to_vec());
            ForeignKey::Rsa(Box::new(RsaNumbers {
                private_exponent: secret(&numbers.private_exponent),
                prime_1: secret(&numbers.prime_1),
                prime_2: secret(&numbers.prime_2),
                exponent_1: secret(&numbers.exponent_1),
                exponent_2: secret(&numbers.exponent_2),
                coefficient: secret(&numbers.coefficient),
                modulus: numbers.modulus,
                public_exponent: numbers.public_exponent,
            }))
        }
    };
    Ok((id, numbers))
}

/// The bytes of a public key of a curve.
pub(super) const fn point_length(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::EcdsaP256 => Some(65),
        Algorithm::EcdsaP384 => Some(97),
        Algorithm::Ed25519 => Some(32),
        _ => None,
    }
}

/// Checks that `peer` is a point of the curve.
pub(super) fn check_point(algorithm: Algorithm, peer: &PublicKey) -> Result<(), KeyError> {
    let malformed = || KeyError::Malformed(algorithm);
    let curve = if algorithm == Algorithm::EcdsaP256 {
        &ECDH_P256
    } else {
        &ECDH_P384
    };
    if peer.algorithm != algorithm || Some(peer.raw.len()) != point_length(algorithm) {
        return Err(malformed());
    }
    ParsedPublicKey::try_from(UnparsedPublicKey::new(curve, &peer.raw))
        .map(drop)
        .map_err(|_| malformed())
}

const AES_LABEL: &[u8] = b"redan AES key identifier v1";
