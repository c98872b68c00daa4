//! What the web application firewall found: telemetry, the newest records of all services in a tree of their own.
//!
//! What is searched for is in memory, the records themselves are read when a page needs them. A record that cannot be written is lost
//! and nothing else: the audit log has the refusal. There is room for so many records and so many bytes; when it is full, the client
//! that has most of it loses its oldest one, so that a flood pushes out what the flood left and nobody else's.

use super::VaultError;
use super::change::{Change, Key, decode, encode};
use crate::store::{Name, Store, StoreError, Tree};
use redan_ipc::messages::waf::{BATCH, LARGEST, PAGE, WafPage, WafQuery, WafRecord, WafReply, WafRequest};
use redan_types::{IncidentId, ServiceName, Timestamp};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::ops::Bound;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Records kept, at most.
const MOST: usize = 20_000;
/// Bytes of records kept, at most, in their stored form. The store itself may take twice as much until it is written anew.
const MOST_BYTES: usize = 128 << 20;
/// What a record counts at least when clients are compared: its part of the room, if all were alike.
const SLOT: usize = MOST_BYTES / MOST;
/// Older records go, however few there are.
const OLDEST: Duration = Duration::from_hours(7 * 24);
/// Bytes of records on one page, at most: it is sent in one message.
const PAGE_BYTES: usize = 1 << 20;
/// Records read at once at the start.
const PORTION: usize = 500;
/// 1 had neither `more` nor `limit`.
const VERSION: u8 = 2;

/// The records.
#[derive(Debug)]
pub(crate) struct WafRecords {
    store: Arc<Store>,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    entries: BTreeMap<u64, Entry>,
    /// The same in the order of time: threads of the proxy report at their own pace.
    order: BTreeSet<(Timestamp, u64)>,
    /// What each client has of the room.
    shares: HashMap<IpAddr, Share>,
    /// The clients by what they have.
    ranks: BTreeSet<(usize, IpAddr)>,
    bytes: usize,
    next: u64,
    limits: Limits,
}

/// How much is kept.
#[derive(Clone, Copy, Debug)]
struct Limits {
    records: usize,
    bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            records: MOST,
            bytes: MOST_BYTES,
        }
    }
}

#[derive(Debug, Default)]
struct Share {
    weight: usize,
    records: BTreeSet<(Timestamp, u64)>,
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
    /// Bytes of its stored form.
    bytes: usize,
}

impl Entry {
    fn of(record: &WafRecord, bytes: usize) -> Self {
        let mut rules: Vec<u64> = record.matches.iter().map(|one| one.rule).collect();
        rules.sort_unstable();
        rules.dedup();
        Self {
            time: record.time,
            service: record.service.clone(),
            client: record.client,
            path: record.path.chars().take(256).collect(),
            rules,
            blocked: record.blocked,
            incident: record.incident,
            bytes,
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

/// Who counts as one client: an IPv4 address, or an IPv6 network of 64 bits.
fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

impl Known {
    fn insert(&mut self, number: u64, entry: Entry) {
        let client = network(entry.client);
        self.bytes += entry.bytes;
        self.order.insert((entry.time, number));
        let share = self.shares.entry(client).or_default();
        self.ranks.remove(&(share.weight, client));
        share.weight += entry.bytes.max(SLOT);
        share.records.insert((entry.time, number));
        self.ranks.insert((share.weight, client));
        self.entries.insert(number, entry);
    }

    fn remove(&mut self, number: u64) {
        let Some(entry) = self.entries.remove(&number) else {
            return;
        };
        let client = network(entry.client);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        self.order.remove(&(entry.time, number));
        let Some(share) = self.shares.get_mut(&client) else {
            return;
        };
        self.ranks.remove(&(share.weight, client));
        share.weight = share.weight.saturating_sub(entry.bytes.max(SLOT));
        share.records.remove(&(entry.time, number));
        if share.records.is_empty() {
            self.shares.remove(&client);
        } else {
            self.ranks.insert((share.weight, client));
        }
    }

    /// The next one that has to go: one that is too old, else the oldest of who has most.
    fn surplus(&self, now: Timestamp) -> Option<u64> {
        let (time, oldest) = *self.order.first()?;
        if now.since(time) > OLDEST {
            return Some(oldest);
        }
        if self.entries.len() <= self.limits.records && self.bytes <= self.limits.bytes {
            return None;
        }
        let (_, client) = self.ranks.last()?;
        let first = self.shares.get(client)?.records.first();
        first.map(|(_, number)| *number)
    }
}

/// A stored record, of this version or the one before.
fn stored(bytes: &[u8]) -> Result<WafRecord, VaultError> {
    match bytes.split_first() {
        // What came to be known since stands at the end, and nothing of it is two zeros.
        Some((1, body)) => decode(VERSION, &[&[VERSION], body, &[0, 0]].concat()),
        _ => decode(VERSION, bytes),
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
                        match stored(&record.value) {
                            Ok(found) => known.insert(number, Entry::of(&found, record.value.len())),
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
        known.next = from.max(1);
        let known = Mutex::new(known);
        Ok((Self { store, known }, notes))
    }

    /// Keeps records; others go where there are too many. Gives how many of these were too large to be kept, which the proxy never makes.
    pub(crate) fn add(&self, records: &[WafRecord], now: Timestamp) -> Result<usize, VaultError> {
        let mut sorted: Vec<&WafRecord> = records.iter().take(BATCH).collect();
        sorted.sort_by_key(|record| record.time);
        let mut dropped = records.len() - sorted.len();
        let mut batch = self.store.batch();
        let mut fresh = Vec::new();
        let mut known = self.known();
        for record in sorted {
            let value = encode(VERSION, record)?;
            if value.len() > LARGEST {
                dropped += 1;
                continue;
            }
            let number = known.next;
            known.next += 1;
            let bytes = value.len();
            Change::Put(Tree::WafRecords, Key::Number(number), value).add_to(&mut batch)?;
            known.insert(number, Entry::of(record, bytes));
            fresh.push(number);
        }
        while let Some(number) = known.surplus(now) {
            known.remove(number);
            batch.delete(Tree::WafRecords, Name::Number(number))?;
        }
        // Others need not wait for the disk. What a search finds before it is there, it passes over.
        drop(known);
        if let Err(error) = batch.commit() {
            // What was to go is found again after the next start.
            let mut known = self.known();
            for number in fresh {
                known.remove(number);
            }
            return Err(error.into());
        }
        Ok(dropped)
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
            let below = match query.before {
                Some(before) => Bound::Excluded(match known.entries.get(&before) {
                    Some(entry) => (entry.time, before),
                    // It has gone since: from about there.
                    None => {
                        let last = known.entries.range(..before).next_back();
                        last.map_or((Timestamp(0), 0), |(number, entry)| (entry.time, number + 1))
                    }
                }),
                None => Bound::Unbounded,
            };
            let below = known.order.range((Bound::Unbounded, below)).rev();
            let fits = |number: &u64| known.entries.get(number).is_some_and(|entry| entry.fits(query));
            let found = below.map(|(_, number)| *number).filter(fits);
            (found.take(limit + 1).collect::<Vec<_>>(), known.entries.len())
        };
        let mut page = WafPage {
            records: Vec::new(),
            next: None,
            kept: u64::try_from(kept).unwrap_or(u64::MAX),
        };
        let (mut bytes, mut last) = (0, None);
        for number in found.iter().take(limit) {
            if let Some(mut record) = self.one(*number)? {
                record.audit = String::new();
                bytes += record.bytes();
                if bytes > PAGE_BYTES && !page.records.is_empty() {
                    page.next = last;
                    return Ok(page);
                }
                page.records.push((*number, record));
            }
            last = Some(*number);
        }
        if found.len() > limit {
            page.next = last;
        }
        Ok(page)
    }

    fn one(&self, number: u64) -> Result<Option<WafRecord>, VaultError> {
        let found = self.store.get(Tree::WafRecords, Name::Number(number))?;
        found.map(|bytes| stored(&bytes)).transpose()
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Limits, MOST, OLDEST, SLOT, VERSION, WafRecords, encode, stored};
    use crate::store::{StateFolder, Store};
    use redan_hal::keys::software::SoftwareDevice;
    use redan_ipc::messages::waf::{
        BATCH, LARGEST, Score, WafMatch, WafPage, WafQuery, WafRecord, WafReply, WafRequest,
    };
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
            more: 0,
            limit: None,
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

    #[test]
    fn the_largest_record_that_the_proxy_makes_is_kept_and_a_larger_one_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (records, _state) = open(&folder);
        let mut large = record(1);
        large.stopped_by = Some(u64::MAX);
        large.time = Timestamp(u64::MAX >> 2);
        large.matches = vec![large.matches[0].clone(); 200];
        large.audit = "\u{10ffff}".repeat((LARGEST - large.bytes()) / 4 + 1);
        large.audit.truncate(large.audit.len() - 4);
        assert!(large.bytes() > LARGEST - 8 && large.bytes() <= LARGEST);
        assert!(encode(VERSION, &large).unwrap().len() <= large.bytes());
        assert_eq!(records.add(&[large.clone()], large.time).unwrap(), 0);
        assert_eq!(search(&records, &WafQuery::default()).kept, 1);
        large.audit = "x".repeat(LARGEST);
        assert_eq!(records.add(&[large.clone(), record(2)], large.time).unwrap(), 1);
    }

    #[test]
    fn a_record_of_the_version_before_is_read() {
        let mut old = encode(VERSION, &record(3)).unwrap().to_vec();
        old.truncate(old.len() - 2);
        old[0] = 1;
        assert_eq!(stored(&old).unwrap(), record(3));
    }

    fn from(client: &str, second: u64, audit: usize) -> WafRecord {
        WafRecord {
            client: client.parse().unwrap(),
            audit: "x".repeat(audit),
            ..record(second)
        }
    }

    #[test]
    fn a_flood_of_one_client_pushes_out_its_own_records_and_stays_within_the_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let (records, state) = open(&folder);
        let bytes = 40 * SLOT;
        records.known().limits = Limits { records: 50, bytes };
        records
            .add(&[from("192.0.2.1", 1, 0), from("192.0.2.2", 2, 0)], Timestamp(1))
            .unwrap();
        for second in 3..200 {
            let flood = from(&format!("2001:db8::{second:x}"), second, 2 * SLOT);
            records.add(&[flood], Timestamp(1)).unwrap();
            assert!(records.known().bytes <= bytes);
        }
        let kept = |client: &str| {
            let client = Some(client.parse().unwrap());
            search(
                &records,
                &WafQuery {
                    client,
                    limit: 100,
                    ..WafQuery::default()
                },
            )
            .records
            .len()
        };
        assert_eq!([kept("192.0.2.1"), kept("192.0.2.2"), kept("2001:db8::c7")], [1; 3]);
        assert_eq!(kept("2001:db8::3"), 0);
        let before = records.known().bytes;
        drop(records);
        drop(state);
        let (records, _state) = open(&folder);
        assert_eq!(records.known().bytes, before, "what went is gone");
    }

    #[test]
    fn records_are_listed_in_the_order_of_time_and_numbers_begin_with_one() {
        let folder = tempfile::tempdir().unwrap();
        let (records, _state) = open(&folder);
        records.add(&[record(9), record(5)], Timestamp(1)).unwrap();
        // A thread of the proxy that reports later.
        records.add(&[record(7), record(1)], Timestamp(1)).unwrap();
        let all = search(
            &records,
            &WafQuery {
                limit: 9,
                ..WafQuery::default()
            },
        );
        assert_eq!(paths(&all), ["/p9", "/p7", "/p5", "/p1"]);
        assert_eq!(all.records.iter().map(|(number, _)| *number).min(), Some(1));
        let two = |before| {
            search(
                &records,
                &WafQuery {
                    limit: 2,
                    before,
                    ..WafQuery::default()
                },
            )
        };
        assert_eq!(paths(&two(two(None).next)), ["/p5", "/p1"]);
    }

    #[test]
    fn a_page_ends_where_its_message_would_be_too_large() {
        let folder = tempfile::tempdir().unwrap();
        let (records, _state) = open(&folder);
        let mut large = record(1);
        let tag = vec!["t".repeat(4_000)];
        large.matches = vec![
            WafMatch {
                tags: tag,
                ..large.matches[0].clone()
            };
            15
        ];
        for _ in 0..2 {
            assert_eq!(records.add(&vec![large.clone(); BATCH], Timestamp(1)).unwrap(), 0);
        }
        let first = search(
            &records,
            &WafQuery {
                limit: 100,
                ..WafQuery::default()
            },
        );
        assert!(first.records.len() < 20 && first.next.is_some());
        let (mut seen, mut before) = (first.records.len(), first.next);
        while before.is_some() {
            let page = search(
                &records,
                &WafQuery {
                    limit: 100,
                    before,
                    ..WafQuery::default()
                },
            );
            (seen, before) = (seen + page.records.len(), page.next);
        }
        assert_eq!(seen, 2 * BATCH);
    }
}
