//! Tokens of SQL.

/// How many tokens a value is folded to at most.
pub(super) const MAXIMUM: usize = 5;

/// The most bytes of a token's text that are kept. Longer words are in no table.
pub(super) const TEXT: usize = 31;

/// The kind of a token. The numbers are the characters of fingerprints.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum Kind {
    None = 0,
    Backslash = b'\\',
    Bareword = b'n',
    Collate = b'A',
    Colon = b':',
    Comma = b',',
    Comment = b'c',
    Dot = b'.',
    Evil = b'X',
    Expression = b'E',
    Fingerprint = b'F',
    Function = b'f',
    Group = b'B',
    Keyword = b'k',
    LeftBrace = b'{',
    LeftParenthesis = b'(',
    Logic = b'&',
    Number = b'1',
    Operator = b'o',
    RightBrace = b'}',
    RightParenthesis = b')',
    Semicolon = b';',
    SqlType = b't',
    String = b's',
    Tsql = b'T',
    Union = b'U',
    Unknown = b'?',
    Variable = b'v',
}

impl Kind {
    /// The kind of a character of the tables.
    pub(super) fn of(character: u8) -> Self {
        match character {
            b'A' => Self::Collate,
            b'B' => Self::Group,
            b'E' => Self::Expression,
            b'F' => Self::Fingerprint,
            b'T' => Self::Tsql,
            b'U' => Self::Union,
            b'&' => Self::Logic,
            b'1' => Self::Number,
            b'f' => Self::Function,
            b'k' => Self::Keyword,
            b'n' => Self::Bareword,
            b'o' => Self::Operator,
            b't' => Self::SqlType,
            b'v' => Self::Variable,
            _ => Self::None,
        }
    }
}

/// A token: its kind, the start of its text, and, for a string, the quotes around it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    /// The opening quote; 0 if the value began within the string.
    pub(super) open: u8,
    /// The closing quote; 0 if the value ended within the string.
    pub(super) close: u8,
    text: &'a [u8],
}

impl<'a> Token<'a> {
    pub(super) const EMPTY: Self = Self {
        kind: Kind::None,
        open: 0,
        close: 0,
        text: &[],
    };

    pub(super) fn new(kind: Kind, text: &'a [u8]) -> Self {
        Self {
            kind,
            open: 0,
            close: 0,
            text: &text[..text.len().min(TEXT)],
        }
    }

    pub(super) fn quoted(text: &'a [u8], open: u8, close: u8) -> Self {
        Self {
            open,
            close,
            ..Self::new(Kind::String, text)
        }
    }

    pub(super) const fn set_text(&mut self, text: &'a [u8]) {
        self.text = text;
    }

    pub(super) const fn text(&self) -> &'a [u8] {
        self.text
    }

    pub(super) fn is(&self, word: &[u8]) -> bool {
        self.text().eq_ignore_ascii_case(word)
    }

    pub(super) fn is_one_of(&self, kinds: &[Kind]) -> bool {
        kinds.contains(&self.kind)
    }

    /// An operator that may stand before its only operand.
    pub(super) fn is_unary(&self) -> bool {
        self.kind == Kind::Operator && (matches!(self.text(), b"+" | b"-" | b"!" | b"~" | b"!!") || self.is(b"NOT"))
    }

    pub(super) fn is_arithmetic(&self) -> bool {
        self.kind == Kind::Operator && matches!(self.text(), b"*" | b"/" | b"-" | b"+" | b"%")
    }
}
