//! The manager's process: enters its sandbox, then keeps everybody at the version that runs and answers.
#![forbid(unsafe_code)]

use redan_ipc::messages::control::Purpose;
use redan_ipc::messages::{ConsoleManager, ProvisionManager};
use redan_manager::answer::Answerer;
use redan_manager::journal::Journal;
use redan_manager::keep::Shared;
use redan_manager::operators::{Doorkeeper, attend};
use redan_manager::peers::Peers;
use redan_manager::transaction::Denial;
use redan_service::Service;
use redan_types::Process;
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::process::ExitCode;
use std::sync::mpsc;

/// Why the manager cannot go on.
#[derive(Debug, thiserror::Error)]
enum Fatal {
    #[error("the first configuration cannot be read")]
    Initial(#[source] io::Error),
    #[error("the first configuration is refused:\n{0}")]
    First(String),
    #[error("a thread could not be started")]
    Thread(#[source] io::Error),
}

fn main() -> ExitCode {
    let service = match Service::start(Process::Manager) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("redan-manager: {}", redan_service::chain(&error));
            return ExitCode::FAILURE;
        }
    };
    match run(&service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

fn run(service: &Service) -> Result<(), ()> {
    // The supervisor says it on.
    let fatal = |error: &Fatal| service.failed(error);
    let initial = service.take_file(Purpose::InitialConfiguration).map(read).transpose();
    let shared = Shared::new(
        Peers::of(service),
        initial.map_err(|error| fatal(&Fatal::Initial(error)))?,
    );
    let answerer = Answerer::new(shared.clone());
    let console = answerer.clone();
    service.serve::<ConsoleManager, _>(move |_| {
        let answerer = console.clone();
        move |request, responder| answerer.console(request, responder)
    });
    let provision = answerer.clone();
    service.serve::<ProvisionManager, _>(move |_| {
        let answerer = provision.clone();
        move |request, responder| answerer.provision(request, responder)
    });
    if let Some(socket) = service.take_file(Purpose::OperatorSocket) {
        let doorkeeper = Doorkeeper::new(service.mode());
        let attending = move || {
            let errno = attend(&socket, doorkeeper, &answerer);
            eprintln!("the operators' socket failed: {errno}");
        };
        let spawned = std::thread::Builder::new()
            .name("operators".to_owned())
            .spawn(attending);
        spawned.map_err(|error| fatal(&Fatal::Thread(error)))?;
    }
    let mut journal = Journal::default();
    // Whether there is anything to run is found out here, where the supervisor can still be told why not.
    shared
        .begin(&mut journal)
        .map_err(|denial| fatal(&Fatal::First(rendered(&denial))))?;
    let (running, stop) = mpsc::channel();
    let keeper = std::thread::Builder::new()
        .name("keeper".to_owned())
        .spawn(move || shared.keep(journal, &stop));
    let keeper = keeper.map_err(|error| fatal(&Fatal::Thread(error)))?;
    service.ready();
    service.wait_for_stop();
    // A step that is under way is finished: the vault stops after the manager.
    drop(running);
    keeper.join().map_err(|_| ())
}

/// Reads the document from its beginning, wherever an earlier manager has left the file's position.
fn read(file: OwnedFd) -> io::Result<String> {
    let file = File::from(file);
    let mut bytes = vec![0; redan_config::LARGEST + 1];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, u64::try_from(length).map_err(io::Error::other)?) {
            Ok(0) => break,
            Ok(count) => length += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(length);
    String::from_utf8(bytes).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn rendered(denial: &Denial) -> String {
    match denial {
        Denial::Mistaken(mistakes) => mistakes.iter().map(|mistake| mistake.rendered.as_str()).collect(),
        Denial::Refused(reasons) => reasons.join("\n"),
    }
}
