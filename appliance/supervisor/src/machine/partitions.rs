//! What the update service gets: the slot that does not run, the boot partition, and whom it may trust.

use rustix::fs::{Mode, OFlags, open};
use std::fs;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use super::boot::Boot;
use crate::state::built_in;

/// The key that bundles are signed with: 32 bytes, on the verified root.
const KEY: &str = "/usr/share/redan/update.key";

/// Descriptors for the update service.
#[derive(Debug)]
pub(crate) struct Partitions {
    pub(crate) other_slot: Rc<OwnedFd>,
    pub(crate) boot: Rc<OwnedFd>,
    pub(crate) trust: Rc<OwnedFd>,
}

impl Partitions {
    /// Opens them, or says why new versions cannot be installed on this machine.
    pub(super) fn open(facts: &Boot) -> Result<Self, String> {
        let device = |path: &Option<String>, what: &str| {
            let path = path.as_deref().filter(|path| path.starts_with("/dev/"));
            let path = path.ok_or_else(|| format!("there is no {what}: new versions cannot be installed"))?;
            let opened = open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
            opened
                .map(Rc::new)
                .map_err(|errno| format!("the {what} cannot be opened: {errno}"))
        };
        let key = fs::read(KEY).map_err(|error| format!("the key for new versions cannot be read: {error}"))?;
        let key: String = key.iter().take(64).map(|byte| format!("{byte:02x}")).collect();
        let trust = format!(
            "key={key}\nversion={}\nsecurity-version={}\n",
            facts.version, facts.security_version
        );
        Ok(Self {
            other_slot: device(&facts.other_slot, "second slot")?,
            boot: device(&facts.esp, "boot partition")?,
            trust: Rc::new(built_in(&trust).map_err(|error| error.to_string())?),
        })
    }
}
