//! Splits a value into pieces of HTML: the tokenizer of the standard, as lenient browsers have it.

use memchr::{memchr, memmem};

/// Where in a page the value is taken to stand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place {
    /// Between tags.
    Text,
    /// Within a tag, where an attribute may begin.
    Attributes,
    /// Within an attribute's value in these quotes.
    Quoted(u8),
}

/// What a piece is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    /// The name of an opening tag.
    Opening,
    /// The name of an attribute.
    Name,
    /// The value of one.
    Value,
    /// A comment, or what browsers take for one.
    Comment,
    /// The document type.
    Doctype,
    /// Text, and the ends of tags.
    Other,
}

/// A piece of the value.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a [u8],
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum State {
    Text,
    TagOpen,
    BeforeName,
    AfterName,
    BeforeValue,
    Quoted(u8),
    AfterQuoted,
    SelfClosing,
    TagEnd,
    End,
}

/// The pieces of a value.
pub(super) struct Reader<'a> {
    value: &'a [u8],
    position: usize,
    state: State,
    /// Whether the tag is a closing one.
    closing: bool,
}

impl<'a> Iterator for Reader<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        match self.state {
            State::Text => self.text(),
            State::TagOpen => self.tag_open(),
            State::BeforeName => self.before_name(),
            State::AfterName => self.after_name(),
            State::BeforeValue => self.before_value(),
            State::Quoted(quote) => Some(self.quoted(quote)),
            State::AfterQuoted => self.after_quoted(),
            State::SelfClosing => self.self_closing(),
            State::TagEnd => Some(self.tag_end()),
            State::End => None,
        }
    }
}

impl<'a> Reader<'a> {
    pub(super) const fn new(value: &'a [u8], place: Place) -> Self {
        let state = match place {
            Place::Text => State::Text,
            Place::Attributes => State::BeforeName,
            Place::Quoted(quote) => State::Quoted(quote),
        };
        Self {
            value,
            position: 0,
            state,
            closing: false,
        }
    }

    fn peek(&self) -> Option<u8> {
        self.value.get(self.position).copied()
    }

    fn rest(&self) -> &'a [u8] {
        &self.value[self.position..]
    }

    /// A piece of so many bytes, after which `skipped` more do not count.
    fn piece(&mut self, kind: Kind, length: usize, skipped: usize, state: State) -> Piece<'a> {
        let text = &self.rest()[..length];
        self.position += length + skipped;
        self.state = state;
        Piece { kind, text }
    }

    /// A piece up to an end mark, or all that is left if there is none.
    fn until(&mut self, kind: Kind, mark: &[u8], state: State) -> Piece<'a> {
        match memmem::find(self.rest(), mark) {
            Some(length) => self.piece(kind, length, mark.len(), state),
            None => self.all(kind),
        }
    }

    fn all(&mut self, kind: Kind) -> Piece<'a> {
        self.piece(kind, self.rest().len(), 0, State::End)
    }

    fn text(&mut self) -> Option<Piece<'a>> {
        match memchr(b'<', self.rest()) {
            Some(0) => {
                self.position += 1;
                self.tag_open()
            }
            Some(length) => Some(self.piece(Kind::Other, length, 1, State::TagOpen)),
            None if self.rest().is_empty() => None,
            None => Some(self.all(Kind::Other)),
        }
    }

    fn tag_open(&mut self) -> Option<Piece<'a>> {
        match self.peek()? {
            b'!' => {
                self.position += 1;
                Some(self.declaration())
            }
            b'/' => {
                self.position += 1;
                self.closing = true;
                self.end_tag()
            }
            b'?' => {
                self.position += 1;
                Some(self.until(Kind::Comment, b">", State::Text))
            }
            // A comment for Internet Explorer up to 9 and Safari up to 4.
            b'%' => {
                self.position += 1;
                Some(self.until(Kind::Comment, b"%>", State::Text))
            }
            // NULs in tags' names have been ignored, even the first.
            byte if byte.is_ascii_alphabetic() || byte == 0 => Some(self.tag_name()),
            // A bracket of the text.
            _ => Some(self.piece(Kind::Other, 0, 0, State::Text)),
        }
    }

    fn end_tag(&mut self) -> Option<Piece<'a>> {
        match self.peek()? {
            b'>' => self.text(),
            byte if byte.is_ascii_alphabetic() => Some(self.tag_name()),
            _ => {
                self.closing = false;
                Some(self.until(Kind::Comment, b">", State::Text))
            }
        }
    }

    fn tag_name(&mut self) -> Piece<'a> {
        let ends = |byte: &u8| *byte != 0 && is_space(*byte) || matches!(byte, b'/' | b'>');
        let Some(length) = self.rest().iter().position(ends) else {
            return self.all(Kind::Opening);
        };
        match self.rest()[length] {
            b'/' => self.piece(Kind::Opening, length, 1, State::SelfClosing),
            b'>' if self.closing => {
                self.closing = false;
                self.piece(Kind::Other, length, 1, State::Text)
            }
            b'>' => self.piece(Kind::Opening, length, 0, State::TagEnd),
            _ => self.piece(Kind::Opening, length, 1, State::BeforeName),
        }
    }

    /// The bracket that ends a tag.
    fn tag_end(&mut self) -> Piece<'a> {
        self.closing = false;
        let state = if self.rest().len() > 1 { State::Text } else { State::End };
        self.piece(Kind::Other, 1, 0, state)
    }

    /// The byte behind white space, where 0xff counts as the end: the C library compares signed bytes with -1.
    fn skip_space(&mut self) -> Option<u8> {
        self.position += self.rest().iter().take_while(|byte| is_space(**byte)).count();
        self.peek().filter(|byte| *byte != 0xff)
    }

    fn self_closing(&mut self) -> Option<Piece<'a>> {
        if self.peek()? == b'>' {
            return Some(self.piece(Kind::Other, 1, 0, State::Text));
        }
        self.before_name()
    }

    fn before_name(&mut self) -> Option<Piece<'a>> {
        loop {
            match self.skip_space()? {
                b'/' => {
                    self.position += 1;
                    if self.peek().is_none_or(|byte| byte == b'>') {
                        return self.self_closing();
                    }
                }
                b'>' => return Some(self.piece(Kind::Other, 1, 0, State::Text)),
                _ => return Some(self.name()),
            }
        }
    }

    /// The name of an attribute; its first byte may be any.
    fn name(&mut self) -> Piece<'a> {
        let ends = |byte: &u8| is_space(*byte) || matches!(byte, b'/' | b'=' | b'>');
        let Some(length) = self.rest()[1..].iter().position(ends).map(|length| length + 1) else {
            return self.all(Kind::Name);
        };
        match self.rest()[length] {
            b'/' => self.piece(Kind::Name, length, 1, State::SelfClosing),
            b'=' => self.piece(Kind::Name, length, 1, State::BeforeValue),
            b'>' => self.piece(Kind::Name, length, 0, State::TagEnd),
            _ => self.piece(Kind::Name, length, 1, State::AfterName),
        }
    }

    fn after_name(&mut self) -> Option<Piece<'a>> {
        match self.skip_space()? {
            b'/' => {
                self.position += 1;
                self.self_closing()
            }
            b'=' => {
                self.position += 1;
                self.before_value()
            }
            b'>' => Some(self.tag_end()),
            _ => Some(self.name()),
        }
    }

    fn before_value(&mut self) -> Option<Piece<'a>> {
        Some(match self.skip_space()? {
            quote @ (b'"' | b'\'' | b'`') => {
                self.position += 1;
                self.quoted(quote)
            }
            _ => self.unquoted(),
        })
    }

    fn quoted(&mut self, quote: u8) -> Piece<'a> {
        self.until(Kind::Value, &[quote], State::AfterQuoted)
    }

    fn unquoted(&mut self) -> Piece<'a> {
        let ends = |byte: &u8| is_space(*byte) || *byte == b'>';
        let Some(length) = self.rest().iter().position(ends) else {
            return self.all(Kind::Value);
        };
        match self.rest()[length] {
            b'>' => self.piece(Kind::Value, length, 0, State::TagEnd),
            _ => self.piece(Kind::Value, length, 1, State::BeforeName),
        }
    }

    fn after_quoted(&mut self) -> Option<Piece<'a>> {
        match self.peek()? {
            b'/' => {
                self.position += 1;
                self.self_closing()
            }
            b'>' => Some(self.piece(Kind::Other, 1, 0, State::Text)),
            byte => {
                self.position += usize::from(is_space(byte));
                self.before_name()
            }
        }
    }

    fn declaration(&mut self) -> Piece<'a> {
        let rest = self.rest();
        let starts = |mark: &[u8]| {
            rest.get(..mark.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(mark))
        };
        if starts(b"DOCTYPE") {
            self.until(Kind::Doctype, b">", State::Text)
        } else if rest.starts_with(b"[CDATA[") {
            self.position += 7;
            self.until(Kind::Other, b"]]>", State::Text)
        } else if rest.starts_with(b"--") {
            self.position += 2;
            self.comment()
        } else {
            self.until(Kind::Comment, b">", State::Text)
        }
    }

    /// A comment, behind its opening dashes. `-->` and `-!>` end it, with any NULs in them.
    fn comment(&mut self) -> Piece<'a> {
        let rest = self.rest();
        for start in memchr::memchr_iter(b'-', rest) {
            if start + 3 > rest.len() {
                break;
            }
            let mut end = rest[start + 1..].iter().enumerate().filter(|(_, byte)| **byte != 0);
            let (Some((_, second)), Some((offset, third))) = (end.next(), end.next()) else {
                break;
            };
            if matches!(second, b'-' | b'!') && *third == b'>' {
                return self.piece(Kind::Comment, start, offset + 2, State::Text);
            }
        }
        self.all(Kind::Comment)
    }
}

/// White space, and the NUL that lenient browsers take for it.
const fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r' | 0)
}
