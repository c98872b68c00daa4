//! The processes of the appliance and the ways it can run.

use serde::{Deserialize, Serialize};
use std::fmt;

/// One process of the appliance. The wiring table names who may ask whom. Stored and sent by place: a new one comes last.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Process {
    /// The console: REST API and pages.
    Console,
    /// The configuration's transactions.
    Manager,
    /// Interfaces, packet filter, blocklist.
    Network,
    /// An operator's command on the local socket; never started by the supervisor.
    Operator,
    /// The TLS proxy with its stages.
    Proxy,
    /// PID 1.
    Supervisor,
    /// The store, keys, users and the audit log.
    Vault,
    /// A vendor's PKCS#11 module, for the vault.
    Pkcs11,
    /// The serial menu and USB sticks.
    Provision,
    /// New versions of the image: slots and the boot partition.
    Update,
}

impl Process {
    /// The name in status output and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Console => "console",
            Self::Manager => "manager",
            Self::Network => "network",
            Self::Operator => "operator",
            Self::Pkcs11 => "pkcs11",
            Self::Provision => "provision",
            Self::Proxy => "proxy",
            Self::Supervisor => "supervisor",
            Self::Update => "update",
            Self::Vault => "vault",
        }
    }
}

impl fmt::Display for Process {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How the appliance runs: decides which protections may be absent.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Mode {
    /// The real thing: PID 1 of its own image; no protection may be absent.
    Appliance,
    /// `cargo evaluate` as root: own network namespaces, own user ids.
    EvaluationRoot,
    /// `cargo evaluate` as an ordinary user inside an unprivileged user namespace: a single user id.
    EvaluationUser,
    /// `cargo evaluate` as an ordinary user where the kernel allows no user namespace: no packet filter, no namespaces.
    EvaluationBare,
}

impl Mode {
    /// The mode in status output.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Appliance => "appliance",
            Self::EvaluationBare => "evaluation (bare)",
            Self::EvaluationRoot => "evaluation (root)",
            Self::EvaluationUser => "evaluation (user namespace)",
        }
    }

    /// Whether this is any of the evaluation modes.
    #[must_use]
    pub const fn is_evaluation(self) -> bool {
        !matches!(self, Self::Appliance)
    }
}
