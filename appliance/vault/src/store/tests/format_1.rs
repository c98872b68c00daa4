//! A store as the first version of Redan wrote it, made here byte by byte without the code that writes stores today: whatever
//! becomes of that code, this one must open. Nothing in this file changes with it.

use super::{Bench, flip, get, put};
use crate::store::xaes::Xaes;
use crate::store::{Name, Store, StoreError, Tree, schema};
use hmac::{Hmac, KeyInit, Mac};
use redan_hal::keys::software::SoftwareDevice;
use redan_hal::keys::{DeviceIdentity, KeyDevice};
use serde::Serialize;
use sha2::{Digest, Sha256};

#[derive(Serialize)]
struct Keyring {
    store_id: [u8; 16],
    device: DeviceIdentity,
    store_key_version: u32,
    store_key: Vec<u8>,
    trees: Vec<StoredTree>,
}

#[derive(Serialize)]
struct StoredTree {
    tree: u8,
    naming: Wrapped,
    encryption: Vec<(u32, Wrapped)>,
}

#[derive(Serialize)]
struct Wrapped {
    nonce: [u8; 24],
    key: [u8; 32],
    tag: [u8; 16],
}

const STORE: [u8; 16] = *b"a store of old..";
const STORE_KEY: [u8; 32] = [3; 32];
/// The trees that there were.
const TREES: u8 = 10;
const USERS: u8 = 4;

/// Keys of a tree: for names, and for records.
fn keys(tree: u8) -> ([u8; 32], [u8; 32]) {
    ([tree; 32], [tree + 100; 32])
}

fn wrap(tree: u8, purpose: u8, version: u32, mut key: [u8; 32]) -> Wrapped {
    let context = [
        b"redan tree key\0",
        &STORE[..],
        &1_u32.to_be_bytes(),
        &[tree, purpose],
        &version.to_be_bytes(),
    ]
    .concat();
    let nonce = [tree + purpose; 24];
    let tag = Xaes::new(&STORE_KEY).seal(&nonce, &context, &mut key).unwrap();
    Wrapped { nonce, key, tag }
}

fn keyring(device: &SoftwareDevice) -> Vec<u8> {
    let context = [b"redan store key\0", &STORE[..], &1_u32.to_be_bytes()].concat();
    let trees = (1..=TREES).map(|tree| StoredTree {
        tree,
        naming: wrap(tree, 1, 0, keys(tree).0),
        encryption: vec![(1, wrap(tree, 2, 1, keys(tree).1))],
    });
    let keyring = Keyring {
        store_id: STORE,
        device: *device.identity(),
        store_key_version: 1,
        store_key: device
            .seal(&context, &redan_types::SecretBytes::new(STORE_KEY.to_vec()))
            .unwrap(),
        trees: trees.collect(),
    };
    checked(
        [
            b"redan keyring\n",
            &1_u16.to_le_bytes()[..],
            &postcard::to_stdvec(&keyring).unwrap(),
        ]
        .concat(),
    )
}

fn checked(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

fn place(name: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(&keys(USERS).0).unwrap();
    mac.update(name.as_bytes());
    [&[USERS], &mac.finalize().into_bytes()[..]].concat()
}

fn record(name: &str, value: &[u8]) -> Vec<u8> {
    let nonce = [u8::try_from(name.len()).unwrap(); 24];
    let head = [&[1][..], &1_u32.to_be_bytes(), &nonce].concat();
    let mut body = [
        &u16::try_from(name.len()).unwrap().to_be_bytes()[..],
        name.as_bytes(),
        value,
    ]
    .concat();
    let associated = [b"redan record\0", &head[..5], &place(name)].concat();
    let tag = Xaes::new(&keys(USERS).1).seal(&nonce, &associated, &mut body).unwrap();
    [&head[..], &body, &tag].concat()
}

fn put_form(name: &str, value: &[u8]) -> Vec<u8> {
    let (key, sealed) = (place(name), record(name, value));
    let lengths = [
        &[1, u8::try_from(key.len()).unwrap()][..],
        &u32::try_from(sealed.len()).unwrap().to_le_bytes(),
    ]
    .concat();
    [lengths, key, sealed].concat()
}

fn delete_form(name: &str) -> Vec<u8> {
    let key = place(name);
    [vec![2, u8::try_from(key.len()).unwrap(), 0, 0, 0, 0], key].concat()
}

fn position_head(magic: &[u8; 16], number: u64, sequence: u64, chain: &[u8; 32]) -> Vec<u8> {
    checked([magic, &STORE[..], &number.to_le_bytes(), &sequence.to_le_bytes(), chain].concat())
}

fn frame(sequence: u64, chain: &mut [u8; 32], body: &[u8]) -> Vec<u8> {
    let link = [b"redan journal frame\0", &chain[..], &sequence.to_le_bytes(), body].concat();
    *chain = Sha256::digest(link).into();
    let head = [
        b"RJf1",
        &u32::try_from(body.len()).unwrap().to_le_bytes()[..],
        &sequence.to_le_bytes(),
        chain,
        &crc32c::crc32c(body).to_le_bytes(),
    ];
    [&checked(head.concat()), body, b"1fJR"].concat()
}

fn snapshot(chain: &[u8; 32], rows: &[(&str, &[u8])]) -> Vec<u8> {
    let mut file = position_head(b"redan snapshot1\n", 1, 5, chain);
    let mut rows: Vec<_> = rows
        .iter()
        .map(|(name, value)| (place(name), record(name, value)))
        .collect();
    rows.sort();
    for (key, sealed) in &rows {
        let head = [
            &[u8::try_from(key.len()).unwrap()][..],
            &u32::try_from(sealed.len()).unwrap().to_le_bytes(),
            key,
        ]
        .concat();
        file.extend(checked(head));
        file.extend_from_slice(sealed);
    }
    file.push(0xff);
    file.extend_from_slice(&(rows.len() as u64).to_le_bytes());
    let hash = Sha256::digest(&file);
    file.extend_from_slice(&hash);
    file
}

/// Makes the store in a bench: a snapshot of two users, then a third, one deleted, one changed.
fn write(bench: &Bench) {
    let device = SoftwareDevice::open(bench.path()).unwrap();
    std::fs::create_dir(bench.path().join("store")).unwrap();
    let mut chain = [9; 32];
    std::fs::write(
        bench.store_file("snapshot-0000000000000001"),
        snapshot(&chain, &[("ann", b"one"), ("bob", b"two")]),
    )
    .unwrap();
    let mut segment = position_head(b"redan journal 1\n", 2, 5, &chain);
    segment.extend(frame(5, &mut chain, &put_form("cid", &[7; 5_000])));
    segment.extend(frame(
        6,
        &mut chain,
        &[delete_form("bob"), put_form("ann", b"changed")].concat(),
    ));
    segment.resize(8 << 20, 0);
    std::fs::write(bench.store_file("journal-0000000000000002"), segment).unwrap();
    std::fs::write(bench.store_file("keyring"), keyring(&device)).unwrap();
}

#[test]
fn a_store_of_the_first_version_opens_and_goes_on() {
    let bench = Bench::new();
    write(&bench);
    for round in 0..3 {
        let open = bench.open().unwrap();
        assert!(!open.report.created && open.report.cut.is_none());
        assert_eq!(
            (open.report.records, open.report.corrupt_count),
            (2 + u64::from(round > 0), 0)
        );
        assert_eq!(get(&open.store, "ann").unwrap(), b"changed");
        assert_eq!(
            (get(&open.store, "bob"), get(&open.store, "cid").unwrap()),
            (None, vec![7; 5_000])
        );
        // A tree that there was not yet has got its keys.
        assert!(open.store.get(Tree::TransitKeys, Name::Secret(b"x")).unwrap().is_none());
        put(&open.store, "dan", b"four").unwrap();
        if round == 1 {
            open.store.compact().unwrap();
            open.store.close().unwrap();
        }
    }
}

#[test]
fn a_store_of_the_first_version_with_a_flipped_bit_is_refused_or_names_it() {
    let bench = Bench::new();
    write(&bench);
    for file in ["keyring", "journal-0000000000000002"] {
        flip(&bench.store_file(file), 120);
        assert!(matches!(bench.open(), Err(StoreError::Damaged { .. })), "{file}");
        flip(&bench.store_file(file), 120);
    }
    assert_eq!(bench.open().unwrap().report.corrupt_count, 0);
}

fn rename_ann(store: &Store) -> Result<(), StoreError> {
    let Some(value) = store.get(Tree::Users, Name::Secret(b"ann"))? else {
        return Ok(());
    };
    let mut batch = store.batch();
    batch.put(Tree::Users, Name::Secret(b"anna"), &value)?;
    batch.delete(Tree::Users, Name::Secret(b"ann"))?;
    batch.commit()
}

fn fails(_: &Store) -> Result<(), StoreError> {
    Err(StoreError::Library("do this step"))
}

#[test]
fn steps_to_newer_forms_are_taken_once_in_order_and_go_on_where_they_were_interrupted() {
    let bench = Bench::new();
    write(&bench);
    let folder = bench.path().join("store");
    let open = bench.open().unwrap();
    let first = schema::read(&folder).unwrap();
    assert_eq!(first, 1, "a store without a number is of the first form");
    let step = |to, run| schema::Step { to, run };
    let interrupted = schema::migrate(&open.store, first, &[step(2, rename_ann), step(3, fails)]);
    assert!(interrupted.is_err());
    assert_eq!(get(&open.store, "anna").unwrap(), b"changed");
    // This program knows no such form.
    let error = schema::read(&folder).unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 2, .. }), "{error}");
    drop(open);
    assert!(matches!(bench.open(), Err(StoreError::Newer { found: 2, .. })));
    schema::write(&folder, 1).unwrap();
    let open = bench.open().unwrap();
    // Taken again after an interruption, it is as if it had been taken once.
    let taken = schema::migrate(&open.store, 1, &[step(2, rename_ann), step(3, rename_ann)]).unwrap();
    assert_eq!(taken, [2, 3]);
    assert_eq!(
        (get(&open.store, "anna").unwrap(), get(&open.store, "ann")),
        (b"changed".to_vec(), None)
    );
    assert!(
        schema::migrate(&open.store, 3, &[step(2, fails), step(3, fails)])
            .unwrap()
            .is_empty()
    );
}
