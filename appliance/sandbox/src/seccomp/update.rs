//! The update service: the two partitions that it was given; nothing that it could open.

use libc::{SYS_fadvise64, SYS_fdatasync, SYS_fsync};

use super::{Allowed, Lists, any, base, events};

const OWN: &[Allowed] = &[
    any(SYS_fdatasync, "what is written is on the disk before the next step"),
    any(SYS_fsync, "as fdatasync"),
    any(SYS_fadvise64, "what is read back comes from the disk"),
];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, OWN],
    refused: &[base::REFUSED, base::NO_FILES],
};
