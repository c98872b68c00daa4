//! The key device, as far as it takes a name or a process: the vault can name no path and start nothing, so it asks.
//!
//! A TPM is opened anew each time that the vault asks, which also makes the kernel's resource manager forget what an earlier
//! opening left in it. An HSM's worker is started anew each time, with a wire that nobody has logged in on yet; the one before is
//! ended. Neither is in the table of services: they exist only where the appliance was started with them.

use redan_ipc::Channel;
use redan_ipc::Pair;
use redan_ipc::messages::VaultPkcs11;
use redan_ipc::messages::control::{End, Need, Purpose, ToService};
use redan_ipc::messages::seal::{ApprovalKey, KeyDeviceChoice};
use redan_types::Process;
use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};
use rustix::process::Pid;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;

use crate::log::say;
use crate::manifest::HSM_USER;
use crate::service::Parcel;
use crate::state::{StateError, memory_file, passed};
use crate::supervisor::SELF;

/// The key device that the appliance is started with.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub enum KeyDevice {
    /// A file beside the store, for evaluation.
    #[default]
    Software,
    /// A TPM 2.0.
    Tpm(TpmOptions),
    /// A token behind a vendor's PKCS#11 module.
    Pkcs11(Box<Pkcs11Options>),
}

/// Where the TPM is, and what the store is sealed to.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct TpmOptions {
    /// `--tpm`: a device file.
    pub place: TpmPlace,
    /// `--tpm-pcrs`: the registers, where there is no approval key.
    pub pcrs: Vec<u8>,
    /// `--tpm-approval-key`: whose approvals of states count, a `SubjectPublicKeyInfo` in DER.
    pub approval_key: Option<PathBuf>,
    /// `--tpm-approval-for`: what they must be for.
    pub reference: String,
    /// `--tpm-approvals`: a file of approvals.
    pub approvals: Option<PathBuf>,
}

/// Where a TPM is.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum TpmPlace {
    /// The kernel's resource manager.
    Device(PathBuf),
    /// A simulator's Unix socket.
    Socket(PathBuf),
}

/// How the worker of an HSM is started.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Pkcs11Options {
    /// `--pkcs11-worker`: the dynamic build of `redan-pkcs11`.
    pub worker: PathBuf,
    /// `--pkcs11-module`: the vendor's module.
    pub module: PathBuf,
    /// `--pkcs11-token`: the token's label.
    pub token: String,
    /// `--pkcs11-pin`: a file with its PIN, readable by its owner alone.
    pub pin: PathBuf,
    /// `--pkcs11-read`: what the module reads.
    pub read: Vec<PathBuf>,
    /// `--pkcs11-write`: what the module writes.
    pub write: Vec<PathBuf>,
    /// `--pkcs11-env`: NAME=VALUE of its environment.
    pub environment: Vec<(OsString, OsString)>,
    /// `--pkcs11-network`: the HSM is on the network.
    pub network: bool,
}

/// What the supervisor holds of it.
#[derive(Debug)]
pub(crate) struct Support {
    device: KeyDevice,
    /// The user of the worker, where the supervisor is root among users.
    user: Option<u32>,
    choice: Rc<OwnedFd>,
    pin: Option<Rc<OwnedFd>>,
    worker: Option<Child>,
}

impl Support {
    pub(crate) fn new(device: KeyDevice, has_users: bool) -> Result<Self, StateError> {
        let mut pin = None;
        let choice = match &device {
            KeyDevice::Software => KeyDeviceChoice::Software,
            KeyDevice::Tpm(options) => {
                let key = options.approval_key.as_deref();
                let approval = key.map(|path| passed(path, SPKI_HEAD.len() + POINT)).transpose()?;
                let approvals = options.approvals.as_deref();
                KeyDeviceChoice::Tpm {
                    name: options.place.name(),
                    simulator: matches!(options.place, TpmPlace::Socket(_)),
                    pcrs: options.pcrs.clone(),
                    approval: approval
                        .map(|bytes| approval_key(&bytes, &options.reference))
                        .transpose()
                        .map_err(StateError::at("read", key.unwrap_or(Path::new("the key"))))?,
                    approvals: approvals
                        .map(|path| passed(path, APPROVALS))
                        .transpose()?
                        .unwrap_or_default(),
                }
            }
            KeyDevice::Pkcs11(options) => {
                pin = Some(Rc::new(secret_file(&options.pin)?));
                KeyDeviceChoice::Pkcs11 {
                    label: options.token.clone(),
                }
            }
        };
        let choice = postcard::to_stdvec(&choice)
            .map_err(io::Error::other)
            .and_then(|bytes| memory_file("key device", &bytes))
            .map_err(StateError::at("pass on", Path::new("the choice of the key device")))?;
        Ok(Self {
            device,
            user: has_users.then_some(HSM_USER),
            choice: Rc::new(choice),
            pin,
            worker: None,
        })
    }

    /// What the vault gets at its start.
    pub(crate) fn parcels(&self) -> Vec<Parcel> {
        let file = |purpose, file: &Rc<OwnedFd>| (ToService::File { purpose }, vec![Rc::clone(file)]);
        let mut parcels = vec![file(Purpose::KeyDevice, &self.choice)];
        parcels.extend(self.pin.as_ref().map(|pin| file(Purpose::Pin, pin)));
        parcels
    }

    /// What the vault asks for, or that it cannot be had.
    pub(crate) fn supply(&mut self, need: Need) -> Parcel {
        let outcome = match (need, &self.device) {
            (Need::Tpm, KeyDevice::Tpm(options)) => {
                let message = ToService::File { purpose: Purpose::Tpm };
                options.place.open().map(|file| (message, file))
            }
            (Need::Pkcs11, KeyDevice::Pkcs11(options)) => {
                let options = options.clone();
                self.start_worker(&options).map(|wire| {
                    let message = ToService::Wire {
                        pair: VaultPkcs11::TAG,
                        end: End::Client,
                        index: 0,
                        generation: 0,
                    };
                    (message, wire)
                })
            }
            _ => Err(io::Error::other("the appliance was started without it")),
        };
        match outcome {
            Ok((message, file)) => (message, vec![Rc::new(file)]),
            Err(error) => {
                let why = error.to_string();
                (ToService::Lacks { need, why }, Vec::new())
            }
        }
    }

    /// A process that has ended, which may have been the worker.
    pub(crate) fn buried(&mut self, pid: Pid) {
        if self
            .worker
            .as_ref()
            .is_some_and(|worker| Pid::from_child(worker) == pid)
        {
            say(SELF, "the HSM's worker has ended");
            self.worker = None;
        }
    }

    fn start_worker(&mut self, options: &Pkcs11Options) -> io::Result<OwnedFd> {
        self.end_worker();
        let (ours, theirs) = Channel::pair().map_err(io::Error::other)?;
        let mut command = Command::new(&options.worker);
        command.arg("--module").arg(&options.module);
        for path in &options.read {
            command.arg("--read").arg(path);
        }
        for path in &options.write {
            command.arg("--write").arg(path);
        }
        if options.network {
            command.arg("--network");
        }
        if let Some(user) = self.user {
            // Changing the user from root empties every set of capabilities; supplementary groups are given up with it.
            command.uid(user).gid(user);
        }
        let child = command
            .env_clear()
            .envs(options.environment.iter().map(|(name, value)| (name, value)))
            .current_dir("/")
            .stdin(Stdio::from(theirs.into_descriptor()))
            .stdout(Stdio::null())
            .spawn()?;
        say(
            SELF,
            &format!("started the {} as process {}", Process::Pkcs11, child.id()),
        );
        self.worker = Some(child);
        Ok(ours.into_descriptor())
    }

    fn end_worker(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            // It may have ended by itself. Its end is reaped like any orphan's.
            let _ = worker.kill();
        }
    }
}

impl Drop for Support {
    fn drop(&mut self) {
        self.end_worker();
    }
}

impl TpmPlace {
    fn name(&self) -> String {
        match self {
            Self::Device(path) => path.display().to_string(),
            Self::Socket(path) => format!("unix:{}", path.display()),
        }
    }

    /// Opens it, without waiting for it.
    fn open(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Device(path) => {
                let flags = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOCTTY;
                Ok(rustix::fs::open(path, flags, Mode::empty())?)
            }
            Self::Socket(path) => {
                let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
                let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
                connect(&socket, &SocketAddrUnix::new(path)?)?;
                Ok(socket)
            }
        }
    }
}

fn approval_key(bytes: &[u8], reference: &str) -> io::Result<ApprovalKey> {
    match bytes.strip_prefix(SPKI_HEAD) {
        Some(point) if point.len() == POINT => Ok(ApprovalKey {
            point: point.to_vec(),
            reference: reference.as_bytes().to_vec(),
        }),
        _ => Err(io::Error::other("it is not an ECDSA P-256 public key in DER")),
    }
}

/// A file that nobody but its owner can read.
fn secret_file(path: &Path) -> Result<OwnedFd, StateError> {
    let open = || -> io::Result<OwnedFd> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOCTTY | OFlags::NOFOLLOW;
        let file = fs::File::from(rustix::fs::open(path, flags, Mode::empty())?);
        let about = file.metadata()?;
        let own = rustix::process::geteuid().as_raw();
        if !about.is_file() || about.mode() & 0o077 != 0 || about.uid() != own {
            return Err(io::Error::other(
                "a secret's file must be a plain file of the appliance's user with mode 600 or 400",
            ));
        }
        Ok(file.into())
    };
    open().map_err(StateError::at("use", path))
}

/// A P-256 key's `SubjectPublicKeyInfo` (RFC 5480 section 2) up to the point.
const SPKI_HEAD: &[u8] = &[
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
const POINT: usize = 65;
const APPROVALS: usize = 32 << 10;
