//! What is too much, what is named twice, and what is not for the service; and that the client can read why.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{HOST, Rig, Scripted};
use redan_identity::api_key::ApiKey;
use redan_types::Port;
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

fn get(fields: &str) -> String {
    format!("GET / HTTP/1.1\nHost: {HOST}\n{fields}\n")
}

#[test]
fn a_client_that_sends_far_too_long_a_head_can_read_that_it_did() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    for length in [500 << 10, 3 << 20] {
        let mut client = rig.client();
        // All of it is sent before the answer is looked for.
        client.send(format!(
            "GET / HTTP/1.1\r\nHost: {HOST}\r\nX: {}\r\n\r\n",
            "y".repeat(length)
        ));
        let response = client.response();
        assert_eq!((response.status, response.field("connection")), (431, Some("close")));
        assert!(client.is_closed());
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_client_that_sends_all_of_a_body_over_the_limit_can_read_that_it_was() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |slice| slice.services[0].limits.body = 1_000);
    let body = "b".repeat(4 << 20);
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    ));
    assert_eq!(client.response().status, 413);
    assert!(client.is_closed());
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
        body.len()
    ));
    assert_eq!(client.response().status, 413);
    assert!(client.is_closed());
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_chunk_size_over_the_limit_is_refused_before_the_chunk_comes() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |slice| slice.services[0].limits.body = 1_000);
    for sizes in [
        "3e9\r\n",
        "7fffffffffffffff\r\n",
        "8000000000000000\r\n",
        "ffffffffffffffff\r\n",
        "1\r\na\r\nffffffffffffffff\r\n",
        "2\r\nab\r\nfffffffffffffffe\r\n",
    ] {
        let start = Instant::now();
        let mut client = rig.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{sizes}"
        ));
        let response = client.response();
        assert_eq!(
            (response.status, response.field("connection")),
            (413, Some("close")),
            "{sizes:?}"
        );
        assert!(
            start.elapsed() < Duration::from_secs(4),
            "at once, not when a deadline passed"
        );
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_port_in_host_is_one_that_the_service_is_published_on() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].ports = vec![Port::new(443).unwrap(), Port::new(8443).unwrap()];
    });
    for (port, status) in [("", 200), (":443", 200), (":8443", 200), (":80", 421), (":65535", 421)] {
        let response = rig.ask(&format!("GET / HTTP/1.1\nHost: {HOST}{port}\n\n"));
        assert_eq!(response.status, status, "{port:?}");
    }
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn a_port_in_host_that_is_none_is_refused_whatever_is_published() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    for host in [
        "shop.test:",
        "shop.test:0",
        "shop.test:65536",
        "shop.test:99999999999",
        "shop.test:443x",
        "shop.test:+443",
        "shop.test: 443",
        "shop.test:443:443",
        "shop.test:443/",
        "user@shop.test",
        "user:443@shop.test",
        "shop.test:443@evil.test",
    ] {
        let response = rig.ask(&format!("GET / HTTP/1.1\nHost: {host}\n\n"));
        assert_eq!(
            (response.status, response.field("connection")),
            (400, Some("close")),
            "{host}"
        );
    }
    assert!(upstream.requests().is_empty());
    assert_eq!(rig.ask(&format!("GET / HTTP/1.1\nHost: {HOST}:7\n\n")).status, 200);
}

#[test]
fn two_credentials_are_refused_whichever_of_them_is_a_key() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    let key = ApiKey::generate().unwrap();
    let bearer = format!("Authorization: Bearer {}\n", key.secret().expose());
    let basic = "Authorization: Basic YTpi\n";
    for fields in [
        format!("{bearer}{basic}"),
        format!("{basic}{bearer}"),
        format!("{basic}{basic}"),
        format!("{bearer}{bearer}"),
        "X-API-Key: a\nX-Api-Key: b\n".to_owned(),
        "Content-Type: text/plain\nContent-Type: text/html\n".to_owned(),
    ] {
        assert_eq!(rig.ask(&get(&fields)).status, 400, "{fields}");
    }
    assert!(upstream.requests().is_empty());
    assert_eq!(rig.ask(&get(basic)).status, 200);
}

#[test]
fn what_upstreams_believe_comes_from_the_proxy_only() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    let fields = "Remote-User: root\nX-Remote-User: root\nX-Auth-Request-Email: root\nX-HTTP-Method-Override: DELETE\n\
        X-Rewrite-URL: /admin\nX-Client-IP: 6.6.6.6\nSSL-Client-Verify: SUCCESS\nRemote_User: root\nMy_Field: 1\n\
        X-Middleware-Subrequest: middleware\nX-Auth-Token: theirs\nX-Requested-With: a\n";
    assert_eq!(rig.ask(&get(fields)).status, 200);
    let request = upstream.requests()[0].to_lowercase();
    let passed: Vec<&str> = request
        .lines()
        .filter_map(|line| Some(line.split_once(": ")?.0))
        .collect();
    assert_eq!(
        passed,
        [
            "host",
            "x-auth-token",
            "x-requested-with",
            "x-forwarded-for",
            "x-forwarded-host",
            "x-forwarded-proto",
            "forwarded",
            "x-request-id",
        ]
    );
}
