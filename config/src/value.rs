//! How single values are read from the document.

use std::net::IpAddr;

use redan_types::{
    Cidr, HostName, InterfaceName, KeyName, NetError, PolicyName, Port, Protocol, RoleName, RouteName, ServiceName,
    UserName, ZoneName,
};
use toml::de::DeValue;

use crate::read::{Named, Node, Read, Reader, Shape, Tree};
use crate::scalar::{
    Addresses, Endpoint, FieldName, FieldValue, GroupName, InterfaceAddress, OperatorKey, Place, PortMatch, Ports,
    Size, UpstreamName,
};
use crate::suggest;
use crate::waf::{ExceptionPath, FolderPath, Parameter, RuleSetName};

/// A text longer than any sensible single value is not echoed in full.
pub(crate) fn shown(text: &str) -> String {
    text.chars().take(80).collect()
}

/// Reads a string through `parse`.
pub(crate) fn parsed<T>(
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
read_parsed!(RuleSetName, "a rule set's name", "\"crs\"", |text| {
    RuleSetName::parse(text).map_err(|e| named(text, &e))
});
read_parsed!(
    FolderPath,
    "an absolute path",
    "\"/usr/share/modsecurity-crs\"",
    FolderPath::parse
);
read_parsed!(
    ExceptionPath,
    "a path, or the beginning of paths with a `*` at its end",
    "\"/search\" or \"/api/*\"",
    ExceptionPath::parse
);
read_parsed!(Parameter, "a part of a request", "\"ARGS:q\"", Parameter::parse);
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
read_parsed!(
    OperatorKey,
    "a public key of minisign",
    "\"RWQAAQIDBAUGBygpKissLS4vMDEyMzQ1Njc4OTo7PD0+P0BBQkNERUZH\"",
    OperatorKey::parse
);
read_parsed!(
    FieldValue,
    "the value of a header field",
    "\"no-referrer\"",
    FieldValue::parse
);
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
    KeyName = "KEY",
    RoleName = "ROLE",
    ServiceName = "SERVICE",
    RuleSetName = "RULES",
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
pub(crate) fn integer(node: &Node<'_>) -> Option<u64> {
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
