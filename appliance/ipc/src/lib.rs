//! How Redan's processes talk to each other.
//!
//! * [`Channel`]: one end of a `SOCK_SEQPACKET` pair that the supervisor made; nobody can connect to it from outside.
//! * [`frame`]: version, kind, request id and deadline before a `postcard` body; a body too large for a packet travels in a sealed
//!   memory file beside it. A peer that breaks the framing gets an error and is disconnected.
//! * [`messages`]: one file, one request enum and one reply enum for each pair of roles that may talk ([`Pair`]). What is not in
//!   these tables cannot be asked.
//! * [`rules`]: rule files of the web application firewall on their way to the proxy.
//! * [`slice`]: the part of the configuration that each service gets.
//! * [`Client`], [`AsyncClient`] (feature `tokio`), [`serve`]: the two ends of a pair.
//!
//! Every service uses this crate; it touches nothing but the descriptors that it is given.
#![forbid(unsafe_code)]

#[cfg(feature = "tokio")]
mod aio;
mod channel;
mod client;
pub mod frame;
pub mod messages;
pub mod rules;
mod server;
pub mod slice;

#[cfg(feature = "tokio")]
pub use aio::AsyncClient;
pub use channel::{Channel, MAX_PACKET, Packet};
pub use client::Client;
pub use server::{Responder, serve};

use redan_types::Process;
use serde::{Serialize, de::DeserializeOwned};

/// Two roles that may talk: the client asks, the server answers. Implemented by the markers in [`messages`] only.
pub trait Pair: Send + Sync + 'static {
    /// Who asks.
    const CLIENT: Process;
    /// Who answers.
    const SERVER: Process;
    /// A number for each pair, unique, never reused: tells wires of the same two processes apart.
    const TAG: u8;
    /// The largest body of a request or a reply, in bytes.
    const LIMIT: usize;
    /// What can be asked.
    type Request: Serialize + DeserializeOwned + Send + 'static;
    /// What can be answered.
    type Reply: Serialize + DeserializeOwned + Send + 'static;
}

/// Why a message could not be sent, received or understood.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IpcError {
    /// The peer has gone, or was never there.
    #[error("the peer is gone")]
    Closed,
    /// The server gave the request up without an answer.
    #[error("the peer gave no answer")]
    Dropped,
    /// No answer came in time.
    #[error("no answer within the deadline")]
    Deadline,
    /// The peer broke the framing.
    #[error("the peer broke the framing: {0}")]
    Framing(&'static str),
    /// The peer speaks another version of the protocol.
    #[error("the peer speaks protocol version {0}, this is version {version}", version = frame::VERSION)]
    Version(u8),
    /// A body over the limit of its pair.
    #[error("a body of {size} bytes is over the limit of {limit}")]
    TooLarge {
        /// Size of the body.
        size: usize,
        /// The pair's limit.
        limit: usize,
    },
    /// The body is not what the message table says.
    #[error("the body cannot be read: {0}")]
    Body(#[from] postcard::Error),
    /// The kernel refused.
    #[error("{operation}: {source}")]
    System {
        /// What was tried.
        operation: &'static str,
        /// What the kernel said.
        source: std::io::Error,
    },
}

impl IpcError {
    pub(crate) fn system(operation: &'static str) -> impl FnOnce(rustix::io::Errno) -> Self {
        move |errno| match errno {
            rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET | rustix::io::Errno::NOTCONN => Self::Closed,
            rustix::io::Errno::AGAIN => Self::Deadline,
            _ => Self::System {
                operation,
                source: errno.into(),
            },
        }
    }
}
