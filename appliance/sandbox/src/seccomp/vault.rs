//! The vault: files beneath its state folder, no socket of its own making.

use super::{Allowed, Lists, any, base, events, files};
use libc::SYS_setpriority;

const PRIORITY: &[Allowed] = &[any(SYS_setpriority, "hashing and reading yield to the signers")];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, files::FILES, PRIORITY],
    refused: &[base::REFUSED],
};
