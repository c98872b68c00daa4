//! The host and port that a request names.

use crate::Refusal;
use redan_types::{HostName, Port};
use std::fmt;
use std::net::Ipv6Addr;

/// The value of `Host` (RFC 9110 section 7.2): a host in lower case and the port, where one was given.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub struct Authority {
    /// The name or address (IPv6 without brackets).
    pub host: HostName,
    /// The port; none means the scheme's default.
    pub port: Option<Port>,
}

impl Authority {
    /// Parses `uri-host [ ":" port ]`. User information, an empty host, an empty port, a trailing dot and percent-encoding are refused;
    /// an IPv6 address needs its brackets.
    ///
    /// # Errors
    /// [`Refusal::HostInvalid`].
    pub fn parse(text: &[u8]) -> Result<Self, Refusal> {
        let text = std::str::from_utf8(text).map_err(|_| Refusal::HostInvalid)?;
        let (host, port) = if let Some(bracketed) = text.strip_prefix('[') {
            let (address, rest) = bracketed.split_once(']').ok_or(Refusal::HostInvalid)?;
            let address: Ipv6Addr = address.parse().map_err(|_| Refusal::HostInvalid)?;
            let port = match rest.strip_prefix(':') {
                Some(digits) => Some(digits),
                None if rest.is_empty() => None,
                None => return Err(Refusal::HostInvalid),
            };
            (HostName::parse(&address.to_string()), port)
        } else {
            let (name, port) = match text.split_once(':') {
                Some((name, digits)) => (name, Some(digits)),
                None => (text, None),
            };
            (HostName::parse(name), port)
        };
        Ok(Self {
            host: host.map_err(|_| Refusal::HostInvalid)?,
            port: port.map(parse_port).transpose()?,
        })
    }

    /// Appends the authority as `Host` carries it.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let host = self.host.as_str();
        if host.contains(':') {
            out.push(b'[');
            out.extend_from_slice(host.as_bytes());
            out.push(b']');
        } else {
            out.extend_from_slice(host.as_bytes());
        }
        if let Some(port) = self.port {
            out.push(b':');
            crate::write::decimal(out, u64::from(port.number()));
        }
    }
}

impl fmt::Display for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = Vec::new();
        self.write(&mut text);
        f.write_str(&String::from_utf8_lossy(&text))
    }
}

fn parse_port(digits: &str) -> Result<Port, Refusal> {
    if digits.is_empty() || digits.len() > 5 || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(Refusal::HostInvalid);
    }
    digits
        .parse()
        .ok()
        .and_then(|number| Port::new(number).ok())
        .ok_or(Refusal::HostInvalid)
}

#[cfg(test)]
mod tests {
    use super::Authority;
    use crate::Refusal;

    #[test]
    fn a_host_is_a_name_or_address_with_an_optional_port() {
        for (text, printed) in [
            ("Shop.Example", "shop.example"),
            ("localhost:8443", "localhost:8443"),
            ("192.0.2.1:1", "192.0.2.1:1"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
            ("[::1]:65535", "[::1]:65535"),
        ] {
            assert_eq!(Authority::parse(text.as_bytes()).unwrap().to_string(), printed);
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for bad in [
            "",
            ":",
            ":80",
            "a:",
            "a:0",
            "a:65536",
            "a:+80",
            "a:080000",
            "a b",
            "a,b",
            "user@a",
            "a/",
            "a?",
            "a#",
            "::1",
            "[::1",
            "[::1]x",
            "[a]",
            "[fe80::1%eth0]",
            "a.",
            "a:80:80",
            "a%41",
            "é",
            "\u{0}",
            "a\\b",
            "[127.0.0.1]",
            "1.2.3",
            "[::1]:",
        ] {
            assert_eq!(Authority::parse(bad.as_bytes()), Err(Refusal::HostInvalid), "{bad:?}");
        }
    }
}
