//! Rule packs of our own, as SecLang texts.

/// Command and code injection, for services that accept code. Loaded before a rule set that scores anomalies; what it finds counts
/// as a critical finding there.
pub const CODE_INJECTION: &str = include_str!("pack/code-injection.conf");
