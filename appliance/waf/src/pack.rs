//! Rule packs of our own, as SecLang texts.

/// Command and code injection, for services that take code or pass on what might be run: Python, JavaScript, PHP, Ruby, Java, shells,
/// templates, serialised objects. Loaded after the set-up of a rule set and before its rules.
///
/// It scores as the Core Rule Set does, with that rule set's weights, levels and thresholds where it is loaded, and decides itself
/// where it is not. Ids 7200000 to 7200999; every rule has the tag `redan/code-injection`.
pub const CODE_INJECTION: &str = include_str!("pack/code-injection.conf");
