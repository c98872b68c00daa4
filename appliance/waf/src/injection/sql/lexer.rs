//! Splits a value into tokens, as databases do that do not agree with each other.

use memchr::{memchr, memmem};

use super::token::{Kind, Token};
use super::words;

/// How the value is read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Dialect {
    /// The quote that is taken to stand before the value.
    pub(super) quote: Option<u8>,
    /// Comments as MySQL has them, else as the standard has them.
    pub(super) mysql: bool,
    /// Whether a number with an exponent of no digits (`1e`) counts for nothing, as in MySQL, or is a word, as elsewhere.
    pub(super) bare_exponent: BareExponent,
}

/// What `1e` is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum BareExponent {
    /// A word: libinjection up to 3.9, and most databases.
    Word,
    /// Nothing: libinjection from 4.0 on, and MySQL, which made it a way past filters.
    Nothing,
}

/// The tokens of a value.
pub(super) struct Lexer<'a> {
    value: &'a [u8],
    position: usize,
    dialect: Dialect,
    /// How many tokens there were.
    pub(super) tokens: usize,
    /// Whether there was something that is a comment in one dialect and not in the other.
    pub(super) comments_differ: bool,
    /// Whether there was a number with an exponent of no digits.
    pub(super) bare_exponent: bool,
}

impl<'a> Iterator for Lexer<'a> {
    type Item = Token<'a>;

    fn next(&mut self) -> Option<Token<'a>> {
        let token = match self.dialect.quote {
            Some(quote) if self.position == 0 && !self.value.is_empty() => self.string(0, quote, 0),
            _ => self.token()?,
        };
        self.tokens += 1;
        Some(token)
    }
}

impl<'a> Lexer<'a> {
    pub(super) const fn new(value: &'a [u8], dialect: Dialect) -> Self {
        Self {
            value,
            position: 0,
            dialect,
            tokens: 0,
            comments_differ: false,
            bare_exponent: false,
        }
    }

    /// The byte so far behind the current one.
    fn peek(&self, offset: usize) -> Option<u8> {
        self.value.get(self.position + offset).copied()
    }

    /// The text from the current byte on.
    fn rest(&self) -> &'a [u8] {
        &self.value[self.position..]
    }

    /// A token of the next bytes.
    fn take(&mut self, kind: Kind, length: usize) -> Token<'a> {
        let text = &self.rest()[..length];
        self.position += length;
        Token::new(kind, text)
    }

    fn token(&mut self) -> Option<Token<'a>> {
        loop {
            let byte = self.peek(0)?;
            return Some(match byte {
                0..=b' ' | 0x7f | 0xa0 => {
                    self.position += 1;
                    continue;
                }
                b'"' | b'\'' => self.string(1, byte, byte),
                b'#' => self.hash(),
                b'$' => self.money(),
                b'%' | b'+' | b'^' | b'~' => self.take(Kind::Operator, 1),
                b'!' | b'&' | b'*' | b':' | b'<' | b'=' | b'>' | b'|' => self.operator(),
                b'(' => self.take(Kind::LeftParenthesis, 1),
                b')' => self.take(Kind::RightParenthesis, 1),
                b'{' => self.take(Kind::LeftBrace, 1),
                b'}' => self.take(Kind::RightBrace, 1),
                b',' => self.take(Kind::Comma, 1),
                b';' => self.take(Kind::Semicolon, 1),
                b'-' => self.dash(),
                b'.' | b'0'..=b'9' => match self.number() {
                    Some(token) => token,
                    None => continue,
                },
                b'/' => self.slash(),
                b'?' | b']' => self.take(Kind::Unknown, 1),
                b'@' => self.variable(),
                b'[' => {
                    let length = memchr(b']', self.rest()).map_or(self.rest().len(), |end| end + 1);
                    self.take(Kind::Bareword, length)
                }
                b'\\' if self.peek(1) == Some(b'N') => self.take(Kind::Number, 2),
                b'\\' => self.take(Kind::Backslash, 1),
                b'`' => self.tick(),
                b'b' | b'B' => self.digits_string(|byte| matches!(byte, b'0' | b'1')),
                b'x' | b'X' => self.digits_string(|byte| byte.is_ascii_hexdigit()),
                b'e' | b'E' => self.prefixed_string(),
                b'n' | b'N' if self.peek(1) == Some(b'\'') && self.peek(2).is_some() => self.prefixed_string(),
                b'n' | b'N' => self.oracle_string(1),
                b'q' | b'Q' => self.oracle_string(0),
                b'u' | b'U' => self.unicode_string(),
                _ => self.word(),
            });
        }
    }

    /// A string that begins `offset` bytes further on. `open` is the quote that stands before it, 0 if none does.
    fn string(&mut self, offset: usize, quote: u8, open: u8) -> Token<'a> {
        let start = self.position + offset;
        let mut from = start;
        while let Some(found) = self.value.get(from..).and_then(|rest| memchr(quote, rest)) {
            let end = from + found;
            let backslashes = self.value[start..end]
                .iter()
                .rev()
                .take_while(|byte| **byte == b'\\')
                .count();
            if backslashes % 2 == 1 {
                from = end + 1;
            } else if self.value.get(end + 1) == Some(&quote) {
                from = end + 2;
            } else {
                self.position = end + 1;
                return Token::quoted(&self.value[start..end], open, quote);
            }
        }
        self.position = self.value.len();
        Token::quoted(&self.value[start..], open, 0)
    }

    /// Text in quotes of several bytes, which stand at its start and of which the closing ones are given.
    fn delimited(&mut self, start: usize, closing: &[u8], mark: u8) -> Token<'a> {
        let body = &self.value[start..];
        if let Some(length) = memmem::find(body, closing) {
            self.position = start + length + closing.len();
            Token::quoted(&body[..length], mark, mark)
        } else {
            self.position = self.value.len();
            Token::quoted(body, mark, 0)
        }
    }

    fn hash(&mut self) -> Token<'a> {
        self.comments_differ = true;
        if self.dialect.mysql {
            self.line_comment()
        } else {
            self.take(Kind::Operator, 1)
        }
    }

    fn line_comment(&mut self) -> Token<'a> {
        let end = memchr(b'\n', self.rest());
        let token = self.take(Kind::Comment, end.unwrap_or(self.rest().len()));
        self.position += usize::from(end.is_some());
        token
    }

    fn dash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'-') {
            return self.take(Kind::Operator, 1);
        }
        // Two dashes and no space: a comment for all but MySQL.
        if self.peek(2).is_some_and(|byte| !is_space(byte)) {
            if self.dialect.mysql {
                return self.take(Kind::Operator, 1);
            }
            self.comments_differ = true;
        }
        self.line_comment()
    }

    fn slash(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'*') {
            return self.take(Kind::Operator, 1);
        }
        let body = &self.rest()[2..];
        let end = memmem::find(body, b"*/");
        // Some databases nest comments, and MySQL runs what is in `/*! */`: nobody can say what the rest means. The star that ends
        // the comment counts as one that could begin a nested one.
        let nested = end.is_some_and(|end| memmem::find(&body[..=end], b"/*").is_some());
        let kind = if nested || body.first() == Some(&b'!') {
            Kind::Evil
        } else {
            Kind::Comment
        };
        self.take(kind, end.map_or(self.rest().len(), |end| end + 4))
    }

    fn operator(&mut self) -> Token<'a> {
        if self.rest().starts_with(b"<=>") {
            return self.take(Kind::Operator, 3);
        }
        if let Some(kind) = self.rest().get(..2).and_then(words::kind) {
            return self.take(kind, 2);
        }
        let colon = self.peek(0) == Some(b':') && self.peek(1).is_some();
        self.take(if colon { Kind::Colon } else { Kind::Operator }, 1)
    }

    fn word(&mut self) -> Token<'a> {
        let rest = self.rest();
        let mut inner = 0;
        let ends = |byte: &u8| {
            let class = WORD_ENDS[usize::from(*byte)];
            inner |= class;
            class & END != 0
        };
        let length = rest.iter().position(ends).unwrap_or(rest.len());
        if inner & INNER != 0 {
            // `SELECT.1` and SELECT`x` begin with a keyword.
            let text = Token::new(Kind::Bareword, &rest[..length]).text();
            for (end, _) in text.iter().enumerate().filter(|(_, byte)| matches!(byte, b'.' | b'`')) {
                if let Some(kind) = words::kind(&rest[..end]).filter(|kind| *kind != Kind::Bareword) {
                    return self.take(kind, end);
                }
            }
        }
        let kind = words::kind(&rest[..length]).unwrap_or(Kind::Bareword);
        self.take(kind, length)
    }

    /// A name in backticks.
    fn tick(&mut self) -> Token<'a> {
        let mut token = self.string(1, b'`', b'`');
        let function = words::kind(token.text()) == Some(Kind::Function);
        token.kind = if function { Kind::Function } else { Kind::Bareword };
        token
    }

    fn variable(&mut self) -> Token<'a> {
        self.position += if self.peek(1) == Some(b'@') { 2 } else { 1 };
        let mut token = match self.peek(0) {
            Some(b'`') => self.tick(),
            Some(quote @ (b'\'' | b'"')) => self.string(1, quote, quote),
            _ => {
                let rest = self.rest();
                let length = rest.iter().position(|byte| ends_variable(*byte)).unwrap_or(rest.len());
                self.take(Kind::Variable, length)
            }
        };
        token.kind = Kind::Variable;
        token
    }

    /// `B'01'` and `X'1f'` are numbers.
    fn digits_string(&mut self, is_digit: impl Fn(u8) -> bool) -> Token<'a> {
        if self.peek(1) == Some(b'\'') {
            let digits = span(&self.rest()[2..], is_digit);
            if self.peek(2 + digits) == Some(b'\'') {
                return self.take(Kind::Number, digits + 3);
            }
        }
        self.word()
    }

    /// `E'…'` and `N'…'`.
    fn prefixed_string(&mut self) -> Token<'a> {
        if self.peek(1) == Some(b'\'') && self.peek(2).is_some() {
            self.string(2, b'\'', b'\'')
        } else {
            self.word()
        }
    }

    /// `U&'…'`.
    fn unicode_string(&mut self) -> Token<'a> {
        if self.peek(1) != Some(b'&') || self.peek(2) != Some(b'\'') {
            return self.word();
        }
        let mut token = self.string(3, b'\'', b'u');
        if token.close == b'\'' {
            token.close = b'u';
        }
        token
    }

    /// Oracle's `q'(…)'`, with its letter so far on.
    fn oracle_string(&mut self, offset: usize) -> Token<'a> {
        if !matches!(self.peek(offset), Some(b'q' | b'Q')) || self.peek(offset + 1) != Some(b'\'') {
            return self.word();
        }
        let closing = match self.peek(offset + 2) {
            Some(b'(') => b')',
            Some(b'[') => b']',
            Some(b'{') => b'}',
            Some(b'<') => b'>',
            Some(other @ 33..0x80) => other,
            _ => return self.word(),
        };
        self.delimited(self.position + offset + 3, &[closing, b'\''], b'q')
    }

    /// An amount, a string in dollar quotes, or a lone dollar sign.
    fn money(&mut self) -> Token<'a> {
        let rest = self.rest();
        let Some(next) = self.peek(1) else {
            return self.take(Kind::Bareword, 1);
        };
        let amount = span(&rest[1..], |byte| matches!(byte, b'0'..=b'9' | b'.' | b','));
        if amount == 1 && next == b'.' {
            return self.word();
        }
        if amount > 0 {
            return self.take(Kind::Number, 1 + amount);
        }
        if next == b'$' {
            return self.delimited(self.position + 2, b"$$", b'$');
        }
        let name = span(&rest[1..], |byte| byte.is_ascii_alphabetic());
        if name == 0 || self.peek(1 + name) != Some(b'$') {
            return self.take(Kind::Bareword, 1);
        }
        let delimiter = &rest[..name + 2];
        self.delimited(self.position + delimiter.len(), delimiter, b'$')
    }

    /// A number; none for one that counts for nothing.
    fn number(&mut self) -> Option<Token<'a>> {
        let rest = self.rest();
        let prefixed = match rest {
            [b'0', b'x' | b'X', digits @ ..] => Some(span(digits, |byte| byte.is_ascii_hexdigit())),
            [b'0', b'b' | b'B', digits @ ..] => Some(span(digits, |byte| matches!(byte, b'0' | b'1'))),
            _ => None,
        };
        if let Some(digits) = prefixed {
            return Some(self.take(if digits == 0 { Kind::Bareword } else { Kind::Number }, 2 + digits));
        }
        let digits = |from: usize| rest[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
        let mut end = digits(0);
        if rest.get(end) == Some(&b'.') {
            end += 1 + digits(end + 1);
            if end == 1 {
                return Some(self.take(Kind::Dot, 1));
            }
        }
        let mut kind = Kind::Number;
        if matches!(rest.get(end), Some(b'e' | b'E')) {
            end += 1;
            if matches!(rest.get(end), Some(b'+' | b'-')) {
                end += 1;
            }
            let exponent = digits(end);
            end += exponent;
            if exponent == 0 {
                kind = Kind::Bareword;
            }
        }
        // Oracle's suffixes, if nothing that looks like a word goes on behind them. `1fUNION` is known to work.
        if matches!(rest.get(end), Some(b'd' | b'D' | b'f' | b'F'))
            && rest
                .get(end + 1)
                .is_none_or(|byte| is_space(*byte) || matches!(byte, b';' | b'u' | b'U'))
        {
            end += 1;
        }
        let token = self.take(kind, end);
        if kind == Kind::Bareword {
            self.bare_exponent = true;
            if self.dialect.bare_exponent == BareExponent::Nothing {
                return None;
            }
        }
        Some(token)
    }
}

/// How many bytes in a row are of a kind. NUL bytes are, as in the C library, whose lists of bytes end with one.
fn span(text: &[u8], is: impl Fn(u8) -> bool) -> usize {
    text.iter().take_while(|byte| **byte == 0 || is(**byte)).count()
}

/// White space of some database: Oracle's NUL and Latin-1's no-break space, too.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0 | 0xa0)
}

/// In [`WORD_ENDS`]: the byte ends a word.
const END: u8 = 1;

/// In [`WORD_ENDS`]: the byte may end a keyword within a word.
const INNER: u8 = 2;

const WORD_ENDS: [u8; 256] = {
    let mut classes = [0; 256];
    let mut byte = 0_u8;
    loop {
        classes[byte as usize] = match byte {
            b'!'..=b'#' | b'%'..=b'-' | b'/' | b':'..=b'@' | b'['..=b'^' | b'{'..=b'~' => END,
            b'.' | b'`' => INNER,
            _ if is_space(byte) => END,
            _ => 0,
        };
        if byte == u8::MAX {
            break classes;
        }
        byte += 1;
    }
};

fn ends_variable(byte: u8) -> bool {
    byte != 0xa0 && is_space(byte)
        || matches!(byte, b'!'..=b'#' | b'%'..=b'-' | b'/' | b':'..=b'@' | b'\\' | b'^' | b'`' | b'|' | b'~')
}
