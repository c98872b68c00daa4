//! `cargo evaluate`: builds the services and the console's pages, then starts an evaluation appliance around a sample application
//! or the user's own.
//!
//! Three processes take part. The **launcher** stays in the caller's network: it binds the two loopback ports, prints where to
//! look and ends everything. The **inside** process moves into namespaces of its own, where it makes one virtual network for each
//! interface of the configuration with a *side* at its far end (the clients, the servers, the operators), and starts the
//! supervisor there. The **sample** application is a server on a side. Connections cross from the launcher to a side, and from a
//! side to the user's own upstreams, as descriptors passed over a socket pair: no packet of the caller's host is touched.
#![forbid(unsafe_code)]

mod build;
mod crossing;
mod doors;
mod inside;
mod launcher;
mod links;
mod operator;
mod options;
mod plan;
mod relay;
mod report;
mod sample;

use options::{Command, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = match Options::from_arguments() {
        Ok(Command::Help) => {
            print!("{}", options::HELP);
            return ExitCode::SUCCESS;
        }
        Ok(Command::Launch(options)) => launcher::run(&options),
        Ok(Command::Inside) => inside::run(),
        Ok(Command::Sample(address)) => sample::run(address),
        Err(error) => Err(error.into()),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {}", report::chain(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}
