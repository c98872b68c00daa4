//! Kills, full disks and read-only ones: the store in a process of its own, which is this test binary again.

use super::{Name, StateFolder, Store, StoreError, Tree};
use redan_hal::keys::software::SoftwareDevice;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

const FOLDER: &str = "REDAN_TEST_STORE";
const WRITERS: u64 = 4;

fn open(folder: &Path) -> Result<(StateFolder, Store, super::OpenReport), StoreError> {
    let state = StateFolder::lock(folder)?;
    let device = SoftwareDevice::open(folder)?;
    let (store, report) = Store::open(&state, &device)?;
    Ok((state, store, report))
}

fn value(number: u64) -> Vec<u8> {
    let length = 100 + usize::try_from(number % 50).unwrap() * 30;
    number.to_le_bytes().into_iter().cycle().take(length).collect()
}

fn put(store: &Store, number: u64) -> Result<(), StoreError> {
    let mut batch = store.batch();
    batch.put(Tree::AuditEntries, Name::Number(number), &value(number))?;
    batch.put(
        Tree::Users,
        Name::Secret(format!("writer-{}", number % WRITERS).as_bytes()),
        &number.to_le_bytes(),
    )?;
    batch.commit()
}

/// The folder, where this process was started by a test below.
fn folder() -> Option<PathBuf> {
    std::env::var_os(FOLDER).map(PathBuf::from)
}

fn child(test: &str, folder: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", &format!("store::faults::{test}"), "--nocapture"])
        .env(FOLDER, folder);
    command.stdout(Stdio::piped()).stderr(Stdio::inherit());
    command
}

/// The numbers that a child printed as acknowledged.
fn acknowledged(child: &mut Child) -> impl Iterator<Item = u64> + use<> {
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    lines
        .map_while(Result::ok)
        .filter_map(|line| line.strip_prefix("ack ")?.parse().ok())
}

/// Runs in the child: writes without end and prints what was acknowledged.
#[test]
fn child_that_writes() {
    let Some(folder) = folder() else { return };
    let (_state, store, report) = open(&folder).unwrap();
    assert_eq!(report.corrupt_count, 0);
    let newest = store.numbered(Tree::AuditEntries, 0..u64::MAX, true, 1).unwrap();
    let begin = newest
        .into_iter()
        .next()
        .map_or(0, |record| record.unwrap().number.unwrap() + WRITERS);
    let begin = begin - begin % WRITERS;
    let out = Arc::new(Mutex::new(std::io::stdout()));
    std::thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (store, out) = (&store, Arc::clone(&out));
            scope.spawn(move || {
                for number in (begin + writer..).step_by(usize::try_from(WRITERS).unwrap()) {
                    put(store, number).unwrap();
                    writeln!(out.lock().unwrap(), "ack {number}").unwrap();
                }
            });
        }
    });
}

#[test]
fn nothing_acknowledged_is_lost_by_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let mut all = Vec::new();
    for round in 0..6_usize {
        let mut child = child("child_that_writes", folder.path()).spawn().unwrap();
        let mut numbers = acknowledged(&mut child);
        all.extend(numbers.by_ref().take(20 + round * 70));
        child.kill().unwrap();
        // What was printed before the kill counts too.
        all.extend(numbers);
        child.wait().unwrap();
        let (_state, store, report) = open(folder.path()).unwrap();
        assert_eq!(report.corrupt_count, 0);
        for number in &all {
            let found = store.get(Tree::AuditEntries, Name::Number(*number)).unwrap();
            assert_eq!(
                found.map(|value| value.to_vec()),
                Some(value(*number)),
                "entry {number} in round {round}"
            );
        }
        for writer in 0..WRITERS {
            let newest = all.iter().filter(|number| *number % WRITERS == writer).max();
            let name = format!("writer-{writer}");
            let stored = store.get(Tree::Users, Name::Secret(name.as_bytes())).unwrap();
            let stored = stored.map(|value| u64::from_le_bytes(value.as_slice().try_into().unwrap()));
            assert!(
                stored.as_ref() >= newest,
                "{name} says {stored:?}, {newest:?} was acknowledged"
            );
            // A change of two records is there whole or not at all.
            if let Some(stored) = stored {
                assert!(store.get(Tree::AuditEntries, Name::Number(stored)).unwrap().is_some());
            }
        }
    }
    assert!(all.len() > 500, "{}", all.len());
}

/// Runs in the child, on a small file system.
#[test]
fn child_on_a_full_disk() {
    let Some(folder) = folder() else { return };
    let (state, store, _) = open(&folder).unwrap();
    let mut acknowledged = 0;
    let error = loop {
        match put(&store, acknowledged) {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1_000_000, "the disk never fills");
    };
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(put(&store, acknowledged).is_err());
    for number in 0..acknowledged {
        let found = store.get(Tree::AuditEntries, Name::Number(number)).unwrap();
        assert_eq!(found.unwrap().to_vec(), value(number), "reading goes on");
    }
    assert!(
        store
            .get(Tree::AuditEntries, Name::Number(acknowledged))
            .unwrap()
            .is_none(),
        "a refused change is not there"
    );
    drop((store, state));
    let (state, store, report) = open(&folder).unwrap();
    assert_eq!(report.records, acknowledged + WRITERS);
    drop((store, state));
    std::fs::remove_file(folder.join("ballast")).unwrap();
    let (_state, store, report) = open(&folder).unwrap();
    assert_eq!(report.records, acknowledged + WRITERS);
    put(&store, acknowledged).unwrap();
    println!("ack {acknowledged}");
}

/// Runs in the child, on a file system that has been made read-only.
#[test]
fn child_on_a_read_only_disk() {
    let Some(folder) = folder() else { return };
    let (_state, store, report) = open(&folder).unwrap();
    assert!(report.read_only.is_some() && store.unwritable().is_some());
    assert_eq!(
        store
            .get(Tree::AuditEntries, Name::Number(7))
            .unwrap()
            .unwrap()
            .to_vec(),
        value(7)
    );
    assert!(matches!(put(&store, 8), Err(StoreError::ReadOnly(_))));
    assert!(store.get(Tree::AuditEntries, Name::Number(8)).unwrap().is_none());
    println!("ack 7");
}

/// Runs `test` on a file system made by `mounting` in a mount namespace of its own; `None` where that is not permitted.
fn in_namespace(test: &str, folder: &Path, mounting: &str) -> Option<(Vec<u64>, ExitStatus)> {
    let enter = if rustix::process::geteuid().is_root() {
        "-m"
    } else {
        "-Urm"
    };
    let probe = Command::new("unshare")
        .args([enter, "sh", "-c", "mount -t tmpfs none /mnt"])
        .output();
    if !probe.is_ok_and(|output| output.status.success()) {
        eprintln!("SKIPPED: {test} needs unshare(1) and a mount namespace, which this host does not permit");
        return None;
    }
    let program = child(test, folder);
    let script = format!("{mounting} && exec \"$@\"");
    let mut command = Command::new("unshare");
    command
        .args([enter, "sh", "-ec", &script, "sh"])
        .arg(program.get_program())
        .args(program.get_args());
    command.env(FOLDER, folder).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let numbers = acknowledged(&mut child).collect();
    Some((numbers, child.wait().unwrap()))
}

#[test]
fn a_full_disk_refuses_loses_nothing_and_recovers() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().display();
    let mounting = format!("mount -t tmpfs -o size=96m none {path} && head -c 24M /dev/zero > {path}/ballast");
    if let Some((numbers, status)) = in_namespace("child_on_a_full_disk", folder.path(), &mounting) {
        assert!(status.success() && numbers.len() == 1, "{status} {numbers:?}");
    }
}

#[test]
fn a_read_only_disk_is_read_and_never_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let (state, store, _) = open(folder.path()).unwrap();
    put(&store, 7).unwrap();
    drop((store, state));
    let path = folder.path().display();
    let mounting = format!("mount --bind {path} {path} && mount -o remount,ro,bind {path}");
    if let Some((numbers, status)) = in_namespace("child_on_a_read_only_disk", folder.path(), &mounting) {
        assert!(status.success() && numbers == [7], "{status} {numbers:?}");
    }
}

/// Prints durable changes a second by writers that each wait for their own acknowledgement. A measurement, not a promise.
#[test]
#[ignore = "a measurement of this machine: run by hand"]
fn durable_changes_a_second() {
    for writers in [1_u64, 16, 64, 256] {
        let folder = tempfile::tempdir_in(std::env::current_dir().unwrap()).unwrap();
        let (_state, store, _) = open(folder.path()).unwrap();
        let each = if writers == 1 { 1_000 } else { 20_000 / writers };
        let begin = std::time::Instant::now();
        std::thread::scope(|scope| {
            for writer in 0..writers {
                let store = &store;
                scope.spawn(move || {
                    for i in 0..each {
                        let mut batch = store.batch();
                        batch
                            .put(Tree::AuditEntries, Name::Number(writer * each + i), &[7; 300])
                            .unwrap();
                        batch.commit().unwrap();
                    }
                });
            }
        });
        let rate = u128::from(writers * each) * 1_000_000 / begin.elapsed().as_micros();
        println!("{writers} writers: {rate} durable changes of 300 bytes a second");
    }
}
