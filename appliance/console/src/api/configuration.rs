//! The configuration: what runs, versions, differences, and the transaction. The manager decides and holds the timer.

use super::caller::Caller;
use super::extract::{Body, Params, Segment};
use super::model::{Candidate, Change, Check, Commit, Confirm, Diff, Document, Failure, Pending, Rollback, Version};
use super::{App, convert};
use crate::difference;
use crate::error::ApiError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::manager::{ConfigurationState, ManagerReply, ManagerRequest, Source};
use redan_ipc::messages::vault;
use redan_types::Generation;
use serde::Deserialize;

/// The largest document, in bytes.
const LARGEST: usize = 512 << 10;

/// What a return to an earlier version is given to be confirmed, in seconds, where the caller doesn't say.
const USUAL_WAIT: u32 = 60;

/// The document that runs.
#[utoipa::path(get, path = "/api/v1/configuration", tag = "configuration",
    responses((status = 200, body = Document), (status = 404, body = Failure)))]
pub(super) async fn running(State(app): State<App>) -> Result<Json<Document>, ApiError> {
    let now = app.peers.manager.configuration().await?;
    let running = now
        .running
        .ok_or_else(|| ApiError::missing("Nothing has been committed yet."))?;
    Ok(Json(document(running, &now.state)))
}

/// The newest versions, at most 100, newest first.
#[utoipa::path(get, path = "/api/v1/configuration/versions", tag = "configuration", params(Before),
    responses((status = 200, body = [Version])))]
pub(super) async fn versions(
    State(app): State<App>,
    Params(before): Params<Before>,
) -> Result<Json<Vec<Version>>, ApiError> {
    let now = app.peers.manager.configuration().await?;
    let versions = app.peers.manager.versions(before.before.map(Generation)).await?;
    Ok(Json(
        versions
            .into_iter()
            .map(|info| convert::version(info, &now.state))
            .collect(),
    ))
}

/// Where a list begins.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Before {
    /// Only versions below this number.
    before: Option<u64>,
}

/// One version with its document.
#[utoipa::path(get, path = "/api/v1/configuration/versions/{number}", tag = "configuration", params(("number" = u64, Path)),
    responses((status = 200, body = Document), (status = 404, body = Failure)))]
pub(super) async fn version(State(app): State<App>, Segment(number): Segment<u64>) -> Result<Json<Document>, ApiError> {
    let now = app.peers.manager.configuration().await?;
    Ok(Json(document(stored(&app, number).await?, &now.state)))
}

/// Two versions.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct Two {
    /// The older side.
    from: u64,
    /// The newer side.
    to: u64,
}

/// What differs between two versions.
#[utoipa::path(get, path = "/api/v1/configuration/diff", tag = "configuration", params(Two),
    responses((status = 200, body = Diff), (status = 404, body = Failure)))]
pub(super) async fn diff(State(app): State<App>, Params(two): Params<Two>) -> Result<Json<Diff>, ApiError> {
    let (old, new) = (stored(&app, two.from).await?, stored(&app, two.to).await?);
    let (from, to) = (
        Source::Version(Generation(two.from)),
        Source::Version(Generation(two.to)),
    );
    let changes = changes(&app, from, to).await?;
    Ok(Json(Diff {
        from: two.from,
        to: two.to,
        changes,
        lines: difference::lines(&old.document, &new.document),
    }))
}

/// All mistakes of a candidate, and what it would change; changes nothing.
#[utoipa::path(post, path = "/api/v1/configuration/check", tag = "configuration", request_body = Candidate,
    responses((status = 200, body = Check)))]
pub(super) async fn check(State(app): State<App>, Body(candidate): Body<Candidate>) -> Result<Json<Check>, ApiError> {
    bounded(&candidate.text)?;
    let request = ManagerRequest::Check {
        document: candidate.text.clone(),
    };
    let mistakes = match app.peers.manager.ask(request).await? {
        ManagerReply::Checked(mistakes) | ManagerReply::Mistaken(mistakes) => mistakes,
        reply => return Err(other(reply)),
    };
    let running = app.peers.manager.configuration().await?.running;
    let diff = running
        .map(|running| difference::lines(&running.document, &candidate.text))
        .unwrap_or_default();
    // A document with mistakes has no meaning that could be compared.
    let changes = if mistakes.iter().any(|mistake| mistake.fatal) || diff.is_empty() {
        Vec::new()
    } else {
        changes(&app, Source::Running, Source::Text(candidate.text)).await?
    };
    Ok(Json(Check {
        mistakes: mistakes.into_iter().map(Into::into).collect(),
        changes,
        diff,
    }))
}

/// Applies a candidate, to be taken back unless it is confirmed in time.
#[utoipa::path(post, path = "/api/v1/configuration/commit", tag = "configuration", request_body = Commit,
    responses((status = 200, body = Pending), (status = 409, body = Failure), (status = 422, body = Failure)))]
pub(super) async fn commit(
    State(app): State<App>,
    caller: Caller,
    Body(commit): Body<Commit>,
) -> Result<Json<Pending>, ApiError> {
    bounded(&commit.text)?;
    if commit.comment.trim().is_empty() || commit.comment.chars().count() > 500 {
        return Err(ApiError::refused("Say why, in at most 500 characters."));
    }
    let wait = commit.confirm_within_s;
    apply(
        &app,
        caller.actor(),
        commit.text,
        commit.comment,
        Generation(commit.base),
        wait,
    )
    .await
    .map(Json)
}

/// Keeps the version that waits.
#[utoipa::path(post, path = "/api/v1/configuration/confirm", tag = "configuration", request_body = Confirm,
    responses((status = 204), (status = 409, body = Failure)))]
pub(super) async fn confirm(
    State(app): State<App>,
    caller: Caller,
    Body(confirm): Body<Confirm>,
) -> Result<StatusCode, ApiError> {
    let now = app.peers.manager.configuration().await?;
    if now
        .state
        .pending
        .is_none_or(|pending| pending.generation.0 != confirm.version)
    {
        return Err(ApiError::conflict(
            "This version does not wait for confirmation: it was kept or taken back already.",
        ));
    }
    let request = ManagerRequest::Confirm {
        generation: Generation(confirm.version),
        actor: caller.actor(),
    };
    match app.peers.manager.ask(request).await? {
        ManagerReply::Done(_) => {
            app.live.stale().await;
            Ok(StatusCode::NO_CONTENT)
        }
        reply => Err(other(reply)),
    }
}

/// Takes the pending commit back at once, or commits the text of an earlier version.
#[utoipa::path(post, path = "/api/v1/configuration/rollback", tag = "configuration", request_body = Rollback,
    responses((status = 200, body = Option<Pending>), (status = 409, body = Failure)))]
pub(super) async fn rollback(
    State(app): State<App>,
    caller: Caller,
    Body(rollback): Body<Rollback>,
) -> Result<Json<Option<Pending>>, ApiError> {
    let now = app.peers.manager.configuration().await?;
    if let Some(number) = rollback.version {
        let earlier = stored(&app, number).await?;
        let base = now.running.map(|running| running.info.generation).unwrap_or_default();
        let comment = format!("Return to version {number}");
        let wait = rollback.confirm_within_s.unwrap_or(USUAL_WAIT);
        return apply(&app, caller.actor(), earlier.document, comment, base, wait)
            .await
            .map(|pending| Json(Some(pending)));
    }
    let pending = now
        .state
        .pending
        .ok_or_else(|| ApiError::conflict("No commit waits for confirmation."))?;
    let request = ManagerRequest::Rollback {
        generation: pending.generation,
        actor: caller.actor(),
    };
    match app.peers.manager.ask(request).await? {
        ManagerReply::Done(_) => {
            app.live.stale().await;
            Ok(Json(None))
        }
        reply => Err(other(reply)),
    }
}

async fn apply(
    app: &App,
    actor: Actor,
    document: String,
    comment: String,
    base: Generation,
    confirm_within: u32,
) -> Result<Pending, ApiError> {
    if !(30..=600).contains(&confirm_within) {
        return Err(ApiError::refused("The time to confirm in is 30 to 600 seconds."));
    }
    let before = app.peers.manager.configuration().await?;
    let running = before
        .running
        .map(|running| running.info.generation)
        .unwrap_or_default();
    if before.state.pending.is_some() {
        return Err(ApiError::conflict(
            "Another version waits for confirmation. Keep it or take it back first.",
        ));
    }
    if running != base {
        return Err(ApiError::conflict(format!(
            "Version {running} runs by now; this was made from version {base}."
        )));
    }
    let request = ManagerRequest::Commit {
        document,
        confirm_within,
        comment,
        actor,
        base: Some(base),
    };
    match app.peers.manager.ask(request).await? {
        ManagerReply::Done(state) if state.pending.is_none() && state.confirmed == base => {
            return Err(ApiError::conflict(format!(
                "Nothing changes: this is version {base}, which runs already."
            )));
        }
        ManagerReply::Done(_) => {}
        reply => return Err(other(reply)),
    }
    app.live.stale().await;
    let after: ConfigurationState = app.peers.manager.configuration().await?;
    let pending = after
        .state
        .pending
        .ok_or_else(|| ApiError::conflict("The commit was taken back already."))?;
    Ok(convert::pending(&pending, after.state.confirmed, after.now))
}

async fn stored(app: &App, number: u64) -> Result<vault::Version, ApiError> {
    let found = app.peers.manager.version(Generation(number)).await?;
    found.ok_or_else(|| ApiError::missing(format!("There is no version {number}.")))
}

async fn changes(app: &App, from: Source, to: Source) -> Result<Vec<Change>, ApiError> {
    match app.peers.manager.ask(ManagerRequest::Diff { from, to }).await? {
        ManagerReply::Diff(changes) => Ok(changes.into_iter().map(Into::into).collect()),
        // An old version may have mistakes by today's rules; its lines can still be compared.
        ManagerReply::Mistaken(_) | ManagerReply::Refused(_) => Ok(Vec::new()),
        reply => Err(other(reply)),
    }
}

fn document(version: vault::Version, state: &vault::CommitState) -> Document {
    Document {
        version: convert::version(version.info, state),
        text: version.document,
    }
}

fn bounded(text: &str) -> Result<(), ApiError> {
    if text.len() > LARGEST {
        Err(ApiError::too_large())
    } else {
        Ok(())
    }
}

fn other(reply: ManagerReply) -> ApiError {
    match reply {
        ManagerReply::Mistaken(mistakes) => ApiError::mistaken(mistakes.into_iter().map(Into::into).collect()),
        ManagerReply::Refused(reasons) => ApiError::refused(reasons.join("; ")),
        _ => ApiError::unavailable(
            "The manager does not answer; try again.",
            "it answered another question",
        ),
    }
}
