//! Path patterns: what routes and access rules match.

use std::fmt;

use crate::read::{Node, Read, Reader, Shape, Tree};

/// One segment of a pattern.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Segment {
    /// Exactly one segment, whatever it says: `*`.
    Any,
    /// Exactly this text.
    Text(String),
}

/// A pattern over a request's decoded, normalised path: segments after `/`, where `*` is any one segment and a last `**` is
/// everything below, nothing included. `/api/**` matches `/api` and `/api/a/b`, not `/apix`.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PathPattern {
    segments: Vec<Segment>,
    open: bool,
}

/// The most segments of a pattern.
const SEGMENTS: usize = 32;

impl PathPattern {
    /// Parses a pattern.
    ///
    /// # Errors
    /// Says what is wrong, for the operator.
    pub fn parse(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(80).collect();
        let Some(rest) = text.strip_prefix('/') else {
            return Err(format!("the path pattern {shown:?} does not start with '/'"));
        };
        let mut found = Self {
            segments: Vec::new(),
            open: false,
        };
        if rest.is_empty() {
            return Ok(found);
        }
        for part in rest.split('/') {
            if found.open {
                return Err(format!("in the path pattern {shown:?} something follows '**'"));
            }
            let good = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@".contains(c);
            match part {
                "**" => found.open = true,
                "*" => found.segments.push(Segment::Any),
                "" => return Err(format!("the path pattern {shown:?} has an empty segment")),
                "." | ".." => return Err(format!("the path pattern {shown:?} has the segment {part:?}")),
                part if part.contains('*') => {
                    return Err(format!("in the path pattern {shown:?} a '*' is only part of a segment"));
                }
                part => match part.chars().find(|c| !good(*c)) {
                    Some(bad) => return Err(format!("the path pattern {shown:?} holds {bad:?}")),
                    None => found.segments.push(Segment::Text(part.to_owned())),
                },
            }
            if found.segments.len() > SEGMENTS {
                return Err(format!("the path pattern {shown:?} has more than {SEGMENTS} segments"));
            }
        }
        Ok(found)
    }

    /// The segments before a last `**`.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// Whether it ends with `**`.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.open
    }

    /// Whether it matches a path; a last '/' of the path is not significant.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let mut parts = rest.split('/').filter(|_| !rest.is_empty());
        let head = self.segments.iter().all(|segment| match (segment, parts.next()) {
            (_, None) => false,
            (Segment::Any, Some(_)) => true,
            (Segment::Text(text), Some(part)) => text == part,
        });
        head && (self.open || parts.next().is_none())
    }

    /// Whether every path that `other` matches is matched by this one.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        let segment = |(mine, theirs): (&Segment, &Segment)| *mine == Segment::Any || mine == theirs;
        let lengths = if self.open {
            other.segments.len() >= self.segments.len()
        } else {
            !other.open && other.segments.len() == self.segments.len()
        };
        lengths && self.segments.iter().zip(&other.segments).all(segment)
    }

    /// Whether some path is matched by both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        let segment = |(a, b): (&Segment, &Segment)| *a == Segment::Any || *b == Segment::Any || a == b;
        let lengths = (self.open || self.segments.len() >= other.segments.len())
            && (other.open || other.segments.len() >= self.segments.len());
        lengths && self.segments.iter().zip(&other.segments).all(segment)
    }
}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for segment in &self.segments {
            match segment {
                Segment::Any => f.write_str("/*")?,
                Segment::Text(text) => write!(f, "/{text}")?,
            }
        }
        match (self.open, self.segments.is_empty()) {
            (true, _) => f.write_str("/**"),
            (false, true) => f.write_str("/"),
            (false, false) => Ok(()),
        }
    }
}

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
                reader.wrong(node, error, "expected a path pattern", Some(help));
                None
            }
        }
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
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
        let pattern = PathPattern::parse(text)?;
        if pattern.open || pattern.segments.contains(&Segment::Any) {
            return Err(format!(
                "{pattern} has a '*', but this path is a prefix and matches everything below by itself"
            ));
        }
        Ok(Self(pattern))
    }

    /// The pattern that matches exactly what lies within.
    #[must_use]
    pub fn pattern(&self) -> PathPattern {
        PathPattern {
            segments: self.0.segments.clone(),
            open: true,
        }
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

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    use super::PathPattern;

    fn pattern(text: &str) -> PathPattern {
        PathPattern::parse(text).unwrap()
    }

    #[test]
    fn a_pattern_matches_whole_segments_only() {
        let api = pattern("/api/**");
        for path in ["/api", "/api/", "/api/a", "/api/a/b"] {
            assert!(api.matches(path), "{path}");
        }
        for path in ["/", "/apix", "/ap", "/x/api", "api", ""] {
            assert!(!api.matches(path), "{path}");
        }
        assert!(pattern("/").matches("/"));
        assert!(!pattern("/").matches("/a"));
        assert!(pattern("/**").matches("/"));
        assert!(pattern("/users/*/orders").matches("/users/7/orders"));
        assert!(!pattern("/users/*/orders").matches("/users/orders"));
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in [
            "", "api", "/a/", "//", "/a//b", "/**/a", "/a*", "/../b", "/a b", "/a?b", "/%41", "/a\\b",
        ] {
            assert!(PathPattern::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn covering_is_containment() {
        assert!(pattern("/**").covers(&pattern("/api/*")));
        assert!(pattern("/api/**").covers(&pattern("/api")));
        assert!(pattern("/api/*").covers(&pattern("/api/a")));
        assert!(!pattern("/api/*").covers(&pattern("/api/**")));
        assert!(!pattern("/api/a").covers(&pattern("/api/*")));
        assert!(pattern("/a/*/c").overlaps(&pattern("/a/b/**")));
        assert!(!pattern("/a/**").overlaps(&pattern("/b/**")));
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec("a|b|\\*", 0..4).prop_flat_map(|parts| {
            proptest::bool::ANY.prop_map(move |open| {
                let mut parts = parts.clone();
                if open {
                    parts.push("**".to_owned());
                }
                format!("/{}", parts.join("/"))
            })
        })
    }

    proptest! {
        #[test]
        fn a_pattern_reads_what_it_prints(text in text()) {
            prop_assert_eq!(pattern(&text).to_string(), text);
        }

        #[test]
        fn covering_and_overlapping_agree_with_matching(
            a in text(), b in text(), path in proptest::collection::vec("a|b|c", 0..5),
        ) {
            let (a, b, path) = (pattern(&a), pattern(&b), format!("/{}", path.join("/")));
            if a.covers(&b) && b.matches(&path) {
                prop_assert!(a.matches(&path));
            }
            if a.matches(&path) && b.matches(&path) {
                prop_assert!(a.overlaps(&b));
            }
        }
    }
}
