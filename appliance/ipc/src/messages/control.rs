//! Between the supervisor and each service, on the service's descriptor 3.
//!
//! The supervisor sends `Begin`, then wires, folder and listeners, then `Started`; the service enters its sandbox, answers
//! `Confined` and, once it can do its work, `Ready`. Later come new wires after a peer's restart and new listeners after a commit.
//! These messages are notices: the supervisor never waits on a service.

use redan_types::{Generation, Mode, Port, Process};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// The largest control message, in bytes.
pub const LIMIT: usize = 60 << 10;

/// The descriptor on which a service finds its control channel.
pub const DESCRIPTOR: i32 = 3;

/// From the supervisor to a service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ToService {
    /// The first message: who the service is and how it must confine itself.
    Begin {
        /// The service.
        process: Process,
        /// How the appliance runs.
        mode: Mode,
        /// Worker threads of the data path; wires of one thread have its number as index.
        threads: u16,
        /// The sandbox specification, encoded by the sandbox crate.
        sandbox: Vec<u8>,
    },
    /// A wire to a peer; carries one descriptor. Replaces an earlier one of the same pair, end and index.
    Wire {
        /// The pair's tag ([`crate::Pair::TAG`]).
        pair: u8,
        /// Which end this is.
        end: End,
        /// Which of the pair's wires, from 0.
        index: u16,
        /// Counts the peer's starts.
        generation: u64,
    },
    /// A folder or file that the service needs; carries one descriptor.
    File {
        /// What for.
        purpose: Purpose,
    },
    /// Listening sockets; carries one descriptor for each entry, at most 32 a message.
    Listeners {
        /// The configuration that they belong to.
        generation: Generation,
        /// One for each descriptor, in order.
        entries: Vec<Listener>,
        /// Whether the set is now complete: listeners not named in this set are to be dropped.
        complete: bool,
    },
    /// What the service asked for cannot be had now.
    Lacks {
        /// What.
        need: Need,
        /// Why.
        why: String,
    },
    /// Everything needed at start has been sent.
    Started,
    /// Is anybody there?
    Ping {
        /// To be repeated in `Pong`.
        number: u64,
    },
    /// Finish what is under way, within the supervisor's patience, and exit.
    Stop,
    /// Whether the version that runs has proved itself, or why it has not; for the update service.
    Verdict(Result<(), String>),
}

/// Which end of a pair a wire is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum End {
    /// The service asks.
    Client,
    /// The service answers.
    Server,
}

/// What a passed file is for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Purpose {
    /// The configuration document to start from when the vault holds none.
    InitialConfiguration,
    /// The listening socket of the operators' channel.
    OperatorSocket,
    /// The serial line, for the provisioning service: raw, as fast as the line is.
    SerialLine,
    /// A USB stick that was plugged in.
    Stick,
    /// The slot that does not run.
    OtherSlot,
    /// The partition that the firmware starts from.
    BootPartition,
    /// What runs and whose bundles are trusted: `key=value` lines.
    Trust,
    /// A file that holds the first administrator's one-time password once the vault has told it.
    ToldPassword,
    /// The vault's folder.
    Store,
    /// The TPM: an open device file, or a connection to a simulator.
    Tpm,
    /// The PIN of the HSM's token: a file with one line.
    Pin,
    /// Which key device the vault uses: a [`super::seal::KeyDeviceChoice`].
    KeyDevice,
    /// Where the first administrator's one-time password is written at first start (a pipe or a file; evaluation and provisioning).
    FirstPassword,
}

/// One listening socket.
#[derive(Clone, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub struct Listener {
    /// Where it listens.
    pub address: SocketAddr,
    /// Which worker thread it is for.
    pub thread: u16,
}

/// From a service to the supervisor.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum FromService {
    /// The sandbox has been entered; what confines the service, proven.
    Confined {
        /// One line for each protection.
        proof: Vec<super::status::Protection>,
    },
    /// The service can do its work.
    Ready,
    /// The answer to `Ping`.
    Pong {
        /// From the `Ping`.
        number: u64,
    },
    /// The service needs something anew: the descriptor that it has is of no use any more. It comes, or nothing does.
    Needs(Need),
    /// The vault is sealed and why; `None`: it is open.
    Sealed {
        /// In words, for an operator.
        why: Option<String>,
    },
    /// The service cannot start or go on, and will exit.
    Failed {
        /// Why, for an operator.
        message: String,
    },
    /// Something that the update service tells.
    Report(Report),
}

/// What the update service tells.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Report {
    /// For the audit log.
    Noted(String),
    /// The version that runs is on probation.
    OnProbation,
    /// The version that runs is permanent now; for the audit log.
    Kept(String),
    /// The machine should start again, and why.
    Restart(String),
}

/// What a service may ask to be given anew.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Need {
    /// The TPM, opened again.
    Tpm,
    /// A worker for the HSM, started again, with a new wire.
    Pkcs11,
}

/// A listener that the configuration asks for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct WantedListener {
    /// Which service accepts on it.
    pub process: Process,
    /// Where.
    pub address: SocketAddr,
}

impl WantedListener {
    /// The port, which is never 0: an ephemeral port cannot be published.
    #[must_use]
    pub fn port(&self) -> Option<Port> {
        Port::new(self.address.port()).ok()
    }
}
