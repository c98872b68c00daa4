//! The trait's operations, each a command or a few.

use super::attest::{attestation_public, attested, pcrs};
use super::files::{KeyFile, Known};
use super::link::{Call, Entity, Fault};
use super::live::{self, Live, Tenant};
use super::offers::{numbers, oaep};
use super::session::Secret;
use super::shapes::{self, Origin};
use super::wire::{self, Parameters, encode};
use super::{Tpm2Device, counter, import, seal};
use crate::keys::{
    Algorithm, Attestation, Capabilities, DeviceIdentity, KeyDevice, KeyError, OaepHash, Operation, PcrSelection,
    PcrValues, PublicKey, Scheme, SealPolicy, Unlock, der,
};
use aws_lc_rs::digest::{self, SHA256, SHA384};
use redan_types::{KeyId, SecretBytes};
use std::sync::PoisonError;
use tpm2_protocol::data::{TpmAlgId, TpmCc, TpmRcBase};

impl KeyDevice for Tpm2Device {
    fn identity(&self) -> &DeviceIdentity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), KeyError> {
        self.with("give random bytes", |live, _, _| {
            for chunk in buffer.chunks_mut(RANDOM) {
                let wanted = u16::try_from(chunk.len()).unwrap_or_default();
                let mut filled = 0;
                while filled < chunk.len() {
                    let rest = chunk.get_mut(filled..).unwrap_or_default();
                    let reply = live.send(
                        Secret::Answer,
                        Call {
                            code: TpmCc::GetRandom,
                            entities: &[],
                            parameters: Parameters::new().u16(wanted),
                        },
                    )?;
                    filled += reply.read(|reader| {
                        let bytes = reader.sized()?;
                        let length = bytes.len().min(rest.len());
                        // A device that gives nothing would be asked for ever.
                        (length > 0).then_some(())?;
                        rest.get_mut(..length)?.copy_from_slice(bytes.get(..length)?);
                        Some(length)
                    })?;
                }
            }
            Ok(())
        })
    }

    fn generate(&self, algorithm: Algorithm) -> Result<KeyId, KeyError> {
        self.offer(Operation::Generate(algorithm))?;
        let template =
            shapes::key(algorithm, Origin::Device).ok_or_else(|| self.lacks(Operation::Generate(algorithm)))?;
        self.with("make a key", |live, keys, _| {
            let (public, private) = live.create(None, &template, &[], &[])?;
            let file = KeyFile {
                algorithm,
                public,
                private,
            };
            self.keep(keys, file)
        })
    }

    fn import(&self, algorithm: Algorithm, key: &SecretBytes) -> Result<KeyId, KeyError> {
        self.offer(Operation::Import(algorithm))?;
        let foreign = import::Foreign::parse(algorithm, key)?;
        self.with("take in a key", |live, keys, _| {
            let file = KeyFile {
                algorithm,
                public: foreign.public.clone(),
                private: Vec::new(),
            };
            if let Some(id) = file.id().filter(|id| keys.contains_key(id)) {
                return Ok(id);
            }
            let private = foreign.give(live)?;
            self.keep(keys, KeyFile { private, ..file })
        })
    }

    fn destroy(&self, key: KeyId) -> Result<(), KeyError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.keys.contains_key(&key) {
            return Err(KeyError::NoSuchKey(key));
        }
        self.folder.forget(key)?;
        state.keys.remove(&key);
        if let Some(live) = &mut state.live {
            live.evict(Tenant::Key(key));
        }
        Ok(())
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(state.keys.keys().copied().collect())
    }

    fn algorithm(&self, key: KeyId) -> Result<Algorithm, KeyError> {
        self.file(key, |file| file.algorithm)
    }

    fn public_key(&self, key: KeyId) -> Result<PublicKey, KeyError> {
        let (algorithm, public) = self.file(key, |file| (file.algorithm, file.public_key()))?;
        public.ok_or(KeyError::Unfit {
            key,
            algorithm,
            operation: "have a public half",
        })
    }

    fn sign_with(&self, key: KeyId, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.fit(key, scheme, "sign under this scheme")?;
        self.offer(Operation::Sign(scheme))?;
        let (signing, hash) = numbers(scheme).ok_or_else(|| self.lacks(Operation::Sign(scheme)))?;
        let hashed = hashed(scheme, message);
        let signature = self.with_key("sign", key, |live, entity, _| {
            // The ticket says that the device need not have made the hash, since the key is not restricted.
            let parameters = Parameters::new()
                .sized(hashed.as_ref())
                .u16(signing.value())
                .u16(hash.value())
                .u16(HASH_CHECK)
                .u32(live::NULL)
                .sized(&[]);
            let reply = live.send(
                Secret::Nothing,
                Call {
                    code: TpmCc::Sign,
                    entities: &[entity],
                    parameters,
                },
            )?;
            Ok(reply.read(shapes::signature)?)
        })?;
        if matches!(scheme, Scheme::RsaPssSha256 | Scheme::RsaPssSha384) {
            // Some TPMs take the longest salt that fits, which nobody accepts in TLS 1.3: better no signature than a useless one.
            self.public_key(key)?
                .verify(scheme, message, &signature)
                .map_err(|_| self.lacks(Operation::Sign(scheme)))?;
        }
        Ok(signature)
    }

    fn verify(&self, key: KeyId, scheme: Scheme, message: &[u8], signature: &[u8]) -> Result<(), KeyError> {
        self.fit(key, scheme, "verify under this scheme")?;
        self.offer(Operation::Verify(scheme))?;
        let (signing, hash) = numbers(scheme).ok_or_else(|| self.lacks(Operation::Verify(scheme)))?;
        let hashed = hashed(scheme, message);
        let encoded = Parameters::new().u16(signing.value()).u16(hash.value());
        let encoded = match shapes::coordinate(self.algorithm(key)?) {
            Some(size) => {
                let both = der::ecdsa_numbers(signature, size).ok_or(KeyError::Signature)?;
                let (r, s) = both.split_at(size);
                encoded.sized(r).sized(s)
            }
            None => encoded.sized(signature),
        };
        self.with_key("verify", key, |live, entity, _| {
            let parameters = Parameters::new().sized(hashed.as_ref()).bytes(&encoded.0);
            let outcome = live.send(
                Secret::Command,
                Call {
                    code: TpmCc::VerifySignature,
                    entities: &[entity],
                    parameters,
                },
            );
            match outcome {
                Ok(_) => Ok(()),
                Err(fault)
                    if !fault.forgot()
                        && matches!(
                            fault.reason(),
                            Some(TpmRcBase::Signature | TpmRcBase::Size | TpmRcBase::Value | TpmRcBase::Scheme)
                        ) =>
                {
                    Err(Fault::Failed(KeyError::Signature))
                }
                Err(fault) => Err(fault),
            }
        })
    }

    fn agree(&self, key: KeyId, peer: &PublicKey) -> Result<SecretBytes, KeyError> {
        let algorithm = self.algorithm(key)?;
        let size = shapes::coordinate(algorithm).ok_or(KeyError::Unfit {
            key,
            algorithm,
            operation: "agree on secrets",
        })?;
        self.offer(Operation::Agree(algorithm))?;
        let point = (peer.algorithm == algorithm)
            .then(|| shapes::point(peer))
            .flatten()
            .ok_or(KeyError::Malformed(algorithm))?;
        self.with_key("agree on a secret", key, |live, entity, _| {
            let encoded = encode(&point)?;
            let outcome = live.send(
                Secret::Both,
                Call {
                    code: TpmCc::EcdhZGen,
                    entities: &[entity],
                    parameters: Parameters::new().sized(&encoded),
                },
            );
            match outcome {
                Ok(reply) => {
                    let x = reply.read(|reader| {
                        let mut point = wire::Reader(reader.sized()?);
                        let x = point.sized()?;
                        point.sized()?;
                        point.end()?;
                        let mut padded = vec![0; size];
                        padded.get_mut(size.checked_sub(x.len())?..)?.copy_from_slice(x);
                        Some(SecretBytes::new(padded))
                    })?;
                    Ok(x)
                }
                Err(fault) if matches!(fault.reason(), Some(TpmRcBase::EccPoint | TpmRcBase::NoResult)) => {
                    Err(Fault::Failed(KeyError::Malformed(algorithm)))
                }
                Err(fault) => Err(fault),
            }
        })
    }

    fn decrypt(&self, key: KeyId, hash: OaepHash, ciphertext: &[u8]) -> Result<SecretBytes, KeyError> {
        let algorithm = self.algorithm(key)?;
        let bits = algorithm.rsa_bits().ok_or(KeyError::Unfit {
            key,
            algorithm,
            operation: "decrypt",
        })?;
        self.offer(Operation::Decrypt(hash))?;
        if ciphertext.len() != usize::from(bits / 8) {
            return Err(KeyError::Ciphertext);
        }
        self.with_key("decrypt", key, |live, entity, _| {
            let parameters = Parameters::new()
                .sized(ciphertext)
                .u16(TpmAlgId::Oaep.value())
                .u16(oaep(hash).value())
                .sized(&[]);
            let outcome = live.send(
                Secret::Answer,
                Call {
                    code: TpmCc::RsaDecrypt,
                    entities: &[entity],
                    parameters,
                },
            );
            match outcome {
                Ok(reply) => Ok(reply.read(|reader| reader.sized().map(|bytes| SecretBytes::new(bytes.to_vec())))?),
                Err(fault)
                    if !fault.forgot()
                        && matches!(
                            fault.reason(),
                            Some(TpmRcBase::Value | TpmRcBase::Size | TpmRcBase::Failure)
                        ) =>
                {
                    Err(Fault::Failed(KeyError::Ciphertext))
                }
                Err(fault) => Err(fault),
            }
        })
    }

    fn wrap_key(&self, key: KeyId, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        seal::wrap(self, key, context, secret)
    }

    fn unwrap_key(&self, key: KeyId, context: &[u8], wrapped: &[u8]) -> Result<SecretBytes, KeyError> {
        seal::unwrap(self, key, context, wrapped)
    }

    fn seal_to(&self, context: &[u8], secret: &SecretBytes, policy: &SealPolicy) -> Result<Vec<u8>, KeyError> {
        seal::seal(self, context, secret, policy)
    }

    fn unseal_with(&self, context: &[u8], sealed: &[u8], unlock: &Unlock<'_>) -> Result<SecretBytes, KeyError> {
        seal::unseal(self, context, sealed, unlock)
    }

    fn counter(&self) -> Result<u64, KeyError> {
        self.with("read its counter", |live, _, known| {
            counter::value(live, self.identity, known.counter)
        })
    }

    fn increment(&self) -> Result<u64, KeyError> {
        self.with("count", |live, _, known| {
            self.counting(live, known)?;
            counter::increment(live)
        })
    }

    fn attestation_key(&self) -> Result<PublicKey, KeyError> {
        self.with("make its attestation key", |live, _, _| {
            let (_, public) = live.attestation()?;
            attestation_public(live, &public)
        })
    }

    fn certify_counter(&self, subject: &[u8; 32]) -> Result<Attestation, KeyError> {
        self.with("certify its counter", |live, _, known| {
            if counter::value(live, self.identity, known.counter)? == 0 {
                // An index that was never written has nothing to certify.
                self.counting(live, known)?;
                counter::increment(live)?;
            }
            counter::certify(live, subject)
        })
    }

    fn extend(&self, pcr: u8, digest: &[u8; 32]) -> Result<(), KeyError> {
        if pcr >= PcrSelection::COUNT {
            return Err(self.lacks(Operation::Extend));
        }
        self.with("extend a PCR", |live, _, _| {
            let parameters = Parameters::new().u32(1).u16(TpmAlgId::Sha256.value()).bytes(digest);
            live.send(
                Secret::Nothing,
                Call {
                    code: TpmCc::PcrExtend,
                    entities: &[&Entity::fixed(pcr.into())],
                    parameters,
                },
            )?;
            Ok(())
        })
    }

    fn pcrs(&self, selection: PcrSelection) -> Result<PcrValues, KeyError> {
        self.with("read its PCRs", |live, _, _| pcrs(live, selection))
    }

    fn quote(&self, selection: PcrSelection, nonce: &[u8]) -> Result<Attestation, KeyError> {
        if nonce.len() > NONCE {
            return Err(KeyError::TooLong {
                length: nonce.len(),
                limit: NONCE,
            });
        }
        self.with("quote its PCRs", |live, _, _| {
            let (key, public) = live.attestation()?;
            let parameters = Parameters::new()
                .sized(nonce)
                .u16(TpmAlgId::Ecdsa.value())
                .u16(TpmAlgId::Sha256.value())
                .bytes(&selection.encoded());
            let reply = live.send(
                Secret::Nothing,
                Call {
                    code: TpmCc::Quote,
                    entities: &[&key],
                    parameters,
                },
            )?;
            attested(live, &reply, &public)
        })
    }
}

impl Tpm2Device {
    /// Makes the counter where there is none yet, and writes down that there is one.
    fn counting(&self, live: &mut Live, known: &mut Known) -> Result<(), Fault> {
        counter::ensure(live, self.identity, known.counter)?;
        if !known.counter {
            let next = Known {
                counter: true,
                ..known.clone()
            };
            self.folder.know(&next)?;
            *known = next;
        }
        Ok(())
    }

    fn fit(&self, key: KeyId, scheme: Scheme, operation: &'static str) -> Result<(), KeyError> {
        let algorithm = self.algorithm(key)?;
        if scheme.fits(algorithm) {
            Ok(())
        } else {
            Err(KeyError::Unfit {
                key,
                algorithm,
                operation,
            })
        }
    }
}

fn hashed(scheme: Scheme, message: &[u8]) -> digest::Digest {
    let algorithm = match scheme {
        Scheme::EcdsaP384Sha384 | Scheme::RsaPssSha384 | Scheme::RsaPkcs1Sha384 => &SHA384,
        _ => &SHA256,
    };
    digest::digest(algorithm, message)
}

/// The most random bytes that every TPM gives at once: as many as its hash has.
const RANDOM: usize = 32;
/// The longest nonce of a quote.
const NONCE: usize = 32;
/// `TPM_ST_HASHCHECK`.
const HASH_CHECK: u16 = 0x8024;
