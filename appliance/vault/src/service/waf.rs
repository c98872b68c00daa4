//! What the web application firewall found: telemetry, the newest records of all services in a tree of their own.
//!
//! What is searched for is in memory, the records themselves are read when a page needs them. A record that cannot be written is lost
//! and nothing else: the audit log has the refusal.

use super::VaultError;
use super::change::{Change, Key, decode, encode};
use crate::store::{Name, Store, StoreError, Tree};
use redan_ipc::messages::waf::{BATCH, PAGE, WafPage, WafQuery, WafRecord, WafReply, WafRequest};
use redan_types::{IncidentId, ServiceName, Timestamp};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Records kept, at most.
const MOST: usize = 20_000;
/// Older records go, however few there are.
const OLDEST: Duration = Duration::from_hours(7 * 24);
/// The largest record that is taken, in bytes of its stored form.
const LARGEST: usize = 96 << 10;
/// Records read at once at the start.
const PORTION: usize = 500;
const VERSION: u8 = 1;

/// The records.
#[derive(Debug)]
pub(crate) struct WafRecords {
    store: Arc<Store>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    entries: BTreeMap<u64, Entry>,
    next: u64,
}

/// What a search looks at.
#[derive(Debug)]
struct Entry {
    time: Timestamp,
    service: ServiceName,
    client: IpAddr,
    path: String,
    rules: Vec<u64>,
    blocked: bool,
    incident: IncidentId,
}

impl Entry {
    fn of(record: &WafRecord) -> Self {
        Self {
            time: record.time,
            service: record.service.clone(),
            client: record.client,
            path: record.path.chars().take(256).collect(),
            rules: record.matches.iter().map(|one| one.rule).collect(),
            blocked: record.blocked,
            incident: record.incident,
        }
    }

    fn fits(&self, query: &WafQuery) -> bool {
        query.from.is_none_or(|from| self.time >= from)
            && query.until.is_none_or(|until| self.time < until)
            && query.service.as_ref().is_none_or(|service| self.service == *service)
            && query.rule.is_none_or(|rule| self.rules.contains(&rule))
            && query.client.is_none_or(|client| self.client == client)
            && query
                .path
                .as_ref()
                .is_none_or(|path| self.path.starts_with(path.as_str()))
            && query.blocked.is_none_or(|blocked| self.blocked == blocked)
            && query.incident.is_none_or(|incident| self.incident == incident)
    }
}

impl WafRecords {
    /// Reads what is there; also gives what is damaged, in words.
    pub(crate) fn open(store: Arc<Store>) -> Result<(Self, Vec<String>), VaultError> {
        let (mut known, mut notes) = (Known::default(), Vec::new());
        let mut from = 0;
        loop {
            let portion = store.numbered(Tree::WafRecords, from..u64::MAX, false, PORTION)?;
            let count = portion.len();
            for found in portion {
                match found {
                    Ok(record) => {
                        let number = record.number.unwrap_or(from);
                        from = from.max(number + 1);
                        match decode::<WafRecord>(VERSION, &record.value) {
                            Ok(record) => drop(known.entries.insert(number, Entry::of(&record))),
                            Err(error) => {
                                notes.push(format!("record {number} of the web application firewall: {error}"));
                            }
                        }
                    }
                    Err(StoreError::Corrupt { key, .. }) if key.number().is_some() => {
                        from = from.max(key.number().unwrap_or(from) + 1);
                    }
                    Err(error) => return Err(error.into()),
                }
            }
            if count < PORTION {
                break;
            }
        }
        notes.truncate(10);
        known.next = from;
        let known = Mutex::new(known);
        Ok((Self { store, known }, notes))
    }

    /// Keeps records; the oldest go where there are too many.
    pub(crate) fn add(&self, records: &[WafRecord], now: Timestamp) -> Result<(), VaultError> {
        let mut batch = self.store.batch();
        let mut known = self.known();
        let mut fresh = Vec::new();
        for record in records.iter().take(BATCH) {
            let value = encode(VERSION, record)?;
            if value.len() > LARGEST {
                continue;
            }
            let number = known.next;
            known.next += 1;
            Change::Put(Tree::WafRecords, Key::Number(number), value).add_to(&mut batch)?;
            fresh.push((number, Entry::of(record)));
        }
        let mut gone = Vec::new();
        let much = (known.entries.len() + fresh.len()).saturating_sub(MOST);
        for (index, (number, entry)) in known.entries.iter().enumerate() {
            if index >= much && now.since(entry.time) <= OLDEST {
                break;
            }
            gone.push(*number);
            batch.delete(Tree::WafRecords, Name::Number(*number))?;
        }
        // Numbers are given out and the order of searches is kept while others wait for the disk.
        drop(known);
        batch.commit()?;
        let mut known = self.known();
        for number in gone {
            known.entries.remove(&number);
        }
        known.entries.extend(fresh);
        Ok(())
    }

    /// Answers a question.
    pub(crate) fn answer(&self, request: &WafRequest) -> Result<WafReply, VaultError> {
        match request {
            WafRequest::Search(query) => self.search(query).map(WafReply::Page),
            WafRequest::One(number) => self.one(*number).map(|found| WafReply::One(found.map(Box::new))),
        }
    }

    fn search(&self, query: &WafQuery) -> Result<WafPage, VaultError> {
        let limit = usize::from(query.limit.clamp(1, PAGE));
        let (found, kept) = {
            let known = self.known();
            let below = known.entries.range(..query.before.unwrap_or(u64::MAX)).rev();
            let found = below.filter(|(_, entry)| entry.fits(query)).map(|(number, _)| *number);
            (found.take(limit + 1).collect::<Vec<_>>(), known.entries.len())
        };
        let mut page = WafPage {
            records: Vec::new(),
            next: None,
            kept: u64::try_from(kept).unwrap_or(u64::MAX),
        };
        for number in found.iter().take(limit) {
            if let Some(mut record) = self.one(*number)? {
                record.audit = String::new();
                page.records.push((*number, record));
            }
        }
        if found.len() > limit {
            page.next = found.get(limit - 1).copied();
        }
        Ok(page)
    }

    fn one(&self, number: u64) -> Result<Option<WafRecord>, VaultError> {
        let found = self.store.get(Tree::WafRecords, Name::Number(number))?;
        found.map(|bytes| decode(VERSION, &bytes)).transpose()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{MOST, OLDEST, WafRecords};
    use crate::store::{StateFolder, Store};
    use redan_hal::keys::software::SoftwareDevice;
    use redan_ipc::messages::waf::{BATCH, Score, WafMatch, WafPage, WafQuery, WafRecord, WafReply, WafRequest};
    use redan_types::{IncidentId, ServiceName, Timestamp};
    use std::sync::Arc;

    fn open(folder: &tempfile::TempDir) -> (WafRecords, StateFolder) {
        let state = StateFolder::lock(folder.path()).unwrap();
        let device = SoftwareDevice::open(folder.path()).unwrap();
        let (store, _) = Store::open(&state, &device).unwrap();
        let (records, notes) = WafRecords::open(Arc::new(store)).unwrap();
        assert!(notes.is_empty(), "{notes:?}");
        (records, state)
    }

    fn record(second: u64) -> WafRecord {
        WafRecord {
            time: Timestamp(second * 1_000_000),
            service: ServiceName::parse(if second.is_multiple_of(2) { "even" } else { "odd" }).unwrap(),
            route: None,
            incident: IncidentId(second.to_be_bytes()),
            client: format!("192.0.2.{}", second % 7).parse().unwrap(),
            method: "GET".to_owned(),
            host: "shop.test".to_owned(),
            path: format!("/p{second}"),
            status: 403,
            blocking: true,
            blocked: second.is_multiple_of(3),
            stopped_by: Some(949_110),
            paranoia: 1,
            inbound: Score { score: 5, threshold: 5 },
            outbound: Score::default(),
            matches: vec![WafMatch {
                rule: 100 + second,
                phase: 2,
                message: "m".to_owned(),
                severity: Some(2),
                tags: Vec::new(),
                collection: "ARGS".to_owned(),
                key: "q".to_owned(),
                excerpt: "x".to_owned(),
                data: String::new(),
                score: 5,
                outbound: false,
            }],
            audit: "{}".to_owned(),
        }
    }

    fn search(records: &WafRecords, query: &WafQuery) -> WafPage {
        match records.answer(&WafRequest::Search(query.clone())).unwrap() {
            WafReply::Page(page) => page,
            other @ WafReply::One(_) => panic!("{other:?}"),
        }
    }

    fn paths(page: &WafPage) -> Vec<&str> {
        page.records.iter().map(|(_, record)| record.path.as_str()).collect()
    }

    #[test]
    fn records_are_found_by_each_filter_page_by_page_and_after_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let (records, state) = open(&folder);
        let all: Vec<_> = (1..=12).map(record).collect();
        records.add(&all, Timestamp(12_000_000)).unwrap();
        drop(records);
        drop(state);
        let (records, _state) = open(&folder);
        let limited = |limit| WafQuery {
            limit,
            ..WafQuery::default()
        };
        let first = search(&records, &limited(5));
        assert_eq!(paths(&first), ["/p12", "/p11", "/p10", "/p9", "/p8"]);
        let rest = WafQuery {
            before: first.next,
            ..limited(100)
        };
        let rest = search(&records, &rest);
        assert_eq!((rest.records.len(), rest.next, rest.kept), (7, None, 12));
        for (query, found) in [
            (
                WafQuery {
                    rule: Some(104),
                    ..limited(9)
                },
                vec!["/p4"],
            ),
            (
                WafQuery {
                    from: Some(Timestamp(3_000_000)),
                    until: Some(Timestamp(5_000_000)),
                    ..limited(9)
                },
                vec!["/p4", "/p3"],
            ),
            (
                WafQuery {
                    service: Some(ServiceName::parse("odd").unwrap()),
                    blocked: Some(true),
                    ..limited(9)
                },
                vec!["/p9", "/p3"],
            ),
            (
                WafQuery {
                    path: Some("/p1".to_owned()),
                    client: Some("192.0.2.4".parse().unwrap()),
                    ..limited(9)
                },
                vec!["/p11"],
            ),
            (
                WafQuery {
                    incident: Some(IncidentId(7_u64.to_be_bytes())),
                    ..limited(9)
                },
                vec!["/p7"],
            ),
        ] {
            assert_eq!(paths(&search(&records, &query)), found, "{query:?}");
        }
        let (number, listed) = &search(&records, &limited(1)).records[0];
        assert_eq!(listed.audit, "");
        let WafReply::One(Some(one)) = records.answer(&WafRequest::One(*number)).unwrap() else {
            panic!("not there")
        };
        assert_eq!(one.audit, "{}");
    }

    #[test]
    fn the_oldest_go_when_they_are_too_many_or_too_old() {
        let folder = tempfile::tempdir().unwrap();
        let (records, _state) = open(&folder);
        let all: Vec<_> = (0..u64::try_from(BATCH).unwrap()).map(record).collect();
        for _ in 0..=MOST / BATCH {
            records.add(&all, Timestamp(1)).unwrap();
        }
        let page = search(&records, &WafQuery::default());
        assert_eq!(page.kept, u64::try_from(MOST).unwrap());
        let late = Timestamp(100_000_000).after(OLDEST);
        records
            .add(
                &[WafRecord {
                    time: late,
                    ..record(1)
                }],
                late,
            )
            .unwrap();
        assert_eq!(search(&records, &WafQuery::default()).kept, 1);
    }
}
