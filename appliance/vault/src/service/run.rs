//! The vault as a process: its folder, its wires, its end.

use super::VaultError;
use super::room::{Outside, Room};
use crate::seal::source::{self, ChoiceError};
use crate::service::signer::Wire;
use crate::store::{StateFolder, StoreError};
use redan_ipc::messages::control::Purpose;
use redan_ipc::messages::seal::KeyDeviceChoice;
use redan_ipc::messages::sign::{SignReply, SignRequest};
use redan_ipc::messages::vault::ProxyVaultReply;
use redan_ipc::messages::{ConsoleSigner, ConsoleVault, ManagerVault, ProxySigner, ProxyVault};
use redan_ipc::{Channel, Pair};
use redan_service::Service;
use redan_types::{SecretString, Timestamp};
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};
use zeroize::Zeroizing;

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
    /// What the supervisor passed cannot be read.
    #[error("what the supervisor passed cannot be read: {0}")]
    Passed(std::io::Error),
    /// The supervisor passed a choice of the key device, or a PIN, of another form.
    #[error("the choice of the key device, or its PIN, is not of the form that it should have")]
    Choice,
    /// The choice of the key device makes no sense.
    #[error(transparent)]
    Source(#[from] ChoiceError),
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
/// The vault cannot be opened, and is not sealed either; the supervisor should be told why.
pub fn run(service: &Service) -> Result<(), RunError> {
    let folder = service.take_file(Purpose::Store).ok_or(RunError::NoFolder)?;
    // In its empty tree the service can name no path; relative names begin at the working directory.
    rustix::process::fchdir(&folder).map_err(|errno| RunError::Folder(errno.into()))?;
    let choice = match service.take_file(Purpose::KeyDevice) {
        Some(file) => postcard::from_bytes(&whole(file, CHOICE)?).map_err(|_| RunError::Choice)?,
        None => KeyDeviceChoice::Software,
    };
    let pin = service.take_file(Purpose::Pin).map(pin).transpose()?;
    let state = StateFolder::lock(Path::new("."))?;
    let source = source::of(choice, state.path(), service.supply(), pin)?;
    let notes = redan_hal::memory::lock_everything().err();
    let room = Room::new(state, source, now, outside(service))?;
    if let (Some(note), Ok(vault)) = (notes, room.vault()) {
        vault.note(note);
    }
    sign_on::<ProxySigner>(service, &room, Wire::Services);
    sign_on::<ConsoleSigner>(service, &room, Wire::Console);
    let (proxy, console, manager) = (Arc::clone(&room), Arc::clone(&room), Arc::clone(&room));
    service.serve::<ProxyVault, _>(move |_| {
        let room = Arc::clone(&proxy);
        move |request, responder| match room.vault() {
            Ok(vault) => vault.answer_proxy(request, responder),
            Err(sealed) => responder.reply(&ProxyVaultReply::Refused(sealed)),
        }
    });
    service.serve::<ConsoleVault, _>(move |_| {
        let (room, export) = (Arc::clone(&console), Arc::new(Mutex::new(None)));
        move |request, responder| room.answer_console(&export, request, responder)
    });
    service.serve::<ManagerVault, _>(move |_| {
        let (room, export) = (Arc::clone(&manager), Arc::new(Mutex::new(None)));
        move |request, responder| room.answer_manager(&export, request, responder)
    });
    let (stop, stopped) = channel::<()>();
    let keeper = Arc::clone(&room);
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
    room.close();
    Ok(())
}

fn outside(service: &Service) -> Outside {
    let (teller, file) = (service.teller(), service.take_file(Purpose::FirstPassword));
    let file = Mutex::new(file.map(File::from));
    Outside {
        sealed: Box::new(move |why| teller.sealed(why)),
        password: Box::new(move |vault, (_, password)| {
            if let Some(mut file) = file.lock().unwrap_or_else(PoisonError::into_inner).take() {
                // Nobody may be reading; the password is told again at the next start until it has been changed.
                if let Err(error) = writeln!(file, "{}", password.expose()) {
                    vault.note(format!("the first password could not be told: {error}"));
                }
            }
        }),
        end: Box::new(|| {
            // The answer goes out on another thread. The supervisor starts the next process, which comes up sealed.
            let ending = std::thread::Builder::new().name("end".to_owned()).spawn(|| {
                std::thread::sleep(LAST_WORDS);
                std::process::exit(0);
            });
            if ending.is_err() {
                std::process::exit(0);
            }
        }),
    }
}

/// The content of a file that the supervisor passed, from its beginning, wherever an earlier process has left its position.
fn whole(file: OwnedFd, limit: usize) -> Result<Zeroizing<Vec<u8>>, RunError> {
    let file = File::from(file);
    let mut bytes = Zeroizing::new(vec![0; limit + 1]);
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, length as u64).map_err(RunError::Passed)? {
            0 => break,
            count => length += count,
        }
    }
    if length > limit {
        return Err(RunError::Choice);
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// The first line of the file with the PIN.
fn pin(file: OwnedFd) -> Result<SecretString, RunError> {
    let bytes = whole(file, PIN)?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = std::str::from_utf8(line).map_err(|_| RunError::Choice)?;
    Ok(SecretString::new(text.to_owned()))
}

/// A thread for each signing wire, kept on the processor of its peer's thread: the hand-over is then a plain switch.
fn sign_on<P>(service: &Service, room: &Arc<Room>, wire: Wire)
where
    P: Pair<Request = SignRequest, Reply = SignReply>,
{
    let room = Arc::clone(room);
    service.on_wires::<P>(move |index, channel: Channel| {
        let room = Arc::clone(&room);
        let signing = std::thread::Builder::new()
            .name(format!("sign-{}-{index}", P::CLIENT))
            .spawn(move || {
                if wire == Wire::Services {
                    stay_on(index);
                }
                redan_ipc::serve::<P>(channel, |request, responder| {
                    responder.reply(&room.sign(wire, &request));
                })
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
/// What an answer that is under way needs to reach its reader.
const LAST_WORDS: Duration = Duration::from_millis(200);
/// Bytes of the choice of the key device, approvals included.
const CHOICE: usize = 64 << 10;
/// Bytes of a PIN's file.
const PIN: usize = 1 << 10;
