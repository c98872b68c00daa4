//! The API. [`access`] is the table of endpoints with what each asks for; one file for each group of handlers; [`model`] are the
//! types on the wire, [`convert`] makes them from the services' messages, [`document`] describes it all (OpenAPI).

pub mod access;
mod accounts;
mod audit;
mod blocks;
mod caller;
mod configuration;
mod convert;
pub mod document;
#[cfg(test)]
mod drift;
mod extract;
pub mod model;
mod overview;
mod seal;
mod session;
mod system;
mod transit;
mod waf;

pub use caller::{Caller, Client};
pub(crate) use convert::{pending, version};

use crate::assets::{self, POLICY};
use crate::error::{ApiError, Incident};
use crate::live::Live;
use crate::peers::Peers;
use crate::settings::Settings;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditedRequest, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// The largest body of a request.
const LARGEST_BODY: usize = 1 << 20;

/// The longest that an answer may take to begin; the event stream begins at once.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where bundles are sent, and how long the slowest line may take for one.
const UPLOAD: &str = "/api/v1/system/update";
const UPLOAD_PATIENCE: Duration = Duration::from_mins(30);

/// Password hashes asked for at once: each costs the vault tens of milliseconds and mebibytes.
const LOGINS: usize = 2;

/// What every handler may use.
#[derive(Clone, Debug)]
pub struct App {
    peers: Peers,
    live: Arc<Live>,
    settings: Settings,
    logins: Arc<Semaphore>,
    reports: Arc<Semaphore>,
    updates: Arc<Semaphore>,
}

impl App {
    /// Over these peers.
    #[must_use]
    pub fn new(peers: Peers, live: Arc<Live>, settings: Settings) -> Self {
        Self {
            peers,
            live,
            settings,
            logins: Arc::new(Semaphore::new(LOGINS)),
            reports: Arc::new(Semaphore::new(8)),
            updates: Arc::new(Semaphore::new(1)),
        }
    }

    /// The API and the pages.
    pub fn router(self) -> Router {
        access::routes(&self)
            .fallback(pages)
            .layer(DefaultBodyLimit::max(LARGEST_BODY))
            .layer(from_fn(bounded))
            .layer(from_fn_with_state(self.clone(), own_names))
            .layer(from_fn_with_state(self.clone(), report))
            .layer(from_fn(protect))
            .with_state(self)
    }

    /// Puts an act of a caller into the audit log; durable when this returns.
    async fn audit(&self, caller: &Caller, act: Act<'_>) -> Result<(), ApiError> {
        Ok(self.peers.vault.audit(act.by(caller)).await?)
    }
}

/// Something that a caller did and the console itself has to record; what the vault and the manager do, they record.
struct Act<'a> {
    action: &'a str,
    resource: String,
    outcome: Outcome,
    message: String,
}

impl Act<'_> {
    fn by(self, caller: &Caller) -> AuditEvent {
        AuditEvent {
            time: crate::now(),
            actor: caller.actor(),
            action: self.action.to_owned(),
            resource: self.resource,
            outcome: self.outcome,
            before: None,
            after: None,
            address: Some(caller.client.address()),
            agent: caller.agent.clone(),
            request: None,
            incident: None,
            message: self.message,
        }
    }
}

/// Everything outside of `/api` is a page or one of its files.
async fn pages(request: Request) -> Response {
    let path = request.uri().path();
    if path == "/api" || path.starts_with("/api/") {
        return ApiError::missing("There is no such endpoint.").into_response();
    }
    assets::answer(request.method(), path)
}

/// Cuts off a request whose body or answer does not come.
async fn bounded(request: Request, next: Next) -> Response {
    let patience = if request.uri().path() == UPLOAD {
        UPLOAD_PATIENCE
    } else {
        PATIENCE
    };
    tokio::time::timeout(patience, next.run(request))
        .await
        .unwrap_or_else(|_| ApiError::too_slow().into_response())
}

/// Refuses names that are not the console's.
async fn own_names(State(app): State<App>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| app.settings.answers_to(host)) {
        return ApiError::misdirected().into_response();
    }
    next.run(request).await
}

/// Records what went wrong inside, and who was refused, under the incident that the client was shown.
async fn report(State(app): State<App>, request: Request, next: Next) -> Response {
    let (method, path) = (
        request.method().clone(),
        request.uri().path().chars().take(1_024).collect::<String>(),
    );
    let client = request.extensions().get::<Client>().copied();
    let response = next.run(request).await;
    let status = response.status();
    let worth = status.is_server_error() || status.as_u16() == 403 || status.as_u16() == 421;
    if let (true, Some(incident)) = (worth, response.extensions().get::<Incident>().cloned())
        && let Ok(slot) = Arc::clone(&app.reports).try_acquire_owned()
    {
        let event = AuditEvent {
            time: crate::now(),
            actor: response
                .extensions()
                .get::<Caller>()
                .map_or(Actor::Anonymous, Caller::actor),
            action: if status.is_server_error() {
                "console.failed"
            } else {
                "console.refused"
            }
            .to_owned(),
            resource: "console".to_owned(),
            outcome: if status.is_server_error() {
                Outcome::Failed
            } else {
                Outcome::Denied
            },
            before: None,
            after: None,
            address: client.map(|client| client.address()),
            agent: None,
            request: Some(AuditedRequest {
                method: method.to_string(),
                path,
                status: status.as_u16(),
                count: 1,
            }),
            incident: Some(incident.id),
            message: incident.cause.unwrap_or_else(|| incident.code.to_owned()),
        };
        tokio::spawn(async move {
            if let Err(error) = app.peers.vault.audit(event).await {
                eprintln!("an incident could not be recorded: {error}");
            }
            // At most eight reports are under way, and each keeps its place for a second: a flood of errors cannot fill the log.
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(slot);
        });
    }
    response
}

/// Headers of every answer.
async fn protect(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            HeaderName::from_static("permissions-policy"),
            "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
        ),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    response
}
