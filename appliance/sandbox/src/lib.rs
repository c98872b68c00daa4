//! The one place of namespaces, capabilities, Landlock and seccomp.
//!
//! The supervisor decides a [`Spec`] for each service and starts it with [`spawn`], which makes the namespaces (a process cannot
//! move itself into a PID namespace) and executes the binary by descriptor. The service then calls [`enter`], once, before it
//! has any thread: the rest of the confinement in one fixed order, every step fatal, and at the end a [`Proof`] of what holds.
//! What a mode may do without stands in one table, [`Protection::may_be_absent`]; nothing is left out silently.
//!
//! There is no switch that turns a protection off: no environment variable, no feature, no trap or log mode of the system call
//! filter. Unsafe code is in `spawn`, `sys` and `wipe` only; the rest of the crate is denied it.

mod capabilities;
mod enter;
mod fence;
mod namespace;
mod proof;
mod seccomp;
mod spawn;
mod spec;
mod status;
mod sys;
mod tree;
mod wipe;

pub use capabilities::Capabilities;
pub use enter::{SandboxError, enter};
pub use namespace::{Namespace, NamespaceIds};
pub use proof::{Finding, Proof, Protection, State};
pub use seccomp::SeccompError;
pub use spawn::{Child, Launch, SpawnError, spawn};
pub use spec::{Cgroup, Identity, Limits, Outbound, Spec};
pub use tree::detached_folder;
pub use wipe::Wiping;
