//! Exports and imports: everything comes back, and nothing but the whole file with its key is taken.

use super::{Bench, get, put};
use crate::store::{ExportKey, Name, StateFolder, Store, StoreError, Tree};
use redan_hal::keys::software::SoftwareDevice;
use redan_types::{SecretBytes, SecretString};

fn passphrase(text: &str) -> ExportKey {
    ExportKey::Passphrase(SecretString::new(text.to_owned()))
}

fn key(byte: u8) -> ExportKey {
    ExportKey::Key(SecretBytes::new(vec![byte; 32]))
}

fn filled() -> Bench {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    for i in 0..300_u64 {
        put(
            &open.store,
            &format!("user-{i}"),
            &vec![u8::try_from(i % 251).unwrap(); usize::try_from(i * 7).unwrap()],
        )
        .unwrap();
        let mut batch = open.store.batch();
        batch
            .put(Tree::AuditEntries, Name::Number(i), &i.to_le_bytes())
            .unwrap();
        batch.commit().unwrap();
    }
    put(&open.store, "large", &vec![9; 3 << 20]).unwrap();
    put(&open.store, "empty", b"").unwrap();
    open.store.close().unwrap();
    drop(open);
    bench
}

fn export(bench: &Bench, key: &ExportKey) -> Vec<u8> {
    let mut file = Vec::new();
    let exported = bench.open().unwrap().store.export(key, &mut file).unwrap();
    assert_eq!((exported.records, exported.damaged.len()), (602, 0));
    file
}

fn import(to: &Bench, key: &ExportKey, file: &[u8]) -> Result<u64, StoreError> {
    let state = StateFolder::lock(to.path())?;
    let device = SoftwareDevice::open(to.path())?;
    Store::import(&state, &device, key, &mut &file[..]).map(|exported| exported.records)
}

#[test]
fn an_export_makes_the_same_store_on_another_device_with_other_keys() {
    let bench = filled();
    for key in [passphrase("correct horse battery"), key(7)] {
        let file = export(&bench, &key);
        assert!(!file.windows(5).any(|window| window == b"user-"));
        let other = Bench::new();
        assert_eq!(import(&other, &key, &file).unwrap(), 602);
        let open = other.open().unwrap();
        assert_eq!(
            (open.report.created, open.report.rebuilt.as_ref(), open.report.records),
            (false, None, 602)
        );
        for i in 0..300_u64 {
            assert_eq!(
                get(&open.store, &format!("user-{i}")).unwrap(),
                vec![u8::try_from(i % 251).unwrap(); usize::try_from(i * 7).unwrap()]
            );
        }
        assert_eq!(
            (
                get(&open.store, "large").unwrap().len(),
                get(&open.store, "empty").unwrap().len()
            ),
            (3 << 20, 0)
        );
        let numbers = open
            .store
            .numbered(Tree::AuditEntries, 0..u64::MAX, false, 1_000)
            .unwrap();
        assert_eq!(numbers.len(), 300);
        assert_ne!(open.store.inner.store_id, bench.open().unwrap().store.inner.store_id);
        // A store that is there is never written over.
        drop(open);
        assert!(matches!(import(&other, &key, &file), Err(StoreError::Exists { .. })));
    }
}

#[test]
fn an_export_that_is_not_whole_makes_no_store() {
    let bench = filled();
    let right = key(7);
    let file = export(&bench, &right);
    let other = Bench::new();
    let refused = |what: &str, file: &[u8], key: &ExportKey| {
        let error = import(&other, key, file).unwrap_err();
        assert!(matches!(error, StoreError::Export(_)), "{what}: {error}");
        assert!(
            !other.path().join("store").exists() && !other.path().join("store.import").exists(),
            "{what}"
        );
    };
    refused("another key", &file, &key(8));
    refused("a passphrase for a key", &file, &passphrase("correct horse battery"));
    refused("a short key", &file, &ExportKey::Key(SecretBytes::new(vec![7; 31])));
    refused("nothing", &[], &right);
    for end in [10, 59, 60, 64, 1_000, file.len() / 2, file.len() - 1] {
        refused("cut short", &file[..end], &right);
    }
    let mut longer = file.clone();
    longer.push(0);
    refused("more than all", &longer, &right);
    for at in (0..file.len()).step_by(file.len() / 40) {
        let mut altered = file.clone();
        altered[at] ^= 4;
        refused("altered", &altered, &right);
    }
    // Whole chunks in another order.
    let (head, chunk) = (60, 5 + (64 << 10) + 16);
    let mut swapped = file.clone();
    swapped[head..head + 2 * chunk].rotate_left(chunk);
    refused("chunks swapped", &swapped, &right);
    let missing = [&file[..head + chunk], &file[head + 2 * chunk..]].concat();
    refused("a chunk left out", &missing, &right);
    assert_eq!(import(&other, &right, &file).unwrap(), 602);
}

#[test]
fn a_short_passphrase_is_refused() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    assert!(matches!(
        open.store.export(&passphrase("elevenchars"), &mut Vec::new()),
        Err(StoreError::Export(_))
    ));
}

#[test]
fn an_export_is_one_moment_while_changes_and_rotations_go_on() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    let mut files = Vec::new();
    std::thread::scope(|scope| {
        let (store, stop) = (&open.store, &stop);
        scope.spawn(move || {
            for number in 0_u64.. {
                if stop.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let mut batch = store.batch();
                for name in ["one", "two"] {
                    batch
                        .put(Tree::Users, Name::Secret(name.as_bytes()), &number.to_le_bytes())
                        .unwrap();
                }
                match batch.commit() {
                    Ok(()) | Err(StoreError::Stale(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
        });
        for _ in 0..4 {
            match store.rotate_keys(&open.device) {
                Ok(()) | Err(StoreError::Rotating) => {}
                Err(error) => panic!("{error}"),
            }
            let mut file = Vec::new();
            assert!(store.export(&key(7), &mut file).unwrap().damaged.is_empty());
            files.push(file);
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    for file in files {
        let other = Bench::new();
        import(&other, &key(7), &file).unwrap();
        let other = other.open().unwrap();
        assert_eq!(get(&other.store, "one"), get(&other.store, "two"));
    }
}
