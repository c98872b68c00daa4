//! The proxy's process: sandboxed and wired by the supervisor.
#![forbid(unsafe_code)]

use redan_ipc::messages::{ManagerProxy, ProxySigner};
use redan_proxy::{Proxy, Wires, apply};
use redan_service::{Service, chain};
use redan_types::Process;
use std::process::ExitCode;
use std::sync::Arc;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let service = match Service::start(Process::Proxy) {
        Ok(service) => service,
        Err(error) => {
            eprintln!("redan-proxy: {}", chain(&error));
            return ExitCode::FAILURE;
        }
    };
    let service = &service;
    let wires = (0..service.threads()).map(|index| Wires {
        signer: Box::new(service.peer::<ProxySigner>(index)),
        vault: Box::new(move || service.async_peer(index)),
        pulse: Some(service.pulse()),
    });
    let proxy = match Proxy::start(wires) {
        Ok(proxy) => Arc::new(proxy),
        Err(error) => {
            // The supervisor says it on.
            service.failed(&error);
            return ExitCode::FAILURE;
        }
    };
    let listening = Arc::clone(&proxy);
    service.on_listeners(move |set| listening.listen(&set));
    let applying = Arc::clone(&proxy);
    service.serve::<ManagerProxy, _>(move |_| {
        let proxy = Arc::clone(&applying);
        move |request, responder| responder.reply(&apply::answer(&proxy, request))
    });
    service.ready();
    service.wait_for_stop();
    proxy.stop();
    ExitCode::SUCCESS
}
