//! A private key in memory, of any algorithm, ready for use.

use crate::keys::public::oaep;
use crate::keys::{KeyError, PublicKey};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::agreement::{self, ECDH_P256, ECDH_P384, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{self, KeySize, OaepPrivateDecryptingKey, PrivateDecryptingKey};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding,
};
use redan_types::{Algorithm, KeyId, OaepHash, Scheme, SecretBytes};

/// A software private key ready to sign, for whoever keeps keys outside a device: the vault's short-lived leaf keys, which a
/// slow device certifies.
#[derive(Debug)]
pub struct SoftwareKey {
    key: Usable,
    public: PublicKey,
}

/// A key of any algorithm, ready for use.
pub(super) struct Usable {
    algorithm: Algorithm,
    id: KeyId,
    secret: Secret,
    random: SystemRandom,
}

enum Secret {
    Curve {
        signer: EcdsaKeyPair,
        agreement: PrivateKey,
        public: PublicKey,
    },
    Ed25519 {
        pair: Ed25519KeyPair,
        public: PublicKey,
    },
    Rsa {
        signer: rsa::KeyPair,
        decrypter: OaepPrivateDecryptingKey,
        public: PublicKey,
    },
    Aes(RandomizedNonceKey),
}

impl SoftwareKey {
    /// Makes a key and returns its PKCS#8 form, for AES its 32 bytes.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn generate(algorithm: Algorithm) -> Result<SecretBytes, KeyError> {
        const FAILED: KeyError = KeyError::Library("make a key");
        let curve = |curve: &'static EcdsaSigningAlgorithm| {
            let pair = EcdsaKeyPair::generate(curve).and_then(|pair| pair.to_pkcs8v1());
            pair.map(|document| document.as_ref().to_vec()).map_err(|_| FAILED)
        };
        let rsa = |size: KeySize| {
            let pair = rsa::KeyPair::generate(size).map_err(|_| FAILED)?;
            let document: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| FAILED)?;
            Ok(document.as_ref().to_vec())
        };
        let bytes = match algorithm {
            Algorithm::EcdsaP256 => curve(&ECDSA_P256_SHA256_ASN1_SIGNING)?,
            Algorithm::EcdsaP384 => curve(&ECDSA_P384_SHA384_ASN1_SIGNING)?,
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::generate().and_then(|pair| pair.to_pkcs8v1());
                pair.map_err(|_| FAILED)?.as_ref().to_vec()
            }
            Algorithm::Rsa2048 => rsa(KeySize::Rsa2048)?,
            Algorithm::Rsa3072 => rsa(KeySize::Rsa3072)?,
            Algorithm::Rsa4096 => rsa(KeySize::Rsa4096)?,
            Algorithm::Aes256 => {
                let mut key = vec![0; 32];
                aws_lc_rs::rand::fill(&mut key).map_err(|_| FAILED)?;
                key
            }
            _ => return Err(FAILED),
        };
        Ok(SecretBytes::new(bytes))
    }

    /// Reads a key from the form that [`SoftwareKey::generate`] returns.
    ///
    /// # Errors
    /// The bytes are not a key of the algorithm, or it is one without a public half.
    pub fn parse(algorithm: Algorithm, key: &SecretBytes) -> Result<Self, KeyError> {
        let key = Usable::parse(algorithm, key)?;
        let public = key.public()?.clone();
        Ok(Self { key, public })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs as [`crate::keys::KeyDevice::sign`] does.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.sign(message)
    }

    /// Signs as [`crate::keys::KeyDevice::sign_with`] does.
    ///
    /// # Errors
    /// The key does not sign under this scheme, or the cryptographic library failed.
    pub fn sign_with(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.sign_with(scheme, message)
    }
}

impl Usable {
    pub(super) fn parse(algorithm: Algorithm, key: &SecretBytes) -> Result<Self, KeyError> {
        let (id, secret) = Secret::parse(algorithm, key.expose()).ok_or(KeyError::Malformed(algorithm))?;
        Ok(Self {
            algorithm,
            id,
            secret,
            random: SystemRandom::new(),
        })
    }

    pub(super) const fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The identifier: the public half's, for AES one that is derived from the key and does not tell it.
    pub(super) const fn id(&self) -> KeyId {
        self.id
    }

    pub(super) fn public(&self) -> Result<&PublicKey, KeyError> {
        match &self.secret {
            Secret::Curve { public, .. } | Secret::Ed25519 { public, .. } | Secret::Rsa { public, .. } => Ok(public),
            Secret::Aes(_) => Err(self.unfit("have a public half")),
        }
    }

    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let scheme = self.algorithm.scheme().ok_or_else(|| self.unfit("sign"))?;
        self.sign_with(scheme, message)
    }

    pub(super) fn sign_with(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        const FAILED: KeyError = KeyError::Library("sign");
        if !scheme.fits(self.algorithm) {
            return Err(self.unfit("sign under this scheme"));
        }
        match &self.secret {
            Secret::Curve { signer, .. } => signer
                .sign(&self.random, message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| FAILED),
            Secret::Ed25519 { pair, .. } => pair
                .try_sign(message)
                .map(|signature| signature.as_ref().to_vec())
                .map_err(|_| FAILED),
            Secret::Rsa { signer, .. } => {
                let encoding: &'static dyn RsaEncoding = match scheme {
                    Scheme::RsaPssSha256 => &RSA_PSS_SHA256,
                    Scheme::RsaPssSha384 => &RSA_PSS_SHA384,
                    Scheme::RsaPkcs1Sha256 => &RSA_PKCS1_SHA256,
                    Scheme::RsaPkcs1Sha384 => &RSA_PKCS1_SHA384,
                    _ => return Err(self.unfit("sign under this scheme")),
                };
                let mut signature = vec![0; signer.public_modulus_len()];
                signer
                    .sign(encoding, &self.random, message, &mut signature)
                    .map_err(|_| FAILED)?;
                Ok(signature)
            }
            Secret::Aes(_) => Err(self.unfit("sign")),
        }
    }

    pub(super) fn agree(&self, peer: &PublicKey) -> Result<SecretBytes, KeyError> {
        let Secret::Curve { agreement, .. } = &self.secret else {
            return Err(self.unfit("agree on secrets"));
        };
        if peer.algorithm != self.algorithm {
            return Err(KeyError::Malformed(self.algorithm));
        }
        let peer = UnparsedPublicKey::new(agreement.algorithm(), &peer.raw);
        agreement::agree(agreement, peer, KeyError::Malformed(self.algorithm), |common| {
            Ok(SecretBytes::new(common.to_vec()))
        })
    }

    pub(super) fn decrypt(&self, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        let Secret::Rsa { decrypter, .. } = &self.secret else {
            return Err(self.unfit("decrypt"));
        };
        let mut buffer = vec![0; decrypter.min_output_size()];
        let length = decrypter
            .decrypt(oaep(hash), ciphertext, &mut buffer, None)
            .map_err(|_| KeyError::Ciphertext)?
            .len();
        buffer.truncate(length);
        Ok(SecretBytes::new(buffer))
    }

    pub(super) fn encrypt_data(&self, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let Secret::Aes(key) = &self.secret else {
            return Err(self.unfit("encrypt data"));
        };
        let mut buffer = plaintext.to_vec();
        let nonce = key
            .seal_in_place_append_tag(Aad::from(context), &mut buffer)
            .map_err(|_| KeyError::Library("encrypt"))?;
        Ok([nonce.as_ref().as_slice(), &buffer].concat())
    }

    pub(super) fn decrypt_data(&self, context: &[u8], ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        let Secret::Aes(key) = &self.secret else {
            return Err(self.unfit("decrypt data"));
        };
        let (nonce, sealed) = ciphertext
            .split_first_chunk::<NONCE_LEN>()
            .ok_or(KeyError::Ciphertext)?;
        let mut buffer = sealed.to_vec();
        let length = key
            .open_in_place(Nonce::assume_unique_for_key(*nonce), Aad::from(context), &mut buffer)
            .map_err(|_| KeyError::Ciphertext)?
            .len();
        buffer.truncate(length);
        Ok(SecretBytes::new(buffer))
    }

    const fn unfit(&self, operation: &'static str) -> KeyError {
        KeyError::Unfit {
            key: self.id,
            algorithm: self.algorithm,
            operation,
        }
    }
}

impl std::fmt::Debug for Usable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Usable")
            .field("algorithm", &self.algorithm)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Secret {
    fn parse(algorithm: Algorithm, bytes: &[u8]) -> Option<(KeyId, Self)> {
        let named = |raw: &[u8]| PublicKey {
            algorithm,
            raw: raw.to_vec(),
        };
        let curve = |signing: &'static EcdsaSigningAlgorithm, agreeing: &'static agreement::Algorithm| {
            let signer = EcdsaKeyPair::from_pkcs8(signing, bytes).ok()?;
            let agreement = PrivateKey::from_private_key_der(agreeing, bytes).ok()?;
            let public = named(signer.public_key().as_ref());
            Some((
                public.id(),
                Self::Curve {
                    signer,
                    agreement,
                    public,
                },
            ))
        };
        match algorithm {
            Algorithm::EcdsaP256 => curve(&ECDSA_P256_SHA256_ASN1_SIGNING, &ECDH_P256),
            Algorithm::EcdsaP384 => curve(&ECDSA_P384_SHA384_ASN1_SIGNING, &ECDH_P384),
            Algorithm::Ed25519 => {
                let pair = Ed25519KeyPair::from_pkcs8(bytes).ok()?;
                let public = named(pair.public_key().as_ref());
                Some((public.id(), Self::Ed25519 { pair, public }))
            }
            Algorithm::Aes256 => {
                let key = RandomizedNonceKey::new(&AES_256_GCM, bytes).ok()?;
                let label = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, bytes), AES_LABEL);
                let (id, _) = label.as_ref().split_first_chunk::<16>()?;
                Some((KeyId(*id), Self::Aes(key)))
            }
            _ => {
                let signer = rsa::KeyPair::from_pkcs8(bytes).ok()?;
                let decrypter = PrivateDecryptingKey::from_pkcs8(bytes).ok()?;
                let decrypter = OaepPrivateDecryptingKey::new(decrypter).ok()?;
                let bits = usize::from(algorithm.rsa_bits()?);
                let public = named(signer.public_key().as_ref());
                // The other devices make and take this exponent only.
                let (_, exponent) = crate::keys::der::rsa_numbers(&public.raw)?;
                (decrypter.key_size_bits() == bits && exponent == [1, 0, 1]).then(|| {
                    (
                        public.id(),
                        Self::Rsa {
                            signer,
                            decrypter,
                            public,
                        },
                    )
                })
            }
        }
    }
}

const AES_LABEL: &[u8] = b"redan AES key identifier v1";
