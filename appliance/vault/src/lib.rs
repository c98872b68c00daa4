//! The store, the keys, the users and the audit log: the one room that holds secrets.
//!
//! * [`store`]: encrypted records in a folder, durable when acknowledged.
//! * `seal`: what opens the store: the key device, or people.
//! * [`service`]: what the vault does for the other services with it.
//!
//! This process has no network. It touches the state folder and the key device, and answers over the wires that the supervisor
//! made: what each role may ask stands in `redan_ipc::messages`. It runs threads and no async runtime; signing waits neither for
//! password hashing nor for the disk.
#![forbid(unsafe_code)]

mod seal;
pub mod service;
pub mod store;
