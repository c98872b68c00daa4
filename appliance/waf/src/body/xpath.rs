//! The part of XPath that rules use to pick from XML bodies.

use super::xml::{Kind, is_name};

/// An XPath of the supported part: `/` and `//`, names, `*`, `@name`, `@*`, `text()`, and a position in brackets.
#[derive(Clone, Debug)]
pub struct Path {
    text: String,
    steps: Vec<Step>,
}

#[derive(Clone, Debug)]
pub(super) struct Step {
    /// `//`: at any depth below.
    pub(super) anywhere: bool,
    pub(super) kind: Kind,
    /// Nothing for any name.
    pub(super) name: Option<Vec<u8>>,
    /// Counted from 1 among siblings.
    pub(super) position: Option<usize>,
}

impl Path {
    /// Reads an expression; nothing if it is not of the supported part.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let written = std::str::from_utf8(text).ok()?;
        let mut rest = written;
        let mut steps = Vec::new();
        while !rest.is_empty() {
            let anywhere = rest.starts_with("//");
            rest = rest.strip_prefix("//").or_else(|| rest.strip_prefix('/'))?;
            let end = rest.find('/').unwrap_or(rest.len());
            let (step, left) = rest.split_at(end);
            rest = left;
            steps.push(Step::parse(step, anywhere)?);
        }
        (!steps.is_empty()).then(|| Self {
            text: written.to_owned(),
            steps,
        })
    }

    pub(super) fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// As written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }
}

impl Step {
    fn parse(text: &str, anywhere: bool) -> Option<Self> {
        let (text, position) = match text.strip_suffix(']') {
            Some(inner) => {
                let (name, position) = inner.split_once('[')?;
                (name, Some(position.parse().ok().filter(|position| *position > 0)?))
            }
            None => (text, None),
        };
        if text == "text()" {
            return Some(Self {
                anywhere,
                kind: Kind::Text,
                name: None,
                position,
            });
        }
        let (kind, name) = text
            .strip_prefix('@')
            .map_or((Kind::Element, text), |name| (Kind::Attribute, name));
        let plain = |byte: u8| is_name(byte) || byte == b':';
        if name == "*" {
            return Some(Self {
                anywhere,
                kind,
                name: None,
                position,
            });
        }
        let is_plain = !name.is_empty() && name.bytes().all(plain);
        is_plain.then(|| Self {
            anywhere,
            kind,
            name: Some(name.as_bytes().to_vec()),
            position,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsupported_paths_are_refused() {
        for path in ["", "a", "/a[b]", "/a[0]", "//", "/a/foo()", "count(//a)"] {
            assert!(Path::parse(path.as_bytes()).is_none(), "{path}");
        }
    }
}
