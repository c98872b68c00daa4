//! What a transaction tells: matches and verdicts.

use std::{ops::Range, sync::Arc};

use serde::{Deserialize, Serialize};

use super::{RuleMeta, Transaction};

/// A match of a rule.
#[derive(Clone, Debug)]
pub struct Event {
    /// What the rule says about itself.
    pub rule: Arc<RuleMeta>,
    /// `msg` with its macros resolved.
    pub message: String,
    /// `logdata` with its macros resolved.
    pub data: String,
    /// The tags.
    pub tags: Vec<String>,
    /// What macros made of these three: the rest of them is the rule's own text.
    pub made: Made,
    /// What matched.
    pub matched: Matched,
    /// What the match added to the anomaly scores.
    pub score: Score,
    /// Whether the rule is for the log (`nolog` rules are reported only to those who ask for all matches).
    pub log: bool,
    /// Whether the rule is for the audit record.
    pub audit: bool,
    /// What the rule would do to the transaction, or did.
    pub stop: Option<Stop>,
}

/// Where in the texts of an event the results of macros stand: ranges of bytes, in order, on the borders of characters.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Made {
    /// In its message.
    pub message: Vec<Range<usize>>,
    /// In its data.
    pub data: Vec<Range<usize>>,
    /// In each tag.
    pub tags: Vec<Vec<Range<usize>>>,
}

/// The value that matched.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Matched {
    /// Its name, `ARGS:q`.
    pub name: String,
    /// The value after transformations; bytes that are no UTF-8 are replaced.
    pub value: String,
}

/// What a match adds to the anomaly score of a rule set that sums up and decides at the end, as the Core Rule Set does: to variables
/// like `tx.inbound_anomaly_score_pl2`.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Score {
    /// How much.
    pub points: i64,
    /// The paranoia level whose sum it is, 1 to 4; 0 if nothing was added.
    pub level: u8,
}

/// The sums of a rule set that scores, and what it compares them with. What the rule set does not have is not there.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Scores {
    /// What counts against the request.
    pub inbound: Option<i64>,
    /// From which sum on the request is refused.
    pub inbound_threshold: Option<i64>,
    /// What counts against the response.
    pub outbound: Option<i64>,
    /// From which sum on the response is held back.
    pub outbound_threshold: Option<i64>,
    /// Up to which paranoia level matches count.
    pub level: Option<u8>,
}

impl Transaction {
    /// The anomaly scores so far, by the names that versions 3 and 4 of the Core Rule Set give them.
    #[must_use]
    pub fn scores(&self) -> Scores {
        let first = |names: &[&str]| names.iter().find_map(|name| self.tx(name)?.parse::<i64>().ok());
        Scores {
            inbound: first(&["blocking_inbound_anomaly_score", "anomaly_score"]),
            inbound_threshold: first(&["inbound_anomaly_score_threshold"]),
            outbound: first(&["blocking_outbound_anomaly_score", "outbound_anomaly_score"]),
            outbound_threshold: first(&["outbound_anomaly_score_threshold"]),
            level: first(&["blocking_paranoia_level", "paranoia_level"]).and_then(|level| u8::try_from(level).ok()),
        }
    }
}

/// Which body is longer than the rule set inspects, where that means that it is refused.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Exceeded {
    /// The request's.
    RequestBody,
    /// The response's.
    ResponseBody,
}

/// What stops a transaction.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Stop {
    /// The client gets an error.
    Deny,
    /// The connection is closed without an answer.
    Drop,
    /// The request goes to another server.
    Proxy(String),
    /// The client is sent elsewhere.
    Redirect(String),
}

/// The verdict that a transaction must not go on.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Intervention {
    /// The status to answer with.
    pub status: u16,
    /// What to do.
    pub stop: Stop,
    /// The rule's id; 0 if a limit was exceeded and no rule was asked.
    pub rule: u64,
    /// The phase, 1 to 4.
    pub phase: u8,
}
