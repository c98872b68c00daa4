//! What every service does in the same way: it reads who it is from the supervisor, enters its sandbox, proves it, takes its wires
//! and listeners, answers heartbeats, and gets new wires when a peer restarts.
//!
//! A service's `main` calls [`Service::start`] before anything else (the sandbox must be entered while there is one thread), then
//! asks for its peers ([`Service::peer`], [`Service::serve`]), and says [`Service::ready`] once it can do its work. It may touch
//! the control channel on descriptor 3 and what comes through it, nothing else.

mod aside;
mod control;
mod hub;
mod inherited;
mod peer;
mod pulse;
mod supply;

pub use aside::aside;
pub use hub::ListenerSet;
pub use inherited::control_channel;
#[cfg(feature = "tokio")]
pub use peer::AsyncPeer;
pub use peer::Peer;
pub use pulse::Pulse;
pub use supply::{Supply, Teller};

/// For services through whose hands secrets go: what they free holds nothing any more.
pub use redan_sandbox::Wiping;

use hub::Hub;
use redan_ipc::messages::control::{End, FromService, Purpose, Report};
use redan_ipc::{Channel, IpcError, Pair, Responder};
use redan_sandbox::{Proof, SandboxError};
use redan_types::{Mode, Process};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver};

/// Why a service could not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The binary was not started by the supervisor.
    #[error("this program is started by the supervisor, which passes a control channel as descriptor 3")]
    NoSupervisor,
    /// The supervisor's messages could not be understood.
    #[error("the control channel failed")]
    Control(#[from] IpcError),
    /// The first message was another.
    #[error("the supervisor did not begin with who the service is")]
    Order,
    /// The binary was started as another service.
    #[error("this is the {wanted}, started as {found}")]
    Process {
        /// What this binary is.
        wanted: Process,
        /// What the supervisor took it for.
        found: Process,
    },
    /// The sandbox specification cannot be read.
    #[error("the sandbox specification cannot be read")]
    Specification(#[source] postcard::Error),
    /// A step of the sandbox failed.
    #[error("the sandbox could not be entered")]
    Sandbox(#[from] SandboxError),
    /// The control thread could not be started.
    #[error("the control thread could not be started")]
    Thread(#[source] std::io::Error),
}

/// A service within its sandbox.
pub struct Service {
    mode: Mode,
    threads: u16,
    proof: Proof,
    hub: Arc<Hub>,
    stop: Receiver<()>,
}

impl Service {
    /// Reads the supervisor's first messages, enters the sandbox and proves it. To be called first in `main`.
    ///
    /// # Errors
    /// Every step is fatal; the supervisor has been told where that was possible, and `main` should print the error and exit.
    pub fn start(process: Process) -> Result<Self, StartError> {
        Self::start_on(control_channel().ok_or(StartError::NoSupervisor)?, process)
    }

    fn start_on(channel: Channel, process: Process) -> Result<Self, StartError> {
        let channel = Arc::new(channel);
        let outcome = control::begin(&channel, process);
        if let Err(error) = &outcome {
            control::tell(&channel, &FromService::Failed { message: chain(error) });
        }
        let begun = outcome?;
        control::tell(
            &channel,
            &FromService::Confined {
                proof: control::protections(&begun.proof),
            },
        );
        let hub = Arc::new(Hub::new(Arc::clone(&channel), begun.initial));
        let (stopper, stop) = mpsc::channel();
        let thread_hub = Arc::clone(&hub);
        std::thread::Builder::new()
            .name("control".into())
            .spawn(move || control::attend(&thread_hub, &stopper))
            .map_err(StartError::Thread)?;
        Ok(Self {
            mode: begun.mode,
            threads: begun.threads,
            proof: begun.proof,
            hub,
            stop,
        })
    }

    /// How the appliance runs.
    #[must_use]
    pub const fn mode(&self) -> Mode {
        self.mode
    }

    /// Worker threads of the data path.
    #[must_use]
    pub const fn threads(&self) -> u16 {
        self.threads
    }

    /// What confines this process.
    #[must_use]
    pub const fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Takes a file or folder that the supervisor passed; `None` when it passed none or it was taken.
    #[must_use]
    pub fn take_file(&self, purpose: Purpose) -> Option<OwnedFd> {
        self.hub.take_file(purpose)
    }

    /// Takes files of a purpose that the supervisor passes later, for another thread to ask now and then.
    #[must_use]
    pub fn later_files(&self, purpose: Purpose) -> Arc<dyn Fn() -> Option<OwnedFd> + Send + Sync> {
        let hub = Arc::clone(&self.hub);
        Arc::new(move || hub.take_file(purpose))
    }

    /// What the supervisor gives while the service runs.
    #[must_use]
    pub fn supply(&self) -> Supply {
        Supply::new(Arc::clone(&self.hub))
    }

    /// What tells the supervisor whether the vault is sealed.
    #[must_use]
    pub fn teller(&self) -> Teller {
        Teller::new(Arc::clone(&self.hub))
    }

    /// The asking end of a pair, for threads that may wait. It follows the peer through restarts.
    #[must_use]
    pub fn peer<P: Pair>(&self, index: u16) -> Peer<P> {
        Peer::new(&self.hub, index)
    }

    /// The asking end of a pair, for asynchronous code. To be called within the runtime that will use it.
    #[cfg(feature = "tokio")]
    #[must_use]
    pub fn async_peer<P: Pair>(&self, index: u16) -> AsyncPeer<P> {
        AsyncPeer::new(&self.hub, index)
    }

    /// Answers a pair: each wire of it, now or after a restart of the peer, gets a thread with a handler made by `handler` for the
    /// wire's index.
    pub fn serve<P, H>(&self, handler: impl Fn(u16) -> H + Send + Sync + 'static)
    where
        P: Pair,
        H: FnMut(P::Request, Responder<P>) + Send + 'static,
    {
        self.on_wires::<P>(move |index, channel| {
            let handle = handler(index);
            let name = format!("{}-{index}", P::CLIENT);
            let serving = std::thread::Builder::new()
                .name(name)
                .spawn(move || redan_ipc::serve::<P>(channel, handle));
            if let Err(error) = serving {
                // The wire is dropped, so the peer learns at once that nobody answers.
                eprintln!("no thread for a wire from {}: {error}", P::CLIENT);
            }
        });
    }

    /// Hands each wire on which this service answers `P`, now and later, to `take`, which is called on the control thread and must
    /// not wait. For services that start their own threads.
    pub fn on_wires<P: Pair>(&self, take: impl Fn(u16, Channel) + Send + Sync + 'static) {
        self.hub.on_wires(P::TAG, End::Server, Box::new(take));
    }

    /// Calls `take` with the complete set of listeners, now when there is one and at each change. `take` is called on the control
    /// thread and must not wait.
    pub fn on_listeners(&self, take: impl Fn(Arc<ListenerSet>) + Send + Sync + 'static) {
        self.hub.on_listeners(Box::new(take));
    }

    /// A pulse that the heartbeat depends on: once made, it must beat at least every three seconds, or the supervisor is no longer
    /// answered and restarts the service.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.hub.pulse()
    }

    /// Calls `take` when the supervisor has judged the version that runs. `take` is called on the control thread; a short write to a
    /// disk is all that it may wait for.
    pub fn on_verdict(&self, take: impl Fn(Result<(), String>) + Send + Sync + 'static) {
        self.hub.on_verdict(Box::new(take));
    }

    /// Tells the supervisor something.
    pub fn report(&self, report: Report) {
        self.hub.tell(&FromService::Report(report));
    }

    /// As [`Self::report`], for other threads.
    #[must_use]
    pub fn reporter(&self) -> Arc<dyn Fn(Report) + Send + Sync> {
        let hub = Arc::clone(&self.hub);
        Arc::new(move |report| hub.tell(&FromService::Report(report)))
    }

    /// Says that the service can do its work.
    pub fn ready(&self) {
        self.hub.tell(&FromService::Ready);
    }

    /// Says that the service cannot go on, for the operator; the caller exits then.
    pub fn failed(&self, error: &dyn std::error::Error) {
        self.hub.tell(&FromService::Failed { message: chain(error) });
    }

    /// Waits until the supervisor asks for the end, or has gone.
    pub fn wait_for_stop(&self) {
        // An error means that the control thread has ended with the channel: the same thing.
        let _ = self.stop.recv();
    }
}

impl std::fmt::Debug for Service {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Service")
            .field("mode", &self.mode)
            .finish_non_exhaustive()
    }
}

/// An error with its causes, on one line. A cause that the message before it names already is not repeated.
#[must_use]
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        if !text.ends_with(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        source = cause.source();
    }
    text
}
