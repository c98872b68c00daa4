//! What exceptions would have changed for requests that were recorded.
//!
//! What a record does not hold is not guessed: the sums are the recorded ones less what the exceptions take away. Of a chain the record
//! names only one value, although others may have matched, too: the replay then says that a request passes which would still be
//! refused. It never says the opposite.

use std::collections::BTreeMap;
use std::net::IpAddr;

use redan_types::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Exception, ValueClass};

/// A request in which rules found something.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Record {
    /// Its number.
    pub id: u64,
    /// When it was.
    pub time: Timestamp,
    /// The service.
    pub service: String,
    /// The client.
    pub client: IpAddr,
    /// The path as rules see it.
    pub path: String,
    /// Up to which paranoia level matches count.
    pub level: u8,
    /// What counted against the request.
    pub inbound: Sum,
    /// What counted against the response.
    pub outbound: Sum,
    /// The rule that refused it, or would have where nothing is refused; 0 for a limit.
    pub stopped_by: Option<u64>,
    /// Whether it was refused.
    pub blocked: bool,
    /// All matches.
    pub matches: Vec<RecordMatch>,
}

/// A sum and the threshold from which on it means a refusal.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Sum {
    /// The sum.
    pub score: i64,
    /// Refused from here on; 0: never because of the sum.
    pub threshold: i64,
}

/// A match of a rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct RecordMatch {
    /// The rule.
    pub rule: u64,
    /// Its phase, 1 to 5.
    pub phase: u8,
    /// The collection or variable, `ARGS`.
    pub collection: String,
    /// The name in it; empty for a variable.
    pub key: String,
    /// What matched, perhaps cut and masked.
    pub excerpt: String,
    /// What it added to a sum.
    pub points: i64,
    /// The paranoia level of the rule; 0: it tells none, and always counts.
    pub level: u8,
}

impl RecordMatch {
    /// Whether the rule only judges the sums.
    pub(super) fn sums_up(&self) -> bool {
        let name = self.key.to_ascii_lowercase();
        self.points == 0
            && self.collection.trim_start_matches('&') == "TX"
            && (name.contains("anomaly_score") || name.ends_with("_score") || name == "crs_setup_version")
    }
}

/// What exceptions mean for a record.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// They do not concern it.
    Untouched,
    /// They do; it was not refused before either.
    PassedBefore,
    /// They do, and it is still refused.
    StillRefused,
    /// It was refused, or would have been where nothing is refused, and would pass.
    WouldPass,
}

impl Record {
    /// What exceptions mean for this record.
    #[must_use]
    pub fn outcome(&self, exceptions: &[Exception]) -> Outcome {
        let covered: Vec<&RecordMatch> = self.covered(exceptions).collect();
        if covered.is_empty() {
            return Outcome::Untouched;
        }
        let Some(stopper) = self.stopped_by else {
            return Outcome::PassedBefore;
        };
        if self.is_refused_without(stopper, &covered) {
            Outcome::StillRefused
        } else {
            Outcome::WouldPass
        }
    }

    /// The matches that would not have happened.
    pub fn covered<'a>(&'a self, exceptions: &'a [Exception]) -> impl Iterator<Item = &'a RecordMatch> {
        self.matches.iter().filter(move |found| {
            let mut all = exceptions.iter();
            all.any(|exception| exception.covers(&self.service, &self.path, found.rule, &found.collection, &found.key))
        })
    }

    fn is_refused_without(&self, stopper: u64, covered: &[&RecordMatch]) -> bool {
        // A limit is no rule.
        if stopper == 0 {
            return true;
        }
        let is_covered = |found: &&RecordMatch| covered.iter().any(|covered| std::ptr::eq(*covered, *found));
        let own: Vec<&RecordMatch> = self.matches.iter().filter(|found| found.rule == stopper).collect();
        // A rule that refuses by itself does so as long as it has a match.
        if let Some(first) = own.first()
            && !first.sums_up()
        {
            return !own.iter().all(is_covered);
        }
        let spared = |outbound: bool| {
            let counted = covered
                .iter()
                .filter(|found| (found.phase >= 3) == outbound && found.level <= self.level);
            counted.fold(0_i64, |sum, found| sum.saturating_add(found.points))
        };
        let exceeds = |sum: Sum, spared: i64| sum.threshold > 0 && sum.score.saturating_sub(spared) >= sum.threshold;
        exceeds(self.inbound, spared(false)) || exceeds(self.outbound, spared(true))
    }
}

/// What exceptions would have changed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Replay {
    /// How many records were looked at.
    pub records: usize,
    /// How many of them the exceptions concern.
    pub concerned: usize,
    /// How many would pass that were refused.
    pub would_pass: usize,
    /// How many are still refused.
    pub still_refused: usize,
    /// The numbers of those that would pass, the newest first, at most [`MOST_NAMED`].
    pub passing: Vec<u64>,
    /// Who sent what would pass, the most frequent first.
    pub clients: Vec<(IpAddr, usize)>,
    /// What kinds of values would not be found any more in what would pass, the most frequent first.
    pub classes: Vec<(ValueClass, usize)>,
}

/// How many records and clients a replay names.
pub const MOST_NAMED: usize = 100;

/// Replays records against exceptions.
#[must_use]
pub fn replay<'a>(records: impl IntoIterator<Item = &'a Record>, exceptions: &[Exception]) -> Replay {
    let mut replay = Replay::default();
    let mut clients: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut classes: BTreeMap<ValueClass, usize> = BTreeMap::new();
    let mut passing = Vec::new();
    for record in records {
        replay.records += 1;
        let outcome = record.outcome(exceptions);
        replay.concerned += usize::from(outcome != Outcome::Untouched);
        replay.still_refused += usize::from(outcome == Outcome::StillRefused);
        if outcome != Outcome::WouldPass {
            continue;
        }
        replay.would_pass += 1;
        passing.push((record.time, record.id));
        *clients.entry(record.client).or_default() += 1;
        let mut kinds: Vec<ValueClass> = record
            .covered(exceptions)
            .map(|found| ValueClass::of(&found.excerpt))
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        for kind in kinds {
            *classes.entry(kind).or_default() += 1;
        }
    }
    passing.sort_unstable_by(|a, b| b.cmp(a));
    replay.passing = passing.into_iter().map(|(_, id)| id).take(MOST_NAMED).collect();
    replay.clients = by_count(clients);
    replay.classes = by_count(classes);
    replay
}

fn by_count<K: Ord>(counts: BTreeMap<K, usize>) -> Vec<(K, usize)> {
    let mut counts: Vec<(K, usize)> = counts.into_iter().collect();
    counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    counts.truncate(MOST_NAMED);
    counts
}

#[cfg(test)]
mod tests {
    use super::super::{Parameter, Place};
    use super::*;

    fn found(rule: u64, collection: &str, key: &str, points: i64) -> RecordMatch {
        RecordMatch {
            rule,
            phase: 2,
            collection: collection.to_owned(),
            key: key.to_owned(),
            excerpt: "O'Brien".to_owned(),
            points,
            level: 1,
        }
    }

    fn record(id: u64, score: i64, matches: Vec<RecordMatch>) -> Record {
        let mut matches = matches;
        matches.push(found(949_110, "TX", "blocking_inbound_anomaly_score", 0));
        Record {
            id,
            time: Timestamp(id),
            service: "shop".to_owned(),
            client: "192.0.2.1".parse().unwrap(),
            path: "/search".to_owned(),
            level: 1,
            inbound: Sum { score, threshold: 5 },
            outbound: Sum { score: 0, threshold: 4 },
            stopped_by: Some(949_110),
            blocked: true,
            matches,
        }
    }

    fn exception(parameter: &str) -> Exception {
        Exception {
            service: "shop".to_owned(),
            rules: vec![(942_100, 942_100)],
            path: Place::Exact("/search".to_owned()),
            parameter: Some(Parameter::parse(parameter).unwrap()),
            expires: None,
            reason: String::new(),
        }
    }

    #[test]
    fn a_request_passes_when_what_is_left_is_below_the_threshold() {
        let one = record(1, 5, vec![found(942_100, "ARGS", "q", 5)]);
        let two = record(
            2,
            10,
            vec![found(942_100, "ARGS", "q", 5), found(941_100, "ARGS", "q", 5)],
        );
        let low = record(
            3,
            8,
            vec![
                found(942_100, "ARGS", "q", 5),
                found(920_300, "REQUEST_HEADERS", "Accept", 3),
            ],
        );
        let exceptions = [exception("ARGS:q")];
        assert_eq!(one.outcome(&exceptions), Outcome::WouldPass);
        assert_eq!(two.outcome(&exceptions), Outcome::StillRefused);
        assert_eq!(low.outcome(&exceptions), Outcome::WouldPass);
        let replay = replay([&one, &two, &low], &exceptions);
        assert_eq!(
            (
                replay.records,
                replay.concerned,
                replay.would_pass,
                replay.still_refused
            ),
            (3, 3, 2, 1)
        );
        assert_eq!(replay.passing, [3, 1]);
        assert_eq!(replay.clients, [("192.0.2.1".parse().unwrap(), 2)]);
        assert_eq!(replay.classes, [(ValueClass::Prose, 2)]);
    }

    #[test]
    fn an_exception_covers_nothing_beside_what_it_names() {
        let exceptions = [exception("ARGS:q")];
        for (collection, key) in [
            ("ARGS", "q2"),
            ("ARGS", "Q"),
            ("ARGS", "json.q"),
            ("ARGS_NAMES", "q"),
            ("ARGS_GET", "q"),
            ("REQUEST_COOKIES", "q"),
            ("REQUEST_URI", ""),
        ] {
            let other = record(1, 5, vec![found(942_100, collection, key, 5)]);
            assert_eq!(other.outcome(&exceptions), Outcome::Untouched, "{collection}:{key}");
        }
        let mut other = record(1, 5, vec![found(942_100, "ARGS", "q", 5)]);
        other.path = "/search/".to_owned();
        assert_eq!(other.outcome(&exceptions), Outcome::Untouched);
        other.path = "/search".to_owned();
        other.service = "blog".to_owned();
        assert_eq!(other.outcome(&exceptions), Outcome::Untouched);
        let rule = record(1, 5, vec![found(942_101, "ARGS", "q", 5)]);
        assert_eq!(rule.outcome(&exceptions), Outcome::Untouched);
        let header = record(1, 5, vec![found(942_100, "REQUEST_HEADERS", "user-agent", 5)]);
        assert_eq!(
            header.outcome(&[exception("REQUEST_HEADERS:User-Agent")]),
            Outcome::WouldPass
        );
    }

    #[test]
    fn points_above_the_level_that_counts_are_not_spared_twice() {
        let mut high = found(942_100, "ARGS", "q", 5);
        high.level = 2;
        let record = record(1, 5, vec![high, found(941_100, "ARGS", "q", 5)]);
        assert_eq!(record.outcome(&[exception("ARGS:q")]), Outcome::StillRefused);
    }

    #[test]
    fn a_rule_that_refuses_by_itself_does_so_until_its_last_match_is_gone() {
        let mut direct = record(
            1,
            0,
            vec![found(942_100, "ARGS", "q", 0), found(942_100, "ARGS", "r", 0)],
        );
        direct.stopped_by = Some(942_100);
        assert_eq!(direct.outcome(&[exception("ARGS:q")]), Outcome::StillRefused);
        assert_eq!(
            direct.outcome(&[exception("ARGS:q"), exception("ARGS:r")]),
            Outcome::WouldPass
        );
        direct.stopped_by = Some(0);
        assert_eq!(
            direct.outcome(&[exception("ARGS:q"), exception("ARGS:r")]),
            Outcome::StillRefused
        );
        direct.stopped_by = None;
        assert_eq!(direct.outcome(&[exception("ARGS:q")]), Outcome::PassedBefore);
    }
}
