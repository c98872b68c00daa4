//! The manager: messages, and clients of the operators' socket that it was given.

use libc::{SYS_accept, SYS_accept4, SYS_setpriority};

use super::{Allowed, Lists, any, base, events};

const OWN: &[Allowed] = &[
    any(SYS_accept, "operators' socket"),
    any(SYS_accept4, "operators' socket"),
    any(SYS_setpriority, "rules are compiled behind those who answer"),
];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, OWN],
    refused: &[base::REFUSED, base::NO_FILES],
};
