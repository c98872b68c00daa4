//! Writing a new version beside the one that runs.
//!
//! The order is what makes a power cut harmless at every point: first the other slot's old entry goes from the boot partition, then the
//! slot is written and read back, then the kernel image under a name that the boot loader passes over, and last that name is changed.
//! Until then the boot loader knows only the version that runs; afterwards it knows both, and the new one is complete.

use ed25519_dalek::VerifyingKey;
use sha2::{Digest as _, Sha256};
use std::io::{self, Read, Seek, SeekFrom};

use crate::bundle::{BundleError, Digest, Extent, Manifest, Part, Reader, Step};
use crate::esp::Esp;
use crate::storage::Storage;
use crate::version::{BootEntry, Version};

/// What this build of the appliance runs on.
pub const PRODUCT: &str = if cfg!(target_arch = "x86_64") {
    "redan-x86_64"
} else if cfg!(target_arch = "aarch64") {
    "redan-aarch64"
} else {
    "redan-other"
};

const PORTION: usize = 256 << 10;

/// What runs, and whom it trusts.
#[derive(Clone, Debug)]
pub struct Running {
    /// The version that runs.
    pub version: Version,
    /// Its security version.
    pub security_version: u32,
    /// Whose bundles are taken.
    pub key: VerifyingKey,
}

/// Why a new version was not installed. What runs goes on in any case.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InstallError {
    /// The bundle.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// Another machine's.
    #[error("the bundle is for {0}, this machine runs {PRODUCT}")]
    Product(String),
    /// An older one, or the same.
    #[error("the bundle has version {offered}; {running} runs, and only a newer one can be installed")]
    Version {
        /// The bundle's.
        offered: Version,
        /// What runs.
        running: Version,
    },
    /// A downgrade of the security version.
    #[error("the bundle has security version {offered}, below {running}: it has holes that are known")]
    Security {
        /// The bundle's.
        offered: u32,
        /// What runs.
        running: u32,
    },
    /// What runs has not proved itself.
    #[error("version {0} runs on probation; install another one when it has proved itself")]
    Probation(Version),
    /// No room.
    #[error("the {part} needs {needed} bytes and there is room for {room}")]
    Room {
        /// Which.
        part: Part,
        /// What it needs.
        needed: u64,
        /// What there is.
        room: u64,
    },
    /// A disk that does not keep what is written to it.
    #[error("the slot reads back other than it was written: the disk is broken")]
    ReadBack,
    /// A disk.
    #[error("{what}: {source}")]
    Disk {
        /// What was tried.
        what: &'static str,
        /// What the disk said.
        source: io::Error,
    },
}

/// An installation under way.
#[derive(Debug)]
pub struct Installation {
    reader: Reader,
    running: Running,
    manifest: Option<Manifest>,
    slot_is_good: bool,
}

impl Installation {
    /// Begins one; nothing is written before a bundle's manifest was found good.
    #[must_use]
    pub fn begin(running: Running) -> Self {
        Self {
            reader: Reader::new(running.key),
            running,
            manifest: None,
            slot_is_good: false,
        }
    }

    /// What is being installed, once that is known.
    #[must_use]
    pub const fn manifest(&self) -> Option<&Manifest> {
        self.manifest.as_ref()
    }

    /// Takes a portion of the bundle.
    ///
    /// # Errors
    /// The installation is over.
    pub fn take(
        &mut self,
        mut bytes: &[u8],
        slot: &mut impl Storage,
        esp: &mut Esp<impl Storage>,
    ) -> Result<(), InstallError> {
        loop {
            match self.reader.take(&mut bytes)? {
                Step::Manifest(manifest) => {
                    self.admit(&manifest, slot, esp)?;
                    self.manifest = Some(manifest);
                }
                Step::Data {
                    part: Part::Slot,
                    offset,
                    bytes,
                } => {
                    slot.seek(SeekFrom::Start(offset)).map_err(disk("seek in the slot"))?;
                    slot.write_all(bytes).map_err(disk("write the slot"))?;
                }
                Step::Data {
                    part: Part::Kernel,
                    offset,
                    bytes,
                } => esp.append(offset, bytes).map_err(disk("write the kernel image"))?,
                Step::PartDone(Part::Slot) => {
                    slot.sync().map_err(disk("write the slot"))?;
                    slot.forget().map_err(disk("read the slot"))?;
                    let wanted = self.manifest.as_ref().map(|manifest| manifest.slot);
                    let found = wanted
                        .map(|wanted| digest(slot, wanted.size))
                        .transpose()
                        .map_err(disk("read the slot"))?;
                    if found.is_none() || found != wanted {
                        return Err(InstallError::ReadBack);
                    }
                    self.slot_is_good = true;
                }
                Step::PartDone(Part::Kernel) => {}
                Step::More | Step::End => return Ok(()),
            }
        }
    }

    /// The bundle has ended: the new version is tried at the next start.
    ///
    /// # Errors
    /// It was not complete, or the boot partition cannot be written.
    pub fn finish(self, esp: &mut Esp<impl Storage>) -> Result<Version, InstallError> {
        self.reader.finish()?;
        let Some(manifest) = self.manifest.filter(|_| self.slot_is_good) else {
            return Err(BundleError::Short("slot").into());
        };
        esp.publish(manifest.version, manifest.kernel)
            .map_err(disk("publish the kernel image"))?;
        Ok(manifest.version)
    }

    /// Whether this is wanted and fits; makes room for it.
    fn admit(
        &self,
        manifest: &Manifest,
        slot: &mut impl Storage,
        esp: &mut Esp<impl Storage>,
    ) -> Result<(), InstallError> {
        let Running {
            version,
            security_version,
            ..
        } = self.running;
        if manifest.product != PRODUCT {
            return Err(InstallError::Product(manifest.product.clone()));
        }
        if manifest.security_version < security_version {
            return Err(InstallError::Security {
                offered: manifest.security_version,
                running: security_version,
            });
        }
        if manifest.version <= version {
            return Err(InstallError::Version {
                offered: manifest.version,
                running: version,
            });
        }
        // The version to fall back to must be one that the boot loader starts without counting.
        let entries = esp.entries().map_err(disk("read the boot partition"))?;
        if !entries.contains(&BootEntry::permanent(version)) {
            return Err(InstallError::Probation(version));
        }
        let room = slot.size().map_err(disk("measure the slot"))?;
        if manifest.slot.size > room {
            return Err(InstallError::Room {
                part: Part::Slot,
                needed: manifest.slot.size,
                room,
            });
        }
        // From here on the other slot is not what its entry says.
        esp.keep_only(version).map_err(disk("clear the boot partition"))?;
        let room = esp.room().map_err(disk("measure the boot partition"))?;
        if manifest.kernel.size > room {
            return Err(InstallError::Room {
                part: Part::Kernel,
                needed: manifest.kernel.size,
                room,
            });
        }
        Ok(())
    }
}

fn digest(storage: &mut (impl Read + Seek), size: u64) -> io::Result<Extent> {
    storage.rewind()?;
    let mut hash = Sha256::new();
    let mut left = size;
    let mut buffer = vec![0; PORTION];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PORTION).min(PORTION);
        let portion = buffer.get_mut(..most).unwrap_or_default();
        storage.read_exact(portion)?;
        hash.update(&*portion);
        left = left.saturating_sub(u64::try_from(most).unwrap_or(u64::MAX));
    }
    Ok(Extent {
        size,
        digest: Digest(hash.finalize().into()),
    })
}

fn disk(what: &'static str) -> impl Fn(io::Error) -> InstallError {
    move |source| InstallError::Disk { what, source }
}
