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
use self::lexer::{BareExponent, Dialect, Lexer};
use self::token::Kind;

/// The kinds of the tokens that a value was folded to, one ASCII character each.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint {
    kinds: [u8; token::MAXIMUM],
    length: usize,
}

impl Fingerprint {
    fn of(folded: &Folded<'_>) -> Self {
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
    let mut reader = Reader {
        value,
        bare_exponent: BareExponent::Word,
        saw_bare_exponent: false,
    };
    reader.every_way().or_else(|| {
        // Versions of libinjection differ here, as databases do; either reading makes an injection.
        if !reader.saw_bare_exponent {
            return None;
        }
        reader.bare_exponent = BareExponent::Nothing;
        reader.every_way()
    })
}

struct Reader<'a> {
    value: &'a [u8],
    bare_exponent: BareExponent,
    saw_bare_exponent: bool,
}

impl Reader<'_> {
    fn every_way(&mut self) -> Option<Fingerprint> {
        self.both_comments(None)
            .or_else(|| {
                memchr(b'\'', self.value)?;
                self.both_comments(Some(b'\''))
            })
            .or_else(|| {
                memchr(b'"', self.value)?;
                self.read(Some(b'"'), true).0
            })
    }

    /// Reads the value with standard comments, then with MySQL's if that could make a difference.
    fn both_comments(&mut self, quote: Option<u8>) -> Option<Fingerprint> {
        let (found, differs) = self.read(quote, false);
        if found.is_some() || !differs {
            return found;
        }
        self.read(quote, true).0
    }

    /// Reads the value once: its fingerprint if it is an injection, and whether MySQL would see other comments.
    fn read(&mut self, quote: Option<u8>, mysql: bool) -> (Option<Fingerprint>, bool) {
        let mut lexer = Lexer::new(
            self.value,
            Dialect {
                quote,
                mysql,
                bare_exponent: self.bare_exponent,
            },
        );
        let folded = fold::fold(&mut lexer);
        self.saw_bare_exponent |= lexer.bare_exponent;
        let fingerprint = Fingerprint::of(&folded);
        let found = words::is_injection(fingerprint.as_bytes())
            && judge::is_injection(self.value, &fingerprint, &folded, lexer.tokens);
        (found.then_some(fingerprint), lexer.comments_differ)
    }
}

#[cfg(test)]
mod tests;
