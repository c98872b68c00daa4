//! Path patterns: what routes and access rules match. The one reading of them, for the configuration and for the decision tables.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with '/'.
    #[error("a path pattern begins with '/'")]
    Relative,
    /// Two '/' beside each other, or one at the end.
    #[error("an empty segment: a '/' follows another, or is the last character")]
    Empty,
    /// The segment `.` or `..`.
    #[error("the segment {0:?} never occurs in a path as it is matched")]
    Segment(String),
    /// A `*` as part of a segment, or a `**` that is not the last segment.
    #[error("'*' is a whole segment and '**' the last one, not {0:?}")]
    Wildcard(String),
    /// A character that a matched path never holds.
    #[error("the character {0:?} is not allowed in a path pattern")]
    Character(char),
    /// More than [`PathPattern::SEGMENTS`].
    #[error("a path pattern has at most {most} segments", most = PathPattern::SEGMENTS)]
    TooLong,
}

/// One segment of a pattern.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Segment {
    /// Any one segment: `*`.
    Any,
    /// This text.
    Text(String),
}

/// A pattern over a request's decoded, normalised path: segments after `/`, where `*` is any one segment and a last `**` is
/// everything below, nothing included. `/api/**` matches `/api` and `/api/a/b`, not `/apix`. A last '/' of a path is not significant.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct PathPattern {
    segments: Vec<Segment>,
    open: bool,
}

impl PathPattern {
    /// The most segments of a pattern.
    pub const SEGMENTS: usize = 32;

    /// Parses a pattern.
    ///
    /// # Errors
    /// Says what about the text is wrong.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        let rest = text.strip_prefix('/').ok_or(PatternError::Relative)?;
        let mut pattern = Self {
            segments: Vec::new(),
            open: false,
        };
        if rest.is_empty() {
            return Ok(pattern);
        }
        for part in rest.split('/') {
            if pattern.open {
                return Err(PatternError::Wildcard(format!("**/{part}")));
            }
            match part {
                "**" => pattern.open = true,
                "*" => pattern.segments.push(Segment::Any),
                "" => return Err(PatternError::Empty),
                "." | ".." => return Err(PatternError::Segment(part.to_owned())),
                _ if part.contains('*') => return Err(PatternError::Wildcard(part.to_owned())),
                _ => match part
                    .chars()
                    .find(|c| !c.is_ascii_alphanumeric() && !"-._~!$&'()+,;=:@".contains(*c))
                {
                    Some(character) => return Err(PatternError::Character(character)),
                    None => pattern.segments.push(Segment::Text(part.to_owned())),
                },
            }
            if pattern.segments.len() > Self::SEGMENTS {
                return Err(PatternError::TooLong);
            }
        }
        Ok(pattern)
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

    /// Whether it matches a path.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = path_segments(path);
        let head = self.segments.iter().all(|segment| match (segment, parts.next()) {
            (Segment::Any, Some(_)) => true,
            (Segment::Text(text), Some(part)) => text == part,
            (_, None) => false,
        });
        path.starts_with('/') && head && (self.open || parts.next().is_none())
    }

    /// The pattern that matches what lies below this one, too.
    #[must_use]
    pub fn opened(&self) -> Self {
        Self {
            segments: self.segments.clone(),
            open: true,
        }
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

/// The segments of a matched path: a last '/' is not significant, and the root has none.
pub fn path_segments(path: &str) -> impl Clone + Iterator<Item = &str> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    rest.split('/').filter(move |_| !rest.is_empty())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Strategy, prop_assert, prop_assert_eq, proptest};

    use super::{PathPattern, PatternError};

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
    fn a_refusal_says_what_is_wrong() {
        for (text, error) in [
            ("api", PatternError::Relative),
            ("/a/", PatternError::Empty),
            ("/a/..", PatternError::Segment("..".into())),
            ("/a*", PatternError::Wildcard("a*".into())),
            ("/**/a", PatternError::Wildcard("**/a".into())),
            ("/a%41", PatternError::Character('%')),
        ] {
            assert_eq!(PathPattern::parse(text), Err(error));
        }
        assert_eq!(PathPattern::parse(&"/a".repeat(33)), Err(PatternError::TooLong));
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
