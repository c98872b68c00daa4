//! The first program of a start, and what it shares with `redan-data`.
//!
//! `redan-init` is `/init` of the initramfs, measured and signed with the kernel. It loads the modules that this machine needs, lets
//! the kernel check and map the root file system that its command line names, opens the data partition with the key that the TPM
//! releases, activates the execution policy, and becomes the supervisor. `redan-data` lies on the root file system and does for the
//! supervisor, later, what needs the same knowledge: open the data partition with the recovery key, seal it anew, destroy it.
//!
//! * [`modules`]: which kernel modules to load; * [`disks`]: which partitions are ours;
//! * [`mapper`]: dm-verity and dm-crypt; * [`data`]: the data partition's header, keys and file system;
//! * [`stages`]: the order of it all; * `system`: the system calls that have no safe form elsewhere, the only unsafe code.

pub mod data;
pub mod disks;
pub mod mapper;
pub mod modules;
pub mod stages;
mod system;

/// What went wrong, with what.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct Failure {
    /// What was attempted, on what.
    pub what: String,
    /// Why it failed.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// A failure without a deeper cause.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            source: None,
        }
    }

    /// The failure and everything behind it on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.what.clone();
        let mut next = self.source.as_deref().map(|source| source as &dyn std::error::Error);
        while let Some(source) = next {
            text.push_str(": ");
            text.push_str(&source.to_string());
            next = source.source();
        }
        text
    }
}

/// Says what was being done when something failed.
pub trait Context<T> {
    /// Adds what was being done.
    ///
    /// # Errors
    /// Where there was an error.
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T, E: Into<Box<dyn std::error::Error + Send + Sync>>> Context<T> for Result<T, E> {
    fn context(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|source| Failure {
            what: what(),
            source: Some(source.into()),
        })
    }
}
