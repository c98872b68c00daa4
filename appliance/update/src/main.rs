//! The update service's process: it has the other slot and the boot partition, and no other way to anything.
#![forbid(unsafe_code)]

use ed25519_dalek::VerifyingKey;
use redan_ipc::messages::control::Purpose;
use redan_ipc::messages::{ConsoleUpdate, ProvisionUpdate};
use redan_service::{Service, chain};
use redan_types::Process;
use redan_update::install::Running;
use redan_update::service::{Asker, Updater};
use redan_update::version::{Version, VersionError};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Why the service cannot work.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("the supervisor passed no {0}")]
    Missing(&'static str),
    #[error("what the supervisor passed cannot be read")]
    Trust(#[source] io::Error),
    #[error("what the supervisor passed has no usable line {0}")]
    Line(&'static str),
    #[error(transparent)]
    Version(#[from] VersionError),
    #[error("the key for bundles is none")]
    Key(#[source] ed25519_dalek::SignatureError),
}

type Shared = Arc<Mutex<Updater<File>>>;

fn main() -> ExitCode {
    let service = match Service::start(Process::Update) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("redan-update: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let updater: Shared = match prepare(&service) {
        Ok(updater) => Arc::new(Mutex::new(updater)),
        Err(error) => {
            service.failed(&error);
            return ExitCode::FAILURE;
        }
    };
    service.ready();
    for report in lock(&updater).begin() {
        service.report(report);
    }
    let (keeper, reporter) = (Arc::clone(&updater), service.reporter());
    service.on_verdict(move |verdict| {
        let report = match verdict {
            Ok(()) => lock(&keeper).keep(),
            Err(why) => Some(lock(&keeper).give_up(&why)),
        };
        if let Some(report) = report {
            reporter(report);
        }
    });
    let (answerer, reporter) = (Arc::clone(&updater), service.reporter());
    service.serve::<ConsoleUpdate, _>(move |_| {
        let (updater, reporter) = (Arc::clone(&answerer), Arc::clone(&reporter));
        move |request, responder| {
            let (reply, reports) = lock(&updater).answer(Asker::Console, request);
            responder.reply(&reply);
            reports.into_iter().for_each(|report| reporter(report));
        }
    });
    let reporter = service.reporter();
    service.serve::<ProvisionUpdate, _>(move |_| {
        let (updater, reporter) = (Arc::clone(&updater), Arc::clone(&reporter));
        move |request, responder| {
            let (reply, reports) = lock(&updater).answer(Asker::Provision, request);
            responder.reply(&reply);
            reports.into_iter().for_each(|report| reporter(report));
        }
    });
    service.wait_for_stop();
    ExitCode::SUCCESS
}

fn prepare(service: &Service) -> Result<Updater<File>, Fatal> {
    let file = |purpose, what| service.take_file(purpose).map(File::from).ok_or(Fatal::Missing(what));
    let trust = file(Purpose::Trust, "facts")?;
    let mut bytes = vec![0; LONGEST];
    let length = trust.read_at(&mut bytes, 0).map_err(Fatal::Trust)?;
    bytes.truncate(length);
    let text = String::from_utf8(bytes).map_err(|error| Fatal::Trust(io::Error::other(error)))?;
    let value = |key: &'static str| {
        let found = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        found.ok_or(Fatal::Line(key))
    };
    let key = redan_update::bundle::Digest::parse(value("key")?).ok_or(Fatal::Line("key"))?;
    let running = Running {
        version: Version::parse(value("version")?)?,
        security_version: value("security-version")?
            .parse()
            .map_err(|_| Fatal::Line("security-version"))?,
        key: VerifyingKey::from_bytes(&key.0).map_err(Fatal::Key)?,
    };
    Ok(Updater::new(
        running,
        file(Purpose::OtherSlot, "slot")?,
        file(Purpose::BootPartition, "boot partition")?,
    ))
}

fn lock(updater: &Shared) -> MutexGuard<'_, Updater<File>> {
    updater.lock().unwrap_or_else(PoisonError::into_inner)
}

const LONGEST: usize = 1024;
