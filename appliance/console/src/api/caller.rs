//! Who calls.

use super::model::Role;
use crate::error::ApiError;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use redan_ipc::messages::accounts::{Principal, SessionRecord};
use redan_ipc::messages::audit::Actor;
use redan_types::{RoleName, SecretString};
use std::net::{IpAddr, SocketAddr};

/// `__Host-` makes the browser insist on `Secure`, no `Domain`, and `Path=/` (RFC 6265bis section 4.1.3.2).
pub(super) const SESSION_COOKIE: &str = "__Host-redan-session";

/// What tells the vault, at the next login, that somebody signed in with this browser before; it opens nothing.
pub(super) const DEVICE_COOKIE: &str = "__Host-redan-device";

/// The client's end of the connection.
#[derive(Clone, Copy, Debug)]
pub struct Client(pub SocketAddr);

impl Client {
    /// Its address; an IPv4 address in IPv6 clothes is IPv4.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.0.ip().to_canonical()
    }
}

/// An authenticated caller; handlers get one from the guard and cannot make one.
#[derive(Clone, Debug)]
pub struct Caller {
    pub(super) who: Who,
    pub(super) client: Client,
    pub(super) agent: Option<String>,
}

/// The credential behind a caller.
#[derive(Clone, Debug)]
pub(super) enum Who {
    /// A script.
    Key(Principal),
    /// A person.
    Session {
        /// The cookie's value.
        token: SecretString,
        /// What the vault knows of it.
        record: SessionRecord,
    },
}

impl Caller {
    /// The caller in messages and in the audit log.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match &self.who {
            Who::Key(principal) => Actor::Key {
                id: principal.id,
                owner: principal.user.to_string(),
            },
            Who::Session { record, .. } => Actor::User(record.user.to_string()),
        }
    }

    /// The strongest role of the console that the caller holds; none of them: none.
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        match &self.who {
            Who::Key(principal) => role_of(&principal.roles),
            Who::Session { record, .. } => role_of(&record.roles),
        }
    }

    /// Whether a one-time password has to be changed before anything else.
    pub(super) fn must_change(&self) -> bool {
        matches!(&self.who, Who::Session { record, .. } if record.must_change)
    }

    /// The session, where the caller is a person.
    pub(super) fn session(&self) -> Result<(&SecretString, &SessionRecord), ApiError> {
        match &self.who {
            Who::Key(_) => Err(ApiError::refused("This is for people: an API key has no session.")),
            Who::Session { token, record } => Ok((token, record)),
        }
    }
}

/// The configuration names roles freely; these two open the console.
pub(super) fn role_of(roles: &[RoleName]) -> Option<Role> {
    let holds = |name: &str| roles.iter().any(|role| role.as_str() == name);
    if holds("admin") {
        Some(Role::Admin)
    } else if holds("viewer") {
        Some(Role::Viewer)
    } else {
        None
    }
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        parts.extensions.get::<Self>().cloned().ok_or_else(ApiError::signed_out)
    }
}

impl<S: Sync> FromRequestParts<S> for Client {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let found = parts.extensions.get::<Self>().copied();
        found.ok_or_else(|| ApiError::unavailable("The connection has no address.", "no client extension"))
    }
}
