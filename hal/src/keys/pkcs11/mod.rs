//! An HSM behind its vendor's PKCS#11 module, which is loaded in a process of its own (`appliance/pkcs11`): foreign code in C is
//! never in the vault's memory. This is the vault's side of the wire.
//!
//! What the worker says is a claim: identifiers are computed here from the public halves, hashes are made here, lengths are checked.
//! A worker that dies ends the request under way with [`KeyError::Gone`]; the next request asks for a new wire, and whoever made the
//! worker makes another. The PIN is kept, in memory that is wiped, for that next login.

mod foreign;
mod spawn;

pub use spawn::Spawn;

use super::policy::sha256;
use super::{
    Algorithm, Binding, Capabilities, DeviceIdentity, DeviceKind, KeyDevice, KeyError, OaepHash, Operation, PublicKey,
    Scheme, SealPolicy, Unlock, der,
};
use aws_lc_rs::digest::{SHA256, SHA384, digest};
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::pkcs11::{
    DataKey, ObjectReference, PAYLOAD, Pkcs11Refusal, Pkcs11Reply, Pkcs11Request, Token, TokenKey, TokenPublic,
};
use redan_ipc::{Channel, Client, IpcError};
use redan_types::{KeyId, SecretBytes, SecretString};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// Gives wires to a worker: the first, and another after each worker that died.
pub trait Wire: fmt::Debug + Send + Sync {
    /// A wire to a worker that nobody has logged in to yet.
    ///
    /// # Errors
    /// There is no worker.
    fn connect(&self) -> io::Result<Channel>;
}

/// How long the driver waits.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// For an answer.
    pub answer: Duration,
    /// For a key to be made, or for the login of a token that has just been started.
    pub making: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            answer: Duration::from_secs(10),
            making: Duration::from_secs(120),
        }
    }
}

/// A token of an HSM.
pub struct Pkcs11Device {
    identity: DeviceIdentity,
    capabilities: Capabilities,
    wire: Box<dyn Wire>,
    label: String,
    pin: SecretString,
    patience: Patience,
    /// The wire in use. Locked for a look or an exchange of the wire only; the client queues its callers itself.
    client: RwLock<Option<Arc<Client<VaultPkcs11>>>>,
    /// The token's keys.
    keys: RwLock<BTreeMap<KeyId, Known>>,
}

#[derive(Clone, Debug)]
struct Known {
    reference: ObjectReference,
    algorithm: Algorithm,
    public: Option<PublicKey>,
}

impl Pkcs11Device {
    /// Logs in to the token of this label; a token that was never used by the appliance gets its sealing key now.
    ///
    /// # Errors
    /// There is no worker or no such token; [`KeyError::Pin`], [`KeyError::LockedOut`].
    pub fn open(wire: Box<dyn Wire>, label: &str, pin: SecretString, patience: Patience) -> Result<Self, KeyError> {
        let (client, token) = login(&*wire, label, &pin, patience)?;
        let identity = identity(&token);
        let keys = list(&client, label, patience)?;
        // The trait's operations that this driver has for every token, and those that the token claims.
        let mut operations: std::collections::BTreeSet<Operation> = [Operation::List, Operation::Destroy].into();
        let known = |operation: &Operation| {
            !matches!(
                operation,
                Operation::SealToPin
                    | Operation::SealToPcrs
                    | Operation::SealToApproval
                    | Operation::Count
                    | Operation::CertifyCounter
                    | Operation::Extend
                    | Operation::Quote
            )
        };
        operations.extend(token.operations.into_iter().filter(known));
        Ok(Self {
            identity,
            capabilities: Capabilities {
                operations,
                protects_keys: true,
                counter_survives_restore: false,
                seal_limit: SEAL_LIMIT,
            },
            wire,
            label: label.to_owned(),
            pin,
            patience,
            client: RwLock::new(Some(Arc::new(client))),
            keys: RwLock::new(keys),
        })
    }

    fn client(&self) -> Result<Arc<Client<VaultPkcs11>>, KeyError> {
        if let Some(client) = &*self.client.read().unwrap_or_else(PoisonError::into_inner) {
            return Ok(Arc::clone(client));
        }
        let mut place = self.client.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*place {
            return Ok(Arc::clone(client));
        }
        let (client, token) = login(&*self.wire, &self.label, &self.pin, self.patience)?;
        let present = identity(&token);
        if present != self.identity {
            return Err(KeyError::OtherDevice {
                sealed_by: self.identity,
                present,
            });
        }
        let client = Arc::new(client);
        *place = Some(Arc::clone(&client));
        Ok(client)
    }

    fn ask(&self, request: &Pkcs11Request, operation: &'static str) -> Result<Pkcs11Reply, KeyError> {
        let client = self.client()?;
        match ask(&client, &self.label, request, self.patience, operation) {
            Err(error @ (KeyError::Gone { .. } | KeyError::Protocol { .. })) => {
                let mut place = self.client.write().unwrap_or_else(PoisonError::into_inner);
                // Only the wire that failed is given up, not one that another thread has brought meanwhile.
                if place.as_ref().is_some_and(|current| Arc::ptr_eq(current, &client)) {
                    *place = None;
                }
                Err(error)
            }
            outcome => outcome,
        }
    }

    fn find(&self, key: KeyId) -> Result<Known, KeyError> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.get(&key).cloned().ok_or(KeyError::NoSuchKey(key))
    }

    fn keep(&self, key: TokenKey, asked: Algorithm) -> Result<KeyId, KeyError> {
        let (id, known) = Known::new(key)
            .filter(|(_, known)| known.algorithm == asked)
            .ok_or_else(|| self.broken("a key of another kind than it was asked for"))?;
        let mut keys = self.keys.write().unwrap_or_else(PoisonError::into_inner);
        keys.insert(id, known);
        Ok(id)
    }

    fn bytes(&self, request: &Pkcs11Request, key: KeyId, operation: &'static str) -> Result<Vec<u8>, KeyError> {
        match self.refusable(request, key, operation)? {
            Pkcs11Reply::Bytes(bytes) => Ok(bytes),
            _ => Err(self.broken("another answer than to the question")),
        }
    }

    fn secret(&self, request: &Pkcs11Request, key: KeyId, operation: &'static str) -> Result<SecretBytes, KeyError> {
        match self.refusable(request, key, operation)? {
            Pkcs11Reply::Secret(bytes) => Ok(bytes),
            _ => Err(self.broken("another answer than to the question")),
        }
    }

    /// Asks about a key: that it is not there (any more) is said with its identifier.
    fn refusable(&self, request: &Pkcs11Request, key: KeyId, operation: &'static str) -> Result<Pkcs11Reply, KeyError> {
        match self.ask(request, operation)? {
            Pkcs11Reply::Refused(Pkcs11Refusal::NoSuchKey) => Err(KeyError::NoSuchKey(key)),
            Pkcs11Reply::Refused(refusal) => Err(refused(&self.label, refusal, operation)),
            reply => Ok(reply),
        }
    }

    fn offer(&self, operation: Operation) -> Result<(), KeyError> {
        if self.capabilities.offers(operation) {
            Ok(())
        } else {
            Err(self.lacks(operation))
        }
    }

    fn broken(&self, what: &'static str) -> KeyError {
        KeyError::Protocol {
            device: name(&self.label),
            what,
        }
    }

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
        let by = super::sealed_by(sealed).ok_or(KeyError::Unsealable)?;
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

impl fmt::Debug for Pkcs11Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Device")
            .field("identity", &self.identity)
            .field("token", &self.label)
            .finish_non_exhaustive()
    }
}

impl Known {
    /// What a token's key is to us, with its identifier; `None` where its public half is not one of its algorithm.
    fn new(key: TokenKey) -> Option<(KeyId, Self)> {
        let algorithm = key.algorithm;
        let public = match (algorithm, key.public) {
            (Algorithm::Aes256, TokenPublic::None) => None,
            (Algorithm::EcdsaP256 | Algorithm::EcdsaP384 | Algorithm::Ed25519, TokenPublic::Point(attribute)) => {
                let length = foreign::point_length(algorithm)?;
                // Most modules wrap the point in an OCTET STRING, as the standard says; some do not.
                let raw = if attribute.len() == length {
                    attribute
                } else {
                    der::octets(&attribute)?.to_vec()
                };
                (raw.len() == length).then_some(())?;
                Some(PublicKey { algorithm, raw })
            }
            (_, TokenPublic::Rsa { modulus, exponent }) => {
                let bits = usize::from(algorithm.rsa_bits()?);
                (modulus.len() * 8 == bits && exponent.ends_with(&[1, 0, 1])).then_some(())?;
                let raw = der::rsa_public(&modulus, &exponent);
                Some(PublicKey { algorithm, raw })
            }
            _ => return None,
        };
        let id = public.as_ref().map_or(KeyId(key.reference.0), PublicKey::id);
        let known = Self {
            reference: key.reference,
            algorithm,
            public,
        };
        Some((id, known))
    }
}

#[derive(Deserialize, Serialize)]
struct Sealed {
    version: u8,
    by: DeviceIdentity,
    ciphertext: Vec<u8>,
}

fn login(
    wire: &dyn Wire,
    label: &str,
    pin: &SecretString,
    patience: Patience,
) -> Result<(Client<VaultPkcs11>, Token), KeyError> {
    let channel = wire.connect().map_err(|source| KeyError::Gone {
        device: name(label),
        source,
    })?;
    let client = Client::new(channel);
    let request = Pkcs11Request::Login {
        token: label.to_owned(),
        pin: pin.clone(),
    };
    match ask(&client, label, &request, patience, "log in")? {
        Pkcs11Reply::Token(token) => Ok((client, token)),
        Pkcs11Reply::Refused(refusal) => Err(refused(label, refusal, "log in")),
        _ => Err(KeyError::Protocol {
            device: name(label),
            what: "another answer than to the question",
        }),
    }
}

fn list(client: &Client<VaultPkcs11>, label: &str, patience: Patience) -> Result<BTreeMap<KeyId, Known>, KeyError> {
    let mut keys = BTreeMap::new();
    let mut after = None;
    loop {
        match ask(client, label, &Pkcs11Request::Keys { after }, patience, "list its keys")? {
            Pkcs11Reply::Keys(page) if page.is_empty() => return Ok(keys),
            Pkcs11Reply::Keys(page) => {
                let last = page.last().map(|key| key.reference);
                // A worker that goes in circles, or without end, is broken.
                if last <= after || keys.len() > MOST {
                    return Err(KeyError::Protocol {
                        device: name(label),
                        what: "a list of keys without an end",
                    });
                }
                after = last;
                keys.extend(page.into_iter().filter_map(Known::new));
            }
            Pkcs11Reply::Refused(refusal) => return Err(refused(label, refusal, "list its keys")),
            _ => {
                return Err(KeyError::Protocol {
                    device: name(label),
                    what: "another answer than to the question",
                });
            }
        }
    }
}

fn ask(
    client: &Client<VaultPkcs11>,
    label: &str,
    request: &Pkcs11Request,
    patience: Patience,
    operation: &'static str,
) -> Result<Pkcs11Reply, KeyError> {
    let slow = matches!(
        request,
        Pkcs11Request::Generate { .. } | Pkcs11Request::Login { .. } | Pkcs11Request::Import { .. }
    );
    let waited = if slow { patience.making } else { patience.answer };
    client.call(request, waited).map_err(|error| {
        let device = name(label);
        match error {
            IpcError::Deadline => KeyError::Silent { device, waited },
            IpcError::Closed => KeyError::Gone {
                device,
                source: io::ErrorKind::BrokenPipe.into(),
            },
            IpcError::System { source, .. } => KeyError::Gone { device, source },
            IpcError::TooLarge { size, limit } => KeyError::TooLong { length: size, limit },
            IpcError::Dropped => KeyError::Refused {
                device,
                operation,
                code: "the worker gave no answer".to_owned(),
            },
            _ => KeyError::Protocol {
                device,
                what: "a message that does not parse",
            },
        }
    })
}

fn refused(label: &str, refusal: Pkcs11Refusal, operation: &'static str) -> KeyError {
    let device = name(label);
    match refusal {
        Pkcs11Refusal::Ciphertext => KeyError::Ciphertext,
        Pkcs11Refusal::Signature => KeyError::Signature,
        Pkcs11Refusal::Full => KeyError::Full { device },
        Pkcs11Refusal::Locked => KeyError::LockedOut { device, recovery: None },
        Pkcs11Refusal::Pin { last } => KeyError::Pin {
            attempts: last.then_some(1),
        },
        Pkcs11Refusal::NoToken => KeyError::Gone {
            device,
            source: io::ErrorKind::NotFound.into(),
        },
        Pkcs11Refusal::TokenGone(code) => KeyError::Gone {
            device,
            source: io::Error::other(code),
        },
        other => KeyError::Refused {
            device,
            operation,
            code: other.to_string(),
        },
    }
}

fn name(label: &str) -> String {
    format!("the HSM's token {label:?}")
}

fn identity(token: &Token) -> DeviceIdentity {
    let mut hashed = b"redan pkcs11 identity v1\0".to_vec();
    for text in &token.maker {
        hashed.extend_from_slice(text.as_bytes());
        hashed.push(0);
    }
    let hash = sha256(&[&hashed, &token.seal.0]);
    let mut id = [0; 16];
    id.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    DeviceIdentity {
        kind: DeviceKind::Pkcs11,
        id,
    }
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
const SEAL_LIMIT: usize = 1_024;
/// Far above what an appliance has.
const MOST: usize = 10_000;
