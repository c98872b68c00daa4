//! What was found, as a record for the vault: what matched, what it counted, an audit record; all of it without secrets.

use super::WafPlan;
use super::mask::{Masks, Told, split};
use crate::source::Source;
use redan_http1::RequestHead;
use redan_ipc::messages::ProxyVault;
use redan_ipc::messages::vault::ProxyVaultRequest;
use redan_ipc::messages::waf::{BATCH, LARGEST, Score, WafLimit, WafMatch, WafRecord};
use redan_service::AsyncPeer;
use redan_types::{IncidentId, RouteName, ServiceName, Timestamp};
use redan_waf::engine::{Event, Exceeded, Transaction};
use std::cell::{Cell, RefCell};
use std::cmp::Reverse;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

/// Records that wait on a thread, at most: at the largest 32 MiB.
const WAITING: usize = 512;
/// Bytes of records in one message: well within what its pair allows.
const MESSAGE: usize = 128 << 10;
/// Characters of an excerpt.
const EXCERPT: usize = 200;
/// Characters of what a rule says.
const TOLD: usize = 400;
/// Tags of a match, and characters of one.
const TAGS: usize = 24;
const TAG: usize = 100;
/// Characters of a method, a host and a path.
const METHOD: usize = 32;
const HOST: usize = 300;
const PATH: usize = 1_024;
/// Bytes of an audit record; a longer one is left out, its matches are in the record.
const AUDIT: usize = 32 << 10;

/// A thread's records on their way.
#[derive(Debug, Default)]
pub(crate) struct Found {
    waiting: RefCell<VecDeque<WafRecord>>,
    lost: Cell<u64>,
}

impl Found {
    /// Adds a record. Where too many wait, one is counted as lost: the last of the client that has most of them, which may be this one.
    pub(crate) fn add(&self, record: WafRecord) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= WAITING {
            self.lost.set(self.lost.get().saturating_add(1));
            let mut counts: HashMap<Source, usize> = HashMap::new();
            for other in waiting.iter().chain([&record]) {
                *counts.entry(Source::of(other.client)).or_default() += 1;
            }
            let own = Source::of(record.client);
            // Of equals the newcomer goes.
            let most = counts
                .into_iter()
                .max_by_key(|(source, count)| (*count, *source == own));
            let last = most.and_then(|(source, _)| {
                let of_most = |other: &WafRecord| Source::of(other.client) == source;
                waiting.iter().rposition(of_most).filter(|_| source != own)
            });
            let Some(last) = last else { return };
            waiting.remove(last);
        }
        waiting.push_back(record);
    }

    /// Sends what waits; gives how many records were lost since.
    pub(crate) fn send(&self, vault: &AsyncPeer<ProxyVault>) -> u64 {
        loop {
            let records = self.batch();
            if records.is_empty() {
                break;
            }
            let count = u64::try_from(records.len()).unwrap_or(u64::MAX);
            if vault.try_notify(&ProxyVaultRequest::Waf { records }).is_err() {
                self.lost.set(self.lost.get().saturating_add(count));
            }
        }
        self.lost.take()
    }

    fn batch(&self) -> Vec<WafRecord> {
        let mut waiting = self.waiting.borrow_mut();
        let (mut records, mut size) = (Vec::new(), 0);
        while records.len() < BATCH {
            let Some(record) = waiting.front() else { break };
            size += record.bytes();
            if size > MESSAGE && !records.is_empty() {
                break;
            }
            records.extend(waiting.pop_front());
        }
        records
    }
}

/// A request at its end, as the record tells it.
#[derive(Debug)]
pub(crate) struct Subject<'a> {
    pub(crate) plan: &'a WafPlan,
    pub(crate) service: &'a ServiceName,
    pub(crate) route: Option<&'a RouteName>,
    pub(crate) head: &'a RequestHead,
    pub(crate) key_header: &'a str,
    pub(crate) incident: IncidentId,
    pub(crate) client: IpAddr,
    pub(crate) status: u16,
    pub(crate) blocked: bool,
    /// The limit that was met, other than the engine's own.
    pub(crate) limit: Option<WafLimit>,
    pub(crate) time: Timestamp,
}

/// The record of a transaction; none where nothing matched that is for the log and no limit was met.
pub(crate) fn record(subject: &Subject<'_>, transaction: &Transaction) -> Option<WafRecord> {
    let told: Vec<&Event> = transaction.events().iter().filter(|event| event.log).collect();
    let limit = subject.limit.or_else(|| transaction.exceeded().map(limit));
    if told.is_empty() && limit.is_none() {
        return None;
    }
    let Subject { plan, head, .. } = subject;
    let masks = Masks::of(head, subject.key_header, transaction.body_arguments());
    let texts: Vec<Told> = told.iter().map(|event| masks.event(event)).collect();
    let both = || told.iter().copied().zip(&texts);
    let matches: Vec<WafMatch> = both()
        .map(|(event, told)| one(event, told, &masks, plan.paranoia))
        .collect();
    let sum = |outbound: bool| {
        let counted = matches.iter().filter(|one| one.outbound == outbound);
        counted.map(|one| one.score).sum::<u32>()
    };
    let score = |names: [&str; 2], outbound: bool| {
        let scored = names
            .iter()
            .filter_map(|name| transaction.tx(name)?.parse::<u32>().ok())
            .max();
        // A rule set that scores in another way, or has not come to it.
        scored.filter(|score| *score > 0).unwrap_or_else(|| sum(outbound))
    };
    let inbound = score(["blocking_inbound_anomaly_score", "anomaly_score"], false);
    let outbound = score(["blocking_outbound_anomaly_score", "outbound_anomaly_score"], true);
    let by_rule = || {
        let first = told.iter().find(|event| event.stop.is_some());
        first.map(|event| event.rule.id)
    };
    let stopped_by = match transaction.intervention() {
        Some(verdict) => Some(verdict.rule),
        // No exception for a rule lets it through.
        None if limit.is_some() => Some(0),
        None => by_rule(),
    };
    let audited: Vec<_> = both().filter(|(event, _)| event.audit).collect();
    let audit = masks.audit(&transaction.audit(), &audited);
    Some(bounded(WafRecord {
        time: subject.time,
        service: subject.service.clone(),
        route: subject.route.cloned(),
        incident: subject.incident,
        client: subject.client,
        method: head.method().as_str().chars().take(METHOD).collect(),
        host: head.authority().to_string().chars().take(HOST).collect(),
        path: masks.path(&transaction.path()).chars().take(PATH).collect(),
        status: subject.status,
        blocking: plan.blocking,
        blocked: subject.blocked,
        stopped_by,
        paranoia: plan.paranoia,
        inbound: Score {
            score: inbound,
            threshold: plan.inbound_threshold,
        },
        outbound: Score {
            score: outbound,
            threshold: plan.outbound_threshold,
        },
        matches,
        audit: if audit.len() > AUDIT { String::new() } else { audit },
        more: u32::try_from(transaction.events_cut()).unwrap_or(u32::MAX),
        limit,
    }))
}

fn limit(exceeded: Exceeded) -> WafLimit {
    match exceeded {
        Exceeded::RequestBody => WafLimit::RequestBody,
        Exceeded::ResponseBody => WafLimit::ResponseBody,
    }
}

/// The record in a size that the vault keeps: without its audit record if need be, then with those matches that tell most.
fn bounded(mut record: WafRecord) -> WafRecord {
    if record.bytes() > LARGEST {
        record.audit.clear();
    }
    let all: usize = record.matches.iter().map(WafMatch::bytes).sum();
    let mut room = LARGEST.saturating_sub(record.bytes().saturating_sub(all));
    if all <= room {
        return record;
    }
    let stopper = record.stopped_by;
    let sums_up = |one: &WafMatch| one.score == 0 && one.collection.trim_start_matches('&') == "TX";
    let mut order: Vec<(usize, &WafMatch)> = record.matches.iter().enumerate().collect();
    // What refused, then what counted together, then what counted most; of equals the first.
    order.sort_by_key(|(_, one)| Reverse((Some(one.rule) == stopper, sums_up(one), one.score)));
    let mut kept = vec![false; record.matches.len()];
    for (at, one) in order {
        if one.bytes() <= room
            && let Some(kept) = kept.get_mut(at)
        {
            room -= one.bytes();
            *kept = true;
        }
    }
    let before = record.matches.len();
    let mut kept = kept.into_iter();
    record.matches.retain(|_| kept.next() == Some(true));
    let cut = u32::try_from(before - record.matches.len()).unwrap_or(u32::MAX);
    record.more = record.more.saturating_add(cut);
    record
}

fn one(event: &Event, told: &Told, masks: &Masks, paranoia: u8) -> WafMatch {
    let (collection, key) = split(&event.matched.name);
    let rule = &event.rule;
    let cut = |text: &str, most: usize| -> String { text.chars().take(most).collect() };
    WafMatch {
        rule: rule.id,
        phase: rule.phase,
        message: cut(&told.message, TOLD),
        severity: rule.severity.map(|severity| severity as u8),
        tags: told.tags.iter().take(TAGS).map(|tag| cut(tag, TAG)).collect(),
        collection: collection.chars().take(64).collect(),
        key: masks.text(key, 256),
        excerpt: cut(&told.value, EXCERPT),
        data: cut(&told.data, TOLD),
        score: score(event, paranoia),
        outbound: rule.phase >= 3,
    }
}

/// What a match has added to the score; nothing where its paranoia level does not count.
fn score(event: &Event, paranoia: u8) -> u32 {
    if event.score.level > paranoia {
        0
    } else {
        u32::try_from(event.score.points).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::{AUDIT, EXCERPT, Found, HOST, METHOD, PATH, TAG, TAGS, TOLD, WAITING, bounded};
    use redan_ipc::messages::waf::{LARGEST, Score, WafLimit, WafMatch, WafRecord};
    use redan_types::{IncidentId, ServiceName, Timestamp};

    /// The longest texts there can be, in bytes.
    fn long(characters: usize) -> String {
        "\u{10ffff}".repeat(characters)
    }

    fn found(rule: u64, score: u32, collection: &str) -> WafMatch {
        WafMatch {
            rule,
            phase: 2,
            message: long(TOLD),
            severity: Some(2),
            tags: vec![long(TAG); TAGS],
            collection: collection.to_owned(),
            key: long(256),
            excerpt: long(EXCERPT),
            data: long(TOLD),
            score,
            outbound: false,
        }
    }

    fn record(client: &str) -> WafRecord {
        WafRecord {
            time: Timestamp(u64::MAX),
            service: ServiceName::parse("shop").unwrap(),
            route: None,
            incident: IncidentId([255; 8]),
            client: client.parse().unwrap(),
            method: long(METHOD),
            host: long(HOST),
            path: long(PATH),
            status: 403,
            blocking: true,
            blocked: true,
            stopped_by: Some(949_110),
            paranoia: 4,
            inbound: Score::default(),
            outbound: Score::default(),
            matches: Vec::new(),
            audit: "x".repeat(AUDIT),
            more: 7,
            limit: Some(WafLimit::RequestBody),
        }
    }

    #[test]
    fn the_largest_record_is_cut_to_what_the_vault_keeps_and_its_verdict_stays() {
        let mut whole = record("2001:db8::1");
        whole.matches = (0..255)
            .map(|rule| found(rule, u32::from(rule == 200) * 9, "ARGS"))
            .collect();
        whole.matches.push(found(949_110, 0, "TX"));
        let record = bounded(whole);
        assert!(record.bytes() <= LARGEST && record.audit.is_empty());
        let rules: Vec<u64> = record.matches.iter().map(|one| one.rule).collect();
        assert!(
            rules.len() > 2 && rules.contains(&949_110) && rules.contains(&200),
            "{rules:?}"
        );
        assert!(rules.is_sorted(), "the order is kept: {rules:?}");
        assert_eq!(usize::try_from(record.more).unwrap(), 7 + 256 - rules.len());
    }

    #[test]
    fn a_record_that_fits_stays_as_it_is() {
        let mut whole = record("192.0.2.1");
        whole.matches.push(found(1, 5, "ARGS"));
        assert_eq!(bounded(whole.clone()), whole);
    }

    #[test]
    fn a_client_that_floods_loses_its_own_records_and_no_other() {
        let found = Found::default();
        found.add(record("192.0.2.7"));
        for _ in 0..3 * WAITING {
            found.add(record("192.0.2.1"));
        }
        found.add(record("192.0.2.8"));
        found.add(record("2001:db8::1"));
        // Another address of the same network.
        found.add(record("2001:db8::2"));
        let waiting = found.waiting.borrow();
        let of = |client: &str| {
            waiting
                .iter()
                .filter(|record| record.client.to_string() == client)
                .count()
        };
        let others = ["192.0.2.7", "192.0.2.8", "2001:db8::1", "2001:db8::2"].map(of);
        assert_eq!((others, waiting.len()), ([1; 4], WAITING));
        assert_eq!(found.lost.get(), 2 * u64::try_from(WAITING).unwrap() + 4);
    }
}
