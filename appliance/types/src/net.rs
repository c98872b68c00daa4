//! Addresses, ports and host names.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::IpAddr;
use std::num::NonZeroU16;
use std::str::FromStr;

/// Why a text is not an address, a prefix, a port or a host name.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum NetError {
    /// Not an IPv4 or IPv6 address.
    #[error("{0:?} is not an IPv4 or IPv6 address")]
    Address(String),
    /// The prefix length is not a number, or too long for the address family.
    #[error("the prefix length {0:?} is not between 0 and {1}")]
    Prefix(String, u8),
    /// Bits after the prefix are set, so the text names a host and not a network.
    #[error("{text} has bits set after the prefix; the network is {network}")]
    HostBits {
        /// The text given.
        text: String,
        /// The network that contains it.
        network: Cidr,
    },
    /// A port of 0.
    #[error("a port is a number from 1 to 65535")]
    Port,
    /// Not a DNS name of letters, digits and hyphens, nor an address.
    #[error("{0:?} is not a host name: labels of letters, digits and '-' separated by dots, at most 253 characters")]
    Host(String),
}

/// A TCP or UDP port, never 0.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Port(NonZeroU16);

impl Port {
    /// A port from its number.
    ///
    /// # Errors
    /// 0 is no port.
    pub fn new(number: u16) -> Result<Self, NetError> {
        NonZeroU16::new(number).map(Self).ok_or(NetError::Port)
    }

    /// The number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A transport protocol that a policy can name.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Protocol {
    /// ICMP for IPv4 and ICMPv6 for IPv6.
    Icmp,
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Icmp => "icmp",
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        })
    }
}

/// A network: an address and a prefix length, no bits set after the prefix.
#[derive(Clone, Copy, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct Cidr {
    address: IpAddr,
    prefix: u8,
}

impl Cidr {
    /// The network of `prefix` bits that contains `address`. A prefix longer than the family's is cut to it.
    #[must_use]
    pub fn containing(address: IpAddr, prefix: u8) -> Self {
        match address {
            IpAddr::V4(v4) => {
                let prefix = prefix.min(32);
                let mask = u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0);
                Self {
                    address: IpAddr::V4((v4.to_bits() & mask).into()),
                    prefix,
                }
            }
            IpAddr::V6(v6) => {
                let prefix = prefix.min(128);
                let mask = u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0);
                Self {
                    address: IpAddr::V6((v6.to_bits() & mask).into()),
                    prefix,
                }
            }
        }
    }

    /// The network of one address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        Self::containing(address, 128)
    }

    /// The first address.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }

    /// The prefix length in bits.
    #[must_use]
    pub const fn prefix(&self) -> u8 {
        self.prefix
    }

    /// Whether `address` lies within; an address of the other family never does.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Self::containing(address, self.prefix).address == self.address
    }

    /// Whether any address lies in both.
    #[must_use]
    pub fn overlaps(&self, other: &Self) -> bool {
        self.contains(other.address) || other.contains(self.address)
    }
}

impl FromStr for Cidr {
    type Err = NetError;

    /// Reads `192.0.2.0/24`, or an address alone as a network of one.
    fn from_str(text: &str) -> Result<Self, NetError> {
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| NetError::Address(address.to_owned()))?;
        let longest = if address.is_ipv4() { 32 } else { 128 };
        let prefix = match prefix {
            None => longest,
            Some(digits) => digits
                .parse()
                .ok()
                .filter(|prefix| *prefix <= longest && digits.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(|| NetError::Prefix(digits.to_owned(), longest))?,
        };
        let network = Self::containing(address, prefix);
        if network.address == address {
            Ok(network)
        } else {
            Err(NetError::HostBits {
                text: text.to_owned(),
                network,
            })
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

impl fmt::Debug for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A host name in lower case without a trailing dot (RFC 1123 section 2.1), or the text of an IP address (IPv6 without brackets).
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(into = "String", try_from = "String")]
pub struct HostName(String);

impl HostName {
    /// Parses a name; letters are folded to lower case.
    ///
    /// # Errors
    /// Empty labels, labels over 63 characters or with a hyphen at an end, other characters, and over 253 characters.
    pub fn parse(text: &str) -> Result<Self, NetError> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.to_string()));
        }
        let wrong = || NetError::Host(text.chars().take(260).collect());
        if text.is_empty() || text.len() > 253 {
            return Err(wrong());
        }
        let good = |label: &str| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        // A last label of digits only would read as a broken IPv4 address (WHATWG URL, "ends in a number").
        let numeric = text
            .rsplit('.')
            .next()
            .is_some_and(|last| last.bytes().all(|b| b.is_ascii_digit()));
        if numeric || !text.split('.').all(good) {
            return Err(wrong());
        }
        Ok(Self(text.to_ascii_lowercase()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The address, where the name is one.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.0.parse().ok()
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for HostName {
    type Error = NetError;
    fn try_from(text: String) -> Result<Self, NetError> {
        Self::parse(&text)
    }
}

impl From<HostName> for String {
    fn from(name: HostName) -> Self {
        name.0
    }
}

#[cfg(test)]
mod tests {
    use super::{Cidr, HostName, NetError};

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_contains_its_addresses_and_no_others() {
        let network = cidr("192.0.2.0/25");
        assert!(network.contains("192.0.2.127".parse().unwrap()));
        assert!(!network.contains("192.0.2.128".parse().unwrap()));
        assert!(!network.contains("::ffff:192.0.2.1".parse().unwrap()));
        assert!(cidr("0.0.0.0/0").contains("255.255.255.255".parse().unwrap()));
        assert!(cidr("::/0").overlaps(&cidr("2001:db8::/32")));
        assert!(!cidr("10.0.0.0/8").overlaps(&cidr("11.0.0.0/8")));
    }

    #[test]
    fn bits_after_the_prefix_are_refused_with_the_network_meant() {
        let error = "192.0.2.5/24".parse::<Cidr>().unwrap_err();
        assert_eq!(
            error,
            NetError::HostBits {
                text: "192.0.2.5/24".into(),
                network: cidr("192.0.2.0/24")
            }
        );
        assert!("192.0.2.0/33".parse::<Cidr>().is_err());
        assert!("192.0.2.0/+4".parse::<Cidr>().is_err());
    }

    #[test]
    fn host_names_are_folded_and_checked() {
        assert_eq!(HostName::parse("Shop.Example").unwrap().as_str(), "shop.example");
        assert_eq!(HostName::parse("2001:DB8::1").unwrap().as_str(), "2001:db8::1");
        for bad in ["", ".", "a..b", "-a", "a-", "a b", "a.1", "300.1.1.1", "a\0", "é"] {
            assert!(HostName::parse(bad).is_err(), "{bad:?}");
        }
    }
}
