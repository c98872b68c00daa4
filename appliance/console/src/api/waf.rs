//! What the web application firewall found: search, one event with its audit record.

use super::App;
use super::extract::{Params, Segment};
use super::model::{Failure, WafEvent, WafEventDetail, WafEvents, WafMatch};
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use redan_ipc::messages::waf::{PAGE, WafQuery, WafRecord};
use redan_types::{IncidentId, ServiceName, Timestamp};
use serde::Deserialize;
use std::net::IpAddr;
use std::time::Duration;

/// Which events? Every filter that is present must match.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    /// Not before, in seconds since 1970.
    from: Option<u64>,
    /// Before, in seconds since 1970.
    until: Option<u64>,
    /// The service.
    service: Option<String>,
    /// The id of a rule that matched.
    rule: Option<u64>,
    /// The client's address.
    client: Option<String>,
    /// The path, or its beginning.
    path: Option<String>,
    /// Whether it was refused.
    blocked: Option<bool>,
    /// The incident that the client was told.
    incident: Option<String>,
    /// Only events with a smaller number: `next` of the page before.
    before: Option<u64>,
    /// At most this many, 1 to 100; 50 where absent.
    limit: Option<u16>,
}

/// Finds events, newest first.
#[utoipa::path(get, path = "/api/v1/waf/events", tag = "waf", params(Filters), responses((status = 200, body = WafEvents)))]
pub(super) async fn events(
    State(app): State<App>,
    Params(filters): Params<Filters>,
) -> Result<Json<WafEvents>, ApiError> {
    let page = app.peers.vault.waf_search(filters.query()?).await?;
    let events = page.records.into_iter();
    Ok(Json(WafEvents {
        events: events.map(|(id, record)| event(id, record)).collect(),
        next: page.next,
        kept: page.kept,
    }))
}

/// One event, with its audit record in ModSecurity's form.
#[utoipa::path(get, path = "/api/v1/waf/events/{id}", tag = "waf", params(("id" = u64, Path, description = "The event's number.")),
    responses((status = 200, body = WafEventDetail), (status = 404, body = Failure)))]
pub(super) async fn one(State(app): State<App>, Segment(id): Segment<u64>) -> Result<Json<WafEventDetail>, ApiError> {
    let record = app.peers.vault.waf_record(id).await?;
    let mut record = record.ok_or_else(|| ApiError::missing("There is no such event."))?;
    let audit = std::mem::take(&mut record.audit);
    Ok(Json(WafEventDetail {
        event: event(id, *record),
        audit,
    }))
}

impl Filters {
    fn query(self) -> Result<WafQuery, ApiError> {
        let limit = self.limit.unwrap_or(50);
        if limit == 0 || limit > PAGE {
            return Err(ApiError::malformed(format!("limit is 1 to {PAGE}.")));
        }
        if self.path.as_ref().is_some_and(|path| path.len() > 1_024) {
            return Err(ApiError::malformed("path has at most 1024 bytes."));
        }
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let time = |seconds: u64| Timestamp(0).after(Duration::from_secs(seconds));
        let service = given(self.service)
            .map(|name| ServiceName::parse(&name))
            .transpose()
            .map_err(|error| ApiError::malformed(format!("service: {error}")))?;
        let client = given(self.client)
            .map(|address| address.parse::<IpAddr>())
            .transpose()
            .map_err(|_| ApiError::malformed("client is no address."))?;
        let incident = given(self.incident)
            .map(|id| IncidentId::parse(&id).ok_or_else(|| ApiError::malformed("incident has 16 hexadecimal digits.")))
            .transpose()?;
        Ok(WafQuery {
            from: self.from.map(time),
            until: self.until.map(time),
            service,
            rule: self.rule,
            client,
            path: given(self.path),
            blocked: self.blocked,
            incident,
            before: self.before,
            limit,
        })
    }
}

fn event(id: u64, record: WafRecord) -> WafEvent {
    let matches = record.matches.into_iter().map(|one| WafMatch {
        rule: one.rule,
        phase: one.phase,
        message: one.message,
        severity: one.severity,
        tags: one.tags,
        variable: if one.key.is_empty() {
            one.collection
        } else {
            format!("{}:{}", one.collection, one.key)
        },
        excerpt: one.excerpt,
        data: one.data,
        score: one.score,
    });
    WafEvent {
        id,
        at: record.time.to_string(),
        service: record.service.to_string(),
        route: record.route.map(|route| route.to_string()).unwrap_or_default(),
        incident: record.incident.to_string(),
        client: record.client.to_string(),
        method: record.method,
        host: record.host,
        path: record.path,
        status: record.status,
        blocking: record.blocking,
        blocked: record.blocked,
        stopped_by: record.stopped_by,
        paranoia: record.paranoia,
        inbound_score: record.inbound.score,
        inbound_threshold: record.inbound.threshold,
        outbound_score: record.outbound.score,
        outbound_threshold: record.outbound.threshold,
        matches: matches.collect(),
    }
}
