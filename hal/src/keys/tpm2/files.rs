//! What the driver keeps on disk: the device's pinned name, and keys encrypted by the device.
//!
//! Nothing here is secret, and nothing is believed: the TPM checks each key it loads, and the storage root key must be the pinned one.

use crate::keys::software::file::{replace, sync_folder};
use crate::keys::{KeyError, PublicKey};
use redan_types::{Algorithm, KeyId};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use super::shapes;
use crate::keys::policy::sha256;

/// What is known of the device.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct Known {
    /// The storage root key's name.
    pub(super) root: Vec<u8>,
    /// Whether the counter was made in it.
    pub(super) counter: bool,
}

/// A key's file.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(super) struct KeyFile {
    pub(super) algorithm: Algorithm,
    pub(super) public: Vec<u8>,
    pub(super) private: Vec<u8>,
}

impl KeyFile {
    /// The identifier: the public half's; for AES the first half of the object's name, which the device made of the key.
    pub(super) fn id(&self) -> Option<KeyId> {
        if self.algorithm == Algorithm::Aes256 {
            let name = shapes::name(&self.public);
            let (_, hash) = name.split_first_chunk::<2>()?;
            hash.first_chunk::<16>().map(|id| KeyId(*id))
        } else {
            self.public_key().map(|key| key.id())
        }
    }

    pub(super) fn public_key(&self) -> Option<PublicKey> {
        shapes::public_key(self.algorithm, &self.public)
    }
}

/// The driver's folder.
#[derive(Debug)]
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new(path: &Path) -> Self {
        Self(path.to_owned())
    }

    pub(super) fn known(&self) -> Result<Option<Known>, KeyError> {
        read(&self.0.join(DEVICE))
    }

    pub(super) fn know(&self, known: &Known) -> Result<(), KeyError> {
        write(&self.0.join(DEVICE), known)
    }

    pub(super) fn keys(&self) -> Result<BTreeMap<KeyId, KeyFile>, KeyError> {
        let mut keys = BTreeMap::new();
        let entries = match std::fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) => return Err(KeyError::file("list", &self.0)(error)),
        };
        for entry in entries {
            let path = entry.map_err(KeyError::file("list", &self.0))?.path();
            let id = path
                .extension()
                .filter(|extension| *extension == KEY)
                .and_then(|_| path.file_stem()?.to_str())
                .and_then(KeyId::parse);
            let Some(id) = id else { continue };
            let file: KeyFile = read(&path)?.ok_or_else(|| KeyError::Corrupt {
                path: path.clone(),
                what: "it vanished while it was read",
            })?;
            if file.id() != Some(id) {
                return Err(KeyError::Corrupt {
                    path,
                    what: "it holds another key than its name says",
                });
            }
            if keys.len() >= MOST {
                return Err(KeyError::Full {
                    device: format!("{}", self.0.display()),
                });
            }
            keys.insert(id, file);
        }
        Ok(keys)
    }

    pub(super) fn keep(&self, id: KeyId, key: &KeyFile) -> Result<(), KeyError> {
        write(&self.key_path(id), key)
    }

    pub(super) fn forget(&self, id: KeyId) -> Result<(), KeyError> {
        let path = self.key_path(id);
        match std::fs::remove_file(&path) {
            Ok(()) => sync_folder(&path),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(error) => Err(KeyError::file("remove", &path)(error)),
        }
    }

    fn key_path(&self, id: KeyId) -> PathBuf {
        self.0.join(format!("{id}.{KEY}"))
    }
}

/// A file: magic, format (little-endian `u16`), postcard, SHA-256 of all that precedes.
fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, KeyError> {
    let corrupt = |what| KeyError::Corrupt {
        path: path.to_owned(),
        what,
    };
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file
            .take(LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(KeyError::file("read", path))?,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(KeyError::file("open", path)(error)),
    };
    let (content, checksum) = bytes
        .split_last_chunk::<32>()
        .ok_or_else(|| corrupt("it is too short"))?;
    let body = content
        .strip_prefix(MAGIC)
        .ok_or_else(|| corrupt("it is not a file of the TPM driver"))?;
    let (format, body) = body.split_first_chunk().ok_or_else(|| corrupt("it is too short"))?;
    if sha256(&[content]) != *checksum {
        return Err(corrupt("its checksum does not match"));
    }
    let found = u16::from_le_bytes(*format);
    if found != FORMAT {
        return Err(KeyError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    postcard::from_bytes(body)
        .map(Some)
        .map_err(|_| corrupt("its content does not parse"))
}

fn write<T: Serialize>(path: &Path, value: &T) -> Result<(), KeyError> {
    let body = postcard::to_stdvec(value).map_err(|_| KeyError::Library("encode a file"))?;
    let mut bytes = [MAGIC, &FORMAT.to_le_bytes(), &body].concat();
    let checksum = sha256(&[&bytes]);
    bytes.extend_from_slice(&checksum);
    replace(&path.with_extension("new"), path, &bytes)
}

const MAGIC: &[u8] = b"redan tpm2 driver\n";
const FORMAT: u16 = 1;
const DEVICE: &str = "tpm2.device";
const KEY: &str = "tpm2-key";
/// The largest key is some 1.5 KiB.
const LIMIT: u64 = 16 << 10;
/// Far above what an appliance has.
const MOST: usize = 10_000;
