//! From the model back to bytes.
//!
//! A writer appends to the caller's buffer, so that head and body can leave in one write. What it takes is validated by type, and
//! framing, host and connection fields come from the model alone, so there is nothing to inject through. A head that is not finished
//! is taken out of the buffer again: half a head is never sent.

use crate::{
    Authority, Field, FieldName, FieldValue, Fields, Framing, Method, Persistence, ResponseFraming, Status, Target,
};

/// Fields rendered once, for those that stand in one message after the other.
#[derive(Clone, Debug, Default)]
pub struct FieldLines(Box<[u8]>);

impl FieldLines {
    /// Those of the fields that are passed on.
    #[must_use]
    pub fn of(fields: &Fields) -> Self {
        let mut lines = Vec::new();
        for field in fields.end_to_end() {
            line(&mut lines, field.name().as_bytes(), field.value().as_bytes());
        }
        Self(lines.into())
    }
}

/// Writes the head of a request to an upstream, always in HTTP/1.1.
#[derive(Debug)]
#[must_use = "a head that is not finished is taken out of the buffer"]
pub struct RequestWriter<'a> {
    head: Head<'a>,
    method: Method,
}

impl<'a> RequestWriter<'a> {
    /// Writes the request line and `Host`.
    pub fn begin(out: &'a mut Vec<u8>, method: Method, target: Target<'_>, authority: &Authority) -> Self {
        let mut head = Head::new(out);
        head.text(method.as_str());
        head.text(" ");
        target.write(head.out);
        head.text(" HTTP/1.1\r\nHost: ");
        authority.write(head.out);
        head.text("\r\n");
        Self { head, method }
    }

    /// Writes the fields that are passed on, as [`Fields::end_to_end`] gives them.
    pub fn forward(&mut self, fields: &Fields) -> &mut Self {
        self.head.fields(fields.end_to_end());
        self
    }

    /// As [`RequestWriter::forward`], but only those for which `keep` says yes.
    pub fn forward_if(&mut self, fields: &Fields, mut keep: impl FnMut(&Field<'_>) -> bool) -> &mut Self {
        self.head.fields(fields.end_to_end().filter(|field| keep(field)));
        self
    }

    /// Writes fields that were rendered before.
    pub fn lines(&mut self, lines: &FieldLines) -> &mut Self {
        self.head.out.extend_from_slice(&lines.0);
        self
    }

    /// Writes a field of ours.
    pub fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) -> &mut Self {
        self.head.field(name.as_bytes(), value.as_bytes());
        self
    }

    /// Writes a field of ours whose value is a number.
    pub fn number(&mut self, name: FieldName<'_>, value: u64) -> &mut Self {
        self.head.number(name.as_bytes(), value);
        self
    }

    /// Writes framing and connection fields and the empty line. A `POST`, `PUT` or `PATCH` without a body says so with
    /// `Content-Length: 0`. [`Persistence::Upgrade`] is for a request without a body; it takes the protocol to ask for.
    pub fn finish(mut self, framing: Framing, persistence: Persistence<FieldValue<'_>>) {
        match framing {
            Framing::Chunked => self.head.text("Transfer-Encoding: chunked\r\n"),
            Framing::Length(length) => self.head.number(b"Content-Length", length),
            Framing::None if self.method.expects_content() => self.head.number(b"Content-Length", 0),
            Framing::None => {}
        }
        self.head.finish(persistence);
    }
}

/// Writes the head of a response to a client, always in HTTP/1.1 (section 2.3: the version says what the sender can do).
#[derive(Debug)]
#[must_use = "a head that is not finished is taken out of the buffer"]
pub struct ResponseWriter<'a> {
    head: Head<'a>,
}

impl<'a> ResponseWriter<'a> {
    /// Writes the status line, with the phrase of the standard.
    pub fn begin(out: &'a mut Vec<u8>, status: Status) -> Self {
        let mut head = Head::new(out);
        if status == Status::OK {
            head.text("HTTP/1.1 200 OK\r\n");
        } else {
            head.text("HTTP/1.1 ");
            decimal(head.out, u64::from(status.code()));
            head.text(" ");
            head.text(status.reason());
            head.text("\r\n");
        }
        Self { head }
    }

    /// Writes the fields that are passed on, as [`Fields::end_to_end`] gives them.
    pub fn forward(&mut self, fields: &Fields) -> &mut Self {
        self.head.fields(fields.end_to_end());
        self
    }

    /// As [`ResponseWriter::forward`], but only those for which `keep` says yes.
    pub fn forward_if(&mut self, fields: &Fields, mut keep: impl FnMut(&Field<'_>) -> bool) -> &mut Self {
        self.head.fields(fields.end_to_end().filter(|field| keep(field)));
        self
    }

    /// Writes fields that were rendered before.
    pub fn lines(&mut self, lines: &FieldLines) -> &mut Self {
        self.head.out.extend_from_slice(&lines.0);
        self
    }

    /// Writes a field of ours.
    pub fn field(&mut self, name: FieldName<'_>, value: FieldValue<'_>) -> &mut Self {
        self.head.field(name.as_bytes(), value.as_bytes());
        self
    }

    /// Writes a field of ours whose value is a number.
    pub fn number(&mut self, name: FieldName<'_>, value: u64) -> &mut Self {
        self.head.number(name.as_bytes(), value);
        self
    }

    /// Writes framing and connection fields and the empty line. [`ResponseFraming::UntilClose`] always says `Connection: close`.
    /// [`Persistence::Upgrade`] is for a 101.
    pub fn finish(mut self, framing: ResponseFraming, persistence: Persistence<FieldValue<'_>>) {
        match framing {
            ResponseFraming::Chunked => self.head.text("Transfer-Encoding: chunked\r\n"),
            ResponseFraming::Length(length)
            | ResponseFraming::None {
                announced: Some(length),
            } => {
                self.head.number(b"Content-Length", length);
            }
            ResponseFraming::None { announced: None } => {}
            ResponseFraming::UntilClose => return self.head.finish(Persistence::Close),
        }
        self.head.finish(persistence);
    }
}

/// Appends a chunk with `data`. Nothing is appended for empty data, which would end the body.
pub fn write_chunk(out: &mut Vec<u8>, data: &[u8]) {
    if data.is_empty() {
        return;
    }
    write_chunk_start(out, data.len());
    out.extend_from_slice(data);
    write_chunk_end(out);
}

/// Appends what stands before a chunk's `length` bytes of data, for callers that send the data from another buffer. `length` must not
/// be 0, for which nothing is appended.
pub fn write_chunk_start(out: &mut Vec<u8>, length: usize) {
    if length == 0 {
        return;
    }
    let digits = length.ilog2().wrapping_div(4);
    for place in (0..=digits).rev() {
        let nibble = length.wrapping_shr(place.wrapping_mul(4)) & 0xf;
        // A nibble is less than the 16 digits.
        out.push(*b"0123456789abcdef".get(nibble).unwrap_or(&b'0'));
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends what stands after a chunk's data.
pub fn write_chunk_end(out: &mut Vec<u8>) {
    out.extend_from_slice(b"\r\n");
}

/// Appends the last chunk, the trailers and the empty line.
pub fn write_last_chunk(out: &mut Vec<u8>, trailers: Option<&Fields>) {
    out.extend_from_slice(b"0\r\n");
    for field in trailers.into_iter().flat_map(Fields::end_to_end) {
        line(out, field.name().as_bytes(), field.value().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends a field line.
fn line(out: &mut Vec<u8>, name: &[u8], value: &[u8]) {
    out.reserve(name.len().saturating_add(value.len()).saturating_add(4));
    out.extend_from_slice(name);
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

/// Appends `number` in decimal digits.
pub(crate) fn decimal(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    for (place, digit) in digits.iter_mut().enumerate().rev() {
        // A digit is less than 10, so that it fits a byte.
        *digit = b'0'.wrapping_add(u8::try_from(number % 10).unwrap_or(0));
        start = place;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(start..).unwrap_or_default());
}

/// A head being written: it begins at `start` of the buffer, and goes away again unless it is finished.
#[derive(Debug)]
struct Head<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    finished: bool,
}

impl<'a> Head<'a> {
    fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self {
            out,
            start,
            finished: false,
        }
    }

    fn text(&mut self, text: &str) {
        self.out.extend_from_slice(text.as_bytes());
    }

    fn fields<'f>(&mut self, fields: impl Iterator<Item = Field<'f>>) {
        for field in fields {
            self.field(field.name().as_bytes(), field.value().as_bytes());
        }
    }

    fn field(&mut self, name: &[u8], value: &[u8]) {
        line(self.out, name, value);
    }

    fn number(&mut self, name: &[u8], value: u64) {
        self.out.extend_from_slice(name);
        self.out.extend_from_slice(b": ");
        decimal(self.out, value);
        self.out.extend_from_slice(b"\r\n");
    }

    fn finish(mut self, persistence: Persistence<FieldValue<'_>>) {
        match persistence {
            Persistence::Close => self.text("Connection: close\r\n"),
            Persistence::KeepAlive => {}
            Persistence::Upgrade(protocol) => {
                self.text("Connection: Upgrade\r\n");
                self.field(b"Upgrade", protocol.as_bytes());
            }
        }
        self.text("\r\n");
        self.finished = true;
    }
}

impl Drop for Head<'_> {
    fn drop(&mut self) {
        if !self.finished {
            self.out.truncate(self.start);
        }
    }
}
