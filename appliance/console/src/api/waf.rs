//! What the web application firewall found: search, one event with its audit record, exceptions for it. An exception is a change to the
//! configuration like any other: it is previewed here and committed there.

use super::App;
use super::extract::{Body, Params, Segment};
use super::model::{
    Failure, WafEvent, WafEventDetail, WafEvents, WafException, WafExceptionPreview, WafExceptionWish, WafMatch,
    WafReplay, WafTally, WafWithout,
};
use crate::difference;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use redan_ipc::messages::manager::{ManagerReply, ManagerRequest};
use redan_ipc::messages::waf::{ExceptionPreview, ExceptionReplay, ExceptionWish, PAGE, WafQuery, WafRecord};
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

/// The longest time that an exception with an end lasts, in days.
const LONGEST: u32 = 3_650;

/// The narrowest exceptions for what an event found, and what they would have let through in the last 24 hours; changes nothing.
#[utoipa::path(post, path = "/api/v1/waf/exceptions/preview", tag = "waf", request_body = WafExceptionWish,
    responses((status = 200, body = WafExceptionPreview), (status = 422, body = Failure)))]
pub(super) async fn preview(
    State(app): State<App>,
    Body(wish): Body<WafExceptionWish>,
) -> Result<Json<WafExceptionPreview>, ApiError> {
    if wish.days.is_some_and(|days| days == 0 || days > LONGEST) {
        return Err(ApiError::refused(format!(
            "An exception lasts 1 to {LONGEST} days, or for good."
        )));
    }
    let end = |days: u32| crate::now().after(Duration::from_hours(24 * u64::from(days)));
    let request = ManagerRequest::PreviewException(ExceptionWish {
        record: wish.event,
        matches: wish.matches,
        expires: wish.days.map(end),
        reason: wish.reason,
    });
    let preview = match app.peers.manager.ask(request).await? {
        ManagerReply::ExceptionPreview(preview) => preview,
        ManagerReply::Refused(reasons) => return Err(ApiError::refused(sentence(&reasons.join("; ")))),
        _ => {
            return Err(ApiError::unavailable(
                "The manager does not answer; try again.",
                "it answered another question",
            ));
        }
    };
    let running = app.peers.manager.version(preview.base).await?;
    let diff = match (&running, &preview.candidate) {
        (Some(running), Some(candidate)) => difference::lines(&running.document, candidate),
        _ => Vec::new(),
    };
    let ExceptionPreview {
        exceptions,
        without,
        replay,
        toml,
        candidate,
        obstacle,
        base,
        changes,
    } = *preview;
    Ok(Json(WafExceptionPreview {
        exceptions: exceptions
            .into_iter()
            .map(|one| WafException {
                service: one.service.to_string(),
                rule: one.rule,
                message: one.message,
                path: one.path,
                parameter: one.parameter,
                wider: one.wider,
                seclang: one.seclang,
            })
            .collect(),
        without: without
            .into_iter()
            .map(|(place, reason)| WafWithout { place, reason })
            .collect(),
        replay: replayed(replay),
        toml,
        candidate,
        obstacle,
        base: base.0,
        changes: changes.into_iter().map(Into::into).collect(),
        diff,
    }))
}

fn replayed(replay: ExceptionReplay) -> WafReplay {
    WafReplay {
        since: replay.since.to_string(),
        events: replay.records,
        complete: replay.complete,
        would_pass: replay.would_pass,
        still_refused: replay.still_refused,
        passing: replay.passing,
        clients: replay
            .clients
            .into_iter()
            .map(|(client, count)| WafTally {
                name: client.to_string(),
                count,
            })
            .collect(),
        classes: replay
            .classes
            .into_iter()
            .map(|(name, count)| WafTally { name, count })
            .collect(),
    }
}

/// A reason as a sentence.
fn sentence(reason: &str) -> String {
    let mut characters = reason.chars();
    let first = characters.next().map(|first| first.to_uppercase().collect::<String>());
    format!("{}{}.", first.unwrap_or_default(), characters.as_str())
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
        more: record.more,
        limit: record.limit.map(|limit| limit.says().to_owned()),
    }
}
