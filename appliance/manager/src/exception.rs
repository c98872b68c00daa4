//! Exceptions for what the web application firewall found: proposed, replayed against the records of the last day, written into the
//! running document. Nothing changes here: the candidate goes through a transaction like any other.

use crate::document;
use crate::peers::{Peers, now, odd_answer};
use crate::state;
use crate::waf::as_rule;
use crate::world::Unavailable;
use redan_config::Appliance;
use redan_ipc::messages::manager::ManagerReply;
use redan_ipc::messages::vault::{ManagerVaultReply, ManagerVaultRequest};
use redan_ipc::messages::waf::{
    ExceptionPreview, ExceptionReplay, ExceptionWish, PAGE, ProposedException, WafPage, WafQuery, WafRecord, WafReply,
    WafRequest,
};
use redan_types::{ServiceName, Timestamp};
use redan_waf::exception::{Exception, NoException, Proposal, Record, RecordMatch, Sum, propose, replay};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// How far back records are looked at.
const DAY: Duration = Duration::from_hours(24);
/// Records that are looked at, the newest first.
const RECORDS: usize = 5_000;
/// Characters of a path that the vault searches by.
const SEARCHED: usize = 200;
/// The longest reason, in characters.
const REASON: usize = 200;
/// Matches of one record that a wish may name.
const MATCHES: usize = 64;

/// Makes exceptions over what the vault keeps.
#[derive(Clone, Copy, Debug)]
pub struct Exceptions<'a> {
    peers: &'a Peers,
}

impl<'a> Exceptions<'a> {
    /// Over these wires.
    #[must_use]
    pub const fn new(peers: &'a Peers) -> Self {
        Self { peers }
    }

    /// The exceptions that a wish asks for, and what they would mean.
    ///
    /// # Errors
    /// [`Unavailable`] where the vault does not answer.
    pub fn preview(&self, wish: &ExceptionWish) -> Result<ManagerReply, Unavailable> {
        let refused = |reason: &str| Ok(ManagerReply::Refused(vec![reason.to_owned()]));
        let now = now();
        let reason = wish.reason.trim();
        if reason.is_empty() || reason.chars().count() > REASON || reason.chars().any(char::is_control) {
            return refused("say in at most 200 characters why this is harmless");
        }
        if wish.expires.is_some_and(|end| end <= now) {
            return refused("an exception cannot end in the past");
        }
        let Some(record) = self.record(wish.record)? else {
            return refused("there is no such event, or it is not kept any more");
        };
        let commits = self.peers.commit_state()?;
        let base = state::running(&commits);
        let Some(running) = self.peers.version(base)? else {
            return refused("nothing runs yet");
        };
        let appliance = document::parse(&running.document).ok();
        let found = found(wish.record, &record);
        let (proposals, without) = proposals(&found, wish, appliance.as_ref());
        let exceptions: Vec<Exception> = proposals
            .iter()
            .map(|(_, proposal)| proposal.exception.clone())
            .collect();
        let replay = self.replay(&record.service, &exceptions, now)?;
        let toml: Vec<String> = together(&exceptions).iter().map(Exception::toml).collect();
        let toml = toml.join("\n");
        let (candidate, obstacle) = match written(&running.document, &toml) {
            _ if exceptions.is_empty() => (None, Some("there is no exception to make".to_owned())),
            Ok(candidate) => (Some(candidate), None),
            Err(obstacle) => (None, Some(obstacle)),
        };
        let changes = match (&appliance, &candidate) {
            (Some(before), Some(candidate)) => document::parse(candidate)
                .map(|after| document::changes(before, &after))
                .unwrap_or_default(),
            _ => Vec::new(),
        };
        let exceptions = proposals.iter().map(|(place, proposal)| {
            let exception = &proposal.exception;
            ProposedException {
                service: record.service.clone(),
                rule: exception.rules.first().map_or(0, |(first, _)| *first),
                message: record
                    .matches
                    .get(*place)
                    .map(|one| one.message.clone())
                    .unwrap_or_default(),
                path: exception.path.to_string(),
                parameter: exception.parameter.as_ref().map(ToString::to_string),
                wider: proposal.wider.map(str::to_owned),
                seclang: exception.seclang(0),
            }
        });
        Ok(ManagerReply::ExceptionPreview(Box::new(ExceptionPreview {
            exceptions: exceptions.collect(),
            without,
            replay,
            toml,
            candidate,
            obstacle,
            base,
            changes,
        })))
    }

    fn record(&self, number: u64) -> Result<Option<WafRecord>, Unavailable> {
        match self.ask(WafRequest::One(number))? {
            WafReply::One(record) => Ok(record.map(|record| *record)),
            WafReply::Page(_) => Err(odd_answer()),
        }
    }

    fn page(&self, query: WafQuery) -> Result<WafPage, Unavailable> {
        match self.ask(WafRequest::Search(query))? {
            WafReply::Page(page) => Ok(page),
            WafReply::One(_) => Err(odd_answer()),
        }
    }

    fn ask(&self, request: WafRequest) -> Result<WafReply, Unavailable> {
        match self.peers.ask_vault(&ManagerVaultRequest::Waf(request))? {
            ManagerVaultReply::Waf(reply) => Ok(reply),
            _ => Err(odd_answer()),
        }
    }

    /// Replays what the last day's records say. Only those can change on which one of the rules matched on the path.
    fn replay(
        &self,
        service: &ServiceName,
        exceptions: &[Exception],
        now: Timestamp,
    ) -> Result<ExceptionReplay, Unavailable> {
        let since = Timestamp(now.0.saturating_sub(u64::try_from(DAY.as_micros()).unwrap_or(u64::MAX)));
        let mut records: BTreeMap<u64, Record> = BTreeMap::new();
        let mut complete = true;
        for exception in exceptions {
            let (mut before, mut read) = (None, BTreeSet::new());
            loop {
                let page = self.page(WafQuery {
                    from: Some(since),
                    service: Some(service.clone()),
                    rule: exception.rules.first().map(|(first, _)| *first),
                    path: Some(exception.path.to_string().chars().take(SEARCHED).collect()),
                    before,
                    limit: PAGE,
                    ..WafQuery::default()
                })?;
                records.extend(
                    page.records
                        .iter()
                        .map(|(number, record)| (*number, found(*number, record))),
                );
                // A page that leads back to one that was read is the end, whatever it says.
                let next = page.next.filter(|next| read.insert(*next));
                if next.is_none() {
                    break;
                }
                if records.len() >= RECORDS {
                    complete = false;
                    break;
                }
                before = next;
            }
        }
        let found = replay(records.values(), exceptions);
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        Ok(ExceptionReplay {
            since,
            records: count(found.records),
            complete,
            would_pass: count(found.would_pass),
            still_refused: count(found.still_refused),
            passing: found.passing,
            clients: found
                .clients
                .into_iter()
                .map(|(client, n)| (client, count(n)))
                .collect(),
            classes: found
                .classes
                .into_iter()
                .map(|(class, n)| (class.name().to_owned(), count(n)))
                .collect(),
        })
    }
}

/// The exceptions for the matches of a wish, each once, and the places that get none.
type Proposals = (Vec<(usize, Proposal)>, Vec<(u16, String)>);

fn proposals(record: &Record, wish: &ExceptionWish, running: Option<&Appliance>) -> Proposals {
    let named = !wish.matches.is_empty();
    let places: Vec<u16> = if named {
        wish.matches.iter().copied().take(MATCHES).collect()
    } else {
        (0..u16::try_from(record.matches.len()).unwrap_or(u16::MAX))
            .take(MATCHES)
            .collect()
    };
    let (mut made, mut without): Proposals = (Vec::new(), Vec::new());
    for place in places {
        let at = usize::from(place);
        // What did not count needs no exception, unless it was asked for.
        let counted = record
            .matches
            .get(at)
            .is_some_and(|found| found.points > 0 || record.stopped_by == Some(found.rule));
        if !named && !counted {
            continue;
        }
        match propose(record, at, wish.expires, wish.reason.trim()) {
            Ok(proposal) if stands(running, &proposal.exception) => {
                without.push((place, "there is such an exception already".to_owned()));
            }
            Ok(proposal) => {
                let same = |(_, other): &(usize, Proposal)| other.exception == proposal.exception;
                if !made.iter().any(same) {
                    made.push((at, proposal));
                }
            }
            // Those who name no match need not know about sums.
            Err(NoException::Sum) if !named => {}
            Err(reason) => without.push((place, reason.to_string())),
        }
    }
    (made, without)
}

/// Exceptions that differ in their rules only as one.
fn together(exceptions: &[Exception]) -> Vec<Exception> {
    let mut all: Vec<Exception> = Vec::new();
    for exception in exceptions {
        let alike = |other: &&mut Exception| other.path == exception.path && other.parameter == exception.parameter;
        match all.iter_mut().find(alike) {
            Some(other) => other.rules.extend(&exception.rules),
            None => all.push(exception.clone()),
        }
    }
    for exception in &mut all {
        exception.rules.sort_unstable();
    }
    all
}

/// Whether the running configuration has the exception already.
fn stands(running: Option<&Appliance>, wanted: &Exception) -> bool {
    let waf = running
        .and_then(|appliance| {
            appliance
                .services
                .iter()
                .find(|(name, _)| name.as_str() == wanted.service)
        })
        .and_then(|(_, service)| service.waf.as_ref());
    waf.is_some_and(|waf| {
        let same = |other: &Exception| {
            let within = |(first, last): &(u64, u64)| other.rules.iter().any(|(from, to)| from <= first && last <= to);
            wanted.rules.iter().all(within)
                && other.path == wanted.path
                && other.parameter == wanted.parameter
                && other
                    .expires
                    .is_none_or(|end| wanted.expires.is_some_and(|wanted| end >= wanted))
        };
        waf.exceptions
            .iter()
            .any(|exception| as_rule(exception).is_ok_and(|other| same(&other)))
    })
}

/// The document with more text at its end, if that is a good one.
fn written(document: &str, toml: &str) -> Result<String, String> {
    let candidate = format!("{}\n\n{toml}", document.trim_end());
    match document::parse(&candidate) {
        Ok(_) => Ok(candidate),
        Err(mistakes) => {
            let first = mistakes
                .first()
                .map(|mistake| mistake.message.clone())
                .unwrap_or_default();
            Err(format!(
                "the exceptions cannot be added at the end of the document ({first}): write them where the service's others stand"
            ))
        }
    }
}

/// A record in the words of the rule engine. What a match added counts, or the proxy would have told 0.
fn found(id: u64, record: &WafRecord) -> Record {
    let sum = |score: redan_ipc::messages::waf::Score| Sum {
        score: i64::from(score.score),
        threshold: i64::from(score.threshold),
    };
    Record {
        id,
        time: record.time,
        service: record.service.to_string(),
        client: record.client,
        path: record.path.clone(),
        level: record.paranoia,
        inbound: sum(record.inbound),
        outbound: sum(record.outbound),
        stopped_by: record.stopped_by,
        blocked: record.blocked,
        matches: record
            .matches
            .iter()
            .map(|one| RecordMatch {
                rule: one.rule,
                phase: one.phase,
                collection: one.collection.clone(),
                key: one.key.clone(),
                excerpt: one.excerpt.clone(),
                points: i64::from(one.score),
                level: 0,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::{found, proposals, stands, together, written};
    use crate::document;
    use redan_ipc::messages::waf::{ExceptionWish, Score, WafMatch, WafRecord};
    use redan_types::{IncidentId, ServiceName, Timestamp};
    use redan_waf::exception::{Exception, Outcome};

    const GOOD: &str = include_str!("../../../config/examples/evaluation-bare.toml");
    const WAF: &str =
        "\n[rule-sets.own]\ndirectory = \"/rules\"\n[services.shop.waf]\nmode = \"block\"\nrules = \"own\"\n";

    fn one(rule: u64, collection: &str, key: &str, score: u32) -> WafMatch {
        WafMatch {
            rule,
            phase: 2,
            message: "SQL injection".to_owned(),
            severity: Some(2),
            tags: Vec::new(),
            collection: collection.to_owned(),
            key: key.to_owned(),
            excerpt: "O'Brien".to_owned(),
            data: String::new(),
            score,
            outbound: false,
        }
    }

    fn record() -> WafRecord {
        WafRecord {
            time: Timestamp(1),
            service: ServiceName::parse("shop").unwrap(),
            route: None,
            incident: IncidentId::parse("0123456789abcdef").unwrap(),
            client: "192.0.2.1".parse().unwrap(),
            method: "GET".to_owned(),
            host: "shop.test".to_owned(),
            path: "/search".to_owned(),
            status: 403,
            blocking: true,
            blocked: true,
            stopped_by: Some(949_110),
            paranoia: 1,
            inbound: Score { score: 5, threshold: 5 },
            outbound: Score::default(),
            matches: vec![
                one(920_300, "REQUEST_HEADERS", "Accept", 0),
                one(942_100, "ARGS", "q", 5),
                one(949_110, "TX", "blocking_inbound_anomaly_score", 0),
            ],
            audit: String::new(),
            more: 0,
            limit: None,
        }
    }

    fn wish(matches: &[u16]) -> ExceptionWish {
        ExceptionWish {
            record: 7,
            matches: matches.to_vec(),
            expires: Some(Timestamp(1_795_305_600_000_000)),
            reason: "names have apostrophes".to_owned(),
        }
    }

    #[test]
    fn what_counted_gets_an_exception_and_what_sums_up_does_not() {
        let record = found(7, &record());
        let (made, without) = proposals(&record, &wish(&[]), None);
        let made: Vec<Exception> = made.into_iter().map(|(_, proposal)| proposal.exception).collect();
        assert_eq!((made.len(), without.len()), (1, 0));
        assert_eq!(made[0].parameter.as_ref().unwrap().to_string(), "ARGS:q");
        assert_eq!(record.outcome(&made), Outcome::WouldPass);
        // One that is asked for by its place may be any; what gets none says why.
        let (made, without) = proposals(&record, &wish(&[0, 2, 9]), None);
        assert_eq!((made.len(), without.len()), (1, 2));
        assert!(without[0].1.contains("sums up"), "{without:?}");
    }

    #[test]
    fn the_candidate_is_the_document_with_the_exception_and_nothing_else() {
        let text = format!("{GOOD}{WAF}");
        let record = found(7, &record());
        let (made, _) = proposals(&record, &wish(&[]), document::parse(&text).ok().as_ref());
        let exception = &made[0].1.exception;
        let candidate = written(&text, &exception.toml()).unwrap();
        let (before, after) = (document::parse(&text).unwrap(), document::parse(&candidate).unwrap());
        assert!(!document::changes(&before, &after).is_empty());
        assert!(!stands(Some(&before), exception) && stands(Some(&after), exception));
        // Once it stands there it is not proposed again, unless it shall last longer.
        let (again, without) = proposals(&record, &wish(&[1]), Some(&after));
        assert!(again.is_empty() && without[0].1.contains("already"), "{without:?}");
        let forever = ExceptionWish {
            expires: None,
            ..wish(&[1])
        };
        assert_eq!(proposals(&record, &forever, Some(&after)).0.len(), 1);
        // A second one follows on the first.
        assert!(written(&candidate, &exception.toml().replace("942100", "942101")).is_ok());
    }

    #[test]
    fn rules_that_found_the_same_part_share_an_exception() {
        let mut record = record();
        record.matches.push(one(941_100, "ARGS", "q", 5));
        record.matches.push(one(941_110, "ARGS", "r", 5));
        let (made, _) = proposals(&found(7, &record), &wish(&[]), None);
        let made: Vec<Exception> = made.into_iter().map(|(_, proposal)| proposal.exception).collect();
        let all = together(&made);
        assert_eq!((made.len(), all.len()), (3, 2));
        assert_eq!(all[0].rules, [(941_100, 941_100), (942_100, 942_100)]);
        let text = format!("{GOOD}{WAF}");
        let candidate = written(&text, &all[0].toml()).unwrap();
        let after = document::parse(&candidate).unwrap();
        assert!(made[..2].iter().all(|one| stands(Some(&after), one)) && !stands(Some(&after), &made[2]));
    }

    #[test]
    fn a_document_that_cannot_be_added_to_says_so() {
        let inline = "[services.shop.waf]\nmode = \"block\"\nrules = \"own\"\nexceptions = [{ rule = 1, path = \"/\", reason = \"r\" }]\n";
        let text = format!("{GOOD}\n[rule-sets.own]\ndirectory = \"/rules\"\n{inline}");
        document::parse(&text).unwrap();
        let record = found(7, &record());
        let (made, _) = proposals(&record, &wish(&[]), None);
        let obstacle = written(&text, &made[0].1.exception.toml()).unwrap_err();
        assert!(
            obstacle.contains("write them where the service's others stand"),
            "{obstacle}"
        );
        // A service without a firewall has nothing to be excepted from.
        assert!(written(GOOD, &made[0].1.exception.toml()).is_err());
    }
}
