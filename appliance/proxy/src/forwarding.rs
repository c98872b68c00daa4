//! The request as the upstream gets it: written from the model, never from the client's bytes, without what only the proxy may say.

use crate::connection::Peer;
use crate::snapshot::Published;
use crate::stages::headers::checked;
use crate::stages::{Admitted, Denial, authenticate};
use crate::withheld::withheld;
use redan_http1::{Authority, FieldLines, FieldName, FieldValue, Persistence, RequestHead, RequestWriter, Target};
use redan_ipc::messages::traffic::Verdict;
use std::net::IpAddr;

const ACCEPT_ENCODING: FieldName<'static> = FieldName::constant("accept-encoding");
const IDENTITY: FieldValue<'static> = FieldValue::constant("identity");
const X_REQUEST_ID: FieldName<'static> = FieldName::constant("x-request-id");

/// What the proxy says about where a request came from. The same for every request of a connection that names the same host.
#[derive(Debug)]
pub(crate) struct Origin {
    authority: Authority,
    lines: FieldLines,
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
            lines: FieldLines::of(&checked(&fields)?),
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
    // What is compressed cannot be inspected.
    let inspected = service.waf.as_ref().is_some_and(|waf| waf.response_bodies);
    let mut writer = RequestWriter::begin(out, head.method(), target, head.authority());
    writer.forward_if(head.fields(), |field| {
        let compressed = inspected && field.is("accept-encoding");
        !compressed
            && withheld(field.name().as_bytes()).is_none()
            && authenticate::credential(&service.key_header, field).is_none()
    });
    if inspected {
        writer.field(ACCEPT_ENCODING, IDENTITY);
    }
    writer.lines(&origin.lines);
    if let Ok(id) = FieldValue::new(id) {
        writer.field(X_REQUEST_ID, id);
    }
    writer.finish(head.framing(), Persistence::KeepAlive);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use redan_http1::{Authority, Framing, Method, Persistence, RequestWriter, Target};

    #[test]
    fn an_ipv6_client_and_a_host_with_a_port_are_quoted() {
        let authority = Authority::parse(b"shop.test:8443").unwrap();
        let origin = Origin::new("2001:db8::1".parse().unwrap(), &authority).unwrap();
        let mut written = Vec::new();
        let mut writer = RequestWriter::begin(&mut written, Method::Get, Target::new("/", None).unwrap(), &authority);
        writer.lines(&origin.lines);
        writer.finish(Framing::None, Persistence::KeepAlive);
        let written = String::from_utf8(written).unwrap();
        let forwarded = "\r\nforwarded: for=\"[2001:db8::1]\";proto=https;host=\"shop.test:8443\"\r\n";
        assert!(written.contains(forwarded), "{written}");
    }
}
