//! A captured peer's packets, to each answering end.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_ipc::frame::Received;
use redan_ipc::messages::control::{FromService, ToService};
use redan_ipc::messages::{
    ConsoleManager, ConsoleNetwork, ConsoleVault, ManagerConsole, ManagerNetwork, ManagerProxy, ManagerSupervisor, ManagerVault,
    OperatorManager, ProxySigner, ProxyVault, VaultPkcs11,
};
use redan_ipc::{Packet, Pair};

fn asked<P: Pair>(data: &[u8]) {
    let packet = Packet { length: data.len(), descriptors: Vec::new() };
    if let Ok(received) = Received::parse(data, packet, P::LIMIT) {
        let _ = received.body::<P::Request>(data);
        let _ = received.body::<P::Reply>(data);
    }
}

fuzz_target!(|data: &[u8]| {
    asked::<ConsoleManager>(data);
    asked::<ConsoleNetwork>(data);
    asked::<ConsoleVault>(data);
    asked::<ManagerConsole>(data);
    asked::<ManagerNetwork>(data);
    asked::<ManagerProxy>(data);
    asked::<ManagerSupervisor>(data);
    asked::<ManagerVault>(data);
    asked::<OperatorManager>(data);
    asked::<ProxySigner>(data);
    asked::<ProxyVault>(data);
    asked::<VaultPkcs11>(data);
    let packet = Packet { length: data.len(), descriptors: Vec::new() };
    if let Ok(received) = Received::parse(data, packet, 64 << 10) {
        let _ = received.body::<FromService>(data);
        let _ = received.body::<ToService>(data);
    }
});
