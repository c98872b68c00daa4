//! Interfaces, zones and policies as one nftables transaction over netlink; the blocklist.
#![forbid(unsafe_code)]

fn main() {}
