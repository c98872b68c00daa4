//! What the web application firewall found.

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
