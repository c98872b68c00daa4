//! Stands in for every service in the supervisor's tests; which one, its name says.
//!
//! The vault answers the manager. The manager publishes the two addresses that are its whole configuration document, and tells
//! whoever connects to the operators' socket how everybody is. The proxy and the console greet their clients.

#![expect(clippy::unwrap_used, reason = "a test's program: where it fails, the test does")]

use redan_ipc::IpcError;
use redan_ipc::messages::control::{Purpose, WantedListener};
use redan_ipc::messages::status::{ProtectionState, SupervisorReply, SupervisorRequest};
use redan_ipc::messages::vault::{ManagerVaultRequest, ProxyVaultRequest};
use redan_ipc::messages::{ManagerSupervisor, ManagerVault, ProxyVault};
use redan_service::{Peer, Service};
use redan_types::{Generation, Process};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::net::{RecvFlags, SendFlags, acceptfrom, recv, send};
use std::fmt::Write;
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(2);

fn main() {
    let name = std::env::args().next().unwrap();
    match name.as_str() {
        "redan-vault" => vault(),
        "redan-manager" => manager(),
        "redan-proxy" => proxy(),
        "redan-network" => idle(Process::Network),
        _ => console(),
    }
}

fn start(process: Process) -> Service {
    Service::start(process).unwrap_or_else(|error| {
        eprintln!("{}", redan_service::chain(&error));
        std::process::exit(1);
    })
}

fn idle(process: Process) {
    let service = start(process);
    service.ready();
    service.wait_for_stop();
}

fn vault() {
    let service = start(Process::Vault);
    let folder = service.take_file(Purpose::Store).unwrap();
    let flags = rustix::fs::OFlags::CREATE | rustix::fs::OFlags::WRONLY;
    rustix::fs::openat(&folder, "kept", flags, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR).unwrap();
    // A request that is dropped is answered too: the client learns that somebody was there.
    service.serve::<ManagerVault, _>(|_| |request, answer| drop((request, answer)));
    service.serve::<ProxyVault, _>(|_| |request, answer| drop((request, answer)));
    service.ready();
    service.wait_for_stop();
}

fn manager() {
    let service = start(Process::Manager);
    let mut text = vec![0; 1024];
    let document = std::fs::File::from(service.take_file(Purpose::InitialConfiguration).unwrap());
    let length = document.read_at(&mut text, 0).unwrap();
    let text = std::str::from_utf8(&text[..length]).unwrap();
    let processes = [Process::Proxy, Process::Console];
    let listeners = processes.into_iter().zip(text.lines());
    let listeners = listeners
        .map(|(process, line)| WantedListener {
            process,
            address: line.parse().unwrap(),
        })
        .collect();
    let supervisor: Peer<ManagerSupervisor> = service.peer(0);
    let vault: Peer<ManagerVault> = service.peer(0);
    let generation = Generation(1);
    let prepare = SupervisorRequest::PrepareListeners { generation, listeners };
    for request in [prepare, SupervisorRequest::CommitListeners { generation }] {
        let reply = supervisor.call(&request, PATIENCE).unwrap();
        assert!(matches!(reply, SupervisorReply::Done), "{reply:?}");
    }
    let operators = service.take_file(Purpose::OperatorSocket).unwrap();
    std::thread::spawn(move || {
        loop {
            let client = accept(&operators);
            let mut question = [0; 16];
            recv(&client, &mut question[..], RecvFlags::empty()).unwrap();
            let report = report(&supervisor, &vault);
            send(&client, report.as_bytes(), SendFlags::NOSIGNAL).unwrap();
        }
    });
    service.ready();
    service.wait_for_stop();
}

fn report(supervisor: &Peer<ManagerSupervisor>, vault: &Peer<ManagerVault>) -> String {
    let mut text = String::new();
    let answer = vault.call(&ManagerVaultRequest::CommitState, Duration::from_millis(500));
    writeln!(text, "vault answers: {}", matches!(answer, Err(IpcError::Dropped))).unwrap();
    let SupervisorReply::Status(status) = supervisor.call(&SupervisorRequest::Status, PATIENCE).unwrap() else {
        return text;
    };
    writeln!(text, "notes: {}", status.notes.len()).unwrap();
    for service in status.services {
        let (name, state) = (service.process.name(), service.state.name());
        let (pid, restarts, memory) = (service.pid.unwrap_or(0), service.restarts, service.memory);
        writeln!(text, "service: {name} {state} {pid} {restarts} {memory}").unwrap();
        for protection in service.protections {
            let word = if protection.state == ProtectionState::Active {
                "active"
            } else {
                "absent"
            };
            writeln!(text, "{word}: {name}: {}: {}", protection.name, protection.detail).unwrap();
        }
    }
    let mut after = 0;
    loop {
        let request = SupervisorRequest::Events { after };
        let SupervisorReply::Events(events) = supervisor.call(&request, PATIENCE).unwrap() else {
            return text;
        };
        let Some(last) = events.last() else { return text };
        after = last.number;
        for event in events {
            writeln!(
                text,
                "event: {} {} {:?}: {}",
                event.number, event.process, event.kind, event.detail
            )
            .unwrap();
        }
    }
}

fn proxy() {
    let service = start(Process::Proxy);
    let vault: Peer<ProxyVault> = service.peer(0);
    let question = ProxyVaultRequest::Audit { events: Vec::new() };
    assert!(matches!(vault.call(&question, PATIENCE), Err(IpcError::Dropped)));
    greet_everybody(&service);
    service.ready();
    service.wait_for_stop();
}

fn console() {
    let service = start(Process::Console);
    greet_everybody(&service);
    service.ready();
    service.wait_for_stop();
}

fn greet_everybody(service: &Service) {
    service.on_listeners(|set| {
        for (_, socket) in &set.entries {
            let socket = Arc::clone(socket);
            std::thread::spawn(move || greet(&socket));
        }
    });
}

fn greet(listener: &OwnedFd) {
    loop {
        let client = accept(listener);
        let mut word = [0; 16];
        let length = recv(&client, &mut word[..], RecvFlags::empty()).map_or(0, |(length, _)| length);
        match &word[..length] {
            b"execute" => drop(std::process::Command::new("/bin/true").spawn()),
            b"exit" => {
                eprintln!("told to go");
                std::process::exit(3)
            }
            _ => drop(send(&client, b"hello", SendFlags::NOSIGNAL)),
        }
    }
}

fn accept(listener: &OwnedFd) -> OwnedFd {
    loop {
        poll(&mut [PollFd::new(listener, PollFlags::IN)], None).unwrap();
        // Another thread or process may have taken it.
        if let Ok((client, _)) = acceptfrom(listener) {
            return client;
        }
    }
}
