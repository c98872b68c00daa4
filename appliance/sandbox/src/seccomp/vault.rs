//! The vault: files beneath its state folder, no socket of its own making.

use super::{Allowed, Lists, any, base, events, files};
use libc::{SYS_mlockall, SYS_setpriority};

const PRIORITY: &[Allowed] = &[any(SYS_setpriority, "hashing and reading yield to the signers")];

const MEMORY: &[Allowed] = &[any(SYS_mlockall, "none of its memory is swapped")];

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, files::FILES, MEMORY, PRIORITY],
    refused: &[base::REFUSED],
};
