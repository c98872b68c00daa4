//! What the appliance lets pass: the configuration's part for this service made into a ruleset.
//!
//! `region` says which packets an entry means, `tree` turns an ordered list of them into chains whose lookup cost does not grow with the
//! list, `compile` puts the whole ruleset together, `blocklist` keeps what is cut off, `explain` answers which entry decides without
//! sending a packet. No input or output here, and no clock.

pub(crate) mod blocklist;
mod compile;
mod explain;
mod region;
#[cfg(test)]
mod semantics;
mod tree;

pub use compile::CompileError;
pub(crate) use compile::{closed, compile, counter_name};
pub use explain::{Decision, Direction, Packet, explain};
