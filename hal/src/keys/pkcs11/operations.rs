//! The trait's operations, each a question to the worker.

use super::talk::{Known, list, refused};
use super::{Pkcs11Device, foreign};
use crate::keys::policy::sha256;
use crate::keys::{
    Algorithm, Binding, Capabilities, DeviceIdentity, KeyDevice, KeyError, OaepHash, Operation, PublicKey, Scheme,
    SealPolicy, Unlock, der,
};
use aws_lc_rs::digest::{SHA256, SHA384, digest};
use redan_ipc::messages::pkcs11::{DataKey, ObjectReference, PAYLOAD, Pkcs11Refusal, Pkcs11Reply, Pkcs11Request};
use redan_types::{KeyId, SecretBytes};
use serde::{Deserialize, Serialize};
use std::sync::PoisonError;

impl KeyDevice for Pkcs11Device {
    fn identity(&self) -> &DeviceIdentity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), KeyError> {
        self.offer(Operation::Random)?;
        for chunk in buffer.chunks_mut(RANDOM) {
            let length = u16::try_from(chunk.len()).unwrap_or(u16::MAX);
            match self.ask(&Pkcs11Request::Random { length }, "give random bytes")? {
                Pkcs11Reply::Secret(bytes) if bytes.expose().len() == chunk.len() => {
                    chunk.copy_from_slice(bytes.expose());
                }
                Pkcs11Reply::Refused(refusal) => return Err(refused(&self.label, refusal, "give random bytes")),
                _ => return Err(self.broken("another answer than to the question")),
            }
        }
        Ok(())
    }

    fn generate(&self, algorithm: Algorithm) -> Result<KeyId, KeyError> {
        self.offer(Operation::Generate(algorithm))?;
        match self.ask(&Pkcs11Request::Generate { algorithm }, "make a key")? {
            Pkcs11Reply::Key(key) => self.keep(key, algorithm),
            Pkcs11Reply::Refused(refusal) => Err(refused(&self.label, refusal, "make a key")),
            _ => Err(self.broken("another answer than to the question")),
        }
    }

    fn import(&self, algorithm: Algorithm, key: &SecretBytes) -> Result<KeyId, KeyError> {
        self.offer(Operation::Import(algorithm))?;
        let (id, key) = foreign::parse(algorithm, key)?;
        if self.find(id).is_ok() {
            return Ok(id);
        }
        let request = Pkcs11Request::Import {
            reference: ObjectReference(id.0),
            key,
        };
        let made = match self.ask(&request, "take in a key")? {
            Pkcs11Reply::Key(key) => self.keep(key, algorithm)?,
            Pkcs11Reply::Refused(refusal) => return Err(refused(&self.label, refusal, "take in a key")),
            _ => return Err(self.broken("another answer than to the question")),
        };
        if made == id {
            Ok(id)
        } else {
            Err(self.broken("another key than the one it was given"))
        }
    }

    fn destroy(&self, key: KeyId) -> Result<(), KeyError> {
        let known = self.find(key)?;
        let request = Pkcs11Request::Destroy { key: known.reference };
        match self.refusable(&request, key, "destroy a key")? {
            Pkcs11Reply::Done => {
                self.keys.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
                Ok(())
            }
            _ => Err(self.broken("another answer than to the question")),
        }
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyError> {
        // Others use the token too: what it holds now is what counts.
        let client = self.client()?;
        let now = list(&client, &self.label, self.patience)?;
        let ids = now.keys().copied().collect();
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = now;
        Ok(ids)
    }

    fn algorithm(&self, key: KeyId) -> Result<Algorithm, KeyError> {
        Ok(self.find(key)?.algorithm)
    }

    fn public_key(&self, key: KeyId) -> Result<PublicKey, KeyError> {
        let known = self.find(key)?;
        known.public.ok_or(KeyError::Unfit {
            key,
            algorithm: known.algorithm,
            operation: "have a public half",
        })
    }

    fn sign_with(&self, key: KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let (known, input) = self.input(key, scheme, message, "sign under this scheme")?;
        self.offer(Operation::Sign(scheme))?;
        let request = Pkcs11Request::Sign {
            key: known.reference,
            scheme,
            input,
        };
        let signature = self.bytes(&request, key, "sign")?;
        Ok(match coordinate(scheme) {
            Some(size) => {
                let (r, s) = signature
                    .split_at_checked(size)
                    .filter(|(_, s)| s.len() == size)
                    .ok_or_else(|| self.broken("a signature of a wrong length"))?;
                der::ecdsa_signature(r, s)
            }
            None => signature,
        })
    }

    fn verify(&self, key: KeyId, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        let (known, input) = self.input(key, scheme, message, "verify under this scheme")?;
        self.offer(Operation::Verify(scheme))?;
        let signature = match coordinate(scheme) {
            Some(size) => der::ecdsa_numbers(signature, size).ok_or(KeyError::Signature)?,
            None => bounded(signature).map_err(|_| KeyError::Signature)?.to_vec(),
        };
        let request = Pkcs11Request::Verify {
            key: known.reference,
            scheme,
            input,
            signature,
        };
        match self.refusable(&request, key, "verify")? {
            Pkcs11Reply::Done => Ok(()),
            _ => Err(self.broken("another answer than to the question")),
        }
    }

    fn agree(&self, key: KeyId, peer: &PublicKey) -> Result<SecretBytes, KeyError> {
        let known = self.find(key)?;
        let algorithm = known.algorithm;
        let scheme = algorithm.scheme().and_then(coordinate);
        let Some(size) = scheme else {
            return Err(KeyError::Unfit {
                key,
                algorithm,
                operation: "agree on secrets",
            });
        };
        self.offer(Operation::Agree(algorithm))?;
        // Not every module checks that the point is on the curve, and one that is not gives the private key away piece by piece.
        foreign::check_point(algorithm, peer)?;
        let request = Pkcs11Request::Agree {
            key: known.reference,
            point: peer.raw.clone(),
        };
        let common = self.secret(&request, key, "agree on a secret")?;
        if common.expose().len() == size {
            Ok(common)
        } else {
            Err(self.broken("a secret of a wrong length"))
        }
    }

    fn decrypt(&self, key: KeyId, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        let known = self.find(key)?;
        let Some(bits) = known.algorithm.rsa_bits() else {
            return Err(KeyError::Unfit {
                key,
                algorithm: known.algorithm,
                operation: "decrypt",
            });
        };
        self.offer(Operation::Decrypt(hash))?;
        if ciphertext.len() != usize::from(bits / 8) {
            return Err(KeyError::Ciphertext);
        }
        let request = Pkcs11Request::Decrypt {
            key: known.reference,
            hash,
            ciphertext: ciphertext.to_vec(),
        };
        self.secret(&request, key, "decrypt")
    }

    fn encrypt_data(&self, key: KeyId, context: &[u8], plaintext: &[u8]) -> Result<Vec<u8>, KeyError> {
        let request = Pkcs11Request::Encrypt {
            key: self.data_key(key, "encrypt data")?,
            context: [DATA_LABEL, bounded(context)?].concat(),
            plaintext: SecretBytes::new(bounded(plaintext)?.to_vec()),
        };
        self.offer(Operation::EncryptData)?;
        self.bytes(&request, key, "encrypt data")
    }

    fn decrypt_data(&self, key: KeyId, context: &[u8], ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        let request = Pkcs11Request::Open {
            key: self.data_key(key, "decrypt data")?,
            context: [DATA_LABEL, bounded(context)?].concat(),
            ciphertext: sealed_data(ciphertext)?.to_vec(),
        };
        self.offer(Operation::EncryptData)?;
        self.secret(&request, key, "decrypt data")
    }

    fn wrap_key(&self, key: KeyId, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        fits(secret)?;
        let request = Pkcs11Request::Encrypt {
            key: self.data_key(key, "wrap keys")?,
            context: [WRAP_LABEL, bounded(context)?].concat(),
            plaintext: secret.clone(),
        };
        self.offer(Operation::WrapKey)?;
        self.bytes(&request, key, "wrap a key")
    }

    fn unwrap_key(&self, key: KeyId, context: &[u8], wrapped: &[u8]) -> Result<SecretBytes, KeyError> {
        let request = Pkcs11Request::Open {
            key: self.data_key(key, "unwrap keys")?,
            context: [WRAP_LABEL, bounded(context)?].concat(),
            ciphertext: sealed_data(wrapped)?.to_vec(),
        };
        self.offer(Operation::WrapKey)?;
        self.secret(&request, key, "unwrap a key")
    }

    fn seal_to(&self, context: &[u8], secret: &SecretBytes, policy: &SealPolicy) -> Result<Vec<u8>, KeyError> {
        if policy.pin.is_some() {
            return Err(self.lacks(Operation::SealToPin));
        }
        match policy.binding {
            Binding::Device => {}
            Binding::Pcrs(_) => return Err(self.lacks(Operation::SealToPcrs)),
            Binding::Approved { .. } => return Err(self.lacks(Operation::SealToApproval)),
        }
        self.offer(Operation::Seal)?;
        fits(secret)?;
        let request = Pkcs11Request::Encrypt {
            key: DataKey::Seal,
            context: self.bound(context),
            plaintext: secret.clone(),
        };
        let ciphertext = match self.ask(&request, "seal")? {
            Pkcs11Reply::Bytes(bytes) => bytes,
            Pkcs11Reply::Refused(refusal) => return Err(refused(&self.label, refusal, "seal")),
            _ => return Err(self.broken("another answer than to the question")),
        };
        let sealed = Sealed {
            version: SEAL_VERSION,
            by: self.identity,
            ciphertext,
        };
        postcard::to_stdvec(&sealed).map_err(|_| KeyError::Library("encode a sealed secret"))
    }

    fn unseal_with(&self, context: &[u8], sealed: &[u8], _: &Unlock<'_>) -> Result<SecretBytes, KeyError> {
        let by = crate::keys::sealed_by(sealed).ok_or(KeyError::Unsealable)?;
        if by != self.identity {
            return Err(KeyError::OtherDevice {
                sealed_by: by,
                present: self.identity,
            });
        }
        let sealed: Sealed = postcard::from_bytes(sealed).map_err(|_| KeyError::Unsealable)?;
        if sealed.version != SEAL_VERSION || sealed_data(&sealed.ciphertext).is_err() {
            return Err(KeyError::Unsealable);
        }
        let request = Pkcs11Request::Open {
            key: DataKey::Seal,
            context: self.bound(context),
            ciphertext: sealed.ciphertext,
        };
        match self.ask(&request, "unseal")? {
            Pkcs11Reply::Secret(secret) => Ok(secret),
            Pkcs11Reply::Refused(Pkcs11Refusal::Ciphertext) => Err(KeyError::Unsealable),
            Pkcs11Reply::Refused(refusal) => Err(refused(&self.label, refusal, "unseal")),
            _ => Err(self.broken("another answer than to the question")),
        }
    }
}

impl Pkcs11Device {
    /// What the token is given to sign or verify: the hash, for Ed25519 the message.
    fn input(
        &self,
        key: KeyId,
        scheme: Scheme,
        message: &[u8],
        operation: &'static str,
    ) -> Result<(Known, Vec<u8>), KeyError> {
        let known = self.find(key)?;
        if !scheme.fits(known.algorithm) {
            return Err(KeyError::Unfit {
                key,
                algorithm: known.algorithm,
                operation,
            });
        }
        let input = match scheme {
            Scheme::Ed25519 => bounded(message)?.to_vec(),
            Scheme::EcdsaP384Sha384 | Scheme::RsaPssSha384 | Scheme::RsaPkcs1Sha384 => {
                digest(&SHA384, message).as_ref().to_vec()
            }
            _ => digest(&SHA256, message).as_ref().to_vec(),
        };
        Ok((known, input))
    }

    fn data_key(&self, key: KeyId, operation: &'static str) -> Result<DataKey, KeyError> {
        let known = self.find(key)?;
        match known.algorithm {
            Algorithm::Aes256 => Ok(DataKey::Key(known.reference)),
            algorithm => Err(KeyError::Unfit {
                key,
                algorithm,
                operation,
            }),
        }
    }

    fn bound(&self, context: &[u8]) -> Vec<u8> {
        [SEAL_LABEL, &self.identity.id, &sha256(&[context])].concat()
    }
}

#[derive(Deserialize, Serialize)]
struct Sealed {
    version: u8,
    by: DeviceIdentity,
    ciphertext: Vec<u8>,
}

/// The bytes of a number of an ECDSA signature.
const fn coordinate(scheme: Scheme) -> Option<usize> {
    match scheme {
        Scheme::EcdsaP256Sha256 => Some(32),
        Scheme::EcdsaP384Sha384 => Some(48),
        _ => None,
    }
}

fn bounded(bytes: &[u8]) -> Result<&[u8], KeyError> {
    if bytes.len() > LIMIT {
        return Err(KeyError::TooLong {
            length: bytes.len(),
            limit: LIMIT,
        });
    }
    Ok(bytes)
}

/// Bytes that may be a nonce, a ciphertext and a tag.
fn sealed_data(bytes: &[u8]) -> Result<&[u8], KeyError> {
    if (OVERHEAD..=LIMIT + OVERHEAD).contains(&bytes.len()) {
        Ok(bytes)
    } else {
        Err(KeyError::Ciphertext)
    }
}

fn fits(secret: &SecretBytes) -> Result<(), KeyError> {
    let length = secret.expose().len();
    if length > SEAL_LIMIT {
        return Err(KeyError::TooLong {
            length,
            limit: SEAL_LIMIT,
        });
    }
    Ok(())
}

/// The most that one question carries of a caller's: a context and a plaintext fit together.
const LIMIT: usize = PAYLOAD / 2;
const OVERHEAD: usize = 12 + 16;
const RANDOM: usize = 4 << 10;
const SEAL_VERSION: u8 = 1;
const SEAL_LABEL: &[u8] = b"redan pkcs11 seal v1\0";
const DATA_LABEL: &[u8] = b"redan data v1\0";
const WRAP_LABEL: &[u8] = b"redan wrapped key v1\0";
/// A key with a policy beside it.
pub(super) const SEAL_LIMIT: usize = 1_024;
