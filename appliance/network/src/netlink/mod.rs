//! Netlink: attributes written and read (`wire`), and the socket with its transactions and dumps (`channel`).
//!
//! Nothing here knows what the messages mean; `nft` and `links` do. The only thing that is touched is the socket.

mod channel;
mod wire;

pub(crate) use channel::{Batch, BatchMode, Channel, NF_TABLES_HEADER, nf_tables};
pub use channel::{ChannelError, Refusal};
pub use wire::WireError;
pub(crate) use wire::{Attributes, Body, Message};
