//! What an entry of the audit log says: who did what to what, from where, and how it ended.
//!
//! The canonical form is compact JSON with the fields in the order of the type, absent fields left out. Reading it back and
//! writing it again gives the same bytes, or it is refused: two readers can never see two entries in one text.

use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// The version of [`Entry`] that this crate writes and reads.
pub const ENTRY_VERSION: u8 = 1;
/// The longest canonical form, in bytes. Callers shorten what they do not control (agents, paths, messages) before they log it.
pub const MAX_ENTRY: usize = 32 * 1024;

/// Why bytes are not an entry, or an entry cannot be written.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum EntryError {
    /// Longer than [`MAX_ENTRY`].
    #[error("the entry has {0} bytes, more than {MAX_ENTRY}")]
    TooLong(usize),
    /// Not JSON of the expected shape.
    #[error("the entry is not of the expected form: {0}")]
    Form(String),
    /// JSON of the expected shape, but not the canonical bytes.
    #[error("the entry is not in canonical form")]
    Canonical,
    /// Of another version.
    #[error("the entry has version {0}, this program reads version {ENTRY_VERSION}")]
    Version(u8),
}

/// What kind of actor did it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum ActorKind {
    /// A program that identified itself with an API key; the name is the key's record id.
    ApiKey,
    /// Nobody who could be identified; the name is what the caller claimed, or empty.
    Anonymous,
    /// Somebody with the appliance's local operators' channel; the name is the user id.
    Operator,
    /// A service of the appliance itself.
    Service,
    /// A person who logged in.
    User,
}

/// Who did it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Actor {
    /// What kind of actor.
    pub kind: ActorKind,
    /// Its name.
    pub name: String,
}

/// How it ended.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Outcome {
    /// Not allowed, and therefore not done.
    Denied,
    /// Allowed but not achieved.
    Failure,
    /// Done.
    Success,
}

/// One entry.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Entry {
    /// [`ENTRY_VERSION`].
    pub version: u8,
    /// Microseconds since 1970-01-01T00:00:00Z, the same as in the leaf.
    pub time: u64,
    /// Who did it.
    pub actor: Actor,
    /// What was done, for instance `user.login`.
    pub action: String,
    /// What it was done to, for instance `service/shop`; empty where there is nothing to name.
    pub resource: String,
    /// How it ended.
    pub outcome: Outcome,
    /// The state before a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// The state after a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
    /// The address that the request came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The program that the client claimed to be (`User-Agent`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The request's method.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// The request's path, without the query.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The HTTP status of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// How many requests of one kind this entry stands for, where several were gathered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The incident id that the client was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub incident: Option<String>,
    /// Anything else, for a human.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl Entry {
    /// An entry with the fields that every entry has.
    #[must_use]
    pub fn new(time: u64, actor: Actor, action: &str, resource: &str, outcome: Outcome) -> Self {
        Self {
            version: ENTRY_VERSION,
            time,
            actor,
            action: action.to_owned(),
            resource: resource.to_owned(),
            outcome,
            before: None,
            after: None,
            address: None,
            agent: None,
            method: None,
            path: None,
            status: None,
            count: None,
            incident: None,
            message: None,
        }
    }

    /// The canonical bytes.
    ///
    /// # Errors
    /// [`EntryError::TooLong`] beyond [`MAX_ENTRY`], [`EntryError::Version`] for another version than this crate's.
    pub fn to_bytes(&self) -> Result<Vec<u8>, EntryError> {
        if self.version != ENTRY_VERSION {
            return Err(EntryError::Version(self.version));
        }
        let bytes = serde_json::to_vec(self).map_err(|error| EntryError::Form(error.to_string()))?;
        if bytes.len() > MAX_ENTRY {
            Err(EntryError::TooLong(bytes.len()))
        } else {
            Ok(bytes)
        }
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// Says what keeps the bytes from being a canonical entry of this version.
    pub fn parse(bytes: &[u8]) -> Result<Self, EntryError> {
        if bytes.len() > MAX_ENTRY {
            return Err(EntryError::TooLong(bytes.len()));
        }
        let entry: Self = serde_json::from_slice(bytes).map_err(|error| EntryError::Form(error.to_string()))?;
        if entry.to_bytes()? == bytes {
            Ok(entry)
        } else {
            Err(EntryError::Canonical)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Actor, ActorKind, Entry, EntryError, MAX_ENTRY, Outcome};

    fn entry() -> Entry {
        let actor = Actor {
            kind: ActorKind::User,
            name: "ann".into(),
        };
        let mut entry = Entry::new(1_000_000, actor, "user.login", "console", Outcome::Denied);
        entry.address = Some("2001:db8::1".parse().unwrap());
        entry.status = Some(403);
        entry
    }

    #[test]
    fn the_canonical_form_is_what_the_documentation_says() {
        let text = r#"{"version":1,"time":1000000,"actor":{"kind":"user","name":"ann"},"action":"user.login","resource":"console","outcome":"denied","address":"2001:db8::1","status":403}"#;
        assert_eq!(String::from_utf8(entry().to_bytes().unwrap()).unwrap(), text);
        assert_eq!(Entry::parse(text.as_bytes()).unwrap(), entry());
    }

    #[test]
    fn another_spelling_of_the_same_entry_is_refused() {
        let text = String::from_utf8(entry().to_bytes().unwrap()).unwrap();
        for other in [
            text.replace(":1,", ": 1,"),
            text.replace("2001:db8::1", "2001:DB8::1"),
            text.replace("\"status\":403", "\"status\":403,\"message\":null"),
            text.replace("ann", "\\u0061nn"),
        ] {
            assert_ne!(other, text);
            assert_eq!(Entry::parse(other.as_bytes()), Err(EntryError::Canonical), "{other}");
        }
        assert!(matches!(
            Entry::parse(text.replace("status", "stetus").as_bytes()),
            Err(EntryError::Form(_))
        ));
        assert_eq!(
            Entry::parse(text.replacen(":1,", ":2,", 1).as_bytes()),
            Err(EntryError::Version(2))
        );
    }

    #[test]
    fn an_entry_over_the_limit_is_refused() {
        let mut entry = entry();
        entry.message = Some("x".repeat(MAX_ENTRY));
        assert!(matches!(entry.to_bytes(), Err(EntryError::TooLong(_))));
    }
}
