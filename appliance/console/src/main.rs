//! The console's process: start, wires, listeners, then serve until the supervisor says stop. See the library.
#![forbid(unsafe_code)]

use redan_console::Settings;
use redan_console::api::App;
use redan_console::apply::Apply;
use redan_console::live::Live;
use redan_console::peers::{Manager, Network, Peers, Update, Vault};
use redan_console::server::Server;
use redan_console::tls::Tls;
use redan_ipc::messages::{ConsoleManager, ConsoleNetwork, ConsoleSigner, ConsoleUpdate, ConsoleVault, ManagerConsole};
use redan_service::{ListenerSet, Service, StartError, Wiping, chain};
use redan_types::Process;
use std::alloc::System;
use std::error::Error;
use std::net::TcpListener;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

#[global_allocator]
static ALLOCATOR: Wiping<System> = Wiping(System);

fn main() -> ExitCode {
    let service = match Service::start(Process::Console) {
        Ok(service) => service,
        Err(error) => return fail(&error),
    };
    match run(&service) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // The supervisor says it on.
            service.failed(error.as_ref());
            ExitCode::FAILURE
        }
    }
}

fn fail(error: &dyn Error) -> ExitCode {
    eprintln!("redan-console: {}", chain(error));
    ExitCode::FAILURE
}

fn run(service: &Service) -> Result<(), Box<dyn Error>> {
    // Two workers: while the vault signs a handshake on one, the other goes on.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        .enable_all()
        .build()
        .map_err(StartError::Thread)?;
    let settings = Settings::default();
    let tls = Tls::default();
    let peers = runtime.block_on(async {
        Peers {
            vault: Vault::new(service.async_peer::<ConsoleVault>(0)),
            manager: Manager::new(service.async_peer::<ConsoleManager>(0)),
            network: Network::new(service.async_peer::<ConsoleNetwork>(0)),
            update: Update::new(service.async_peer::<ConsoleUpdate>(0)),
        }
    });
    let live = Arc::new(Live::new(peers.clone(), settings.clone()));
    let router = App::new(peers, Arc::clone(&live), settings.clone()).router();
    let server = Server::new(router, tls.clone(), settings.clone());
    let apply = Apply::new(settings, tls, service.peer::<ConsoleSigner>(0));
    service.serve::<ManagerConsole, _>(move |_| {
        let apply = apply.clone();
        move |request, responder| responder.reply(&apply.step(request))
    });
    let (sets, arriving) = mpsc::unbounded_channel();
    service.on_listeners(move |set| {
        // The receiver goes with the process.
        let _ = sets.send(set);
    });
    runtime.spawn(async move { live.run().await });
    runtime.spawn(listen(server, arriving));
    let pulse = service.pulse();
    runtime.spawn(async move {
        let mut second = tokio::time::interval(Duration::from_secs(1));
        loop {
            second.tick().await;
            pulse.beat();
        }
    });
    service.ready();
    service.wait_for_stop();
    runtime.shutdown_timeout(Duration::from_secs(1));
    Ok(())
}

/// Accepts on the newest set of listeners; connections of an earlier one go on.
async fn listen(server: Server, mut arriving: mpsc::UnboundedReceiver<Arc<ListenerSet>>) {
    let mut accepting = JoinSet::new();
    while let Some(set) = arriving.recv().await {
        accepting.abort_all();
        for (entry, socket) in &set.entries {
            let listener = socket.try_clone().map(TcpListener::from).and_then(|listener| {
                listener.set_nonblocking(true)?;
                tokio::net::TcpListener::from_std(listener)
            });
            match listener {
                Ok(listener) => drop(accepting.spawn(server.clone().accept(listener))),
                Err(error) => eprintln!("the listener at {} cannot be used: {error}", entry.address),
            }
        }
    }
    // The control thread has ended, and the process with it in a moment.
    while accepting.join_next().await.is_some() {}
}
