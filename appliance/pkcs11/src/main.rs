//! `redan-pkcs11 --module PATH [--read PATH]... [--write PATH]... [--network]`: started by the supervisor (or, in tests, by the vault's
//! driver) with the wire as its standard input.
#![forbid(unsafe_code)]

use lexopt::prelude::{Long, ValueExt};
use redan_ipc::{Channel, IpcError};
use redan_pkcs11::{Worker, confine};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::ExitCode;

fn main() -> ExitCode {
    if cfg!(target_feature = "crt-static") {
        eprintln!(
            "redan-pkcs11: this binary is static and cannot load a module; appliance/pkcs11/build makes one that can"
        );
        return ExitCode::from(2);
    }
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("redan-pkcs11: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let mut module: Option<PathBuf> = None;
    let mut fence = confine::Fence::default();
    let mut arguments = lexopt::Parser::from_env();
    while let Some(argument) = arguments.next()? {
        match argument {
            Long("module") => module = Some(arguments.value()?.parse()?),
            Long("read") => fence.read.push(arguments.value()?.parse()?),
            Long("write") => fence.write.push(arguments.value()?.parse()?),
            Long("network") => fence.network = true,
            other => return Err(other.unexpected().into()),
        }
    }
    let module = module.ok_or("--module is missing")?;
    let wire = std::io::stdin().as_fd().try_clone_to_owned()?;
    confine::enter(&fence, &module)?;
    match Worker::load(&module)?.serve(Channel::from_descriptor(wire)) {
        IpcError::Closed => Ok(()),
        error => Err(error.into()),
    }
}
