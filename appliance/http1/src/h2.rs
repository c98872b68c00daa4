//! Requests that came over HTTP/2, held to the same rules and brought into the same model, so that one writer sends them on.
//!
//! The `h2` crate has decoded the fields and checked part of this already; it is checked again because the next hop speaks HTTP/1.1,
//! where a line break in a value or a second length is a second request (RFC 9113 section 10.3).

use crate::field::{Entry, Fields};
use crate::framing::Signals;
use crate::known::{self, Known};
use crate::target::Location;
use crate::{Authority, Framing, Limits, Method, Refusal, RequestHead, Version, token};
use bytes::Bytes;
use http::HeaderMap;
use http::request::Parts;
use smallvec::SmallVec;
use std::ops::Range;

impl RequestHead {
    /// The model of an HTTP/2 request; `ends_stream` says that no DATA frame follows. Its version reads as HTTP/1.1, and it never
    /// asks to close or to upgrade. A body without a length is [`Framing::Chunked`]. Content with a length must be counted with
    /// [`crate::ContentCount`].
    ///
    /// # Errors
    /// The rule that the request breaks. The stream is to be reset (or answered) and the connection may go on: HTTP/2 frames are not
    /// in doubt.
    pub fn from_h2(parts: &Parts, ends_stream: bool, limits: &Limits) -> Result<Self, Refusal> {
        let limits = limits.bounded();
        let method = Method::parse(parts.method.as_str().as_bytes())?;
        // Without `:authority` there is no scheme either in a `Uri`. A `host` field alone would do by RFC 9113 section 8.3.1, but no
        // browser sends that, and one way to name the host is enough. Another scheme than that of the connection is another origin
        // (RFC 9113 section 8.3.1); there is no HTTP/2 without TLS here.
        let (Some("https"), Some(named)) = (parts.uri.scheme_str(), parts.uri.authority()) else {
            return Err(Refusal::PseudoHeader);
        };
        let authority = Authority::parse(named.as_str().as_bytes())?;
        // `Uri::path` would answer `/` for a missing one.
        let target = parts
            .uri
            .path_and_query()
            .ok_or(Refusal::PseudoHeader)?
            .as_str()
            .as_bytes();
        if target.len() > limits.target {
            return Err(Refusal::TargetTooLong);
        }
        if !matches!(target, [b'/', ..] | b"*") {
            return Err(Refusal::PseudoHeader);
        }
        let mut text = Text::new(limits.head);
        let place = text.append(target)?;
        let (location, _) = Location::parse(target, place.start, method)?;
        let mut entries = text.fields(&parts.headers, limits.fields, limits.line)?;
        let bytes = Bytes::from(text.bytes);
        for entry in &entries {
            let specific = match entry.known {
                Known::Te => !entry.value(&bytes).eq_ignore_ascii_case(b"trailers"),
                Known::Connection
                | Known::Http2Settings
                | Known::KeepAlive
                | Known::ProxyConnection
                | Known::TransferEncoding
                | Known::Upgrade => true,
                _ => false,
            };
            if specific {
                return Err(Refusal::ConnectionSpecificField);
            }
        }

        let signals = Signals::read(&bytes, &mut entries)?;
        signals.singular()?;
        let host = signals
            .host
            .and_then(|index| entries.get(index))
            .map(|entry| Authority::parse(entry.value(&bytes)))
            .transpose()?;
        if host.is_some_and(|host| host != authority) {
            return Err(Refusal::AuthorityMismatch);
        }
        let framing = match (signals.length(), ends_stream) {
            (None, true) => Framing::None,
            (None, false) => Framing::Chunked,
            (Some(0), _) => Framing::Length(0),
            (Some(_), true) => return Err(Refusal::ContentLengthMismatch),
            (Some(length), false) => Framing::Length(length),
        };
        Ok(Self {
            method,
            version: Version::Http11,
            location,
            authority,
            framing,
            awaits_end: !ends_stream,
            closes: false,
            expects_continue: signals.expects_continue(Version::Http11) && framing.has_body(),
            upgrade: None,
            fields: Fields { bytes, entries },
        })
    }
}

impl Fields {
    /// The trailer section of an HTTP/2 message.
    ///
    /// # Errors
    /// The rule that a field breaks; see [`Refusal::TrailerForbidden`].
    pub fn from_h2_trailers(trailers: &HeaderMap, limits: &Limits) -> Result<Self, Refusal> {
        let limits = limits.bounded();
        let mut text = Text::new(limits.trailers);
        let entries = text.fields(trailers, limits.trailer_fields, limits.line)?;
        let bytes = Bytes::from(text.bytes);
        if entries
            .iter()
            .any(|entry| known::is_forbidden_in_trailers(entry.name(&bytes)))
        {
            return Err(Refusal::TrailerForbidden);
        }
        Ok(Self { bytes, entries })
    }
}

/// The buffer of a head that did not come in one.
struct Text {
    bytes: Vec<u8>,
    limit: usize,
}

impl Text {
    fn new(limit: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(limit.min(512)),
            limit,
        }
    }

    fn append(&mut self, part: &[u8]) -> Result<Range<usize>, Refusal> {
        let start = self.bytes.len();
        let end = start.saturating_add(part.len());
        if end > self.limit {
            return Err(Refusal::HeadTooLong);
        }
        self.bytes.extend_from_slice(part);
        Ok(start..end)
    }

    fn fields(
        &mut self,
        map: &HeaderMap,
        most: usize,
        line: usize,
    ) -> Result<SmallVec<[Entry; Fields::INLINE]>, Refusal> {
        let mut entries = SmallVec::new();
        let mut cookie = None;
        for (count, (name, value)) in map.iter().enumerate() {
            let (name, value) = (name.as_str().as_bytes(), value.as_bytes());
            if count >= most {
                return Err(Refusal::TooManyFields);
            }
            if name.len().saturating_add(value.len()) > line {
                return Err(Refusal::LineTooLong);
            }
            if !token::is_token(name) {
                return Err(Refusal::FieldNameCharacter);
            }
            // RFC 9113 section 8.2.1: no spaces at the ends either.
            if !token::is_value(value) || token::trim(value).len() != value.len() {
                return Err(Refusal::FieldValueCharacter);
            }
            let is_cookie = name == b"cookie";
            if is_cookie && cookie.is_some() {
                continue;
            }
            let place = self.append(name)?;
            let mut content = self.append(value)?;
            if is_cookie {
                // Crumbs become one field again (RFC 9113 section 8.2.3).
                for crumb in map.get_all("cookie").iter().skip(1) {
                    self.append(b"; ")?;
                    content.end = self.append(crumb.as_bytes())?.end;
                }
                if content.len() > line {
                    return Err(Refusal::LineTooLong);
                }
                cookie = Some(());
            }
            entries.push(Entry::new(name, &place, &content).ok_or(Refusal::HeadTooLong)?);
        }
        Ok(entries)
    }
}
