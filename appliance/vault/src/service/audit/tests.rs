//! The log as a whole: order, verification, damage, export.

use super::{AuditLog, Export};
use crate::service::change::Change;
use crate::store::{Name, StateFolder, Store, Tree};
use redan_audit::export::{Options, verify};
use redan_hal::keys::KeyDevice;
use redan_hal::keys::software::SoftwareDevice;
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditQuery, AuditedRequest, Outcome};
use redan_types::{IncidentId, Process, RecordId, Timestamp};
use std::sync::Arc;

struct Bench {
    folder: tempfile::TempDir,
}

struct Open {
    log: AuditLog,
    store: Arc<Store>,
    device: Arc<SoftwareDevice>,
    notes: Vec<String>,
    _state: StateFolder,
}

impl Bench {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&self) -> Open {
        let state = StateFolder::lock(self.folder.path()).unwrap();
        let device = Arc::new(SoftwareDevice::open(self.folder.path()).unwrap());
        let store = Arc::new(Store::open(&state, &*device).unwrap().0);
        let (log, notes) = AuditLog::open(Arc::clone(&store), Arc::clone(&device) as Arc<dyn KeyDevice>).unwrap();
        Open {
            log,
            store,
            device,
            notes,
            _state: state,
        }
    }
}

fn event(number: u64, actor: Actor) -> AuditEvent {
    AuditEvent {
        time: Timestamp(number * 1_000_000),
        actor,
        action: if number.is_multiple_of(2) {
            "user.login"
        } else {
            "configuration.committed"
        }
        .to_owned(),
        resource: format!("thing/{number}"),
        outcome: if number.is_multiple_of(3) {
            Outcome::Denied
        } else {
            Outcome::Succeeded
        },
        before: None,
        after: Some("state".to_owned()),
        address: Some("192.0.2.7".parse().unwrap()),
        agent: Some("Curl/8".to_owned()),
        request: Some(AuditedRequest {
            method: "GET".into(),
            path: format!("/p/{number}"),
            status: 403,
            count: 2,
        }),
        incident: Some(IncidentId([1; 8])),
        message: "hello".to_owned(),
    }
}

fn user(name: &str) -> Actor {
    Actor::User(name.to_owned())
}

fn fill(log: &AuditLog, entries: u64) {
    for number in log.size()..entries {
        log.append(&[event(number, user("ann"))], Vec::new()).unwrap();
    }
}

fn export(log: &AuditLog) -> String {
    let (mut under_way, mut from, mut text): (Option<Export>, u64, String) = (None, 0, String::new());
    loop {
        let part = log.export(&mut under_way, from, Timestamp(9)).unwrap();
        text.push_str(&part.text);
        match part.next {
            Some(next) => from = next,
            None => return text,
        }
    }
}

#[test]
fn an_event_comes_back_as_it_was() {
    let bench = Bench::new();
    let open = bench.open();
    let actors = [
        Actor::Anonymous,
        Actor::Key {
            id: RecordId([3; 8]),
            owner: "ann/x".to_owned(),
        },
        Actor::Operator { uid: 0 },
        Actor::Process(Process::Proxy),
        user("bob"),
    ];
    let events: Vec<_> = actors
        .into_iter()
        .zip(0..)
        .map(|(actor, number)| event(number, actor))
        .collect();
    open.log.append(&events, Vec::new()).unwrap();
    let page = open
        .log
        .search(&AuditQuery {
            limit: 50,
            ..AuditQuery::default()
        })
        .unwrap();
    let found: Vec<_> = page.entries.into_iter().rev().map(|entry| entry.event).collect();
    assert_eq!(found, events);
    assert_eq!((page.next, page.size), (None, 5));
}

#[test]
fn filters_and_pages_find_what_they_should() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 300);
    open.log.append(&[event(300, user("Zoe"))], Vec::new()).unwrap();
    let find = |query: AuditQuery| {
        open.log
            .search(&AuditQuery { limit: 500, ..query })
            .unwrap()
            .entries
            .len()
    };
    assert_eq!(find(AuditQuery::default()), 301);
    assert_eq!(
        find(AuditQuery {
            text: Some("zOE".into()),
            ..AuditQuery::default()
        }),
        1
    );
    assert_eq!(
        find(AuditQuery {
            actor: Some("user:Z".into()),
            ..AuditQuery::default()
        }),
        1
    );
    assert_eq!(
        find(AuditQuery {
            action: Some("configuration".into()),
            ..AuditQuery::default()
        }),
        150
    );
    assert_eq!(
        find(AuditQuery {
            action: Some("config".into()),
            ..AuditQuery::default()
        }),
        0
    );
    assert_eq!(
        find(AuditQuery {
            outcome: Some(Outcome::Denied),
            ..AuditQuery::default()
        }),
        101
    );
    let between = (Some(Timestamp(10_000_000)), Some(Timestamp(19_000_000)));
    assert_eq!(
        find(AuditQuery {
            from: between.0,
            until: between.1,
            ..AuditQuery::default()
        }),
        10
    );
    let (mut before, mut seen) = (None, Vec::new());
    loop {
        let query = AuditQuery {
            before,
            limit: 7,
            resource: Some("thing/1".into()),
            ..AuditQuery::default()
        };
        let page = open.log.search(&query).unwrap();
        seen.extend(page.entries.iter().map(|entry| entry.sequence));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert!(seen.is_sorted_by(|a, b| a > b));
    assert_eq!(seen.len(), 1 + 10 + 100);
}

#[test]
fn a_log_goes_on_after_a_restart_and_verifies() {
    let bench = Bench::new();
    for round in 1..=3 {
        let open = bench.open();
        assert_eq!(open.notes, [""; 0]);
        fill(&open.log, round * 20);
        open.log.checkpoint(Timestamp(round)).unwrap();
        open.log
            .append(&[event(0, user("bob")), event(1, Actor::Anonymous)], Vec::new())
            .unwrap();
        let report = open.log.verify().unwrap();
        assert_eq!((report.size, report.mistakes), (round * 20 + 2, vec![]));
    }
}

#[test]
fn the_offline_verifier_accepts_an_export() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 100);
    open.log.checkpoint(Timestamp(1)).unwrap();
    for number in 0..8 {
        let mut long = event(number, user("bob"));
        long.after = Some("x".repeat(8_000));
        open.log.append(&vec![long; 20], Vec::new()).unwrap();
    }
    let text = export(&open.log);
    let report = verify(text.as_bytes(), &Options::default()).unwrap();
    assert!(report.is_good(), "{report:?}");
    assert!(text.len() > 1 << 20, "several parts");
    let flipped = text.replacen("thing/50", "thing/51", 1);
    assert!(!verify(flipped.as_bytes(), &Options::default()).unwrap().is_good());
}

#[test]
fn an_export_is_read_from_its_beginning() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 3);
    assert!(open.log.export(&mut None, 2, Timestamp(1)).is_err());
}

#[test]
fn an_entry_and_the_change_it_reports_are_one() {
    let bench = Bench::new();
    let open = bench.open();
    let change = Change::put(Tree::State, b"thing", 1, &7_u32).unwrap();
    open.log.append(&[event(0, user("ann"))], vec![change]).unwrap();
    assert!(open.store.get(Tree::State, Name::Secret(b"thing")).unwrap().is_some());
    let huge = Change::put(Tree::State, b"huge", 1, &vec![1_u8; 8 << 20]).unwrap();
    open.log.append(&[event(1, user("ann"))], vec![huge]).unwrap_err();
    assert_eq!(open.log.size(), 1);
    assert!(open.store.get(Tree::State, Name::Secret(b"huge")).unwrap().is_none());
    open.log.append(&[event(2, user("ann"))], Vec::new()).unwrap();
    assert_eq!(open.log.verify().unwrap().mistakes, [""; 0]);
}

#[test]
fn a_missing_entry_and_a_missing_end_are_named() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 20);
    open.log.checkpoint(Timestamp(1)).unwrap();
    let mut batch = open.store.batch();
    batch.delete(Tree::AuditEntries, Name::Number(7)).unwrap();
    batch.commit().unwrap();
    let mistakes = open.log.verify().unwrap().mistakes;
    assert!(
        mistakes.iter().any(|mistake| mistake == "entries 7 to 7 are missing"),
        "{mistakes:?}"
    );
    let mut batch = open.store.batch();
    for number in 15..20 {
        batch.delete(Tree::AuditEntries, Name::Number(number)).unwrap();
    }
    batch.commit().unwrap();
    let mistakes = open.log.verify().unwrap().mistakes;
    assert!(
        mistakes.iter().any(|mistake| mistake == "entries 15 to 19 are missing"),
        "{mistakes:?}"
    );
}

#[test]
fn an_entry_put_in_the_place_of_another_is_named() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 10);
    open.log.checkpoint(Timestamp(1)).unwrap();
    let six = open.store.get(Tree::AuditEntries, Name::Number(6)).unwrap().unwrap();
    let mut batch = open.store.batch();
    batch.put(Tree::AuditEntries, Name::Number(5), &six).unwrap();
    batch.commit().unwrap();
    let mistakes = open.log.verify().unwrap().mistakes;
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake == "entry 5 says that it is entry 6"),
        "{mistakes:?}"
    );
    assert!(
        mistakes
            .iter()
            .any(|mistake| mistake.contains("do not have the root that was signed")),
        "{mistakes:?}"
    );
}

#[test]
fn a_destroyed_person_key_erases_and_every_proof_still_holds() {
    let bench = Bench::new();
    let open = bench.open();
    open.log
        .append(&[event(0, user("ann")), event(1, user("bob"))], Vec::new())
        .unwrap();
    let mut batch = open.store.batch();
    batch.delete(Tree::PersonKeys, Name::Secret(b"user:ann")).unwrap();
    batch.commit().unwrap();
    drop(open);
    let open = bench.open();
    let page = open
        .log
        .search(&AuditQuery {
            limit: 9,
            ..AuditQuery::default()
        })
        .unwrap();
    let actions: Vec<_> = page.entries.iter().map(|entry| entry.event.action.as_str()).collect();
    assert_eq!(actions, ["configuration.committed", "erased"]);
    assert_eq!(open.log.verify().unwrap().mistakes, [""; 0]);
    assert!(
        verify(export(&open.log).as_bytes(), &Options::default())
            .unwrap()
            .is_good()
    );
}

fn actions(log: &AuditLog) -> Vec<String> {
    let query = AuditQuery {
        limit: 500,
        ..AuditQuery::default()
    };
    let page = log.search(&query).unwrap();
    page.entries.into_iter().rev().map(|entry| entry.event.action).collect()
}

fn erasure(by: Actor) -> AuditEvent {
    AuditEvent {
        action: "audit.person-erased".to_owned(),
        ..event(0, by)
    }
}

fn all_is_well(log: &AuditLog) {
    assert_eq!(log.verify().unwrap().mistakes, [""; 0]);
    let report = verify(export(log).as_bytes(), &Options::default()).unwrap();
    assert!(report.is_good(), "{report:?}");
}

#[test]
fn who_was_erased_acts_again_under_a_new_key_and_what_was_before_stays_erased() {
    let bench = Bench::new();
    let open = bench.open();
    let all = |open: &Open| -> Vec<String> { actions(&open.log) };
    open.log
        .append(&[event(0, user("ann")), event(1, user("bob"))], Vec::new())
        .unwrap();
    // By the person itself: that it was done must stay readable.
    open.log.erase_person("user:ann", erasure(user("ann"))).unwrap();
    open.log.append(&[event(2, user("ann"))], Vec::new()).unwrap();
    let expected = ["erased", "configuration.committed", "audit.person-erased", "user.login"];
    assert_eq!(all(&open), expected);
    all_is_well(&open.log);
    drop(open);
    let open = bench.open();
    assert_eq!(all(&open), expected);
    all_is_well(&open.log);
    open.log.erase_person("user:ann", erasure(user("bob"))).unwrap();
    let expected = [
        "erased",
        "configuration.committed",
        "erased",
        "erased",
        "audit.person-erased",
    ];
    assert_eq!(all(&open), expected);
    // Nobody acted under the name since.
    open.log.erase_person("user:ann", erasure(user("bob"))).unwrap_err();
    all_is_well(&open.log);
}

#[test]
fn an_erased_key_is_nowhere_on_the_disk_after_the_next_start() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 3);
    let sealed = open.store.sealed(Tree::PersonKeys, Name::Secret(b"user:ann")).unwrap();
    // So that the index on disk holds it too.
    open.store.close().unwrap();
    drop(open);
    let found = |bench: &Bench| holding(bench.folder.path(), &sealed);
    assert!(
        found(&bench).iter().any(|path| path.contains("index")),
        "{:?}",
        found(&bench)
    );
    let open = bench.open();
    open.log.erase_person("user:ann", erasure(user("bob"))).unwrap();
    assert!(
        found(&bench).iter().all(|path| path.contains("index")),
        "{:?}",
        found(&bench)
    );
    open.store.close().unwrap();
    drop(open);
    let open = bench.open();
    assert_eq!(found(&bench), [""; 0]);
    all_is_well(&open.log);
    open.store.close().unwrap();
    drop(open);
    // Once is enough: the start after that takes the index as it is.
    assert!(!bench.folder.path().join("store/index.stale").exists());
    assert_eq!(found(&bench), [""; 0]);
}

/// The files under a folder that hold these bytes.
fn holding(folder: &std::path::Path, bytes: &[u8]) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(holding(&path, bytes));
        } else if std::fs::read(&path)
            .unwrap()
            .windows(bytes.len())
            .any(|window| window == bytes)
        {
            found.push(path.display().to_string());
        }
    }
    found
}

#[test]
fn an_erasure_amid_the_persons_own_entries_loses_none_of_the_later_ones() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 1);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            let log = &open.log;
            scope.spawn(move || {
                for number in 0..40 {
                    log.append(&[event(number, user("ann"))], Vec::new()).unwrap();
                }
            });
        }
        for _ in 0..6 {
            open.log.erase_person("user:ann", erasure(user("bob"))).unwrap();
        }
        // The last one: everything after it was not erased.
    });
    let check = |log: &AuditLog| {
        let actions = actions(log);
        let last = actions
            .iter()
            .rposition(|action| action == "audit.person-erased")
            .unwrap();
        for (action, number) in actions.iter().zip(0..) {
            let readable = number > last;
            assert_eq!(
                action != "erased",
                readable || action == "audit.person-erased",
                "entry {number} of {actions:?}"
            );
        }
        all_is_well(log);
        actions
    };
    let before = check(&open.log);
    drop(open);
    // What memory held is what the disk holds.
    assert_eq!(check(&bench.open().log), before);
}

#[test]
fn an_entry_that_its_persons_key_should_open_and_does_not_is_named() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 2);
    let ann = open
        .store
        .get(Tree::PersonKeys, Name::Secret(b"user:ann"))
        .unwrap()
        .unwrap();
    open.log.append(&[event(2, user("bob"))], Vec::new()).unwrap();
    drop(open);
    let open = bench.open();
    // Another key in the place of the one that the entry was encrypted under, said to be used from the same entry on.
    let mut wrong = ann.to_vec();
    *wrong.last_mut().unwrap() ^= 1;
    let mut batch = open.store.batch();
    batch.put(Tree::PersonKeys, Name::Secret(b"user:ann"), &wrong).unwrap();
    batch.commit().unwrap();
    let mistakes = open.log.verify().unwrap().mistakes;
    assert_eq!(
        mistakes,
        [0, 1].map(|number| format!("entry {number} does not open to what was committed to"))
    );
    // Nobody has erased them, and nobody is told so.
    assert_eq!(actions(&open.log)[..2], ["unreadable"; 2]);
}

#[test]
fn a_person_key_of_the_first_form_opens_all_of_its_entries() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 3);
    let name = Name::Secret(b"user:ann");
    let stored = open.store.get(Tree::PersonKeys, name).unwrap().unwrap();
    // Version, first entry (0), key with its length; the first form had no first entry.
    assert_eq!(stored[..3], [2, 0, 32]);
    let first = [&[1], &stored[2..]].concat();
    let mut batch = open.store.batch();
    batch.put(Tree::PersonKeys, name, &first).unwrap();
    batch.commit().unwrap();
    drop(open);
    let open = bench.open();
    open.log.append(&[event(3, user("ann"))], Vec::new()).unwrap();
    assert!(actions(&open.log).iter().all(|action| action != "erased"));
    all_is_well(&open.log);
}

#[test]
fn a_restored_old_store_is_noticed_by_the_counter() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 2);
    open.log.checkpoint(Timestamp(1)).unwrap();
    open.device.increment().unwrap();
    drop(open);
    let open = bench.open();
    assert_eq!(open.notes, [""; 0], "one ahead is a crash between counting and storing");
    open.device.increment().unwrap();
    drop(open);
    let open = bench.open();
    assert!(
        open.notes.iter().any(|note| note.contains("an older state")),
        "{:?}",
        open.notes
    );
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

#[test]
fn crashes_between_counting_and_storing_are_no_restored_store_however_many() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 2);
    open.log.checkpoint(Timestamp(1)).unwrap();
    drop(open);
    for _ in 0..4 {
        let open = bench.open();
        assert_eq!(open.notes, [""; 0]);
        let newest = open.log.live().checkpoint.clone();
        open.log.count(newest.as_ref()).unwrap();
    }
    let open = bench.open();
    fill(&open.log, 3);
    open.log.checkpoint(Timestamp(2)).unwrap();
    drop(open);
    let open = bench.open();
    assert_eq!(open.notes, [""; 0]);
    // The device counts on without this store: what is on record here is of an earlier day.
    open.device.increment().unwrap();
    open.device.increment().unwrap();
    drop(open);
    let open = bench.open();
    assert!(
        matches!(open.notes.as_slice(), [note] if note.contains("an older state")),
        "{:?}",
        open.notes
    );
}

#[test]
fn a_store_copied_back_from_an_earlier_day_is_named_at_the_start() {
    let bench = Bench::new();
    let (store, earlier) = (bench.folder.path().join("store"), bench.folder.path().join("earlier"));
    let open = bench.open();
    fill(&open.log, 2);
    open.log.checkpoint(Timestamp(1)).unwrap();
    open.store.close().unwrap();
    drop(open);
    copy(&store, &earlier);
    for entries in [4, 6] {
        let open = bench.open();
        assert_eq!(open.notes, [""; 0]);
        fill(&open.log, entries);
        open.log.checkpoint(Timestamp(entries)).unwrap();
        open.store.close().unwrap();
    }
    // The disk goes back; the device and its counter stay.
    std::fs::remove_dir_all(&store).unwrap();
    std::fs::rename(&earlier, &store).unwrap();
    let open = bench.open();
    assert!(
        matches!(open.notes.as_slice(), [note] if note.contains("an older state of the store")),
        "{:?}",
        open.notes
    );
    assert_eq!(open.log.size(), 2);
}

#[test]
fn an_entry_lost_with_a_damaged_frame_is_named_by_the_log_after_a_repair() {
    let bench = Bench::new();
    let open = bench.open();
    let segment = |bench: &Bench| {
        let files = std::fs::read_dir(bench.folder.path().join("store"))
            .unwrap()
            .map(|entry| entry.unwrap().path());
        let named = |path: &std::path::PathBuf| path.to_str().unwrap().contains("journal-0");
        let path = files.filter(named).max().unwrap();
        let end = std::fs::read(&path)
            .unwrap()
            .iter()
            .rposition(|byte| *byte != 0)
            .unwrap();
        (path, end)
    };
    fill(&open.log, 3);
    let (_, begin) = segment(&bench);
    fill(&open.log, 4);
    let (path, end) = segment(&bench);
    fill(&open.log, 6);
    drop(open);
    let mut bytes = std::fs::read(&path).unwrap();
    // The first record of the frame, which is the entry.
    bytes[begin + 300] ^= 1;
    assert!(begin + 300 < end);
    std::fs::write(&path, bytes).unwrap();
    std::fs::write(bench.folder.path().join("repair"), b"").unwrap();
    let open = bench.open();
    assert_eq!(open.log.size(), 6);
    let report = open.log.verify().unwrap();
    assert!(
        report
            .mistakes
            .iter()
            .any(|mistake| mistake.contains("entries 3 to 3 are missing")),
        "{report:?}"
    );
    fill(&open.log, 8);
}

#[test]
fn many_writers_append_in_one_order() {
    let bench = Bench::new();
    let open = bench.open();
    std::thread::scope(|scope| {
        for writer in 0..8 {
            let log = &open.log;
            scope.spawn(move || {
                for number in 0..20 {
                    log.append(&[event(number, user(&format!("w{writer}")))], Vec::new())
                        .unwrap();
                }
            });
        }
    });
    let report = open.log.verify().unwrap();
    assert_eq!((report.size, report.mistakes), (160, vec![]));
}

#[test]
fn an_entry_sealed_for_another_place_is_sealed_again() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 3);
    // Whatever was guessed about the next place.
    for wrong in [0, 1, 1_000_000, u64::MAX] {
        open.log.offset.store(wrong, std::sync::atomic::Ordering::Relaxed);
        open.log.append(&[event(9, user("ann"))], Vec::new()).unwrap();
    }
    let report = open.log.verify().unwrap();
    assert_eq!((report.size, report.mistakes), (7, Vec::<String>::new()));
}

#[test]
fn a_refused_group_takes_no_place_and_those_after_it_fit() {
    let bench = Bench::new();
    let open = bench.open();
    fill(&open.log, 2);
    let huge = || Change::put(Tree::Users, b"huge", 1, &vec![7_u8; 8 << 20]).unwrap();
    std::thread::scope(|scope| {
        for writer in 0..6_u64 {
            let open = &open;
            scope.spawn(move || {
                for number in 0..10 {
                    let refused = writer == 0 && number % 3 == 0;
                    let changes = if refused { vec![huge()] } else { Vec::new() };
                    let result = open.log.append(&[event(number, user("ann"))], changes);
                    assert_eq!(result.is_err(), refused, "{result:?}");
                }
            });
        }
    });
    let report = open.log.verify().unwrap();
    assert_eq!((report.size, report.mistakes), (2 + 60 - 4, Vec::<String>::new()));
    // The next place is known again, so that entries are sealed once, by their own callers.
    let before = open.log.queue.join(Arc::clone(&nothing()), 0, 0);
    let first = open
        .log
        .offset
        .load(std::sync::atomic::Ordering::Relaxed)
        .wrapping_add(before.before);
    open.log.queue.finish(&before, |_| Ok(())).unwrap();
    assert_eq!(first, open.log.size());
}

fn nothing() -> Arc<super::Job> {
    Arc::new(super::Job {
        erases: None,
        entries: Vec::new(),
        changes: Vec::new(),
    })
}
