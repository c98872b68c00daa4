//! Damage where acknowledged data lies: refused by default; with an operator's permission, opened with the loss named.

use super::{Bench, flip, get, put};
use crate::store::{Name, StoreError, Tree, journal};

fn allow(bench: &Bench) {
    std::fs::write(bench.path().join("repair"), b"").unwrap();
}

/// A store with three changes, and where the frame of the second lies.
fn three(bench: &Bench) -> (std::path::PathBuf, std::ops::Range<usize>) {
    let open = bench.open().unwrap();
    put(&open.store, "ann", &[1; 300]).unwrap();
    let (path, begin) = bench.last_segment();
    put(&open.store, "bob", &[2; 300]).unwrap();
    let (_, end) = bench.last_segment();
    put(&open.store, "cid", &[3; 300]).unwrap();
    (path, begin..end)
}

#[test]
fn a_damaged_frame_in_the_middle_is_refused_and_with_permission_only_it_is_lost_and_named() {
    let bench = Bench::new();
    let (path, frame) = three(&bench);
    let bob = {
        let open = bench.open().unwrap();
        open.store
            .inner
            .keyring
            .locate(Tree::Users, Name::Secret(b"bob"))
            .unwrap()
    };
    // Within the record's ciphertext.
    flip(&path, frame.end - 100);
    for _ in 0..2 {
        assert!(matches!(bench.open(), Err(StoreError::Damaged { .. })));
    }
    allow(&bench);
    let open = bench.open().unwrap();
    let repaired = open.report.repaired.as_ref().unwrap();
    let [loss] = repaired.losses.as_slice() else {
        panic!("{repaired}")
    };
    assert_eq!(
        (&loss.path, loss.bytes.clone()),
        (&path, frame.start as u64..frame.end as u64)
    );
    assert_eq!(
        (loss.frames.clone(), loss.kept, &loss.concerned),
        (2..3, 0, &vec![(Tree::Users, bob)])
    );
    assert_eq!(
        (get(&open.store, "ann").unwrap(), get(&open.store, "cid").unwrap()),
        (vec![1; 300], vec![3; 300])
    );
    assert_eq!(get(&open.store, "bob"), None);
    assert!(repaired.kept.join(path.file_name().unwrap()).exists());
    assert_eq!(
        std::fs::read_to_string(repaired.kept.join("report")).unwrap(),
        repaired.to_string()
    );
    // The permission was for one start, and the store is whole again.
    assert!(!bench.path().join("repair").exists());
    put(&open.store, "bob", b"again").unwrap();
    drop(open);
    let open = bench.open().unwrap();
    assert_eq!(open.report.repaired, None);
    assert_eq!(get(&open.store, "bob").unwrap(), b"again");
}

#[test]
fn what_is_whole_within_a_damaged_frame_is_kept() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "old", b"value").unwrap();
    let (_, begin) = bench.last_segment();
    let mut batch = open.store.batch();
    batch.put(Tree::Users, Name::Secret(b"ann"), &[1; 200]).unwrap();
    batch.put(Tree::Users, Name::Secret(b"bob"), &[2; 200]).unwrap();
    batch.delete(Tree::Users, Name::Secret(b"old")).unwrap();
    batch.commit().unwrap();
    let (path, end) = bench.last_segment();
    put(&open.store, "cid", b"three").unwrap();
    drop(open);
    flip(&path, begin + 56 + 39 + 60);
    allow(&bench);
    let open = bench.open().unwrap();
    let repaired = open.report.repaired.as_ref().unwrap();
    let [loss] = repaired.losses.as_slice() else {
        panic!("{repaired}")
    };
    assert_eq!(
        (loss.bytes.clone(), loss.kept, loss.concerned.len()),
        (begin as u64..end as u64, 1, 2)
    );
    assert_eq!(get(&open.store, "bob").unwrap(), [2; 200]);
    // A deletion is not authenticated: it is named, and not made.
    assert_eq!(get(&open.store, "old").unwrap(), b"value");
    assert_eq!(
        (get(&open.store, "ann"), get(&open.store, "cid").unwrap()),
        (None, b"three".to_vec())
    );
}

#[test]
fn an_erased_end_a_missing_segment_and_a_damaged_head_are_each_survived_and_named() {
    type Damage = fn(&std::path::Path);
    let damages: [(&str, Damage); 3] = [
        ("missing", |path| std::fs::remove_file(path).unwrap()),
        ("head", |path| flip(path, 20)),
        ("does not continue", |path| {
            let file = std::fs::File::options().write(true).open(path).unwrap();
            let length = file.metadata().unwrap().len();
            file.set_len(length - 400).unwrap();
        }),
    ];
    for (what, damage) in damages {
        let bench = Bench::new();
        let (path, _) = three(&bench);
        let open = bench.open().unwrap();
        put(&open.store, "dan", b"four").unwrap();
        drop(open);
        damage(&path);
        assert!(bench.open().is_err(), "{what}");
        allow(&bench);
        let open = bench.open().unwrap();
        let report = open.report.repaired.as_ref().unwrap().to_string();
        assert!(
            report.contains(what) && report.contains(path.file_name().unwrap().to_str().unwrap()),
            "{what}: {report}"
        );
        assert_eq!(get(&open.store, "dan").unwrap(), b"four", "{what}");
        drop(open);
        assert_eq!(get(&bench.open().unwrap().store, "dan").unwrap(), b"four", "{what}");
    }
}

#[test]
fn a_snapshot_with_damaged_rows_is_read_around_them() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    for i in 0..50 {
        put(&open.store, &format!("user-{i}"), &[7; 200]).unwrap();
    }
    open.store.compact().unwrap();
    put(&open.store, "late", b"one").unwrap();
    drop(open);
    let files = std::fs::read_dir(bench.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshot = files
        .filter(|path| path.to_str().unwrap().contains("snapshot-"))
        .max()
        .unwrap();
    // Two heads of rows; a row is 42 bytes of head and 29 + 2 + 7 or so + 200 + 16 of value.
    flip(&snapshot, 84 + 10);
    flip(
        &snapshot,
        usize::try_from(std::fs::metadata(&snapshot).unwrap().len()).unwrap() - 41 - 250,
    );
    assert!(matches!(bench.open(), Err(StoreError::Damaged { .. })));
    allow(&bench);
    let open = bench.open().unwrap();
    let repaired = open.report.repaired.as_ref().unwrap();
    assert!(
        !repaired.losses.is_empty() && repaired.losses.iter().all(|loss| loss.path == snapshot),
        "{repaired}"
    );
    assert!((49..=50).contains(&repaired.records), "{repaired}");
    assert_eq!(get(&open.store, "late").unwrap(), b"one");
    put(&open.store, "more", b"goes on").unwrap();
}

#[test]
fn a_permission_without_damage_changes_nothing_and_does_not_linger() {
    let bench = Bench::new();
    three(&bench);
    let before = journal::segments(&bench.path().join("store")).unwrap();
    allow(&bench);
    let open = bench.open().unwrap();
    assert_eq!(open.report.repaired, None);
    assert!(!bench.path().join("repair").exists());
    assert!(
        journal::segments(&bench.path().join("store"))
            .unwrap()
            .starts_with(&before)
    );
    assert_eq!(open.report.records, 3);
}
