//! Users and API keys.

use redan_types::SecretString;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// A user.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct User {
    /// The name to sign in with.
    pub name: String,
    /// The roles held.
    pub roles: Vec<String>,
    /// Whether the user may sign in.
    pub enabled: bool,
    /// Whether the password must be changed at the next sign-in.
    pub must_change_password: bool,
    /// Locked until then after too many failures.
    pub locked_until: Option<String>,
    /// When the user was made.
    pub created_at: String,
    /// When the user signed in last.
    pub signed_in_at: Option<String>,
}

/// A new user.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewUser {
    /// The name to sign in with.
    pub name: String,
    /// The roles held.
    pub roles: Vec<String>,
}

/// What to change about a user; what is absent stays.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct UserChange {
    /// All roles from now on.
    #[serde(default)]
    #[ts(optional)]
    pub roles: Option<Vec<String>>,
    /// Whether the user may sign in; switching off ends sessions and keys at once.
    #[serde(default)]
    #[ts(optional)]
    pub enabled: Option<bool>,
}

/// A one-time password: shown this once, kept nowhere.
#[derive(Debug, Serialize, ToSchema, TS)]
pub struct OneTimePassword {
    /// Whose.
    pub name: String,
    /// The password; it must be changed at the first sign-in.
    #[schema(value_type = String)]
    #[ts(type = "string")]
    pub password: SecretString,
}

/// An API key, without its secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct ApiKey {
    /// Its id, which is not the key.
    pub id: String,
    /// Whose it is.
    pub owner: String,
    /// The roles it acts with.
    pub roles: Vec<String>,
    /// What for.
    pub comment: String,
    /// When it was made.
    pub created_at: String,
    /// Works until then.
    pub expires_at: String,
    /// Where rotated: the secret before works until then.
    pub previous_until: Option<String>,
    /// Used last, to the minute.
    pub used_at: Option<String>,
    /// Whether an administrator ended it.
    pub revoked: bool,
    /// Whether its owner is switched on; a key of one who is not does nothing.
    pub owner_enabled: bool,
}

/// A new API key.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewApiKey {
    /// Whose it is.
    pub owner: String,
    /// The roles it acts with; at most what the owner may.
    pub roles: Vec<String>,
    /// What for; at most 200 characters.
    pub comment: String,
}

/// An API key with its secret: shown this once, kept nowhere.
#[derive(Debug, Serialize, ToSchema, TS)]
pub struct IssuedApiKey {
    /// Its id.
    pub id: String,
    /// The key itself, to be sent as `Authorization: Bearer …`.
    #[schema(value_type = String)]
    #[ts(type = "string")]
    pub key: SecretString,
}
