//! nf_tables: a ruleset as values (`ruleset`), its messages (`encode`, `expression`), and what the kernel says it has (`read`).
//!
//! The format is the kernel's (linux/netfilter/nf_tables.h). Nothing here decides what is allowed; `filter` does.

mod encode;
mod expression;
mod read;
mod ruleset;

pub(crate) use encode::{Elements, Existing, replace, update_elements};
pub(crate) use expression::probe;
pub(crate) use read::{CounterValue, Element, counters, elements, existing, generation};
pub(crate) use ruleset::{Chain, Field, Hook, NamedSet, Range, Rule, Ruleset, Step, Verdict, state};

/// The one table that this appliance owns; no other is ever touched.
pub(crate) const TABLE: &str = "redan";
