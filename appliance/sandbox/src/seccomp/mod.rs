//! The system call filter: allow lists as data, one file for each service.
//!
//! A call that is on no list kills the process (SIGSYS), and the supervisor reports that as such. A few calls that libraries try
//! and can do without are answered with an error instead ([`Refused`]). Each entry says who needs it; the lists were checked
//! against the running binaries with `strace`.
#![forbid(unsafe_code)]

mod base;
mod console;
mod events;
mod files;
mod legacy;
mod manager;
mod network;
mod provision;
mod proxy;
mod update;
mod vault;

use redan_types::Process;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    TargetArch, apply_filter,
};
use std::collections::BTreeMap;
use std::ffi::c_long;

/// A call that is allowed: always, or where the arguments are as `when` says. Several entries of one call are alternatives.
struct Allowed {
    call: c_long,
    when: &'static [When],
}

/// A call that is answered with an error.
struct Refused {
    call: c_long,
    errno: i32,
}

/// What an argument must be. Arguments are counted from 0.
#[derive(Clone, Copy)]
enum When {
    /// Equal, as a 32-bit number.
    Is(u8, i32),
    /// Of these bits exactly those are set: argument, bits, value.
    Bits(u8, u64, u64),
    /// Zero or a null pointer.
    Zero(u8),
}

/// The lists of one service.
struct Lists {
    allowed: &'static [&'static [Allowed]],
    refused: &'static [&'static [Refused]],
}

/// Why the filter could not be installed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// The process is not one that runs in a sandbox.
    #[error("there is no list of system calls for {0}")]
    NoList(Process),
    /// No filters can be made for this processor.
    #[error("no filter for this processor")]
    Processor(#[source] seccompiler::BackendError),
    /// The list cannot be compiled.
    #[error("the list cannot be compiled")]
    Compile(#[source] seccompiler::BackendError),
    /// The kernel refuses it.
    #[error("the kernel refuses the filter")]
    Install(#[source] seccompiler::Error),
}

/// Installs the filter of `process` for the calling thread and all that it starts, and returns how many calls it allows.
pub(crate) fn install(process: Process) -> Result<usize, SeccompError> {
    let lists = lists(process).ok_or(SeccompError::NoList(process))?;
    let target = TargetArch::try_from(std::env::consts::ARCH).map_err(SeccompError::Processor)?;
    let (allow, count) = allow_filter(&lists, target)?;
    // Compiled before any is installed, so that compiling needs no call that a filter forbids. The most severe answer of all
    // filters counts; the refusing ones come first because the last one forbids the installation of more.
    let mut programs = refuse_filters(&lists, target)?;
    programs.push(allow);
    for program in &programs {
        apply_filter(program).map_err(SeccompError::Install)?;
    }
    Ok(count)
}

fn lists(process: Process) -> Option<Lists> {
    match process {
        Process::Console => Some(console::LISTS),
        Process::Manager => Some(manager::LISTS),
        Process::Network => Some(network::LISTS),
        Process::Provision => Some(provision::LISTS),
        Process::Proxy => Some(proxy::LISTS),
        Process::Update => Some(update::LISTS),
        Process::Vault => Some(vault::LISTS),
        // A vendor's module calls what it likes; what confines it is its own program.
        Process::Operator | Process::Pkcs11 | Process::Supervisor => None,
    }
}

fn allow_filter(lists: &Lists, target: TargetArch) -> Result<(BpfProgram, usize), SeccompError> {
    // A call without conditions has an empty list of rules, and any condition on it elsewhere is moot.
    let mut rules: BTreeMap<i64, Option<Vec<SeccompRule>>> = BTreeMap::new();
    // The most severe answer of all filters counts: for the error of a refusing filter to be given, this one must not kill.
    for entry in entries(lists.refused) {
        rules.insert(entry.call, None);
    }
    let answered = rules.len();
    for entry in entries(lists.allowed) {
        if entry.when.is_empty() {
            rules.insert(entry.call, None);
        } else if let Some(alternatives) = rules.entry(entry.call).or_insert_with(|| Some(Vec::new())) {
            let conditions = entry.when.iter().map(When::condition).collect::<Result<_, _>>();
            let rule = conditions.and_then(SeccompRule::new).map_err(SeccompError::Compile)?;
            alternatives.push(rule);
        }
    }
    let count = rules.len() - answered;
    let rules = rules
        .into_iter()
        .map(|(call, rules)| (call, rules.unwrap_or_default()))
        .collect();
    let filter = SeccompFilter::new(rules, SeccompAction::KillProcess, SeccompAction::Allow, target);
    let program = filter.and_then(TryInto::try_into).map_err(SeccompError::Compile)?;
    Ok((program, count))
}

fn refuse_filters(lists: &Lists, target: TargetArch) -> Result<Vec<BpfProgram>, SeccompError> {
    // A filter has one answer, so there is one for each error.
    let mut by_errno: BTreeMap<u32, BTreeMap<i64, Vec<SeccompRule>>> = BTreeMap::new();
    for entry in entries(lists.refused) {
        by_errno
            .entry(entry.errno.unsigned_abs())
            .or_default()
            .insert(entry.call, Vec::new());
    }
    by_errno
        .into_iter()
        .map(|(errno, rules)| {
            let filter = SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(errno), target);
            filter.and_then(TryInto::try_into).map_err(SeccompError::Compile)
        })
        .collect()
}

/// The entries of calls that this processor has.
fn entries<T: Entry>(lists: &'static [&'static [T]]) -> impl Iterator<Item = &'static T> {
    lists.iter().copied().flatten().filter(|entry| entry.call() >= 0)
}

trait Entry: 'static {
    fn call(&self) -> c_long;
}

impl Entry for Allowed {
    fn call(&self) -> c_long {
        self.call
    }
}

impl Entry for Refused {
    fn call(&self) -> c_long {
        self.call
    }
}

impl When {
    fn condition(&self) -> Result<SeccompCondition, seccompiler::BackendError> {
        match *self {
            Self::Is(argument, value) => SeccompCondition::new(
                argument,
                SeccompCmpArgLen::Dword,
                SeccompCmpOp::Eq,
                u64::from(value.cast_unsigned()),
            ),
            Self::Bits(argument, bits, value) => {
                SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::MaskedEq(bits), value)
            }
            Self::Zero(argument) => SeccompCondition::new(argument, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0),
        }
    }
}

const fn any(call: c_long, why: &'static str) -> Allowed {
    when(call, &[], why)
}

const fn when(call: c_long, when: &'static [When], why: &'static str) -> Allowed {
    explained(why);
    Allowed { call, when }
}

const fn refuse(call: c_long, errno: i32, why: &'static str) -> Refused {
    explained(why);
    Refused { call, errno }
}

/// The lists are constants, so an entry without a reason does not compile.
const fn explained(why: &str) {
    assert!(why.len() > 3, "an entry without its reason");
}

#[cfg(test)]
mod tests {
    use super::{allow_filter, lists, refuse_filters};
    use redan_types::Process;
    use seccompiler::TargetArch;

    const SERVICES: [Process; 7] = [
        Process::Console,
        Process::Manager,
        Process::Network,
        Process::Provision,
        Process::Proxy,
        Process::Update,
        Process::Vault,
    ];

    #[test]
    fn every_list_compiles_and_fits_the_kernel() {
        let target = TargetArch::try_from(std::env::consts::ARCH).unwrap();
        for process in SERVICES {
            let lists = lists(process).unwrap();
            let (program, count) = allow_filter(&lists, target).unwrap();
            assert!(program.len() < 4096, "{process}: {} instructions", program.len());
            assert!((20..150).contains(&count), "{process}: {count} calls");
            refuse_filters(&lists, target).unwrap();
        }
    }

    #[test]
    fn no_service_may_execute_trace_mount_or_load() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_mount,
            libc::SYS_setuid,
            libc::SYS_setresuid,
            libc::SYS_unshare,
            libc::SYS_setns,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_userfaultfd,
            libc::SYS_keyctl,
            libc::SYS_perf_event_open,
        ];
        for process in SERVICES {
            let lists = lists(process).unwrap();
            for entry in lists.allowed.iter().copied().flatten() {
                assert!(!never.contains(&entry.call), "{process}: call {}", entry.call);
            }
        }
    }

    #[test]
    fn the_supervisor_and_operators_have_no_list() {
        assert!(lists(Process::Supervisor).is_none());
        assert!(lists(Process::Operator).is_none());
    }
}
