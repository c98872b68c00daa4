//! Talking to a worker: questions, what its refusals mean, and what is made of the keys that it claims.

use super::{Patience, Wire, foreign};
use crate::keys::policy::sha256;
use crate::keys::{Algorithm, DeviceIdentity, DeviceKind, KeyError, PublicKey, der};
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::pkcs11::{
    ObjectReference, Pkcs11Refusal, Pkcs11Reply, Pkcs11Request, Token, TokenKey, TokenPublic,
};
use redan_ipc::{Client, IpcError};
use redan_types::{KeyId, SecretString};
use std::collections::BTreeMap;
use std::io;

#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) reference: ObjectReference,
    pub(super) algorithm: Algorithm,
    pub(super) public: Option<PublicKey>,
}

impl Known {
    /// What a token's key is to us, with its identifier; `None` where its public half is not one of its algorithm.
    pub(super) fn new(key: TokenKey) -> Option<(KeyId, Self)> {
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

pub(super) fn login(
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

pub(super) fn list(
    client: &Client<VaultPkcs11>,
    label: &str,
    patience: Patience,
) -> Result<BTreeMap<KeyId, Known>, KeyError> {
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

pub(super) fn ask(
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

pub(super) fn refused(label: &str, refusal: Pkcs11Refusal, operation: &'static str) -> KeyError {
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

pub(super) fn name(label: &str) -> String {
    format!("the HSM's token {label:?}")
}

pub(super) fn identity(token: &Token) -> DeviceIdentity {
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

/// Far above what an appliance has.
const MOST: usize = 10_000;
