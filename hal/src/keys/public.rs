//! The public half of a key: its forms, its identifier, and what can be done with it without any device.

use super::KeyError;
use super::der;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rsa::{
    OAEP_SHA1_MGF1SHA1, OAEP_SHA256_MGF1SHA256, OAEP_SHA384_MGF1SHA384, OaepAlgorithm, OaepPublicEncryptingKey,
    PublicEncryptingKey,
};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, UnparsedPublicKey, VerificationAlgorithm,
};
use redan_types::{Algorithm, KeyId, OaepHash, Scheme, SecretBytes};

/// The public half of a key.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PublicKey {
    /// The algorithm.
    pub algorithm: Algorithm,
    /// The raw key: the uncompressed point for P-256 (65 bytes) and P-384 (97 bytes), 32 bytes for Ed25519, the `RSAPublicKey` of
    /// RFC 8017 in DER for RSA.
    pub raw: Vec<u8>,
}

impl PublicKey {
    /// The `SubjectPublicKeyInfo` in DER (RFC 5480 section 2, RFC 8410 section 4, RFC 3279 section 2.3.1).
    #[must_use]
    pub fn spki(&self) -> Vec<u8> {
        // For the curves the bytes before the key are always the same: lengths are fixed, so there is nothing to encode.
        let head: &[u8] = match self.algorithm {
            Algorithm::EcdsaP256 => &[
                0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86,
                0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
            ],
            Algorithm::EcdsaP384 => &[
                0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81,
                0x04, 0x00, 0x22, 0x03, 0x62, 0x00,
            ],
            Algorithm::Ed25519 => &[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00],
            _ => return der::rsa_spki(&self.raw),
        };
        [head, &self.raw].concat()
    }

    /// The key's identifier: the first half of the SHA-256 of its `SubjectPublicKeyInfo`.
    #[must_use]
    pub fn id(&self) -> KeyId {
        let hash = digest(&SHA256, &self.spki());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.as_ref()).for_each(|(to, from)| *to = *from);
        KeyId(id)
    }

    /// Checks a signature over `message`.
    ///
    /// # Errors
    /// [`KeyError::Signature`] where it is not this key's signature of the message; also where the scheme is for other keys.
    pub fn verify(&self, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        if !scheme.fits(self.algorithm) {
            return Err(KeyError::Signature);
        }
        let algorithm: &'static dyn VerificationAlgorithm = match scheme {
            Scheme::EcdsaP256Sha256 => &ECDSA_P256_SHA256_ASN1,
            Scheme::EcdsaP384Sha384 => &ECDSA_P384_SHA384_ASN1,
            Scheme::Ed25519 => &ED25519,
            Scheme::RsaPssSha256 => &RSA_PSS_2048_8192_SHA256,
            Scheme::RsaPssSha384 => &RSA_PSS_2048_8192_SHA384,
            Scheme::RsaPkcs1Sha256 => &RSA_PKCS1_2048_8192_SHA256,
            Scheme::RsaPkcs1Sha384 => &RSA_PKCS1_2048_8192_SHA384,
            _ => return Err(KeyError::Signature),
        };
        UnparsedPublicKey::new(algorithm, &self.raw)
            .verify(message, signature)
            .map_err(|_| KeyError::Signature)
    }

    /// Encrypts a short secret for the holder of the private half with RSA-OAEP and an empty label.
    ///
    /// # Errors
    /// The key is not an RSA key, or the secret is longer than its modulus allows.
    pub fn encrypt(&self, hash: OaepHash, secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        if self.algorithm.rsa_bits().is_none() {
            return Err(KeyError::Malformed(self.algorithm));
        }
        let key = PublicEncryptingKey::from_der(&self.spki())
            .and_then(|key| {
                OaepPublicEncryptingKey::new(key)
                    .map_err(|_| aws_lc_rs::error::KeyRejected::from(aws_lc_rs::error::Unspecified))
            })
            .map_err(|_| KeyError::Malformed(self.algorithm))?;
        let algorithm = oaep(hash);
        let limit = key.max_plaintext_size(algorithm);
        let length = secret.expose().len();
        if length > limit {
            return Err(KeyError::TooLong { length, limit });
        }
        let mut buffer = vec![0; key.ciphertext_size()];
        let length = key
            .encrypt(algorithm, secret.expose(), &mut buffer, None)
            .map_err(|_| KeyError::Library("encrypt"))?
            .len();
        buffer.truncate(length);
        Ok(buffer)
    }
}

pub(super) fn oaep(hash: OaepHash) -> &'static OaepAlgorithm {
    match hash {
        OaepHash::Sha256 => &OAEP_SHA256_MGF1SHA256,
        OaepHash::Sha384 => &OAEP_SHA384_MGF1SHA384,
        _ => &OAEP_SHA1_MGF1SHA1,
    }
}
