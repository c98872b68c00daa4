//! Reading what the index on disk does not have yet, and what happens when it never gets it.

use super::{Bench, flip, get, put};
use crate::store::index::{Index, SledIndex};
use crate::store::mutation::Mutation;
use crate::store::{Name, RecordKey, StoreError, Tree, applier};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// What happens to an index.
#[derive(Clone, Debug)]
enum Step {
    Put(u8, u16),
    Delete(u8),
    /// What waits begins its way to disk.
    Begin,
    /// So many of its changes have arrived.
    Part(usize),
    /// All have, and that is known.
    Arrive,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        5 => (any::<u8>(), 0_u16..9_000).prop_map(|(key, length)| Step::Put(key % 24, length)),
        3 => any::<u8>().prop_map(|key| Step::Delete(key % 24)),
        1 => Just(Step::Begin),
        1 => (0_usize..12).prop_map(Step::Part),
        1 => Just(Step::Arrive),
    ]
}

fn key(number: u8) -> RecordKey {
    RecordKey::new(Tree::Users, &[number])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    /// Whatever of a change is in memory, on its way, half arrived or on disk: it reads as if it were in one map.
    #[test]
    fn pending_changes_read_as_if_they_had_arrived(steps in prop::collection::vec(step(), 1..60), from in 0_u8..24, to in 0_u8..25, limit in 0_usize..30) {
        let folder = tempfile::tempdir().unwrap();
        let mut index = Index::on_disk(SledIndex::open(folder.path()).unwrap());
        let mut model: BTreeMap<RecordKey, Vec<u8>> = BTreeMap::new();
        let mut on_its_way = None;
        for (number, step) in steps.into_iter().enumerate() {
            match step {
                Step::Put(name, length) => {
                    let value = vec![u8::try_from(number).unwrap(); length.into()];
                    model.insert(key(name), value.clone());
                    index.add(Mutation::Put(key(name), value));
                }
                Step::Delete(name) => {
                    model.remove(&key(name));
                    index.add(Mutation::Delete(key(name)));
                }
                Step::Begin => {
                    if let Some((sled, changes, _)) = index.begin_step() {
                        on_its_way = Some((sled, changes));
                    }
                }
                Step::Part(count) => {
                    if let Some((sled, changes)) = &on_its_way {
                        for (key, value) in changes.iter().take(count) {
                            sled.set(key.bytes(), value.as_deref()).unwrap();
                        }
                    }
                }
                Step::Arrive => {
                    if let Some((sled, changes)) = on_its_way.take() {
                        for (key, value) in changes.iter() {
                            sled.set(key.bytes(), value.as_deref()).unwrap();
                        }
                        drop(changes);
                        index.end_step();
                    }
                }
            }
            let (first, end) = (key(from), key(to));
            for backwards in [false, true] {
                let found = index.range(first.bytes()..end.bytes(), backwards, limit).unwrap();
                let within = model.iter().filter(|(key, _)| **key >= first && **key < end);
                let mut expected: Vec<_> = within.map(|(key, value)| (key.clone(), value.clone())).collect();
                if backwards {
                    expected.reverse();
                }
                expected.truncate(limit);
                prop_assert!(found == expected, "after step {number}, backwards {backwards}");
            }
            for name in 0..24 {
                prop_assert!(index.get(&key(name)).unwrap().as_ref() == model.get(&key(name)), "after step {number}: {name}");
            }
        }
    }
}

#[test]
fn an_index_that_cannot_be_made_again_stops_changes_and_loses_no_reading() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    let (path, end) = bench.last_segment();
    put(&open.store, "bob", b"two").unwrap();
    flip(&path, end - 40);
    open.store.inner.move_to_memory("it was told to");
    let why = open.store.unwritable().unwrap();
    assert!(
        why.contains("it was told to") && why.contains("could not be made again"),
        "{why}"
    );
    // With a full queue too, callers hear of it at once.
    let begin = Instant::now();
    open.store.inner.behind.tell(applier::LIMIT);
    let error = put(&open.store, "cid", b"three").unwrap_err();
    assert!(matches!(&error, StoreError::ReadOnly(told) if *told == why), "{error}");
    assert!(begin.elapsed() < applier::PATIENCE / 3);
    assert_eq!(get(&open.store, "bob").unwrap(), b"two");
    open.store.close().unwrap();
    flip(&path, end - 40);
    drop(open);
    let open = bench.open().unwrap();
    assert!(open.report.rebuilt.is_some());
    assert_eq!(get(&open.store, "bob").unwrap(), b"two");
}

#[test]
fn an_index_that_does_not_follow_makes_the_store_read_only_and_nobody_waits_for_ever() {
    let bench = Bench::new();
    let open = bench.open().unwrap();
    put(&open.store, "ann", b"one").unwrap();
    // The applying thread cannot go on while somebody reads without end.
    let reading = open.store.inner.index.read().unwrap();
    open.store.inner.behind.tell(applier::LIMIT);
    open.store.inner.keep_pace(Duration::from_millis(50));
    drop(reading);
    let error = put(&open.store, "bob", b"two").unwrap_err();
    assert!(error.to_string().contains("has not followed"), "{error}");
    assert_eq!(get(&open.store, "ann").unwrap(), b"one");
    let mut batch = open.store.batch();
    batch.delete(Tree::Users, Name::Secret(b"ann")).unwrap();
    assert!(matches!(batch.commit(), Err(StoreError::ReadOnly(_))));
}
