//! The encrypted data partition.
//!
//! * `header`: what stands before the encrypted part; * `keys`: how the volume key is kept;
//! * `recovery`: the key for when the TPM does not open it; * [`filesystem`]: what is inside.

pub mod filesystem;
mod header;
mod keys;
mod recovery;

pub use keys::{Image, KeysError, Tpm};
pub use recovery::{RecoveryError, RecoveryKey};

use crate::disks::Found;
use crate::mapper::map_data;
use crate::{Context, Failure};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use header::{AREA, Area, Header};
use redan_types::SecretBytes;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;

/// What a partition holds.
#[derive(Debug)]
pub enum Held {
    /// Nothing: to be set up.
    Nothing(Empty),
    /// A data partition that is closed.
    Closed(Box<Closed>),
    /// Neither: somebody else's, or damaged. It is left as it is.
    Unknown,
}

/// A partition without data.
#[derive(Debug)]
pub struct Empty {
    partition: Found,
    device: File,
}

/// A closed data partition.
#[derive(Debug)]
pub struct Closed {
    partition: Found,
    device: File,
    header: header::Found,
}

/// A data partition whose volume key is known and whose header is the one that was written.
#[derive(Debug)]
pub struct Open {
    partition: Found,
    device: File,
    header: Header,
    volume: SecretBytes,
}

/// Looks at a partition.
///
/// # Errors
/// It cannot be read.
pub fn look(partition: Found) -> Result<Held, Failure> {
    let reading = || format!("cannot read {}", partition.device.display());
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&partition.device)
        .context(reading)?;
    Ok(match header::read(&device).context(reading)? {
        Area::Empty => Held::Nothing(Empty { partition, device }),
        Area::Header(header) => Held::Closed(Box::new(Closed {
            partition,
            device,
            header: *header,
        })),
        Area::Damaged => Held::Unknown,
    })
}

/// Destroys the keys of a data partition: whatever it holds cannot be read any more, with any key.
///
/// # Errors
/// It cannot be written.
pub fn destroy(partition: &Found) -> Result<(), Failure> {
    let writing = || format!("cannot overwrite the header in {}", partition.device.display());
    let device = OpenOptions::new()
        .write(true)
        .open(&partition.device)
        .context(writing)?;
    let mut noise = vec![0; 64 << 10];
    SystemRandom::new()
        .fill(&mut noise)
        .context(|| "no random numbers can be had".to_owned())?;
    header::destroy(&device, &noise).context(writing)
}

impl Empty {
    /// Makes the keys. Nothing is written before [`Open::write`].
    ///
    /// # Errors
    /// The TPM does not seal.
    pub fn set_up(self, tpm: Option<&Tpm>, image: &Image) -> Result<(Open, RecoveryKey, Option<SecretBytes>), Failure> {
        let failed = || "cannot make the keys of the data partition".to_owned();
        let recovery = RecoveryKey::generate().context(failed)?;
        let volume = keys::generate().context(failed)?;
        let mut id = [0; 16];
        SystemRandom::new().fill(&mut id).context(failed)?;
        let (sealed, approver) = match tpm {
            Some(tpm) => keys::seal(tpm, image, &id, &volume).map(|(sealed, key)| (Some(sealed), Some(key))),
            None => Ok((None, None)),
        }
        .context(failed)?;
        let header = Header {
            id,
            sequence: 0,
            sealed,
            recovery: keys::wrap_for(&recovery, &id, &volume).context(failed)?,
        };
        let open = Open {
            partition: self.partition,
            device: self.device,
            header,
            volume,
        };
        Ok((open, recovery, approver))
    }
}

impl Closed {
    /// Opens it with what the TPM releases.
    ///
    /// # Errors
    /// Says what changed.
    pub fn by_tpm(self, tpm: &Tpm, image: &Image) -> Result<Open, KeysError> {
        let volume = keys::unseal(tpm, image, &self.header.header)?;
        self.open(volume)
    }

    /// Opens it with the recovery key.
    ///
    /// # Errors
    /// [`KeysError::Recovery`] where it is another one.
    pub fn by_recovery(self, key: &RecoveryKey) -> Result<Open, KeysError> {
        let volume = keys::unwrap_for(key, &self.header.header)?;
        self.open(volume)
    }

    fn open(self, volume: SecretBytes) -> Result<Open, KeysError> {
        self.header.check(&volume)?;
        Ok(Open {
            partition: self.partition,
            device: self.device,
            header: self.header.header,
            volume,
        })
    }
}

impl Open {
    /// Maps the encrypted part; the device to be mounted.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn map(&self) -> Result<PathBuf, Failure> {
        map_data(&self.partition, AREA, &self.volume)
    }

    /// Seals it anew for this machine, this image and the firmware's present state. The caller keeps the returned key, with which this
    /// machine approves states of the firmware, on the encrypted file system.
    ///
    /// # Errors
    /// The TPM does not seal, or the header cannot be written.
    pub fn seal(&mut self, tpm: &Tpm, image: &Image) -> Result<SecretBytes, Failure> {
        let sealing = || "cannot seal the data partition's key".to_owned();
        let (sealed, approver) = keys::seal(tpm, image, &self.header.id, &self.volume).context(sealing)?;
        self.header.sealed = Some(sealed);
        self.write()?;
        Ok(approver)
    }

    /// Approves a state of the firmware that is to come.
    ///
    /// # Errors
    /// It is not sealed, or the header cannot be written.
    pub fn approve(&mut self, approver: &SecretBytes, pcr: [u8; 32]) -> Result<(), Failure> {
        let sealed = self
            .header
            .sealed
            .as_mut()
            .ok_or_else(|| Failure::new("the data partition is not sealed to a TPM"))?;
        keys::add_state(sealed, &self.header.id, approver, pcr).context(|| "cannot approve the state".to_owned())?;
        self.write()
    }

    /// The security version under which it is sealed.
    #[must_use]
    pub fn security(&self) -> Option<u32> {
        self.header.sealed.as_ref().map(|sealed| sealed.security)
    }

    /// Writes the header; durable when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&mut self) -> Result<(), Failure> {
        let device = &self.partition.device;
        header::write(&self.device, &mut self.header, &self.volume)
            .context(|| format!("cannot write the header in {}", device.display()))
    }
}
