//! Folds tokens: what a database would compute, name in several words, or read past becomes one token or none.
//!
//! A window of tokens moves over the value. At its left end two tokens, then three, are compared with the rules; a rule that applies
//! shortens the window and starts again, else the window's left end moves on. The rules' order, and where each starts again, decide
//! fingerprints and are therefore libinjection's.

use super::lexer::Lexer;
use super::token::{Kind, MAXIMUM, Token};
use super::words;
use Kind as K;

/// The tokens that are left.
pub(super) struct Folded<'a> {
    window: [Token<'a>; MAXIMUM + 3],
    count: usize,
}

impl<'a> Folded<'a> {
    pub(super) fn tokens(&self) -> &[Token<'a>] {
        &self.window[..self.count]
    }
}

/// What a rule did.
enum Outcome {
    /// No rule applies.
    Nothing,
    /// The window has changed; `left` says where to go on.
    Again { left: usize },
    /// The rest of the value does not count.
    Stop,
}

struct Window<'a, 'b> {
    lexer: &'b mut Lexer<'a>,
    tokens: [Token<'a>; MAXIMUM + 3],
    /// How many tokens there are.
    end: usize,
    /// How many of them are settled.
    left: usize,
    /// Whether the value may have more tokens.
    more: bool,
    /// The comment that was read last, if nothing followed it.
    comment: Option<Token<'a>>,
    /// Whether folding stopped at a construct that says enough by itself. It may be the sixth token.
    stopped: bool,
}

pub(super) fn fold<'a>(lexer: &mut Lexer<'a>) -> Folded<'a> {
    let mut tokens = [Token::EMPTY; MAXIMUM + 3];
    // Leading comments, parentheses, types and signs say nothing.
    let meaningful =
        |token: &Token<'_>| !token.is_one_of(&[K::Comment, K::LeftParenthesis, K::SqlType]) && !token.is_unary();
    let Some(first) = lexer.find(meaningful) else {
        return Folded {
            window: tokens,
            count: 0,
        };
    };
    tokens[0] = first;
    let mut window = Window {
        lexer,
        tokens,
        end: 1,
        left: 0,
        more: true,
        comment: None,
        stopped: false,
    };
    window.run();
    window.finish()
}

impl<'a> Window<'a, '_> {
    fn run(&mut self) {
        loop {
            self.shorten_full();
            if !self.more || self.left >= MAXIMUM {
                self.left = self.end;
                return;
            }
            if !self.fill(2) {
                self.left = self.end;
                continue;
            }
            let mut outcome = self.fold_two();
            if matches!(outcome, Outcome::Nothing) {
                if !self.fill(3) {
                    self.left = self.end;
                    continue;
                }
                outcome = self.fold_three();
            }
            match outcome {
                Outcome::Nothing => self.left += 1,
                Outcome::Again { left } => self.left = left,
                Outcome::Stop => {
                    self.left += 2;
                    self.stopped = true;
                    return;
                }
            }
        }
    }

    fn finish(mut self) -> Folded<'a> {
        if self.stopped {
            return Folded {
                window: self.tokens,
                count: self.left,
            };
        }
        if self.left < MAXIMUM
            && let Some(comment) = self.comment
        {
            self.tokens[self.left] = comment;
            self.left += 1;
        }
        let count = self.left.min(MAXIMUM);
        // PHP code in the wild ends values with a backtick, which MySQL takes for the start of a comment.
        if let Some(
            last @ Token {
                kind: K::Bareword,
                open: b'`',
                close: 0,
                ..
            },
        ) = self.tokens[..count].last_mut()
            && count > 2
            && last.text().is_empty()
        {
            last.kind = K::Comment;
        }
        Folded {
            window: self.tokens,
            count,
        }
    }

    /// Reads tokens until so many are unsettled; whether there are so many.
    fn fill(&mut self, wanted: usize) -> bool {
        while self.more && self.end <= MAXIMUM && self.end < self.left + wanted {
            match self.lexer.next() {
                None => self.more = false,
                Some(token) if token.kind == K::Comment => self.comment = Some(token),
                Some(token) => {
                    self.comment = None;
                    self.tokens[self.end] = token;
                    self.end += 1;
                }
            }
        }
        self.end >= self.left + wanted
    }

    /// The unsettled token so far from the left end.
    const fn at(&self, offset: usize) -> &Token<'a> {
        &self.tokens[self.left + offset]
    }

    fn kind(&self, offset: usize) -> Kind {
        self.at(offset).kind
    }

    fn set_kind(&mut self, offset: usize, kind: Kind) {
        self.tokens[self.left + offset].kind = kind;
    }

    /// Drops the unsettled token so far from the left end, when the next is the last.
    const fn replace_by_next(&mut self, offset: usize) {
        self.tokens[self.left + offset] = self.tokens[self.left + offset + 1];
        self.end -= 1;
    }

    /// The last `count` tokens go, and folding starts over.
    const fn drop_last(&mut self, count: usize) -> Outcome {
        self.end -= count;
        Outcome::Again { left: 0 }
    }

    /// Five tokens that mean one value leave room for more.
    fn shorten_full(&mut self) {
        if self.end < MAXIMUM {
            return;
        }
        let kinds: [Kind; MAXIMUM] = std::array::from_fn(|index| self.tokens[index].kind);
        let one_value = matches!(
            kinds,
            [
                K::Number,
                K::Operator | K::Comma,
                K::LeftParenthesis,
                K::Number,
                K::RightParenthesis
            ] | [
                K::Bareword,
                K::Operator,
                K::LeftParenthesis,
                K::Bareword | K::Number,
                K::RightParenthesis
            ] | [K::Number, K::RightParenthesis, K::Comma, K::LeftParenthesis, K::Number]
                | [
                    K::Bareword,
                    K::RightParenthesis,
                    K::Operator,
                    K::LeftParenthesis,
                    K::Bareword
                ]
        );
        if one_value {
            if self.end > MAXIMUM {
                self.tokens[1] = self.tokens[MAXIMUM];
                self.end = 2;
            } else {
                self.end = 1;
            }
            self.left = 0;
        }
    }

    fn fold_two(&mut self) -> Outcome {
        let left = self.left;
        match (self.kind(0), self.kind(1)) {
            (K::String, K::String) | (K::Semicolon, K::Semicolon) => {
                self.end -= 1;
                return Outcome::Again { left };
            }
            (K::Operator | K::Logic, next) if next == K::SqlType || self.at(1).is_unary() => return self.drop_last(1),
            (K::LeftParenthesis, _) if self.at(1).is_unary() => {
                self.end -= 1;
                return Outcome::Again {
                    left: left.saturating_sub(1),
                };
            }
            _ => {}
        }
        if self.merge_words() {
            self.end -= 1;
            return Outcome::Again {
                left: left.saturating_sub(1),
            };
        }
        match (self.kind(0), self.kind(1)) {
            // IF is a function, but a statement of its own in Transact-SQL.
            (K::Semicolon, K::Function) if matches!(self.at(1).text(), [b'i' | b'I', b'f' | b'F', ..]) => {
                self.set_kind(1, K::Tsql);
                Outcome::Again { left }
            }
            (K::Bareword | K::Variable, K::LeftParenthesis) if self.is_called() => {
                self.set_kind(0, K::Function);
                Outcome::Again { left }
            }
            (K::Keyword, next) if self.at(0).is(b"IN") || self.at(0).is(b"NOT IN") => {
                self.set_kind(
                    0,
                    if next == K::LeftParenthesis {
                        K::Operator
                    } else {
                        K::Bareword
                    },
                );
                Outcome::Again { left }
            }
            (K::Operator, next) if self.at(0).is(b"LIKE") || self.at(0).is(b"NOT LIKE") => {
                if next == K::LeftParenthesis {
                    self.set_kind(0, K::Function);
                }
                Outcome::Nothing
            }
            (
                K::SqlType,
                K::Bareword | K::Number | K::SqlType | K::LeftParenthesis | K::Function | K::Variable | K::String,
            ) => {
                self.replace_by_next(0);
                Outcome::Again { left: 0 }
            }
            (K::Collate, K::Bareword) => {
                // Too many collations exist to list them; they have an underscore.
                if self.at(1).text().contains(&b'_') {
                    self.set_kind(1, K::SqlType);
                    self.left = 0;
                }
                Outcome::Nothing
            }
            (K::Backslash, _) => {
                // Transact-SQL reads `\%1` as 0 % 1, and `\1` as 1.
                if self.at(1).is_arithmetic() {
                    self.set_kind(0, K::Number);
                } else {
                    self.replace_by_next(0);
                }
                Outcome::Again { left: 0 }
            }
            (K::LeftParenthesis, K::LeftParenthesis)
            | (K::RightParenthesis, K::RightParenthesis)
            | (_, K::RightBrace) => self.drop_last(1),
            (K::LeftBrace, K::Bareword) => {
                // MySQL accepts {``.``.x} and little else of that kind.
                if self.at(1).text().is_empty() {
                    self.set_kind(1, K::Evil);
                    return Outcome::Stop;
                }
                // ODBC's `{name expression}` means the expression.
                self.drop_last(2)
            }
            _ => Outcome::Nothing,
        }
    }

    fn fold_three(&mut self) -> Outcome {
        let unary = self.at(1).is_unary();
        match (self.kind(0), self.kind(1), self.kind(2)) {
            (K::Number, K::Operator, K::Number)
            | (K::Logic, _, K::Logic)
            | (K::Variable, K::Operator, K::Variable | K::Number | K::Bareword)
            | (K::Bareword | K::Number, K::Operator, K::Number | K::Bareword)
            | (
                K::Bareword | K::Number | K::String | K::Variable,
                K::Comma,
                K::Number | K::Bareword | K::String | K::Variable,
            )
            | (K::Bareword, K::Dot, K::Bareword) => self.drop_last(2),
            (K::Operator, middle, K::Operator) if middle != K::LeftParenthesis => self.drop_last(2),
            // PostgreSQL's cast.
            (K::Bareword | K::Number | K::Variable | K::String, K::Operator, K::SqlType)
                if self.at(1).text() == b"::" =>
            {
                self.drop_last(2)
            }
            (K::Expression | K::Group | K::Comma, _, K::LeftParenthesis)
            | (
                K::Keyword | K::Expression | K::Group,
                _,
                K::Number | K::Bareword | K::Variable | K::String | K::Function,
            )
            | (K::Comma, _, K::Function)
                if unary =>
            {
                self.replace_by_next(1);
                Outcome::Again { left: 0 }
            }
            // `1,-1` becomes `1`: the comma goes as well, and what stood before it is looked at again.
            (K::Comma, _, K::Number | K::Bareword | K::Variable | K::String) if unary => {
                self.tokens[self.left + 1] = self.tokens[self.left + 2];
                self.drop_last(3)
            }
            (K::Expression, K::Dot, K::Bareword) => {
                self.replace_by_next(1);
                Outcome::Again { left: 0 }
            }
            // USER() has no arguments; with some it is a name.
            (K::Function, K::LeftParenthesis, third) if third != K::RightParenthesis && self.at(0).is(b"USER") => {
                self.set_kind(0, K::Bareword);
                Outcome::Nothing
            }
            _ => Outcome::Nothing,
        }
    }

    /// Names that are columns or variables, and functions where a parenthesis follows.
    fn is_called(&self) -> bool {
        const NAMES: [&[u8]; 11] = [
            b"USER_ID",
            b"USER_NAME",
            b"DATABASE",
            b"PASSWORD",
            b"USER",
            b"CURRENT_USER",
            b"CURRENT_DATE",
            b"CURRENT_TIME",
            b"CURRENT_TIMESTAMP",
            b"LOCALTIME",
            b"LOCALTIMESTAMP",
        ];
        NAMES.iter().any(|name| self.at(0).is(name))
    }

    /// Makes one token of two words that are a term together (`ORDER BY`).
    fn merge_words(&mut self) -> bool {
        const FIRST: [Kind; 8] = [
            K::Keyword,
            K::Bareword,
            K::Operator,
            K::Union,
            K::Function,
            K::Expression,
            K::Tsql,
            K::SqlType,
        ];
        if !self.at(0).is_one_of(&FIRST) || !(self.at(1).is_one_of(&FIRST) || self.kind(1) == K::Logic) {
            return false;
        }
        let Some((kind, text)) = words::find_term(self.at(0).text(), self.at(1).text()) else {
            return false;
        };
        let token = &mut self.tokens[self.left];
        token.kind = kind;
        token.set_text(text);
        true
    }
}
