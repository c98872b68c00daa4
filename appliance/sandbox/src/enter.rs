//! The one function that confines a service, in one order.
#![forbid(unsafe_code)]

use rustix::io::Errno;
use rustix::mount::MountFlags;
use rustix::process::{
    DumpableBehavior, Gid, Resource, Rlimit, Signal, Uid, getgroups, getrlimit, getuid, set_dumpable_behavior,
    set_parent_process_death_signal, setrlimit,
};
use rustix::thread::{
    no_new_privs, set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid, set_thread_uid,
};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use crate::capabilities::lock_secure_bits;
use crate::fence::{Fence, raise};
use crate::proof::Ledger;
use crate::status::{Status, StatusFile};
use crate::tree::{pivot_to_empty, root_holds_only};
use crate::{Cgroup, Namespace, NamespaceIds, Outbound, Proof, Protection, SeccompError, Spec, seccomp, sys};

/// The step that failed. Each is fatal: the service must exit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SandboxError {
    /// `/proc/self/status` cannot be read.
    #[error("cannot read /proc/self/status")]
    Status(#[source] io::Error),
    /// The system call filter would not cover threads that exist already.
    #[error("the sandbox must be entered before any thread is started; there are {0}")]
    Threads(u64),
    /// `/proc/self/ns` cannot be read.
    #[error("cannot read /proc/self/ns")]
    NamespaceIds(#[source] io::Error),
    /// The process shares a namespace with the supervisor that it must not share.
    #[error("the process is in the supervisor's {0} namespace")]
    SharedNamespace(Namespace),
    /// Inherited descriptors cannot be closed.
    #[error("cannot close inherited descriptors")]
    Descriptors(#[source] Errno),
    /// The environment cannot be emptied.
    #[error("cannot empty the environment")]
    Environment(#[source] Errno),
    /// The supervisor put the process in another control group than it said.
    #[error("the process is not in the control group {0}")]
    Cgroup(String),
    /// A limit cannot be set.
    #[error("cannot set the limit {0}")]
    Limit(&'static str, #[source] Errno),
    /// The empty tree cannot be made.
    #[error("cannot {0}")]
    Tree(&'static str, #[source] Errno),
    /// The root is not empty after all.
    #[error("the root of the file system is not empty")]
    TreeNotEmpty,
    /// Capabilities cannot be taken out of the bounding set.
    #[error("cannot reduce the bounding set")]
    BoundingSet(#[source] Errno),
    /// The secure bits cannot be locked.
    #[error("cannot lock the secure bits")]
    SecureBits(#[source] Errno),
    /// Supplementary groups cannot be given up.
    #[error("cannot give up supplementary groups")]
    Groups(#[source] Errno),
    /// The group cannot be changed.
    #[error("cannot change the group id")]
    Group(#[source] Errno),
    /// The user cannot be changed.
    #[error("cannot change the user id")]
    User(#[source] Errno),
    /// Capabilities cannot be given up.
    #[error("cannot give up capabilities")]
    Capabilities(#[source] Errno),
    /// `no_new_privs` cannot be set.
    #[error("cannot set no_new_privs")]
    NoNewPrivileges(#[source] Errno),
    /// The process cannot be made undumpable.
    #[error("cannot forbid dumps")]
    Dumpable(#[source] Errno),
    /// The signal at the supervisor's death cannot be set.
    #[error("cannot ask for a signal at the supervisor's death")]
    DeathSignal(#[source] Errno),
    /// Landlock exists and refuses the rules.
    #[error("cannot raise Landlock")]
    Landlock(#[source] landlock::RulesetError),
    /// The system call filter cannot be installed.
    #[error("cannot install the system call filter")]
    Seccomp(#[from] SeccompError),
    /// Something that the sandbox forbids was possible.
    #[error("after entering the sandbox, {0} is still possible")]
    NotConfined(&'static str),
    /// `/proc/self/status` shows something else than was set.
    #[error("after entering the sandbox, {line} of /proc/self/status is {found:#x}, not {wanted:#x}")]
    NotAsExpected {
        /// The line.
        line: &'static str,
        /// What it says.
        found: u64,
        /// What it should say.
        wanted: u64,
    },
    /// The mode requires a protection that does not hold.
    #[error("{0} is required in this mode and absent: {1}")]
    Absent(Protection, String),
}

/// Confines the calling process as `spec` says and proves it.
///
/// `given` are the descriptors that the service was handed and goes on using (its control socket, wires, listeners, folders);
/// every other descriptor but 0 to 3 is closed, so nothing else may be open. Folders among them are what Landlock leaves
/// reachable; one made by [`crate::detached_folder`] is attached in the empty tree, and its descriptor becomes one of the folder
/// there, so that it can be the working directory. Must be called once, before any thread is started.
///
/// # Errors
/// The first step that failed; the process must exit then, since it is confined in part only.
pub fn enter(spec: &Spec, given: &[BorrowedFd<'_>]) -> Result<Proof, SandboxError> {
    let mut ledger = Ledger::default();
    let status = StatusFile::open().map_err(SandboxError::Status)?;
    let before = status.read().map_err(SandboxError::Status)?;
    if before.threads != 1 {
        return Err(SandboxError::Threads(before.threads));
    }

    start_clean(given, &status, &mut ledger)?;
    record_namespaces(spec, &mut ledger)?;
    record_cgroup(spec, &mut ledger)?;
    limit(spec, &mut ledger)?;
    give_up_tree(spec, given, &mut ledger)?;
    give_up_privileges(spec, &mut ledger)?;
    try_to_escape(spec)?;
    give_up_files_and_calls(spec, given, &mut ledger)?;

    let after = status.read().map_err(SandboxError::Status)?;
    compare(spec, &after, &ledger)?;
    ledger
        .close(spec.mode, getuid().as_raw(), spec.capabilities)
        .map_err(|(protection, reason)| SandboxError::Absent(protection, reason))
}

fn start_clean(given: &[BorrowedFd<'_>], status: &StatusFile, ledger: &mut Ledger) -> Result<(), SandboxError> {
    let mut kept: Vec<RawFd> = vec![0, 1, 2, 3, status.file().as_fd().as_raw_fd()];
    kept.extend(given.iter().map(AsRawFd::as_raw_fd));
    kept.sort_unstable();
    sys::close_all_but(&kept).map_err(SandboxError::Descriptors)?;
    sys::clear_environment().map_err(SandboxError::Environment)?;
    ledger.holds(Protection::CleanStart, "no inherited descriptor, no environment");
    Ok(())
}

fn record_namespaces(spec: &Spec, ledger: &mut Ledger) -> Result<(), SandboxError> {
    let own: Vec<_> = NamespaceIds::own()
        .map_err(SandboxError::NamespaceIds)?
        .differing(&spec.outside)
        .collect();
    for kind in Namespace::ALL {
        let protection = match kind {
            Namespace::Ipc => Protection::IpcNamespace,
            Namespace::Mount => Protection::MountNamespace,
            Namespace::Network => Protection::NetworkNamespace,
            Namespace::Pid => Protection::PidNamespace,
            Namespace::Uts => Protection::UtsNamespace,
        };
        match (own.contains(&kind), spec.namespaces.contains(&kind)) {
            (true, _) => ledger.holds(protection, "own"),
            (false, true) => return Err(SandboxError::SharedNamespace(kind)),
            // A service that was given every other namespace shares this one because its role is the appliance's network.
            (false, false) if kind == Namespace::Network && !spec.namespaces.is_empty() => {
                ledger.holds(protection, "the appliance's, as the role needs");
            }
            (false, false) => ledger.absent(protection, "this mode has no namespaces"),
        }
    }
    Ok(())
}

fn record_cgroup(spec: &Spec, ledger: &mut Ledger) -> Result<(), SandboxError> {
    match &spec.cgroup {
        Cgroup::Absent(reason) => ledger.absent(Protection::Cgroup, reason),
        Cgroup::Placed(path) => {
            let own = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
            if !own.lines().any(|line| {
                line.strip_prefix("0::")
                    .is_some_and(|group| group.ends_with(path.as_str()))
            }) {
                return Err(SandboxError::Cgroup(path.clone()));
            }
            ledger.holds(Protection::Cgroup, path);
        }
    }
    Ok(())
}

fn limit(spec: &Spec, ledger: &mut Ledger) -> Result<(), SandboxError> {
    let lower = |name, resource, wanted: u64| -> Result<u64, SandboxError> {
        let allowed = getrlimit(resource).maximum.unwrap_or(u64::MAX).min(wanted);
        setrlimit(
            resource,
            Rlimit {
                current: Some(allowed),
                maximum: Some(allowed),
            },
        )
        .map_err(|errno| SandboxError::Limit(name, errno))?;
        Ok(allowed)
    };
    lower("core", Resource::Core, 0)?;
    lower("msgqueue", Resource::Msgqueue, 0)?;
    let files = lower("nofile", Resource::Nofile, spec.limits.open_files)?;
    let data = lower("data", Resource::Data, spec.limits.data)?;
    let locked = lower("memlock", Resource::Memlock, spec.limits.locked)?;
    ledger.holds(
        Protection::Limits,
        format!(
            "{files} descriptors, {} MiB data, {} KiB locked, no core dump",
            data >> 20,
            locked >> 10
        ),
    );
    if spec.identity.is_some() {
        let tasks = lower("nproc", Resource::Nproc, spec.limits.tasks)?;
        ledger.holds(Protection::TaskLimit, format!("{tasks} threads"));
    } else {
        ledger.absent(
            Protection::TaskLimit,
            "the kernel counts by user, and the services share one",
        );
    }
    Ok(())
}

fn give_up_tree(spec: &Spec, given: &[BorrowedFd<'_>], ledger: &mut Ledger) -> Result<(), SandboxError> {
    // `record_namespaces` has seen that the mount namespace differs from the supervisor's, so this moves nobody else's root.
    if !spec.namespaces.contains(&Namespace::Mount) {
        ledger.absent(Protection::EmptyTree, "needs a mount namespace");
        return Ok(());
    }
    let attached = pivot_to_empty(given).map_err(|(step, errno)| SandboxError::Tree(step, errno))?;
    if !root_holds_only(attached) {
        return Err(SandboxError::TreeNotEmpty);
    }
    let form = match attached {
        0 => "read-only root with nothing in it".to_owned(),
        count => format!("read-only root with nothing in it but {count} folder given"),
    };
    ledger.holds(Protection::EmptyTree, form);
    Ok(())
}

fn give_up_privileges(spec: &Spec, ledger: &mut Ledger) -> Result<(), SandboxError> {
    match spec.capabilities.bound() {
        Ok(()) => {
            lock_secure_bits().map_err(SandboxError::SecureBits)?;
            ledger.holds(Protection::BoundingSet, spec.capabilities.to_string());
        }
        // Without CAP_SETPCAP the set cannot be reduced; no_new_privs keeps the process from using it.
        Err(Errno::PERM) if Protection::BoundingSet.may_be_absent(spec.mode) => {
            ledger.absent(
                Protection::BoundingSet,
                "an ordinary user cannot reduce it; no_new_privs makes it useless",
            );
        }
        Err(errno) => return Err(SandboxError::BoundingSet(errno)),
    }
    if let Some(identity) = spec.identity {
        set_thread_groups(&[]).map_err(SandboxError::Groups)?;
        let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
        // The calls change the calling thread, which is the only one.
        set_thread_res_gid(gid, gid, gid).map_err(SandboxError::Group)?;
        set_thread_res_uid(uid, uid, uid).map_err(SandboxError::User)?;
        if !getgroups().map_err(SandboxError::Groups)?.is_empty() {
            return Err(SandboxError::NotConfined("the use of supplementary groups"));
        }
        ledger.holds(
            Protection::OwnUser,
            format!("uid {}, gid {}", identity.uid, identity.gid),
        );
        ledger.holds(Protection::Groups, "none");
    } else {
        ledger.absent(Protection::OwnUser, "an ordinary user has a single user id");
        match getgroups().map_err(SandboxError::Groups)?.len() {
            0 => ledger.holds(Protection::Groups, "none"),
            count => ledger.absent(
                Protection::Groups,
                format!("an ordinary user cannot give them up; there are {count}"),
            ),
        }
    }
    spec.capabilities.keep_only().map_err(SandboxError::Capabilities)?;
    ledger.holds(Protection::Capabilities, spec.capabilities.to_string());
    set_no_new_privs(true).map_err(SandboxError::NoNewPrivileges)?;
    if !no_new_privs().map_err(SandboxError::NoNewPrivileges)? {
        return Err(SandboxError::NotConfined("gaining privileges by executing a program"));
    }
    ledger.holds(Protection::NoNewPrivileges, "set");
    set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(SandboxError::Dumpable)?;
    ledger.holds(Protection::NoDump, "not dumpable, no core file");
    // After the user id, whose change clears it.
    set_parent_process_death_signal(Some(Signal::KILL)).map_err(SandboxError::DeathSignal)?;
    ledger.holds(Protection::DiesWithSupervisor, "SIGKILL");
    Ok(())
}

/// Tries what must be impossible by now, before the filter would kill the process for trying.
fn try_to_escape(spec: &Spec) -> Result<(), SandboxError> {
    if spec.identity.is_some() && set_thread_uid(Uid::ROOT).is_ok() {
        return Err(SandboxError::NotConfined("becoming root"));
    }
    if rustix::mount::mount("redan", "/", "tmpfs", MountFlags::empty(), None).is_ok() {
        return Err(SandboxError::NotConfined("mounting a file system"));
    }
    Ok(())
}

fn give_up_files_and_calls(spec: &Spec, given: &[BorrowedFd<'_>], ledger: &mut Ledger) -> Result<(), SandboxError> {
    match raise(given, spec.outbound).map_err(SandboxError::Landlock)? {
        Fence::Whole(form) => {
            let tcp = if spec.outbound == Outbound::Connects {
                "no TCP bind"
            } else {
                "no TCP bind or connect"
            };
            ledger.holds(
                Protection::Landlock,
                format!("{form}: files beneath the folders given only, {tcp}, no signals"),
            );
        }
        Fence::Partial(reason) => ledger.absent(Protection::Landlock, reason),
    }
    let allowed = seccomp::install(spec.process)?;
    ledger.holds(Protection::Seccomp, format!("{allowed} calls allowed, any other kills"));
    Ok(())
}

fn compare(spec: &Spec, status: &Status, ledger: &Ledger) -> Result<(), SandboxError> {
    let kept = spec.capabilities.bits();
    let mut lines = vec![
        ("Threads", status.threads, 1),
        ("CapInh", status.inheritable, 0),
        ("CapPrm", status.permitted, kept),
        ("CapEff", status.effective, kept),
        ("CapAmb", status.ambient, 0),
        ("NoNewPrivs", status.no_new_privileges, 1),
        // 2 is SECCOMP_MODE_FILTER.
        ("Seccomp", status.seccomp, 2),
    ];
    if ledger.is_held(Protection::BoundingSet) {
        // The host may itself have taken a kept capability out of the set, never the other way round.
        lines.push(("CapBnd", status.bounding & !kept, 0));
    }
    for (line, found, wanted) in lines {
        if found != wanted {
            return Err(SandboxError::NotAsExpected { line, found, wanted });
        }
    }
    Ok(())
}
