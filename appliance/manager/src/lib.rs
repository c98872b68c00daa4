//! The configuration's transactions: a document is checked, cut into each service's part, prepared by all, committed by all or
//! none, and rolled back unless somebody confirms it in time.
//!
//! | module | what |
//! |---|---|
//! | [`transaction`] | the transaction itself, over any [`world::World`]: no sockets, no clock |
//! | [`state`] | which version runs, and what may follow on what |
//! | [`slice`] | the whole configuration → each service's part |
//! | [`waf`] | rule files, settings and exceptions → what each service compiles |
//! | [`exception`] | what the firewall found → exceptions, what they would let through, the document with them |
//! | [`document`] | mistakes and differences, as messages |
//! | [`peers`] | the world that the process really has: the vault, the services, the supervisor |
//! | [`answer`] | what the console and operators ask |
//! | [`operators`] | the operators' socket |
//! | [`journal`] | what happened to services → the audit log |
//!
//! The state that counts is in the vault. The manager may be killed at any moment: when it starts again it reads what runs and what
//! waits for confirmation, goes on with the timer or rolls back, and brings every service to that version. The same loop
//! ([`keep`]) gives a restarted service the current version.
//!
//! The process has no network and no file but the two that the supervisor passes: the first configuration and the operators'
//! socket. It is asked by the console and by operators, and asks the vault, the supervisor, the network service, the proxy and the
//! console.
#![forbid(unsafe_code)]

pub mod answer;
pub mod document;
pub mod exception;
pub mod journal;
pub mod keep;
pub mod operators;
pub mod peers;
pub mod slice;
pub mod state;
pub mod transaction;
pub mod waf;
pub mod world;
