//! The image's tool: `image/build`, `image/run` and `image/report` call it.
//!
//! * `build`: [`build`] puts together what [`sources`], [`root`], [`modules`], [`seed`], [`verity`], [`pe`], [`esp`] make,
//!   signed with [`keys`], described by [`sbom`]; * `run`: [`run`] starts it in QEMU; * `report`: [`report`] tells its figures.
//!
//! It needs no root. What it makes depends on its inputs alone, not on the time, the user or the machine.
#![forbid(unsafe_code)]

mod build;
mod cpio;
mod der;
mod esp;
mod keys;
mod measure;
mod modules;
mod options;
mod pe;
mod pkcs7;
mod report;
mod root;
mod run;
mod sbom;
mod seed;
mod settings;
mod sources;
mod tools;
mod vars;
mod verity;

use options::Task;
use std::process::ExitCode;

fn main() -> ExitCode {
    let outcome = Task::from_arguments(std::env::args_os()).and_then(|task| match task {
        Task::Build(order) => build::build(&order),
        Task::Run(options) => run::start(&options),
        Task::Report(report) => report::print(&report),
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redan-image: {error}");
            ExitCode::FAILURE
        }
    }
}
