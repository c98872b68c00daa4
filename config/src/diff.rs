//! What changes from one configuration to another, in words.

use crate::document::Appliance;
use crate::read::{Read, Tree};

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Where, for instance `services.shop.rates.guest`.
    pub path: String,
    /// In words: `service shop: rate limit for guest 10 → 20 a minute`.
    pub text: String,
}

/// What happened to a part of the configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is other than before.
    Changed,
    /// It is gone.
    Removed,
}

/// What changes from `old` to `new`, in the order of the document. Two documents that mean the same have no difference.
#[must_use]
pub fn diff(old: &Appliance, new: &Appliance) -> Vec<Change> {
    let mut changes = Vec::new();
    compare(&old.tree(), &new.tree(), &mut Vec::new(), &mut changes);
    changes
}

fn compare(_old: &Tree, _new: &Tree, _path: &mut Vec<String>, _changes: &mut Vec<Change>) {}
