//! The web application firewall on the data path: rules compiled when a configuration is prepared, shared by all threads and by
//! services that say the same; and what was found, on its way to the vault without what must not be told.
//!
//! The stage itself is [`crate::stages::waf`]; the engine is the crate `redan-waf`.

pub(crate) mod found;
mod mask;
mod plan;
pub(crate) mod room;
mod secret;

pub(crate) use plan::{Library, Loading, WafPlan};
