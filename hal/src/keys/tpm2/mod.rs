//! A TPM 2.0 as a key device, in pure Rust, over the kernel's resource manager or a simulator's socket.
//!
//! * [`transport`]: bytes to and from the device; `wire` and `link`: commands and answers; `session`: their protection on the bus;
//! * `live`: what is loaded in the device; `files`: what lies on disk, encrypted by the device;
//! * `operations`, `seal`, `counter`, `attest`, `import`, `offers`, `shapes`: what the device is asked to do.
//!
//! One thread talks to the device at a time; the others queue. When the device goes away or is reset, the request that was under way
//! fails with a typed error, unless it is certain that the device did nothing, in which case it is asked once more; the next
//! request sets everything up again. No command waits longer than [`Patience`] says.
//!
//! The storage root key's name is written down the first time that a folder is opened, and every session is salted with that key: from
//! then on a probe or an interposer on the bus sees nothing and alters nothing unnoticed. Whoever sits on the bus that very first time
//! can pretend to be the TPM; set the appliance up where nobody does. The hierarchies' authorizations are taken to be empty, as a TPM
//! is delivered.
//!
//! What this device does not protect against: who can read the folder and use this TPM can use its keys, for they are encrypted by
//! the TPM, not hidden from its users; and an old copy of a destroyed key's file is that key again.

mod attest;
mod counter;
mod files;
mod import;
mod link;
mod live;
mod offers;
mod operations;
mod seal;
mod session;
mod shapes;
pub mod transport;
mod wire;

pub use link::Patience;
pub use transport::{Address, Handed};
pub use wire::{Acknowledgement, Answer, Done, parse_answer};

pub(in crate::keys) use counter::name as counter_name;

use super::policy::sha256;
use super::{Capabilities, DeviceIdentity, DeviceKind, KeyDevice, KeyError, Operation};
use files::{Folder, KeyFile, Known};
use link::{Entity, Fault, Link};
use live::{Blob, Live};
use offers::{LOCKOUT_INTERVAL, offered, property};
use redan_types::KeyId;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tpm2_protocol::data::{TpmRc, TpmRcBase};
use transport::Connect;

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
                fault
                    if again
                        && (fault.forgot()
                            || matches!(fault.reason(), Some(TpmRcBase::AuthFail | TpmRcBase::BadAuth))) =>
                {
                    again = false;
                }
                fault if fault.forgot() => return Err(KeyError::Reset { device: name }),
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
