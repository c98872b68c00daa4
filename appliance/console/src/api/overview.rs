//! The overview, the services, and the event stream that keeps pages current.

use super::App;
use super::caller::{Caller, Who};
use super::model::{Failure, Overview, Service};
use crate::error::ApiError;
use crate::live::Told;
use axum::Json;
use axum::extract::State;
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use redan_types::{RecordId, Timestamp};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::OwnedSemaphorePermit;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Interval, MissedTickBehavior, interval};

/// Everything that the overview shows.
#[utoipa::path(get, path = "/api/v1/overview", tag = "state", responses((status = 200, body = Overview)))]
pub(super) async fn overview(State(app): State<App>) -> Json<Overview> {
    Json(app.live.overview().await)
}

/// The services and their state.
#[utoipa::path(get, path = "/api/v1/services", tag = "state", responses((status = 200, body = [Service]), (status = 503, body = Failure)))]
pub(super) async fn services(State(app): State<App>) -> Result<Json<Vec<Service>>, ApiError> {
    let status = app.peers.manager.status().await?;
    Ok(Json(status.services.into_iter().map(Into::into).collect()))
}

/// Server-sent events: `traffic` (a `Sample`, each second), `state` (a `State`, when it changes), `refusals`, `recent`; at the
/// session's end `signed-out`, and nothing more.
#[utoipa::path(get, path = "/api/v1/events", tag = "state", responses((status = 200, body = String, content_type = "text/event-stream")))]
pub(super) async fn events(State(app): State<App>, caller: Caller) -> Result<Response, ApiError> {
    let place = app
        .live
        .place()
        .ok_or_else(|| ApiError::too_many("Too many pages are open.", 30))?;
    let id = match &caller.who {
        Who::Key(principal) => Ticket::Until(principal.until),
        Who::Session { record, .. } => Ticket::Session(record.id),
    };
    let mut check = interval(Duration::from_secs(1));
    check.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let following = Following {
        events: app.live.follow(),
        app,
        ticket: id,
        check,
        _place: place,
    };
    let stream = stream::unfold(Some(following), |following| async { following?.next().await });
    let kept = KeepAlive::new().interval(Duration::from_secs(15));
    Ok(Sse::new(stream).keep_alive(kept).into_response())
}

/// How long a stream may go on.
enum Ticket {
    /// As long as this session lives; the stream itself is no use of it.
    Session(RecordId),
    /// Until the API key ends.
    Until(Timestamp),
}

struct Following {
    app: App,
    events: Receiver<Arc<Told>>,
    ticket: Ticket,
    check: Interval,
    _place: OwnedSemaphorePermit,
}

impl Following {
    async fn next(mut self) -> Option<(Result<Event, Infallible>, Option<Self>)> {
        loop {
            tokio::select! {
                told = self.events.recv() => match told {
                    Ok(told) => return Some((Ok(Event::default().event(told.name).data(&told.json)), Some(self))),
                    // A reader too slow for its queue begins anew, with the whole picture.
                    Err(RecvError::Lagged(_) | RecvError::Closed) => return None,
                },
                _ = self.check.tick() => {
                    let now = crate::now();
                    let alive = match self.ticket {
                        Ticket::Session(id) => self.app.live.sessions().alive(id, now),
                        Ticket::Until(until) => now < until,
                    };
                    if !alive {
                        // Without data, browsers would pass the event over (HTML, server-sent events, "dispatch the event").
                        return Some((Ok(Event::default().event("signed-out").data("null")), None));
                    }
                }
            }
        }
    }
}
