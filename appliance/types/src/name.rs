//! Names that operators give to things.

use serde::{Deserialize, Serialize};

/// Why a text is not a name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The text has no characters.
    #[error("a name cannot be empty")]
    Empty,
    /// The text is longer than the kind of name allows.
    #[error("a name has at most {limit} characters, this one has {length}")]
    TooLong {
        /// Characters in the text.
        length: usize,
        /// Characters allowed.
        limit: usize,
    },
    /// A character that the kind of name does not allow.
    #[error("the character {character:?} is not allowed; use {allowed}")]
    Character {
        /// The offending character.
        character: char,
        /// What is allowed, in words.
        allowed: &'static str,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident, limit $limit:literal, first $first:expr, rest $rest:expr, allowed $allowed:literal) => {
        $(#[$doc])*
        #[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $type(String);

        impl $type {
            /// The longest name, in characters.
            pub const LIMIT: usize = $limit;

            /// Parses a name.
            ///
            /// # Errors
            /// Says which character or length is wrong.
            pub fn parse(text: &str) -> Result<Self, NameError> {
                let first: fn(char) -> bool = $first;
                let rest: fn(char) -> bool = $rest;
                let length = text.chars().count();
                if length > Self::LIMIT {
                    return Err(NameError::TooLong { length, limit: Self::LIMIT });
                }
                let mut characters = text.chars();
                let head = characters.next().ok_or(NameError::Empty)?;
                let wrong = if first(head) { characters.find(|c| !rest(*c)) } else { Some(head) };
                match wrong {
                    Some(character) => Err(NameError::Character { character, allowed: $allowed }),
                    None => Ok(Self(text.to_owned())),
                }
            }

            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::str::FromStr for $type {
            type Err = NameError;
            fn from_str(text: &str) -> Result<Self, NameError> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $type {
            type Error = NameError;
            fn try_from(text: String) -> Result<Self, NameError> {
                Self::parse(&text)
            }
        }

        impl From<$type> for String {
            fn from(name: $type) -> Self {
                name.0
            }
        }
    };
}

const fn lower(c: char) -> bool {
    c.is_ascii_lowercase()
}

const fn label(c: char) -> bool {
    c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-'
}

name!(
    /// A published service, for instance `shop`.
    ServiceName, limit 63, first lower, rest label, allowed "lower-case letters, digits and '-', a letter first"
);
name!(
    /// A key that applications use through the vault, for instance `orders`.
    KeyName, limit 63, first lower, rest label, allowed "lower-case letters, digits and '-', a letter first"
);
name!(
    /// A zone, for instance `public`.
    ZoneName, limit 32, first lower, rest label, allowed "lower-case letters, digits and '-', a letter first"
);
name!(
    /// A packet policy between zones.
    PolicyName, limit 63, first lower, rest label, allowed "lower-case letters, digits and '-', a letter first"
);
name!(
    /// A route within a published service.
    RouteName, limit 63, first lower, rest label, allowed "lower-case letters, digits and '-', a letter first"
);
name!(
    /// A role of a person or a program, for instance `admin`.
    RoleName, limit 32, first lower, rest label, allowed "lower-case letters, digits and '-', a letter first"
);
name!(
    /// A local user's login name.
    UserName, limit 64,
    first |c| c.is_ascii_alphanumeric(),
    rest |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@' | '+'),
    allowed "letters, digits and '.', '_', '-', '@', '+', a letter or digit first"
);
name!(
    /// A network interface as the kernel names it (`IFNAMSIZ` is 16 with the terminator).
    InterfaceName, limit 15,
    first |c| c.is_ascii_alphanumeric(),
    rest |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-' | '@'),
    allowed "letters, digits and '.', '_', '-', '@', a letter or digit first"
);

#[cfg(test)]
mod tests {
    use super::{InterfaceName, NameError, ServiceName, UserName};

    #[test]
    fn a_name_keeps_its_text() {
        assert_eq!(ServiceName::parse("shop-2").unwrap().as_str(), "shop-2");
        assert_eq!(
            UserName::parse("ann.b+c@example.org").unwrap().to_string(),
            "ann.b+c@example.org"
        );
    }

    #[test]
    fn a_wrong_character_is_named() {
        let error = ServiceName::parse("Shop").unwrap_err();
        assert!(matches!(error, NameError::Character { character: 'S', .. }), "{error}");
    }

    #[test]
    fn an_interface_name_fits_the_kernel() {
        assert!(InterfaceName::parse("abcdefghijklmno").is_ok());
        assert_eq!(
            InterfaceName::parse("abcdefghijklmnop").unwrap_err(),
            NameError::TooLong { length: 16, limit: 15 }
        );
        assert_eq!(InterfaceName::parse("").unwrap_err(), NameError::Empty);
        assert!(InterfaceName::parse("a/b").is_err());
    }
}
