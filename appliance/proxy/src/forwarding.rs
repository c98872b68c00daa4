//! The request as the upstream gets it: written from the model, never from the client's bytes, without what only the proxy may say.

use crate::connection::Peer;
use crate::snapshot::Published;
use crate::stages::{Admitted, Denial, authenticate};
use redan_http1::{Field, FieldName, FieldValue, Persistence, Refusal, RequestHead, RequestWriter, Target};
use redan_ipc::messages::traffic::Verdict;

const FORWARDED: FieldName<'static> = FieldName::constant("forwarded");
const X_FORWARDED_FOR: FieldName<'static> = FieldName::constant("x-forwarded-for");
const X_FORWARDED_HOST: FieldName<'static> = FieldName::constant("x-forwarded-host");
const X_FORWARDED_PROTO: FieldName<'static> = FieldName::constant("x-forwarded-proto");
const X_REQUEST_ID: FieldName<'static> = FieldName::constant("x-request-id");

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
    let host = head.authority().to_string();
    // RFC 7239 section 4: a value with a colon is quoted.
    let quote = if host.contains(':') { "\"" } else { "" };
    let forwarded = format!("{}{quote}{host}{quote}", peer.forwarded);
    let mut writer = RequestWriter::begin(out, head.method(), target, head.authority());
    writer.forward_if(head.fields(), |field| {
        !is_forwarding(field) && authenticate::credential(&service.key_header, field).is_none()
    });
    for (name, text) in [
        (X_FORWARDED_FOR, peer.text.as_bytes()),
        (X_FORWARDED_HOST, host.as_bytes()),
        (X_FORWARDED_PROTO, b"https"),
        (FORWARDED, forwarded.as_bytes()),
        (X_REQUEST_ID, id),
    ] {
        let value = FieldValue::new(text).map_err(|_| malformed(Refusal::FieldValueCharacter))?;
        writer.field(name, value);
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
    use super::is_forwarding;
    use redan_http1::{Limits, parse_request};

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
