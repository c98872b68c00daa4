//! Signing in, one's own password, open sessions.

use redan_types::SecretString;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// What somebody may do in the console. The table of `api::access` says what each endpoint asks for.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum Role {
    /// Sees everything but secrets, changes nothing.
    Viewer,
    /// Sees and changes everything.
    Admin,
}

/// Credentials.
#[derive(Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Login {
    /// The user's name.
    pub name: String,
    /// The password; at most 1,024 bytes.
    #[schema(value_type = String, format = Password)]
    #[ts(type = "string")]
    pub password: SecretString,
}

/// Who is signed in.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Session {
    /// The user's name.
    pub name: String,
    /// The strongest role of the console that the user holds.
    pub role: Role,
    /// A one-time password was used: nothing but changing it is allowed.
    pub must_change_password: bool,
    /// When the session ends, unless it ends earlier for want of use.
    pub expires_at: String,
}

/// A change of the caller's own password.
#[derive(Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct PasswordChange {
    /// The password in use.
    #[schema(value_type = String, format = Password)]
    #[ts(type = "string")]
    pub current: SecretString,
    /// The new one.
    #[schema(value_type = String, format = Password)]
    #[ts(type = "string")]
    pub new: SecretString,
}

/// One open session of the console.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct OpenSession {
    /// Its public number; not the secret in the cookie.
    pub id: String,
    /// Whose it is.
    pub name: String,
    /// The address it was opened from.
    pub source: String,
    /// When it was opened.
    pub opened_at: String,
    /// With which user agent.
    pub agent: String,
    /// When it was last used.
    pub used_at: String,
    /// Whether it is the caller's own.
    pub current: bool,
}
