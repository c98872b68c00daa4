//! The envelope: record keys ← tree keys ← store key ← key device.
//!
//! The file `keyring` holds the store key sealed by the device, and for each tree its encryption keys (by version) and its naming
//! key, each sealed under the store key. A record's own key is derived from its tree's key and its nonce, which is what XAES does.
//! A record names the version of its key, so that a tree's key can be rotated while old records are still readable.

use super::error::StoreError;
use super::folder;
use super::sealing::Sealing;
use super::tree::{Name, RecordKey, Tree};
use super::xaes::{KEY_LENGTH, NONCE_LENGTH, TAG_LENGTH, Xaes};
use hmac::{Hmac, KeyInit, Mac};
use redan_hal::keys::DeviceIdentity;
use redan_types::SecretBytes;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// The keys of an open store.
pub(crate) struct Keyring {
    store_id: [u8; 16],
    trees: BTreeMap<Tree, TreeKeys>,
}

struct TreeKeys {
    naming: SecretBytes,
    /// By version; new records use the highest.
    encryption: BTreeMap<u32, Xaes>,
}

impl Keyring {
    /// The keyring's file within the store's folder.
    pub(crate) fn path(folder: &Path) -> PathBuf {
        folder.join("keyring")
    }

    /// Opens the keyring; `None` where there is none. Trees that a newer version of Redan brought get their keys.
    pub(crate) fn open(folder: &Path, sealing: &dyn Sealing, writable: bool) -> Result<Option<Self>, StoreError> {
        let path = Self::path(folder);
        let Some(bytes) = folder::read(&path, FILE_LIMIT)? else {
            return Ok(None);
        };
        let mut file = KeyringFile::parse(&path, &bytes)?;
        let secret = sealing.unseal(file.device, &file.store_context(), &file.store_key)?;
        let store_key =
            xaes(&secret).ok_or_else(|| StoreError::damaged(&path, 0, "the store key has a wrong length"))?;
        if writable && sealing.is_outdated(&file.store_key) {
            file.device = sealing.identity();
            file.store_key = sealing.seal(&file.store_context(), &secret)?;
            folder::replace(&path, &file.encode()?)?;
        }
        let missing: Vec<_> = Tree::ALL
            .into_iter()
            .filter(|tree| !file.trees.iter().any(|stored| stored.tree == tree.id()))
            .collect();
        if writable && !missing.is_empty() {
            for tree in missing {
                file.add(tree, &store_key, sealing)?;
            }
            folder::replace(&path, &file.encode()?)?;
        }
        file.unlock(&path, &store_key).map(Some)
    }

    /// Makes the keyring of a new store, and the content of its file.
    pub(crate) fn create(folder: &Path, sealing: &dyn Sealing) -> Result<(Self, Vec<u8>), StoreError> {
        let mut store_id = [0; 16];
        sealing.random(&mut store_id)?;
        let store_key = random_key(sealing)?;
        let mut file = KeyringFile {
            store_id,
            device: sealing.identity(),
            store_key_version: 1,
            store_key: Vec::new(),
            trees: Vec::new(),
        };
        file.store_key = sealing.seal(&file.store_context(), &store_key)?;
        let store_key = xaes(&store_key).ok_or(StoreError::Library("make the store key"))?;
        for tree in Tree::ALL {
            file.add(tree, &store_key, sealing)?;
        }
        Ok((file.unlock(&Self::path(folder), &store_key)?, file.encode()?))
    }

    /// Which store this is, at random.
    pub(crate) const fn store_id(&self) -> &[u8; 16] {
        &self.store_id
    }

    /// Where the record of this name lies.
    pub(crate) fn locate(&self, tree: Tree, name: Name<'_>) -> Result<RecordKey, StoreError> {
        match name {
            Name::Number(number) => Ok(RecordKey::new(tree, &number.to_be_bytes())),
            Name::Secret(name) => {
                let mut mac = Hmac::<Sha256>::new_from_slice(self.keys(tree)?.naming.expose())
                    .map_err(|_| StoreError::Library("prepare a naming key"))?;
                mac.update(name);
                Ok(RecordKey::new(tree, &mac.finalize().into_bytes()))
            }
        }
    }

    /// Encrypts a record: the name stands inside, so that lists can be made by reading a tree.
    pub(crate) fn seal(
        &self,
        tree: Tree,
        key: &RecordKey,
        name: Name<'_>,
        value: &[u8],
    ) -> Result<Vec<u8>, StoreError> {
        let (version, cipher) = self
            .keys(tree)?
            .encryption
            .last_key_value()
            .ok_or(StoreError::Library("find a tree's key"))?;
        let name = match name {
            Name::Secret(name) => name,
            Name::Number(_) => &[],
        };
        let name_length = u16::try_from(name.len()).map_err(|_| StoreError::Library("name a record"))?;
        let mut nonce = [0; NONCE_LENGTH];
        getrandom::fill(&mut nonce).map_err(|_| StoreError::Library("get random bytes"))?;
        let mut sealed = Vec::with_capacity(HEAD + 2 + name.len() + value.len() + TAG_LENGTH);
        sealed.push(RECORD_FORMAT);
        sealed.extend_from_slice(&version.to_be_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(&name_length.to_be_bytes());
        sealed.extend_from_slice(name);
        sealed.extend_from_slice(value);
        let (head, body) = sealed.split_at_mut(HEAD);
        let tag = cipher
            .seal(&nonce, &associated(key, head), body)
            .ok_or(StoreError::Library("encrypt a record"))?;
        sealed.extend_from_slice(&tag);
        Ok(sealed)
    }

    /// Decrypts a record into its name (empty for numbered ones) and value.
    pub(crate) fn open_record(&self, key: &RecordKey, sealed: &[u8]) -> Result<Opened, StoreError> {
        let Some(tree) = key.tree() else {
            return Err(StoreError::Library("find a record's tree"));
        };
        let keys = self.keys(tree)?;
        let parts = || -> Option<Opened> {
            let (content, tag) = sealed.split_last_chunk::<TAG_LENGTH>()?;
            let (head, body) = content.split_at_checked(HEAD)?;
            let (format, rest) = head.split_first()?;
            let (version, nonce) = rest.split_first_chunk()?;
            if *format != RECORD_FORMAT {
                return None;
            }
            let cipher = keys.encryption.get(&u32::from_be_bytes(*version))?;
            let mut plain = Zeroizing::new(body.to_vec());
            cipher.open(nonce.try_into().ok()?, &associated(key, head), &mut plain, tag)?;
            let (length, rest) = plain.split_first_chunk()?;
            let (name, value) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
            Some(Opened {
                name: name.to_vec(),
                value: Zeroizing::new(value.to_vec()),
            })
        };
        parts().ok_or_else(|| StoreError::Corrupt { tree, key: key.clone() })
    }

    fn keys(&self, tree: Tree) -> Result<&TreeKeys, StoreError> {
        self.trees
            .get(&tree)
            .ok_or(StoreError::Library("find a tree's keys in a store opened read-only"))
    }
}

impl std::fmt::Debug for Keyring {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keyring")
            .field("store_id", &self.store_id)
            .finish_non_exhaustive()
    }
}

/// A record in the clear, wiped when dropped.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) name: Vec<u8>,
    pub(crate) value: Zeroizing<Vec<u8>>,
}

/// What is authenticated beside a record: its place (tree and keyed name) and its head (format and key version).
fn associated(key: &RecordKey, head: &[u8]) -> Vec<u8> {
    let head = head.get(..HEAD - NONCE_LENGTH).unwrap_or(head);
    [b"redan record\0", head, key.bytes()].concat()
}

#[derive(Deserialize, Serialize)]
struct KeyringFile {
    store_id: [u8; 16],
    device: DeviceIdentity,
    store_key_version: u32,
    store_key: Vec<u8>,
    trees: Vec<StoredTree>,
}

#[derive(Deserialize, Serialize)]
struct StoredTree {
    tree: u8,
    naming: Wrapped,
    encryption: Vec<(u32, Wrapped)>,
}

/// A key sealed under the store key.
#[derive(Deserialize, Serialize)]
struct Wrapped {
    nonce: [u8; NONCE_LENGTH],
    key: [u8; KEY_LENGTH],
    tag: [u8; TAG_LENGTH],
}

impl KeyringFile {
    fn parse(path: &Path, bytes: &[u8]) -> Result<Self, StoreError> {
        let damaged = |what| StoreError::damaged(path, 0, what);
        let (content, checksum) = bytes.split_last_chunk().ok_or_else(|| damaged("it is too short"))?;
        let rest = content
            .strip_prefix(MAGIC)
            .ok_or_else(|| damaged("it is not a keyring"))?;
        let (format, body) = rest.split_first_chunk().ok_or_else(|| damaged("it is too short"))?;
        if crc32c::crc32c(content) != u32::from_le_bytes(*checksum) {
            return Err(damaged("its checksum does not match"));
        }
        let found = u16::from_le_bytes(*format);
        if found != FILE_FORMAT {
            return Err(StoreError::Newer {
                path: path.to_owned(),
                found,
                known: FILE_FORMAT,
            });
        }
        postcard::from_bytes(body).map_err(|_| damaged("its content does not parse"))
    }

    fn encode(&self) -> Result<Vec<u8>, StoreError> {
        let body = postcard::to_stdvec(self).map_err(|_| StoreError::Library("encode the keyring"))?;
        let mut bytes = [MAGIC, &FILE_FORMAT.to_le_bytes(), &body].concat();
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        Ok(bytes)
    }

    fn store_context(&self) -> Vec<u8> {
        [
            b"redan store key\0",
            &self.store_id[..],
            &self.store_key_version.to_be_bytes(),
        ]
        .concat()
    }

    fn key_context(&self, tree: u8, purpose: u8, version: u32) -> Vec<u8> {
        [
            b"redan tree key\0",
            &self.store_id[..],
            &self.store_key_version.to_be_bytes(),
            &[tree, purpose],
            &version.to_be_bytes(),
        ]
        .concat()
    }

    fn add(&mut self, tree: Tree, store_key: &Xaes, sealing: &dyn Sealing) -> Result<(), StoreError> {
        let wrap = |purpose, version| -> Result<Wrapped, StoreError> {
            let mut key = [0; KEY_LENGTH];
            sealing.random(&mut key)?;
            let mut nonce = [0; NONCE_LENGTH];
            sealing.random(&mut nonce)?;
            let context = self.key_context(tree.id(), purpose, version);
            let tag = store_key
                .seal(&nonce, &context, &mut key)
                .ok_or(StoreError::Library("wrap a key"))?;
            Ok(Wrapped { nonce, key, tag })
        };
        let stored = StoredTree {
            tree: tree.id(),
            naming: wrap(NAMING, 0)?,
            encryption: vec![(FIRST_VERSION, wrap(ENCRYPTION, FIRST_VERSION)?)],
        };
        self.trees.push(stored);
        Ok(())
    }

    fn unlock(&self, path: &Path, store_key: &Xaes) -> Result<Keyring, StoreError> {
        let mut trees = BTreeMap::new();
        for stored in &self.trees {
            // A tree of a newer version is of no use to this one, and does no harm.
            let Some(tree) = Tree::parse(stored.tree) else { continue };
            let unwrap = |wrapped: &Wrapped, purpose, version| {
                let mut key = Zeroizing::new(wrapped.key);
                store_key
                    .open(
                        &wrapped.nonce,
                        &self.key_context(stored.tree, purpose, version),
                        &mut *key,
                        &wrapped.tag,
                    )
                    .map(|()| key)
                    .ok_or_else(|| StoreError::damaged(path, 0, "a tree's key does not authenticate"))
            };
            let naming = SecretBytes::new(unwrap(&stored.naming, NAMING, 0)?.to_vec());
            let mut encryption = BTreeMap::new();
            for (version, wrapped) in &stored.encryption {
                encryption.insert(*version, Xaes::new(&*unwrap(wrapped, ENCRYPTION, *version)?));
            }
            trees.insert(tree, TreeKeys { naming, encryption });
        }
        Ok(Keyring {
            store_id: self.store_id,
            trees,
        })
    }
}

fn random_key(sealing: &dyn Sealing) -> Result<SecretBytes, StoreError> {
    let mut key = vec![0; KEY_LENGTH];
    sealing.random(&mut key)?;
    Ok(SecretBytes::new(key))
}

fn xaes(key: &SecretBytes) -> Option<Xaes> {
    key.expose().try_into().ok().map(Xaes::new)
}

const MAGIC: &[u8] = b"redan keyring\n";
const FILE_FORMAT: u16 = 1;
const FILE_LIMIT: u64 = 1 << 20;
const RECORD_FORMAT: u8 = 1;
/// Format, key version, nonce.
const HEAD: usize = 1 + 4 + NONCE_LENGTH;
const FIRST_VERSION: u32 = 1;
const NAMING: u8 = 1;
const ENCRYPTION: u8 = 2;
