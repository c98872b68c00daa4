//! The device's file: magic, format (little-endian `u16`), body in postcard, SHA-256 of all that precedes.

use crate::keys::KeyError;
use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use redan_types::{Algorithm, SecretBytes};
use serde::{Deserialize, Serialize};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

/// What the file holds.
#[derive(Clone, Deserialize, Serialize)]
pub(super) struct Kept {
    pub(super) id: [u8; 16],
    pub(super) master: SecretBytes,
    pub(super) counter: u64,
    pub(super) keys: Vec<StoredKey>,
}

#[derive(Clone, Deserialize, Serialize)]
pub(super) struct StoredKey {
    pub(super) algorithm: Algorithm,
    pub(super) key: SecretBytes,
}

/// What the file at `path` holds; `None` where there is none.
pub(super) fn read(path: &Path) -> Result<Option<Kept>, KeyError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyError::file("open", path)(error)),
    };
    let mode = file
        .metadata()
        .map_err(KeyError::file("examine", path))?
        .permissions()
        .mode()
        & 0o777;
    if mode & 0o077 != 0 {
        return Err(KeyError::Exposed {
            path: path.to_owned(),
            mode,
        });
    }
    let mut bytes = Vec::new();
    file.take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(KeyError::file("read", path))?;
    let bytes = SecretBytes::new(bytes);
    parse(path, bytes.expose()).map(Some)
}

fn parse(path: &Path, bytes: &[u8]) -> Result<Kept, KeyError> {
    let corrupt = |what| KeyError::Corrupt {
        path: path.to_owned(),
        what,
    };
    let (content, checksum) = bytes
        .len()
        .checked_sub(SHA256_OUTPUT_LEN)
        .and_then(|length| bytes.split_at_checked(length))
        .ok_or_else(|| corrupt("it is too short"))?;
    let body = content
        .strip_prefix(MAGIC)
        .ok_or_else(|| corrupt("it is not a device file"))?;
    let (format, body) = body.split_first_chunk().ok_or_else(|| corrupt("it is too short"))?;
    let found = u16::from_le_bytes(*format);
    if digest::digest(&SHA256, content).as_ref() != checksum {
        return Err(corrupt("its checksum does not match"));
    }
    if !(FIRST..=NEWEST).contains(&found) {
        return Err(KeyError::Newer {
            path: path.to_owned(),
            found,
            known: NEWEST,
        });
    }
    let kept: Kept = postcard::from_bytes(body).map_err(|_| corrupt("its content does not parse"))?;
    if kept.master.expose().len() == MASTER_LENGTH {
        Ok(kept)
    } else {
        Err(corrupt("its master secret has a wrong length"))
    }
}

/// Replaces the file.
pub(super) fn write(path: &Path, kept: &Kept) -> Result<(), KeyError> {
    // A file that holds nothing new stays readable for the version before, which an update may have to go back to.
    let old = |key: &StoredKey| matches!(key.algorithm, Algorithm::EcdsaP256 | Algorithm::Ed25519);
    let format = if kept.keys.iter().all(old) { FIRST } else { NEWEST };
    // With room for all from the start no half of it is left behind where the buffer grew.
    let room = MAGIC.len() + 256 + kept.keys.iter().map(|key| key.key.expose().len() + 16).sum::<usize>();
    let mut bytes = Vec::with_capacity(room);
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&format.to_le_bytes());
    let mut bytes = postcard::to_extend(kept, bytes).map_err(|_| KeyError::Library("encode the device file"))?;
    let checksum = digest::digest(&SHA256, &bytes);
    bytes.extend_from_slice(checksum.as_ref());
    let bytes = SecretBytes::new(bytes);
    let fresh = path.with_extension("key.new");
    replace(&fresh, path, bytes.expose())
}

/// Makes the file `path` hold `bytes`, whole or not at all, by way of `fresh` beside it; durable when this returns.
pub(in crate::keys) fn replace(fresh: &Path, path: &Path, bytes: &[u8]) -> Result<(), KeyError> {
    // The rename makes the change whole or absent; both the file and the name must be on disk before anybody builds on it.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(fresh)
        .map_err(KeyError::file("create", fresh))?;
    file.write_all(bytes).map_err(KeyError::file("write", fresh))?;
    file.sync_all().map_err(KeyError::file("sync", fresh))?;
    std::fs::rename(fresh, path).map_err(KeyError::file("replace", path))?;
    sync_folder(path)
}

/// Makes what happened to the name `path` durable.
pub(in crate::keys) fn sync_folder(path: &Path) -> Result<(), KeyError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(KeyError::file("sync the folder of", path))
}

pub(super) const MAGIC: &[u8] = b"redan software key device\n";
/// P-256 and Ed25519 keys.
pub(super) const FIRST: u16 = 1;
/// Keys of any algorithm.
pub(super) const NEWEST: u16 = 2;
pub(super) const MASTER_LENGTH: usize = 32;
/// Some thousand keys: far above what an appliance has, and far below what would hurt.
const LIMIT: u64 = 4 << 20;
