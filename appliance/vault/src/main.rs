//! The vault's process: enters its sandbox, proves it, and runs.
#![forbid(unsafe_code)]

use redan_service::{Service, Wiping, chain};
use redan_types::Process;
use std::alloc::System;
use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: Wiping<System> = Wiping(System);

fn main() -> ExitCode {
    let service = match Service::start(Process::Vault) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("redan-vault: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    match redan_vault::service::run(&service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The supervisor says it on.
            service.failed(&error);
            ExitCode::FAILURE
        }
    }
}
