//! Access rules as they are written down, and the patterns in them.

use redan_types::RoleName;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// The most segments of a pattern.
pub const MAX_SEGMENTS: usize = 32;

/// Why a text is not a pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PatternError {
    /// It does not begin with '/'.
    #[error("a path pattern begins with '/'")]
    Relative,
    /// An empty segment, `.` or `..`.
    #[error("the segment {0:?} never occurs in a path as it is matched")]
    Segment(String),
    /// A `*` as part of a segment, or a `**` that is not the last segment.
    #[error("'*' is a whole segment and '**' the last one, not {0:?}")]
    Wildcard(String),
    /// A character that a matched path never holds.
    #[error("the character {0:?} is not allowed in a path pattern")]
    Character(char),
    /// More than [`MAX_SEGMENTS`].
    #[error("a path pattern has at most {MAX_SEGMENTS} segments")]
    TooLong,
}

/// One segment of a pattern.
#[derive(Clone, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Segment {
    /// Any one segment: `*`.
    Any,
    /// This text.
    Text(String),
}

/// A pattern over paths: segments after '/', where `*` is any one segment and a last `**` is everything below, nothing included.
/// `/api/**` matches `/api` and `/api/a/b`, not `/apix`. A last '/' of a path is not significant.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Pattern {
    segments: Vec<Segment>,
    open: bool,
}

impl Pattern {
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
                "" | "." | ".." => return Err(PatternError::Segment(part.to_owned())),
                _ if part.contains('*') => return Err(PatternError::Wildcard(part.to_owned())),
                _ => match part
                    .chars()
                    .find(|c| !c.is_ascii_alphanumeric() && !"-._~!$&'()+,;=:@".contains(*c))
                {
                    Some(character) => return Err(PatternError::Character(character)),
                    None => pattern.segments.push(Segment::Text(part.to_owned())),
                },
            }
            if pattern.segments.len() > MAX_SEGMENTS {
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

    /// Whether it matches a path as [`crate::path`] gives it. The table does the same faster; this is what it must agree with.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let mut parts = segments(path);
        let head = self.segments.iter().all(|segment| match (segment, parts.next()) {
            (Segment::Any, Some(_)) => true,
            (Segment::Text(text), Some(part)) => text == part,
            (_, None) => false,
        });
        head && (self.open || parts.next().is_none())
    }
}

impl fmt::Display for Pattern {
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
pub(crate) fn segments(path: &str) -> impl Clone + Iterator<Item = &str> {
    let rest = path.strip_prefix('/').unwrap_or(path);
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    rest.split('/').filter(move |_| !rest.is_empty())
}

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Effect {
    /// Lets matching requests pass, unless another rule denies them.
    Allow,
    /// Refuses matching requests, whatever other rules say.
    Deny,
}

impl Effect {
    /// The effect as Casbin spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One rule: what one role, and every role that includes it, may or may not send.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Rule {
    /// The role.
    pub role: RoleName,
    /// Which paths.
    pub pattern: Pattern,
    /// Methods, spelt exactly; empty: every method.
    pub methods: BTreeSet<String>,
    /// Allow or deny.
    pub effect: Effect,
}

/// Roles and the roles whose rights they have too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hierarchy(BTreeMap<RoleName, BTreeSet<RoleName>>);

impl Hierarchy {
    /// From pairs of a role and what it includes, directly or at all. What is included by an included role is included too; a role
    /// includes itself.
    #[must_use]
    pub fn new(roles: impl IntoIterator<Item = (RoleName, Vec<RoleName>)>) -> Self {
        let mut all: BTreeMap<RoleName, BTreeSet<RoleName>> = BTreeMap::new();
        for (role, includes) in roles {
            for included in &includes {
                all.entry(included.clone()).or_default().insert(included.clone());
            }
            let set = all.entry(role.clone()).or_default();
            set.insert(role);
            set.extend(includes);
        }
        // Each round adds what the included roles include; a circle ends because sets only grow.
        loop {
            let grown: BTreeMap<_, BTreeSet<_>> = all
                .iter()
                .map(|(role, set)| {
                    let more = set.iter().filter_map(|included| all.get(included)).flatten().cloned();
                    (role.clone(), set.iter().cloned().chain(more).collect())
                })
                .collect();
            if grown == all {
                return Self(all);
            }
            all = grown;
        }
    }

    /// Every role with all that it includes, itself among them.
    pub fn roles(&self) -> impl Iterator<Item = (&RoleName, &BTreeSet<RoleName>)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::{Hierarchy, Pattern, PatternError};
    use redan_types::RoleName;

    fn role(name: &str) -> RoleName {
        RoleName::parse(name).unwrap()
    }

    #[test]
    fn a_pattern_matches_whole_segments_only() {
        for (pattern, path, matches) in [
            ("/api/**", "/api", true),
            ("/api/**", "/api/", true),
            ("/api/**", "/api/a/b", true),
            ("/api/**", "/apix", false),
            ("/api/**", "/", false),
            ("/", "/", true),
            ("/", "/a", false),
            ("/**", "/", true),
            ("/*", "/", false),
            ("/*", "/a/", true),
            ("/*/b", "/a/b", true),
            ("/*/b", "/a/b/c", false),
        ] {
            assert_eq!(
                Pattern::parse(pattern).unwrap().matches(path),
                matches,
                "{pattern} {path}"
            );
        }
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        assert_eq!(Pattern::parse("api"), Err(PatternError::Relative));
        assert_eq!(Pattern::parse("/a/"), Err(PatternError::Segment(String::new())));
        assert_eq!(Pattern::parse("/a/.."), Err(PatternError::Segment("..".into())));
        assert_eq!(Pattern::parse("/a*"), Err(PatternError::Wildcard("a*".into())));
        assert_eq!(Pattern::parse("/**/a"), Err(PatternError::Wildcard("**/a".into())));
        assert_eq!(Pattern::parse("/a%41"), Err(PatternError::Character('%')));
        assert_eq!(Pattern::parse(&"/a".repeat(33)), Err(PatternError::TooLong));
    }

    #[test]
    fn inclusion_goes_on_through_included_roles_and_ends_in_circles() {
        let hierarchy = Hierarchy::new([
            (role("a"), vec![role("b")]),
            (role("b"), vec![role("c")]),
            (role("c"), vec![role("a"), role("d")]),
        ]);
        let of = |name| hierarchy.roles().find(|(r, _)| **r == role(name)).unwrap().1.len();
        assert_eq!((of("a"), of("b"), of("c"), of("d")), (4, 4, 4, 1));
    }
}
