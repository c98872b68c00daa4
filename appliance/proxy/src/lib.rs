//! The data path: listeners, TLS, stages, upstreams.
//!
//! One thread a core, each with its own listener, runtime, connections to upstreams, buffers and counters; nothing on a request's way
//! waits for another thread. [`Proxy`] holds the threads and swaps their configuration; `main` connects it to the manager, the
//! vault and the supervisor.
//!
//! | where | what |
//! |---|---|
//! | `accept` | caps on connections and handshakes |
//! | `tls` | certificates, the remote signature, records |
//! | `connection` | HTTP/1.1 and HTTP/2 with clients |
//! | `stages` | what a request passes, in order |
//! | `exchange` | one request and its response, whatever the client speaks; `forwarding` writes its head, `upload` its body |
//! | `waf` | rules of the web application firewall, and what they found on its way to the vault |
//! | `withheld` | what clients may not tell upstreams |
//! | [`body`] | content and trailers on their way through |
//! | `upstream` | servers, their health, connections to them |
//! | `snapshot` | the configuration, compiled |
//! | [`rate`], [`source`] | counts that the threads share |
//! | `audit`, `counters` | what is told to the vault |
//!
//! The process may touch the sockets that it was given and TCP to its upstreams. It never holds a private key. Nothing but the
//! supervisor starts it.
#![forbid(unsafe_code)]

mod accept;
pub mod apply;
mod audit;
pub mod body;
mod buffer;
mod clock;
mod connection;
mod counters;
mod exchange;
mod forwarding;
mod incident;
mod proxy;
pub mod rate;
mod shared;
mod snapshot;
pub mod source;
mod stages;
mod tls;
mod upload;
mod upstream;
mod waf;
mod withheld;
mod worker;

pub use proxy::{CommitError, Proxy, Wires};
pub use tls::HandshakeSigner;
