//! Request heads from clients.

use crate::field::FieldValue;
use crate::framing::Signals;
use crate::scan::{self, Slots, Start, Walker};
use crate::target::Location;
use crate::{Authority, Fields, Form, Framing, Limits, Method, Parsed, Persistence, Refusal, Target, Version};
use bytes::{Bytes, BytesMut};

/// A request that passed every rule: whoever holds one knows its framing, its host and its target in the only way in which they can
/// be read.
#[derive(Clone, Debug)]
pub struct RequestHead {
    pub(crate) method: Method,
    pub(crate) version: Version,
    pub(crate) location: Location,
    pub(crate) authority: Authority,
    pub(crate) fields: Fields,
    pub(crate) framing: Framing,
    pub(crate) awaits_end: bool,
    pub(crate) closes: bool,
    pub(crate) expects_continue: bool,
    /// The index of the `Upgrade` field, taken before any field was removed.
    pub(crate) upgrade: Option<(u16, u16)>,
}

impl RequestHead {
    /// The method.
    #[must_use]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The version that the client spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The target in origin-form (or `*`).
    #[must_use]
    pub fn target(&self) -> Target<'_> {
        self.location.view(&self.fields.bytes)
    }

    /// The path as it came, percent-encoding untouched. It begins with `/`, or is `*` for [`Form::Asterisk`].
    #[must_use]
    pub fn path(&self) -> &str {
        self.target().path()
    }

    /// What follows the first `?` of the target, where there is one.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        self.target().query()
    }

    /// The form in which the client wrote the target.
    #[must_use]
    pub const fn form(&self) -> Form {
        self.location.form
    }

    /// The host and port that the request names. The caller still has to compare them with the server name of the TLS connection
    /// and the published names (421).
    #[must_use]
    pub const fn authority(&self) -> &Authority {
        &self.authority
    }

    /// The fields.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to take some away. Framing, host and connection were read before and stay what they are.
    pub const fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// How the body is framed.
    #[must_use]
    pub const fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the end of the body is still to be read before the request is known to be whole. Over HTTP/2 that is so even when the
    /// length is 0, unless HEADERS ended the stream: DATA that contradicts the length makes the request malformed, and such a
    /// request must not be sent on (RFC 9113 section 8.1.1).
    #[must_use]
    pub const fn awaits_end(&self) -> bool {
        self.awaits_end
    }

    /// Whether the connection may carry another request. Never in HTTP/1.0, and never after an upgrade was asked for: if it is not
    /// granted, what follows could be meant for the other protocol.
    #[must_use]
    pub const fn persistence(&self) -> Persistence {
        if self.closes || self.upgrade.is_some() {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        }
    }

    /// Whether the client waits for a 100 before it sends the body. Always false without a body.
    #[must_use]
    pub const fn expects_continue(&self) -> bool {
        self.expects_continue
    }

    /// The protocols to which the client wants to change, most wanted first, as the field's value. A request that has one has no body.
    #[must_use]
    pub fn upgrade(&self) -> Option<FieldValue<'_>> {
        let (start, end) = self.upgrade?;
        self.fields
            .bytes
            .get(usize::from(start)..usize::from(end))
            .map(FieldValue::checked)
    }

    /// Whether an upstream might overlook the body because the method rarely has one (`GET`, `HEAD`, `DELETE`, `OPTIONS`), and take
    /// it for the next request (CL.0). Such a request must be the last on its upstream connection.
    #[must_use]
    pub const fn body_is_unusual(&self) -> bool {
        self.framing.has_body() && !self.method.expects_content()
    }
}

/// Parses the request head at the front of `buf`, copying its bytes once. `Ok(None)` means that more bytes are needed; calling again
/// with more is cheap (one search for line ends), and the verdict does not depend on how often it was called.
///
/// # Errors
/// The rule that the head breaks. The connection must be closed after the answer.
pub fn parse_request(buf: &[u8], limits: &Limits) -> Result<Option<Parsed<RequestHead>>, Refusal> {
    let limits = limits.bounded();
    let Some(consumed) = scan::head_end(buf, Start::Request, &limits)? else {
        return Ok(None);
    };
    let bytes = Bytes::copy_from_slice(buf.get(..consumed).unwrap_or_default());
    Ok(Some(Parsed {
        head: parse(bytes, &limits)?,
        consumed,
    }))
}

/// As [`parse_request`], but takes the head's bytes out of `buf` instead of copying them.
///
/// # Errors
/// The rule that the head breaks; `buf` is then in no particular state.
pub fn take_request(buf: &mut BytesMut, limits: &Limits) -> Result<Option<RequestHead>, Refusal> {
    let limits = limits.bounded();
    match scan::head_end(buf, Start::Request, &limits)? {
        Some(consumed) => parse(buf.split_to(consumed).freeze(), &limits).map(Some),
        None => Ok(None),
    }
}

fn parse(bytes: Bytes, limits: &Limits) -> Result<RequestHead, Refusal> {
    let mut slots = Slots::new();
    let mut request = httparse::Request::new(&mut []);
    let outcome = request.parse_with_uninit_headers(&bytes, &mut slots.0);
    if outcome != Ok(httparse::Status::Complete(bytes.len())) {
        return Err(explain(&bytes));
    }
    let (Some(name), Some(target), Some(minor)) = (request.method, request.path, request.version) else {
        return Err(Refusal::RequestLine);
    };
    let mut walker = Walker::new(&bytes);
    walker.take(name.as_bytes())?;
    let method = Method::parse(name.as_bytes())?;
    walker.expect(b" ")?;
    let place = walker.take(target.as_bytes())?;
    if target.len() > limits.target {
        return Err(Refusal::TargetTooLong);
    }
    let (location, named) = Location::parse(target.as_bytes(), place.start, method)?;
    let (version, rest) = match minor {
        0 => (Version::Http10, b" HTTP/1.0\r\n"),
        _ => (Version::Http11, b" HTTP/1.1\r\n"),
    };
    walker.expect(rest)?;
    let mut entries = walker.fields(request.headers)?;

    let signals = Signals::read(&bytes, &mut entries)?;
    signals.singular()?;
    let host = entries
        .get(signals.host.ok_or(Refusal::HostMissing)?)
        .ok_or(Refusal::HostMissing)?;
    let authority = Authority::parse(host.value(&bytes))?;
    if named.is_some_and(|named| named != authority) {
        return Err(Refusal::TargetAuthority);
    }
    let framing = signals.request_framing(version)?;
    let upgrade = signals
        .upgrade(version)
        .and_then(|index| entries.get(index))
        .map(crate::field::Entry::value_range);
    if upgrade.is_some() && framing.has_body() {
        return Err(Refusal::UpgradeWithBody);
    }
    Ok(RequestHead {
        method,
        version,
        location,
        authority,
        framing,
        awaits_end: framing.has_body(),
        closes: signals.closes(version),
        expects_continue: signals.expects_continue(version) && framing.has_body(),
        upgrade,
        fields: Fields { bytes, entries },
    })
}

/// Says which rule a head breaks that the tokeniser refused.
fn explain(bytes: &[u8]) -> Refusal {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at.saturating_add(1));
    let (line, fields) = bytes.split_at_checked(end).unwrap_or_default();
    let line = line.strip_suffix(b"\r\n").unwrap_or(line);
    match explain_line(line) {
        Err(refusal) => refusal,
        Ok(()) => scan::explain(fields),
    }
}

fn explain_line(line: &[u8]) -> Result<(), Refusal> {
    let mut parts = line.split(|b| *b == b' ');
    let (Some(method), Some(target), Some(version), None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Refusal::RequestLine);
    };
    let method = Method::parse(method)?;
    let well_formed = matches!(version, [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
        if major.is_ascii_digit() && minor.is_ascii_digit());
    if !well_formed {
        return Err(Refusal::RequestLine);
    }
    if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
        return Err(Refusal::VersionUnsupported);
    }
    if target.is_empty() {
        return Err(Refusal::RequestLine);
    }
    Location::parse(target, 0, method).map(|_| ())
}
