//! Interfaces, zones and policies as one nftables transaction over netlink; the blocklist.
