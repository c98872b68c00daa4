//! The vault as a process: its folder, its wires, its end.

use super::{Vault, VaultError};
use crate::service::signer::Wire;
use crate::store::{StateFolder, StoreError};
use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::control::Purpose;
use redan_ipc::messages::sign::{SignReply, SignRequest};
use redan_ipc::messages::{ConsoleSigner, ConsoleVault, ManagerVault, ProxySigner, ProxyVault};
use redan_ipc::{Channel, Pair};
use redan_service::Service;
use redan_types::Timestamp;
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// Why the vault cannot run.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The supervisor passed no folder.
    #[error("the supervisor passed no folder for the store")]
    NoFolder,
    /// The folder cannot become the working directory.
    #[error("the store's folder cannot be entered: {0}")]
    Folder(std::io::Error),
    /// The vault cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
}

impl From<StoreError> for RunError {
    fn from(error: StoreError) -> Self {
        Self::Vault(error.into())
    }
}

/// Runs the vault until the supervisor asks for its end.
///
/// # Errors
/// The vault cannot be opened; the supervisor should be told why.
pub fn run(service: &Service) -> Result<(), RunError> {
    let folder = service.take_file(Purpose::Store).ok_or(RunError::NoFolder)?;
    // In its empty tree the service can name no path; relative names begin at the working directory.
    rustix::process::fchdir(&folder).map_err(|errno| RunError::Folder(errno.into()))?;
    let state = StateFolder::lock(Path::new("."))?;
    // A new device beside an existing store could open none of it, and would hide that the old device's file is what is missing.
    let device = if state.holds_store() {
        SoftwareDevice::open_existing(state.path())
    } else {
        SoftwareDevice::open(state.path())
    }
    .map_err(VaultError::from)?;
    let (vault, first) = Vault::open(&state, Arc::new(device), now)?;
    if let (Some((_, password)), Some(file)) = (first, service.take_file(Purpose::FirstPassword)) {
        // Nobody may be reading; the password is told again at the next start until it has been changed.
        if let Err(error) = writeln!(File::from(file), "{}", password.expose()) {
            vault.note(format!("the first password could not be told: {error}"));
        }
    }
    sign_on::<ProxySigner>(service, &vault, Wire::Services);
    sign_on::<ConsoleSigner>(service, &vault, Wire::Console);
    let (proxy, console, manager) = (Arc::clone(&vault), Arc::clone(&vault), Arc::clone(&vault));
    service.serve::<ProxyVault, _>(move |_| {
        let vault = Arc::clone(&proxy);
        move |request, responder| vault.answer_proxy(request, responder)
    });
    service.serve::<ConsoleVault, _>(move |_| {
        let (vault, export) = (Arc::clone(&console), Arc::new(Mutex::new(None)));
        move |request, responder| vault.answer_console(&export, request, responder)
    });
    service.serve::<ManagerVault, _>(move |_| {
        let (vault, export) = (Arc::clone(&manager), Arc::new(Mutex::new(None)));
        move |request, responder| vault.answer_manager(&export, request, responder)
    });
    let (stop, stopped) = channel::<()>();
    let keeper = Arc::clone(&vault);
    let housekeeping = std::thread::Builder::new()
        .name("housekeeping".to_owned())
        .spawn(move || {
            while stopped.recv_timeout(HOUSEKEEPING) == Err(RecvTimeoutError::Timeout) {
                keeper.keep_house();
            }
        })
        .map_err(VaultError::from)?;
    service.ready();
    service.wait_for_stop();
    drop(stop);
    // A panic there has been reported by the panic itself.
    let _ = housekeeping.join();
    vault.close();
    Ok(())
}

/// A thread for each signing wire, kept on the processor of its peer's thread: the hand-over is then a plain switch.
fn sign_on<P>(service: &Service, vault: &Arc<Vault>, wire: Wire)
where
    P: Pair<Request = SignRequest, Reply = SignReply>,
{
    let signers = vault.signers();
    service.on_wires::<P>(move |index, channel: Channel| {
        let signers = Arc::clone(&signers);
        let signing = std::thread::Builder::new()
            .name(format!("sign-{}-{index}", P::CLIENT))
            .spawn(move || {
                if wire == Wire::Services {
                    stay_on(index);
                }
                signers.serve::<P>(wire, channel)
            });
        if let Err(error) = signing {
            // The wire is dropped, so the peer learns at once that nobody answers.
            eprintln!("no thread for a signing wire: {error}");
        }
    });
}

/// Keeps the calling thread on the processor of this number among those that the process may use. Where that is refused, or there
/// are fewer processors, signing is slower and nothing else.
fn stay_on(index: u16) {
    let Ok(allowed) = rustix::thread::sched_getaffinity(None) else {
        return;
    };
    let processor = (0..rustix::thread::CpuSet::MAX_CPU)
        .filter(|cpu| allowed.is_set(*cpu))
        .nth(index.into());
    if let Some(processor) = processor {
        let mut one = rustix::thread::CpuSet::new();
        one.set(processor);
        let _ = rustix::thread::sched_setaffinity(None, &one);
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}

const HOUSEKEEPING: Duration = Duration::from_secs(5);
