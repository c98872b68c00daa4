//! Interfaces, zones and policies as one nftables transaction over netlink; the blocklist.
//!
//! * `filter`: what is let pass, from the configuration's part for this service; pure.
//! * `nft`, `netlink`: the ruleset as the kernel's messages, and the socket.
//! * [`Firewall`]: the table `inet redan` in the kernel, exchanged whole, and the blocklist in it.
//! * [`Links`]: interfaces up, with their addresses and routes.
//! * [`Network`]: the answers to the manager, the console and operators; `main.rs` wires it.
//!
//! The process holds `CAP_NET_ADMIN` in the appliance's network namespace and touches two netlink sockets, no files. The kernel filters
//! on when it dies; before the first configuration nothing passes.
#![forbid(unsafe_code)]

mod filter;
mod firewall;
mod links;
mod netlink;
mod network;
mod nft;

pub use filter::blocklist::BlockError;
pub use filter::{CompileError, Decision, Direction, Packet, explain};
pub use firewall::{Firewall, FirewallError, Transaction};
pub use links::{LinkError, Links};
pub use netlink::{ChannelError, Refusal, WireError};
pub use network::{Network, OpenError};
