//! The vault: files beneath its state folder, no socket of its own making.

use super::{Lists, base, events, files};

pub(super) const LISTS: Lists = Lists {
    allowed: &[base::BASE, events::EVENTS, files::FILES],
    refused: &[base::REFUSED],
};
