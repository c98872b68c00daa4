//! How a store ended, and what the next start makes of it.

use super::{Bench, get, put};
use crate::store::{StoreError, journal};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;

fn inode(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().ino()
}

#[test]
fn an_erased_end_after_an_orderly_stop_is_damage_at_every_start() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let (path, kept) = bench.last_segment();
    put(&open.store, "bob", b"two").unwrap();
    open.store.close().unwrap();
    drop(open);
    let whole = std::fs::read(&path).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.write_all_at(&vec![0; whole.len() - kept], kept as u64).unwrap();
    for _ in 0..2 {
        let error = bench.open().err().unwrap();
        assert!(
            matches!(&error, StoreError::Damaged { path: named, offset, what }
                if *named == path && *offset == kept as u64 && what.contains("later place")),
            "{error}"
        );
    }
    std::fs::write(&path, &whole).unwrap();
    let open = bench.open().unwrap();
    assert_eq!(open.report.rebuilt, None);
    assert_eq!(get(&open.store, "bob").unwrap(), b"two");
}

#[test]
fn after_a_disorderly_end_the_last_segment_is_written_anew_and_after_an_orderly_one_it_is_left_alone() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    drop(open);
    let (path, end) = bench.last_segment();
    let (before, content) = (inode(&path), std::fs::read(&path).unwrap());
    let open = bench.open().unwrap();
    assert!(open.report.renewed);
    assert_ne!(inode(&path), before);
    assert_eq!(std::fs::read(&path).unwrap(), content[..end]);
    put(&open.store, "bob", b"two").unwrap();
    open.store.close().unwrap();
    drop(open);
    let (path, _) = bench.last_segment();
    let before = inode(&path);
    let open = bench.open().unwrap();
    assert!(!open.report.renewed);
    assert_eq!(inode(&path), before);
    assert_eq!(get(&open.store, "bob").unwrap(), b"two");
}

#[test]
fn a_cut_write_that_was_copied_is_still_a_cut() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let (path, kept) = bench.last_segment();
    put(&open.store, "bob", &[7; 3000]).unwrap();
    drop(open);
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    // The end of a sector, so that the rest looks as a disk leaves it.
    let torn = (kept / 512 + 2) * 512;
    file.write_all_at(&[0; 4096], torn as u64).unwrap();
    let open = bench.open().unwrap();
    assert_eq!(open.report.cut, Some((path, kept as u64)));
    put(&open.store, "cid", b"three").unwrap();
    drop(open);
    for _ in 0..2 {
        let open = bench.open().unwrap();
        assert_eq!(open.report.cut, None);
        assert_eq!(get(&open.store, "bob"), None);
        assert_eq!(get(&open.store, "cid").unwrap(), b"three");
    }
}

#[test]
fn a_store_that_failed_makes_no_claim_when_it_is_closed() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    open.store.inner.break_off("sync: input/output error".to_owned());
    open.store.close().unwrap();
    drop(open);
    assert!(!bench.store_file("index.clean").exists());
    let open = bench.open().unwrap();
    assert!(open.report.rebuilt.is_some() && open.report.renewed);
    assert_eq!(get(&open.store, "ann").unwrap(), b"one");
}

#[test]
fn a_sync_that_failed_ends_all_writing_and_other_errors_of_maintenance_do_not() {
    for (operation, error, ends) in [
        ("sync", 5, true),
        // No room: nothing was lost, and there may be room later.
        ("sync", 28, false),
        ("open", 5, false),
    ] {
        let bench = Bench::new();
        let open = bench.open().unwrap();
        put(&open.store, "ann", b"one").unwrap();
        let failed = StoreError::file(operation, Path::new("journal-spare.new"))(io::Error::from_raw_os_error(error));
        let _ = open.store.inner.heed::<()>(Err(failed));
        assert_eq!(open.store.unwritable().is_some(), ends, "{operation} {error}");
        assert_eq!(put(&open.store, "bob", b"two").is_err(), ends);
        assert_eq!(open.store.compact().is_err(), ends);
        assert_eq!(open.store.rotate_keys(&open.device).is_err(), ends);
        assert_eq!(get(&open.store, "ann").unwrap(), b"one", "reading goes on");
        drop(open);
        let open = bench.open().unwrap();
        assert_eq!(get(&open.store, "ann").unwrap(), b"one");
        assert_eq!(get(&open.store, "bob").is_none(), ends);
    }
}

#[test]
fn what_waited_for_the_journal_while_a_write_failed_is_refused_and_leaves_nothing() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let folder = bench.path().join("store");
    let before = (journal::segments(&folder).unwrap(), bench.last_segment());
    let content = std::fs::read(&before.1.0).unwrap();
    let inner = &open.store.inner;
    std::thread::scope(|scope| {
        let held = inner.journal.lock().unwrap();
        let store = &open.store;
        let writers = [0, 1, 2, 3].map(|writer| {
            scope.spawn(move || match writer {
                0 => store.compact(),
                _ => put(store, &format!("writer-{writer}"), b"late"),
            })
        });
        // As a write does that fails: while it holds the journal.
        inner.break_off("sync: input/output error".to_owned());
        drop(held);
        for writer in writers {
            assert!(matches!(writer.join().unwrap(), Err(StoreError::ReadOnly(_))));
        }
    });
    assert_eq!((journal::segments(&folder).unwrap(), bench.last_segment()), before);
    assert_eq!(std::fs::read(&before.1.0).unwrap(), content);
}
