//! Starts each service in its sandbox, wires it to the peers that it may talk to, watches it and starts it again.
//!
//! The future PID 1, so it is small: one thread around `poll`, no async runtime, and it reads nothing that comes from outside the
//! appliance. It never waits for a service: whatever it sends goes through a bounded queue, and a service whose queue is full is
//! taken for hung. What exists stands in [`manifest`]; when something is started, pinged, killed or given up is decided in
//! [`life`], which knows no clock and no process. `main` calls [`Supervisor::run`]; nobody else uses this crate.
#![forbid(unsafe_code)]

mod answer;
mod cgroup;
mod journal;
mod keydevice;
pub mod life;
mod listeners;
mod log;
pub mod manifest;
mod options;
mod outbox;
mod rules;
mod service;
mod start;
mod state;
mod stop;
mod supervisor;

pub use keydevice::{KeyDevice, Pkcs11Options, TpmOptions, TpmPlace};
pub use options::{Options, OptionsError};
pub use supervisor::{Supervisor, SupervisorError};
