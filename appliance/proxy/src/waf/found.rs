//! What was found, as a record for the vault: what matched, what it counted, an audit record; all of it without secrets.

use super::WafPlan;
use super::mask::Masks;
use redan_http1::RequestHead;
use redan_ipc::messages::ProxyVault;
use redan_ipc::messages::vault::ProxyVaultRequest;
use redan_ipc::messages::waf::{BATCH, Score, WafMatch, WafRecord};
use redan_service::AsyncPeer;
use redan_types::{IncidentId, RouteName, ServiceName, Timestamp};
use redan_waf::engine::{Event, Transaction};
use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::IpAddr;

/// Records that wait on a thread, at most.
const WAITING: usize = 64;
/// Bytes of records in one message: well within what its pair allows.
const MESSAGE: usize = 128 << 10;
/// Characters of an excerpt.
const EXCERPT: usize = 200;
/// Characters of what a rule says.
const TOLD: usize = 400;
/// Tags of a match.
const TAGS: usize = 24;
/// Bytes of an audit record; a longer one is left out, its matches are in the record.
const AUDIT: usize = 32 << 10;

/// A thread's records on their way.
#[derive(Debug, Default)]
pub(crate) struct Found {
    waiting: RefCell<VecDeque<WafRecord>>,
    lost: Cell<u64>,
}

impl Found {
    /// Adds a record, or counts it as lost where too many wait.
    pub(crate) fn add(&self, record: WafRecord) {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() < WAITING {
            waiting.push_back(record);
        } else {
            self.lost.set(self.lost.get().saturating_add(1));
        }
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
            size += weight(record);
            if size > MESSAGE && !records.is_empty() {
                break;
            }
            records.extend(waiting.pop_front());
        }
        records
    }
}

fn weight(record: &WafRecord) -> usize {
    let matches = record.matches.iter().map(|one| {
        let tags: usize = one.tags.iter().map(String::len).sum();
        tags + one.message.len() + one.data.len() + one.excerpt.len() + one.key.len() + 64
    });
    record.audit.len() + record.path.len() + matches.sum::<usize>() + 256
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
    pub(crate) time: Timestamp,
}

/// The record of a transaction; none where nothing matched that is for the log.
pub(crate) fn record(subject: &Subject<'_>, transaction: &Transaction) -> Option<WafRecord> {
    let told: Vec<&Event> = transaction.events().iter().filter(|event| event.log).collect();
    if told.is_empty() {
        return None;
    }
    let Subject { plan, head, .. } = subject;
    let masks = Masks::of(head, subject.key_header);
    let matches: Vec<WafMatch> = told.iter().map(|event| one(event, &masks, plan.paranoia)).collect();
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
    let stopped_by = transaction.intervention().map(|verdict| verdict.rule).or_else(|| {
        let first = told.iter().find(|event| event.stop.is_some());
        first.map(|event| event.rule.id)
    });
    let hidden: Vec<bool> = told
        .iter()
        .filter(|event| event.audit)
        .map(|event| {
            let (collection, key) = split(&event.matched.name);
            masks.hides(collection, key)
        })
        .collect();
    let audit = masks.audit(&transaction.audit(), &hidden);
    Some(WafRecord {
        time: subject.time,
        service: subject.service.clone(),
        route: subject.route.cloned(),
        incident: subject.incident,
        client: subject.client,
        method: head.method().as_str().to_owned(),
        host: head.authority().to_string(),
        path: transaction.path().chars().take(1_024).collect(),
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
    })
}

fn split(name: &str) -> (&str, &str) {
    name.split_once(':').unwrap_or((name, ""))
}

fn one(event: &Event, masks: &Masks, paranoia: u8) -> WafMatch {
    let (collection, key) = split(&event.matched.name);
    let hidden = masks.hides(collection, key);
    let told = |text: &str, most: usize| {
        if hidden {
            "***".to_owned()
        } else {
            masks.text(text, most)
        }
    };
    let rule = &event.rule;
    let severity = rule.severity.map(|severity| severity as u8);
    WafMatch {
        rule: rule.id,
        phase: rule.phase,
        message: masks.text(&event.message, TOLD),
        severity,
        tags: event.tags.iter().take(TAGS).map(|tag| masks.text(tag, 100)).collect(),
        collection: collection.chars().take(64).collect(),
        key: masks.text(key, 256),
        excerpt: told(&event.matched.value, EXCERPT),
        data: told(&event.data, TOLD),
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
