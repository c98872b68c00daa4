//! The key devices as the supervisor offers them: which one there is, and how it is opened, again where it went away.

use redan_hal::keys::pkcs11::{self, Pkcs11Device};
use redan_hal::keys::software::SoftwareDevice;
use redan_hal::keys::tpm2::transport::{Connect, Packets, Stream, Transport};
use redan_hal::keys::tpm2::{self, Tpm2Device};
use redan_hal::keys::{
    Algorithm, Binding, KeyDevice, KeyError, PcrApproval, PcrSelection, PublicKey, SealPolicy, Unlock,
};
use redan_ipc::Channel;
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::control::{Need, Purpose};
use redan_ipc::messages::seal::KeyDeviceChoice;
use redan_service::Supply;
use redan_types::SecretString;
use std::fmt;
use std::fs::{DirBuilder, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::DirBuilderExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// Opens the appliance's key device.
pub(crate) trait Source: fmt::Debug + Send + Sync {
    /// Opens the device. `existing` says that a store was made before: then a device that could not have sealed it is not made anew
    /// beside it, which would hide that the old one is missing.
    fn open(&self, existing: bool) -> Result<Arc<dyn KeyDevice>, KeyError>;

    /// Opens a device that is not the one of before; what was kept for that one is set aside.
    fn open_other(&self) -> Result<Arc<dyn KeyDevice>, KeyError>;

    /// Whether it is a file beside the store, which does not come back by itself where it is missing.
    fn is_file(&self) -> bool {
        false
    }

    /// What the seal is bound to, and that in words.
    fn policy(&self) -> (SealPolicy, String) {
        (SealPolicy::default(), "whatever runs there".to_owned())
    }

    /// What opens it besides the device.
    fn unlock(&self) -> Unlock<'_> {
        Unlock::default()
    }
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChoiceError {
    /// The supervisor's choice does not make sense.
    #[error("the choice of the key device: {0}")]
    Choice(&'static str),
    /// The PIN cannot be read.
    #[error("the PIN of the HSM's token cannot be read: {0}")]
    Pin(io::Error),
}

/// The source of this choice, in a state folder. `pin` holds the PIN's line.
pub(crate) fn of(
    choice: KeyDeviceChoice,
    state: &Path,
    supply: Supply,
    pin: Option<SecretString>,
) -> Result<Box<dyn Source>, ChoiceError> {
    Ok(match choice {
        KeyDeviceChoice::Software => Box::new(SoftwareSource(state.to_owned())),
        KeyDeviceChoice::Tpm {
            name,
            simulator,
            pcrs,
            approval,
            approvals,
        } => {
            let pcrs = PcrSelection::new(&pcrs).ok_or(ChoiceError::Choice("a register above 23"))?;
            let approvals: Vec<PcrApproval> = if approvals.is_empty() {
                Vec::new()
            } else {
                postcard::from_bytes(&approvals).map_err(|_| ChoiceError::Choice("the approvals do not parse"))?
            };
            let binding = match approval {
                Some(key) => Binding::Approved {
                    signer: PublicKey {
                        algorithm: Algorithm::EcdsaP256,
                        raw: key.point,
                    },
                    reference: key.reference,
                },
                None if pcrs.is_empty() => Binding::Device,
                None => Binding::Pcrs(pcrs),
            };
            Box::new(TpmSource {
                folder: state.join("tpm"),
                given: Arc::new(Given {
                    supply,
                    name,
                    simulator,
                }),
                binding,
                approvals,
            })
        }
        KeyDeviceChoice::Pkcs11 { label } => Box::new(Pkcs11Source {
            supply,
            label,
            pin: pin.ok_or(ChoiceError::Choice("the supervisor passed no PIN"))?,
        }),
    })
}

/// A device in a file.
#[derive(Debug)]
pub(crate) struct SoftwareSource(pub(crate) PathBuf);

impl Source for SoftwareSource {
    fn open(&self, existing: bool) -> Result<Arc<dyn KeyDevice>, KeyError> {
        let device = if existing {
            SoftwareDevice::open_existing(&self.0)
        } else {
            SoftwareDevice::open(&self.0)
        };
        Ok(Arc::new(device?))
    }

    fn open_other(&self) -> Result<Arc<dyn KeyDevice>, KeyError> {
        // One that is there but damaged is not thrown away: whoever has its backup can still use it.
        Ok(Arc::new(SoftwareDevice::open(&self.0)?))
    }

    fn is_file(&self) -> bool {
        true
    }
}

/// A TPM.
#[derive(Debug)]
struct TpmSource {
    folder: PathBuf,
    given: Arc<Given>,
    binding: Binding,
    approvals: Vec<PcrApproval>,
}

impl TpmSource {
    fn device(&self) -> Result<Tpm2Device, KeyError> {
        let made = DirBuilder::new().mode(0o700).create(&self.folder);
        match made {
            Err(source) if source.kind() != ErrorKind::AlreadyExists => {
                return Err(KeyError::File {
                    operation: "create",
                    path: self.folder.clone(),
                    source,
                });
            }
            _ => {}
        }
        Tpm2Device::open(Arc::<Given>::clone(&self.given), &self.folder, TPM)
    }
}

impl Source for TpmSource {
    fn open(&self, _existing: bool) -> Result<Arc<dyn KeyDevice>, KeyError> {
        Ok(Arc::new(self.device()?))
    }

    fn open_other(&self) -> Result<Arc<dyn KeyDevice>, KeyError> {
        match self.device() {
            // The folder knows another TPM.
            Err(KeyError::OtherDevice { sealed_by, .. }) => {
                let mark: String = sealed_by.id.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
                let aside = self.folder.with_extension(mark);
                std::fs::rename(&self.folder, &aside).map_err(|source| KeyError::File {
                    operation: "set aside",
                    path: self.folder.clone(),
                    source,
                })?;
                Ok(Arc::new(self.device()?))
            }
            other => Ok(Arc::new(other?)),
        }
    }

    fn policy(&self) -> (SealPolicy, String) {
        let words = match &self.binding {
            Binding::Pcrs(pcrs) => format!("the machine's measured state ({pcrs})"),
            Binding::Approved { reference, .. } => format!(
                "states approved by the key of updates for {:?}",
                String::from_utf8_lossy(reference)
            ),
            _ => "whatever runs there".to_owned(),
        };
        let policy = SealPolicy {
            binding: self.binding.clone(),
            pin: None,
        };
        (policy, words)
    }

    fn unlock(&self) -> Unlock<'_> {
        Unlock {
            approvals: &self.approvals,
            pin: None,
        }
    }
}

/// A TPM whose descriptor the supervisor opens: the vault can name no path.
#[derive(Debug)]
struct Given {
    supply: Supply,
    name: String,
    simulator: bool,
}

impl Connect for Given {
    fn connect(&self) -> io::Result<Box<dyn Transport>> {
        let file = self.supply.file(Need::Tpm, Purpose::Tpm, SUPPLIED)?;
        rustix::io::ioctl_fionbio(&file, true)?;
        Ok(if self.simulator {
            Box::new(Stream(UnixStream::from(file)))
        } else {
            Box::new(Packets(File::from(file)))
        })
    }

    fn name(&self) -> String {
        format!("the TPM at {}", self.name)
    }
}

/// A token of an HSM.
#[derive(Debug)]
struct Pkcs11Source {
    supply: Supply,
    label: String,
    pin: SecretString,
}

impl Source for Pkcs11Source {
    fn open(&self, _existing: bool) -> Result<Arc<dyn KeyDevice>, KeyError> {
        let wire = Box::new(Worker(self.supply.clone()));
        let device = Pkcs11Device::open(wire, &self.label, self.pin.clone(), HSM)?;
        Ok(Arc::new(device))
    }

    fn open_other(&self) -> Result<Arc<dyn KeyDevice>, KeyError> {
        self.open(true)
    }
}

/// A worker that the supervisor starts anew for each wire.
#[derive(Debug)]
struct Worker(Supply);

impl pkcs11::Wire for Worker {
    fn connect(&self) -> io::Result<Channel> {
        self.0.wire::<VaultPkcs11>(Need::Pkcs11, SUPPLIED)
    }
}

/// The supervisor answers at once; this is for one that does not.
const SUPPLIED: Duration = Duration::from_secs(5);
const TPM: tpm2::Patience = tpm2::Patience {
    answer: Duration::from_secs(5),
    making: Duration::from_secs(120),
    busy: Duration::from_secs(5),
};
const HSM: pkcs11::Patience = pkcs11::Patience {
    answer: Duration::from_secs(5),
    making: Duration::from_secs(60),
};
