//! `multipart/form-data` (RFC 7578), read as strictly as ModSecurity does: what a lenient server might read in another way is flagged.

use super::BodyError;

/// A part of a body.
#[derive(Clone, Debug, Default)]
pub struct Part<'a> {
    /// `name` of its disposition.
    pub name: Vec<u8>,
    /// `filename` of its disposition: it is an upload. With an empty one it is a field to some servers and nothing to others.
    pub filename: Option<Vec<u8>>,
    /// Its header lines, folded ones joined.
    pub headers: Vec<Vec<u8>>,
    /// Its content.
    pub content: &'a [u8],
}

/// What is unusual about a body; `MULTIPART_…` variables of the same names.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
#[expect(missing_docs, reason = "the reference manual describes the variables of these names")]
pub struct Flags {
    pub boundary_quoted: bool,
    pub boundary_whitespace: bool,
    pub crlf_line: bool,
    pub data_after: bool,
    pub data_before: bool,
    pub file_limit_exceeded: bool,
    pub header_folding: bool,
    pub invalid_header_folding: bool,
    pub invalid_part: bool,
    pub invalid_quoting: bool,
    pub lf_line: bool,
    pub missing_semicolon: bool,
    pub unmatched_boundary: bool,
}

impl Flags {
    /// Whether any flag is set that `MULTIPART_STRICT_ERROR` stands for.
    #[must_use]
    pub fn is_strict_error(&self) -> bool {
        self.boundary_quoted
            || self.boundary_whitespace
            || self.data_after
            || self.data_before
            || self.file_limit_exceeded
            || self.header_folding
            || self.invalid_header_folding
            || self.invalid_part
            || self.invalid_quoting
            || self.lf_line
            || self.missing_semicolon
    }
}

/// The longest header line of a part, in bytes.
const MAX_HEADER_LINE: usize = 4096;

/// How many header lines a part may have.
const MAX_HEADERS: usize = 128;

/// What was read of a body, even if it ended in an error.
#[derive(Clone, Debug, Default)]
pub struct Body<'a> {
    /// The parts, in order.
    pub parts: Vec<Part<'a>>,
    /// What is unusual.
    pub flags: Flags,
    /// Why reading ended early.
    pub error: Option<BodyError>,
}

/// Reads a body. `content_type` is the header's value, `file_limit` how many uploads are read.
#[must_use]
pub fn read<'a>(content_type: &[u8], body: &'a [u8], file_limit: usize) -> Body<'a> {
    let mut reader = Reader {
        body: Body::default(),
        file_limit,
        files: 0,
    };
    if let Err(what) = reader.read(content_type, body) {
        reader.body.error = Some(BodyError::Multipart(what));
    }
    reader.body
}

struct Reader<'a> {
    body: Body<'a>,
    file_limit: usize,
    files: usize,
}

/// Where reading is inside a part.
enum State<'a> {
    Before,
    Headers(Part<'a>),
    Content(Part<'a>, usize),
    After,
}

impl<'a> Reader<'a> {
    fn read(&mut self, content_type: &[u8], body: &'a [u8]) -> Result<(), &'static str> {
        let boundary = self.boundary(content_type)?;
        let mut state = State::Before;
        let mut at = 0;
        while at < body.len() {
            let rest = body.get(at..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |end| end + 1);
            let line = rest.get(..end).unwrap_or_default();
            if line.starts_with(b"--")
                && let Some(last) = self.is_boundary(line, &boundary)?
            {
                if matches!(state, State::After) {
                    return Err("Invalid boundary (after the final one)");
                }
                self.end_part(state, body, at)?;
                state = if last {
                    State::After
                } else {
                    State::Headers(Part::default())
                };
                at += end;
                continue;
            }
            match &mut state {
                State::Before => self.body.flags.data_before = true,
                State::After => self.body.flags.data_after = true,
                State::Headers(part) => {
                    if self.header_line(part, line)? {
                        state = State::Content(std::mem::take(part), at + end);
                    }
                }
                State::Content(..) => {}
            }
            at += end;
        }
        match state {
            State::After => Ok(()),
            State::Before => Err("Final boundary missing (no parts)"),
            State::Headers(_) => Err("Final boundary missing (in part headers)"),
            State::Content(part, start) => {
                self.finish(part, body.get(start..).unwrap_or_default())?;
                Err("Final boundary missing")
            }
        }
    }

    /// The boundary that a content type names.
    fn boundary(&mut self, content_type: &[u8]) -> Result<Vec<u8>, &'static str> {
        let lowered = content_type.to_ascii_lowercase();
        let flags = &mut self.body.flags;
        let mut found = memchr::memmem::find_iter(&lowered, b"boundary").filter(|at| is_parameter(&lowered, *at));
        let Some(at) = found.next() else {
            return Err("Boundary not found in C-T");
        };
        if found.next().is_some() {
            return Err("Multiple boundary parameters in C-T");
        }
        let before = lowered.get(..at).unwrap_or_default();
        if !before.trim_ascii_end().ends_with(b";") {
            flags.missing_semicolon = true;
        }
        let rest = content_type.get(at + b"boundary".len()..).unwrap_or_default();
        let spaces = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        let Some(value) = rest.get(spaces..).and_then(|rest| rest.strip_prefix(b"=")) else {
            return Err("Invalid boundary in C-T (malformed)");
        };
        let trimmed = value.trim_ascii_start();
        if spaces > 0 || trimmed.len() != value.len() {
            flags.boundary_whitespace = true;
        }
        let value = trimmed;
        if let Some(quoted) = value.strip_prefix(b"\"") {
            let Some(end) = quoted.iter().position(|byte| *byte == b'"') else {
                return Err("Invalid boundary in C-T (quote)");
            };
            flags.boundary_quoted = true;
            let value = quoted.get(..end).unwrap_or_default();
            if value.is_empty() || value.len() > 70 {
                return Err("Invalid boundary in C-T (length)");
            }
            return Ok(value.to_vec());
        }
        if value.contains(&b'"') {
            return Err("Invalid boundary in C-T (quote)");
        }
        let end = value
            .iter()
            .position(|byte| *byte == b';' || *byte == b',')
            .unwrap_or(value.len());
        let value = value.get(..end).unwrap_or_default();
        let trimmed = value.trim_ascii_end();
        if trimmed.len() != value.len() {
            flags.boundary_whitespace = true;
        }
        if trimmed.is_empty() || trimmed.len() > 70 {
            return Err("Invalid boundary in C-T (length)");
        }
        // RFC 2046, section 5.1.1, and what browsers add to it.
        let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"'()+_,-./:=? ".contains(byte);
        if !trimmed.iter().all(allowed) {
            return Err("Invalid boundary in C-T (characters)");
        }
        Ok(trimmed.to_vec())
    }

    /// Whether a line that begins with two dashes is the boundary; if so, whether it is the last.
    fn is_boundary(&mut self, line: &[u8], boundary: &[u8]) -> Result<Option<bool>, &'static str> {
        let dashed = line.get(2..).unwrap_or_default();
        let Some(rest) = dashed.strip_prefix(boundary) else {
            let flags = &mut self.body.flags;
            if flags.boundary_quoted
                && dashed
                    .strip_prefix(b"\"")
                    .is_some_and(|rest| rest.starts_with(boundary))
            {
                return Err("Invalid boundary (quotes)");
            }
            let trimmed = dashed.trim_ascii_start();
            if trimmed.len() != dashed.len() && trimmed.starts_with(boundary) {
                return Err("Invalid boundary (whitespace)");
            }
            flags.unmatched_boundary = true;
            return Ok(None);
        };
        let (last, rest) = rest.strip_prefix(b"--").map_or((false, rest), |rest| (true, rest));
        match rest {
            b"\r\n" => self.body.flags.crlf_line = true,
            b"\n" => self.body.flags.lf_line = true,
            b"" if last => {}
            _ => return Err("Invalid boundary"),
        }
        Ok(Some(last))
    }

    /// Reads a header line of a part. Whether it was the empty one after the headers.
    fn header_line(&mut self, part: &mut Part<'a>, line: &[u8]) -> Result<bool, &'static str> {
        let flags = &mut self.body.flags;
        let text = match line.strip_suffix(b"\r\n") {
            Some(text) => {
                flags.crlf_line = true;
                text
            }
            None => {
                flags.lf_line = true;
                line.strip_suffix(b"\n").unwrap_or(line)
            }
        };
        if text.is_empty() {
            self.disposition(part)?;
            return Ok(true);
        }
        if text.len() > MAX_HEADER_LINE {
            return Err("Part header line too long");
        }
        if text.first().is_some_and(u8::is_ascii_whitespace) {
            flags.header_folding = true;
            let Some(last) = part.headers.last_mut() else {
                return Err("Invalid part header (folding error)");
            };
            let folded = text.trim_ascii_start();
            if !text.starts_with(b" ") && !text.starts_with(b"\t") {
                flags.invalid_header_folding = true;
            }
            if last.len() + folded.len() > MAX_HEADER_LINE {
                return Err("Part header too long");
            }
            last.push(b' ');
            last.extend_from_slice(folded);
            return Ok(false);
        }
        let Some(colon) = text.iter().position(|byte| *byte == b':') else {
            return Err("Invalid part header (colon missing)");
        };
        let name = text.get(..colon).unwrap_or_default();
        if name.is_empty() {
            return Err("Invalid part header (header name missing)");
        }
        if !name.iter().all(|byte| matches!(byte, 0x21..=0x7e)) {
            return Err("Invalid part header (contains invalid character)");
        }
        if part.headers.len() >= MAX_HEADERS {
            return Err("Too many part headers");
        }
        // Which of two a server takes nobody knows.
        let twice = part.headers.iter().any(|other| {
            let other = other.split(|byte| *byte == b':').next().unwrap_or_default();
            other.eq_ignore_ascii_case(name)
        });
        if twice {
            flags.invalid_part = true;
            return Err("Duplicate part header");
        }
        part.headers.push(text.to_vec());
        Ok(false)
    }

    /// Reads the disposition of a part whose headers are complete.
    fn disposition(&mut self, part: &mut Part<'a>) -> Result<(), &'static str> {
        let header = part.headers.iter().find_map(|line| {
            let colon = line.iter().position(|byte| *byte == b':')?;
            let name = line.get(..colon)?.trim_ascii();
            name.eq_ignore_ascii_case(b"content-disposition")
                .then(|| line.get(colon + 1..).unwrap_or_default().to_vec())
        });
        let Some(header) = header else {
            self.body.flags.invalid_part = true;
            return Err("Part missing Content-Disposition header");
        };
        let value = header.trim_ascii();
        let kind = value
            .get(..b"form-data".len())
            .filter(|kind| kind.eq_ignore_ascii_case(b"form-data"));
        if kind.is_none() {
            return Err("Invalid Content-Disposition header (not form-data)");
        }
        let mut rest = value.get(b"form-data".len()..).unwrap_or_default().trim_ascii_start();
        let mut named = false;
        while !rest.is_empty() {
            match rest.strip_prefix(b";") {
                Some(after) => rest = after.trim_ascii_start(),
                None if named => {
                    self.body.flags.missing_semicolon = true;
                    return Err("Invalid Content-Disposition header (semicolon missing)");
                }
                None => return Err("Invalid Content-Disposition header (semicolon missing)"),
            }
            if rest.is_empty() {
                break;
            }
            let end = rest
                .iter()
                .position(|byte| *byte == b'=' || byte.is_ascii_whitespace())
                .unwrap_or(rest.len());
            let (parameter, after) = rest.split_at(end);
            let Some(after) = after.trim_ascii_start().strip_prefix(b"=") else {
                return Err("Invalid Content-Disposition header (= missing)");
            };
            let (value, after) = self.parameter_value(after.trim_ascii_start())?;
            rest = after.trim_ascii_start();
            match parameter.to_ascii_lowercase().as_slice() {
                b"name" if !named => {
                    named = true;
                    part.name = value;
                }
                b"name" => return Err("Duplicate Content-Disposition name"),
                b"filename" if part.filename.is_none() => part.filename = Some(value),
                b"filename" => return Err("Duplicate Content-Disposition filename"),
                // What a server makes of RFC 5987's form differs from what is in `filename`; ModSecurity refuses it too.
                _ => return Err("Invalid Content-Disposition header (unknown parameter)"),
            }
        }
        if named {
            Ok(())
        } else {
            Err("Content-Disposition header missing name field")
        }
    }

    fn parameter_value<'t>(&mut self, text: &'t [u8]) -> Result<(Vec<u8>, &'t [u8]), &'static str> {
        let flags = &mut self.body.flags;
        let quote = match text.first() {
            Some(quote @ (b'"' | b'\'')) => *quote,
            _ => {
                let end = text
                    .iter()
                    .position(|byte| *byte == b';' || byte.is_ascii_whitespace())
                    .unwrap_or(text.len());
                let (value, rest) = text.split_at(end);
                return Ok((value.to_vec(), rest));
            }
        };
        if quote == b'\'' {
            flags.invalid_quoting = true;
        }
        let mut value = Vec::new();
        let mut at = 1;
        loop {
            match (text.get(at).copied(), text.get(at + 1).copied()) {
                (None, _) => return Err("Invalid Content-Disposition header (quote not closed)"),
                (Some(b'\\'), Some(next)) if next == quote || next == b'\\' => {
                    value.push(next);
                    at += 2;
                }
                (Some(byte), _) if byte == quote => break,
                (Some(byte), _) => {
                    value.push(byte);
                    at += 1;
                }
            }
        }
        Ok((value, text.get(at + 1..).unwrap_or_default()))
    }

    fn end_part(&mut self, state: State<'a>, body: &'a [u8], at: usize) -> Result<(), &'static str> {
        match state {
            State::Before | State::After => Ok(()),
            State::Headers(_) => {
                self.body.flags.invalid_part = true;
                Err("Part header is not complete")
            }
            State::Content(part, start) => {
                let content = body.get(start..at).unwrap_or_default();
                // The line end before a boundary belongs to the boundary.
                let content = match content.strip_suffix(b"\r\n") {
                    Some(content) => content,
                    None => content.strip_suffix(b"\n").unwrap_or(content),
                };
                self.finish(part, content)
            }
        }
    }

    fn finish(&mut self, mut part: Part<'a>, content: &'a [u8]) -> Result<(), &'static str> {
        if part.filename.as_ref().is_some_and(|name| !name.is_empty()) {
            self.files += 1;
            if self.files > self.file_limit {
                self.body.flags.file_limit_exceeded = true;
                return Ok(());
            }
        }
        part.content = content;
        self.body.parts.push(part);
        Ok(())
    }
}

/// Whether `boundary` at this place is the name of a parameter, not part of a value.
fn is_parameter(content_type: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| content_type.get(before));
    let after = content_type
        .get(at + b"boundary".len()..)
        .unwrap_or_default()
        .trim_ascii_start();
    before.is_none_or(|byte| matches!(byte, b';' | b',') || byte.is_ascii_whitespace()) && after.starts_with(b"=")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TYPE: &[u8] = b"multipart/form-data; boundary=xx";

    fn body(text: &str) -> Vec<u8> {
        text.replace('\n', "\r\n").into_bytes()
    }

    #[test]
    fn fields_and_files_are_read() {
        let bytes = body(
            "--xx\nContent-Disposition: form-data; name=\"a\"\n\n1\n2\n--xx\nContent-Disposition: form-data; name=f; \
             filename=\"x\\\"y.txt\"\nContent-Type: text/plain\n\nhello\n--xx--\n",
        );
        let read = read(TYPE, &bytes, 10);
        assert_eq!(read.error, None);
        assert!(!read.flags.is_strict_error() && !read.flags.unmatched_boundary);
        let [field, file] = read.parts.as_slice() else {
            panic!("{read:?}")
        };
        assert_eq!((field.name.as_slice(), field.content), (&b"a"[..], &b"1\r\n2"[..]));
        assert_eq!(
            (file.filename.as_deref(), file.content),
            (Some(&b"x\"y.txt"[..]), &b"hello"[..])
        );
        assert_eq!(file.headers.len(), 2);
    }

    #[test]
    fn a_part_header_twice_is_an_error() {
        for headers in [
            "Content-Disposition: form-data; name=\"a\"; filename=\"x\"\nContent-Disposition: form-data; name=\"a\"",
            "content-disposition: form-data; name=\"a\"\nContent-Disposition: form-data; name=\"b\"",
            "Content-Disposition: form-data; name=\"a\"\nX: 1\nx: 2",
        ] {
            let bytes = body(&format!("--xx\n{headers}\n\n1\n--xx--\n"));
            let read = read(TYPE, &bytes, 10);
            assert_eq!(
                read.error,
                Some(BodyError::Multipart("Duplicate part header")),
                "{headers}"
            );
            assert!(read.flags.is_strict_error());
        }
    }

    #[test]
    fn what_servers_could_read_differently_is_flagged() {
        let part = "Content-Disposition: form-data; name=\"a\"\n\n1\n--xx--\n";
        let flags = |text: String| read(TYPE, text.as_bytes(), 1).flags;
        assert!(flags(format!("junk\n--xx\n{part}")).data_before);
        assert!(flags(format!("--xx\n{part}junk\n")).data_after);
        assert!(flags(format!("--xx\n{part}")).lf_line);
        assert!(flags(format!("--xx\nX: y\n z\n{part}")).header_folding);
        assert!(flags(format!("--xx\n{part}").replace('"', "'")).invalid_quoting);
        assert!(flags(format!("--xx\n{part}").replace("\n1", "\n--xy")).unmatched_boundary);
        let file = "--xx\nContent-Disposition: form-data; name=a; filename=b\n\n1\n";
        assert!(flags(format!("{file}{file}--xx--")).file_limit_exceeded);
        assert!(
            read(b"multipart/form-data boundary = \"xx\"", b"--xx--\r\n", 1)
                .flags
                .is_strict_error()
        );
    }

    #[test]
    fn broken_bodies_are_errors() {
        for text in [
            "",
            "--xx",
            "--xx\n",
            "--xx\nContent-Disposition: form-data; name=a\n\n1",
            "--xx\n\n1\n--xx--",
            "--xx\nX\n\n1\n--xx--",
            "--xx\nContent-Disposition: form-data; name=a; name=b\n\n1\n--xx--",
            "--xx--\n--xx--",
            "--xx\nContent-Disposition: form-data\n\n1\n--xx--",
            "--xx\nContent-Disposition: attachment; name=a\n\n1\n--xx--",
            "--xxy\n",
            "--xx\n:x\n\n",
            "--xx\n x\n\n",
        ] {
            assert!(read(TYPE, &body(text), 1).error.is_some(), "{text:?}");
        }
        for content_type in [
            "multipart/form-data",
            "multipart/form-data; boundary=",
            "m; boundary=a; boundary=b",
            "m; boundary=\"a",
        ] {
            assert!(
                read(content_type.as_bytes(), b"--a--", 1).error.is_some(),
                "{content_type}"
            );
        }
    }
}
