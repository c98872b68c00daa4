//! From bytes to the tokens of a head.
//!
//! Three steps, cheapest first. [`head_end`] walks the lines of what has arrived and refuses what is wrong with their ends and
//! lengths; it can be repeated at every arrival, since it costs less than the read that brought the bytes. Then `httparse` tokenises
//! the whole head, and [`Walker`] follows its tokens from byte to byte: a byte that they do not account for is a refusal.

use crate::field::Entry;
use crate::{Fields, Limits, Refusal, token};
use memchr::memchr2;
use smallvec::SmallVec;
use std::mem::MaybeUninit;

/// Room for the tokeniser's fields, on the stack and not initialised.
pub(crate) struct Slots<'a>(pub(crate) [MaybeUninit<httparse::Header<'a>>; Limits::FIELDS]);

impl Slots<'_> {
    pub(crate) const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; Limits::FIELDS])
    }
}

/// What kind of head, for what its first line may be.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Start {
    Request,
    Response,
    /// Fields only, or none at all: what stands after the last chunk.
    Trailers,
}

/// The length of the head at the front of `buf`, its empty line included; none when it has not ended yet.
///
/// The verdict does not depend on how the bytes arrived in pieces: of several mistakes the first is reported, and it is the same one
/// for every longer input.
pub(crate) fn head_end(buf: &[u8], start: Start, limits: &Limits) -> Result<Option<usize>, Refusal> {
    let window = buf.get(..limits.head).unwrap_or(buf);
    let first_limit = match start {
        // The method and the version stand beside the target.
        Start::Request => (limits.target.saturating_add(32), Refusal::TargetTooLong),
        Start::Response | Start::Trailers => (limits.line, Refusal::LineTooLong),
    };
    let mut at = 0_usize;
    // The start line is counted, whether there is one or not.
    let mut lines = usize::from(start == Start::Trailers);
    loop {
        let rest = window.get(at..).unwrap_or_default();
        let (longest, too_long) = if lines == 0 {
            first_limit
        } else {
            (limits.line, Refusal::LineTooLong)
        };
        match rest.first() {
            Some(b' ' | b'\t') if lines > 0 => return Err(Refusal::ObsFold),
            Some(byte) if lines == 0 && !token::is_tchar(*byte) && !matches!(*byte, b'\r' | b'\n') => {
                return Err(match start {
                    Start::Request => Refusal::RequestLine,
                    Start::Response | Start::Trailers => Refusal::StatusLine,
                });
            }
            _ => {}
        }
        let end = memchr2(b'\r', b'\n', rest);
        if end.unwrap_or(rest.len()) > longest {
            return Err(too_long);
        }
        let Some(end) = end else { break };
        if rest.get(end) == Some(&b'\n') {
            return Err(Refusal::BareLineFeed);
        }
        let next = end.saturating_add(1);
        match rest.get(next) {
            None => break,
            Some(b'\n') => {}
            Some(_) => return Err(Refusal::BareCarriageReturn),
        }
        at = at.saturating_add(next).saturating_add(1);
        if end == 0 {
            return if lines == 0 {
                Err(Refusal::LeadingEmptyLine)
            } else {
                Ok(Some(at))
            };
        }
        if lines > limits.fields {
            return Err(Refusal::TooManyFields);
        }
        lines = lines.saturating_add(1);
    }
    if window.len() == limits.head {
        Err(Refusal::HeadTooLong)
    } else {
        Ok(None)
    }
}

/// Follows the tokeniser's result through the bytes, so that both agree on every one of them.
pub(crate) struct Walker<'a> {
    bytes: &'a [u8],
    base: usize,
    at: usize,
}

impl<'a> Walker<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            base: bytes.as_ptr().addr(),
            at: 0,
        }
    }

    /// Where `part` begins within the bytes.
    pub(crate) fn offset(&self, part: &[u8]) -> usize {
        part.as_ptr().addr().wrapping_sub(self.base)
    }

    /// Goes past `text`, which must stand here.
    pub(crate) fn expect(&mut self, text: &[u8]) -> Result<(), Refusal> {
        let end = self.at.saturating_add(text.len());
        if self.bytes.get(self.at..end) != Some(text) {
            return Err(Refusal::Ambiguous);
        }
        self.at = end;
        Ok(())
    }

    /// Goes past `part`, which must be the very bytes that stand here, and gives their range.
    pub(crate) fn take(&mut self, part: &[u8]) -> Result<std::ops::Range<usize>, Refusal> {
        let start = self.at;
        let end = start.saturating_add(part.len());
        if self.offset(part) != start || end > self.bytes.len() {
            return Err(Refusal::Ambiguous);
        }
        self.at = end;
        Ok(start..end)
    }

    /// Goes past the rest of the line and gives it without its CRLF.
    pub(crate) fn take_line(&mut self) -> Result<&'a [u8], Refusal> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let end = memchr2(b'\r', b'\n', rest).ok_or(Refusal::Ambiguous)?;
        self.at = self.at.saturating_add(end);
        self.expect(b"\r\n")?;
        Ok(rest.get(..end).unwrap_or_default())
    }

    /// Goes past the field lines and the empty line after them, which must be the last of the bytes.
    pub(crate) fn fields(
        mut self,
        headers: &[httparse::Header<'_>],
    ) -> Result<SmallVec<[Entry; Fields::INLINE]>, Refusal> {
        let mut entries = SmallVec::with_capacity(headers.len());
        for header in headers {
            let name = self.take(header.name.as_bytes())?;
            if !token::is_token(header.name.as_bytes()) {
                return Err(Refusal::FieldNameCharacter);
            }
            self.expect(b":")?;
            self.skip_blanks();
            // The tokeniser gives an empty value a place of its own choice.
            let value = if header.value.is_empty() {
                self.at..self.at
            } else {
                self.take(header.value)?
            };
            if !token::is_value(header.value) {
                return Err(Refusal::FieldValueCharacter);
            }
            self.skip_blanks();
            self.expect(b"\r\n")?;
            entries.push(Entry::new(header.name.as_bytes(), &name, &value).ok_or(Refusal::HeadTooLong)?);
        }
        self.expect(b"\r\n")?;
        if self.at == self.bytes.len() {
            Ok(entries)
        } else {
            Err(Refusal::Ambiguous)
        }
    }

    fn skip_blanks(&mut self) {
        while self.bytes.get(self.at).is_some_and(|b| token::is_blank(*b)) {
            self.at = self.at.saturating_add(1);
        }
    }
}

/// Says which rule a section of field lines breaks that the tokeniser refused.
pub(crate) fn explain(section: &[u8]) -> Refusal {
    for line in section.split(|b| *b == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            break;
        }
        if let Err(refusal) = explain_line(line) {
            return refusal;
        }
    }
    Refusal::Ambiguous
}

fn explain_line(line: &[u8]) -> Result<(), Refusal> {
    if line.first().is_some_and(|b| token::is_blank(*b)) {
        return Err(Refusal::ObsFold);
    }
    let colon = line.iter().position(|b| *b == b':').ok_or(Refusal::FieldWithoutColon)?;
    let (name, value) = line.split_at_checked(colon).unwrap_or_default();
    match name {
        [] => Err(Refusal::FieldNameEmpty),
        [.., last] if token::is_blank(*last) => Err(Refusal::SpaceBeforeColon),
        _ if !token::is_token(name) => Err(Refusal::FieldNameCharacter),
        _ if !token::is_value(value) => Err(Refusal::FieldValueCharacter),
        _ => Ok(()),
    }
}
