//! Response heads from upstreams, held to the rules that requests are held to.

use crate::field::FieldValue;
use crate::framing::Signals;
use crate::scan::{self, Slots, Start, Walker};
use crate::{
    Fields, Limits, Method, Parsed, Persistence, Refusal, RequestHead, ResponseFraming, Status, Version, token,
};
use bytes::{Bytes, BytesMut};

/// A response that passed every rule.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    status: Status,
    version: Version,
    fields: Fields,
    framing: ResponseFraming,
    closes: bool,
    upgrade: Option<(u16, u16)>,
}

impl ResponseHead {
    /// The status. When [`Status::is_interim`] says so, another head follows this one.
    #[must_use]
    pub const fn status(&self) -> Status {
        self.status
    }

    /// The version that the upstream spoke.
    #[must_use]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The fields.
    #[must_use]
    pub const fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, to take some away.
    pub const fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// How the body is framed.
    #[must_use]
    pub const fn framing(&self) -> ResponseFraming {
        self.framing
    }

    /// Whether the upstream connection may carry another request after the body's end. Bytes that arrive after that end without a
    /// request having been sent mean that it may not after all.
    #[must_use]
    pub const fn persistence(&self) -> Persistence {
        if self.upgrade.is_some() {
            Persistence::Upgrade(())
        } else if self.closes {
            Persistence::Close
        } else {
            Persistence::KeepAlive
        }
    }

    /// The protocol to which a 101 response changes.
    #[must_use]
    pub fn upgrade(&self) -> Option<FieldValue<'_>> {
        let (start, end) = self.upgrade?;
        self.fields
            .bytes
            .get(usize::from(start)..usize::from(end))
            .map(FieldValue::checked)
    }
}

/// Parses the response head at the front of `buf`, copying its bytes once. `method` is that of the request which it answers, and
/// `upgrade` the protocols that were asked for, where the request that was *sent* asked (not merely the client's).
///
/// # Errors
/// The rule that the head breaks. The connection must not be used again, and the client gets a 502.
pub fn parse_response(
    buf: &[u8],
    method: Method,
    upgrade: Option<FieldValue<'_>>,
    limits: &Limits,
) -> Result<Option<Parsed<ResponseHead>>, Refusal> {
    let limits = limits.bounded();
    let Some(consumed) = scan::head_end(buf, Start::Response, &limits)? else {
        return Ok(None);
    };
    let bytes = Bytes::copy_from_slice(buf.get(..consumed).unwrap_or_default());
    Ok(Some(Parsed {
        head: parse(bytes, method, upgrade)?,
        consumed,
    }))
}

/// As [`parse_response`], but takes the head's bytes out of `buf` instead of copying them.
///
/// # Errors
/// The rule that the head breaks; `buf` is then in no particular state.
pub fn take_response(
    buf: &mut BytesMut,
    method: Method,
    upgrade: Option<FieldValue<'_>>,
    limits: &Limits,
) -> Result<Option<ResponseHead>, Refusal> {
    let limits = limits.bounded();
    match scan::head_end(buf, Start::Response, &limits)? {
        Some(consumed) => parse(buf.split_to(consumed).freeze(), method, upgrade).map(Some),
        None => Ok(None),
    }
}

impl RequestHead {
    /// Parses the response to this request, no upgrade having been asked for.
    ///
    /// # Errors
    /// See [`parse_response`].
    pub fn parse_response(&self, buf: &[u8], limits: &Limits) -> Result<Option<Parsed<ResponseHead>>, Refusal> {
        parse_response(buf, self.method, None, limits)
    }
}

fn parse(bytes: Bytes, method: Method, asked: Option<FieldValue<'_>>) -> Result<ResponseHead, Refusal> {
    let mut slots = Slots::new();
    let mut response = httparse::Response::new(&mut []);
    let config = httparse::ParserConfig::default();
    let outcome = config.parse_response_with_uninit_headers(&mut response, &bytes, &mut slots.0);
    if outcome != Ok(httparse::Status::Complete(bytes.len())) {
        return Err(explain(&bytes));
    }
    let (Some(minor), Some(code)) = (response.version, response.code) else {
        return Err(Refusal::StatusLine);
    };
    let mut walker = Walker::new(&bytes);
    let version = match minor {
        0 => Version::Http10,
        _ => Version::Http11,
    };
    walker.expect(match version {
        Version::Http10 => b"HTTP/1.0 ",
        Version::Http11 => b"HTTP/1.1 ",
    })?;
    let status = Status::new(code).ok_or(Refusal::StatusLine)?;
    let digits = bytes
        .get(9..12)
        .filter(|digits| token::decimal(digits) == Some(u64::from(code)));
    walker.expect(digits.ok_or(Refusal::StatusLine)?)?;
    let reason = walker.take_line()?;
    if !(reason.is_empty() || reason.first() == Some(&b' ')) || !token::is_value(reason) {
        return Err(Refusal::StatusLine);
    }
    let mut entries = walker.fields(response.headers)?;

    let signals = Signals::read(&bytes, &mut entries)?;
    let framing = if status.is_bodiless() || method == Method::Head {
        // Only a response that stands for one with a body may say how long that would be (RFC 9110 section 8.6).
        let may_announce = method == Method::Head || status.code() == 304;
        if !may_announce && (signals.is_chunked() || signals.length().is_some_and(|length| length > 0)) {
            return Err(Refusal::BodyNotAllowed);
        }
        signals.response_framing(version)?;
        ResponseFraming::None {
            announced: signals.length().filter(|_| may_announce),
        }
    } else {
        signals.response_framing(version)?
    };
    let upgrade = if status == Status::SWITCHING_PROTOCOLS {
        let index = signals.upgrade(version).ok_or(Refusal::UpgradeUnasked)?;
        let entry = entries.get(index).ok_or(Refusal::UpgradeUnasked)?;
        let granted = entry.value(&bytes);
        let was_asked =
            asked.is_some_and(|asked| token::list(asked.as_bytes()).any(|one| one.eq_ignore_ascii_case(granted)));
        if !was_asked {
            return Err(Refusal::UpgradeUnasked);
        }
        Some(entry.value_range())
    } else {
        None
    };
    Ok(ResponseHead {
        status,
        version,
        framing,
        closes: signals.closes(version) || framing == ResponseFraming::UntilClose,
        upgrade,
        fields: Fields { bytes, entries },
    })
}

/// Says which rule a head breaks that the tokeniser refused.
fn explain(bytes: &[u8]) -> Refusal {
    let end = memchr::memchr(b'\n', bytes).map_or(bytes.len(), |at| at.saturating_add(1));
    let (line, fields) = bytes.split_at_checked(end).unwrap_or_default();
    match line {
        [
            b'H',
            b'T',
            b'T',
            b'P',
            b'/',
            b'1',
            b'.',
            b'0' | b'1',
            b' ',
            a,
            b,
            c,
            b' ' | b'\r',
            ..,
        ] if [a, b, c].into_iter().all(u8::is_ascii_digit)
            && token::is_value(line.strip_suffix(b"\r\n").unwrap_or(line)) =>
        {
            scan::explain(fields)
        }
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b' ', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            if line.starts_with(b"HTTP/1.0 ") || line.starts_with(b"HTTP/1.1 ") {
                Refusal::StatusLine
            } else {
                Refusal::VersionUnsupported
            }
        }
        _ => Refusal::StatusLine,
    }
}
