//! JSON bodies into arguments: each leaf under a name made of the keys on its way, as ModSecurity v3 names them (`json.a.b`,
//! `json.list.array_0`). RFC 8259; strings must be valid UTF-8.

use super::BodyError;

/// Reads a body. `found` is given each leaf's name and value.
///
/// # Errors
///
/// Where the text is not JSON, or nested deeper than `depth`.
pub fn leaves(text: &[u8], depth: usize, found: &mut dyn FnMut(&[u8], &[u8])) -> Result<(), BodyError> {
    let mut reader = Reader {
        text,
        at: 0,
        depth,
        path: b"json".to_vec(),
        room: Vec::new(),
        found,
    };
    reader.value()?;
    reader.space();
    if reader.at < text.len() {
        Err(reader.error("trailing garbage"))
    } else {
        Ok(())
    }
}

/// The longest name of a leaf, in bytes: without it a long key with many leaves below would be kept once for each of them.
const MAX_NAME: usize = 8192;

struct Reader<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
    path: Vec<u8>,
    room: Vec<u8>,
    found: &'a mut dyn FnMut(&[u8], &[u8]),
}

/// An array or object that is open.
struct Open {
    /// How long the path was before it.
    path: usize,
    /// For an array how many elements were read.
    elements: Option<usize>,
}

impl Reader<'_> {
    /// Reads one value with all that is in it. A list of open containers instead of recursion: depth costs memory, not stack.
    fn value(&mut self) -> Result<(), BodyError> {
        let mut open: Vec<Open> = Vec::new();
        let top = self.path.len();
        loop {
            self.space();
            // A value begins here.
            match self.peek() {
                Some(bracket @ (b'{' | b'[')) => {
                    if open.len() >= self.depth {
                        return Err(self.error("nesting deeper than allowed"));
                    }
                    self.at += 1;
                    open.push(Open {
                        path: self.path.len(),
                        elements: (bracket == b'[').then_some(0),
                    });
                    self.space();
                    let close = if bracket == b'{' { b'}' } else { b']' };
                    if self.peek() != Some(close) {
                        self.member(&mut open)?;
                        continue;
                    }
                }
                _ => self.leaf()?,
            }
            // A value ended here: commas go on, brackets close.
            loop {
                let Some(container) = open.last() else {
                    self.path.truncate(top);
                    return Ok(());
                };
                self.path.truncate(container.path);
                self.space();
                let close = if container.elements.is_some() { b']' } else { b'}' };
                match self.peek() {
                    Some(b',') => {
                        self.at += 1;
                        self.space();
                        self.member(&mut open)?;
                        break;
                    }
                    Some(byte) if byte == close => {
                        self.at += 1;
                        open.pop();
                    }
                    _ => return Err(self.error("a comma or a closing bracket is missing")),
                }
            }
        }
    }

    /// Puts the name of the next member of the innermost container on the path.
    fn member(&mut self, open: &mut [Open]) -> Result<(), BodyError> {
        let Some(container) = open.last_mut() else {
            return Ok(());
        };
        if let Some(elements) = &mut container.elements {
            self.path.extend_from_slice(b".array_");
            self.path.extend_from_slice(elements.to_string().as_bytes());
            *elements += 1;
            return Ok(());
        }
        if self.peek() != Some(b'"') {
            return Err(self.error("an object key must be a string"));
        }
        let mut key = std::mem::take(&mut self.room);
        let read = self.string(&mut key);
        self.path.push(b'.');
        if key.is_empty() {
            self.path.extend_from_slice(b"empty-key");
        }
        self.path.extend_from_slice(&key);
        self.room = key;
        read?;
        if self.path.len() > MAX_NAME {
            return Err(self.error("a name longer than allowed"));
        }
        self.space();
        if self.peek() != Some(b':') {
            return Err(self.error("a colon is missing"));
        }
        self.at += 1;
        Ok(())
    }

    fn leaf(&mut self) -> Result<(), BodyError> {
        match self.peek() {
            Some(b'"') => {
                let mut value = std::mem::take(&mut self.room);
                let read = self.string(&mut value);
                if read.is_ok() {
                    (self.found)(&self.path, &value);
                }
                self.room = value;
                read
            }
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.word(b"true", b"true"),
            Some(b'f') => self.word(b"false", b"false"),
            Some(b'n') => self.word(b"null", b""),
            None => Err(self.error("premature end")),
            Some(_) => Err(self.error("invalid character")),
        }
    }

    fn word(&mut self, word: &[u8], value: &[u8]) -> Result<(), BodyError> {
        if self.text.get(self.at..).is_some_and(|rest| rest.starts_with(word)) {
            self.at += word.len();
            (self.found)(&self.path, value);
            return Ok(());
        }
        Err(self.error("invalid word"))
    }

    fn number(&mut self) -> Result<(), BodyError> {
        let start = self.at;
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.digits() {
            0 => return Err(self.error("a digit is missing")),
            1 => {}
            // No number begins with 0 but 0 itself and fractions.
            _ if self.text.get(self.at - self.digits_since(start)) == Some(&b'0') => {
                return Err(self.error("a number begins with 0"));
            }
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(self.error("a digit is missing"));
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(self.error("a digit is missing"));
            }
        }
        (self.found)(&self.path, self.text.get(start..self.at).unwrap_or_default());
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let start = self.at;
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        self.at - start
    }

    /// How many digits of the number that began at `start` were read.
    fn digits_since(&self, start: usize) -> usize {
        let sign = usize::from(self.text.get(start) == Some(&b'-'));
        self.at - start - sign
    }

    /// Reads a string into `into`.
    fn string(&mut self, into: &mut Vec<u8>) -> Result<(), BodyError> {
        into.clear();
        let start = self.at;
        self.at += 1;
        loop {
            let rest = self.text.get(self.at..).unwrap_or_default();
            let plain = rest
                .iter()
                .position(|byte| matches!(byte, b'"' | b'\\' | 0..0x20))
                .unwrap_or(rest.len());
            into.extend_from_slice(rest.get(..plain).unwrap_or_default());
            self.at += plain;
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape(into)?,
                Some(_) => return Err(self.error("a control character in a string")),
                None => return Err(self.error("premature end")),
            }
        }
        self.at += 1;
        let raw = self.text.get(start..self.at).unwrap_or_default();
        if std::str::from_utf8(raw).is_err() {
            return Err(self.error("a string is not UTF-8"));
        }
        Ok(())
    }

    fn escape(&mut self, into: &mut Vec<u8>) -> Result<(), BodyError> {
        let escaped = self.text.get(self.at + 1).copied();
        self.at += 2;
        let byte = match escaped {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let mut code = self.hex()?;
                if (0xd800..0xdc00).contains(&code) && self.text.get(self.at..self.at + 2) == Some(b"\\u") {
                    self.at += 2;
                    let low = self.hex()?;
                    if (0xdc00..0xe000).contains(&low) {
                        code = 0x1_0000 + ((code - 0xd800) << 10) + (low - 0xdc00);
                    }
                }
                // Half a pair stands for nothing; yajl writes a question mark.
                let character = char::from_u32(code).unwrap_or('?');
                into.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.error("an unknown escape")),
        };
        into.push(byte);
        Ok(())
    }

    fn hex(&mut self) -> Result<u32, BodyError> {
        let digits = self.text.get(self.at..self.at + 4);
        let digits = digits.filter(|digits| digits.iter().all(u8::is_ascii_hexdigit));
        let code = digits
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u32::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.error("four hexadecimal digits are missing"))?;
        self.at += 4;
        Ok(code)
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> BodyError {
        BodyError::Json { what, at: self.at }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<(String, String)>, BodyError> {
        let mut all = Vec::new();
        let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        leaves(text.as_bytes(), 8, &mut |name, value| {
            all.push((text_of(name), text_of(value)));
        })?;
        Ok(all)
    }

    #[test]
    fn leaves_are_named_by_the_keys_on_their_way() {
        let all = read(r#" {"a":{"b":"x\u00e9\ud83d\ude00\n"},"l":[1,{"c":null},[true]],"":-0.5e+1, "e":[], "o":{}} "#)
            .unwrap();
        let expected = [
            ("json.a.b", "xé😀\n"),
            ("json.l.array_0", "1"),
            ("json.l.array_1.c", ""),
            ("json.l.array_2.array_0", "true"),
            ("json.empty-key", "-0.5e+1"),
        ];
        assert_eq!(all, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        assert_eq!(read("7").unwrap(), [("json".to_owned(), "7".to_owned())]);
        assert_eq!(read("[0]").unwrap(), [("json.array_0".to_owned(), "0".to_owned())]);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in [
            "",
            "{",
            "[1,]",
            "{\"a\"}",
            "{a:1}",
            "01",
            "-",
            "1.",
            "1e",
            "nul",
            "\"\u{1}\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "1 2",
            "[[[[[[[[[1]]]]]]]]]",
            "\"a",
            "{\"a\":1,}",
            "[1 2]",
            "{\"a\":1]",
            "-01",
            &format!("{{\"{}\":1}}", "a".repeat(MAX_NAME)),
        ] {
            assert!(read(text).is_err(), "{text}");
        }
        assert!(leaves(b"\"\xff\"", 8, &mut |_, _| {}).is_err());
    }
}
