//! The way in and out, one's own password, open sessions.

use super::access::cookie;
use super::caller::{Caller, Client, DEVICE_COOKIE, SESSION_COOKIE, role_of};
use super::convert;
use super::extract::{Body, Segment};
use super::model::{Failure, Login, OpenSession, PasswordChange, Role, Session};
use super::{App, accounts};
use crate::error::ApiError;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use redan_ipc::messages::accounts::{AccountReply, AccountRequest, SessionRecord};
use redan_ipc::messages::vault::LoginOutcome;
use redan_types::RecordId;
use std::time::Duration;

/// The longest password; longer ones would only cost time.
const LONGEST: usize = 1_024;

/// How long a browser remembers that somebody signed in with it, in seconds: as long as the vault does.
const REMEMBERED: u32 = 30 * 86_400;

/// How long a login waits for its turn at the password hash.
const TURN: Duration = Duration::from_secs(5);

/// Signs in with a name and a password; the answer sets the session's cookie.
#[utoipa::path(post, path = "/api/v1/login", tag = "session", request_body = Login,
    responses((status = 200, body = Session), (status = 401, body = Failure), (status = 429, body = Failure)))]
pub(super) async fn login(
    State(app): State<App>,
    client: Client,
    headers: HeaderMap,
    Body(login): Body<Login>,
) -> Result<Response, ApiError> {
    if login.name.len() > 256 || login.password.expose().len() > LONGEST {
        return Err(ApiError::wrong_credentials());
    }
    let turn = tokio::time::timeout(TURN, app.logins.acquire()).await;
    let _turn = turn.map_err(|_| ApiError::too_many("Many people sign in at this moment; try again.", 5))?;
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    let agent = agent.map(|agent| agent.chars().take(256).collect());
    match app
        .peers
        .vault
        .login(
            login.name,
            login.password,
            client.address(),
            agent,
            cookie(&headers, DEVICE_COOKIE),
        )
        .await?
    {
        LoginOutcome::Wrong => Err(ApiError::wrong_credentials()),
        LoginOutcome::Locked { seconds } => Err(ApiError::too_many(
            "Too many wrong passwords from here. Wait before you try again.",
            seconds,
        )),
        LoginOutcome::Session { token, session, device } => {
            let body = Session::of(&session)?;
            app.live.sessions().used(&session);
            // No Max-Age: the browser forgets it when it closes; the vault ends the session in any case.
            let cookie = format!(
                "{SESSION_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
                token.expose()
            );
            let known = format!(
                "{DEVICE_COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={REMEMBERED}",
                device.expose()
            );
            with_cookie(with_cookie(Json(body).into_response(), &cookie)?, &known)
        }
    }
}

/// Signs out.
#[utoipa::path(post, path = "/api/v1/logout", tag = "session", responses((status = 204)))]
pub(super) async fn logout(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let (token, record) = caller.session()?;
    app.peers.vault.logout(token.clone()).await?;
    app.live.sessions().ended(record.id);
    let gone = format!("{SESSION_COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    with_cookie(StatusCode::NO_CONTENT.into_response(), &gone)
}

/// Who is signed in; `null` where nobody is. (Pages ask this first, and a refusal would be an error in the browser's log.)
#[utoipa::path(get, path = "/api/v1/session", tag = "session", responses((status = 200, body = Option<Session>)))]
pub(super) async fn current(caller: Option<Extension<Caller>>) -> Result<Json<Option<Session>>, ApiError> {
    match caller {
        Some(Extension(caller)) => Session::of(caller.session()?.1).map(|session| Json(Some(session))),
        None => Ok(Json(None)),
    }
}

/// Changes the caller's own password; the caller's other sessions end.
#[utoipa::path(post, path = "/api/v1/password", tag = "session", request_body = PasswordChange,
    responses((status = 200, body = Session), (status = 422, body = Failure)))]
pub(super) async fn password(
    State(app): State<App>,
    caller: Caller,
    Body(change): Body<PasswordChange>,
) -> Result<Json<Session>, ApiError> {
    let (token, record) = caller.session()?;
    if change.new.expose().len() > LONGEST || change.current.expose().len() > LONGEST {
        return Err(ApiError::refused(format!("A password has at most {LONGEST} bytes.")));
    }
    let turn = tokio::time::timeout(TURN, app.logins.acquire()).await;
    let _turn = turn.map_err(|_| ApiError::too_many("Many people sign in at this moment; try again.", 5))?;
    app.peers
        .vault
        .change_password(token.clone(), change.current, change.new)
        .await?;
    app.live.sessions().ended_of(&record.user, Some(record.id));
    let now = app
        .peers
        .vault
        .session(token.clone())
        .await?
        .ok_or_else(ApiError::signed_out)?;
    Session::of(&now).map(Json)
}

/// Open sessions: an administrator's view has everybody's, any other one's own.
#[utoipa::path(get, path = "/api/v1/sessions", tag = "session", responses((status = 200, body = [OpenSession])))]
pub(super) async fn list(State(app): State<App>, caller: Caller) -> Result<Json<Vec<OpenSession>>, ApiError> {
    let own = caller.session().ok().map(|(_, record)| record.clone());
    if caller.role() != Some(Role::Admin) {
        return Ok(Json(own.iter().map(|record| OpenSession::of(record, true)).collect()));
    }
    match app
        .peers
        .vault
        .accounts(caller.actor(), AccountRequest::Sessions)
        .await?
    {
        AccountReply::Sessions(records) => {
            let current = |record: &SessionRecord| own.as_ref().is_some_and(|own| own.id == record.id);
            Ok(Json(
                records
                    .iter()
                    .map(|record| OpenSession::of(record, current(record)))
                    .collect(),
            ))
        }
        other => Err(accounts::other(other)),
    }
}

/// Ends a session; anybody may end their own, an administrator any.
#[utoipa::path(delete, path = "/api/v1/sessions/{id}", tag = "session", params(("id" = String, Path)),
    responses((status = 204), (status = 404, body = Failure)))]
pub(super) async fn end(
    State(app): State<App>,
    caller: Caller,
    Segment(id): Segment<String>,
) -> Result<StatusCode, ApiError> {
    let id = RecordId::parse(&id).ok_or_else(|| ApiError::missing("There is no such session."))?;
    if let Ok((token, record)) = caller.session()
        && record.id == id
    {
        app.peers.vault.logout(token.clone()).await?;
    } else if caller.role() == Some(Role::Admin) {
        accounts::done(
            app.peers
                .vault
                .accounts(caller.actor(), AccountRequest::RevokeSession { id })
                .await?,
        )?;
    } else {
        return Err(ApiError::not_authorised());
    }
    app.live.sessions().ended(id);
    Ok(StatusCode::NO_CONTENT)
}

fn with_cookie(mut response: Response, cookie: &str) -> Result<Response, ApiError> {
    let value = HeaderValue::from_str(cookie)
        .map_err(|_| ApiError::unavailable("The session could not be opened.", "a token that no header can carry"))?;
    response.headers_mut().append(header::SET_COOKIE, value);
    Ok(response)
}

impl Session {
    fn of(record: &SessionRecord) -> Result<Self, ApiError> {
        Ok(Self {
            name: record.user.to_string(),
            role: role_of(&record.roles).ok_or_else(ApiError::not_authorised)?,
            must_change_password: record.must_change,
            expires_at: record.until.to_string(),
        })
    }
}

impl OpenSession {
    fn of(record: &SessionRecord, current: bool) -> Self {
        Self {
            id: record.id.to_string(),
            name: record.user.to_string(),
            source: convert::address(record.address),
            opened_at: record.created.to_string(),
            agent: record.agent.clone().unwrap_or_default(),
            used_at: record.used.to_string(),
            current,
        }
    }
}
