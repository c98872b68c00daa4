use super::{Closed, Guard, SealFile, Share, Source};
use crate::seal::source::SoftwareSource;
use crate::store::{Direct, Name, Sealing, StateFolder, Store, StoreError, Tree};
use redan_hal::keys::{KeyDevice, KeyError};
use redan_ipc::messages::seal::{RecoveryShape, Unsealing};
use redan_types::{SecretBytes, SecretString, Timestamp};
use std::path::Path;
use std::sync::Arc;

const NOW: Timestamp = Timestamp(1_800_000_000_000_000);

fn source(folder: &Path) -> (SoftwareSource, Arc<dyn KeyDevice>) {
    let source = SoftwareSource(folder.to_owned());
    let device = source.open(false).unwrap();
    (source, device)
}

fn shares(texts: &[SecretString]) -> Vec<Share> {
    texts.iter().map(|text| Share::parse(text.expose()).unwrap()).collect()
}

fn sealed_by(guard: &Guard) -> (Vec<u8>, SecretBytes) {
    let secret = SecretBytes::new(vec![9; 32]);
    (guard.seal(b"context", &secret).unwrap(), secret)
}

#[test]
fn the_device_opens_what_it_sealed_and_the_seal_what_it_sealed() {
    let folder = tempfile::tempdir().unwrap();
    let (source, device) = source(folder.path());
    let guard = Guard::make(folder.path(), &source, Arc::clone(&device)).unwrap();
    let (sealed, secret) = sealed_by(&guard);
    let file = SealFile::read(folder.path()).unwrap().unwrap();
    let again = Guard::open_by(folder.path(), &file, &source, device).unwrap();
    let identity = again.identity();
    assert_eq!(
        again.unseal(identity, b"context", &sealed).unwrap().expose(),
        secret.expose()
    );
    for (context, sealed) in [
        (&b"other"[..], sealed.clone()),
        (b"context", {
            let mut altered = sealed.clone();
            altered[40] ^= 1;
            altered
        }),
        (b"context", sealed[..sealed.len() - 1].to_vec()),
    ] {
        assert!(matches!(
            again.unseal(identity, context, &sealed),
            Err(StoreError::Device(KeyError::Unsealable))
        ));
    }
}

#[test]
fn enough_shares_open_it_and_too_few_or_replaced_ones_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let (source, device) = source(folder.path());
    let guard = Guard::make(folder.path(), &source, Arc::clone(&device)).unwrap();
    let shape = RecoveryShape {
        shares: 5,
        threshold: 3,
    };
    let first = shares(&guard.recover_by(shape, NOW).unwrap());
    let file = SealFile::read(folder.path()).unwrap().unwrap();
    let (sealed, secret) = sealed_by(&guard);
    let open = |chosen: &[Share]| {
        let key = file.open_with(chosen)?;
        let guard = Guard::opened(folder.path(), &file, key, Arc::clone(&device));
        guard.unseal(guard.identity(), b"context", &sealed).ok()
    };
    for chosen in [[0, 1, 2], [4, 2, 0], [3, 1, 4]] {
        let chosen: Vec<_> = chosen.into_iter().map(|at| first[at].clone()).collect();
        assert_eq!(open(&chosen).unwrap().expose(), secret.expose());
    }
    assert!(open(&first[..2]).is_none());
    assert!(open(&[]).is_none());

    let one = RecoveryShape {
        shares: 1,
        threshold: 1,
    };
    let second = shares(&guard.recover_by(one, NOW).unwrap());
    assert_eq!(second[0].generation, first[0].generation + 1);
    assert!(guard.is_opened_with(&second));
    assert!(!guard.is_opened_with(&first[..3]), "what was replaced opens nothing");
}

#[test]
fn one_that_is_held_or_left_to_people_does_not_open_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let (source, device) = source(folder.path());
    let guard = Guard::make(folder.path(), &source, Arc::clone(&device)).unwrap();
    let open = || {
        let file = SealFile::read(folder.path()).unwrap().unwrap();
        Guard::open_by(folder.path(), &file, &source, Arc::clone(&device))
    };
    guard.hold(true).unwrap();
    assert!(matches!(open(), Err(Closed::Held)));
    guard.hold(false).unwrap();
    assert!(open().unwrap().opens_by_itself());
    guard.reseal(&source, Unsealing::Manual).unwrap();
    assert!(matches!(open(), Err(Closed::Manual)));
    guard.reseal(&source, Unsealing::Automatic).unwrap();
    open().unwrap();
}

/// Stores of the first version were sealed by the device itself.
#[test]
fn a_store_that_the_device_alone_sealed_is_opened_and_sealed_anew() {
    let folder = tempfile::tempdir().unwrap();
    let state = StateFolder::lock(folder.path()).unwrap();
    let (source, device) = source(folder.path());
    let name = Name::Secret(b"a name");
    let (store, _) = Store::open(&state, &Direct(&*device)).unwrap();
    let mut batch = store.batch();
    batch.put(Tree::State, name, b"kept").unwrap();
    batch.commit().unwrap();
    store.close().unwrap();
    drop(store);

    Store::is_opened_by(&state, &Direct(&*device)).unwrap();
    let guard = Guard::make(folder.path(), &source, Arc::clone(&device)).unwrap();
    for _ in 0..2 {
        let (store, report) = Store::open(&state, &guard).unwrap();
        assert!(!report.created);
        assert_eq!(**store.get(Tree::State, name).unwrap().unwrap(), b"kept"[..]);
        store.close().unwrap();
    }
    assert!(
        Store::is_opened_by(&state, &Direct(&*device)).is_err(),
        "the device alone does not open it any more"
    );
}

#[test]
fn another_device_is_named() {
    let (folder, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (source, device) = source(folder.path());
    Guard::make(folder.path(), &source, device).unwrap();
    let file = SealFile::read(folder.path()).unwrap().unwrap();
    let (_, device) = super::tests::source(other.path());
    let Err(Closed::Device(KeyError::OtherDevice { sealed_by, present })) =
        Guard::open_by(folder.path(), &file, &source, Arc::clone(&device))
    else {
        panic!("another device opened it");
    };
    assert_eq!(present, *device.identity());
    assert_ne!(sealed_by, present);
}

#[test]
fn every_damaged_byte_of_the_file_is_noticed() {
    let folder = tempfile::tempdir().unwrap();
    let (source, device) = source(folder.path());
    Guard::make(folder.path(), &source, device).unwrap();
    let path = SealFile::path(folder.path());
    let whole = std::fs::read(&path).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x10;
        std::fs::write(&path, &damaged).unwrap();
        assert!(SealFile::read(folder.path()).is_err(), "byte {at}");
        std::fs::write(&path, &whole[..at]).unwrap();
        assert!(SealFile::read(folder.path()).is_err(), "cut at {at}");
    }
}
