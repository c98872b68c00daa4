//! The proxy: clients of the listeners that it was given, and TCP connections to upstreams.

use libc::{AF_INET, AF_INET6, SOCK_STREAM, SYS_accept, SYS_accept4, SYS_connect, SYS_setpriority, SYS_socket};

use super::{Allowed, Lists, When, any, base, events, when};

/// The socket type without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
const TYPE: u64 = 0xf;
const STREAM: u64 = SOCK_STREAM.cast_unsigned() as u64;

const OWN: &[Allowed] = &[
    any(SYS_accept, "clients"),
    any(SYS_accept4, "clients"),
    when(
        SYS_socket,
        &[When::Is(0, AF_INET), When::Bits(1, TYPE, STREAM)],
        "upstreams",
    ),
    when(
        SYS_socket,
        &[When::Is(0, AF_INET6), When::Bits(1, TYPE, STREAM)],
        "upstreams",
    ),
    any(SYS_connect, "upstreams"),
    any(SYS_setpriority, "rules are compiled behind those who serve"),
];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, OWN],
    refused: &[base::REFUSED, base::NO_FILES],
};
