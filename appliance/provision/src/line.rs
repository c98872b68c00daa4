//! From the bytes of a terminal to lines, and to a pasted document.

use redan_types::SecretString;
use zeroize::{Zeroize, Zeroizing};

/// The longest line that is typed.
const LONGEST: usize = 256;
/// Echo that the terminal has not taken is bounded by leaving it out.
const ECHO: usize = 32 << 10;

/// A full stop and what follows on it.
const TERMINATOR: usize = 2;

const INTERRUPT: u8 = 0x03;
const END: u8 = 0x04;
const BACKSPACE: u8 = 0x08;
const REDRAW: u8 = 0x0c;
const KILL: u8 = 0x15;
const ESCAPE: u8 = 0x1b;
const DELETE: u8 = 0x7f;
const BELL: u8 = 0x07;

/// What was typed.
#[derive(Debug)]
pub enum Typed {
    /// A line.
    Line(SecretString),
    /// Ctrl-C.
    Cancel,
    /// Ctrl-L.
    Redraw,
}

/// Whether what is typed is shown.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Echo {
    /// As it is.
    Visible,
    /// As stars.
    Hidden,
}

/// Reads lines.
#[derive(Debug)]
pub struct LineReader {
    line: Zeroizing<String>,
    echo: Echo,
    escape: Escape,
    after_return: bool,
}

/// Where in a terminal's escape sequence (a cursor key, for instance) the input is; such sequences mean nothing here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Escape {
    Outside,
    Begun,
    Control,
    Single,
}

impl Default for LineReader {
    fn default() -> Self {
        Self {
            line: Zeroizing::new(String::with_capacity(LONGEST)),
            echo: Echo::Visible,
            escape: Escape::Outside,
            after_return: false,
        }
    }
}

impl LineReader {
    /// Begins a new line.
    pub fn begin(&mut self, echo: Echo) {
        self.line.zeroize();
        self.echo = echo;
    }

    /// Takes a byte; what it echoes is added to `out`.
    pub fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Typed> {
        let after_return = std::mem::take(&mut self.after_return);
        if self.escape.swallows(byte) {
            return None;
        }
        match byte {
            b'\n' if after_return => {}
            b'\r' | b'\n' => {
                self.after_return = byte == b'\r';
                out.extend(b"\r\n");
                let line = std::mem::replace(&mut *self.line, String::with_capacity(LONGEST));
                return Some(Typed::Line(SecretString::new(line)));
            }
            INTERRUPT => {
                self.line.zeroize();
                return Some(Typed::Cancel);
            }
            REDRAW => return Some(Typed::Redraw),
            BACKSPACE | DELETE if self.line.pop().is_some() => out.extend(b"\x08 \x08"),
            KILL => {
                for _ in 0..self.line.len() {
                    out.extend(b"\x08 \x08");
                }
                self.line.zeroize();
            }
            b' '..=b'~' if self.line.len() < LONGEST => {
                self.line.push(char::from(byte));
                out.push(if self.echo == Echo::Visible { byte } else { b'*' });
            }
            b' '..=b'~' => out.push(BELL),
            _ => {}
        }
        None
    }
}

impl Escape {
    /// Whether the byte belongs to a sequence.
    fn swallows(&mut self, byte: u8) -> bool {
        let (next, swallowed) = match (*self, byte) {
            (_, ESCAPE) => (Self::Begun, true),
            (Self::Begun, b'[') | (Self::Control, 0x20..=0x3f) => (Self::Control, true),
            (Self::Begun, b'O') => (Self::Single, true),
            // A sequence of a terminal has no control characters within: this one was cut off.
            (Self::Outside, _) | (_, 0..=0x1f) => (Self::Outside, false),
            (Self::Begun | Self::Single | Self::Control, _) => (Self::Outside, true),
        };
        *self = next;
        swallowed
    }
}

/// How a paste ended.
#[derive(Debug, Eq, PartialEq)]
pub enum Pasted {
    /// With a line that holds nothing but a full stop, or Ctrl-D.
    Document(String),
    /// With Ctrl-C.
    Cancelled,
    /// It was no document, and why.
    Refused(String),
}

/// Reads a document of many lines.
#[derive(Debug)]
pub struct Paste {
    bytes: Vec<u8>,
    /// Where the line that is being read begins.
    line: usize,
    limit: usize,
    too_long: bool,
    escape: Escape,
    after_return: bool,
}

impl Paste {
    /// A document of at most so many bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::new(),
            line: 0,
            limit,
            too_long: false,
            escape: Escape::Outside,
            after_return: false,
        }
    }

    /// Takes a byte.
    pub fn take(&mut self, byte: u8, out: &mut Vec<u8>) -> Option<Pasted> {
        let after_return = std::mem::take(&mut self.after_return);
        // Cursor keys, and what some terminals put around a paste.
        if self.escape.swallows(byte) {
            return None;
        }
        match byte {
            INTERRUPT => return Some(Pasted::Cancelled),
            END => return Some(self.finish()),
            b'\n' if after_return => {}
            b'\r' | b'\n' => {
                self.after_return = byte == b'\r';
                echo(out, b"\r\n");
                if self.bytes.get(self.line..) == Some(b".") {
                    self.bytes.truncate(self.line);
                    return Some(self.finish());
                }
                // Beyond the limit only the line that is being read is kept, so that the terminator is still seen.
                if self.too_long || self.bytes.len() >= self.limit {
                    self.too_long = true;
                    self.bytes.clear();
                } else {
                    self.bytes.push(b'\n');
                }
                self.line = self.bytes.len();
            }
            BACKSPACE | DELETE => {
                if self.bytes.len() > self.line {
                    self.bytes.pop();
                    echo(out, b"\x08 \x08");
                }
            }
            // Signs that no document has.
            0..=0x08 | 0x0b..=0x1f => {}
            _ => {
                self.keep(byte);
                echo(
                    out,
                    if (b' '..=b'~').contains(&byte) {
                        std::slice::from_ref(&byte)
                    } else {
                        b"?"
                    },
                );
            }
        }
        None
    }

    fn keep(&mut self, byte: u8) {
        // The terminator does not count.
        if self.bytes.len() < self.limit + TERMINATOR {
            self.bytes.push(byte);
        } else {
            self.too_long = true;
        }
    }

    fn finish(&mut self) -> Pasted {
        if self.too_long || self.bytes.len() > self.limit {
            return Pasted::Refused(format!("it is longer than {} bytes", self.limit));
        }
        match String::from_utf8(std::mem::take(&mut self.bytes)) {
            Ok(text) => Pasted::Document(text),
            Err(error) => {
                let at = error.utf8_error().valid_up_to();
                let line = error.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count() + 1;
                Pasted::Refused(format!("line {line} is not UTF-8 text"))
            }
        }
    }
}

fn echo(out: &mut Vec<u8>, bytes: &[u8]) {
    if out.len() < ECHO {
        out.extend(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::{Echo, LineReader, Paste, Pasted, Typed};
    use proptest::prelude::{ProptestConfig, any, prop};
    use proptest::{prop_assert, proptest};

    fn lines(bytes: &[u8], echo: Echo) -> (Vec<String>, Vec<u8>) {
        let (mut reader, mut out) = (LineReader::default(), Vec::new());
        reader.begin(echo);
        let mut lines = Vec::new();
        for byte in bytes {
            match reader.take(*byte, &mut out) {
                Some(Typed::Line(line)) => lines.push(line.expose().to_owned()),
                Some(Typed::Cancel) => lines.push("^C".to_owned()),
                Some(Typed::Redraw) => lines.push("^L".to_owned()),
                None => {}
            }
        }
        (lines, out)
    }

    fn paste(bytes: &[u8], limit: usize) -> Option<Pasted> {
        let (mut paste, mut out) = (Paste::new(limit), Vec::new());
        bytes.iter().find_map(|byte| paste.take(*byte, &mut out))
    }

    #[test]
    fn lines_end_with_a_return_a_line_feed_or_both() {
        assert_eq!(lines(b"a\rb\nc\r\n\n", Echo::Visible).0, ["a", "b", "c", ""]);
    }

    #[test]
    fn mistakes_can_be_corrected_and_cursor_keys_mean_nothing() {
        assert_eq!(
            lines(b"hx\x7fe\x1b[A\x1bOB\x1b[1;5Cy\x15ok\r\x03", Echo::Visible).0,
            ["ok", "^C"]
        );
    }

    #[test]
    fn what_is_hidden_is_shown_as_stars() {
        assert_eq!(lines(b"1234\r", Echo::Hidden).1, b"****\r\n");
    }

    #[test]
    fn a_pasted_document_ends_with_a_full_stop_on_its_own_line() {
        let document = Some(Pasted::Document("a = 1\n\nb = \".\"\n".to_owned()));
        assert_eq!(paste(b"a = 1\r\n\r\nb = \".\"\r\n.\r\n", 100), document);
        assert_eq!(paste(b"a = 1\n\nb = \".\"\n\x04", 100), document);
        assert_eq!(paste(b"a = 1\n\x03", 100), Some(Pasted::Cancelled));
    }

    #[test]
    fn a_document_may_be_as_long_as_the_limit_and_no_longer() {
        for length in 1..=12 {
            let document = "x".repeat(length - 1) + "\n";
            let found = paste(format!("{document}.\r").as_bytes(), 10);
            if length <= 10 {
                assert_eq!(found, Some(Pasted::Document(document)));
            } else {
                assert_eq!(found, Some(Pasted::Refused("it is longer than 10 bytes".to_owned())));
            }
        }
    }

    #[test]
    fn what_a_terminal_puts_around_a_paste_is_no_part_of_it() {
        assert_eq!(
            paste(b"\x1b[200~a = 1\n\x1b[201~.\n", 100),
            Some(Pasted::Document("a = 1\n".to_owned()))
        );
    }

    #[test]
    fn a_paste_that_is_too_long_is_read_to_its_end_and_refused() {
        let long = [b"x = 1\n".repeat(100), b".\n".to_vec()].concat();
        assert_eq!(
            paste(&long, 100),
            Some(Pasted::Refused("it is longer than 100 bytes".to_owned()))
        );
        assert_eq!(
            paste(b"a\n\xff\n.\n", 100),
            Some(Pasted::Refused("line 2 is not UTF-8 text".to_owned()))
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))]

        #[test]
        fn bytes_of_any_kind_are_read_within_bounds(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let (found, out) = lines(&bytes, Echo::Visible);
            prop_assert!(found.iter().all(|line| line.len() <= 256));
            prop_assert!(out.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | 0x07 | 0x08)));
            let (mut paste, mut echoed) = (Paste::new(100), Vec::new());
            for byte in &bytes {
                let _ = paste.take(*byte, &mut echoed);
            }
            prop_assert!(paste.bytes.len() <= 102);
            prop_assert!(echoed.iter().all(|byte| matches!(byte, b' '..=b'~' | b'\r' | b'\n' | 0x08)));
        }
    }
}
