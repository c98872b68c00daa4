//! The network service: netlink sockets, no others.

use libc::{AF_NETLINK, NETLINK_NETFILTER, NETLINK_ROUTE, SYS_bind, SYS_connect, SYS_socket};

use super::{Allowed, Lists, When, any, base, events, when};

const OWN: &[Allowed] = &[
    when(
        SYS_socket,
        &[When::Is(0, AF_NETLINK), When::Is(2, NETLINK_NETFILTER)],
        "the packet filter's rules, sets and counters",
    ),
    when(
        SYS_socket,
        &[When::Is(0, AF_NETLINK), When::Is(2, NETLINK_ROUTE)],
        "interfaces, addresses, routes",
    ),
    any(SYS_bind, "a netlink socket's own address; no other socket can be made"),
    any(
        SYS_connect,
        "a netlink socket to the kernel; no other socket can be made",
    ),
];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, OWN],
    refused: &[base::REFUSED, base::NO_FILES],
};
