//! The console: browsers on the management listener that it was given; no connection of its own.

use libc::{SYS_accept, SYS_accept4};

use super::{Allowed, Lists, any, base, events};

const OWN: &[Allowed] = &[any(SYS_accept, "browsers"), any(SYS_accept4, "browsers")];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, OWN],
    refused: &[base::REFUSED, base::NO_FILES],
};
