//! Collections that outlive a transaction (`IP`, `GLOBAL`, `SESSION`, …): loaded when a rule names them, stored when it ends.

use std::{
    collections::HashMap,
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

/// Keeps collections in memory, at most a given number of them.
#[derive(Debug)]
pub struct MemoryCollections {
    records: Mutex<HashMap<(Keeper, Vec<u8>), Record>>,
    most: usize,
}

#[derive(Debug, Default)]
struct Record {
    variables: Vec<Kept>,
    expires: Option<Timestamp>,
}

impl MemoryCollections {
    /// Room for `most` collections. When it is full, those that expired go, then the one that expires first.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            records: Mutex::new(HashMap::new()),
            most: most.max(1),
        }
    }
}

impl Collections for MemoryCollections {
    fn load(&self, keeper: Keeper, key: &[u8], now: Timestamp) -> Vec<Kept> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        match records.get(&(keeper, key.to_vec())) {
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
        if !records.contains_key(&key) && records.len() >= self.most {
            records.retain(|_, record| !ended(record.expires, now));
            if records.len() >= self.most
                && let Some(first) = records
                    .iter()
                    .min_by_key(|(_, record)| record.expires)
                    .map(|(key, _)| key.clone())
            {
                records.remove(&first);
            }
        }
        let record = records.entry(key).or_default();
        if ended(record.expires, now) {
            record.variables.clear();
        }
        record.variables.retain(|variable| !ended(variable.expires, now));
        let span = std::time::Duration::from_secs(u64::try_from(timeout).unwrap_or(0));
        record.expires = Some(now.after(span));
        for (name, change) in changes {
            record.apply(name, change);
        }
    }
}

impl Record {
    fn apply(&mut self, name: &[u8], change: &KeptChange) {
        if *change == KeptChange::Remove {
            self.variables.retain(|variable| variable.name != name);
            return;
        }
        let at = self
            .variables
            .iter()
            .position(|variable| variable.name == name)
            .unwrap_or_else(|| {
                self.variables.push(Kept {
                    name: name.to_vec(),
                    value: Vec::new(),
                    expires: None,
                });
                self.variables.len() - 1
            });
        let Some(variable) = self.variables.get_mut(at) else {
            return;
        };
        match change {
            KeptChange::Add(amount) => {
                variable.value = integer(&variable.value)
                    .saturating_add(*amount)
                    .to_string()
                    .into_bytes();
            }
            KeptChange::Expire(at) => variable.expires = Some(*at),
            KeptChange::Remove => {}
            KeptChange::Set(value) => variable.value.clone_from(value),
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
        let kept = MemoryCollections::new(4);
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
        let kept = MemoryCollections::new(4);
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
        let kept = MemoryCollections::new(2);
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
}
