//! What the worker gives up before it loads foreign code.
//!
//! Which system calls a vendor's module makes is not known, so there is no list of them; what it can reach is fenced instead: the
//! libraries, the module's own files, and the network only where the HSM is on it. Nothing here can be taken back.

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, PathFd, PathFdError, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use rustix::process::{DumpableBehavior, Resource, Rlimit};
use std::path::{Path, PathBuf};

/// What the module may reach.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Fence {
    /// Files and folders that it may read.
    pub read: Vec<PathBuf>,
    /// Files and folders that it may read and write: a simulator's tokens, a vendor's socket or device.
    pub write: Vec<PathBuf>,
    /// Whether it may open connections: an HSM on the network.
    pub network: bool,
}

/// Why the worker does not go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfineError {
    /// The kernel refused a step.
    #[error("{step}: {source}")]
    Step {
        /// Which.
        step: &'static str,
        /// What it said.
        source: rustix::io::Errno,
    },
    /// Landlock refused.
    #[error("the file fence could not be raised: {0}")]
    Fence(#[from] RulesetError),
    /// A path to be let through the fence cannot be opened.
    #[error("a path of the fence: {0}")]
    Path(#[from] PathFdError),
}

/// Raises the fence around the process, which has one thread yet.
///
/// # Errors
/// Every step is fatal. A kernel without Landlock is not: that is said on standard error.
pub fn enter(fence: &Fence, module: &Path) -> Result<(), ConfineError> {
    let step = |step| move |source| ConfineError::Step { step, source };
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable).map_err(step("forbid core dumps"))?;
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    rustix::process::setrlimit(Resource::Core, none).map_err(step("forbid core files"))?;
    rustix::thread::set_no_new_privs(true).map_err(step("give up new privileges"))?;

    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WRITTEN_FOR))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(WRITTEN_FOR))?;
    if !fence.network {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut created = ruleset.create()?;
    let read = AccessFs::from_read(WRITTEN_FOR);
    let write = AccessFs::from_all(WRITTEN_FOR) & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar);
    let libraries = LIBRARIES.iter().map(Path::new).filter(|path| path.exists());
    for path in libraries.chain([module]).chain(fence.read.iter().map(PathBuf::as_path)) {
        created = created.add_rule(PathBeneath::new(PathFd::new(path)?, rights(path, read)))?;
    }
    for path in &fence.write {
        created = created.add_rule(PathBeneath::new(PathFd::new(path)?, rights(path, write)))?;
    }
    if created.restrict_self()?.ruleset == RulesetStatus::NotEnforced {
        eprintln!("redan-pkcs11: the kernel enforces no file fence; the module can reach what this user can");
    }
    Ok(())
}

/// A right that only a folder can have is none for a file.
fn rights(path: &Path, rights: landlock::BitFlags<AccessFs>) -> landlock::BitFlags<AccessFs> {
    if path.is_dir() {
        rights
    } else {
        rights & AccessFs::from_file(WRITTEN_FOR)
    }
}

/// The rules are written for this version of the interface; an older kernel enforces what it knows.
const WRITTEN_FOR: ABI = ABI::V6;
/// Where shared libraries and their configuration lie, and the source of random numbers.
const LIBRARIES: [&str; 6] = ["/usr/lib", "/usr/lib64", "/lib", "/lib64", "/etc", "/dev/urandom"];
