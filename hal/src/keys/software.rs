//! The software key device: keys in a file, for development and evaluation.
//!
//! Whoever reads `device.key` has every key in it; that is why the device's identity says what it is good for. Otherwise it keeps
//! the promises of the trait: what it returns is durable, a damaged file is refused, another device's seal is refused by name. Its
//! counter never goes back by itself, but an old copy of the file brings an old counter: its capabilities say so.

use super::{Algorithm, Capabilities, DeviceIdentity, DeviceKind, KeyDevice, KeyError, PublicKey};
use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::digest::{self, SHA256, SHA256_OUTPUT_LEN};
use aws_lc_rs::hmac;
use aws_lc_rs::rand::{self, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use redan_types::{KeyId, SecretBytes};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

/// The key device in a file.
pub struct SoftwareDevice {
    identity: DeviceIdentity,
    capabilities: Capabilities,
    path: PathBuf,
    seal_key: RandomizedNonceKey,
    /// What the file holds. Held while the file is written; never taken by `sign`.
    kept: Mutex<Kept>,
    /// The keys ready for use. Lock order: `kept`, then `usable`, which is only held for a look-up or an insertion.
    usable: RwLock<BTreeMap<KeyId, Arc<Usable>>>,
    random: SystemRandom,
}

impl SoftwareDevice {
    /// The name of the device's file within its folder.
    pub const FILE: &str = "device.key";

    /// Opens the device whose file lies in `folder`, or makes a new one where there is none. The caller holds the lock on the
    /// folder: two processes with one device would lose each other's keys.
    ///
    /// # Errors
    /// The file is corrupt, of a newer format, readable by others, or cannot be read or written.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(Self::FILE);
        match Self::existing(&path)? {
            Some(kept) => Self::with(path, kept),
            None => {
                let mut id = [0; 16];
                let mut master = vec![0; MASTER_LENGTH];
                rand::fill(&mut id).map_err(|_| KeyError::Library("give random bytes"))?;
                rand::fill(&mut master).map_err(|_| KeyError::Library("give random bytes"))?;
                let kept = Kept {
                    id,
                    master: SecretBytes::new(master),
                    counter: 0,
                    keys: Vec::new(),
                };
                write(&path, &kept)?;
                Self::with(path, kept)
            }
        }
    }

    /// Opens an existing device and never makes one.
    ///
    /// # Errors
    /// As [`SoftwareDevice::open`], and where there is no device.
    pub fn open_existing(folder: &Path) -> Result<Self, KeyError> {
        let path = folder.join(Self::FILE);
        let kept = Self::existing(&path)?.ok_or_else(|| KeyError::file("open", &path)(ErrorKind::NotFound.into()))?;
        Self::with(path, kept)
    }

    fn existing(path: &Path) -> Result<Option<Kept>, KeyError> {
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
        file.take(FILE_LIMIT + 1)
            .read_to_end(&mut bytes)
            .map_err(KeyError::file("read", path))?;
        let bytes = SecretBytes::new(bytes);
        parse(path, bytes.expose()).map(Some)
    }

    fn with(path: PathBuf, kept: Kept) -> Result<Self, KeyError> {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, kept.master.expose()), SEAL_LABEL);
        let seal_key = RandomizedNonceKey::new(&AES_256_GCM, key.as_ref())
            .map_err(|_| KeyError::Library("make the sealing key"))?;
        let mut usable = BTreeMap::new();
        for key in &kept.keys {
            let what = "a key in it is malformed";
            let ready = Usable::parse(key.algorithm, &key.pkcs8).map_err(|_| KeyError::Corrupt {
                path: path.clone(),
                what,
            })?;
            usable.insert(ready.public().id(), Arc::new(ready));
        }
        Ok(Self {
            identity: DeviceIdentity {
                kind: DeviceKind::Software,
                id: kept.id,
            },
            capabilities: Capabilities {
                algorithms: &[Algorithm::EcdsaP256, Algorithm::Ed25519],
                import: true,
                protects_keys: false,
                counter_survives_restore: false,
                seal_limit: SEAL_LIMIT,
            },
            path,
            seal_key,
            kept: Mutex::new(kept),
            usable: RwLock::new(usable),
            random: SystemRandom::new(),
        })
    }

    /// Changes what the file holds: written first, then taken over, so that a failed write changes nothing.
    fn change<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> Result<T, KeyError> {
        let mut kept = self.locked();
        let mut next = kept.clone();
        let answer = change(&mut next);
        write(&self.path, &next)?;
        *kept = next;
        Ok(answer)
    }

    fn keep(&self, algorithm: Algorithm, pkcs8: SecretBytes) -> Result<KeyId, KeyError> {
        let ready = Usable::parse(algorithm, &pkcs8)?;
        let id = ready.public().id();
        if self.find(id).is_ok() {
            return Ok(id);
        }
        self.change(|kept| kept.keys.push(StoredKey { algorithm, pkcs8 }))?;
        self.usable
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, Arc::new(ready));
        Ok(id)
    }

    fn find(&self, key: KeyId) -> Result<Arc<Usable>, KeyError> {
        let usable = self.usable.read().unwrap_or_else(PoisonError::into_inner);
        usable.get(&key).cloned().ok_or(KeyError::NoSuchKey(key))
    }

    fn locked(&self) -> MutexGuard<'_, Kept> {
        // A poisoned lock is sound: `change` replaces the value in one assignment or not at all.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn bound(&self, context: &[u8]) -> Vec<u8> {
        [SEAL_LABEL, &self.identity.id, context].concat()
    }
}

impl KeyDevice for SoftwareDevice {
    fn identity(&self) -> &DeviceIdentity {
        &self.identity
    }

    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), KeyError> {
        rand::fill(buffer).map_err(|_| KeyError::Library("give random bytes"))
    }

    fn generate(&self, algorithm: Algorithm) -> Result<KeyId, KeyError> {
        self.keep(algorithm, generate_pkcs8(algorithm)?)
    }

    fn import(&self, algorithm: Algorithm, pkcs8: &SecretBytes) -> Result<KeyId, KeyError> {
        self.keep(algorithm, pkcs8.clone())
    }

    fn destroy(&self, key: KeyId) -> Result<(), KeyError> {
        let public = self.find(key)?.public();
        self.change(|kept| {
            kept.keys.retain(|stored| {
                Usable::parse(stored.algorithm, &stored.pkcs8).map_or(true, |usable| usable.public() != public)
            });
        })?;
        self.usable.write().unwrap_or_else(PoisonError::into_inner).remove(&key);
        Ok(())
    }

    fn keys(&self) -> Result<Vec<KeyId>, KeyError> {
        Ok(self
            .usable
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .keys()
            .copied()
            .collect())
    }

    fn public_key(&self, key: KeyId) -> Result<PublicKey, KeyError> {
        Ok(self.find(key)?.public())
    }

    fn sign(&self, key: KeyId, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.find(key)?.sign(&self.random, message)
    }

    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
        let length = secret.expose().len();
        if length > SEAL_LIMIT {
            return Err(KeyError::TooLong {
                length,
                limit: SEAL_LIMIT,
            });
        }
        let mut ciphertext = secret.expose().to_vec();
        let nonce = self
            .seal_key
            .seal_in_place_append_tag(Aad::from(self.bound(context)), &mut ciphertext)
            .map_err(|_| KeyError::Library("seal"))?;
        let sealed = Sealed {
            version: SEAL_VERSION,
            by: self.identity,
            nonce: *nonce.as_ref(),
            ciphertext,
        };
        postcard::to_stdvec(&sealed).map_err(|_| KeyError::Library("encode a sealed secret"))
    }

    fn unseal(&self, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, KeyError> {
        let sealed: Sealed = postcard::from_bytes(sealed).map_err(|_| KeyError::Unsealable)?;
        if sealed.by != self.identity {
            return Err(KeyError::OtherDevice {
                sealed_by: sealed.by,
                present: self.identity,
            });
        }
        if sealed.version != SEAL_VERSION {
            return Err(KeyError::Unsealable);
        }
        let mut buffer = sealed.ciphertext;
        let nonce = Nonce::assume_unique_for_key(sealed.nonce);
        let length = self
            .seal_key
            .open_in_place(nonce, Aad::from(self.bound(context)), &mut buffer)
            .map_err(|_| KeyError::Unsealable)?
            .len();
        buffer.truncate(length);
        Ok(SecretBytes::new(buffer))
    }

    fn counter(&self) -> Result<u64, KeyError> {
        Ok(self.locked().counter)
    }

    fn increment(&self) -> Result<u64, KeyError> {
        self.change(|kept| {
            kept.counter = kept.counter.saturating_add(1);
            kept.counter
        })
    }
}

impl std::fmt::Debug for SoftwareDevice {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareDevice")
            .field("identity", &self.identity)
            .finish_non_exhaustive()
    }
}

/// A software private key ready to sign, for whoever keeps keys outside a device: the vault's short-lived leaf keys, which a
/// slow device certifies.
pub struct SoftwareKey {
    key: Usable,
    public: PublicKey,
    random: SystemRandom,
}

impl SoftwareKey {
    /// Makes a key and returns its PKCS#8 form.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn generate(algorithm: Algorithm) -> Result<SecretBytes, KeyError> {
        generate_pkcs8(algorithm)
    }

    /// Reads a key from its PKCS#8 form.
    ///
    /// # Errors
    /// The bytes are not a key of the algorithm.
    pub fn parse(algorithm: Algorithm, pkcs8: &SecretBytes) -> Result<Self, KeyError> {
        let key = Usable::parse(algorithm, pkcs8)?;
        let public = key.public();
        Ok(Self {
            key,
            public,
            random: SystemRandom::new(),
        })
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs as [`KeyDevice::sign`] does.
    ///
    /// # Errors
    /// The cryptographic library failed.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        self.key.sign(&self.random, message)
    }
}

impl std::fmt::Debug for SoftwareKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SoftwareKey")
            .field("public", &self.public)
            .finish_non_exhaustive()
    }
}

enum Usable {
    EcdsaP256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Usable {
    fn parse(algorithm: Algorithm, pkcs8: &SecretBytes) -> Result<Self, KeyError> {
        match algorithm {
            Algorithm::EcdsaP256 => {
                EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.expose()).map(Self::EcdsaP256)
            }
            Algorithm::Ed25519 => Ed25519KeyPair::from_pkcs8(pkcs8.expose()).map(Self::Ed25519),
        }
        .map_err(|_| KeyError::Malformed(algorithm))
    }

    fn public(&self) -> PublicKey {
        match self {
            Self::EcdsaP256(pair) => PublicKey {
                algorithm: Algorithm::EcdsaP256,
                raw: pair.public_key().as_ref().to_vec(),
            },
            Self::Ed25519(pair) => PublicKey {
                algorithm: Algorithm::Ed25519,
                raw: pair.public_key().as_ref().to_vec(),
            },
        }
    }

    fn sign(&self, random: &SystemRandom, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::EcdsaP256(pair) => pair.sign(random, message),
            Self::Ed25519(pair) => pair.try_sign(message),
        }
        .map(|signature| signature.as_ref().to_vec())
        .map_err(|_| KeyError::Library("sign"))
    }
}

#[derive(Clone, Deserialize, Serialize)]
struct Kept {
    id: [u8; 16],
    master: SecretBytes,
    counter: u64,
    keys: Vec<StoredKey>,
}

#[derive(Clone, Deserialize, Serialize)]
struct StoredKey {
    algorithm: Algorithm,
    pkcs8: SecretBytes,
}

#[derive(Deserialize, Serialize)]
struct Sealed {
    version: u8,
    by: DeviceIdentity,
    nonce: [u8; NONCE_LEN],
    ciphertext: Vec<u8>,
}

fn generate_pkcs8(algorithm: Algorithm) -> Result<SecretBytes, KeyError> {
    let failed = |_| KeyError::Library("make a key");
    let document = match algorithm {
        Algorithm::EcdsaP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING)
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(failed)?,
        Algorithm::Ed25519 => Ed25519KeyPair::generate()
            .and_then(|pair| pair.to_pkcs8v1())
            .map_err(failed)?,
    };
    Ok(SecretBytes::new(document.as_ref().to_vec()))
}

/// The file: magic, format (little-endian `u16`), body in postcard, SHA-256 of all that precedes.
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
    if found != FORMAT {
        return Err(KeyError::Newer {
            path: path.to_owned(),
            found,
            known: FORMAT,
        });
    }
    let kept: Kept = postcard::from_bytes(body).map_err(|_| corrupt("its content does not parse"))?;
    if kept.master.expose().len() == MASTER_LENGTH {
        Ok(kept)
    } else {
        Err(corrupt("its master secret has a wrong length"))
    }
}

fn write(path: &Path, kept: &Kept) -> Result<(), KeyError> {
    let body = postcard::to_stdvec(kept)
        .map(SecretBytes::new)
        .map_err(|_| KeyError::Library("encode the device file"))?;
    let mut bytes = [MAGIC, &FORMAT.to_le_bytes(), body.expose()].concat();
    let checksum = digest::digest(&SHA256, &bytes);
    bytes.extend_from_slice(checksum.as_ref());
    let bytes = SecretBytes::new(bytes);
    let fresh = path.with_extension("key.new");
    // The rename makes the change whole or absent; both the file and the name must be on disk before anybody builds on it.
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&fresh)
        .map_err(KeyError::file("create", &fresh))?;
    file.write_all(bytes.expose())
        .map_err(KeyError::file("write", &fresh))?;
    file.sync_all().map_err(KeyError::file("sync", &fresh))?;
    std::fs::rename(&fresh, path).map_err(KeyError::file("replace", path))?;
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(KeyError::file("sync the folder of", path))
}

const MAGIC: &[u8] = b"redan software key device\n";
const FORMAT: u16 = 1;
const SEAL_VERSION: u8 = 1;
const SEAL_LABEL: &[u8] = b"redan software device seal v1";
const MASTER_LENGTH: usize = 32;
/// A sealed secret is a key, perhaps with a policy beside it; a TPM takes about this much.
const SEAL_LIMIT: usize = 128;
/// Some ten thousand keys: far above what an appliance has, and far below what would hurt.
const FILE_LIMIT: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::{MAGIC, SoftwareDevice, SoftwareKey};
    use crate::keys::{Algorithm, KeyDevice, KeyError, PublicKey};
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1, ED25519, UnparsedPublicKey};
    use redan_types::{KeyId, SecretBytes};
    use std::os::unix::fs::PermissionsExt;

    fn verifies(public: &PublicKey, message: &[u8], signature: &[u8]) -> bool {
        match public.algorithm {
            Algorithm::EcdsaP256 => {
                UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &public.raw).verify(message, signature)
            }
            Algorithm::Ed25519 => UnparsedPublicKey::new(&ED25519, &public.raw).verify(message, signature),
        }
        .is_ok()
    }

    #[test]
    fn keys_sign_and_survive_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        for algorithm in [Algorithm::EcdsaP256, Algorithm::Ed25519] {
            let device = SoftwareDevice::open(folder.path()).unwrap();
            let key = device.generate(algorithm).unwrap();
            drop(device);
            let device = SoftwareDevice::open_existing(folder.path()).unwrap();
            let public = device.public_key(key).unwrap();
            assert_eq!(public.id(), key);
            let signature = device.sign(key, b"hello").unwrap();
            assert!(verifies(&public, b"hello", &signature));
            assert!(!verifies(&public, b"hellp", &signature));
        }
    }

    #[test]
    fn a_destroyed_key_is_gone_for_good() {
        let folder = tempfile::tempdir().unwrap();
        let device = SoftwareDevice::open(folder.path()).unwrap();
        let (one, two) = (
            device.generate(Algorithm::EcdsaP256).unwrap(),
            device.generate(Algorithm::EcdsaP256).unwrap(),
        );
        device.destroy(one).unwrap();
        assert!(matches!(device.sign(one, b""), Err(KeyError::NoSuchKey(key)) if key == one));
        assert!(matches!(device.destroy(one), Err(KeyError::NoSuchKey(_))));
        drop(device);
        assert_eq!(SoftwareDevice::open(folder.path()).unwrap().keys().unwrap(), [two]);
    }

    #[test]
    fn an_imported_key_keeps_its_identity() {
        let folder = tempfile::tempdir().unwrap();
        let device = SoftwareDevice::open(folder.path()).unwrap();
        let pkcs8 = SoftwareKey::generate(Algorithm::Ed25519).unwrap();
        let key = device.import(Algorithm::Ed25519, &pkcs8).unwrap();
        assert_eq!(
            key,
            SoftwareKey::parse(Algorithm::Ed25519, &pkcs8).unwrap().public().id()
        );
        assert_eq!(device.import(Algorithm::Ed25519, &pkcs8).unwrap(), key);
        assert_eq!(device.keys().unwrap().len(), 1);
        assert!(matches!(
            device.import(Algorithm::EcdsaP256, &pkcs8),
            Err(KeyError::Malformed(Algorithm::EcdsaP256))
        ));
    }

    #[test]
    fn a_seal_opens_on_the_same_device_for_the_same_context_only() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let device = SoftwareDevice::open(here.path()).unwrap();
        let other = SoftwareDevice::open(there.path()).unwrap();
        let sealed = device.seal(b"store", &SecretBytes::new(vec![7; 32])).unwrap();
        assert_eq!(device.unseal(b"store", &sealed).unwrap().expose(), [7; 32]);
        assert!(matches!(device.unseal(b"backup", &sealed), Err(KeyError::Unsealable)));
        let error = other.unseal(b"store", &sealed).unwrap_err().to_string();
        assert!(
            error.contains(&device.identity().to_string()) && error.contains(&other.identity().to_string()),
            "{error}"
        );
        for bit in 0..sealed.len() * 8 {
            let mut altered = sealed.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert!(device.unseal(b"store", &altered).is_err(), "bit {bit}");
        }
        assert!(matches!(
            device.seal(b"", &SecretBytes::new(vec![0; 129])),
            Err(KeyError::TooLong { length: 129, .. })
        ));
    }

    #[test]
    fn the_counter_never_goes_back_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let device = SoftwareDevice::open(folder.path()).unwrap();
        assert_eq!(device.counter().unwrap(), 0);
        assert_eq!((device.increment().unwrap(), device.increment().unwrap()), (1, 2));
        drop(device);
        assert_eq!(SoftwareDevice::open(folder.path()).unwrap().counter().unwrap(), 2);
    }

    #[test]
    fn every_flipped_bit_of_the_file_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let device = SoftwareDevice::open(folder.path()).unwrap();
        device.generate(Algorithm::Ed25519).unwrap();
        let path = folder.path().join(SoftwareDevice::FILE);
        let whole = std::fs::read(&path).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut altered = whole.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, &altered).unwrap();
            assert!(
                matches!(SoftwareDevice::open(folder.path()), Err(KeyError::Corrupt { .. })),
                "bit {bit}"
            );
        }
        for length in [0, MAGIC.len(), whole.len() - 1] {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(
                matches!(SoftwareDevice::open(folder.path()), Err(KeyError::Corrupt { .. })),
                "length {length}"
            );
        }
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(
            SoftwareDevice::open(folder.path()).unwrap().identity(),
            device.identity()
        );
    }

    #[test]
    fn a_file_that_others_can_read_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        SoftwareDevice::open(folder.path()).unwrap();
        let path = folder.path().join(SoftwareDevice::FILE);
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        assert!(matches!(
            SoftwareDevice::open(folder.path()),
            Err(KeyError::Exposed { mode: 0o640, .. })
        ));
    }

    #[test]
    fn the_identity_says_that_it_is_for_evaluation() {
        let folder = tempfile::tempdir().unwrap();
        let device = SoftwareDevice::open(folder.path()).unwrap();
        assert!(
            device
                .identity()
                .to_string()
                .starts_with("software keys (development and evaluation only) ")
        );
        assert!(!device.capabilities().protects_keys);
        assert!(matches!(device.public_key(KeyId([0; 16])), Err(KeyError::NoSuchKey(_))));
    }
}
