//! Single values of the document: sizes, addresses, ports, fields, and the words that choose among few.

use std::fmt;
use std::net::IpAddr;

use redan_types::{Cidr, Port, RouteName, ZoneName};

use crate::section::words;
use crate::value::shown;

/// A size in bytes, written as an integer or as `"16KiB"`, `"1MiB"`, `"2GiB"`.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 > 0 && self.0.trailing_zeros() >= shift {
                return write!(f, "{}{unit}", self.0 >> shift);
            }
        }
        write!(f, "{}B", self.0)
    }
}

/// An interface's own address with the prefix length of its network, for instance `10.0.0.1/24`: unlike a [`Cidr`] it has host bits.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct InterfaceAddress {
    /// The address.
    pub address: IpAddr,
    /// The prefix length of the network that it lies in.
    pub prefix: u8,
}

impl InterfaceAddress {
    /// The network that it lies in.
    #[must_use]
    pub fn network(&self) -> Cidr {
        Cidr::containing(self.address, self.prefix)
    }
}

impl fmt::Display for InterfaceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// An address with a port, for instance `10.0.0.5:8080` or `[2001:db8::5]:8080`.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Endpoint {
    /// The address.
    pub address: IpAddr,
    /// The port.
    pub port: Port,
}

impl Endpoint {
    /// The form that sockets take.
    #[must_use]
    pub fn socket(&self) -> std::net::SocketAddr {
        (self.address, self.port.number()).into()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.socket().fmt(f)
    }
}

/// Ports from the first to the last, both included.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Ports {
    /// The first port.
    pub first: Port,
    /// The last port, not less than the first.
    pub last: Port,
}

impl Ports {
    /// Whether `port` is among them.
    #[must_use]
    pub fn contains(&self, port: Port) -> bool {
        self.first <= port && port <= self.last
    }
}

impl fmt::Display for Ports {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.first == self.last {
            self.first.fmt(f)
        } else {
            write!(f, "{}-{}", self.first, self.last)
        }
    }
}

/// The name of a group of addresses or ports.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct GroupName(String);

impl GroupName {
    /// Parses a name under the rules of a zone's.
    ///
    /// # Errors
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, redan_types::NameError> {
        ZoneName::parse(text).map(|name| Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for GroupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a pool of upstream servers within a service.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct UpstreamName(String);

impl UpstreamName {
    /// Parses a name under the rules of a route's.
    ///
    /// # Errors
    /// Says which character or length is wrong.
    pub fn parse(text: &str) -> Result<Self, redan_types::NameError> {
        RouteName::parse(text).map(|name| Self(name.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UpstreamName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One end of a policy.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Place {
    /// Every zone.
    Any,
    /// The addresses behind the interfaces of a zone.
    Zone(ZoneName),
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Zone(zone) => zone.fmt(f),
        }
    }
}

/// Addresses that a policy matches.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Addresses {
    /// The addresses of a group, written `@name`.
    Group(GroupName),
    /// A network or a single address.
    Network(Cidr),
}

impl fmt::Display for Addresses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "@{name}"),
            Self::Network(network) => network.fmt(f),
        }
    }
}

/// Ports that a policy matches.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum PortMatch {
    /// The ports of a group, written `@name`.
    Group(GroupName),
    /// One port or several in a row.
    Range(Ports),
}

impl fmt::Display for PortMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Group(name) => write!(f, "@{name}"),
            Self::Range(ports) => ports.fmt(f),
        }
    }
}

/// The name of a header field (RFC 9110 section 5.1), in lower case.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FieldName(String);

impl FieldName {
    /// Parses a name.
    ///
    /// # Errors
    /// Anything but a token of RFC 9110 section 5.6.2, at most 64 characters.
    pub fn parse(text: &str) -> Result<Self, String> {
        let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
        if (1..=64).contains(&text.len()) && text.bytes().all(token) {
            Ok(Self(text.to_ascii_lowercase()))
        } else {
            Err(format!("{:?} is not the name of a header field", shown(text)))
        }
    }

    /// The name as text, in lower case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for FieldName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An operator's public key in the form of minisign: 42 bytes in base64, which begin with `Ed`.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct OperatorKey(String);

impl OperatorKey {
    /// Parses a key: the second line of a `.pub` file.
    ///
    /// # Errors
    /// Anything else.
    pub fn parse(text: &str) -> Result<Self, String> {
        let base64 = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'/');
        // "Ed" and the first bits of the key's number, 14 bytes of base64 for 42 without padding.
        if text.len() == 56 && text.starts_with("RW") && text.bytes().all(base64) {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!("{:?} is no public key of minisign", shown(text)))
        }
    }

    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for OperatorKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a header field: visible ASCII and spaces, at most 4096 characters. Empty means that the field is not sent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FieldValue(String);

impl FieldValue {
    /// Parses a value.
    ///
    /// # Errors
    /// Anything but visible ASCII and spaces inside, at most 4096 characters.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() <= 4096 && text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text {
            Ok(Self(text.to_owned()))
        } else {
            Err(format!(
                "{:?} is not the value of a header field: visible ASCII in one line",
                shown(text)
            ))
        }
    }

    /// The value as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the field is left out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for FieldValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

words!(
    /// What a policy does with a packet.
    pub enum Action {
        /// It passes.
        Allow = "allow",
        /// It vanishes.
        Drop = "drop",
        /// The sender is told.
        Reject = "reject",
    }
);

words!(
    /// The lowest TLS version that a service accepts.
    pub enum TlsVersion {
        /// TLS 1.2 (RFC 5246), ECDHE key exchange with AEAD ciphers only.
        V1_2 = "1.2",
        /// TLS 1.3 (RFC 8446).
        V1_3 = "1.3",
    }
);

words!(
    /// What a key of applications does.
    pub enum KeyKind {
        /// Encrypts: AES-256-GCM with a key derived for each random nonce (XAES-256-GCM).
        Aes256 = "aes256",
        /// Signs: Ed25519 (RFC 8032).
        Ed25519 = "ed25519",
        /// Authenticates: HMAC-SHA-256 (RFC 2104).
        Hmac = "hmac",
        /// Signs: ECDSA on P-256 with SHA-256 (FIPS 186-5).
        P256 = "p256",
    }
);

words!(
    /// Where a service's certificate comes from.
    pub enum Certificate {
        /// The vault makes a key and a certificate for the service's hosts.
        Generated = "generated",
    }
);

words!(
    /// A request method (RFC 9110 section 9, RFC 5789). `CONNECT` and `TRACE` are never proxied.
    pub enum Method {
        /// DELETE.
        Delete = "DELETE",
        /// GET.
        Get = "GET",
        /// HEAD.
        Head = "HEAD",
        /// OPTIONS.
        Options = "OPTIONS",
        /// PATCH.
        Patch = "PATCH",
        /// POST.
        Post = "POST",
        /// PUT.
        Put = "PUT",
    }
);

words!(
    /// The media type of a fallback page.
    pub enum PageType {
        /// HTML.
        Html = "text/html",
        /// Plain text.
        Plain = "text/plain",
    }
);
