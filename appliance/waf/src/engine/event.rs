//! What a transaction tells: matches and verdicts.

use std::sync::Arc;

use super::RuleMeta;

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
    /// What matched.
    pub matched: Matched,
    /// Whether the rule is for the log (`nolog` rules are reported only to those who ask for all matches).
    pub log: bool,
    /// Whether the rule is for the audit record.
    pub audit: bool,
    /// What the rule would do to the transaction, or did.
    pub stop: Option<Stop>,
}

/// The value that matched.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Matched {
    /// Its name, `ARGS:q`.
    pub name: String,
    /// The value after transformations; bytes that are no UTF-8 are replaced.
    pub value: String,
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
