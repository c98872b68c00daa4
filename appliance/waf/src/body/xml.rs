//! XML bodies: a well-formedness check that keeps elements, attributes and text, and a small part of XPath to pick from them.
//!
//! External entities are never loaded. What an internal entity stands for is put in once, not again inside itself, so that a document
//! cannot grow beyond a multiple of its size.

use super::BodyError;
pub use super::xpath::Path;

/// How deep elements may be nested (libxml2's limit).
const MAX_DEPTH: usize = 256;

/// How many bytes a path may pick in all: the text of an element is also in that of each element around it.
const MAX_PICKED: usize = 16 << 20;

/// The longest dotted path of an element, in bytes.
const MAX_NAME: usize = 8192;

/// How many bytes entities of the document itself may add to it.
const MAX_ENTITY_TEXT: usize = 1 << 20;

/// How many entities a document may declare.
const MAX_ENTITIES: usize = 1000;

/// Entities that need no declaration.
const PREDEFINED: [&[u8]; 5] = [b"amp", b"apos", b"gt", b"lt", b"quot"];

/// A document that was read.
#[derive(Clone, Debug, Default)]
pub struct Document {
    nodes: Vec<Node>,
    /// The text of all elements in document order: an element's text is one piece of it.
    text: Vec<u8>,
    /// Names and attribute values.
    names: Vec<u8>,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    kind: Kind,
    /// The element this is in; elements at the top have none.
    parent: Option<usize>,
    name: (usize, usize),
    value: (usize, usize),
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Kind {
    Attribute,
    Element,
    Text,
}

impl Document {
    /// Forgets the document.
    pub fn clear(&mut self) {
        self.nodes.clear();
        self.text.clear();
        self.names.clear();
    }

    /// Whether there is no element.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// Bytes of memory that it takes at most.
    pub(crate) fn memory(&self) -> usize {
        2 * (size_of_val(self.nodes.as_slice()) + self.text.len() + self.names.len())
    }

    /// Reads a document in place of the one that was there.
    ///
    /// # Errors
    ///
    /// Where it is not well formed.
    pub fn read(&mut self, text: &[u8]) -> Result<(), BodyError> {
        self.clear();
        let mut reader = Reader {
            input: text,
            at: 0,
            open: Vec::new(),
            entities: Vec::new(),
            added: 0,
            doctype: false,
            document: self,
        };
        let read = reader.document();
        if read.is_err() {
            self.clear();
        }
        read
    }

    /// Gives the text of each node that a path picks, in document order. After 16 MiB it ends: the outer elements came first and hold
    /// the text of the inner ones.
    pub fn select(&self, path: &Path, found: &mut dyn FnMut(&[u8])) {
        // Whether a node is picked by the steps so far; the document itself is picked by none of them.
        let mut picked = vec![false; self.nodes.len()];
        for (index, step) in path.steps().iter().enumerate() {
            let first = index == 0;
            // Whether a node or anything it is in was picked by the last step.
            let mut inside = vec![false; self.nodes.len()];
            let mut next = vec![false; self.nodes.len()];
            let mut positions = vec![0_usize; self.nodes.len() + 1];
            for (at, node) in self.nodes.iter().enumerate() {
                let in_picked = |set: &[bool]| {
                    node.parent
                        .map_or(first, |parent| set.get(parent).copied().unwrap_or(false))
                };
                let parent_inside = node
                    .parent
                    .map_or(first, |parent| inside.get(parent).copied().unwrap_or(false));
                let within = in_picked(&picked) || parent_inside;
                if let Some(place) = inside.get_mut(at) {
                    *place = within;
                }
                let reached = if step.anywhere { within } else { in_picked(&picked) };
                if !reached || node.kind != step.kind || step.name.as_ref().is_some_and(|name| name != self.name(node))
                {
                    continue;
                }
                let siblings = positions.get_mut(node.parent.map_or(0, |parent| parent + 1));
                let position = siblings.map_or(0, |count| {
                    *count += 1;
                    *count
                });
                if step.position.is_none_or(|wanted| wanted == position)
                    && let Some(place) = next.get_mut(at)
                {
                    *place = true;
                }
            }
            picked = next;
        }
        let mut left = MAX_PICKED;
        for (node, _) in self.nodes.iter().zip(&picked).filter(|(_, picked)| **picked) {
            let value = self.value(node);
            found(value);
            let Some(rest) = left.checked_sub(value.len()) else {
                break;
            };
            left = rest;
        }
    }

    /// Gives the dotted path and text of each element that has no element in it.
    pub fn leaves(&self, found: &mut dyn FnMut(&[u8], &[u8])) {
        let mut has_elements = vec![false; self.nodes.len()];
        for node in &self.nodes {
            if node.kind == Kind::Element
                && let Some(place) = node.parent.and_then(|parent| has_elements.get_mut(parent))
            {
                *place = true;
            }
        }
        for (node, has_elements) in self.nodes.iter().zip(&has_elements) {
            if node.kind != Kind::Element || *has_elements {
                continue;
            }
            let mut names = vec![self.name(node)];
            let mut parent = node.parent;
            while let Some(above) = parent.and_then(|parent| self.nodes.get(parent)) {
                names.push(self.name(above));
                parent = above.parent;
            }
            names.push(b"xml");
            names.reverse();
            let mut name = names.join(&b'.');
            name.truncate(MAX_NAME);
            found(&name, self.value(node));
        }
    }

    fn name(&self, node: &Node) -> &[u8] {
        self.names.get(node.name.0..node.name.1).unwrap_or_default()
    }

    fn value(&self, node: &Node) -> &[u8] {
        let from = if node.kind == Kind::Attribute {
            &self.names
        } else {
            &self.text
        };
        from.get(node.value.0..node.value.1).unwrap_or_default()
    }
}

struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    /// The elements that are open: their nodes.
    open: Vec<usize>,
    /// Entities that the document declares, with what they stand for.
    entities: Vec<(Vec<u8>, Vec<u8>)>,
    /// How much text entities added.
    added: usize,
    doctype: bool,
    document: &'a mut Document,
}

pub(super) const fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | 0x80..)
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<(), BodyError> {
        if let Some(rest) = self.input.strip_prefix(b"\xef\xbb\xbf") {
            self.input = rest;
        }
        let mut rooted = false;
        loop {
            if self.open.is_empty() {
                self.space();
                if self.at >= self.input.len() {
                    return if rooted { Ok(()) } else { Err(self.error("no element")) };
                }
            }
            if self.takes(b"<!--") {
                let comment = self.until(b"-->")?;
                if comment.windows(2).any(|pair| pair == b"--") {
                    return Err(self.error("two dashes in a comment"));
                }
            } else if self.takes(b"<?") {
                self.until(b"?>")?;
            } else if self.takes(b"<![CDATA[") && !self.open.is_empty() {
                let text = self.until(b"]]>")?;
                self.text(text);
            } else if self.takes(b"<!DOCTYPE") && !rooted && !self.doctype {
                self.doctype()?;
            } else if self.takes(b"</") {
                self.close()?;
            } else if self.peek() == Some(b'<') {
                if self.open.is_empty() && rooted {
                    return Err(self.error("a second root element"));
                }
                rooted = true;
                self.element()?;
            } else if self.open.is_empty() {
                return Err(self.error("text outside of the root element"));
            } else {
                self.characters()?;
            }
        }
    }

    fn element(&mut self) -> Result<(), BodyError> {
        self.at += 1;
        if self.open.len() >= MAX_DEPTH {
            return Err(self.error("nesting deeper than allowed"));
        }
        let name = self.name()?;
        let name = self.keep_name(name);
        let start = self.document.text.len();
        let node = self.push(Kind::Element, name, (start, start));
        self.open.push(node);
        let mut seen: Vec<&[u8]> = Vec::new();
        loop {
            let spaced = self.space();
            if self.takes(b"/>") {
                self.open.pop();
                return Ok(());
            }
            if self.takes(b">") {
                return Ok(());
            }
            if !spaced {
                return Err(self.error("a tag is not closed"));
            }
            let name = self.name()?;
            if seen.contains(&name) || seen.len() > 1000 {
                return Err(self.error("an attribute twice, or too many"));
            }
            seen.push(name);
            let name = self.keep_name(name);
            self.space();
            if !self.takes(b"=") {
                return Err(self.error("an attribute without a value"));
            }
            self.space();
            let quote = match self.peek() {
                Some(b'"') => &b"\""[..],
                Some(b'\'') => &b"'"[..],
                _ => return Err(self.error("a value without quotes")),
            };
            self.at += 1;
            let raw = self.until(quote)?;
            if raw.contains(&b'<') {
                return Err(self.error("< in a value"));
            }
            let mut value = Vec::new();
            self.expand(raw, &mut value)?;
            let value = self.keep_name(&value);
            self.push(Kind::Attribute, name, value);
        }
    }

    fn close(&mut self) -> Result<(), BodyError> {
        let name = self.name()?;
        self.space();
        if !self.takes(b">") {
            return Err(self.error("an end tag is not closed"));
        }
        let end = self.document.text.len();
        let opened = self
            .open
            .pop()
            .and_then(|node| self.document.nodes.get(node).copied().map(|opened| (node, opened)));
        match opened {
            Some((at, opened)) if self.document.name(&opened) == name => {
                if let Some(node) = self.document.nodes.get_mut(at) {
                    node.value.1 = end;
                }
                Ok(())
            }
            _ => Err(self.error("an end tag without its start")),
        }
    }

    fn characters(&mut self) -> Result<(), BodyError> {
        let rest = self.input.get(self.at..).unwrap_or_default();
        let Some(end) = rest.iter().position(|byte| *byte == b'<') else {
            return Err(self.error("premature end"));
        };
        let raw = rest.get(..end).unwrap_or_default();
        if raw.windows(3).any(|three| three == b"]]>") {
            return Err(self.error("]]> in text"));
        }
        let mut text = Vec::new();
        self.expand(raw, &mut text)?;
        self.at += end;
        self.text(&text);
        Ok(())
    }

    fn text(&mut self, text: &[u8]) {
        let start = self.document.text.len();
        self.document.text.extend_from_slice(text);
        let end = self.document.text.len();
        self.push(Kind::Text, (0, 0), (start, end));
    }

    /// Resolves references in text or in a value.
    fn expand(&mut self, raw: &[u8], into: &mut Vec<u8>) -> Result<(), BodyError> {
        if raw
            .iter()
            .any(|byte| *byte < 0x20 && !matches!(byte, b'\t' | b'\n' | b'\r'))
        {
            return Err(self.error("a control character"));
        }
        let mut rest = raw;
        while let Some(at) = rest.iter().position(|byte| *byte == b'&') {
            into.extend_from_slice(rest.get(..at).unwrap_or_default());
            let after = rest.get(at + 1..).unwrap_or_default();
            let Some(end) = after.iter().position(|byte| *byte == b';') else {
                return Err(self.error("a reference is not closed"));
            };
            self.reference(after.get(..end).unwrap_or_default(), into)?;
            rest = after.get(end + 1..).unwrap_or_default();
        }
        into.extend_from_slice(rest);
        Ok(())
    }

    fn reference(&mut self, name: &[u8], into: &mut Vec<u8>) -> Result<(), BodyError> {
        let plain = match name {
            b"amp" => b'&',
            b"apos" => b'\'',
            b"gt" => b'>',
            b"lt" => b'<',
            b"quot" => b'"',
            [b'#', number @ ..] => {
                let text = std::str::from_utf8(number).unwrap_or_default();
                let code = match text.strip_prefix('x') {
                    Some(hex) => u32::from_str_radix(hex, 16),
                    None => text.parse(),
                };
                let character = code
                    .ok()
                    .and_then(char::from_u32)
                    .filter(|character| *character != '\0');
                let character = character.ok_or_else(|| self.error("a reference to no character"))?;
                into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            name => {
                let declared = self.entities.iter().find(|(declared, _)| declared == name);
                let Some((_, value)) = declared else {
                    return Err(self.error("an unknown entity"));
                };
                self.added += value.len();
                if self.added > MAX_ENTITY_TEXT {
                    return Err(self.error("entities add too much text"));
                }
                into.extend_from_slice(value);
                return Ok(());
            }
        };
        into.push(plain);
        Ok(())
    }

    /// Reads a document type and keeps the entities that it declares. What would bring text into the document that nobody sees here
    /// (defaults of attributes, parameter entities, anything that is elsewhere) is an error: a document that is data has none of it.
    fn doctype(&mut self) -> Result<(), BodyError> {
        self.doctype = true;
        self.space();
        self.name()?;
        self.space();
        if self.takes(b"[") {
            while !self.takes(b"]") {
                self.declaration()?;
            }
            self.space();
        }
        if self.takes(b">") {
            return Ok(());
        }
        Err(self.error(match self.peek() {
            None => "premature end",
            Some(_) => "a document type that is elsewhere",
        }))
    }

    fn declaration(&mut self) -> Result<(), BodyError> {
        if self.space() {
            return Ok(());
        }
        if self.takes(b"<!--") {
            return self.until(b"-->").map(drop);
        }
        if self.takes(b"<?") {
            return self.until(b"?>").map(drop);
        }
        if self.takes(b"<!ENTITY") {
            return self.entity();
        }
        if self.takes(b"<!ELEMENT") {
            let model = self.until(b">")?;
            return self.plain(model, "a parameter entity");
        }
        if self.takes(b"<!ATTLIST") {
            let all = self.until(b">")?;
            return self.plain(all, "a default value of an attribute");
        }
        Err(self.error(match self.peek() {
            None => "premature end",
            Some(b'%') => "a parameter entity",
            Some(_) => "an odd declaration",
        }))
    }

    /// Refuses a declaration with quotes or references in it.
    fn plain(&self, declaration: &[u8], what: &'static str) -> Result<(), BodyError> {
        if declaration
            .iter()
            .any(|byte| matches!(byte, b'"' | b'\'' | b'%' | b'&' | b'<'))
        {
            return Err(self.error(what));
        }
        Ok(())
    }

    fn entity(&mut self) -> Result<(), BodyError> {
        self.space();
        if self.peek() == Some(b'%') {
            return Err(self.error("a parameter entity"));
        }
        let name = self.name()?.to_vec();
        self.space();
        let quote = match self.peek() {
            Some(quote @ (b'"' | b'\'')) => quote,
            None => return Err(self.error("premature end")),
            Some(_) => return Err(self.error("an entity that is elsewhere")),
        };
        self.at += 1;
        let raw = self.until(&[quote])?;
        if raw.contains(&b'%') {
            return Err(self.error("a parameter entity"));
        }
        // An entity may be put in twice, as text and as markup: what it stands for in the end is what is looked at.
        let value = self.entity_value(raw)?;
        self.space();
        if !self.takes(b">") {
            return Err(self.error("a declaration is not closed"));
        }
        if self.entities.len() >= MAX_ENTITIES {
            return Err(self.error("too many entities"));
        }
        self.entities.push((name, value));
        Ok(())
    }

    /// What an entity stands for. Its character references are read when it is declared, and what that makes is read again where it
    /// is put in: `&#38;#60;` is `<` in the end.
    fn entity_value(&mut self, raw: &[u8]) -> Result<Vec<u8>, BodyError> {
        let mut replacement = Vec::new();
        let mut rest = raw;
        while let Some(at) = memchr::memchr(b'&', rest) {
            let (before, after) = rest.split_at(at);
            replacement.extend_from_slice(before);
            let name = self.referred(after)?;
            rest = after.get(name.len() + 2..).unwrap_or_default();
            if name.starts_with(b"#") {
                self.reference(name, &mut replacement)?;
            } else {
                replacement.extend_from_slice(&[b"&", name, b";"].concat());
            }
        }
        replacement.extend_from_slice(rest);
        for at in memchr::memchr_iter(b'&', &replacement) {
            let name = self.referred(replacement.get(at..).unwrap_or_default())?;
            if !name.starts_with(b"#") && !PREDEFINED.contains(&name) {
                return Err(self.error("an entity within an entity"));
            }
        }
        let mut value = Vec::new();
        self.expand(&replacement, &mut value)?;
        Ok(value)
    }

    /// The name in a reference that begins here.
    fn referred<'t>(&self, text: &'t [u8]) -> Result<&'t [u8], BodyError> {
        let end = memchr::memchr(b';', text).ok_or_else(|| self.error("a reference is not closed"))?;
        Ok(text.get(1..end).unwrap_or_default())
    }

    fn name(&mut self) -> Result<&'a [u8], BodyError> {
        let input: &'a [u8] = self.input;
        let rest = input.get(self.at..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| !is_name(*byte) && *byte != b':')
            .unwrap_or(rest.len());
        let name = rest.get(..end).unwrap_or_default();
        match name.first() {
            None | Some(b'0'..=b'9' | b'-' | b'.') => Err(self.error("a name is missing")),
            Some(_) => {
                self.at += end;
                Ok(name)
            }
        }
    }

    fn keep_name(&mut self, name: &[u8]) -> (usize, usize) {
        let start = self.document.names.len();
        self.document.names.extend_from_slice(name);
        (start, self.document.names.len())
    }

    fn push(&mut self, kind: Kind, name: (usize, usize), value: (usize, usize)) -> usize {
        let parent = self.open.last().copied();
        self.document.nodes.push(Node {
            kind,
            parent,
            name,
            value,
        });
        self.document.nodes.len() - 1
    }

    fn takes(&mut self, wanted: &[u8]) -> bool {
        let taken = self.input.get(self.at..).is_some_and(|rest| rest.starts_with(wanted));
        if taken {
            self.at += wanted.len();
        }
        taken
    }

    /// What is before `end`, which is passed over.
    fn until(&mut self, end: &[u8]) -> Result<&'a [u8], BodyError> {
        let input: &'a [u8] = self.input;
        let rest = input.get(self.at..).unwrap_or_default();
        match memchr::memmem::find(rest, end) {
            Some(at) => {
                self.at += at + end.len();
                Ok(rest.get(..at).unwrap_or_default())
            }
            None => Err(self.error("premature end")),
        }
    }

    fn space(&mut self) -> bool {
        let start = self.at;
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.at > start
    }

    fn peek(&self) -> Option<u8> {
        self.input.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> BodyError {
        BodyError::Xml { what, at: self.at }
    }
}

#[cfg(test)]
mod tests;
