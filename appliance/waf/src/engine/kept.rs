//! Collections that outlive a transaction (`IP`, `GLOBAL`, `SESSION`, …): loaded when a rule names them, stored when it ends.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    sync::{Mutex, PoisonError},
};

use redan_types::Timestamp;

use super::integer;
use crate::seclang::Keeper;

/// A variable of a persistent collection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Kept {
    /// Its name, in lower case.
    pub name: Vec<u8>,
    /// Its value.
    pub value: Vec<u8>,
    /// When it ends.
    pub expires: Option<Timestamp>,
}

/// A change to a variable of a persistent collection.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum KeptChange {
    /// The number it holds grows by this much.
    Add(i64),
    /// It ends at this time.
    Expire(Timestamp),
    /// It is no more.
    Remove,
    /// It has this value.
    Set(Vec<u8>),
}

/// Where persistent collections are. Implementations are shared by transactions that run at the same time; changes are given as
/// changes, so that two that add to one counter both count.
pub trait Collections: fmt::Debug + Send + Sync {
    /// The variables of a collection that have not expired.
    fn load(&self, keeper: Keeper, key: &[u8], now: Timestamp) -> Vec<Kept>;

    /// Applies changes to variables (named in lower case). The collection is forgotten `timeout` seconds after its last change.
    fn store(&self, keeper: Keeper, key: &[u8], changes: &[(Vec<u8>, KeptChange)], timeout: i64, now: Timestamp);
}

/// Keeps nothing: every collection is new.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCollections;

impl Collections for NoCollections {
    fn load(&self, _keeper: Keeper, _key: &[u8], _now: Timestamp) -> Vec<Kept> {
        Vec::new()
    }

    fn store(&self, _keeper: Keeper, _key: &[u8], _changes: &[(Vec<u8>, KeptChange)], _timeout: i64, _now: Timestamp) {}
}

/// Keeps collections in memory: at most a given number of them, in at most so many bytes.
#[derive(Debug)]
pub struct MemoryCollections {
    records: Mutex<Records>,
    most: usize,
    most_bytes: usize,
}

type RecordKey = (Keeper, Vec<u8>);

#[derive(Debug, Default)]
struct Records {
    all: HashMap<RecordKey, Record>,
    /// In the order in which they end.
    ends: BTreeSet<(Option<Timestamp>, RecordKey)>,
    bytes: usize,
}

#[derive(Debug, Default)]
struct Record {
    variables: Vec<Kept>,
    expires: Option<Timestamp>,
    /// Bytes of memory that it takes.
    bytes: usize,
}

/// What a collection, and a variable in it, take besides their texts.
const OVERHEAD: usize = 128;

/// The part of the bytes that one collection may have: a change that would make it larger is not made.
const SHARE: usize = 64;

impl MemoryCollections {
    /// Room for `most` collections in `most_bytes` bytes. When it is full, the one that ends first goes.
    #[must_use]
    pub fn new(most: usize, most_bytes: usize) -> Self {
        Self {
            records: Mutex::default(),
            most: most.max(1),
            most_bytes,
        }
    }
}

impl Records {
    fn take(&mut self, key: &RecordKey) -> Option<Record> {
        let record = self.all.remove(key)?;
        self.bytes = self.bytes.saturating_sub(record.bytes);
        self.ends.remove(&(record.expires, key.clone()));
        Some(record)
    }

    fn put(&mut self, key: RecordKey, record: Record) {
        self.bytes = self.bytes.saturating_add(record.bytes);
        self.ends.insert((record.expires, key.clone()));
        self.all.insert(key, record);
    }
}

impl Collections for MemoryCollections {
    fn load(&self, keeper: Keeper, key: &[u8], now: Timestamp) -> Vec<Kept> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        match records.all.get(&(keeper, key.to_vec())) {
            Some(record) if !ended(record.expires, now) => record
                .variables
                .iter()
                .filter(|variable| !ended(variable.expires, now))
                .cloned()
                .collect(),
            _ => Vec::new(),
        }
    }

    fn store(&self, keeper: Keeper, key: &[u8], changes: &[(Vec<u8>, KeptChange)], timeout: i64, now: Timestamp) {
        let mut records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (keeper, key.to_vec());
        let mut record = records.take(&key).unwrap_or_default();
        if ended(record.expires, now) {
            record.variables.clear();
        }
        record.variables.retain(|variable| !ended(variable.expires, now));
        let span = std::time::Duration::from_secs(u64::try_from(timeout).unwrap_or(0));
        record.expires = Some(now.after(span));
        // The key is there twice.
        record.bytes = OVERHEAD + 2 * key.1.len() + record.variables.iter().map(Kept::bytes).sum::<usize>();
        for (name, change) in changes {
            record.apply(name, change, self.most_bytes / SHARE);
        }
        while records.all.len() >= self.most || records.bytes.saturating_add(record.bytes) > self.most_bytes {
            let Some((_, first)) = records.ends.first().cloned() else {
                break;
            };
            records.take(&first);
        }
        records.put(key, record);
    }
}

impl Kept {
    fn bytes(&self) -> usize {
        OVERHEAD + self.name.len() + self.value.len()
    }
}

impl Record {
    /// Makes a change, unless the collection would take more than `most` bytes then.
    fn apply(&mut self, name: &[u8], change: &KeptChange, most: usize) {
        let at = self.variables.iter().position(|variable| variable.name == name);
        let old = at.and_then(|at| self.variables.get(at));
        let mut new = old.cloned().unwrap_or_else(|| Kept {
            name: name.to_vec(),
            value: Vec::new(),
            expires: None,
        });
        let before = old.map_or(0, Kept::bytes);
        match change {
            KeptChange::Add(amount) => {
                new.value = integer(&new.value).saturating_add(*amount).to_string().into_bytes();
            }
            KeptChange::Expire(at) => new.expires = Some(*at),
            KeptChange::Remove => {
                self.bytes = self.bytes.saturating_sub(before);
                self.variables.retain(|variable| variable.name != name);
                return;
            }
            KeptChange::Set(value) => new.value.clone_from(value),
        }
        let bytes = self.bytes.saturating_sub(before).saturating_add(new.bytes());
        if bytes > most && new.bytes() > before {
            return;
        }
        self.bytes = bytes;
        match at.and_then(|at| self.variables.get_mut(at)) {
            Some(variable) => *variable = new,
            None => self.variables.push(new),
        }
    }
}

fn ended(expires: Option<Timestamp>, now: Timestamp) -> bool {
    expires.is_some_and(|expires| expires <= now)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> KeptChange {
        KeptChange::Set(text.as_bytes().to_vec())
    }

    #[test]
    fn two_that_add_at_the_same_time_both_count() {
        let kept = MemoryCollections::new(4, 1 << 20);
        for _ in 0..2 {
            kept.store(
                Keeper::Ip,
                b"a",
                &[(b"n".to_vec(), KeptChange::Add(2))],
                60,
                Timestamp(0),
            );
        }
        assert_eq!(kept.load(Keeper::Ip, b"a", Timestamp(1))[0].value, b"4");
    }

    #[test]
    fn variables_and_collections_end() {
        let kept = MemoryCollections::new(4, 1 << 20);
        let changes = [
            (b"n".to_vec(), set("1")),
            (b"n".to_vec(), KeptChange::Expire(Timestamp(5))),
            (b"m".to_vec(), set("2")),
        ];
        kept.store(Keeper::Ip, b"a", &changes, 1, Timestamp(0));
        assert_eq!(kept.load(Keeper::Ip, b"a", Timestamp(4)).len(), 2);
        assert_eq!(kept.load(Keeper::Ip, b"a", Timestamp(5)).len(), 1);
        assert!(kept.load(Keeper::Ip, b"a", Timestamp(1_000_000)).is_empty());
    }

    #[test]
    fn the_number_of_collections_is_bounded() {
        let kept = MemoryCollections::new(2, 1 << 20);
        for (time, key) in [b"a", b"b", b"c"].into_iter().enumerate() {
            kept.store(
                Keeper::Ip,
                key,
                &[(b"n".to_vec(), set("1"))],
                60,
                Timestamp(u64::try_from(time).unwrap()),
            );
        }
        assert!(kept.load(Keeper::Ip, b"a", Timestamp(3)).is_empty());
        assert_eq!(kept.load(Keeper::Ip, b"c", Timestamp(3)).len(), 1);
    }

    #[test]
    fn the_bytes_of_collections_are_bounded_and_one_alone_cannot_have_them_all() {
        let kept = MemoryCollections::new(1_000, 64 << 10);
        let store = |key: &[u8], value: usize, time: u64| {
            let changes = [(b"n".to_vec(), KeptChange::Set(vec![b'x'; value]))];
            kept.store(Keeper::Ip, key, &changes, 60, Timestamp(time));
        };
        let length = |key: &[u8]| {
            kept.load(Keeper::Ip, key, Timestamp(500))
                .first()
                .map(|one| one.value.len())
        };
        store(b"large", 100, 0);
        store(b"large", 10_000, 1);
        assert_eq!(length(b"large"), Some(100), "what would be too large is not set");
        for time in 2..400_u64 {
            store(&time.to_be_bytes(), 600, time);
        }
        let records = kept.records.lock().unwrap();
        let sum: usize = records.all.values().map(|record| record.bytes).sum();
        assert!(records.bytes == sum && sum <= 64 << 10 && records.all.len() > 50);
        assert_eq!(records.all.len(), records.ends.len());
        drop(records);
        assert_eq!((length(b"large"), length(&399_u64.to_be_bytes())), (None, Some(600)));
    }
}
