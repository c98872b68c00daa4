//! What opens the vault.

use redan_types::SecretString;
use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Whether the vault is open: what everybody may know who can reach the console.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Seal {
    /// Why the vault is sealed; absent while it is open.
    pub sealed: Option<String>,
    /// How many shares of the recovery are needed; 1 for a recovery key, absent where there is no recovery.
    pub threshold: Option<u8>,
    /// How many were brought so far.
    pub gathered: u8,
}

/// What opens the vault.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct SealDetails {
    /// Why the vault is sealed; absent while it is open.
    pub sealed: Option<String>,
    /// The key device; absent where it does not answer.
    pub device: Option<String>,
    /// What the store is sealed to.
    pub sealed_to: String,
    /// Whether the vault opens by itself at a start.
    pub automatic: bool,
    /// The recovery, where there is one.
    pub recovery: Option<SealRecovery>,
    /// How many shares were brought so far.
    pub gathered: u8,
}

/// A recovery, without anything secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct SealRecovery {
    /// Its number: shares of different ones do not go together.
    pub generation: u16,
    /// How many shares there are.
    pub shares: u8,
    /// How many of them open the vault.
    pub threshold: u8,
    /// When it was made.
    pub made: String,
}

/// A recovery key, or one share.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct SealShare {
    /// As it was written down.
    #[schema(value_type = String)]
    #[ts(type = "string")]
    pub share: SecretString,
}
