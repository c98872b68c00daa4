//! A TPM 2.0 as a key device, in pure Rust, over the kernel's resource manager or a simulator's socket.
//!
//! * [`transport`]: bytes to and from the device; `wire` and `link`: commands and answers; `session`: their protection on the bus;
//! * `live`: what is loaded in the device; `files`: what lies on disk, encrypted by the device;
//! * `seal`, `counter`, `import`, `shapes`: what the device is asked to do.
//!
//! One thread talks to the device at a time; the others queue. When the device goes away or is reset, the request that was under way
//! fails with a typed error, unless it is certain that the device did nothing, in which case it is asked once more; the next
//! request sets everything up again. No command waits longer than [`Patience`] says.
//!
//! What this device does not protect against: who can read the folder and use this TPM can use its keys, for they are encrypted by
//! the TPM, not hidden from its users; and an old copy of a destroyed key's file is that key again.

mod counter;
mod files;
mod import;
mod link;
mod live;
mod seal;
mod session;
mod shapes;
pub mod transport;
mod wire;

pub use link::Patience;
pub use transport::Address;
pub use wire::{Acknowledgement, Answer, Done, parse_answer};

pub(in crate::keys) use counter::name as counter_name;

use super::policy::sha256;
use super::{
    Algorithm, Attestation, Capabilities, DeviceIdentity, DeviceKind, KeyDevice, KeyError, OaepHash, Operation,
    PcrSelection, PcrValues, PublicKey, Scheme, SealPolicy, Unlock, der,
};
use aws_lc_rs::digest::{self, SHA256, SHA384};
use files::{Folder, KeyFile, Known};
use link::{Call, Entity, Fault, Link};
use live::{Blob, Live, Tenant};
use redan_types::{KeyId, SecretBytes};
use session::Secret;
use shapes::Origin;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tpm2_protocol::data::{
    TpmAlgId, TpmCap, TpmCc, TpmRc, TpmRcBase, TpmsEccParms, TpmsRsaParms, TpmsSchemeHash, TpmtEccScheme,
    TpmtPublicParms, TpmtRsaScheme, TpmuAsymScheme, TpmuPublicParms,
};
use transport::Connect;
use wire::{Parameters, encode};

/// A TPM 2.0.
pub struct Tpm2Device {
    identity: DeviceIdentity,
    capabilities: Capabilities,
    connector: Arc<dyn Connect>,
    patience: Patience,
    folder: Folder,
    state: Mutex<State>,
}

struct State {
    live: Option<Live>,
    keys: BTreeMap<KeyId, KeyFile>,
    known: Known,
}

impl Tpm2Device {
    /// Opens the TPM that `connector` leads to, with its keys in `folder`, which exists and which this driver has for itself. A
    /// folder that knows another TPM is refused; one that knows none takes this one.
    ///
    /// # Errors
    /// [`KeyError::OtherDevice`]; the TPM cannot be reached or refuses; the folder cannot be read.
    pub fn open(connector: Arc<dyn Connect>, folder: &Path, patience: Patience) -> Result<Self, KeyError> {
        let folder = Folder::new(folder);
        let known = folder.known()?;
        let keys = folder.keys()?;
        let expected = known.as_ref().map(|known| known.root.clone());
        let mut live = connect(&*connector, patience, expected.as_deref())
            .map_err(|fault| explain(fault, &connector.name(), "be set up"))?;
        let identity = identity(&live.root.name);
        let known = match known {
            Some(known) => known,
            None => {
                let known = Known {
                    root: live.root.name.clone(),
                    counter: false,
                };
                folder.know(&known)?;
                known
            }
        };
        let operations =
            offered(&mut live).map_err(|fault| explain(fault, &connector.name(), "tell what it can do"))?;
        Ok(Self {
            identity,
            capabilities: Capabilities {
                operations,
                protects_keys: true,
                counter_survives_restore: true,
                seal_limit: seal::LIMIT,
            },
            connector,
            patience,
            folder,
            state: Mutex::new(State {
                live: Some(live),
                keys,
                known,
            }),
        })
    }

    /// The public half of the key that signs what the device says about itself, to be written down when the appliance is set up.
    ///
    /// # Errors
    /// The device does not answer.
    pub fn attestation_key(&self) -> Result<PublicKey, KeyError> {
        self.with("make its attestation key", |live, _, _| {
            let (_, public) = live.attestation()?;
            attestation_public(live, &public)
        })
    }

    /// Runs `action` on a device that answers.
    fn with<T>(
        &self,
        operation: &'static str,
        mut action: impl FnMut(&mut Live, &mut BTreeMap<KeyId, KeyFile>, &mut Known) -> Result<T, Fault>,
    ) -> Result<T, KeyError> {
        // A poisoned lock is sound: what a panicking thread left in the device is set up anew below.
        let mut state = self.state.lock().unwrap_or_else(|poisoned| {
            let mut state = poisoned.into_inner();
            state.live = None;
            state
        });
        let State {
            live: place,
            keys,
            known,
        } = &mut *state;
        let name = self.connector.name();
        let mut again = true;
        loop {
            let mut live = match place.take() {
                Some(live) => live,
                None => connect(&*self.connector, self.patience, Some(&known.root))
                    .map_err(|fault| explain(fault, &name, "be set up again"))?,
            };
            let fault = match action(&mut live, keys, known) {
                Ok(answer) => {
                    *place = Some(live);
                    return Ok(answer);
                }
                Err(fault) => fault,
            };
            match &fault {
                // The device does not know our handles or our session's state, so it did nothing: it was reset, or an answer was
                // lost, and it is asked once more.
                fault if fault.forgot() || matches!(fault.reason(), Some(TpmRcBase::AuthFail | TpmRcBase::BadAuth)) => {
                    if !std::mem::take(&mut again) {
                        return Err(KeyError::Reset { device: name });
                    }
                }
                // What the device did of it is not known, so the session's state is not either.
                Fault::Failed(
                    KeyError::Busy { .. }
                    | KeyError::Gone { .. }
                    | KeyError::Protocol { .. }
                    | KeyError::Silent { .. }
                    | KeyError::Tampered { .. },
                ) => return Err(explain(fault, &name, operation)),
                _ => {
                    let error = if fault.reason() == Some(TpmRcBase::Lockout) {
                        KeyError::LockedOut {
                            device: name,
                            recovery: property(&mut live.link, LOCKOUT_INTERVAL)
                                .map(|seconds| Duration::from_secs(seconds.into())),
                        }
                    } else {
                        explain(fault, &name, operation)
                    };
                    *place = Some(live);
                    return Err(error);
                }
            }
        }
    }

    /// Runs `action` on a loaded key.
    fn with_key<T>(
        &self,
        operation: &'static str,
        key: KeyId,
        mut action: impl FnMut(&mut Live, &Entity, &KeyFile) -> Result<T, Fault>,
    ) -> Result<T, KeyError> {
        self.with(operation, |live, keys, _| {
            let file = keys.get(&key).ok_or(KeyError::NoSuchKey(key))?;
            let entity = live.key(key, &file.blob())?;
            action(live, &entity, file)
        })
    }

    fn file<T>(&self, key: KeyId, read: impl FnOnce(&KeyFile) -> T) -> Result<T, KeyError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.keys.get(&key).map(read).ok_or(KeyError::NoSuchKey(key))
    }

    fn keep(&self, keys: &mut BTreeMap<KeyId, KeyFile>, file: KeyFile) -> Result<KeyId, Fault> {
        let id = file.id().ok_or(KeyError::Protocol {
            device: self.connector.name(),
            what: "a key of another kind than it was asked for",
        })?;
        self.folder.keep(id, &file)?;
        keys.insert(id, file);
        Ok(id)
    }

    fn offer(&self, operation: Operation) -> Result<(), KeyError> {
        if self.capabilities.offers(operation) {
            Ok(())
        } else {
            Err(self.lacks(operation))
        }
    }
}

impl KeyFile {
    fn blob(&self) -> Blob<'_> {
        Blob {
            public: &self.public,
            private: &self.private,
        }
    }
}

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

impl Drop for Tpm2Device {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(live) = state.live.take() {
            live.end();
        }
    }
}

impl std::fmt::Debug for Tpm2Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tpm2Device")
            .field("identity", &self.identity)
            .field("connector", &self.connector)
            .finish_non_exhaustive()
    }
}

fn identity(root: &[u8]) -> DeviceIdentity {
    let hash = sha256(&[b"redan tpm2 identity v1\0", root]);
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    DeviceIdentity {
        kind: DeviceKind::Tpm2,
        id,
    }
}

fn connect(connector: &dyn Connect, patience: Patience, expected: Option<&[u8]>) -> Result<Live, Fault> {
    let name = connector.name();
    let transport = connector.connect().map_err(|source| KeyError::Gone {
        device: name.clone(),
        source,
    })?;
    Live::begin(Link::new(transport, name, patience), |found| match expected {
        Some(expected) if expected != found => Err(KeyError::OtherDevice {
            sealed_by: identity(expected),
            present: identity(found),
        }),
        _ => Ok(()),
    })
}

/// What a fault means to the caller.
fn explain(fault: Fault, device: &str, operation: &'static str) -> KeyError {
    let device = device.to_owned();
    let reason = fault.reason();
    match fault {
        Fault::Failed(error) => error,
        Fault::Refused(command, code) => match reason {
            Some(TpmRcBase::Lockout) => KeyError::LockedOut { device, recovery: None },
            Some(TpmRcBase::NvSpace | TpmRcBase::ObjectHandles | TpmRcBase::Memory) => KeyError::Full { device },
            _ => KeyError::Refused {
                device,
                operation,
                code: TpmRc::try_from(code).map_or_else(
                    |_| format!("{command}: {code:#x}"),
                    |known| format!("{command}: {known}"),
                ),
            },
        },
    }
}

/// What this device offers, by asking it for each set of parameters.
fn offered(live: &mut Live) -> Result<BTreeSet<Operation>, Fault> {
    let mut operations = BTreeSet::from([
        Operation::Random,
        Operation::List,
        Operation::Destroy,
        Operation::Seal,
        Operation::SealToPin,
        Operation::SealToPcrs,
        Operation::SealToApproval,
        Operation::Count,
        Operation::CertifyCounter,
        Operation::Extend,
        Operation::Quote,
    ]);
    let strong = live.strong;
    let link = &mut live.link;
    for algorithm in Algorithm::ALL {
        let Some(template) = shapes::key(algorithm, Origin::Device) else {
            continue;
        };
        if algorithm == Algorithm::Aes256 && !strong {
            continue;
        }
        if takes(
            link,
            &TpmtPublicParms {
                object_type: template.object_type,
                parameters: template.parameters,
            },
        )? {
            operations.extend([Operation::Generate(algorithm), Operation::Import(algorithm)]);
            match algorithm {
                Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => {
                    operations.insert(Operation::Agree(algorithm));
                }
                Algorithm::Aes256 => {
                    operations.insert(Operation::WrapKey);
                }
                _ => {}
            }
        }
    }
    for scheme in Scheme::ALL {
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| scheme.fits(*algorithm) && operations.contains(&Operation::Generate(*algorithm)));
        let (Some(algorithm), Some((signing, hash))) = (algorithm, numbers(scheme)) else {
            continue;
        };
        if takes_scheme(link, algorithm, signing, hash)? {
            operations.extend([Operation::Sign(scheme), Operation::Verify(scheme)]);
        }
    }
    for hash in OaepHash::ALL {
        if operations.contains(&Operation::Generate(Algorithm::Rsa2048))
            && takes_scheme(link, Algorithm::Rsa2048, TpmAlgId::Oaep, oaep(hash))?
        {
            operations.insert(Operation::Decrypt(hash));
        }
    }
    Ok(operations)
}

fn takes_scheme(link: &mut Link, algorithm: Algorithm, scheme: TpmAlgId, hash: TpmAlgId) -> Result<bool, Fault> {
    let details = TpmuAsymScheme::Hash(TpmsSchemeHash { hash_alg: hash });
    let Some(template) = shapes::key(algorithm, Origin::Device) else {
        return Ok(false);
    };
    let parameters = match template.parameters {
        TpmuPublicParms::Ecc(parameters) => TpmuPublicParms::Ecc(TpmsEccParms {
            scheme: TpmtEccScheme { scheme, details },
            ..parameters
        }),
        TpmuPublicParms::Rsa(parameters) => TpmuPublicParms::Rsa(TpmsRsaParms {
            scheme: TpmtRsaScheme { scheme, details },
            ..parameters
        }),
        other => other,
    };
    let object_type = template.object_type;
    takes(
        link,
        &TpmtPublicParms {
            object_type,
            parameters,
        },
    )
}

fn takes(link: &mut Link, parameters: &TpmtPublicParms) -> Result<bool, Fault> {
    let parameters = Parameters::new().bytes(&encode(parameters)?);
    let outcome = link.plain(Call {
        code: TpmCc::TestParms,
        entities: &[],
        parameters,
    });
    match outcome {
        Ok(_) => Ok(true),
        Err(Fault::Refused(..)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// A property of the device; `None` where it does not tell.
fn property(link: &mut Link, which: u32) -> Option<u32> {
    let reply = link.plain(Call {
        code: TpmCc::GetCapability,
        entities: &[],
        parameters: Parameters::new().u32(TpmCap::TpmProperties.value()).u32(which).u32(1),
    });
    reply
        .ok()?
        .read(|reader| {
            reader.u8()?;
            reader.u32()?;
            (reader.u32()? == 1).then_some(())?;
            (reader.u32()? == which).then_some(())?;
            reader.u32()
        })
        .ok()
}

fn pcrs(live: &mut Live, selection: PcrSelection) -> Result<PcrValues, Fault> {
    let mut found: BTreeMap<u8, [u8; 32]> = BTreeMap::new();
    let mut wanted: Vec<u8> = selection.iter().collect();
    // A device gives at most eight values at a time, and says which.
    while !wanted.is_empty() {
        let part = PcrSelection::new(&wanted).unwrap_or_default();
        let reply = live.send(
            Secret::Audited,
            Call {
                code: TpmCc::PcrRead,
                entities: &[],
                parameters: Parameters::new().bytes(&part.encoded()),
            },
        )?;
        let values = reply.read(|reader| {
            reader.u32()?;
            (reader.u32()? == 1 && reader.u16()? == TpmAlgId::Sha256.value() && reader.u8()? == 3).then_some(())?;
            let [first, second, third] = <[u8; 3]>::try_from(reader.bytes(3)?).ok()?;
            let given = PcrSelection::from_bits([first, second, third]);
            let count = reader.u32()?;
            let values = given
                .iter()
                .map(|pcr| Some((pcr, <[u8; 32]>::try_from(reader.sized()?).ok()?)))
                .collect::<Option<Vec<_>>>()?;
            (usize::try_from(count).ok()? == values.len()
                && !values.is_empty()
                && values.iter().all(|(pcr, _)| wanted.contains(pcr)))
            .then_some(values)
        })?;
        wanted.retain(|pcr| values.iter().all(|(given, _)| given != pcr));
        found.extend(values);
    }
    Ok(PcrValues::new(selection, found.into_values().collect()).ok_or(KeyError::Library("collect PCR values"))?)
}

/// The statement and signature that a command of attestation returned.
fn attested(live: &Live, reply: &link::Reply, public: &[u8]) -> Result<Attestation, Fault> {
    let (statement, signature) = reply.read(|reader| Some((reader.sized()?.to_vec(), shapes::signature(reader)?)))?;
    Ok(Attestation {
        statement,
        signature,
        signer: attestation_public(live, public)?.raw,
    })
}

fn attestation_public(live: &Live, public: &[u8]) -> Result<PublicKey, Fault> {
    Ok(
        shapes::public_key(Algorithm::EcdsaP256, public).ok_or_else(|| KeyError::Protocol {
            device: live.link.name().to_owned(),
            what: "an attestation key of another kind",
        })?,
    )
}

/// The scheme and the hash as a TPM names them; `None` where TPMs do not have it.
const fn numbers(scheme: Scheme) -> Option<(TpmAlgId, TpmAlgId)> {
    Some(match scheme {
        Scheme::EcdsaP256Sha256 => (TpmAlgId::Ecdsa, TpmAlgId::Sha256),
        Scheme::EcdsaP384Sha384 => (TpmAlgId::Ecdsa, TpmAlgId::Sha384),
        Scheme::RsaPssSha256 => (TpmAlgId::Rsapss, TpmAlgId::Sha256),
        Scheme::RsaPssSha384 => (TpmAlgId::Rsapss, TpmAlgId::Sha384),
        Scheme::RsaPkcs1Sha256 => (TpmAlgId::Rsassa, TpmAlgId::Sha256),
        Scheme::RsaPkcs1Sha384 => (TpmAlgId::Rsassa, TpmAlgId::Sha384),
        _ => return None,
    })
}

fn hashed(scheme: Scheme, message: &[u8]) -> digest::Digest {
    let algorithm = match scheme {
        Scheme::EcdsaP384Sha384 | Scheme::RsaPssSha384 | Scheme::RsaPkcs1Sha384 => &SHA384,
        _ => &SHA256,
    };
    digest::digest(algorithm, message)
}

const fn oaep(hash: OaepHash) -> TpmAlgId {
    match hash {
        OaepHash::Sha256 => TpmAlgId::Sha256,
        OaepHash::Sha384 => TpmAlgId::Sha384,
        _ => TpmAlgId::Sha1,
    }
}

/// The most random bytes that every TPM gives at once: as many as its hash has.
const RANDOM: usize = 32;
/// The longest nonce of a quote.
const NONCE: usize = 32;
/// `TPM_ST_HASHCHECK`.
const HASH_CHECK: u16 = 0x8024;
/// `TPM_PT_LOCKOUT_COUNTER`, `TPM_PT_MAX_AUTH_FAIL`, `TPM_PT_LOCKOUT_INTERVAL`.
const LOCKOUT_COUNTER: u32 = 0x20e;
const MAX_AUTH_FAIL: u32 = 0x20f;
const LOCKOUT_INTERVAL: u32 = 0x210;
