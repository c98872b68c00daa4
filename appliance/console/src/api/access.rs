//! Every endpoint, with what it asks of its caller. A route cannot exist without standing here.

use super::caller::{Caller, Client, SESSION_COOKIE, Who};
use super::model::Role;
use super::{App, accounts, audit, blocks, configuration, document, overview, seal, session, system, transit, waf};
use crate::error::ApiError;
use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodRouter, delete, get, patch, post};
use redan_types::SecretString;

/// What an endpoint asks of its caller.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Needs {
    /// Nothing; the handler learns who it is, if it is anybody.
    Anybody,
    /// Nothing: the way in.
    Nobody,
    /// A session, even one that must change its password first.
    Session,
    /// A session or API key of this role at least.
    Role(Role),
    /// Any session or API key: what it may do is decided by the vault, row by row.
    Table,
}

const VIEWER: Needs = Needs::Role(Role::Viewer);
const TABLE: Needs = Needs::Table;
const ADMIN: Needs = Needs::Role(Role::Admin);

/// The table.
fn endpoints() -> Vec<(&'static str, Needs, MethodRouter<App>)> {
    vec![
        ("/api/openapi.json", VIEWER, get(document::document)),
        ("/api/v1/login", Needs::Nobody, post(session::login)),
        ("/api/v1/logout", Needs::Session, post(session::logout)),
        ("/api/v1/password", Needs::Session, post(session::password)),
        ("/api/v1/seal", Needs::Nobody, get(seal::state)),
        ("/api/v1/seal", ADMIN, post(seal::seal)),
        ("/api/v1/seal/details", VIEWER, get(seal::details)),
        ("/api/v1/seal/unseal", Needs::Nobody, post(seal::unseal)),
        ("/api/v1/session", Needs::Anybody, get(session::current)),
        ("/api/v1/sessions", VIEWER, get(session::list)),
        ("/api/v1/sessions/{id}", VIEWER, delete(session::end)),
        ("/api/v1/overview", VIEWER, get(overview::overview)),
        ("/api/v1/services", VIEWER, get(overview::services)),
        ("/api/v1/events", VIEWER, get(overview::events)),
        ("/api/v1/audit", VIEWER, get(audit::search)),
        ("/api/v1/audit/verify", VIEWER, post(audit::verify)),
        ("/api/v1/audit/export", VIEWER, get(audit::export)),
        ("/api/v1/configuration", VIEWER, get(configuration::running)),
        ("/api/v1/configuration/versions", VIEWER, get(configuration::versions)),
        (
            "/api/v1/configuration/versions/{number}",
            VIEWER,
            get(configuration::version),
        ),
        ("/api/v1/configuration/diff", VIEWER, get(configuration::diff)),
        ("/api/v1/configuration/check", VIEWER, post(configuration::check)),
        ("/api/v1/configuration/commit", ADMIN, post(configuration::commit)),
        ("/api/v1/configuration/confirm", ADMIN, post(configuration::confirm)),
        ("/api/v1/configuration/rollback", ADMIN, post(configuration::rollback)),
        ("/api/v1/users", ADMIN, get(accounts::users)),
        ("/api/v1/users", ADMIN, post(accounts::create_user)),
        ("/api/v1/users/{name}", ADMIN, patch(accounts::change_user)),
        ("/api/v1/users/{name}/reset", ADMIN, post(accounts::reset_user)),
        ("/api/v1/keys", ADMIN, get(accounts::keys)),
        ("/api/v1/keys", ADMIN, post(accounts::create_key)),
        ("/api/v1/keys/{id}", ADMIN, delete(accounts::revoke_key)),
        ("/api/v1/keys/{id}/rotate", ADMIN, post(accounts::rotate_key)),
        ("/api/v1/transit/{key}", TABLE, get(transit::describe)),
        ("/api/v1/transit/{key}/encrypt", TABLE, post(transit::encrypt)),
        ("/api/v1/transit/{key}/decrypt", TABLE, post(transit::decrypt)),
        ("/api/v1/transit/{key}/rewrap", TABLE, post(transit::rewrap)),
        ("/api/v1/transit/{key}/data-key", TABLE, post(transit::data_key)),
        ("/api/v1/transit/{key}/sign", TABLE, post(transit::sign)),
        ("/api/v1/transit/{key}/verify", TABLE, post(transit::verify)),
        ("/api/v1/transit/{key}/rotate", TABLE, post(transit::rotate)),
        ("/api/v1/transit/{key}/trim", TABLE, post(transit::trim)),
        ("/api/v1/system/update", VIEWER, get(system::versions)),
        ("/api/v1/system/update", ADMIN, post(system::install)),
        ("/api/v1/waf/events", VIEWER, get(waf::events)),
        ("/api/v1/waf/events/{id}", VIEWER, get(waf::one)),
        ("/api/v1/waf/exceptions/preview", VIEWER, post(waf::preview)),
        ("/api/v1/blocks", VIEWER, get(blocks::list)),
        ("/api/v1/blocks", ADMIN, post(blocks::block)),
        ("/api/v1/blocks", ADMIN, delete(blocks::unblock)),
    ]
}

/// The table as a router, each route behind its guard.
pub(super) fn routes(app: &App) -> Router<App> {
    endpoints()
        .into_iter()
        .fold(Router::new(), |router, (path, needs, method)| {
            let guarded = method.route_layer(from_fn_with_state((app.clone(), needs), guard));
            router.route(path, guarded)
        })
        .method_not_allowed_fallback(|| async { ApiError::method().into_response() })
}

/// Finds out who calls, refuses who may not, and hands the [`Caller`] to the handler.
async fn guard(State((app, needs)): State<(App, Needs)>, request: Request, next: Next) -> Response {
    let (mut parts, body) = request.into_parts();
    match admit(&app, needs, &parts).await {
        Ok(None) => next.run(Request::from_parts(parts, body)).await,
        Ok(Some(caller)) => {
            parts.extensions.insert(caller.clone());
            let mut response = next.run(Request::from_parts(parts, body)).await;
            response.extensions_mut().insert(caller);
            response
        }
        Err((error, caller)) => {
            let mut response = error.into_response();
            if let Some(caller) = caller {
                response.extensions_mut().insert(*caller);
            }
            response
        }
    }
}

type Refusal = (ApiError, Option<Box<Caller>>);

async fn admit(app: &App, needs: Needs, request: &Parts) -> Result<Option<Caller>, Refusal> {
    let headers = &request.headers;
    let refuse = |error: ApiError| (error, None);
    let client = *request.extensions.get::<Client>().ok_or_else(|| {
        refuse(ApiError::unavailable(
            "The connection has no address.",
            "no client extension",
        ))
    })?;
    if foreign(headers) {
        return Err(refuse(ApiError::cross_site()));
    }
    let who = if let Some(key) = bearer(headers) {
        if !matches!(needs, Needs::Role(_) | Needs::Table) {
            return Err(refuse(ApiError::refused(
                "This is for people: an API key needs no session.",
            )));
        }
        let principal = app
            .peers
            .vault
            .resolve_key(key)
            .await
            .map_err(|error| refuse(error.into()))?;
        Who::Key(principal.ok_or_else(|| refuse(ApiError::signed_out()))?)
    } else {
        if changes(&request.method) && !own_page(headers) {
            return Err(refuse(ApiError::cross_site()));
        }
        if needs == Needs::Nobody {
            return Ok(None);
        }
        let session = match cookie(headers, SESSION_COOKIE) {
            Some(token) => {
                let found = app.peers.vault.session(token.clone()).await;
                found
                    .map_err(|error| refuse(error.into()))?
                    .map(|record| (token, record))
            }
            None => None,
        };
        match session {
            Some((token, record)) => {
                app.live.sessions().used(&record);
                Who::Session { token, record }
            }
            None if needs == Needs::Anybody => return Ok(None),
            None => return Err(refuse(ApiError::signed_out())),
        }
    };
    let agent = headers
        .get(header::USER_AGENT)
        .and_then(|agent| agent.to_str().ok())
        .map(|agent| agent.chars().take(256).collect());
    let caller = Caller { who, client, agent };
    let role = caller.role();
    let verdict = match needs {
        Needs::Role(_) | Needs::Table if caller.must_change() => Err(ApiError::password_first()),
        Needs::Anybody | Needs::Nobody | Needs::Session | Needs::Table => Ok(()),
        Needs::Role(wanted) if role.is_some_and(|role| role >= wanted) => Ok(()),
        Needs::Role(_) => Err(ApiError::not_authorised()),
    };
    match verdict {
        Ok(()) => Ok(Some(caller)),
        Err(error) => Err((error, Some(Box::new(caller)))),
    }
}

/// Whether the browser says that a page of another origin is behind the request (Fetch Metadata).
fn foreign(headers: &HeaderMap) -> bool {
    headers
        .get("sec-fetch-site")
        .is_some_and(|site| site != "same-origin" && site != "none")
}

const fn changes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a request that changes something comes from the console's own pages: a header that a form cannot send, and an origin
/// that is the name asked for.
fn own_page(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let own = match (text(header::ORIGIN), text(header::HOST)) {
        (Some(origin), Some(host)) => origin
            .strip_prefix("https://")
            .is_some_and(|authority| authority.eq_ignore_ascii_case(host)),
        _ => false,
    };
    own && headers.get("x-redan-console").is_some_and(|value| value == "1")
}

/// The API key of `Authorization: Bearer` (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<SecretString> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, key) = value.split_once(' ')?;
    (scheme.eq_ignore_ascii_case("bearer") && key.len() <= 256).then(|| SecretString::new(key.trim().to_owned()))
}

/// The value of a cookie. One that stands twice is none: nobody but an attacker sends two.
pub(super) fn cookie(headers: &HeaderMap, cookie: &str) -> Option<SecretString> {
    let mut found = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == cookie);
    let (_, token) = found.next()?;
    (found.next().is_none() && token.len() <= 256).then(|| SecretString::new(token.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::{Needs, SESSION_COOKIE, bearer, cookie, endpoints, foreign, own_page};
    use crate::api::model::Role;
    use axum::http::{HeaderMap, HeaderName, HeaderValue};

    fn headers(list: &[(&'static str, &'static str)]) -> HeaderMap {
        list.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn nothing_but_the_login_and_the_unsealing_is_open() {
        let open = endpoints()
            .into_iter()
            .filter(|(_, needs, _)| matches!(needs, Needs::Anybody | Needs::Nobody));
        assert_eq!(
            open.map(|(path, ..)| path).collect::<Vec<_>>(),
            [
                "/api/v1/login",
                "/api/v1/seal",
                "/api/v1/seal/unseal",
                "/api/v1/session"
            ]
        );
        assert!(Role::Admin > Role::Viewer);
    }

    #[test]
    fn only_the_consoles_own_pages_may_change_anything() {
        let own = &[
            ("host", "redan:9443"),
            ("origin", "https://redan:9443"),
            ("x-redan-console", "1"),
        ];
        assert!(own_page(&headers(own)));
        for missing in 0..3 {
            let some: Vec<_> = own
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != missing)
                .map(|(_, pair)| *pair)
                .collect();
            assert!(!own_page(&headers(&some)), "without {}", own[missing].0);
        }
        for origin in ["http://redan:9443", "https://redan", "https://evil.example", "null"] {
            assert!(!own_page(&headers(&[own[0], ("origin", origin), own[2]])), "{origin}");
        }
        assert!(foreign(&headers(&[("sec-fetch-site", "cross-site")])));
        assert!(foreign(&headers(&[("sec-fetch-site", "same-site")])));
        assert!(!foreign(&headers(&[("sec-fetch-site", "same-origin")])));
        assert!(!foreign(&headers(&[])));
    }

    #[test]
    fn a_session_cookie_that_stands_twice_is_none() {
        let one = "a=b; __Host-redan-session=abc; c=d";
        assert_eq!(
            cookie(&headers(&[("cookie", one)]), SESSION_COOKIE).unwrap().expose(),
            "abc"
        );
        assert!(
            cookie(
                &headers(&[("cookie", "__Host-redan-session=a; __Host-redan-session=b")]),
                SESSION_COOKIE
            )
            .is_none()
        );
        assert!(cookie(&headers(&[("cookie", "redan-session=a")]), SESSION_COOKIE).is_none());
        assert_eq!(
            bearer(&headers(&[("authorization", "bearer redan_x")]))
                .unwrap()
                .expose(),
            "redan_x"
        );
        assert!(bearer(&headers(&[("authorization", "Basic eDp5")])).is_none());
    }
}
