//! The software device's promises.

use super::file::{FIRST, MAGIC, NEWEST};
use super::{SoftwareDevice, SoftwareKey};
use crate::keys::{Algorithm, KeyDevice, KeyError};
use aws_lc_rs::digest::{SHA256, digest};
use redan_types::{KeyId, SecretBytes};
use serde::Serialize;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

#[test]
fn keys_sign_and_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    for algorithm in Algorithm::ALL
        .into_iter()
        .filter(|algorithm| algorithm.scheme().is_some())
    {
        let device = SoftwareDevice::open(folder.path()).unwrap();
        let key = device.generate(algorithm).unwrap();
        drop(device);
        let device = SoftwareDevice::open_existing(folder.path()).unwrap();
        let public = device.public_key(key).unwrap();
        assert_eq!(public.id(), key);
        let (scheme, signature) = (algorithm.scheme().unwrap(), device.sign(key, b"hello").unwrap());
        public.verify(scheme, b"hello", &signature).unwrap();
        assert!(public.verify(scheme, b"hellp", &signature).is_err());
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

/// The file as the first version wrote it.
fn first_format(folder: &Path, keys: &[(Algorithm, SecretBytes)]) {
    #[derive(Serialize)]
    enum OldAlgorithm {
        EcdsaP256,
        Ed25519,
    }
    #[derive(Serialize)]
    struct OldKey<'a> {
        algorithm: OldAlgorithm,
        pkcs8: &'a [u8],
    }
    #[derive(Serialize)]
    struct Old<'a> {
        id: [u8; 16],
        master: &'a [u8],
        counter: u64,
        keys: Vec<OldKey<'a>>,
    }
    let old = Old {
        id: [9; 16],
        master: &[5; 32],
        counter: 41,
        keys: keys
            .iter()
            .map(|(algorithm, key)| OldKey {
                algorithm: match algorithm {
                    Algorithm::Ed25519 => OldAlgorithm::Ed25519,
                    _ => OldAlgorithm::EcdsaP256,
                },
                pkcs8: key.expose(),
            })
            .collect(),
    };
    let mut bytes = [MAGIC, &1_u16.to_le_bytes(), &postcard::to_stdvec(&old).unwrap()].concat();
    let checksum = digest(&SHA256, &bytes);
    bytes.extend_from_slice(checksum.as_ref());
    let path = folder.join(SoftwareDevice::FILE);
    std::fs::write(&path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
}

fn format_of(folder: &Path) -> u16 {
    let bytes = std::fs::read(folder.join(SoftwareDevice::FILE)).unwrap();
    u16::from_le_bytes(bytes[MAGIC.len()..MAGIC.len() + 2].try_into().unwrap())
}

#[test]
fn a_file_of_the_first_version_opens_with_its_keys_its_counter_and_its_seals() {
    let folder = tempfile::tempdir().unwrap();
    let keys = [Algorithm::EcdsaP256, Algorithm::Ed25519]
        .map(|algorithm| (algorithm, SoftwareKey::generate(algorithm).unwrap()));
    first_format(folder.path(), &keys);
    let device = SoftwareDevice::open_existing(folder.path()).unwrap();
    assert_eq!((device.identity().id, device.counter().unwrap()), ([9; 16], 41));
    let mut expected: Vec<KeyId> = keys
        .iter()
        .map(|(algorithm, key)| SoftwareKey::parse(*algorithm, key).unwrap().public().id())
        .collect();
    expected.sort_unstable();
    assert_eq!(device.keys().unwrap(), expected);
    // What that version sealed: a version byte, the identity, 12 bytes of nonce, the ciphertext with its length.
    let sealed = device.seal(b"store", &SecretBytes::new(vec![7; 32])).unwrap();
    assert_eq!(sealed[..18], [[1, 0].as_slice(), &[9; 16]].concat());
    assert_eq!(sealed.len(), 2 + 16 + 12 + 1 + 32 + 16);
}

#[test]
fn a_file_that_holds_nothing_new_stays_readable_for_the_version_before() {
    let folder = tempfile::tempdir().unwrap();
    let device = SoftwareDevice::open(folder.path()).unwrap();
    device.generate(Algorithm::Ed25519).unwrap();
    device.increment().unwrap();
    assert_eq!(format_of(folder.path()), FIRST);
    let newer = device.generate(Algorithm::EcdsaP384).unwrap();
    assert_eq!(format_of(folder.path()), NEWEST);
    device.destroy(newer).unwrap();
    assert_eq!(format_of(folder.path()), FIRST);
}
