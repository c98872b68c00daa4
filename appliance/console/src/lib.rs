//! The console: one JSON API, one event stream and the pages over them, for the appliance's operators.
//!
//! * [`server`] accepts on the inherited listener, over TLS 1.3 whose handshakes the vault signs ([`tls`]), within bounds.
//! * [`api`] is the API: every endpoint with the role that it asks for stands in [`api::access`], the types in [`api::model`].
//! * [`live`] asks the other services once a second while somebody looks, and feeds the event stream.
//! * [`peers`] are those services: the vault knows users, sessions and the audit log, the manager the configuration, the network
//!   service the blocklist. The console itself keeps nothing and holds no secret.
//! * [`apply`] takes the console's part of a configuration; [`assets`] are the pages, built from `web/`.
//!
//! The process has no file, no capability and no network but the listener; `main.rs` starts it.
#![forbid(unsafe_code)]

pub mod api;
pub mod apply;
pub mod assets;
mod clock;
pub mod difference;
pub mod error;
pub mod live;
pub mod peers;
pub mod server;
mod settings;
pub mod tls;

pub use clock::now;
pub use settings::Settings;
