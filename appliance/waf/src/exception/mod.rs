//! Exceptions: what rules find and what is harmless all the same, on one path, for one part of the request, for a time.
//!
//! [`propose`] makes the narrowest one from a match that was recorded, [`Exception::seclang`] writes it as a rule, [`Exception::toml`] as
//! configuration, [`replay`] tells what it would have let through. No I/O; records come from whoever keeps them.

mod class;
mod propose;
mod replay;
mod text;

use std::fmt;

use redan_types::Timestamp;
use serde::{Deserialize, Serialize};

pub use class::ValueClass;
pub use propose::{NoException, Proposal, propose};
pub use replay::{MOST_NAMED, Outcome, Record, RecordMatch, Replay, Sum, replay};

/// Rules that shall not find something.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Exception {
    /// The service.
    pub service: String,
    /// Ranges of rule ids, the last included.
    pub rules: Vec<(u64, u64)>,
    /// Where.
    pub path: Place,
    /// What the rules shall not look at; nothing: they do not run there at all.
    pub parameter: Option<Parameter>,
    /// When the exception ends by itself; nothing: never.
    pub expires: Option<Timestamp>,
    /// Why it is harmless.
    pub reason: String,
}

/// The paths of an exception, as rules see them: decoded, without a query.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum Place {
    /// This path only.
    Exact(String),
    /// Every path that begins so.
    Prefix(String),
}

impl Place {
    /// Whether a path is meant.
    #[must_use]
    pub fn covers(&self, path: &str) -> bool {
        match self {
            Self::Exact(wanted) => path == wanted,
            Self::Prefix(start) => path.starts_with(start.as_str()),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => f.write_str(path),
            Self::Prefix(path) => write!(f, "{path}*"),
        }
    }
}

/// A part of a request: a collection of the rule language, and a name in it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Parameter {
    collection: String,
    key: String,
}

/// Why a text names no part of a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ParameterError {
    /// A collection or variable that the rule language does not have.
    #[error("the rule language has no such collection or variable")]
    Collection,
    /// A name behind something that has no names.
    #[error("this variable is one value: it has no names")]
    Key,
    /// A name that is empty, too long, or has control characters.
    #[error("the name is empty, has more than {LONGEST_KEY} bytes, or a control character")]
    Name,
}

/// The longest name of a part, in bytes.
pub const LONGEST_KEY: usize = 256;
/// The longest path of an exception, in bytes.
pub const LONGEST_PATH: usize = 1_024;

/// Collections whose names are those of header fields: case does not count in them.
const HEADERS: [&str; 4] = [
    "REQUEST_HEADERS",
    "REQUEST_HEADERS_NAMES",
    "RESPONSE_HEADERS",
    "RESPONSE_HEADERS_NAMES",
];

impl Parameter {
    /// Reads `ARGS:q`, `REQUEST_HEADERS:User-Agent`, `REQUEST_URI`.
    ///
    /// # Errors
    ///
    /// Where there is no such part.
    pub fn parse(text: &str) -> Result<Self, ParameterError> {
        let (collection, key) = match text.split_once(':') {
            Some((_, "")) => return Err(ParameterError::Name),
            Some((collection, key)) => (collection, key),
            None => (text, ""),
        };
        Self::new(collection, key)
    }

    /// A part by its collection and the name in it; an empty name means all of the collection.
    ///
    /// # Errors
    ///
    /// Where there is no such part.
    pub fn new(collection: &str, key: &str) -> Result<Self, ParameterError> {
        use crate::engine::{Shape, Variable};
        let variable = Variable::parse(collection.as_bytes()).ok_or(ParameterError::Collection)?;
        if !key.is_empty() && variable.shape() == Shape::Single {
            return Err(ParameterError::Key);
        }
        if key.len() > LONGEST_KEY || key.chars().any(char::is_control) {
            return Err(ParameterError::Name);
        }
        // The nodes that an XPath finds are taken together: an exception cannot tell them apart.
        let key = if variable == Variable::Xml { "" } else { key };
        Ok(Self {
            collection: variable.name().to_owned(),
            key: key.to_owned(),
        })
    }

    /// The collection or variable.
    #[must_use]
    pub fn collection(&self) -> &str {
        &self.collection
    }

    /// The name in it; empty: all of it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// Whether this part is meant. Names count as they are written, but for those of header fields.
    #[must_use]
    pub fn covers(&self, collection: &str, key: &str) -> bool {
        let same = if self.ignores_case() {
            self.key.eq_ignore_ascii_case(key)
        } else {
            self.key == key
        };
        self.collection.eq_ignore_ascii_case(collection) && (self.key.is_empty() || same)
    }

    /// Whether there are names in it.
    fn is_collection(&self) -> bool {
        use crate::engine::{Shape, Variable};
        Variable::parse(self.collection.as_bytes()).is_some_and(|variable| variable.shape() == Shape::Many)
    }

    fn ignores_case(&self) -> bool {
        HEADERS.contains(&self.collection.as_str())
    }
}

impl fmt::Display for Parameter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.collection)?;
        if !self.key.is_empty() {
            write!(f, ":{}", self.key)?;
        }
        Ok(())
    }
}

impl Exception {
    /// Whether a match of a rule on this part of a request would not have happened.
    #[must_use]
    pub fn covers(&self, service: &str, path: &str, rule: u64, collection: &str, key: &str) -> bool {
        self.service == service
            && self.path.covers(path)
            && self.rules.iter().any(|(first, last)| (*first..=*last).contains(&rule))
            && self
                .parameter
                .as_ref()
                .is_none_or(|parameter| parameter.covers(collection, key))
    }
}
