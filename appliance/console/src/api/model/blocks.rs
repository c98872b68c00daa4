//! Addresses that the packet filter drops.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// An address that the packet filter drops.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Block {
    /// The address or network, such as `192.0.2.7` or `192.0.2.0/24`.
    pub address: String,
    /// When it is let in again; absent for an entry of the configuration.
    pub until: Option<String>,
    /// Why.
    pub reason: String,
}

/// An address to drop.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct NewBlock {
    /// The address or network.
    pub address: String,
    /// For how long, in seconds: 1 to 2,592,000 (30 days).
    pub seconds: u32,
    /// Why; at most 200 characters.
    pub reason: String,
}
