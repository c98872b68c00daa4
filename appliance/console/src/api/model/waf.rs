//! What the web application firewall found.

use super::{Change, DiffLine};
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// A request in which rules found something. What could be a secret is masked.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafEvent {
    /// Its number.
    pub id: u64,
    /// When the request was over.
    pub at: String,
    /// The service.
    pub service: String,
    /// The route; empty where there was none.
    pub route: String,
    /// What the client was told.
    pub incident: String,
    /// The client's address.
    pub client: String,
    /// The method.
    pub method: String,
    /// The host that was asked for.
    pub host: String,
    /// The path, without the query.
    pub path: String,
    /// The status that the client got.
    pub status: u16,
    /// Whether the service refuses what the rules refuse, or only records it.
    pub blocking: bool,
    /// Whether the request or its response was refused.
    pub blocked: bool,
    /// The rule that refused it, or would have; 0 for a limit.
    pub stopped_by: Option<u64>,
    /// The paranoia level of the service.
    pub paranoia: u8,
    /// The anomaly score of the request.
    pub inbound_score: u32,
    /// From here on a request is refused.
    pub inbound_threshold: u32,
    /// The anomaly score of the response.
    pub outbound_score: u32,
    /// From here on a response is refused.
    pub outbound_threshold: u32,
    /// What matched, in the order of the phases.
    pub matches: Vec<WafMatch>,
    /// How many matches more there were: the event would have become too large.
    pub more: u32,
    /// The limit that was met, in words; null where none was.
    pub limit: Option<String>,
}

/// A match of a rule.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
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
    /// What matched, for instance `ARGS:q`.
    pub variable: String,
    /// The value that matched, cut and masked.
    pub excerpt: String,
    /// What the rule says about it, cut and masked.
    pub data: String,
    /// What it added to the score.
    pub score: u32,
}

/// A page of events, newest first.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafEvents {
    /// The events.
    pub events: Vec<WafEvent>,
    /// `before` of the next page; null on the last.
    pub next: Option<u64>,
    /// Events that are kept.
    pub kept: u64,
}

/// An event with its audit record.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafEventDetail {
    /// The event.
    pub event: WafEvent,
    /// The record in ModSecurity's JSON form, as JSON text; empty where it was too long to be kept.
    pub audit: String,
}

/// What somebody does not want to be found any more.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct WafExceptionWish {
    /// The event's number.
    pub event: u64,
    /// Places of its matches, from 0; empty: of all that counted.
    pub matches: Vec<u16>,
    /// Days until the exceptions end, 1 to 3650; null: they never end.
    pub days: Option<u32>,
    /// Why it is harmless: 1 to 200 characters.
    pub reason: String,
}

/// The narrowest exceptions for a wish, what they would have let through, and the configuration with them. Nothing has changed yet: to
/// apply them, commit `candidate` on the version `base`.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafExceptionPreview {
    /// One for each rule and part of the request.
    pub exceptions: Vec<WafException>,
    /// Matches that get none, and why.
    pub without: Vec<WafWithout>,
    /// What the events of the last 24 hours say.
    pub replay: WafReplay,
    /// The exceptions as part of a document.
    pub toml: String,
    /// The running document with them; null where the appliance cannot write it.
    pub candidate: Option<String>,
    /// Why there is no candidate.
    pub obstacle: Option<String>,
    /// The version that the candidate was made from.
    pub base: u64,
    /// What the candidate changes, in words.
    pub changes: Vec<Change>,
    /// The same in lines.
    pub diff: Vec<DiffLine>,
}

/// An exception that somebody may want.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafException {
    /// The service.
    pub service: String,
    /// The rule.
    pub rule: u64,
    /// The rule's message.
    pub message: String,
    /// The path.
    pub path: String,
    /// The part of the request, for instance `ARGS:q`; null: the rule does not run at all on the path.
    pub parameter: Option<String>,
    /// Why it is wider than one part of the request; null where it is not.
    pub wider: Option<String>,
    /// The rule that it compiles to.
    pub seclang: String,
}

/// A match that gets no exception.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafWithout {
    /// Its place, from 0.
    pub place: u16,
    /// Why.
    pub reason: String,
}

/// What exceptions would have changed.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafReplay {
    /// Since when events were looked at.
    pub since: String,
    /// How many were looked at: those of the service on which one of the rules matched on the path.
    pub events: u32,
    /// Whether these were all; else only the newest.
    pub complete: bool,
    /// How many would have passed that were refused, or would have been where nothing is refused.
    pub would_pass: u32,
    /// How many would still have been refused.
    pub still_refused: u32,
    /// The numbers of those that would have passed, the newest first, at most 100.
    pub passing: Vec<u64>,
    /// Clients that sent them, the most frequent first.
    pub clients: Vec<WafTally>,
    /// Kinds of values that they carried, the most frequent first.
    pub classes: Vec<WafTally>,
}

/// How many of something.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize, ToSchema, TS)]
pub struct WafTally {
    /// Of what.
    pub name: String,
    /// How many.
    pub count: u32,
}
