//! A USB stick with a configuration: a FAT volume with the label `REDAN`, read and written without a mount.
//!
//! | file | what |
//! |---|---|
//! | `redan-<serial>.toml`, else `redan.toml` | the document |
//! | the same with `.sig` or `.minisig` behind it | its signature, made with minisign |
//! | `redan-<version>.update` | a new version of the image |
//! | `redan-report-<serial>.txt` | written by the appliance: what became of it |
//!
//! Everything on a stick is foreign. What is read is bounded, in bytes and in steps, so that a volume that leads in circles ends in an
//! error; the crate that knows FAT runs in this process, which has nothing that a stick could want.

use fatfs::{FileSystem, FsOptions};
use minisign_verify::{PublicKey, Signature};
use std::io::{self, Read, Seek, SeekFrom, Write};

/// The volume's label.
const LABEL: &str = "REDAN";
/// Bytes that may be read for one look at a stick, whatever its structures say: a configuration, its signature, and folders.
const BUDGET: u64 = 16 << 20;
/// Files of a folder that are looked at.
const MOST: usize = 512;
/// The largest signature.
const SIGNATURE: usize = 4 << 10;
/// The longest report.
const REPORT: usize = 64 << 10;

/// Why there is nothing to apply.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StickError {
    /// No FAT volume, or another one.
    #[error("this is no stick for the appliance: {0}")]
    NotOurs(String),
    /// It cannot be read.
    #[error("the stick cannot be read: {0}")]
    Io(#[from] io::Error),
    /// Neither document is there.
    #[error("the stick has neither {0} nor redan.toml")]
    NoDocument(String),
    /// Larger than a document may be.
    #[error("{0} is larger than {1} bytes")]
    TooLarge(String, usize),
    /// Not text.
    #[error("{0} is not UTF-8 text")]
    NotText(String),
    /// The signature is there and not good.
    #[error("the signature of {file} is not good: {why}")]
    Signature {
        /// Of which file.
        file: String,
        /// Why not.
        why: String,
    },
}

/// What a stick offers.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Offer {
    /// The file.
    pub file: String,
    /// The document.
    pub document: String,
    /// Whether an operator's key signed it.
    pub signed: bool,
}

/// A stick.
#[derive(Debug)]
pub struct Stick<D> {
    device: Bounded<D>,
}

type Volume<'a, D> = FileSystem<&'a mut Bounded<D>>;

impl<D: Read + Write + Seek> Stick<D> {
    /// On this device.
    pub const fn new(device: D) -> Self {
        Self {
            device: Bounded { device, left: BUDGET },
        }
    }

    /// What the stick offers to the appliance with this serial number, checked with these keys.
    ///
    /// # Errors
    /// Nothing can be taken from it, and why.
    pub fn offer(&mut self, serial: &str, keys: &[String]) -> Result<Offer, StickError> {
        let volume = self.open()?;
        let own = format!("redan-{serial}.toml");
        let names = names(&volume)?;
        let find = |wanted: &str| names.iter().find(|name| name.eq_ignore_ascii_case(wanted)).cloned();
        let file = (!serial.is_empty())
            .then(|| find(&own))
            .flatten()
            .or_else(|| find("redan.toml"))
            .ok_or_else(|| StickError::NoDocument(own.clone()))?;
        let document = read(&volume, &file, redan_config::LARGEST)?;
        let signature = [".sig", ".minisig"]
            .iter()
            .find_map(|ending| find(&format!("{file}{ending}")));
        let signed = match signature {
            None => false,
            Some(name) => {
                let signature = read(&volume, &name, SIGNATURE)?;
                check(&document, &signature, keys).map_err(|why| StickError::Signature {
                    file: file.clone(),
                    why,
                })?;
                true
            }
        };
        Ok(Offer { file, document, signed })
    }

    /// The bundle with a new version of the image, if there is one.
    ///
    /// # Errors
    /// The stick cannot be read.
    pub fn bundle(&mut self) -> Result<Option<String>, StickError> {
        let volume = self.open()?;
        let is_bundle = |name: &String| {
            let name = name.to_ascii_lowercase();
            name.starts_with("redan-") && name.ends_with(".update")
        };
        Ok(names(&volume)?.into_iter().find(is_bundle))
    }

    /// Reads a bundle to its end in portions.
    ///
    /// # Errors
    /// The stick cannot be read, or `take` says why it goes no further.
    pub fn read_bundle(
        &mut self,
        name: &str,
        portion: usize,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), String> {
        let failed = |error: io::Error| format!("the stick cannot be read: {error}");
        let volume = self.open().map_err(|error| error.to_string())?;
        let folder = volume.root_dir();
        let mut file = folder.open_file(name).map_err(failed)?;
        let size = file.seek(SeekFrom::End(0)).map_err(failed)?;
        file.seek(SeekFrom::Start(0)).map_err(failed)?;
        drop(file);
        drop(folder);
        drop(volume);
        // A bundle is as large as it says, and as much may be read for it.
        self.device.left = size.saturating_mul(2).saturating_add(BUDGET);
        let volume = self.open_with_budget().map_err(|error| error.to_string())?;
        let folder = volume.root_dir();
        let mut file = folder.open_file(name).map_err(failed)?;
        let mut buffer = vec![0; portion];
        loop {
            let length = file.read(&mut buffer).map_err(failed)?;
            if length == 0 {
                return Ok(());
            }
            take(buffer.get(..length).unwrap_or_default())?;
        }
    }

    /// Leaves a report, in place of an earlier one.
    ///
    /// # Errors
    /// The stick cannot be written.
    pub fn report(&mut self, serial: &str, text: &str) -> Result<(), StickError> {
        let volume = self.open()?;
        let text: String = text.replace('\n', "\r\n").chars().take(REPORT).collect();
        let mut file = volume.root_dir().create_file(&format!("redan-report-{serial}.txt"))?;
        file.truncate()?;
        file.write_all(text.as_bytes())?;
        file.flush()?;
        drop(file);
        Ok(volume.unmount()?)
    }

    /// The device, to be made durable or given back.
    pub const fn device(&self) -> &D {
        &self.device.device
    }

    fn open(&mut self) -> Result<Volume<'_, D>, StickError> {
        self.device.left = BUDGET;
        self.open_with_budget()
    }

    fn open_with_budget(&mut self) -> Result<Volume<'_, D>, StickError> {
        self.device.rewind()?;
        let not_ours = |error: io::Error| StickError::NotOurs(error.to_string());
        let volume = FileSystem::new(&mut self.device, FsOptions::new()).map_err(not_ours)?;
        let label = volume.read_volume_label_from_root_dir().map_err(not_ours)?;
        let label = label.unwrap_or_else(|| volume.volume_label());
        if label.trim() != LABEL {
            return Err(StickError::NotOurs("its label is not REDAN".to_owned()));
        }
        Ok(volume)
    }
}

/// Whether one of the keys made this signature over the document.
fn check(document: &str, signature: &str, keys: &[String]) -> Result<(), String> {
    let signature = Signature::decode(signature).map_err(|error| format!("it is none of minisign's ({error})"))?;
    if keys.is_empty() {
        return Err("the configuration names no operator's key (system.operator-keys)".to_owned());
    }
    let good = keys
        .iter()
        .filter_map(|key| PublicKey::from_base64(key).ok())
        .any(|key| {
            // Both of minisign's forms are signatures over the whole content.
            key.verify(document.as_bytes(), &signature, true).is_ok()
        });
    if good {
        Ok(())
    } else {
        Err("no operator's key of the configuration made it".to_owned())
    }
}

fn names<D: Read + Write + Seek>(volume: &Volume<'_, D>) -> Result<Vec<String>, StickError> {
    let mut names = Vec::new();
    for entry in volume.root_dir().iter().take(MOST) {
        let entry = entry?;
        if entry.is_file() {
            names.push(entry.file_name());
        }
    }
    Ok(names)
}

fn read<D: Read + Write + Seek>(volume: &Volume<'_, D>, name: &str, limit: usize) -> Result<String, StickError> {
    let file = volume.root_dir().open_file(name)?;
    let mut bytes = Vec::new();
    file.take(u64::try_from(limit).unwrap_or(u64::MAX).saturating_add(1))
        .read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        return Err(StickError::TooLarge(name.to_owned(), limit));
    }
    String::from_utf8(bytes).map_err(|_| StickError::NotText(name.to_owned()))
}

/// A device of which only so much can be read.
#[derive(Debug)]
struct Bounded<D> {
    device: D,
    left: u64,
}

impl<D: Read> Read for Bounded<D> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        // A step that reads nothing counts too.
        let length = self.device.read(buffer)?;
        let used = u64::try_from(length).unwrap_or(u64::MAX).max(1);
        self.left = self
            .left
            .checked_sub(used)
            .ok_or_else(|| io::Error::other("its structures lead in circles, or it holds too much"))?;
        Ok(length)
    }
}

impl<D: Write> Write for Bounded<D> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.device.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.device.flush()
    }
}

impl<D: Seek> Seek for Bounded<D> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.device.seek(to)
    }
}
