//! The field names that the codec itself acts on.

use crate::token;

/// What a field name means to the codec.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Known {
    Authorization,
    Connection,
    ContentLength,
    ContentType,
    Expect,
    Host,
    Http2Settings,
    KeepAlive,
    Other,
    ProxyAuthenticate,
    ProxyAuthorization,
    ProxyConnection,
    Te,
    Trailer,
    TransferEncoding,
    Upgrade,
}

impl Known {
    /// Length first: most names match no length, or one candidate.
    pub(crate) fn of(name: &[u8]) -> Self {
        let is = |text: &[u8]| name.eq_ignore_ascii_case(text);
        match name.len() {
            2 if is(b"te") => Self::Te,
            4 if is(b"host") => Self::Host,
            6 if is(b"expect") => Self::Expect,
            7 if is(b"upgrade") => Self::Upgrade,
            7 if is(b"trailer") => Self::Trailer,
            10 if is(b"connection") => Self::Connection,
            10 if is(b"keep-alive") => Self::KeepAlive,
            12 if is(b"content-type") => Self::ContentType,
            13 if is(b"authorization") => Self::Authorization,
            14 if is(b"content-length") => Self::ContentLength,
            14 if is(b"http2-settings") => Self::Http2Settings,
            16 if is(b"proxy-connection") => Self::ProxyConnection,
            17 if is(b"transfer-encoding") => Self::TransferEncoding,
            18 if is(b"proxy-authenticate") => Self::ProxyAuthenticate,
            19 if is(b"proxy-authorization") => Self::ProxyAuthorization,
            _ => Self::Other,
        }
    }

    /// Whether a name with underscores would be one of the codec's own with hyphens. Gateways that hand fields to programs as
    /// variables (CGI, WSGI, PHP) cannot tell the two apart.
    pub(crate) fn is_imitated_by(name: &[u8]) -> bool {
        if !name.contains(&b'_') {
            return false;
        }
        let mut hyphened = [0_u8; 32];
        let Some(room) = hyphened.get_mut(..name.len()) else {
            return false;
        };
        for (to, from) in room.iter_mut().zip(name) {
            *to = if *from == b'_' { b'-' } else { *from };
        }
        !matches!(Self::of(room), Self::Authorization | Self::ContentType | Self::Other)
    }
}

/// Whether a `Connection` field may not list `name`: taking such a field away would change what the message is, where it goes or
/// who sent it (RFC 9110 section 7.6.1: a connection option must not name a field meant for all recipients).
pub(crate) fn is_end_to_end(name: &[u8]) -> bool {
    matches!(
        Known::of(name),
        Known::Host | Known::ContentLength | Known::TransferEncoding | Known::Expect
    ) || is_among(name, END_TO_END)
        || starts_with(name, b"x-forwarded-")
        || starts_with(name, b"content-")
}

/// Whether a field may not stand in a trailer section: framing, routing, request modifiers, authentication and what says how the
/// content is to be read (RFC 9110 section 6.5.1).
pub(crate) fn is_forbidden_in_trailers(name: &[u8]) -> bool {
    Known::of(name) != Known::Other
        || Known::is_imitated_by(name)
        || is_among(name, END_TO_END)
        || is_among(name, TRAILER_MODIFIERS)
        || starts_with(name, b"x-forwarded-")
        || starts_with(name, b"content-")
        || starts_with(name, b"access-control-")
}

/// Whether our own code may not add a field of this name: the writers make these themselves.
pub(crate) const fn is_written_by_codec(name: &[u8]) -> bool {
    let own: [&[u8]; 9] = [
        b"connection",
        b"content-length",
        b"host",
        b"keep-alive",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    ];
    let mut at = 0;
    while at < own.len() {
        #[expect(
            clippy::indexing_slicing,
            reason = "the loop's condition bounds the index; `get` on arrays is not const"
        )]
        if name.eq_ignore_ascii_case(own[at]) {
            return true;
        }
        at = at.wrapping_add(1);
    }
    false
}

fn is_among(name: &[u8], list: &[&str]) -> bool {
    list.iter()
        .any(|known| known.len() == name.len() && name.eq_ignore_ascii_case(known.as_bytes()))
}

fn starts_with(name: &[u8], prefix: &[u8]) -> bool {
    debug_assert!(token::is_token(prefix));
    name.get(..prefix.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
}

const END_TO_END: &[&str] = &[
    "authorization",
    "cache-control",
    "cookie",
    "cookie2",
    "date",
    "forwarded",
    "location",
    "origin",
    "range",
    "referer",
    "set-cookie",
    "strict-transport-security",
    "via",
    "www-authenticate",
    "x-api-key",
    "x-real-ip",
];

const TRAILER_MODIFIERS: &[&str] = &[
    "age",
    "allow",
    "alt-svc",
    "authentication-info",
    "clear-site-data",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "retry-after",
    "vary",
    "warning",
];
