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
mod keeper;
mod keydevice;
pub mod life;
mod listeners;
mod log;
mod machine;
pub mod manifest;
mod options;
mod outbox;
mod rules;
mod service;
mod start;
mod state;
mod stop;
mod supervisor;

pub use keeper::run_machine;
pub use keydevice::{KeyDevice, Pkcs11Options, TpmOptions, TpmPlace};
pub use options::{Options, OptionsError};
pub use supervisor::{Supervisor, SupervisorError};

/// An error with its causes, on one line. A cause that the message before it names already is not repeated.
#[must_use]
pub fn words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.ends_with(&words) {
            text.push_str(&format!(": {words}"));
        }
        cause = inner.source();
    }
    text
}
