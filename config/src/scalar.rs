//! Single values of the document: times, sizes, addresses, ports, texts.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use redan_types::{
    Cidr, HostName, InterfaceName, NetError, PolicyName, Port, Protocol, RoleName, RouteName, ServiceName, UserName,
    ZoneName,
};
use toml::de::DeValue;

use crate::read::{Named, Node, Read, Reader, Shape, Tree, words};
use crate::suggest;

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

/// The value of a header field: visible ASCII and spaces, at most 4096 characters. Empty means that the field is not sent.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct FieldValue(String);

impl FieldValue {
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

/// A text longer than any sensible single value is not echoed in full.
fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Reads a string through `parse`.
fn parsed<T>(
    node: &Node<'_>,
    reader: &mut Reader,
    wanted: &str,
    example: &str,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = reader.text(node, wanted)?;
    match parse(text) {
        Ok(value) => Some(value),
        Err(error) => {
            reader.wrong(
                node,
                error,
                format!("expected {wanted}"),
                Some(format!("for instance {example}")),
            );
            None
        }
    }
}

macro_rules! read_parsed {
    ($type:ty, $wanted:literal, $example:literal, $parse:expr) => {
        impl Read for $type {
            fn shape() -> Shape {
                Shape::Value(concat!($wanted, ", for instance `", $example, "`").to_owned())
            }

            fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
                parsed(node, reader, $wanted, $example, $parse)
            }

            fn tree(&self) -> Tree {
                Tree::Value(self.to_string())
            }
        }
    };
}

read_parsed!(ZoneName, "a zone's name", "\"public\"", |text| ZoneName::parse(text)
    .map_err(|e| named(text, &e)));
read_parsed!(PolicyName, "a policy's name", "\"web-in\"", |text| PolicyName::parse(
    text
)
.map_err(|e| named(text, &e)));
read_parsed!(RouteName, "a route's name", "\"api\"", |text| RouteName::parse(text)
    .map_err(|e| named(text, &e)));
read_parsed!(RoleName, "a role's name", "\"user\"", |text| RoleName::parse(text)
    .map_err(|e| named(text, &e)));
read_parsed!(UserName, "a user's name", "\"ann\"", |text| UserName::parse(text)
    .map_err(|e| named(text, &e)));
read_parsed!(UpstreamName, "an upstream's name", "\"main\"", |text| {
    UpstreamName::parse(text).map_err(|e| named(text, &e))
});
read_parsed!(InterfaceName, "an interface's name", "\"eth0\"", |text| {
    InterfaceName::parse(text).map_err(|e| named(text, &e))
});
read_parsed!(HostName, "a host name", "\"shop.example.org\"", |text| HostName::parse(
    text
)
.map_err(|e| e.to_string()));
read_parsed!(Cidr, "a network or an address", "\"192.0.2.0/24\"", network);
read_parsed!(
    InterfaceAddress,
    "an address with its prefix length",
    "\"192.0.2.1/24\"",
    interface_address
);
read_parsed!(Endpoint, "an address with a port", "\"192.0.2.5:8080\"", endpoint);
read_parsed!(Place, "a zone's name or \"any\"", "\"public\"", |text| match text {
    "any" => Ok(Place::Any),
    zone => ZoneName::parse(zone).map(Place::Zone).map_err(|e| named(text, &e)),
});
read_parsed!(
    Addresses,
    "a network, an address or a \"@group\"",
    "\"192.0.2.0/24\"",
    |text| match text.strip_prefix('@') {
        Some(group) => GroupName::parse(group)
            .map(Addresses::Group)
            .map_err(|e| named(group, &e)),
        None => network(text).map(Addresses::Network),
    }
);
read_parsed!(
    FieldName,
    "the name of a header field",
    "\"x-api-key\"",
    FieldName::parse
);
read_parsed!(FieldValue, "the value of a header field", "\"no-referrer\"", |text| {
    if text.len() <= 4096 && text.bytes().all(|b| matches!(b, b' '..=b'~')) && text.trim() == text {
        Ok(FieldValue(text.to_owned()))
    } else {
        Err(format!(
            "{:?} is not the value of a header field: visible ASCII in one line",
            shown(text)
        ))
    }
});
read_parsed!(IpAddr, "an address", "\"192.0.2.1\"", |text| text
    .parse()
    .map_err(|_| NetError::Address(shown(text)).to_string()));

fn named(text: &str, error: &redan_types::NameError) -> String {
    format!("{:?} is not a name: {error}", shown(text))
}

fn network(text: &str) -> Result<Cidr, String> {
    if text.len() > 64 {
        return Err(NetError::Address(shown(text)).to_string());
    }
    text.parse().map_err(|error: NetError| error.to_string())
}

fn interface_address(text: &str) -> Result<InterfaceAddress, String> {
    let (address, digits) = text
        .split_once('/')
        .ok_or_else(|| format!("{:?} lacks the prefix length of its network", shown(text)))?;
    let address: IpAddr = address
        .parse()
        .map_err(|_| NetError::Address(shown(address)).to_string())?;
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let prefix = digits
        .parse()
        .ok()
        .filter(|prefix| (1..=longest).contains(prefix) && digits.bytes().all(|b| b.is_ascii_digit()))
        .ok_or_else(|| NetError::Prefix(shown(digits), longest).to_string())?;
    let found = InterfaceAddress { address, prefix };
    let network = found.network();
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} cannot be an interface's address"));
    }
    if network.address() == address && prefix < longest - 1 {
        return Err(format!("{text} is the network itself, not an address in it"));
    }
    Ok(found)
}

fn endpoint(text: &str) -> Result<Endpoint, String> {
    let socket: std::net::SocketAddr = text
        .parse()
        .map_err(|_| format!("{:?} is not an address with a port", shown(text)))?;
    let port = Port::new(socket.port()).map_err(|error| error.to_string())?;
    let address = socket.ip();
    if address.is_unspecified() || address.is_multicast() {
        return Err(format!("{address} is not an address that can be connected to"));
    }
    Ok(Endpoint { address, port })
}

impl Read for GroupName {
    fn shape() -> Shape {
        Shape::Value("a group's name".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        parsed(node, reader, "a group's name", "\"office\"", |text| {
            Self::parse(text).map_err(|e| named(text, &e))
        })
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

macro_rules! key_name {
    ($($type:ident = $placeholder:literal),+ $(,)?) => {
        $(impl Named for $type {
            const PLACEHOLDER: &'static str = $placeholder;
            fn named(text: &str) -> Result<Self, String> {
                Self::parse(text).map_err(|error| error.to_string())
            }
        })+
    };
}

key_name!(
    FieldName = "FIELD",
    GroupName = "GROUP",
    InterfaceName = "INTERFACE",
    RoleName = "ROLE",
    ServiceName = "SERVICE",
    UpstreamName = "UPSTREAM",
);

impl Named for ZoneName {
    const PLACEHOLDER: &'static str = "ZONE";

    fn named(text: &str) -> Result<Self, String> {
        if text == "any" {
            return Err("in a policy it means every zone".to_owned());
        }
        Self::parse(text).map_err(|error| error.to_string())
    }
}

impl Read for bool {
    fn shape() -> Shape {
        Shape::Value("`true` or `false`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let value = node.get_ref().as_bool();
        if value.is_none() {
            reader.wrong_type(node, "a boolean");
        }
        value
    }

    fn tree(&self) -> Tree {
        Tree::Value(if *self { "on" } else { "off" }.to_owned())
    }
}

/// An integer of the document, whatever its radix.
fn integer(node: &Node<'_>) -> Option<u64> {
    let integer = node.get_ref().as_integer()?;
    u64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

macro_rules! read_integer {
    ($($type:ty),+) => {
        $(impl Read for $type {
            fn shape() -> Shape {
                Shape::Value("an integer".to_owned())
            }

            fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
                if !node.get_ref().is_integer() {
                    reader.wrong_type(node, "an integer");
                    return None;
                }
                let value = integer(node).and_then(|value| <$type>::try_from(value).ok());
                if value.is_none() {
                    let label = format!("expected an integer from 0 to {}", Self::MAX);
                    reader.wrong(node, "the number is out of range", label, None);
                }
                value
            }

            fn stand_in() -> Option<Self> {
                Some(1)
            }

            fn tree(&self) -> Tree {
                Tree::Value(self.to_string())
            }
        })+
    };
}

read_integer!(u8, u16, u32, u64);

impl Read for Port {
    fn shape() -> Shape {
        Shape::Value("a port, 1 to 65535".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        if !node.get_ref().is_integer() {
            reader.wrong_type(node, "an integer from 1 to 65535");
            return None;
        }
        let port = integer(node)
            .and_then(|n| u16::try_from(n).ok())
            .and_then(|n| Self::new(n).ok());
        if port.is_none() {
            reader.wrong(node, "not a port", "expected an integer from 1 to 65535", None);
        }
        port
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

fn ports(node: &Node<'_>, reader: &mut Reader) -> Option<Ports> {
    if node.get_ref().is_integer() {
        return Port::read(node, reader).map(|port| Ports {
            first: port,
            last: port,
        });
    }
    parsed(
        node,
        reader,
        "a port, or \"first-last\"",
        "443 or \"8000-8080\"",
        |text| {
            let port = |digits: &str| {
                let digits = digits.trim();
                digits
                    .parse()
                    .ok()
                    .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()))
                    .and_then(|n| Port::new(n).ok())
            };
            let (first, last) = text.split_once('-').unwrap_or((text, text));
            match (port(first), port(last)) {
                (Some(first), Some(last)) if first <= last => Ok(Ports { first, last }),
                (Some(first), Some(last)) => Err(format!(
                    "the range ends before it starts; did you mean \"{last}-{first}\"?"
                )),
                _ => Err(format!("{:?} is neither a port nor a range of ports", shown(text))),
            }
        },
    )
}

impl Read for Ports {
    fn shape() -> Shape {
        Shape::Value("a port, or a range such as `\"8000-8080\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        ports(node, reader)
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

impl Read for PortMatch {
    fn shape() -> Shape {
        Shape::Value("a port, a range such as `\"8000-8080\"`, or a `\"@group\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        match node.get_ref() {
            DeValue::String(text) if text.starts_with('@') => {
                parsed(node, reader, "a \"@group\"", "\"@web\"", |text| {
                    let group = text.trim_start_matches('@');
                    GroupName::parse(group).map(Self::Group).map_err(|e| named(group, &e))
                })
            }
            _ => ports(node, reader).map(Self::Range),
        }
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

/// Reads a text of printable characters, several lines allowed.
impl Read for String {
    fn shape() -> Shape {
        Shape::Value("a text".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        const LIMIT: usize = 64 * 1024;
        let text = reader.text(node, "a string")?;
        if text.len() > LIMIT {
            reader.wrong(
                node,
                format!("a text of {} bytes", text.len()),
                format!("at most {LIMIT} bytes"),
                None,
            );
            return None;
        }
        if let Some(bad) = text
            .chars()
            .find(|c| c.is_control() && !matches!(c, '\n' | '\t' | '\r'))
        {
            reader.wrong(
                node,
                format!("the text holds the control character {bad:?}"),
                "remove it",
                None,
            );
            return None;
        }
        Some(text.to_owned())
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.clone())
    }
}

impl Read for Size {
    fn shape() -> Shape {
        Shape::Value("a size: bytes, or such as `\"64KiB\"`, `\"1MiB\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        if let Some(bytes) = integer(node) {
            return Some(Self(bytes));
        }
        parsed(node, reader, "a size", "\"64KiB\" or \"1MiB\"", |text| {
            let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
            let shift = match text.get(digits.len()..) {
                Some("B") => 0,
                Some("KiB") => 10,
                Some("MiB") => 20,
                Some("GiB") => 30,
                Some("KB" | "kB" | "K" | "k" | "kib") => return Err("kibibytes are written KiB".to_owned()),
                Some("MB" | "M" | "m" | "mib") => return Err("mebibytes are written MiB".to_owned()),
                _ => {
                    return Err(format!(
                        "{:?} is not a size with the unit B, KiB, MiB or GiB",
                        shown(text)
                    ));
                }
            };
            let digits = digits.trim();
            let number: Option<u64> = digits
                .parse()
                .ok()
                .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
            number
                .and_then(|number| number.checked_mul(1 << shift))
                .map(Self)
                .ok_or_else(|| format!("{:?} is not a size", shown(text)))
        })
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}

/// The units of time that the document uses, in milliseconds, the largest first.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// A duration as the document writes it: `90d`, `15m`, `250ms`.
#[must_use]
pub fn duration_text(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    UNITS
        .iter()
        .find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit))
        .map_or_else(|| "0s".to_owned(), |(name, unit)| format!("{}{name}", millis / unit))
}

/// Reads a duration in the document's form.
///
/// # Errors
/// Says what is wrong.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = text.get(digits.len()..).unwrap_or_default();
    let Some((_, unit)) = UNITS.iter().find(|(name, _)| *name == unit) else {
        let near = suggest::closest(unit, UNITS.iter().map(|(name, _)| *name)).filter(|_| !unit.is_empty());
        let meant = near
            .map(|near| format!("; did you mean \"{digits}{near}\"?"))
            .unwrap_or_default();
        return Err(format!(
            "{:?} is not a duration with the unit ms, s, m, h or d{meant}",
            shown(text)
        ));
    };
    let number: Option<u64> = digits
        .parse()
        .ok()
        .filter(|_| digits.bytes().all(|b| b.is_ascii_digit()));
    number
        .and_then(|number| number.checked_mul(*unit))
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{:?} is not a duration", shown(text)))
}

impl Read for Duration {
    fn shape() -> Shape {
        Shape::Value("a duration such as `\"250ms\"`, `\"30s\"`, `\"15m\"`, `\"90d\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        if let Some(number) = integer(node) {
            let help = format!("write \"{number}s\" for seconds");
            reader.wrong(node, "a duration needs its unit", "expected a duration", Some(help));
            return None;
        }
        parsed(
            node,
            reader,
            "a duration",
            "\"30s\", \"250ms\" or \"15m\"",
            parse_duration,
        )
    }

    fn tree(&self) -> Tree {
        Tree::Value(duration_text(*self))
    }
}

/// Packet protocols are words of the document, defined elsewhere.
impl Read for Protocol {
    fn shape() -> Shape {
        Shape::Value("`\"tcp\"` or `\"udp\"` or `\"icmp\"`".to_owned())
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let text = reader.text(node, "a string")?;
        let found = [Self::Tcp, Self::Udp, Self::Icmp]
            .into_iter()
            .find(|one| one.to_string() == text);
        if found.is_none() {
            suggest::not_a_word(text, &["tcp", "udp", "icmp"], node, reader);
        }
        found
    }

    fn tree(&self) -> Tree {
        Tree::Value(self.to_string())
    }
}
