//! The supervisor's process.
#![forbid(unsafe_code)]

use redan_supervisor::{Options, Supervisor};
use std::error::Error;
use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match Options::from_arguments(std::env::args_os()) {
        Ok(options) => options,
        Err(error) => return fail(&error),
    };
    if options.machine {
        // PID 1 has nowhere to return to.
        redan_supervisor::run_machine(&options);
    }
    match Supervisor::new(&options).and_then(Supervisor::run) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => fail(&error),
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("redan-supervisor: {}", redan_supervisor::words(error));
    ExitCode::FAILURE
}
