//! New keys for old, while everything goes on.

use super::{Bench, Open, flip, get, put};
use crate::store::{Name, Store, StoreError, Tree, journal};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

/// Waits until the old keys are gone: each merge is the maintenance thread's answer that it went on.
fn finish(store: &Store) {
    let begin = Instant::now();
    while store.rotation().under_way {
        store.compact().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(60), "{:?}", store.notes());
    }
}

fn versions(store: &Store) -> Vec<u32> {
    store
        .rotation()
        .versions
        .into_iter()
        .map(|(_, version)| version)
        .collect()
}

/// The version of the key that each stored record of users stands under.
fn stored_versions(store: &Store) -> Vec<u32> {
    let index = store.inner.index.read().unwrap();
    let all = index
        .range(&[Tree::Users.id()]..&[Tree::Users.id() + 1], false, usize::MAX)
        .unwrap();
    all.iter()
        .map(|(_, sealed)| u32::from_be_bytes(sealed[1..5].try_into().unwrap()))
        .collect()
}

fn rotate(open: &Open) {
    open.store.rotate_keys(&open.device).unwrap();
}

#[test]
fn a_rotation_renews_every_record_destroys_the_old_keys_and_loses_nothing() {
    let bench = Bench::new();
    let mut open = bench.open().unwrap();
    for i in 0..400 {
        put(&open.store, &format!("user-{i}"), format!("value {i}").as_bytes()).unwrap();
    }
    let before = std::fs::read(bench.store_file("keyring")).unwrap();
    for round in 2..4 {
        rotate(&open);
        // From here on changes stand under the new key.
        assert_eq!(versions(&open.store), [round; Tree::ALL.len()]);
        put(&open.store, "late", b"one").unwrap();
        finish(&open.store);
        assert_eq!(stored_versions(&open.store), [round; 401]);
        assert_eq!(
            journal::segments(&bench.path().join("store")).unwrap().len(),
            1,
            "old records lie in no segment"
        );
        if round == 2 {
            open.store.close().unwrap();
        }
        drop(open);
        open = bench.open().unwrap();
        assert_eq!((open.report.records, open.report.corrupt_count), (401, 0));
        assert_eq!(versions(&open.store), [round; Tree::ALL.len()]);
        for i in 0..400 {
            assert_eq!(
                get(&open.store, &format!("user-{i}")).unwrap(),
                format!("value {i}").as_bytes()
            );
        }
    }
    // The old keyring opens nothing that is there now.
    drop(open);
    std::fs::write(bench.store_file("keyring"), before).unwrap();
    assert_eq!(bench.open().unwrap().report.corrupt_count, 401);
}

#[test]
fn an_interrupted_rotation_goes_on_at_the_next_start() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    for i in 0..300 {
        put(&open.store, &format!("user-{i}"), &[7; 100]).unwrap();
    }
    // As a crash leaves it right after the new keys were made: the rest of the rotation has not begun.
    drop(crate::store::keyring::Keyring::renew(&bench.path().join("store"), &open.device).unwrap());
    put(&open.store, "under-the-old-key", b"one").unwrap();
    drop(open);
    let open = bench.open().unwrap();
    assert_eq!(open.report.corrupt_count, 0);
    finish(&open.store);
    assert_eq!(stored_versions(&open.store), [2; 301]);
    assert_eq!(get(&open.store, "under-the-old-key").unwrap(), b"one");
}

#[test]
fn nothing_gets_in_under_an_old_key() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    let seal = |name: &'static str| {
        open.store
            .seal(Tree::Users, Name::Secret(name.as_bytes()), b"sealed before")
            .unwrap()
    };
    let (soon, late) = (seal("soon"), seal("late"));
    rotate(&open);
    let mut batch = open.store.batch();
    batch.add(soon);
    match batch.commit() {
        // While the old key is there the record is encrypted anew.
        Ok(()) => assert_eq!(get(&open.store, "soon").unwrap(), b"sealed before"),
        Err(error) => assert!(matches!(error, StoreError::Stale(_)), "{error}"),
    }
    finish(&open.store);
    let mut batch = open.store.batch();
    batch.add(late);
    batch.put(Tree::Users, Name::Secret(b"beside"), b"it").unwrap();
    assert!(matches!(batch.commit(), Err(StoreError::Stale(_))));
    assert_eq!((get(&open.store, "late"), get(&open.store, "beside")), (None, None));
    assert!(stored_versions(&open.store).iter().all(|version| *version == 2));
    put(&open.store, "ann", b"goes on").unwrap();
}

#[test]
fn rotations_under_load_lose_nothing() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    let stop = AtomicBool::new(false);
    let written: Vec<u64> = std::thread::scope(|scope| {
        let (store, stop) = (&open.store, &stop);
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                scope.spawn(move || {
                    let mut number = 0_u64;
                    while !stop.load(Ordering::Relaxed) {
                        number += 1;
                        let name = format!("{writer}-{}", number % 50);
                        match put(store, &name, &number.to_le_bytes()) {
                            Ok(()) => assert_eq!(get(store, &name).unwrap(), number.to_le_bytes()),
                            // Between encrypting and writing a whole rotation went by. The caller hears of it.
                            Err(StoreError::Stale(_)) => number -= 1,
                            Err(error) => panic!("{error}"),
                        }
                    }
                    number
                })
            })
            .collect();
        for _ in 0..5 {
            rotate(&open);
            if let Err(error) = open.store.rotate_keys(&open.device) {
                assert!(matches!(error, StoreError::Rotating), "{error}");
            }
            finish(store);
        }
        stop.store(true, Ordering::Relaxed);
        writers.into_iter().map(|writer| writer.join().unwrap()).collect()
    });
    let check = |store: &Store| {
        for (newest, writer) in written.iter().zip(0..) {
            for number in newest.saturating_sub(49).max(1)..=*newest {
                assert_eq!(
                    get(store, &format!("{writer}-{}", number % 50)).unwrap(),
                    number.to_le_bytes()
                );
            }
        }
    };
    check(&open.store);
    drop(open);
    let open = bench.open().unwrap();
    assert_eq!(open.report.corrupt_count, 0);
    check(&open.store);
}

#[test]
fn a_damaged_record_keeps_its_key_and_is_named() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", &[7; 200]).unwrap();
    put(&open.store, "bob", &[7; 200]).unwrap();
    open.store.compact().unwrap();
    drop(open);
    let snapshot = std::fs::read_dir(bench.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshot = snapshot
        .filter(|path| path.to_str().unwrap().contains("snapshot-"))
        .max()
        .unwrap();
    flip(&snapshot, 84 + 42 + 29 + 50);
    let open = bench.open().unwrap();
    assert_eq!(open.report.corrupt_count, 1);
    rotate(&open);
    let begin = Instant::now();
    while !open
        .store
        .notes()
        .iter()
        .any(|note| note.contains("1 damaged records claim"))
    {
        open.store.compact().unwrap();
        assert!(begin.elapsed() < Duration::from_secs(60));
    }
    assert!(open.store.rotation().under_way);
    assert!(matches!(
        open.store.rotate_keys(&open.device),
        Err(StoreError::Rotating)
    ));
    let mut found = stored_versions(&open.store);
    found.sort_unstable();
    assert_eq!(found, [1, 2]);
}
