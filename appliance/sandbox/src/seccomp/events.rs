//! What an event loop (tokio, mio) needs.

use libc::{
    AF_UNIX, SYS_epoll_create1, SYS_epoll_ctl, SYS_epoll_pwait, SYS_eventfd2, SYS_pipe2, SYS_socketpair,
    SYS_timerfd_create, SYS_timerfd_settime,
};

use super::legacy::SYS_epoll_wait;
use super::{Allowed, When, any, when};

pub(super) const EVENTS: &[Allowed] = &[
    any(SYS_epoll_create1, "event loop"),
    any(SYS_epoll_ctl, "event loop"),
    any(SYS_epoll_wait, "event loop"),
    any(SYS_epoll_pwait, "event loop"),
    any(SYS_eventfd2, "waking the event loop"),
    any(SYS_timerfd_create, "timers"),
    any(SYS_timerfd_settime, "timers"),
    any(SYS_pipe2, "waking the event loop"),
    when(
        SYS_socketpair,
        &[When::Is(0, AF_UNIX)],
        "the runtime's signal wake-up: both ends are its own",
    ),
];
