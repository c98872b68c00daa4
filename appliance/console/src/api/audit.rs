//! The audit log: search, verification, export.

use super::caller::Caller;
use super::extract::Params;
use super::model::{AuditPage, Failure, Outcome, Verification};
use super::{Act, App, convert};
use crate::error::ApiError;
use crate::peers::Vault;
use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use redan_ipc::messages::audit::{AuditQuery, Outcome as Ended};
use redan_types::Timestamp;
use serde::Deserialize;
use std::time::SystemTime;

/// The most entries of a page.
const MOST: u16 = 500;

/// Which entries? Every filter that is present must match.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Filters {
    /// Text within any field, case folded.
    text: Option<String>,
    /// The actor as printed, or its beginning.
    actor: Option<String>,
    /// The action, or its beginning up to a dot.
    action: Option<String>,
    /// The resource, or its beginning.
    resource: Option<String>,
    /// The outcome.
    outcome: Option<Outcome>,
    /// Not before, in seconds since 1970.
    from: Option<u64>,
    /// Not after, in seconds since 1970.
    until: Option<u64>,
    /// Only entries below this sequence number: `next` of the page before.
    before: Option<u64>,
    /// At most this many, 1 to 500; 100 where absent.
    limit: Option<u16>,
}

/// Finds entries, newest first.
#[utoipa::path(get, path = "/api/v1/audit", tag = "audit", params(Filters), responses((status = 200, body = AuditPage)))]
pub(super) async fn search(
    State(app): State<App>,
    Params(filters): Params<Filters>,
) -> Result<Json<AuditPage>, ApiError> {
    let page = app.peers.vault.audit_search(filters.query()?).await?;
    Ok(Json(AuditPage {
        entries: page.entries.into_iter().map(Into::into).collect(),
        next: page.next,
        size: page.size,
    }))
}

/// Checks the whole log now: every leaf, the tree, the signed checkpoint.
#[utoipa::path(post, path = "/api/v1/audit/verify", tag = "audit", responses((status = 200, body = Verification), (status = 503, body = Failure)))]
pub(super) async fn verify(State(app): State<App>, caller: Caller) -> Result<Json<Verification>, ApiError> {
    let report = app.peers.vault.audit_verify().await?;
    let found = convert::verification(report, crate::now());
    app.live.verified(found.clone()).await;
    let (outcome, message) = if found.sound {
        (Ended::Succeeded, format!("{} entries are sound", found.size))
    } else {
        (
            Ended::Failed,
            format!("{} mistakes in {} entries", found.problems.len(), found.size),
        )
    };
    app.audit(
        &caller,
        Act {
            action: "audit.verified",
            resource: "audit".to_owned(),
            outcome,
            message,
        },
    )
    .await?;
    Ok(Json(found))
}

/// The log as JSON lines, for `redan-audit verify`, which works offline.
#[utoipa::path(get, path = "/api/v1/audit/export", tag = "audit",
    responses((status = 200, body = String, content_type = "application/jsonl")))]
pub(super) async fn export(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let act = Act {
        action: "audit.exported",
        resource: "audit".to_owned(),
        outcome: Ended::Succeeded,
        message: "the log was exported".to_owned(),
    };
    app.audit(&caller, act).await?;
    // The first part is fetched before the answer begins, so that a vault that is away is an error and not an empty file.
    let first = app.peers.vault.audit_export(0).await?;
    let parts = stream::unfold(
        Parts::First(first.text, first.next, app.peers.vault.clone()),
        Parts::next,
    );
    let mut response = Body::from_stream(parts).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/jsonl"));
    headers.insert(
        header::CONTENT_DISPOSITION,
        HeaderValue::from_static("attachment; filename=\"redan-audit.jsonl\""),
    );
    Ok(response)
}

/// What is left to send of an export.
enum Parts {
    First(String, Option<u64>, Vault),
    Rest(u64, Vault),
    End,
}

impl Parts {
    /// The next piece. A vault that goes away in the middle breaks the transfer, so that nobody takes a part for the whole.
    async fn next(self) -> Option<(Result<Bytes, std::io::Error>, Self)> {
        let after = |next: Option<u64>, vault| next.map_or(Self::End, |next| Self::Rest(next, vault));
        match self {
            Self::End => None,
            Self::First(text, next, vault) => Some((Ok(Bytes::from(text)), after(next, vault))),
            Self::Rest(from, vault) => match vault.audit_export(from).await {
                Ok(part) => Some((
                    Ok(Bytes::from(part.text)),
                    after(part.next.filter(|next| *next > from), vault),
                )),
                Err(error) => Some((Err(std::io::Error::other(error.to_string())), Self::End)),
            },
        }
    }
}

impl Filters {
    fn query(self) -> Result<AuditQuery, ApiError> {
        let texts = [&self.text, &self.actor, &self.action, &self.resource];
        if texts.into_iter().flatten().any(|text| text.len() > 512) {
            return Err(ApiError::malformed("A filter has at most 512 bytes."));
        }
        let limit = self.limit.unwrap_or(100);
        if limit == 0 || limit > MOST {
            return Err(ApiError::malformed(format!("limit is 1 to {MOST}.")));
        }
        let time = |seconds: u64| {
            Timestamp::from_system(SystemTime::UNIX_EPOCH).after(std::time::Duration::from_secs(seconds))
        };
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        Ok(AuditQuery {
            text: given(self.text),
            actor: given(self.actor),
            action: given(self.action),
            resource: given(self.resource),
            outcome: self.outcome.map(Into::into),
            from: self.from.map(time),
            until: self.until.map(time),
            before: self.before,
            limit,
        })
    }
}
