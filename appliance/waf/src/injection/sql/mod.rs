//! SQL injection: the value is split into tokens as a database would, the tokens are folded to at most five, and their kinds form a
//! fingerprint that a table knows or does not know.
//!
//! Nobody sees the query around the value, so it is read up to five times: as it stands, as the rest of a string in single or double
//! quotes, and each with the comments of standard SQL or of MySQL.

mod fold;
mod judge;
mod lexer;
mod token;
mod words;

use memchr::memchr;

use self::fold::Folded;
use self::lexer::{Dialect, Lexer};
use self::token::Kind;

/// The kinds of the tokens that a value was folded to, one ASCII character each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint {
    kinds: [u8; token::MAXIMUM],
    length: usize,
}

impl Fingerprint {
    fn of(folded: &Folded) -> Self {
        let tokens = folded.tokens();
        // A construct that databases read differently says enough by itself.
        if tokens.iter().any(|token| token.kind == Kind::Evil) {
            return Self {
                kinds: [Kind::Evil as u8, 0, 0, 0, 0],
                length: 1,
            };
        }
        let mut kinds = [0; token::MAXIMUM];
        for (place, token) in kinds.iter_mut().zip(tokens) {
            *place = token.kind as u8;
        }
        Self {
            kinds,
            length: tokens.len(),
        }
    }

    /// The characters.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.kinds[..self.length]
    }
}

/// The fingerprint of the SQL injection that the value is, if it is one.
#[must_use]
pub fn detect_sqli(value: &[u8]) -> Option<Fingerprint> {
    let standard = Dialect {
        quote: None,
        mysql: false,
    };
    both_comments(value, standard)
        .or_else(|| {
            memchr(b'\'', value)?;
            both_comments(
                value,
                Dialect {
                    quote: Some(b'\''),
                    ..standard
                },
            )
        })
        .or_else(|| {
            memchr(b'"', value)?;
            read(
                value,
                Dialect {
                    quote: Some(b'"'),
                    mysql: true,
                },
            )
            .0
        })
}

/// Reads the value with standard comments, then with MySQL's if that could make a difference.
fn both_comments(value: &[u8], dialect: Dialect) -> Option<Fingerprint> {
    let (found, differs) = read(value, dialect);
    if found.is_some() || !differs {
        return found;
    }
    read(value, Dialect { mysql: true, ..dialect }).0
}

/// Reads the value once: its fingerprint if it is an injection, and whether MySQL would see other comments.
fn read(value: &[u8], dialect: Dialect) -> (Option<Fingerprint>, bool) {
    let mut lexer = Lexer::new(value, dialect);
    let folded = fold::fold(&mut lexer);
    let fingerprint = Fingerprint::of(&folded);
    let found =
        words::is_injection(fingerprint.as_bytes()) && judge::is_injection(value, &fingerprint, &folded, lexer.tokens);
    (found.then_some(fingerprint), lexer.comments_differ)
}

#[cfg(test)]
mod tests;
