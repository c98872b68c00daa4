//! Reads what parentheses and references mean.

use super::Node;
use super::error::{PatternError, Reason};
use super::parse::{Parser, number};

impl Parser<'_> {
    /// A group, from its opening parenthesis; none for a comment or a change of options.
    pub(super) fn group(&mut self) -> Result<Option<Node>, PatternError> {
        let start = self.position;
        self.position += 1;
        if self.peek() == Some(b'*') {
            return Err(Reason::Unsupported("a verb").at(start));
        }
        if !self.eat(b"?") {
            return self.capture(start).map(Some);
        }
        if self.eat(b"#") {
            let Some(end) = memchr::memchr(b')', self.rest()) else {
                return Err(Reason::GroupOpen.at(start));
            };
            self.position += end + 1;
            return Ok(None);
        }
        for (mark, ahead, negative) in [
            (&b"="[..], true, false),
            (b"!", true, true),
            (b"<=", false, false),
            (b"<!", false, true),
        ] {
            if self.eat(mark) {
                self.regular = false;
                let node = Box::new(self.body(start)?);
                return Ok(Some(Node::Around { ahead, negative, node }));
            }
        }
        if self.eat(b">") {
            self.regular = false;
            return Ok(Some(Node::Atomic(Box::new(self.body(start)?))));
        }
        if self.eat(b":") {
            return self.body(start).map(Some);
        }
        if self.eat(b"P=") {
            let name = self.name(start, b')')?;
            return self.reference_to(start, &name).map(Some);
        }
        for (mark, end) in [(&b"P<"[..], b'>'), (b"<", b'>'), (b"'", b'\'')] {
            if self.eat(mark) {
                let name = self.name(start, end)?;
                let group = self.groups + 1;
                self.names.insert(name, group);
                return self.capture(start).map(Some);
            }
        }
        match self.peek() {
            Some(b'|') => Err(Reason::Unsupported("a branch reset").at(start)),
            Some(b'(') => Err(Reason::Unsupported("a condition").at(start)),
            Some(b'R' | b'&' | b'P' | b'+' | b'0'..=b'9') => Err(Reason::Unsupported("a subroutine call").at(start)),
            Some(b'C') => Err(Reason::Unsupported("a callout").at(start)),
            _ => self.options(start),
        }
    }

    fn capture(&mut self, start: usize) -> Result<Node, PatternError> {
        self.groups += 1;
        let group = self.groups;
        Ok(Node::Capture(group, Box::new(self.body(start)?)))
    }

    /// What is in the group, and its closing parenthesis.
    fn body(&mut self, start: usize) -> Result<Node, PatternError> {
        let node = self.alternation()?;
        if self.eat(b")") {
            Ok(node)
        } else {
            Err(Reason::GroupOpen.at(start))
        }
    }

    /// `(?i)` holds to the end of the group around it, `(?i:…)` for the group that it opens.
    fn options(&mut self, start: usize) -> Result<Option<Node>, PatternError> {
        let before = self.flags;
        let mut on = true;
        loop {
            let Some(byte) = self.peek() else {
                return Err(Reason::GroupOpen.at(start));
            };
            self.position += 1;
            match byte {
                b'-' => on = false,
                b'i' => self.flags.fold = on,
                b'm' => self.flags.lines = on,
                b's' => self.flags.narrow_dot = !on,
                b'x' => self.flags.extended = on,
                b'U' => self.flags.lazy = on,
                b'J' => {}
                b')' => return Ok(None),
                b':' => {
                    let node = self.body(start)?;
                    self.flags = before;
                    return Ok(Some(node));
                }
                _ => return Err(Reason::GroupKind.at(start)),
            }
        }
    }

    fn name(&mut self, start: usize, end: u8) -> Result<Vec<u8>, PatternError> {
        let Some(length) = memchr::memchr(end, self.rest()) else {
            return Err(Reason::GroupOpen.at(start));
        };
        let name = self.rest()[..length].to_vec();
        let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        if name.is_empty() || !name.iter().all(word) {
            return Err(Reason::GroupKind.at(start));
        }
        self.position += length + 1;
        Ok(name)
    }

    fn reference_to(&mut self, start: usize, name: &[u8]) -> Result<Node, PatternError> {
        let missing = || Reason::NoSuchGroup(String::from_utf8_lossy(name).into_owned()).at(start);
        let group = *self.names.get(name).ok_or_else(missing)?;
        Ok(self.reference(start, group))
    }

    /// `\g1`, `\g{1}`, `\g{-1}`, `\g{name}`, `\k<name>`, `\k'name'`, `\k{name}`, behind the letter.
    pub(super) fn named_reference(&mut self, start: usize, kind: u8) -> Result<Node, PatternError> {
        let text = match self.peek() {
            Some(b'{') => {
                self.position += 1;
                self.text(start, b'}')?
            }
            Some(b'<') if kind == b'k' => {
                self.position += 1;
                self.text(start, b'>')?
            }
            Some(b'\'') if kind == b'k' => {
                self.position += 1;
                self.text(start, b'\'')?
            }
            Some(b'0'..=b'9') if kind == b'g' => {
                let digits = self
                    .rest()
                    .iter()
                    .take_while(|byte| byte.is_ascii_digit())
                    .count()
                    .min(6);
                let text = self.rest()[..digits].to_vec();
                self.position += digits;
                text
            }
            Some(b'<' | b'\'') => return Err(Reason::Unsupported("a subroutine call").at(start)),
            _ => return Err(Reason::EscapeCut.at(start)),
        };
        let digits = text.strip_prefix(b"-").unwrap_or(&text);
        if !digits.is_empty() && digits.iter().all(u8::is_ascii_digit) {
            let group = if digits.len() < text.len() {
                (self.groups + 1).saturating_sub(number(digits))
            } else {
                number(digits)
            };
            return Ok(self.reference(start, group));
        }
        self.reference_to(start, &text)
    }

    fn text(&mut self, start: usize, end: u8) -> Result<Vec<u8>, PatternError> {
        let Some(length) = memchr::memchr(end, self.rest()) else {
            return Err(Reason::EscapeCut.at(start));
        };
        let text = self.rest()[..length].to_vec();
        self.position += length + 1;
        Ok(text)
    }
}
