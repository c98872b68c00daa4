//! What confines a process, what does not, and what a mode may do without.
#![forbid(unsafe_code)]

use redan_types::Mode;
use std::fmt;

use crate::Capabilities;

/// One protection. A [`Proof`] has a finding for each.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Protection {
    /// No capability can be gained by executing a program.
    BoundingSet,
    /// Only the manifest's capabilities.
    Capabilities,
    /// Memory, CPU and task limits by control group.
    Cgroup,
    /// No descriptor and no environment variable beyond what was given.
    CleanStart,
    /// Killed when the supervisor dies.
    DiesWithSupervisor,
    /// The root is an empty, read-only file system of its own.
    EmptyTree,
    /// No supplementary group.
    Groups,
    /// Own IPC namespace.
    IpcNamespace,
    /// Landlock: files only beneath the folders given, no TCP beyond the role, no signals and abstract sockets to others.
    Landlock,
    /// `setrlimit`.
    Limits,
    /// Own mount namespace.
    MountNamespace,
    /// Own, empty network namespace (or the appliance's, where the role is to use the network).
    NetworkNamespace,
    /// Memory cannot be read by other processes of the same user, no core dump.
    NoDump,
    /// `no_new_privs`.
    NoNewPrivileges,
    /// A user id of its own.
    OwnUser,
    /// Own PID namespace: no other process can be seen.
    PidNamespace,
    /// The system call filter.
    Seccomp,
    /// A limit of threads.
    TaskLimit,
    /// Own UTS namespace.
    UtsNamespace,
}

impl Protection {
    /// Each protection.
    pub const ALL: [Self; 19] = [
        Self::BoundingSet,
        Self::Capabilities,
        Self::Cgroup,
        Self::CleanStart,
        Self::DiesWithSupervisor,
        Self::EmptyTree,
        Self::Groups,
        Self::IpcNamespace,
        Self::Landlock,
        Self::Limits,
        Self::MountNamespace,
        Self::NetworkNamespace,
        Self::NoDump,
        Self::NoNewPrivileges,
        Self::OwnUser,
        Self::PidNamespace,
        Self::Seccomp,
        Self::TaskLimit,
        Self::UtsNamespace,
    ];

    /// The table: which protections a mode may do without.
    #[must_use]
    pub fn may_be_absent(self, mode: Mode) -> bool {
        match mode {
            Mode::Appliance => false,
            // What the host's kernel may not have.
            Mode::EvaluationRoot => matches!(self, Self::Cgroup | Self::Landlock),
            // And what needs a second user id.
            Mode::EvaluationUser => {
                self.may_be_absent(Mode::EvaluationRoot)
                    || matches!(self, Self::Groups | Self::OwnUser | Self::TaskLimit)
            }
            // And what needs a namespace, or privilege to give up.
            Mode::EvaluationBare => {
                self.may_be_absent(Mode::EvaluationUser)
                    || matches!(
                        self,
                        Self::BoundingSet
                            | Self::EmptyTree
                            | Self::IpcNamespace
                            | Self::MountNamespace
                            | Self::NetworkNamespace
                            | Self::PidNamespace
                            | Self::UtsNamespace
                    )
            }
        }
    }
}

impl fmt::Display for Protection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::BoundingSet => "bounding set",
            Self::Capabilities => "capabilities",
            Self::Cgroup => "control group",
            Self::CleanStart => "clean start",
            Self::DiesWithSupervisor => "dies with the supervisor",
            Self::EmptyTree => "empty tree",
            Self::Groups => "groups",
            Self::IpcNamespace => "IPC namespace",
            Self::Landlock => "Landlock",
            Self::Limits => "resource limits",
            Self::MountNamespace => "mount namespace",
            Self::NetworkNamespace => "network namespace",
            Self::NoDump => "no dump",
            Self::NoNewPrivileges => "no new privileges",
            Self::OwnUser => "own user",
            Self::PidNamespace => "PID namespace",
            Self::Seccomp => "seccomp",
            Self::TaskLimit => "task limit",
            Self::UtsNamespace => "UTS namespace",
        })
    }
}

/// Whether a protection holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum State {
    /// It holds; in what form.
    Holds(String),
    /// It does not; why.
    Absent(String),
}

/// One protection and whether it holds.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Finding {
    /// Which.
    pub protection: Protection,
    /// Whether it holds.
    pub state: State,
}

/// What confines a process: made by [`crate::enter`] after every step was taken and checked.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Proof {
    uid: u32,
    capabilities: Capabilities,
    findings: Vec<Finding>,
}

impl Proof {
    /// The user id that the process has, as it sees it.
    #[must_use]
    pub const fn uid(&self) -> u32 {
        self.uid
    }

    /// The capabilities that it has.
    #[must_use]
    pub const fn capabilities(&self) -> Capabilities {
        self.capabilities
    }

    /// A finding for each protection.
    #[must_use]
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What holds, one line each: `seccomp: 84 calls allowed, all others kill`.
    pub fn confined_by(&self) -> impl Iterator<Item = String> {
        self.findings.iter().filter_map(|finding| match &finding.state {
            State::Holds(form) => Some(format!("{}: {form}", finding.protection)),
            State::Absent(_) => None,
        })
    }

    /// What does not hold and why, one line each.
    pub fn absent(&self) -> impl Iterator<Item = String> {
        self.findings.iter().filter_map(|finding| match &finding.state {
            State::Holds(_) => None,
            State::Absent(reason) => Some(format!("{}: {reason}", finding.protection)),
        })
    }
}

/// The findings while they are being collected.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Vec<Finding>);

impl Ledger {
    pub(crate) fn holds(&mut self, protection: Protection, form: impl Into<String>) {
        self.0.push(Finding {
            protection,
            state: State::Holds(form.into()),
        });
    }

    pub(crate) fn absent(&mut self, protection: Protection, reason: impl Into<String>) {
        self.0.push(Finding {
            protection,
            state: State::Absent(reason.into()),
        });
    }

    pub(crate) fn is_held(&self, protection: Protection) -> bool {
        self.0
            .iter()
            .any(|finding| finding.protection == protection && matches!(finding.state, State::Holds(_)))
    }

    /// The proof, or the first protection that the mode requires and that does not hold (a protection that nobody looked at
    /// does not).
    pub(crate) fn close(
        mut self,
        mode: Mode,
        uid: u32,
        capabilities: Capabilities,
    ) -> Result<Proof, (Protection, String)> {
        for protection in Protection::ALL {
            let finding = self.0.iter().find(|finding| finding.protection == protection);
            let reason = match finding.map(|finding| &finding.state) {
                Some(State::Holds(_)) => continue,
                Some(State::Absent(reason)) => reason.clone(),
                None => "not looked at".to_owned(),
            };
            if finding.is_none() || !protection.may_be_absent(mode) {
                return Err((protection, reason));
            }
        }
        self.0.sort_by_key(|finding| finding.protection);
        Ok(Proof {
            uid,
            capabilities,
            findings: self.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Ledger, Protection};
    use crate::Capabilities;
    use redan_types::Mode;

    fn ledger_without(missing: Protection) -> Ledger {
        let mut ledger = Ledger::default();
        for protection in Protection::ALL {
            if protection == missing {
                ledger.absent(protection, "the kernel has none");
            } else {
                ledger.holds(protection, "yes");
            }
        }
        ledger
    }

    #[test]
    fn the_appliance_does_without_nothing() {
        for protection in Protection::ALL {
            assert!(!protection.may_be_absent(Mode::Appliance));
            let refused = ledger_without(protection)
                .close(Mode::Appliance, 1, Capabilities::NONE)
                .unwrap_err();
            assert_eq!(refused, (protection, "the kernel has none".to_owned()));
        }
    }

    #[test]
    fn no_mode_does_without_seccomp_or_no_new_privileges() {
        for mode in [
            Mode::Appliance,
            Mode::EvaluationRoot,
            Mode::EvaluationUser,
            Mode::EvaluationBare,
        ] {
            for protection in [
                Protection::Seccomp,
                Protection::NoNewPrivileges,
                Protection::Capabilities,
            ] {
                assert!(!protection.may_be_absent(mode), "{mode:?} {protection}");
            }
        }
    }

    #[test]
    fn a_protection_that_nobody_looked_at_does_not_hold() {
        let refused = Ledger::default()
            .close(Mode::EvaluationBare, 1, Capabilities::NONE)
            .unwrap_err();
        assert_eq!(refused.1, "not looked at");
    }

    #[test]
    fn a_proof_says_what_is_absent_and_why() {
        let proof = ledger_without(Protection::Landlock)
            .close(Mode::EvaluationRoot, 1, Capabilities::NONE)
            .unwrap();
        assert_eq!(proof.absent().collect::<Vec<_>>(), ["Landlock: the kernel has none"]);
        assert_eq!(proof.confined_by().count(), Protection::ALL.len() - 1);
    }
}
