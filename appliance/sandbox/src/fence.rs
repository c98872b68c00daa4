//! Landlock.
#![forbid(unsafe_code)]

use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus, Scope,
};
use std::os::fd::BorrowedFd;

use crate::Outbound;
use crate::tree::is_folder;

/// What the kernel enforces.
pub(crate) enum Fence {
    /// All of it.
    Whole(String),
    /// Nothing or a part, and why.
    Partial(String),
}

/// The rules are written for this version of the interface; an older kernel enforces what it knows.
const WRITTEN_FOR: ABI = ABI::V6;

/// Files only beneath the folders among `given`; no TCP port bound; none connected to unless the role connects; no signal and no
/// abstract socket to a process outside.
pub(crate) fn raise(given: &[BorrowedFd<'_>], outbound: Outbound) -> Result<Fence, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(WRITTEN_FOR))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(WRITTEN_FOR))?;
    if outbound == Outbound::Never {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let mut created = ruleset.create()?;
    let beneath = AccessFs::from_all(WRITTEN_FOR) & !(AccessFs::Execute | AccessFs::MakeBlock | AccessFs::MakeChar);
    for fd in given {
        if is_folder(*fd) {
            created = created.add_rule(PathBeneath::new(fd, beneath))?;
        }
    }
    let status = created.restrict_self()?;
    let abi = match status.landlock {
        LandlockStatus::NotImplemented => return Ok(Fence::Partial("the kernel is built without it".to_owned())),
        LandlockStatus::NotEnabled => return Ok(Fence::Partial("not enabled at boot (lsm=)".to_owned())),
        LandlockStatus::Available { effective_abi, .. } => effective_abi as i32,
    };
    Ok(match status.ruleset {
        RulesetStatus::FullyEnforced => Fence::Whole(format!("interface version {abi}")),
        RulesetStatus::PartiallyEnforced => Fence::Partial(format!(
            "in part only: the kernel has version {abi}, the rules need {}",
            WRITTEN_FOR as i32
        )),
        RulesetStatus::NotEnforced => Fence::Partial("the kernel enforces none of the rules".to_owned()),
    })
}
