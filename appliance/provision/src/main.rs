//! The provisioning service's process.
#![forbid(unsafe_code)]

use redan_ipc::messages::control::Purpose;
use redan_provision::menu::Menu;
use redan_provision::serial;
use redan_provision::world::Appliance;
use redan_service::{Service, chain};
use redan_types::Process;
use std::process::ExitCode;

fn main() -> ExitCode {
    let service = match Service::start(Process::Provision) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("redan-provision: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let line = service.take_file(Purpose::SerialLine);
    let mut menu = Menu::new(Appliance::of(&service));
    let thread = std::thread::Builder::new().name("menu".to_owned()).spawn(move || {
        let Some(line) = line else {
            serial::run_without(&mut menu);
        };
        let outcome = serial::run(&line, &mut menu);
        eprintln!("the serial line has ended: {outcome:?}");
        // Started again, it is opened again.
        std::process::exit(1);
    });
    if let Err(error) = thread {
        service.failed(&error);
        return ExitCode::FAILURE;
    }
    service.ready();
    service.wait_for_stop();
    ExitCode::SUCCESS
}
