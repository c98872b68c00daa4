//! The provisioning service: the serial line and the stick that it was given; nothing that it could open.

use libc::{SYS_fdatasync, SYS_fsync};

use super::{Allowed, Lists, any, base, events};

const OWN: &[Allowed] = &[
    any(SYS_fdatasync, "the report on a stick is there when it is pulled out"),
    any(SYS_fsync, "as fdatasync"),
];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, OWN],
    refused: &[base::REFUSED, base::NO_FILES],
};
