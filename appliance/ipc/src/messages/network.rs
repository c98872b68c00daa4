//! Blocklist and counters of the packet filter.

use redan_types::{Cidr, PolicyName, Timestamp};
use serde::{Deserialize, Serialize};

/// A question to the network service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum NetworkRequest {
    /// Cut these addresses off now.
    Block {
        /// Which.
        network: Cidr,
        /// For how long, in seconds, at most 30 days; the block ends by itself.
        seconds: u32,
        /// Why.
        reason: String,
    },
    /// Let these addresses in again.
    Unblock {
        /// Which, exactly as blocked.
        network: Cidr,
    },
    /// All blocks.
    Blocklist,
    /// All counters.
    Counters,
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum NetworkReply {
    /// Done.
    Done,
    /// To `Blocklist`.
    Blocklist(Vec<Block>),
    /// To `Counters`.
    Counters(Vec<Counter>),
    /// Not done, and why.
    Refused(String),
}

/// A block.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Block {
    /// What is cut off.
    pub network: Cidr,
    /// Until when; `None` for an entry of the configuration.
    pub until: Option<Timestamp>,
    /// Why.
    pub reason: String,
}

/// What a rule counted.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Counter {
    /// The policy, or a built-in rule's name.
    pub name: CounterName,
    /// Packets.
    pub packets: u64,
    /// Bytes.
    pub bytes: u64,
}

/// Whose counter.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum CounterName {
    /// A rule that is always there, for instance `invalid` or `default-drop-input`.
    BuiltIn(String),
    /// A policy of the configuration.
    Policy(PolicyName),
}
