//! An HSM behind its vendor's PKCS#11 module, which is loaded in a process of its own (`appliance/pkcs11`): foreign code in C is
//! never in the vault's memory. This is the vault's side of the wire.
//!
//! What the worker says is a claim: identifiers are computed here from the public halves, hashes are made here, lengths are checked.
//! A worker that dies ends the request under way with [`KeyError::Gone`]; the next request asks for a new wire, and whoever made the
//! worker makes another. The PIN is kept, in memory that is wiped, for that next login.

mod foreign;
mod operations;
mod spawn;
mod talk;

pub use spawn::Spawn;

use super::{Algorithm, Capabilities, DeviceIdentity, KeyDevice, KeyError, Operation};
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::pkcs11::{Pkcs11Refusal, Pkcs11Reply, Pkcs11Request, TokenKey};
use redan_ipc::{Channel, Client};
use redan_types::{KeyId, SecretBytes, SecretString};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;
use talk::{Known, ask, identity, list, login, name, refused};

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
        let mut operations: BTreeSet<Operation> = [Operation::List, Operation::Destroy].into();
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
                seal_limit: operations::SEAL_LIMIT,
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
        let outcome = ask(&client, &self.label, request, self.patience, operation);
        // A token that went away is looked for by a worker that loads the module anew.
        if let Ok(Pkcs11Reply::Refused(Pkcs11Refusal::TokenGone(_)))
        | Err(KeyError::Gone { .. } | KeyError::Protocol { .. }) = &outcome
        {
            let mut place = self.client.write().unwrap_or_else(PoisonError::into_inner);
            // Only the wire that failed is given up, not one that another thread has brought meanwhile.
            if place.as_ref().is_some_and(|current| Arc::ptr_eq(current, &client)) {
                *place = None;
            }
        }
        outcome
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
}

impl fmt::Debug for Pkcs11Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pkcs11Device")
            .field("identity", &self.identity)
            .field("token", &self.label)
            .finish_non_exhaustive()
    }
}
