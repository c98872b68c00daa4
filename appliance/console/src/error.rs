//! How the API says no: a status, a fixed word, one sentence for people and the incident's number, always as JSON. What went wrong
//! inside stays inside, in the audit log under the same number.

use crate::api::model::{Failure, Mistake};
use crate::peers::PeerError;
use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use redan_ipc::messages::vault::VaultRefusal;
use redan_types::IncidentId;

/// A request that was not answered as asked.
#[derive(Clone, Debug)]
pub struct ApiError {
    status: StatusCode,
    code: &'static str,
    message: String,
    mistakes: Vec<Mistake>,
    retry_after: Option<u32>,
    cause: Option<String>,
}

/// Beside an error's response, for the layer that records it.
#[derive(Clone, Debug)]
pub struct Incident {
    /// What the client was shown.
    pub id: IncidentId,
    /// The fixed word.
    pub code: &'static str,
    /// What the client was not shown.
    pub cause: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
            mistakes: Vec::new(),
            retry_after: None,
            cause: None,
        }
    }

    /// The request itself is wrong.
    pub fn malformed(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", message)
    }

    /// The request is well formed, and what it asks for is refused.
    pub fn refused(message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "refused", message)
    }

    /// Somebody was faster.
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "conflict", message)
    }

    /// A candidate configuration has mistakes.
    pub fn mistaken(mistakes: Vec<Mistake>) -> Self {
        let mut error = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "mistakes",
            "The configuration has mistakes; nothing was changed.",
        );
        error.mistakes = mistakes;
        error
    }

    /// Nobody is signed in.
    #[must_use]
    pub fn signed_out() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "signed-out", "Sign in first.")
    }

    /// Wrong name or password; not said which.
    #[must_use]
    pub fn wrong_credentials() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "wrong-credentials",
            "The name or the password is wrong.",
        )
    }

    /// Too many attempts.
    #[must_use]
    pub fn too_many(message: &str, seconds: u32) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "too-many", message);
        error.retry_after = Some(seconds);
        error
    }

    /// The caller is known and may not.
    #[must_use]
    pub fn not_authorised() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "not-authorised",
            "Your role does not allow this.",
        )
    }

    /// A one-time password has to be changed first.
    #[must_use]
    pub fn password_first() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "password-change",
            "Change the one-time password first.",
        )
    }

    /// The request came from a page of another origin, or lacks what proves that it did not.
    #[must_use]
    pub fn cross_site() -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "cross-site",
            "The request does not come from the console's own pages.",
        )
    }

    /// No such thing.
    pub fn missing(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not-found", message)
    }

    /// The thing is there; not for this method.
    #[must_use]
    pub fn method() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method",
            "The method is not possible here.",
        )
    }

    /// The request's `Host` is not one of the console's names.
    #[must_use]
    pub fn misdirected() -> Self {
        Self::new(
            StatusCode::MISDIRECTED_REQUEST,
            "misdirected",
            "The console does not answer to this name.",
        )
    }

    /// The body is larger than any may be.
    #[must_use]
    pub fn too_large() -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large.")
    }

    /// It took too long.
    #[must_use]
    pub fn too_slow() -> Self {
        Self::new(StatusCode::REQUEST_TIMEOUT, "too-slow", "The request took too long.")
    }

    /// Another service did not do its part.
    pub fn unavailable(message: impl Into<String>, cause: impl Into<String>) -> Self {
        let mut error = Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
        error.cause = Some(cause.into());
        error
    }

    /// The status, for tests and the audit.
    #[must_use]
    pub const fn status(&self) -> StatusCode {
        self.status
    }
}

impl From<PeerError> for ApiError {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::Vault(refusal) => refusal.into(),
            PeerError::Ipc { peer, .. } | PeerError::Unexpected(peer) => {
                Self::unavailable(format!("The {peer} does not answer; try again."), error.to_string())
            }
        }
    }
}

impl From<VaultRefusal> for ApiError {
    fn from(refusal: VaultRefusal) -> Self {
        let cause = refusal.to_string();
        match refusal {
            VaultRefusal::Busy => Self::too_many("The vault is busy; try again.", 1),
            VaultRefusal::Missing => Self::missing("There is no such record."),
            VaultRefusal::Refused(reason) => Self::refused(reason),
            VaultRefusal::Sealed(_) => Self::unavailable("The vault is sealed.", cause),
            VaultRefusal::Damaged(_) => Self::unavailable("A record of the store is damaged.", cause),
            VaultRefusal::Unwritable(_) => {
                Self::unavailable("The store cannot be written; nothing was changed.", cause)
            }
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut bytes = [0; 8];
        // Without random numbers the incident has no name of its own; the answer is the same.
        let _ = getrandom::fill(&mut bytes);
        let id = IncidentId(bytes);
        let body = Failure {
            code: self.code.to_owned(),
            message: self.message,
            incident: id.to_string(),
            mistakes: self.mistakes,
        };
        let mut response = (self.status, Json(body)).into_response();
        if let Some(seconds) = self.retry_after {
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response.extensions_mut().insert(Incident {
            id,
            code: self.code,
            cause: self.cause,
        });
        response
    }
}
