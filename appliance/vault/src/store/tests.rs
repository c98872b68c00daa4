//! The store as a whole: what survives what.

use super::{Name, OpenReport, RecordKey, StateFolder, Store, StoreError, Tree, journal};
use redan_hal::keys::KeyDevice;
use redan_hal::keys::software::SoftwareDevice;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

mod ends;
mod format_1;
mod pending;
mod repair;
mod rotation;
mod transfer;

struct Bench {
    folder: tempfile::TempDir,
}

struct Open {
    store: Store,
    report: OpenReport,
    device: SoftwareDevice,
    _state: StateFolder,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn store_file(&self, name: &str) -> PathBuf {
        self.path().join("store").join(name)
    }

    fn open(&self) -> Result<Open, StoreError> {
        let state = StateFolder::lock(self.path())?;
        let device = SoftwareDevice::open(self.path())?;
        let (store, report) = Store::open(&state, &device)?;
        Ok(Open {
            store,
            report,
            device,
            _state: state,
        })
    }

    /// The last segment of the journal, and where its content ends.
    fn last_segment(&self) -> (PathBuf, usize) {
        let number = *journal::segments(&self.path().join("store")).unwrap().last().unwrap();
        let path = journal::segment_path(&self.path().join("store"), number);
        let bytes = std::fs::read(&path).unwrap();
        let end = bytes.iter().rposition(|byte| *byte != 0).unwrap() + 1;
        (path, end)
    }
}

fn put(store: &Store, name: &str, value: &[u8]) -> Result<(), StoreError> {
    let mut batch = store.batch();
    batch.put(Tree::Users, Name::Secret(name.as_bytes()), value)?;
    batch.commit()
}

fn get(store: &Store, name: &str) -> Option<Vec<u8>> {
    store
        .get(Tree::Users, Name::Secret(name.as_bytes()))
        .unwrap()
        .map(|value| value.to_vec())
}

fn flip(path: &Path, at: usize) {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, at as u64).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at as u64).unwrap();
}

#[test]
fn what_was_acknowledged_is_there_after_an_orderly_and_a_disorderly_end() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    assert!(open.report.created);
    put(&open.store, "ann", b"one").unwrap();
    put(&open.store, "bob", b"two").unwrap();
    put(&open.store, "ann", b"three").unwrap();
    open.store.close().unwrap();
    drop(open);
    let open = bench.open().unwrap();
    assert_eq!(open.report.rebuilt, None);
    assert_eq!((open.report.records, open.report.corrupt_count), (2, 0));
    assert_eq!(get(&open.store, "ann").unwrap(), b"three");
    let mut batch = open.store.batch();
    batch.delete(Tree::Users, Name::Secret(b"bob")).unwrap();
    batch.commit().unwrap();
    drop(open);
    let open = bench.open().unwrap();
    assert!(open.report.rebuilt.is_some());
    assert_eq!(
        (get(&open.store, "ann").as_deref(), get(&open.store, "bob")),
        (Some(&b"three"[..]), None)
    );
}

#[test]
fn long_values_shrink_and_grow_and_survive() {
    let bench = Bench::new();
    for length in [0, 3_500, 3_501, 100_000, 10, 4_000_000, 7_000] {
        let open = bench.open().unwrap();
        let value: Vec<u8> = (0..length).map(|i| u8::try_from(i % 251).unwrap()).collect();
        put(&open.store, "config", &value).unwrap();
        assert_eq!(get(&open.store, "config").unwrap(), value);
        if length % 2 == 0 {
            open.store.close().unwrap();
        }
        drop(open);
        let open = bench.open().unwrap();
        assert_eq!(get(&open.store, "config").unwrap(), value);
        assert_eq!(open.report.records, 1);
    }
    let open = bench.open().unwrap();
    assert!(matches!(
        put(&open.store, "huge", &vec![0; 8 << 20]),
        Err(StoreError::TooLarge { .. })
    ));
    put(&open.store, "small", b"goes on").unwrap();
}

#[test]
fn numbered_records_keep_their_order() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    for number in [3_u64, 1, 300, 2] {
        let mut batch = open.store.batch();
        batch
            .put(Tree::AuditEntries, Name::Number(number), &number.to_le_bytes())
            .unwrap();
        batch.commit().unwrap();
    }
    let numbers = |range, newest, limit| -> Vec<u64> {
        let found = open.store.numbered(Tree::AuditEntries, range, newest, limit).unwrap();
        found
            .into_iter()
            .map(|record| record.unwrap().number.unwrap())
            .collect()
    };
    assert_eq!(numbers(0..u64::MAX, false, 9), [1, 2, 3, 300]);
    assert_eq!(numbers(0..300, true, 2), [3, 2]);
    assert_eq!(numbers(5..5, true, 2), [0_u64; 0]);
}

#[test]
fn names_and_values_do_not_appear_on_the_disk() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "a-very-telling-name", b"a-very-telling-value").unwrap();
    open.store.compact().unwrap();
    put(&open.store, "another-telling-name", b"a-very-telling-value").unwrap();
    let names: Vec<_> = open
        .store
        .list(Tree::Users)
        .unwrap()
        .into_iter()
        .map(|record| record.unwrap().name)
        .collect();
    assert!(names.contains(&b"a-very-telling-name".to_vec()) && names.len() == 2);
    open.store.close().unwrap();
    let mut folders = vec![bench.path().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                assert!(
                    !bytes.windows(7).any(|window| window == b"telling"),
                    "{}",
                    path.display()
                );
            }
        }
    }
}

#[test]
fn a_snapshot_replaces_the_journal_and_loses_nothing() {
    let bench = Bench::new();
    let mut open = bench.open().unwrap();
    for round in 0..4_u8 {
        for i in 0..50_u8 {
            put(&open.store, &format!("user-{i}"), &[round, i]).unwrap();
        }
        let mut batch = open.store.batch();
        batch
            .delete(Tree::Users, Name::Secret(format!("user-{round}").as_bytes()))
            .unwrap();
        batch.commit().unwrap();
        open.store.compact().unwrap();
        assert_eq!(journal::segments(&bench.path().join("store")).unwrap().len(), 1);
        drop(open);
        open = bench.open().unwrap();
        assert_eq!(open.report.records, 49);
        assert_eq!(get(&open.store, &format!("user-{round}")), None);
        assert_eq!(get(&open.store, "user-40").unwrap(), [round, 40]);
    }
}

#[test]
fn a_write_cut_short_is_dropped_and_said() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"kept").unwrap();
    let (_, kept) = bench.last_segment();
    put(&open.store, "bob", &[1; 3000]).unwrap();
    drop(open);
    let (path, end) = bench.last_segment();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_len((kept as u64 + 700).min(end as u64)).unwrap();
    file.set_len(journal::SEGMENT).unwrap();
    let open = bench.open().unwrap();
    assert_eq!(open.report.cut, Some((path, kept as u64)));
    assert_eq!(
        (get(&open.store, "ann").as_deref(), get(&open.store, "bob")),
        (Some(&b"kept"[..]), None)
    );
    put(&open.store, "bob", b"again").unwrap();
    drop(open);
    let open = bench.open().unwrap();
    assert_eq!(get(&open.store, "bob").unwrap(), b"again");
}

#[test]
fn a_flipped_bit_in_the_journal_is_named_and_never_taken_for_a_cut() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let (_, first) = bench.last_segment();
    put(&open.store, "bob", b"two").unwrap();
    drop(open);
    let (path, end) = bench.last_segment();
    for at in [90, first - 20, first + 3, first + 60, end - 1] {
        flip(&path, at);
        let error = bench.open().err().unwrap();
        assert!(
            matches!(&error, StoreError::Damaged { path: named, .. } if *named == path),
            "byte {at}: {error}"
        );
        flip(&path, at);
    }
    let open = bench.open().unwrap();
    assert_eq!(get(&open.store, "bob").unwrap(), b"two");
}

#[test]
fn a_closed_segment_that_lost_its_end_is_noticed() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let (path, end) = bench.last_segment();
    drop(open);
    drop(bench.open().unwrap());
    std::fs::File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .set_len(end as u64 - 100)
        .unwrap();
    let error = bench.open().err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = bench.open().err().unwrap();
    assert!(
        matches!(&error, StoreError::Gap { path: missing } if *missing == path),
        "{error}"
    );
}

#[test]
fn every_damage_to_the_index_is_mended_from_the_journal() {
    type Damage = fn(&Path);
    let damages: [(&str, Damage); 6] = [
        ("conf emptied", |index| std::fs::write(index.join("conf"), b"").unwrap()),
        ("conf removed", |index| {
            std::fs::remove_file(index.join("conf")).unwrap();
        }),
        ("db removed", |index| std::fs::remove_file(index.join("db")).unwrap()),
        ("db emptied", |index| std::fs::write(index.join("db"), b"").unwrap()),
        ("folder removed", |index| std::fs::remove_dir_all(index).unwrap()),
        ("an older db", |index| {
            std::fs::remove_dir_all(index).unwrap();
            let database = sled::Config::new()
                .path(index)
                .mode(sled::Mode::LowSpace)
                .open()
                .unwrap();
            database.open_tree("records").unwrap().insert([4, 1], b"x").unwrap();
            database.flush().unwrap();
        }),
    ];
    let bench = Bench::new();
    let open = bench.open().unwrap();
    for i in 0..200 {
        put(&open.store, &format!("user-{i}"), &[7; 200]).unwrap();
    }
    open.store.close().unwrap();
    drop(open);
    for (what, damage) in damages {
        damage(&bench.store_file("index"));
        let open = bench.open().unwrap();
        assert!(open.report.rebuilt.is_some(), "{what}");
        assert_eq!((open.report.records, open.report.corrupt_count), (200, 0), "{what}");
        assert_eq!(get(&open.store, "user-199").unwrap(), [7; 200], "{what}");
        open.store.close().unwrap();
        drop(open);
    }
}

#[test]
fn a_corrupt_record_is_named_and_the_others_are_readable() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    for name in ["ann", "bob", "cid"] {
        put(&open.store, name, &[7; 200]).unwrap();
    }
    open.store.compact().unwrap();
    drop(open);
    let snapshot = std::fs::read_dir(bench.path().join("store"))
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let snapshot = snapshot
        .filter(|path| path.to_str().unwrap().contains("snapshot-"))
        .max()
        .unwrap();
    // Within the first row's value: behind the file's head (84 bytes), the row's head (42) and the record's head (29).
    flip(&snapshot, 84 + 42 + 29 + 50);
    let open = bench.open().unwrap();
    assert!(open.report.snapshot_damaged);
    assert_eq!(open.report.corrupt_count, 1);
    let (tree, key): &(Tree, RecordKey) = &open.report.corrupt[0];
    let results: Vec<_> = ["ann", "bob", "cid"]
        .map(|name| open.store.get(Tree::Users, Name::Secret(name.as_bytes())))
        .into();
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    assert_eq!((good.len(), bad.len()), (2, 1));
    let error = bad.into_iter().next().unwrap().unwrap_err();
    assert!(
        matches!(&error, StoreError::Corrupt { tree: named, key: found } if named == tree && found == key),
        "{error}"
    );
    assert!(error.to_string().contains("in tree users"), "{error}");
    assert_eq!(
        open.store
            .list(Tree::Users)
            .unwrap()
            .iter()
            .filter(|record| record.is_ok())
            .count(),
        2
    );
    put(&open.store, "dan", b"goes on").unwrap();
}

#[test]
fn a_record_of_another_place_is_refused() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let keyring = &open.store.inner.keyring;
    let ann = keyring.locate(Tree::Users, Name::Secret(b"ann")).unwrap();
    let sealed = open.store.inner.index.read().unwrap().get(&ann).unwrap().unwrap();
    assert!(keyring.open_record(&ann, &sealed).is_ok());
    let bob = keyring.locate(Tree::Users, Name::Secret(b"bob")).unwrap();
    assert!(matches!(
        keyring.open_record(&bob, &sealed),
        Err(StoreError::Corrupt { .. })
    ));
    let elsewhere = RecordKey::new(Tree::Sessions, &ann.bytes()[1..]);
    assert!(matches!(
        keyring.open_record(&elsewhere, &sealed),
        Err(StoreError::Corrupt {
            tree: Tree::Sessions,
            ..
        })
    ));
    for at in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[at] ^= 1;
        assert!(keyring.open_record(&ann, &altered).is_err(), "byte {at}");
    }
}

#[test]
fn a_store_of_another_device_is_refused_by_name() {
    let (here, there) = (Bench::new(), Bench::new());
    let device = here.open().unwrap().device;
    let other = there.open().unwrap().device;
    std::fs::copy(there.path().join("device.key"), here.path().join("device.key")).unwrap();
    let error = here.open().err().unwrap();
    assert!(matches!(&error, StoreError::OtherDevice { sealed_by, present }
        if sealed_by == device.identity() && present == other.identity()));
    let text = error.to_string();
    assert!(
        text.contains(&device.identity().to_string()) && text.contains(&other.identity().to_string()),
        "{text}"
    );
}

#[test]
fn a_second_vault_on_the_same_store_is_refused() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    assert!(matches!(bench.open(), Err(StoreError::InUse { .. })));
    drop(open);
    bench.open().unwrap();
}

#[test]
fn a_lost_keyring_or_journal_is_an_error_and_never_a_new_store() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    drop(open);
    let keyring = bench.store_file("keyring");
    let bytes = std::fs::read(&keyring).unwrap();
    std::fs::remove_file(&keyring).unwrap();
    assert!(matches!(bench.open(), Err(StoreError::KeyringMissing { .. })));
    for at in (0..bytes.len()).step_by(7) {
        std::fs::write(&keyring, &bytes).unwrap();
        flip(&keyring, at);
        assert!(matches!(bench.open(), Err(StoreError::Damaged { .. })), "byte {at}");
    }
    std::fs::write(&keyring, &bytes).unwrap();
    for number in journal::segments(&bench.path().join("store")).unwrap() {
        std::fs::remove_file(journal::segment_path(&bench.path().join("store"), number)).unwrap();
    }
    assert!(matches!(bench.open(), Err(StoreError::Gap { .. })));
}

#[test]
fn an_interrupted_creation_begins_again() {
    let bench = Bench::new();
    drop(bench.open().unwrap());
    let store = bench.path().join("store");
    std::fs::remove_file(store.join("keyring")).unwrap();
    for number in journal::segments(&store).unwrap().into_iter().skip(1) {
        std::fs::remove_file(journal::segment_path(&store, number)).unwrap();
    }
    assert!(bench.open().unwrap().report.created);
}

#[test]
fn many_writers_share_syncs_and_all_are_durable() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    let store = Arc::new(open.store);
    std::thread::scope(|scope| {
        for writer in 0..16 {
            let store = Arc::clone(&store);
            scope.spawn(move || (0..50).for_each(|i| put(&store, &format!("{writer}-{i}"), &[1; 300]).unwrap()));
        }
    });
    let frames = store
        .inner
        .journal
        .lock()
        .unwrap()
        .as_ref()
        .unwrap()
        .position()
        .sequence
        - 1;
    assert!(frames < 800, "{frames} frames for 800 changes: nothing was shared");
    drop(store);
    drop(open._state);
    let open = bench.open().unwrap();
    assert_eq!((open.report.records, open.report.corrupt_count), (800, 0));
}

#[test]
fn an_index_that_fails_moves_to_memory_and_nothing_is_lost() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    open.store.compact().unwrap();
    put(&open.store, "bob", b"two").unwrap();
    let journal = open.store.inner.journal.lock().unwrap();
    let memory = open.store.inner.index_in_memory().unwrap();
    *open.store.inner.index.write().unwrap() = memory;
    drop(journal);
    put(&open.store, "cid", b"three").unwrap();
    assert_eq!(open.store.list(Tree::Users).unwrap().len(), 3);
    open.store.close().unwrap();
    drop(open);
    let open = bench.open().unwrap();
    assert!(open.report.rebuilt.is_some());
    assert_eq!(
        (get(&open.store, "ann").unwrap(), get(&open.store, "cid").unwrap()),
        (b"one".to_vec(), b"three".to_vec())
    );
}
