//! What a rule looks at: `ARGS|!ARGS:password|&REQUEST_HEADERS:Host|TX:/^score_/`.

use std::sync::Arc;

use super::{Problem, Slots, Template};
use crate::{
    body::xml::Path,
    engine::{Shape, Variable},
    operator::{Files, Operator},
};

/// One variable of a rule's list.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// The variable or collection.
    pub(crate) variable: Variable,
    /// Which values of a collection.
    pub(crate) selector: Selector,
    /// `&`: how many there are instead of their values.
    pub(crate) count: bool,
}

/// Which values of a collection.
#[derive(Clone, Debug)]
pub(crate) enum Selector {
    /// All of them.
    All,
    /// Those with this key, in any case of letters.
    Key(Vec<u8>),
    /// Those with the key that a macro makes.
    Macro(Arc<Template>),
    /// The nodes that an XPath finds.
    Path(Arc<Path>),
    /// Those whose key a pattern matches.
    Pattern(Arc<Operator>),
    /// The `TX` variable in this slot.
    Slot(usize),
}

/// A target as written, and whether it is taken out of the list (`!`) rather than put in.
#[derive(Clone, Debug)]
pub(crate) struct TargetText {
    /// `!`.
    pub(crate) negated: bool,
    /// The target.
    pub(crate) target: Target,
    /// Its text without the sign: equal texts are equal targets.
    pub(crate) text: Vec<u8>,
}

pub(super) struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _name: &str) -> Option<&[u8]> {
        None
    }
}

impl TargetText {
    /// Reads a list of targets separated by `|` (in updates also by commas).
    pub(crate) fn list(text: &[u8], commas: bool, slots: &mut Slots) -> Result<Vec<Self>, Problem> {
        let mut found = Vec::new();
        let mut rest = text.trim_ascii();
        while !rest.is_empty() {
            let end = end_of_target(rest, commas);
            let (one, left) = rest.split_at(end);
            found.push(Self::parse(one.trim_ascii(), slots)?);
            rest = left.get(1..).unwrap_or_default().trim_ascii_start();
        }
        if found.is_empty() {
            return Err(Problem::UnknownVariable(String::new()));
        }
        Ok(found)
    }

    /// Reads one target.
    pub(crate) fn parse(text: &[u8], slots: &mut Slots) -> Result<Self, Problem> {
        let (negated, text) = text
            .strip_prefix(b"!")
            .map_or((false, text), |rest| (true, rest.trim_ascii_start()));
        Ok(Self {
            negated,
            target: parse_target(text, slots)?,
            text: text.to_ascii_lowercase(),
        })
    }
}

/// Reads one target without the sign `!`.
fn parse_target(text: &[u8], slots: &mut Slots) -> Result<Target, Problem> {
    let (count, text) = text.strip_prefix(b"&").map_or((false, text), |rest| (true, rest));
    let (name, key) = match text.iter().position(|byte| *byte == b':') {
        Some(at) => (text.get(..at).unwrap_or_default(), text.get(at + 1..)),
        None => (text, None),
    };
    let variable = Variable::parse(name.trim_ascii())
        .ok_or_else(|| Problem::UnknownVariable(String::from_utf8_lossy(text).into_owned()))?;
    let selector = match key {
        None => Selector::All,
        Some(_) if variable.shape() == Shape::Single => {
            return Err(Problem::value(variable.name(), text, "a collection with keys"));
        }
        Some(key) => selector(variable, key, slots)?,
    };
    Ok(Target {
        variable,
        selector,
        count,
    })
}

fn selector(variable: Variable, key: &[u8], slots: &mut Slots) -> Result<Selector, Problem> {
    let unquoted = key.strip_prefix(b"'").and_then(|key| key.strip_suffix(b"'"));
    let key = unquoted.unwrap_or(key);
    if variable == Variable::Xml {
        let path = Path::parse(key).ok_or_else(|| Problem::value("XML", key, "an XPath of the supported subset"))?;
        return Ok(Selector::Path(Arc::new(path)));
    }
    if let Some(pattern) = key.strip_prefix(b"/").and_then(|key| key.strip_suffix(b"/")) {
        let pattern = [b"(?i)", pattern].concat();
        return Ok(Selector::Pattern(Arc::new(Operator::compile(
            "rx", &pattern, &NoFiles,
        )?)));
    }
    if key.windows(2).any(|pair| pair == b"%{") {
        return Ok(Selector::Macro(Arc::new(Template::parse(key, slots)?)));
    }
    if key.is_empty() {
        return Err(Problem::value(variable.name(), key, "a key"));
    }
    if variable == Variable::Tx {
        return Ok(Selector::Slot(slots.number(key)));
    }
    Ok(Selector::Key(key.to_vec()))
}

/// Where the first target of the list ends: patterns and quoted keys may contain the separator.
fn end_of_target(text: &[u8], commas: bool) -> usize {
    let separates = |byte: u8| byte == b'|' || (commas && byte == b',');
    let Some(colon) = text.iter().position(|byte| *byte == b':' || separates(*byte)) else {
        return text.len();
    };
    if text.get(colon) != Some(&b':') {
        return colon;
    }
    let key = text.get(colon + 1..).unwrap_or_default();
    let is_xml = text
        .get(..colon)
        .is_some_and(|name| name.to_ascii_uppercase().ends_with(b"XML"));
    let close = match key {
        [b'\'', ..] => Some(b'\''),
        [b'/', ..] if !is_xml => Some(b'/'),
        _ => None,
    };
    let mut escaped = false;
    let mut open = close.is_some();
    for (at, byte) in key.iter().enumerate() {
        if !open && separates(*byte) {
            return colon + 1 + at;
        }
        if open && at > 0 && !escaped && Some(*byte) == close {
            open = false;
        }
        escaped = *byte == b'\\' && !escaped;
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> Vec<TargetText> {
        TargetText::list(text.as_bytes(), false, &mut Slots::default()).unwrap()
    }

    #[test]
    fn a_list_has_counts_exceptions_keys_and_paths() {
        let found = list("ARGS|!ARGS:foo|&REQUEST_HEADERS:Host|XML:/*|XML://@*|TX:Score");
        assert_eq!(found.len(), 6);
        assert!(found[1].negated && matches!(&found[1].target.selector, Selector::Key(key) if key == b"foo"));
        assert!(found[2].target.count);
        assert!(matches!(found[3].target.selector, Selector::Path(_)));
        assert!(matches!(found[5].target.selector, Selector::Slot(10)));
    }

    #[test]
    fn a_pattern_may_contain_the_separator() {
        let found = list("!REQUEST_COOKIES:/^(a|b)\\/c$/|ARGS:'x|y'|ARGS_NAMES");
        assert_eq!(found.len(), 3);
        assert!(matches!(found[0].target.selector, Selector::Pattern(_)));
        assert!(matches!(&found[1].target.selector, Selector::Key(key) if key == b"x|y"));
    }

    #[test]
    fn unknown_variables_and_keys_of_single_values_are_refused() {
        for text in ["NO_SUCH", "ARGS|", "REMOTE_ADDR:x", "XML:foo()", ""] {
            let found = TargetText::list(text.as_bytes(), false, &mut Slots::default());
            assert_eq!(found.is_err(), text != "ARGS|", "{text}");
        }
    }
}
