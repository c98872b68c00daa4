//! HTTP/2 requests brought into the model: what must not reach an HTTP/1.1 upstream.
#![allow(missing_docs, reason = "the names of tests are their documentation")]
#![expect(
    clippy::unwrap_used,
    reason = "a test stops at the first surprise, in its own functions too"
)]

use http::header::{HeaderName, HeaderValue};
use redan_http1::{Fields, Framing, Limits, Method, Persistence, Refusal, RequestHead, RequestWriter};

fn parts(method: &str, uri: &str, fields: &[(&str, &[u8])]) -> http::request::Parts {
    let mut request = http::Request::builder().method(method).uri(uri);
    for (name, value) in fields {
        let value = HeaderValue::from_bytes(value).unwrap();
        request = request.header(HeaderName::from_bytes(name.as_bytes()).unwrap(), value);
    }
    request.body(()).unwrap().into_parts().0
}

fn head(method: &str, uri: &str, fields: &[(&str, &[u8])], ends: bool) -> Result<RequestHead, Refusal> {
    RequestHead::from_h2(&parts(method, uri, fields), ends, &Limits::default())
}

fn get(fields: &[(&str, &[u8])]) -> Result<RequestHead, Refusal> {
    head("GET", "https://localhost/", fields, true)
}

fn written(head: &RequestHead) -> String {
    let mut out = Vec::new();
    let mut writer = RequestWriter::begin(&mut out, head.method(), head.target(), head.authority());
    writer.forward(head.fields());
    writer.finish(head.framing(), Persistence::KeepAlive);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_is_written_as_http_1_1_from_the_model() {
    let fields: [(&str, &[u8]); 4] = [
        ("accept", b"*/*"),
        ("cookie", b"a=1"),
        ("cookie", b"b=2"),
        ("te", b"trailers"),
    ];
    let head = head("POST", "https://Shop.Example:8443/a?b", &fields, false).unwrap();
    assert_eq!(
        written(&head),
        "POST /a?b HTTP/1.1\r\nHost: shop.example:8443\r\naccept: */*\r\ncookie: a=1; b=2\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    assert_eq!(
        (head.method(), head.path(), head.query()),
        (Method::Post, "/a", Some("b"))
    );
}

#[test]
fn connection_specific_fields_are_refused() {
    for (name, value) in [
        ("connection", "close"),
        ("transfer-encoding", "chunked"),
        ("keep-alive", "5"),
        ("proxy-connection", "x"),
        ("upgrade", "h2c"),
        ("te", "gzip"),
        ("http2-settings", "a"),
    ] {
        assert_eq!(
            get(&[(name, value.as_bytes())]).err(),
            Some(Refusal::ConnectionSpecificField),
            "{name}"
        );
    }
}

#[test]
fn a_host_field_must_agree_with_the_authority() {
    assert_eq!(get(&[("host", b"evil")]).err(), Some(Refusal::AuthorityMismatch));
    assert_eq!(
        get(&[("host", b"LocalHost")]).unwrap().authority().to_string(),
        "localhost"
    );
    assert_eq!(
        get(&[("host", b"localhost"), ("host", b"localhost")]).err(),
        Some(Refusal::HostRepeated)
    );
    assert_eq!(
        head("GET", "https://user@localhost/", &[], true).err(),
        Some(Refusal::HostInvalid)
    );
}

#[test]
fn a_request_without_scheme_or_path_is_refused() {
    assert_eq!(
        head("GET", "/", &[("host", b"a")], true).err(),
        Some(Refusal::PseudoHeader)
    );
    for scheme in ["ftp", "http"] {
        let uri = format!("{scheme}://a/");
        assert_eq!(
            head("GET", &uri, &[], true).err(),
            Some(Refusal::PseudoHeader),
            "{scheme}"
        );
    }
    assert_eq!(
        head("CONNECT", "localhost:443", &[], true).err(),
        Some(Refusal::MethodUnknown)
    );
}

#[test]
fn a_length_must_fit_what_follows() {
    assert_eq!(
        get(&[("content-length", b"1")]).err(),
        Some(Refusal::ContentLengthMismatch)
    );
    assert_eq!(
        get(&[("content-length", b"1, 1")]).err(),
        Some(Refusal::ContentLengthInvalid)
    );
    assert_eq!(
        get(&[("content-length", b"1"), ("content-length", b"1")]).err(),
        Some(Refusal::ContentLengthRepeated)
    );
    let framing = |fields: &[(&str, &[u8])], ends| head("POST", "https://a/", fields, ends).map(|head| head.framing());
    assert_eq!(framing(&[("content-length", b"7")], false), Ok(Framing::Length(7)));
    assert_eq!(framing(&[("content-length", b"0")], true), Ok(Framing::Length(0)));
    assert_eq!(
        (framing(&[], true), framing(&[], false)),
        (Ok(Framing::None), Ok(Framing::Chunked))
    );
}

#[test]
fn a_length_of_0_is_believed_only_at_the_end_of_the_stream() {
    let awaits =
        |fields: &[(&str, &[u8])], ends| head("POST", "https://a/", fields, ends).map(|head| head.awaits_end());
    assert_eq!(awaits(&[("content-length", b"0")], false), Ok(true));
    assert_eq!(awaits(&[("content-length", b"0")], true), Ok(false));
    assert_eq!((awaits(&[], false), awaits(&[], true)), (Ok(true), Ok(false)));
}

#[test]
fn values_with_spaces_at_their_ends_and_look_alikes_are_refused() {
    assert_eq!(get(&[("x", b" a")]).err(), Some(Refusal::FieldValueCharacter));
    assert_eq!(
        get(&[("content_length", b"1")]).err(),
        Some(Refusal::FieldNameLookAlike)
    );
}

#[test]
fn the_decoded_size_is_bounded() {
    let long = vec![b'a'; 8_000];
    assert_eq!(
        get(&[("a", &long), ("b", &long), ("c", &long)]).err(),
        Some(Refusal::HeadTooLong)
    );
    assert_eq!(get(&[("a", &[b'a'; 9_000])]).err(), Some(Refusal::LineTooLong));
    let crumbs: Vec<(&str, &[u8])> = vec![("cookie", &long); 2];
    assert_eq!(get(&crumbs).err(), Some(Refusal::LineTooLong));
    let many: Vec<(&str, &[u8])> = vec![("x", b"y"); 101];
    assert_eq!(get(&many).err(), Some(Refusal::TooManyFields));
}

#[test]
fn trailers_are_held_to_the_rules_of_http_1_1() {
    let map = |name: &'static str| {
        let mut map = http::HeaderMap::new();
        map.insert(name, HeaderValue::from_static("1"));
        Fields::from_h2_trailers(&map, &Limits::default())
    };
    assert_eq!(map("grpc-status").unwrap().len(), 1);
    assert_eq!(map("content-length").err(), Some(Refusal::TrailerForbidden));
}

#[test]
fn a_second_authorization_or_content_type_is_refused() {
    for name in ["authorization", "content-type"] {
        assert_eq!(
            get(&[(name, b"a"), (name, b"b")]).err(),
            Some(Refusal::FieldRepeated),
            "{name}"
        );
    }
}

#[test]
fn a_target_follows_the_rules_of_http_1_1() {
    for uri in ["https://a/\u{e9}", "https://a/b?\u{e9}"] {
        assert_eq!(
            head("GET", uri, &[], true).err(),
            Some(Refusal::TargetCharacter),
            "{uri}"
        );
    }
    assert_eq!(head("GET", "https://a?b", &[], true).err(), Some(Refusal::PseudoHeader));
    let star = |method| {
        let mut parts = parts(method, "https://a/", &[]);
        let mut uri = parts.uri.into_parts();
        uri.path_and_query = Some("*".parse().unwrap());
        parts.uri = uri.try_into().unwrap();
        RequestHead::from_h2(&parts, true, &Limits::default())
    };
    assert_eq!(star("GET").err(), Some(Refusal::TargetForm));
    assert!(star("OPTIONS").is_ok());
}
