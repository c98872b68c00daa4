//! The manifest: which services exist, what each may do, who may ask whom. Nothing is started or connected that is not here.

use redan_ipc::Pair;
use redan_ipc::messages::{
    ConsoleManager, ConsoleNetwork, ConsoleSigner, ConsoleUpdate, ConsoleVault, ManagerBlocklist, ManagerConsole,
    ManagerNetwork, ManagerProxy, ManagerSupervisor, ManagerVault, ProvisionManager, ProvisionSupervisor,
    ProvisionUpdate, ProxySigner, ProxyVault,
};
use redan_sandbox::{Capabilities, Identity, Limits, Namespace, Outbound};
use redan_types::{Mode, Process};
use std::ffi::CStr;

use Process::{Console, Manager, Network, Provision, Proxy, Update, Vault};

/// One service.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    /// Which.
    pub process: Process,
    /// Its binary, in the folder of binaries, and its name in `ps`.
    pub binary: &'static CStr,
    /// Its user and group: a fixed number, so that no password file is needed.
    pub user: u32,
    /// What it keeps of root's powers.
    pub capabilities: Capabilities,
    /// Whose network it uses.
    pub network: Net,
    /// Where it exists at all.
    pub place: Place,
    /// What must have happened before its first start.
    pub after: Option<(Process, Milestone)>,
    /// Limits (`setrlimit`).
    pub limits: Limits,
    /// Limits of its control group, where there is one.
    pub group: Group,
}

/// Where a service exists.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Place {
    /// Wherever the appliance runs.
    Everywhere,
    /// On the appliance's own machine, and in an evaluation that names a terminal for it.
    SerialLine,
    /// On the appliance's own machine, where there is room for another version of the image.
    Partitions,
}

/// Whose network a service uses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Net {
    /// The appliance's, to administer it.
    Administers,
    /// The appliance's, to connect to upstreams.
    Connects,
    /// An empty one of its own; listeners are inherited.
    Empty,
}

/// How far a service has come.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Milestone {
    /// It has entered its sandbox.
    Confined,
    /// It can do its work.
    Ready,
}

/// Limits of a control group.
#[derive(Clone, Copy, Debug)]
pub struct Group {
    /// `memory.max`, in bytes.
    pub memory: u64,
    /// `pids.max`.
    pub tasks: u64,
    /// `cpu.weight`.
    pub weight: u64,
}

/// Wires of one pair of roles.
#[derive(Clone, Copy, Debug)]
pub struct Wire {
    /// The pair's tag.
    pub tag: u8,
    /// Who asks.
    pub client: Process,
    /// Who answers.
    pub server: Process,
    /// How many there are.
    pub count: Count,
}

/// How many wires a pair has.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Count {
    /// One.
    One,
    /// One for each worker thread of the proxy.
    EachThread,
}

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

/// The services, in the order of their first start.
pub const SERVICES: [Entry; 7] = [
    Entry {
        process: Vault,
        binary: c"redan-vault",
        user: 64_101,
        capabilities: Capabilities::NONE,
        network: Net::Empty,
        place: Place::Everywhere,
        after: None,
        limits: Limits {
            open_files: 4_096,
            tasks: 512,
            data: 6 * GIB,
            // More than it may have at all: all of its memory is locked.
            locked: 16 * GIB,
        },
        group: Group {
            memory: 2 * GIB,
            tasks: 512,
            weight: 200,
        },
    },
    Entry {
        process: Manager,
        binary: c"redan-manager",
        user: 64_102,
        capabilities: Capabilities::NONE,
        network: Net::Empty,
        place: Place::Everywhere,
        after: Some((Vault, Milestone::Ready)),
        limits: Limits {
            open_files: 1_024,
            tasks: 128,
            data: 4 * GIB,
            locked: 64 * KIB,
        },
        group: Group {
            memory: 512 * MIB,
            tasks: 128,
            weight: 100,
        },
    },
    Entry {
        process: Network,
        binary: c"redan-network",
        user: 64_103,
        capabilities: Capabilities::NET_ADMIN,
        network: Net::Administers,
        place: Place::Everywhere,
        after: Some((Manager, Milestone::Confined)),
        limits: Limits {
            open_files: 1_024,
            tasks: 128,
            data: 4 * GIB,
            locked: 64 * KIB,
        },
        group: Group {
            memory: 512 * MIB,
            tasks: 128,
            weight: 100,
        },
    },
    Entry {
        process: Proxy,
        binary: c"redan-proxy",
        user: 64_104,
        capabilities: Capabilities::NONE,
        network: Net::Connects,
        place: Place::Everywhere,
        after: Some((Network, Milestone::Ready)),
        limits: Limits {
            open_files: 131_072,
            tasks: 256,
            data: 12 * GIB,
            locked: 64 * KIB,
        },
        group: Group {
            memory: 4 * GIB,
            tasks: 256,
            weight: 100,
        },
    },
    Entry {
        process: Console,
        binary: c"redan-console",
        user: 64_105,
        capabilities: Capabilities::NONE,
        network: Net::Empty,
        place: Place::Everywhere,
        after: Some((Network, Milestone::Ready)),
        limits: Limits {
            open_files: 8_192,
            tasks: 128,
            data: 4 * GIB,
            locked: 64 * KIB,
        },
        group: Group {
            memory: 512 * MIB,
            tasks: 128,
            weight: 50,
        },
    },
    Entry {
        process: Provision,
        binary: c"redan-provision",
        user: 64_107,
        capabilities: Capabilities::NONE,
        network: Net::Empty,
        place: Place::SerialLine,
        // It starts first and needs nobody: it is where a machine that cannot start is asked why.
        after: None,
        limits: Limits {
            open_files: 64,
            tasks: 32,
            data: 4 * GIB,
            locked: 64 * KIB,
        },
        group: Group {
            memory: 128 * MIB,
            tasks: 32,
            weight: 50,
        },
    },
    Entry {
        process: Update,
        binary: c"redan-update",
        user: 64_108,
        capabilities: Capabilities::NONE,
        network: Net::Empty,
        place: Place::Partitions,
        after: None,
        limits: Limits {
            open_files: 64,
            tasks: 32,
            data: 4 * GIB,
            locked: 64 * KIB,
        },
        group: Group {
            memory: 128 * MIB,
            tasks: 32,
            weight: 20,
        },
    },
];

/// The user of an HSM's worker, which is started when the vault asks for it (`keydevice.rs`): it holds foreign code, may touch what
/// its options name, and has one wire, to the vault.
pub const HSM_USER: u32 = 64_106;

/// Who may ask whom. (Operators reach the manager over a socket of root's instead of a wire.)
pub const WIRES: [Wire; 16] = [
    wire::<ProxySigner>(Count::EachThread),
    wire::<ProxyVault>(Count::EachThread),
    wire::<ConsoleSigner>(Count::One),
    wire::<ConsoleVault>(Count::One),
    wire::<ManagerVault>(Count::One),
    wire::<ConsoleManager>(Count::One),
    wire::<ManagerNetwork>(Count::One),
    wire::<ManagerProxy>(Count::One),
    wire::<ManagerConsole>(Count::One),
    wire::<ManagerBlocklist>(Count::One),
    wire::<ConsoleNetwork>(Count::One),
    wire::<ManagerSupervisor>(Count::One),
    wire::<ProvisionManager>(Count::One),
    wire::<ProvisionSupervisor>(Count::One),
    wire::<ConsoleUpdate>(Count::One),
    wire::<ProvisionUpdate>(Count::One),
];

/// The end: each group is asked to stop and given three seconds before the next is. Whoever faces the network or a person goes
/// first, the packet filter's service after those it protects, the vault last.
pub const STOP: [&[Process]; 4] = [&[Proxy, Console, Provision, Update], &[Manager], &[Network], &[Vault]];

/// What no mode but the appliance itself has, in words for an operator.
#[must_use]
pub const fn notes(mode: Mode) -> &'static [&'static str] {
    match mode {
        Mode::Appliance => &[],
        Mode::EvaluationRoot => {
            &["this host's own traffic is not filtered: the appliance lives in network namespaces of its own"]
        }
        Mode::EvaluationUser => &[
            "this host's own traffic is not filtered: the appliance lives in network namespaces of its own",
            "the services share one user id: an ordinary user has no others",
        ],
        Mode::EvaluationBare => &[
            "there is no packet filter: an ordinary user without namespaces cannot have one",
            "the services share one user id, this host's file tree, process list and network",
        ],
    }
}

impl Entry {
    /// The namespaces that the service gets of its own.
    #[must_use]
    pub fn namespaces(&self, mode: Mode) -> Vec<Namespace> {
        if mode == Mode::EvaluationBare {
            return Vec::new();
        }
        let shares_network = self.network != Net::Empty;
        Namespace::ALL
            .into_iter()
            .filter(|kind| !(shares_network && *kind == Namespace::Network))
            .collect()
    }

    /// The user that it becomes, where the supervisor is root among users.
    #[must_use]
    pub const fn identity(&self, is_root: bool, mode: Mode) -> Option<Identity> {
        if is_root && !matches!(mode, Mode::EvaluationUser) {
            Some(Identity {
                uid: self.user,
                gid: self.user,
            })
        } else {
            None
        }
    }

    /// The capabilities that it keeps; without a network of the appliance's own there is none to administer.
    #[must_use]
    pub const fn kept(&self, mode: Mode) -> Capabilities {
        if matches!(mode, Mode::EvaluationBare) {
            Capabilities::NONE
        } else {
            self.capabilities
        }
    }

    /// Whether it opens TCP connections.
    #[must_use]
    pub const fn outbound(&self) -> Outbound {
        if matches!(self.network, Net::Connects) {
            Outbound::Connects
        } else {
            Outbound::Never
        }
    }
}

impl Wire {
    /// How many wires, with this number of worker threads.
    #[must_use]
    pub const fn number(&self, threads: u16) -> u16 {
        match self.count {
            Count::One => 1,
            Count::EachThread => threads,
        }
    }
}

const fn wire<P: Pair>(count: Count) -> Wire {
    Wire {
        tag: P::TAG,
        client: P::CLIENT,
        server: P::SERVER,
        count,
    }
}

#[cfg(test)]
mod tests {
    use super::{HSM_USER, Process, SERVICES, STOP, WIRES};
    use redan_sandbox::Capabilities;

    #[test]
    fn every_service_has_a_user_of_its_own() {
        let mut users: Vec<_> = SERVICES.iter().map(|entry| entry.user).chain([HSM_USER]).collect();
        users.sort_unstable();
        users.dedup();
        assert_eq!(users.len(), SERVICES.len() + 1);
        assert!(users.iter().all(|user| *user != 0));
    }

    #[test]
    fn a_service_waits_only_for_one_that_starts_before_it() {
        for (index, entry) in SERVICES.iter().enumerate() {
            let Some((before, _)) = entry.after else { continue };
            assert!(
                SERVICES[..index].iter().any(|earlier| earlier.process == before),
                "{}",
                entry.process
            );
        }
    }

    #[test]
    fn the_proxy_may_ask_the_vault_and_nobody_else() {
        let asked: Vec<_> = WIRES
            .iter()
            .filter(|wire| wire.client == Process::Proxy)
            .map(|wire| wire.server)
            .collect();
        assert_eq!(asked, [Process::Vault, Process::Vault]);
    }

    #[test]
    fn the_vault_asks_nobody() {
        assert!(WIRES.iter().all(|wire| wire.client != Process::Vault));
    }

    #[test]
    fn only_the_network_service_keeps_a_capability() {
        for entry in SERVICES {
            assert_eq!(
                entry.capabilities != Capabilities::NONE,
                entry.process == Process::Network
            );
        }
    }

    #[test]
    fn everything_is_stopped_once() {
        let mut stopped: Vec<_> = STOP.concat();
        stopped.sort();
        let mut all: Vec<_> = SERVICES.iter().map(|entry| entry.process).collect();
        all.sort();
        assert_eq!(stopped, all);
    }
}
