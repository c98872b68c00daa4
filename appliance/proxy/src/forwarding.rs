//! The request as the upstream gets it: written from the model, never from the client's bytes, without what only the proxy may say.

use crate::connection::Peer;
use crate::snapshot::Published;
use crate::stages::headers::checked;
use crate::stages::{Admitted, Denial, authenticate};
use redan_http1::{Authority, Field, FieldName, FieldValue, Fields, Persistence, RequestHead, RequestWriter, Target};
use redan_ipc::messages::traffic::Verdict;
use std::net::IpAddr;

const X_REQUEST_ID: FieldName<'static> = FieldName::constant("x-request-id");

/// What the proxy says about where a request came from. The same for every request of a connection that names the same host.
#[derive(Debug)]
pub(crate) struct Origin {
    authority: Authority,
    fields: Fields,
}

impl Origin {
    /// The fields for a client at `address` that named `authority`.
    fn new(address: IpAddr, authority: &Authority) -> Result<Self, String> {
        let host = authority.to_string();
        // RFC 7239 sections 4 and 6: an IPv6 address stands in brackets, and what has a colon in quotes.
        let node = match address {
            IpAddr::V4(v4) => v4.to_string(),
            IpAddr::V6(v6) => format!("\"[{v6}]\""),
        };
        let quote = if host.contains(':') { "\"" } else { "" };
        let forwarded = format!("for={node};proto=https;host={quote}{host}{quote}");
        let fields = [
            ("x-forwarded-for".to_owned(), address.to_string()),
            ("x-forwarded-host".to_owned(), host),
            ("x-forwarded-proto".to_owned(), "https".to_owned()),
            ("forwarded".to_owned(), forwarded),
        ];
        Ok(Self {
            authority: authority.clone(),
            fields: checked(&fields)?,
        })
    }
}

/// Appends the request's head. `id` is the request's identifier in hexadecimal.
pub(crate) fn write_request(
    peer: &Peer,
    service: &Published,
    head: &RequestHead,
    admitted: &Admitted<'_>,
    id: &[u8; 16],
    out: &mut Vec<u8>,
) -> Result<(), Denial> {
    let malformed = |_| Denial::new(Verdict::Framing, 400, "the request cannot be written for the upstream");
    let target = Target::new(admitted.path.forward(), head.target().query()).map_err(malformed)?;
    let mut origin = peer.origin.borrow_mut();
    let origin = match &mut *origin {
        Some(origin) if origin.authority == *head.authority() => origin,
        other => {
            let fresh = Origin::new(peer.address, head.authority())
                .map_err(|error| Denial::new(Verdict::Framing, 400, error))?;
            other.insert(fresh)
        }
    };
    let mut writer = RequestWriter::begin(out, head.method(), target, head.authority());
    writer.forward_if(head.fields(), |field| {
        !is_forwarding(field) && authenticate::credential(&service.key_header, field).is_none()
    });
    writer.forward(&origin.fields);
    if let Ok(id) = FieldValue::new(id) {
        writer.field(X_REQUEST_ID, id);
    }
    writer.finish(head.framing(), Persistence::KeepAlive);
    Ok(())
}

/// Whether a client's field says something that only the proxy may say: where the request came from, what it is called, or that it
/// is for another path. Underscores count as hyphens, since gateways to programs take them for the same.
fn is_forwarding(field: &Field<'_>) -> bool {
    const NAMES: [&str; 8] = [
        "forwarded",
        "proxy",
        "true-client-ip",
        "x-client-ip",
        "x-original-url",
        "x-real-ip",
        "x-request-id",
        "x-rewrite-url",
    ];
    const PREFIX: &[u8] = b"x-forwarded-";
    let name = field.name().as_str().as_bytes();
    let same = |given: &[u8], wanted: &[u8]| {
        given.len() == wanted.len()
            && given
                .iter()
                .zip(wanted)
                .all(|(a, b)| a.to_ascii_lowercase() == *b || (*a == b'_' && *b == b'-'))
    };
    match name.first() {
        Some(b'x' | b'X') => {
            name.get(..PREFIX.len()).is_some_and(|start| same(start, PREFIX))
                || NAMES.iter().any(|wanted| same(name, wanted.as_bytes()))
        }
        Some(b'f' | b'F' | b'p' | b'P' | b't' | b'T') => NAMES.iter().any(|wanted| same(name, wanted.as_bytes())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Origin, is_forwarding};
    use redan_http1::{Authority, Limits, parse_request};

    #[test]
    fn an_ipv6_client_and_a_host_with_a_port_are_quoted() {
        let authority = Authority::parse(b"shop.test:8443").unwrap();
        let origin = Origin::new("2001:db8::1".parse().unwrap(), &authority).unwrap();
        let forwarded = origin.fields.get("forwarded").and_then(redan_http1::FieldValue::as_str);
        assert_eq!(
            forwarded,
            Some("for=\"[2001:db8::1]\";proto=https;host=\"shop.test:8443\"")
        );
    }

    #[test]
    fn what_only_the_proxy_may_say_is_recognised_in_every_spelling() {
        for (name, expected) in [
            ("X-Forwarded-For", true),
            ("x_forwarded_for", true),
            ("X-FORWARDED-ANYTHING", true),
            ("Forwarded", true),
            ("x-real_ip", true),
            ("Proxy", true),
            ("True-Client-IP", true),
            ("X-Original-URL", true),
            ("X-Forwarded", false),
            ("Proxy-Status", false),
            ("X-Requested-With", false),
            ("Accept", false),
        ] {
            let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{name}: 1\r\n\r\n");
            let head = parse_request(head.as_bytes(), &Limits::default())
                .unwrap()
                .unwrap()
                .head;
            let field = head.fields().iter().last().unwrap();
            assert_eq!(is_forwarding(&field), expected, "{name}");
        }
    }
}
