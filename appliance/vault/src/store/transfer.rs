//! The whole store as one encrypted file, and a store from such a file: the way out of any damage, and what backups are made of.
//!
//! The file: magic, format, how its key was made (a passphrase through Argon2id with its parameters, or a key that was given), salt;
//! then chunks. Each chunk is XAES-256-GCM under a key derived from that key and the whole head, with its number in the nonce and
//! whether it is the last one beside it: a chunk that is altered, missing, repeated, out of place or of another file does not open,
//! and an end that is missing shows. Within the chunks: every record in the clear, with its tree and its name, and their count.
//!
//! An export is the state of one moment, taken from a snapshot, so that serving goes on meanwhile. An import makes a store with new
//! keys of its own, in a folder beside the place, which it takes only when everything was there.

use super::error::StoreError;
use super::sealing::Sealing;
use super::tree::{Name, RecordKey, Tree};
use super::xaes::{KEY_LENGTH, NONCE_LENGTH, TAG_LENGTH, Xaes};
use super::{StateFolder, Store, folder, journal, snapshot};
use argon2::{Algorithm, Argon2, Params, Version};
use hmac::{Hmac, KeyInit, Mac};
use redan_types::{SecretBytes, SecretString};
use sha2::Sha256;
use std::io::{Read, Write};
use std::sync::PoisonError;
use zeroize::Zeroizing;

/// What an export is encrypted under.
#[derive(Debug)]
pub enum ExportKey {
    /// A passphrase, which Argon2id makes a key of.
    Passphrase(SecretString),
    /// A key of 32 random bytes, as a recovery key is.
    Key(SecretBytes),
}

/// What was exported or imported.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Exported {
    /// Records.
    pub records: u64,
    /// Records that could not be, because they do not authenticate.
    pub damaged: Vec<(Tree, RecordKey)>,
}

impl Store {
    /// Writes the whole store, as it is at one moment, to a file that only the key opens. Serving goes on.
    ///
    /// # Errors
    /// The store or the file cannot be read or written, or a passphrase is too short.
    pub fn export(&self, key: &ExportKey, to: &mut dyn Write) -> Result<Exported, StoreError> {
        self.compact()?;
        let inner = &self.inner;
        // While it is held the snapshot stays, and so do the keys that its records stand under.
        let covered = inner.covered.lock().unwrap_or_else(PoisonError::into_inner);
        let mut writer = Writer::begin(key, to)?;
        let mut exported = Exported::default();
        snapshot::read(&inner.folder, &inner.store_id, covered.segment, |key, sealed| {
            match (inner.keyring.open_record(&key, &sealed), key.tree()) {
                (Ok(opened), Some(tree)) => {
                    exported.records += 1;
                    let name = key.number().map_or(Name::Secret(&opened.name), Name::Number);
                    writer.record(tree, name, &opened.value)
                }
                (Err(StoreError::Corrupt { tree, key }), _) => {
                    exported.damaged.push((tree, key));
                    Ok(())
                }
                (Err(error), _) => Err(error),
                (Ok(_), None) => Err(StoreError::Library("find a record's tree")),
            }
        })?;
        drop(covered);
        writer.finish(exported.records)?;
        Ok(exported)
    }

    /// Makes a store from an export, in a state folder that has none. It has new keys, sealed by this device.
    ///
    /// # Errors
    /// There is a store already; the file is not whole or the key another; the disk fails. Then there is no store.
    pub fn import(
        state: &StateFolder,
        sealing: &dyn Sealing,
        key: &ExportKey,
        from: &mut dyn Read,
    ) -> Result<Exported, StoreError> {
        let (place, fresh) = (state.path().join(folder::STORE), state.path().join("store.import"));
        if place.exists() {
            return Err(StoreError::Exists { path: place });
        }
        remove_all(&fresh)?;
        let made = fill(&fresh, state, sealing, key, from);
        if made.is_err() {
            remove_all(&fresh)?;
            return made;
        }
        std::fs::rename(&fresh, &place).map_err(StoreError::file("rename", &fresh))?;
        folder::sync(state.path())?;
        made
    }
}

fn fill(
    fresh: &std::path::Path,
    state: &StateFolder,
    sealing: &dyn Sealing,
    key: &ExportKey,
    from: &mut dyn Read,
) -> Result<Exported, StoreError> {
    let mut reader = Reader::begin(key, from)?;
    let (store, _) = Store::open_in(fresh.to_owned(), state, sealing)?;
    let mut exported = Exported::default();
    let mut batch = store.batch();
    let mut bytes = 0;
    while let Some(record) = reader.record()? {
        bytes += record.value.len() + record.name.len();
        let name = record.number.map_or(Name::Secret(&record.name), Name::Number);
        batch.put(record.tree, name, &record.value)?;
        exported.records += 1;
        if bytes > BATCH {
            std::mem::replace(&mut batch, store.batch()).commit()?;
            bytes = 0;
        }
    }
    batch.commit()?;
    store.close()?;
    Ok(exported)
}

fn remove_all(folder: &std::path::Path) -> Result<(), StoreError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(StoreError::file("remove", folder)(error)),
        _ => Ok(()),
    }
}

/// The head of a file, and the key of its chunks.
struct Head {
    bytes: [u8; HEAD],
    cipher: Xaes,
}

impl Head {
    fn new(key: &ExportKey) -> Result<Self, StoreError> {
        let mut bytes = [0; HEAD];
        let (kind, cost) = match key {
            ExportKey::Passphrase(_) => (PASSPHRASE, COST),
            ExportKey::Key(_) => (KEY, [0; 3]),
        };
        let mut rest = bytes.as_mut_slice();
        let mut put = |part: &[u8]| {
            let (to, after) = std::mem::take(&mut rest).split_at_mut(part.len());
            to.copy_from_slice(part);
            rest = after;
        };
        put(MAGIC);
        put(&FORMAT.to_le_bytes());
        put(&[kind]);
        cost.iter().for_each(|cost| put(&cost.to_le_bytes()));
        let mut salt = [0; SALT];
        getrandom::fill(&mut salt).map_err(|_| StoreError::Library("get random bytes"))?;
        put(&salt);
        Self::with(bytes, key)
    }

    fn with(bytes: [u8; HEAD], key: &ExportKey) -> Result<Self, StoreError> {
        let refused = || StoreError::Export("it is not an export of this version");
        let rest = bytes.strip_prefix(MAGIC).ok_or_else(refused)?;
        let (format, rest) = rest.split_first_chunk().ok_or_else(refused)?;
        let (kind, mut rest) = rest.split_first().ok_or_else(refused)?;
        if u16::from_le_bytes(*format) != FORMAT {
            return Err(refused());
        }
        let mut cost = [0_u32; 3];
        for cost in &mut cost {
            let (word, after) = rest.split_first_chunk().ok_or_else(refused)?;
            *cost = u32::from_le_bytes(*word);
            rest = after;
        }
        let secret = match (key, *kind) {
            (ExportKey::Passphrase(passphrase), PASSPHRASE) => stretch(passphrase, rest, cost)?,
            (ExportKey::Key(key), KEY) if key.expose().len() == KEY_LENGTH => Zeroizing::new(key.expose().to_vec()),
            (ExportKey::Key(_), KEY) => return Err(StoreError::Export("a key has 32 bytes")),
            (_, PASSPHRASE) => return Err(StoreError::Export("it was made with a passphrase")),
            (_, KEY) => return Err(StoreError::Export("it was made with a key")),
            _ => return Err(refused()),
        };
        const FAILED: StoreError = StoreError::Library("derive an export's key");
        let mut mac = Hmac::<Sha256>::new_from_slice(&secret).map_err(|_| FAILED)?;
        mac.update(b"redan export key\0");
        mac.update(&bytes);
        let derived = Zeroizing::new(<[u8; KEY_LENGTH]>::from(mac.finalize().into_bytes()));
        Ok(Self {
            bytes,
            cipher: Xaes::new(&derived),
        })
    }
}

fn stretch(
    passphrase: &SecretString,
    salt: &[u8],
    [memory, passes, lanes]: [u32; 3],
) -> Result<Zeroizing<Vec<u8>>, StoreError> {
    if passphrase.expose().chars().count() < PASSPHRASE_MIN {
        return Err(StoreError::Export("a passphrase has at least 12 characters"));
    }
    // What the file says is bounded: it comes from outside.
    if memory > MEMORY_MAX || passes > PASSES_MAX || lanes > LANES_MAX {
        return Err(StoreError::Export("its key would cost more than is sensible"));
    }
    let params = Params::new(memory, passes, lanes, Some(KEY_LENGTH))
        .map_err(|_| StoreError::Export("the costs of its key are impossible"))?;
    let mut key = Zeroizing::new(vec![0; KEY_LENGTH]);
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(passphrase.expose().as_bytes(), salt, &mut key)
        .map_err(|_| StoreError::Library("make a key of a passphrase"))?;
    Ok(key)
}

struct Writer<'a> {
    to: &'a mut dyn Write,
    cipher: Xaes,
    number: u64,
    chunk: Zeroizing<Vec<u8>>,
}

impl<'a> Writer<'a> {
    fn begin(key: &ExportKey, to: &'a mut dyn Write) -> Result<Self, StoreError> {
        let head = Head::new(key)?;
        to.write_all(&head.bytes).map_err(written)?;
        Ok(Self {
            to,
            cipher: head.cipher,
            number: 0,
            chunk: Zeroizing::new(Vec::with_capacity(CHUNK + TAG_LENGTH)),
        })
    }

    fn record(&mut self, tree: Tree, name: Name<'_>, value: &[u8]) -> Result<(), StoreError> {
        // Both lengths fit: the store took them.
        let length = u32::try_from(value.len()).map_err(|_| StoreError::Library("export a record"))?;
        match name {
            Name::Number(number) => {
                self.put(&[NUMBERED, tree.id()])?;
                self.put(&number.to_le_bytes())?;
            }
            Name::Secret(name) => {
                let name_length = u16::try_from(name.len()).map_err(|_| StoreError::Library("export a record"))?;
                self.put(&[NAMED, tree.id()])?;
                self.put(&name_length.to_le_bytes())?;
                self.put(name)?;
            }
        }
        self.put(&length.to_le_bytes())?;
        self.put(value)
    }

    fn finish(mut self, records: u64) -> Result<(), StoreError> {
        self.put(&[END])?;
        self.put(&records.to_le_bytes())?;
        self.emit(true)?;
        self.to.flush().map_err(written)
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<(), StoreError> {
        while !bytes.is_empty() {
            if self.chunk.len() == CHUNK {
                self.emit(false)?;
            }
            let (now, later) = bytes.split_at(bytes.len().min(CHUNK - self.chunk.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
        }
        Ok(())
    }

    fn emit(&mut self, last: bool) -> Result<(), StoreError> {
        let length = u32::try_from(self.chunk.len()).map_err(|_| StoreError::Library("export a chunk"))?;
        let head = chunk_head(last, length);
        let tag = self
            .cipher
            .seal(&nonce(self.number), &head, &mut self.chunk)
            .ok_or(StoreError::Library("encrypt a chunk"))?;
        for part in [&head[..], &self.chunk, &tag] {
            self.to.write_all(part).map_err(written)?;
        }
        self.number += 1;
        self.chunk.clear();
        Ok(())
    }
}

struct Reader<'a> {
    from: &'a mut dyn Read,
    cipher: Xaes,
    number: u64,
    chunk: Zeroizing<Vec<u8>>,
    at: usize,
    last: bool,
    records: u64,
}

/// A record of an export, in the clear.
struct Taken {
    tree: Tree,
    number: Option<u64>,
    name: Vec<u8>,
    value: Zeroizing<Vec<u8>>,
}

impl<'a> Reader<'a> {
    fn begin(key: &ExportKey, from: &'a mut dyn Read) -> Result<Self, StoreError> {
        let mut bytes = [0; HEAD];
        from.read_exact(&mut bytes).map_err(read)?;
        let head = Head::with(bytes, key)?;
        Ok(Self {
            from,
            cipher: head.cipher,
            number: 0,
            chunk: Zeroizing::default(),
            at: 0,
            last: false,
            records: 0,
        })
    }

    fn record(&mut self) -> Result<Option<Taken>, StoreError> {
        let malformed = || StoreError::Export("its content does not parse");
        let [kind] = self.take()?;
        if kind == END {
            let count = u64::from_le_bytes(self.take()?);
            let mut beyond = [0];
            let ended = self.last && self.at == self.chunk.len() && self.from.read(&mut beyond).map_err(read)? == 0;
            return if ended && count == self.records {
                Ok(None)
            } else {
                Err(malformed())
            };
        }
        let [tree] = self.take()?;
        let tree = Tree::parse(tree).ok_or(StoreError::Export("it has a tree that this version does not know"))?;
        let (number, name) = match kind {
            NUMBERED => (Some(u64::from_le_bytes(self.take()?)), Vec::new()),
            NAMED => {
                let length = u16::from_le_bytes(self.take()?);
                (None, self.fill(length.into())?.to_vec())
            }
            _ => return Err(malformed()),
        };
        let length = usize::try_from(u32::from_le_bytes(self.take()?)).map_err(|_| malformed())?;
        if length > journal::BODY_LIMIT {
            return Err(malformed());
        }
        self.records += 1;
        Ok(Some(Taken {
            tree,
            number,
            name,
            value: self.fill(length)?,
        }))
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], StoreError> {
        let bytes = self.fill(N)?;
        bytes
            .as_slice()
            .try_into()
            .map_err(|_| StoreError::Export("its content does not parse"))
    }

    /// The next bytes, from as many chunks as it takes. Every one was authenticated before a byte of it is used.
    fn fill(&mut self, length: usize) -> Result<Zeroizing<Vec<u8>>, StoreError> {
        let mut bytes = Zeroizing::new(Vec::with_capacity(length));
        while bytes.len() < length {
            let rest = self.chunk.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                self.next()?;
                continue;
            }
            let count = rest.len().min(length - bytes.len());
            bytes.extend_from_slice(rest.get(..count).unwrap_or_default());
            self.at += count;
        }
        Ok(bytes)
    }

    fn next(&mut self) -> Result<(), StoreError> {
        if self.last {
            return Err(StoreError::Export("its content does not parse"));
        }
        let mut head = [0; CHUNK_HEAD];
        self.from.read_exact(&mut head).map_err(read)?;
        let [last, length @ ..] = head;
        let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
        if length > CHUNK || last > 1 {
            return Err(StoreError::Export("a part of it is damaged"));
        }
        self.chunk = Zeroizing::new(vec![0; length]);
        self.at = 0;
        let mut tag = [0; TAG_LENGTH];
        self.from.read_exact(&mut self.chunk).map_err(read)?;
        self.from.read_exact(&mut tag).map_err(read)?;
        self.cipher
            .open(&nonce(self.number), &head, &mut self.chunk, &tag)
            .ok_or(StoreError::Export(if self.number == 0 {
                "the key or passphrase is another, or it is damaged"
            } else {
                "a part of it is damaged"
            }))?;
        self.number += 1;
        self.last = last == 1;
        Ok(())
    }
}

fn chunk_head(last: bool, length: u32) -> [u8; CHUNK_HEAD] {
    let [a, b, c, d] = length.to_le_bytes();
    [u8::from(last), a, b, c, d]
}

/// The key is of this file alone, so that a number is enough.
fn nonce(number: u64) -> [u8; NONCE_LENGTH] {
    let mut nonce = [0; NONCE_LENGTH];
    nonce[NONCE_LENGTH - 8..].copy_from_slice(&number.to_be_bytes());
    nonce
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn read(error: std::io::Error) -> StoreError {
    if error.kind() == std::io::ErrorKind::UnexpectedEof {
        return StoreError::Export("it was cut short");
    }
    StoreError::ExportFile(error.to_string())
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn written(error: std::io::Error) -> StoreError {
    StoreError::ExportFile(error.to_string())
}

const MAGIC: &[u8] = b"redan export\n";
const FORMAT: u16 = 1;
const PASSPHRASE: u8 = 1;
const KEY: u8 = 2;
const SALT: usize = 32;
const HEAD: usize = 13 + 2 + 1 + 12 + SALT;
/// Last or not, and the length.
const CHUNK_HEAD: usize = 5;
const CHUNK: usize = 64 << 10;
/// Argon2id's memory in KiB, passes and lanes: RFC 9106's second recommendation, for it runs once.
const COST: [u32; 3] = [64 << 10, 3, 4];
const MEMORY_MAX: u32 = 1 << 20;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;
const PASSPHRASE_MIN: usize = 12;
const NUMBERED: u8 = 1;
const NAMED: u8 = 2;
const END: u8 = 0xff;
/// Bytes of one change of the store that is being made.
const BATCH: usize = 512 << 10;
