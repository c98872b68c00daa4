//! Path patterns in the document: [`PathPattern`] is read by its own parser; a prefix is a pattern without wildcards.

use std::fmt;

use redan_types::{PathPattern, PatternError, Segment};

use crate::read::{Node, Read, Reader, Shape, Tree};

impl Read for PathPattern {
    fn shape() -> Shape {
        Shape::Value(
            "a path pattern: `*` is one segment, a last `**` everything below; for instance `\"/api/**\"`".to_owned(),
        )
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(node, "a path pattern")?;
        match Self::parse(text) {
            Ok(pattern) => Some(pattern),
            Err(error) => {
                let mut help = "for instance \"/api/**\" for /api and everything below".to_owned();
                let trimmed = text.trim_end_matches('/');
                if !trimmed.is_empty() && Self::parse(trimmed).is_ok() {
                    help = format!("write \"{trimmed}\" for this path, \"{trimmed}/**\" for everything below too");
                } else if Self::parse(&format!("/{text}")).is_ok() {
                    help = format!("did you mean \"/{text}\"?");
                }
                reader.wrong(node, wrong(text, &error), "expected a path pattern", Some(help));
                None
            }
        }
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

/// What is wrong with a pattern, with the text, shortened.
fn wrong(text: &str, error: &PatternError) -> String {
    let shown: String = text.chars().take(80).collect();
    format!("in the path pattern {shown:?}: {error}")
}

/// A prefix of a request's decoded, normalised path, in whole segments: `/api` holds `/api` and `/api/x`, not `/apix`; `/` holds everything.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PathPrefix(PathPattern);

impl PathPrefix {
    /// Parses a prefix.
    ///
    /// # Errors
    /// Says what is wrong, for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let pattern = PathPattern::parse(text).map_err(|error| wrong(text, &error))?;
        if pattern.is_open() || pattern.segments().contains(&Segment::Any) {
            return Err(format!(
                "{pattern} has a '*', but this path is a prefix and matches everything below by itself"
            ));
        }
        Ok(Self(pattern))
    }

    /// The pattern that matches exactly what lies within.
    #[must_use]
    pub fn pattern(&self) -> PathPattern {
        self.0.opened()
    }
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Read for PathPrefix {
    fn shape() -> Shape {
        Shape::Value("a path without its last `/`, for instance `\"/api\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(node, "a path")?;
        match Self::parse(text) {
            Ok(prefix) => Some(prefix),
            Err(error) => {
                let plain = text.trim_end_matches(['/', '*']);
                let plain = if plain.starts_with('/') {
                    plain.to_owned()
                } else {
                    format!("/{plain}")
                };
                let help = Self::parse(&plain)
                    .is_ok()
                    .then(|| format!("did you mean \"{plain}\"?"));
                reader.wrong(node, error, "expected a path such as \"/api\"", help);
                None
            }
        }
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}
