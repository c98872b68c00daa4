//! What the web application firewall found: telemetry of the proxy, kept by the vault, asked for by the console and operators.

use super::manager::Change;
use redan_types::{Generation, IncidentId, RouteName, ServiceName, Timestamp};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The most records in one message.
pub const BATCH: usize = 32;
/// The most records on one page.
pub const PAGE: u16 = 100;
/// The most bytes of a record, as [`WafRecord::bytes`] counts them: the proxy makes none that is larger, the vault keeps each that is
/// not.
pub const LARGEST: usize = 64 << 10;

/// A request in which rules found something. Holds no secret: what could be one is masked before it leaves the proxy.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct WafRecord {
    /// When the request was over.
    pub time: Timestamp,
    /// The service.
    pub service: ServiceName,
    /// The route.
    pub route: Option<RouteName>,
    /// What the client was told, and what the audit log says.
    pub incident: IncidentId,
    /// The client's address.
    pub client: IpAddr,
    /// The method.
    pub method: String,
    /// The host that was asked for.
    pub host: String,
    /// The path as rules see it in `REQUEST_FILENAME`, without the query.
    pub path: String,
    /// The status that the client got.
    pub status: u16,
    /// Whether the service refuses what the rules refuse.
    pub blocking: bool,
    /// Whether this request or its response was refused.
    pub blocked: bool,
    /// The rule that refused it, or would have; 0 for a limit.
    pub stopped_by: Option<u64>,
    /// The paranoia level.
    pub paranoia: u8,
    /// The score of the request, and the one at which it is refused.
    pub inbound: Score,
    /// The score of the response, and the one at which it is refused.
    pub outbound: Score,
    /// What matched, in the order of the phases.
    pub matches: Vec<WafMatch>,
    /// The audit record in ModSecurity's JSON form, masked. Empty on pages: it comes with the single record. Empty, too, where it was
    /// too long.
    pub audit: String,
    /// How many matches more there were: the record would have become too large.
    pub more: u32,
    /// The limit that was met, if any.
    pub limit: Option<WafLimit>,
}

/// A limit that refuses a request without asking a rule, or would where nothing is refused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum WafLimit {
    /// The request's body is longer than what is inspected.
    RequestBody,
    /// The response's body is longer than what is inspected.
    ResponseBody,
    /// The response is compressed although that was not asked for, and cannot be inspected.
    Compressed,
    /// Too many bodies wait to be inspected.
    Room,
}

impl WafLimit {
    /// What was met, as a sentence without its end.
    #[must_use]
    pub const fn says(self) -> &'static str {
        match self {
            Self::RequestBody => "the body of the request is longer than what is inspected",
            Self::ResponseBody => "the body of the response is longer than what is inspected",
            Self::Compressed => "the response is compressed although that was not asked for, and cannot be inspected",
            Self::Room => "too many bodies wait to be inspected",
        }
    }
}

impl WafRecord {
    /// How many bytes it takes at most, encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let names = self.service.as_str().len() + self.route.as_ref().map_or(0, |route| route.as_str().len());
        let texts = self.method.len() + self.host.len() + self.path.len() + self.audit.len();
        let matches: usize = self.matches.iter().map(WafMatch::bytes).sum();
        // Numbers, flags and lengths of texts: ten bytes each at most.
        192 + names + texts + matches
    }
}

/// A score and its threshold.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Score {
    /// The score.
    pub score: u32,
    /// Refused from here on.
    pub threshold: u32,
}

/// A match of a rule.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct WafMatch {
    /// The rule's id.
    pub rule: u64,
    /// Its phase, 1 to 5.
    pub phase: u8,
    /// Its message.
    pub message: String,
    /// Its severity, 0 (emergency) to 7 (debug).
    pub severity: Option<u8>,
    /// Its tags.
    pub tags: Vec<String>,
    /// The collection or variable that matched, for instance `ARGS`.
    pub collection: String,
    /// The name within the collection, for instance `q`; empty for a single variable.
    pub key: String,
    /// What matched, cut and masked.
    pub excerpt: String,
    /// What the rule's `logdata` says, cut and masked.
    pub data: String,
    /// What it added to the score.
    pub score: u32,
    /// Whether it would have counted for a response instead of a request.
    pub outbound: bool,
}

impl WafMatch {
    /// How many bytes it takes at most, encoded.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = self.message.len() + self.collection.len() + self.key.len() + self.excerpt.len() + self.data.len();
        let tags: usize = self.tags.iter().map(|tag| tag.len() + 5).sum();
        64 + texts + tags
    }
}

/// Which records.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct WafQuery {
    /// Not before.
    pub from: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Of this service.
    pub service: Option<ServiceName>,
    /// Where this rule matched.
    pub rule: Option<u64>,
    /// From this address.
    pub client: Option<IpAddr>,
    /// With a path that begins so.
    pub path: Option<String>,
    /// Refused, or not.
    pub blocked: Option<bool>,
    /// With this incident.
    pub incident: Option<IncidentId>,
    /// Only records with a smaller number: the next page.
    pub before: Option<u64>,
    /// How many, at most [`PAGE`].
    pub limit: u16,
}

/// Records, newest first.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct WafPage {
    /// Their numbers and what they say.
    pub records: Vec<(u64, WafRecord)>,
    /// Where the next page begins; `None` where there is none.
    pub next: Option<u64>,
    /// Records that are kept.
    pub kept: u64,
}

/// A question about records.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum WafRequest {
    /// A page of them.
    Search(WafQuery),
    /// One, with its audit record.
    One(u64),
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum WafReply {
    /// To `Search`.
    Page(WafPage),
    /// To `One`: `None` where it is not kept (any more).
    One(Option<Box<WafRecord>>),
}

/// What somebody does not want to be found any more.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExceptionWish {
    /// The number of the record.
    pub record: u64,
    /// Places of matches in it; empty: of all that counted.
    pub matches: Vec<u16>,
    /// When the exceptions end; `None`: never.
    pub expires: Option<Timestamp>,
    /// Why it is harmless.
    pub reason: String,
}

/// The narrowest exceptions for a wish, what they would have let through, and the configuration with them. Nothing has changed yet.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExceptionPreview {
    /// One for each rule and part of the request.
    pub exceptions: Vec<ProposedException>,
    /// Places of matches that get none, and why.
    pub without: Vec<(u16, String)>,
    /// What the records of the last day say.
    pub replay: ExceptionReplay,
    /// The exceptions as part of a document.
    pub toml: String,
    /// The running document with them; `None` where it cannot be written by the appliance.
    pub candidate: Option<String>,
    /// Why there is no candidate.
    pub obstacle: Option<String>,
    /// The version that the candidate was made from.
    pub base: Generation,
    /// What the candidate changes.
    pub changes: Vec<Change>,
}

/// An exception that somebody may want.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct ProposedException {
    /// The service.
    pub service: ServiceName,
    /// The rule.
    pub rule: u64,
    /// The rule's message.
    pub message: String,
    /// The path.
    pub path: String,
    /// The part of the request; `None`: the rule does not run at all on the path.
    pub parameter: Option<String>,
    /// Why it is wider than one part of the request, if it is.
    pub wider: Option<String>,
    /// The rule that it compiles to.
    pub seclang: String,
}

/// What exceptions would have changed.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct ExceptionReplay {
    /// Since when records were looked at.
    pub since: Timestamp,
    /// How many records were looked at: those of the service on which one of the rules matched on the path.
    pub records: u32,
    /// Whether these were all; else only the newest.
    pub complete: bool,
    /// How many would have passed that were refused, or would have been where nothing is refused.
    pub would_pass: u32,
    /// How many would still have been refused.
    pub still_refused: u32,
    /// The numbers of those that would have passed, the newest first.
    pub passing: Vec<u64>,
    /// Who sent them, and how many.
    pub clients: Vec<(IpAddr, u32)>,
    /// What kinds of values they carried, and how many.
    pub classes: Vec<(String, u32)>,
}
