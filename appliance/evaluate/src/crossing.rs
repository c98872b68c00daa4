//! What passes between the launcher, in the caller's network, and the inside process, in the appliance's.

use crate::plan::Plan;
use redan_ipc::frame::{Encoded, Header, Kind, Received};
use redan_ipc::{Channel, IpcError, MAX_PACKET};
use redan_types::Mode;
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::time::Duration;

const LIMIT: usize = 1 << 20;

/// A message either way; `Client` and `Server` carry the connection's descriptor.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) enum Message {
    /// To the inside, first: what to start.
    Start(Box<Start>),
    /// To the inside: a client for something that the appliance listens for.
    Client {
        /// Where the appliance listens.
        inside: SocketAddr,
        /// From which link's side it is reached; `None`: from within the appliance.
        link: Option<usize>,
    },
    /// To the inside: end.
    Stop,
    /// To the launcher: everything answers.
    Ready(Inside),
    /// To the launcher: the vault is sealed, and why.
    Sealed(String),
    /// To the launcher: the appliance wants a connection to the upstream with this number.
    Server(usize),
    /// To the launcher: nothing more will come, and why.
    Failed(String),
}

/// What the inside process needs to know.
#[derive(Debug, Deserialize, Serialize)]
pub(crate) struct Start {
    pub(crate) mode: Mode,
    pub(crate) plan: Plan,
    pub(crate) binaries: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) configuration: PathBuf,
    pub(crate) threads: u16,
    /// A terminal for the serial line's menu.
    pub(crate) serial: Option<PathBuf>,
    pub(crate) key_device: Vec<String>,
}

/// Where the inside is, for those who want to look.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
pub(crate) struct Inside {
    /// The network namespace of each side, by interface, as a path for `nsenter --net=`.
    pub(crate) sides: Vec<(String, String)>,
    /// The appliance's own network namespace.
    pub(crate) appliance: Option<String>,
}

/// Sends a message, with a connection where it carries one.
pub(crate) fn send(channel: &Channel, message: &Message, connection: Option<&OwnedFd>) -> Result<(), IpcError> {
    let header = Header {
        kind: Kind::Notice,
        id: 0,
        wait: Duration::ZERO,
    };
    let descriptors: Vec<_> = connection.iter().map(|connection| connection.as_fd()).collect();
    Encoded::new(header, message, LIMIT)?.send(channel, &descriptors)
}

/// Receives a message, with its connection.
pub(crate) fn receive(channel: &Channel) -> Result<(Message, Option<OwnedFd>), IpcError> {
    let mut buffer = vec![0; MAX_PACKET];
    let packet = channel.receive(&mut buffer)?;
    let mut received = Received::parse(&buffer, packet, LIMIT)?;
    let connection = received.descriptors.pop();
    Ok((received.body(&buffer)?, connection))
}
