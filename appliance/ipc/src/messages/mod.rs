//! Who may ask whom what: one file for each answering end, a marker type for each pair of roles.
//!
//! The supervisor makes one wire for each pair in its manifest; a pair that stands nowhere here cannot be wired.

pub mod accounts;
pub mod apply;
pub mod audit;
pub mod control;
pub mod machine;
pub mod manager;
pub mod network;
pub mod pkcs11;
pub mod seal;
pub mod sign;
pub mod status;
pub mod traffic;
pub mod transit;
pub mod update;
pub mod vault;
pub mod waf;

pub use manager::{ManagerReply, ManagerRequest};

use crate::Pair;
use crate::slice::{ConsoleSlice, NetworkSlice, ProxySlice};
use redan_types::Process;

macro_rules! pairs {
    ($($(#[$doc:meta])* $name:ident: $tag:literal, $client:ident asks $server:ident, $request:ty => $reply:ty, limit $limit:expr;)*) => {
        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $name {}

            impl Pair for $name {
                const CLIENT: Process = Process::$client;
                const SERVER: Process = Process::$server;
                const TAG: u8 = $tag;
                const LIMIT: usize = $limit;
                type Request = $request;
                type Reply = $reply;
            }
        )*
    };
}

/// A configuration document and everything made of it fits in this many bytes.
const DOCUMENT: usize = 4 << 20;
/// A rule set, and what is said about it.
const RULES: usize = crate::rules::ARCHIVE + SMALL;
/// A service's part with the rule sets that it names.
const PROXY: usize = 64 << 20;
const PAGE: usize = 2 << 20;
const SMALL: usize = 256 << 10;
const SIGNATURE: usize = 4 << 10;
/// A payload, its context and what encloses them; in one packet, so that no file is left with a secret in it.
const MODULE: usize = 60 << 10;

pairs! {
    /// Handshake signatures for the console's listener.
    ConsoleSigner: 1, Console asks Vault, sign::SignRequest => sign::SignReply, limit SIGNATURE;
    /// Handshake signatures for published services: one wire for each proxy thread.
    ProxySigner: 2, Proxy asks Vault, sign::SignRequest => sign::SignReply, limit SIGNATURE;
    /// Identities, audit and telemetry of the proxy: one wire for each proxy thread.
    ProxyVault: 3, Proxy asks Vault, vault::ProxyVaultRequest => vault::ProxyVaultReply, limit SMALL;
    /// Logins, accounts, audit pages for the console.
    ConsoleVault: 4, Console asks Vault, vault::ConsoleVaultRequest => vault::ConsoleVaultReply, limit PAGE;
    /// Configuration versions, certificates, audit for the manager, and what operators ask through it.
    ManagerVault: 5, Manager asks Vault, vault::ManagerVaultRequest => vault::ManagerVaultReply, limit DOCUMENT;
    /// Configuration and state for the console.
    ConsoleManager: 6, Console asks Manager, ManagerRequest => ManagerReply, limit DOCUMENT;
    /// Configuration and state for an operator's command.
    OperatorManager: 7, Operator asks Manager, manager::OperatorRequest => manager::OperatorReply, limit DOCUMENT;
    /// The network service's part of a configuration.
    ManagerNetwork: 8, Manager asks Network, apply::ApplyRequest<NetworkSlice> => apply::ApplyReply, limit DOCUMENT;
    /// The proxy's part of a configuration.
    ManagerProxy: 9, Manager asks Proxy, apply::ApplyRequest<ProxySlice> => apply::ApplyReply, limit PROXY;
    /// The console's part of a configuration.
    ManagerConsole: 10, Manager asks Console, apply::ApplyRequest<ConsoleSlice> => apply::ApplyReply, limit DOCUMENT;
    /// Listeners and the state of services.
    ManagerSupervisor: 11, Manager asks Supervisor, status::SupervisorRequest => status::SupervisorReply, limit RULES;
    /// Blocklist and counters for the console.
    ConsoleNetwork: 12, Console asks Network, network::NetworkRequest => network::NetworkReply, limit PAGE;
    /// What an operator asks, asked over the serial line or by a USB stick.
    ProvisionManager: 15, Provision asks Manager, manager::OperatorRequest => manager::OperatorReply, limit DOCUMENT;
    /// The machine itself.
    ProvisionSupervisor: 16, Provision asks Supervisor, machine::MachineRequest => machine::MachineReply, limit SMALL;
    /// A new version of the image, uploaded.
    ConsoleUpdate: 17, Console asks Update, update::UpdateRequest => update::UpdateReply, limit MODULE;
    /// A new version of the image, on a stick.
    ProvisionUpdate: 18, Provision asks Update, update::UpdateRequest => update::UpdateReply, limit MODULE;
    /// Keys in an HSM, behind its vendor's module.
    VaultPkcs11: 14, Vault asks Pkcs11, pkcs11::Pkcs11Request => pkcs11::Pkcs11Reply, limit MODULE;
    /// Blocklist and counters for operators, through the manager.
    ManagerBlocklist: 13, Manager asks Network, network::NetworkRequest => network::NetworkReply, limit PAGE;
}

#[cfg(test)]
mod tests {
    use super::{
        ConsoleManager, ConsoleNetwork, ConsoleSigner, ConsoleUpdate, ConsoleVault, ManagerBlocklist, ManagerConsole,
        ManagerNetwork, ManagerProxy, ManagerSupervisor, ManagerVault, OperatorManager, ProvisionManager,
        ProvisionSupervisor, ProvisionUpdate, ProxySigner, ProxyVault, VaultPkcs11,
    };
    use crate::Pair;

    #[test]
    fn every_pair_has_a_tag_of_its_own() {
        let mut tags = [
            ConsoleManager::TAG,
            ConsoleNetwork::TAG,
            ConsoleSigner::TAG,
            ConsoleUpdate::TAG,
            ConsoleVault::TAG,
            ManagerBlocklist::TAG,
            ManagerConsole::TAG,
            ManagerNetwork::TAG,
            ManagerProxy::TAG,
            ManagerSupervisor::TAG,
            ManagerVault::TAG,
            OperatorManager::TAG,
            ProvisionManager::TAG,
            ProvisionSupervisor::TAG,
            ProvisionUpdate::TAG,
            ProxySigner::TAG,
            ProxyVault::TAG,
            VaultPkcs11::TAG,
        ];
        tags.sort_unstable();
        assert!(tags.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
