//! TLS to clients: which certificate, signed where, and the records on the wire.
//!
//! The proxy holds certificates and never a private key: the signature of a handshake is made by the vault ([`key`]).

mod key;
mod resolve;
mod stream;

pub use key::HandshakeSigner;
pub(crate) use key::{RemoteKey, install_signer};
pub(crate) use resolve::{Choice, Names, Tickets, server_config};
pub(crate) use stream::{Fill, TlsStream};
