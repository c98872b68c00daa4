//! HTTP/1.1 through the proxy: framing, persistence, bodies, what goes on to the upstream and what comes back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{Client, HOST, Rig, Scripted, eventually};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::time::Duration;

const HELLO: &str = "HTTP/1.1 200 OK\nServer: secret/1.0\nContent-Length: 5\n\nhello";

fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\nHost: {HOST}\n\n")
}

#[test]
fn a_connection_is_kept_for_further_requests() {
    let upstream = Scripted::answering(HELLO);
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    for _ in 0..3 {
        let response = client.ask(&get("/a?b=c"));
        assert_eq!((response.status, response.text().as_str()), (200, "hello"));
        assert_eq!(response.field("server"), None);
        assert_eq!(response.field("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.field("x-frame-options"), Some("DENY"));
        assert_eq!(response.field("x-request-id").unwrap().len(), 16);
    }
    let requests = upstream.requests();
    assert_eq!(requests.len(), 3);
    assert!(
        requests[0].starts_with("GET /a?b=c HTTP/1.1\r\nHost: shop.test\r\n"),
        "{}",
        requests[0]
    );
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn a_client_cannot_say_where_it_came_from() {
    let upstream = Scripted::answering(HELLO);
    let rig = Rig::start(upstream.address, |_| {});
    let response = rig.ask(&format!(
        "GET / HTTP/1.1\nHost: {HOST}\nX-Forwarded-For: 6.6.6.6\nx_forwarded_for: 6.6.6.6\nForwarded: for=6.6.6.6\n\
         X-Real-IP: 6.6.6.6\nX-Original-URL: /admin\nProxy: evil\nX-Request-Id: theirs\nConnection: X-Secret\nX-Secret: 1\n\
         Authorization: Basic YTpi\n\n"
    ));
    assert_eq!(response.status, 200);
    let request = &upstream.requests()[0];
    assert!(
        !request.contains("6.6.6.6") && !request.contains("evil") && !request.contains("theirs"),
        "{request}"
    );
    assert!(
        !request.contains("/admin") && !request.to_lowercase().contains("x-secret"),
        "{request}"
    );
    assert!(
        request.contains("\r\nAuthorization: Basic YTpi\r\n"),
        "an application's own credentials are its own"
    );
    assert!(request.contains("\r\nx-forwarded-for: 127.0.0.1\r\n"), "{request}");
    assert!(request.contains("\r\nx-forwarded-proto: https\r\n"), "{request}");
    assert!(
        request.contains("\r\nforwarded: for=127.0.0.1;proto=https;host=shop.test\r\n"),
        "{request}"
    );
    assert!(request.contains(&format!(
        "\r\nx-request-id: {}\r\n",
        response.field("x-request-id").unwrap()
    )));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = Scripted::start(|_, socket, request| {
        while let Some(text) = request(socket) {
            let path = text.split(' ').nth(1).unwrap().to_owned();
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{path}",
                path.len()
            );
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(
        (0..20)
            .map(|i| get(&format!("/{i}")).replace('\n', "\r\n"))
            .collect::<String>(),
    );
    for i in 0..20 {
        assert_eq!(client.response().text(), format!("/{i}"));
    }
}

#[test]
fn a_body_passes_by_length_and_in_chunks() {
    let upstream = Scripted::start(|_, socket, request| {
        while let Some(text) = request(socket) {
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    let response = client.ask(&format!("POST / HTTP/1.1\nHost: {HOST}\nContent-Length: 4\n\nbody"));
    assert_eq!(response.text(), "body");
    let chunked =
        format!("POST / HTTP/1.1\nHost: {HOST}\nTransfer-Encoding: chunked\n\n3\nabc\n4\ndefg\n0\nX-T: 1\n\n");
    let response = client.ask(&chunked);
    assert!(!response.text().contains("X-T"), "trailers of a request end here");
    assert!(response.text().ends_with("0\r\n\r\n"), "{}", response.text());
    // In pieces, each its own record.
    let large = "x".repeat(300_000);
    client.send(format!(
        "PUT / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n",
        large.len()
    ));
    for piece in large.as_bytes().chunks(7_000) {
        client.send(piece);
    }
    assert_eq!(client.response().text(), large);
    assert_eq!(client.ask(&format!("POST / HTTP/1.1\nHost: {HOST}\n\n")).text(), "");
}

#[test]
fn a_response_passes_whatever_its_framing() {
    let long = "y".repeat(200_000);
    let answer = long.clone();
    let upstream = Scripted::start(move |_, socket, request| {
        while let Some(text) = request(socket) {
            let sent = match text.split(' ').nth(1).unwrap() {
                "/length" => write!(
                    socket,
                    "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{answer}",
                    answer.len()
                ),
                "/chunked" => write!(
                    socket,
                    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{answer}\r\n1\r\nz\r\n0\r\nX-Sum: 7\r\n\r\n",
                    answer.len()
                ),
                "/close" => {
                    let _ = write!(socket, "HTTP/1.1 200 OK\r\n\r\n{answer}");
                    return;
                }
                "/interim" => write!(
                    socket,
                    "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                ),
                "/none" => write!(socket, "HTTP/1.1 204 No Content\r\n\r\n"),
                _ => write!(socket, "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\n\r\n"),
            };
            sent.unwrap();
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    assert_eq!(client.ask(&get("/length")).text(), long);
    let chunked = client.ask(&get("/chunked"));
    assert_eq!(chunked.text(), format!("{long}z"));
    let closed = client.ask(&get("/close"));
    assert_eq!(
        (closed.field("transfer-encoding"), closed.text()),
        (Some("chunked"), long)
    );
    assert_eq!(client.ask(&get("/interim")).text(), "ok");
    assert_eq!(client.ask(&get("/none")).status, 204);
    assert_eq!(client.ask(&get("/same")).field("etag"), Some("\"x\""));
    client.send(format!("HEAD /length HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    // The scripted server answers HEAD with a body, which must not be taken for anything.
    assert_eq!(client.response_to(true).field("content-length"), Some("200000"));
    assert_eq!(client.ask(&get("/none")).status, 204, "the connection goes on");
}

#[test]
fn an_http_1_0_client_is_served_and_not_kept() {
    let upstream = Scripted::answering("HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n5\nhello\n0\n\n");
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    let response = client.ask(&format!("GET / HTTP/1.0\nHost: {HOST}\nConnection: keep-alive\n\n"));
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(
        (response.field("transfer-encoding"), response.text().as_str()),
        (None, "hello")
    );
    assert!(client.is_closed());
}

#[test]
fn a_client_that_wants_to_close_gets_its_response_and_the_end() {
    let upstream = Scripted::answering(HELLO);
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    let response = client.ask(&format!("GET / HTTP/1.1\nHost: {HOST}\nConnection: close\n\n"));
    assert_eq!(
        (response.field("connection"), response.text().as_str()),
        (Some("close"), "hello")
    );
    assert!(client.is_closed());
    eventually("the connection is counted down", || rig.proxy.connections() == 0);
}

#[test]
fn a_100_is_sent_only_to_what_may_go_on() {
    let upstream = Scripted::answering(HELLO);
    let rig = Rig::start(upstream.address, |slice| slice.services[0].limits.body = 10);
    let mut client = rig.client();
    let expect =
        |length: u32| format!("POST / HTTP/1.1\nHost: {HOST}\nContent-Length: {length}\nExpect: 100-continue\n\n");
    assert_eq!(client.ask(&expect(4)).status, 100);
    client.send("body");
    assert_eq!(client.response().status, 200);
    assert!(!upstream.requests()[0].to_lowercase().contains("expect"));
    let refused = client.ask(&expect(11));
    assert_eq!((refused.status, refused.field("connection")), (413, Some("close")));
    assert!(client.is_closed());
}

#[test]
fn a_body_over_the_limit_is_refused_before_and_while_it_is_read() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |slice| slice.services[0].limits.body = 1_000);
    let announced = rig.ask(&format!("POST / HTTP/1.1\nHost: {HOST}\nContent-Length: 1001\n\n"));
    assert_eq!(announced.status, 413);
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n"
    ));
    for _ in 0..3 {
        client.send(format!("190\r\n{}\r\n", "a".repeat(0x190)));
    }
    assert_eq!(client.response().status, 413);
    assert!(
        upstream.requests().is_empty(),
        "the upstream never gets a whole request"
    );
    assert_eq!(
        rig.vault
            .event(|event| event.action == "request.over-limit")
            .request
            .unwrap()
            .count,
        2
    );
}

/// The list of section 5 of the data plane's design: each is refused, the connection ends, and the upstream sees nothing.
#[test]
fn ambiguous_requests_are_refused_and_never_forwarded() {
    let upstream = Scripted::answering(HELLO);
    let rig = Rig::start(upstream.address, |_| {});
    let host = format!("Host: {HOST}\r\n");
    let long = "x".repeat(40_000);
    let many: String = (0..101).map(|i| format!("X-{i}: 1\r\n")).collect();
    let cases: Vec<(&str, String, u16)> = vec![
        (
            "CL and TE",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            "TE and CL",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
            400,
        ),
        (
            "two CL",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde"),
            400,
        ),
        (
            "two equal CL",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 4\r\nContent-Length: 4\r\n\r\nabcd"),
            400,
        ),
        (
            "CL list",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 2, 2\r\n\r\nab"),
            400,
        ),
        (
            "CL sign",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: +2\r\n\r\nab"),
            400,
        ),
        (
            "CL hex",
            format!("POST / HTTP/1.1\r\n{host}Content-Length: 0x2\r\n\r\nab"),
            400,
        ),
        (
            "gzip, chunked",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
            501,
        ),
        (
            "chunked, identity",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n"),
            501,
        ),
        (
            "xchunked",
            format!("POST / HTTP/1.1\r\n{host}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
            501,
        ),
        (
            "TE twice",
            format!(
                "POST / HTTP/1.1\r\n{host}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
            ),
            400,
        ),
        (
            "TE in 1.0",
            format!("POST / HTTP/1.0\r\n{host}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
            400,
        ),
        ("bare LF", format!("GET / HTTP/1.1\nHost: {HOST}\n\n"), 400),
        ("bare CR", format!("GET / HTTP/1.1\r\n{host}X: a\rb\r\n\r\n"), 400),
        ("obs-fold", format!("GET / HTTP/1.1\r\n{host}X: a\r\n b\r\n\r\n"), 400),
        ("NUL", format!("GET / HTTP/1.1\r\n{host}X: a\0b\r\n\r\n"), 400),
        (
            "space before colon",
            format!("GET / HTTP/1.1\r\n{host}X : a\r\n\r\n"),
            400,
        ),
        ("no colon", format!("GET / HTTP/1.1\r\n{host}X\r\n\r\n"), 400),
        ("empty name", format!("GET / HTTP/1.1\r\n{host}: a\r\n\r\n"), 400),
        ("no Host", "GET / HTTP/1.1\r\nX: a\r\n\r\n".into(), 400),
        ("two Host", format!("GET / HTTP/1.1\r\n{host}{host}\r\n"), 400),
        ("another Host", "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n".into(), 421),
        (
            "absolute-form of another host",
            format!("GET http://other.test/ HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        ("101 fields", format!("GET / HTTP/1.1\r\n{host}{many}\r\n"), 431),
        (
            "a field of 40 KiB",
            format!("GET / HTTP/1.1\r\n{host}X: {long}\r\n\r\n"),
            431,
        ),
        ("a target of 40 KiB", format!("GET /{long} HTTP/1.1\r\n{host}\r\n"), 414),
        ("CONNECT", format!("CONNECT {HOST}:443 HTTP/1.1\r\n{host}\r\n"), 501),
        ("TRACE", format!("TRACE / HTTP/1.1\r\n{host}\r\n"), 501),
        ("HTTP/2.0", format!("GET / HTTP/2.0\r\n{host}\r\n"), 505),
        (
            "encoded dot segments",
            format!("GET /a/%2e%2e/admin HTTP/1.1\r\n{host}\r\n"),
            400,
        ),
        ("encoded slash", format!("GET /a%2fb HTTP/1.1\r\n{host}\r\n"), 400),
        ("backslash", format!("GET /a%5cb HTTP/1.1\r\n{host}\r\n"), 400),
        ("over the root", format!("GET /../x HTTP/1.1\r\n{host}\r\n"), 400),
        (
            "upgrade",
            format!("GET / HTTP/1.1\r\n{host}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
            501,
        ),
    ];
    for (name, request, status) in cases {
        let mut client = rig.client();
        client.send(&request);
        // What follows must never be taken for a request of its own.
        let _ = client
            .stream
            .write_all(format!("GET /smuggled HTTP/1.1\r\n{host}\r\n").as_bytes());
        let response = client.response();
        if name == "another Host" || name.contains("dot") || name.contains("slash") || name == "over the root" {
            assert_eq!(response.status, status, "{name}");
            continue;
        }
        assert_eq!(
            (response.status, response.field("connection")),
            (status, Some("close")),
            "{name}"
        );
        assert!(client.is_closed(), "{name}");
    }
    let requests = upstream.requests();
    assert!(
        requests.iter().all(|request| request.starts_with("GET /smuggled ")),
        "{requests:?}"
    );
}

#[test]
fn a_chunk_that_is_not_exact_ends_both_connections() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |_| {});
    for body in [
        "3;x=y\r\nabc\r\n0\r\n\r\n",
        "3\nabc\n0\n\n",
        "3\r\nabcd\r\n0\r\n\r\n",
        "0x3\r\nabc\r\n0\r\n\r\n",
        "-1\r\n\r\n",
    ] {
        let mut client = rig.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let response = client.response();
        assert_eq!(
            (response.status, response.field("connection")),
            (400, Some("close")),
            "{body:?}"
        );
        assert!(client.is_closed());
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_body_cut_short_never_becomes_a_request() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 10\r\n\r\nhalf"
    ));
    drop(client);
    eventually("the connection ends", || rig.proxy.connections() == 0);
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_page_names_the_incident_and_no_reason() {
    let rig = Rig::start(Scripted::answering(HELLO).address, |slice| {
        slice.services[0].routes[0].path = "/only".into();
    });
    let mut client = rig.client();
    let html = client.ask(&get("/else"));
    assert_eq!(
        (html.status, html.field("content-type")),
        (404, Some("text/html; charset=utf-8"))
    );
    assert_eq!(html.field("x-content-type-options"), Some("nosniff"));
    assert!(html.text().contains(html.field("x-request-id").unwrap()));
    let json = client.ask(&format!(
        "GET /else HTTP/1.1\nHost: {HOST}\nAccept: application/json\n\n"
    ));
    assert_eq!(json.field("content-type"), Some("application/json"));
    client.send(format!("HEAD /else HTTP/1.1\r\nHost: {HOST}\r\n\r\n"));
    assert_eq!(client.response_to(true).status, 404);
    assert_eq!(
        client.ask(&get("/only")).status,
        200,
        "a refused request without a body keeps the connection"
    );
}

#[test]
fn a_slow_head_ends_at_its_deadline_whatever_trickles_in() {
    let rig = Rig::start(Scripted::answering(HELLO).address, |slice| {
        slice.services[0].limits.head_timeout = 400;
    });
    let mut client = rig.client();
    client.send("GET / HTTP/1.1\r\n");
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(100));
        client.send("X: y\r\n");
    }
    assert_eq!(client.response().status, 408);
    assert!(client.is_closed());
}

#[test]
fn an_idle_connection_ends_at_its_deadline() {
    let rig = Rig::start(Scripted::answering(HELLO).address, |slice| {
        slice.services[0].limits.idle_timeout = 300;
    });
    let mut client = rig.client();
    assert_eq!(client.ask(&get("/")).status, 200);
    assert!(client.is_closed());
}

#[test]
fn a_client_that_does_not_read_is_given_up() {
    let body: &'static str = Box::leak("z".repeat(30_000_000).into_boxed_str());
    let upstream = Scripted::start(move |_, socket, request| {
        while request(socket).is_some() {
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            );
        }
    });
    let rig = Rig::start(upstream.address, |slice| slice.services[0].limits.write_stall = 300);
    let mut client = rig.client();
    client.send(get("/").replace('\n', "\r\n"));
    eventually("the connection ends", || rig.proxy.connections() == 0);
    drop(client);
}

#[test]
fn a_client_of_an_alias_and_one_without_a_name_are_served() {
    let rig = Rig::start(Scripted::answering(HELLO).address, |_| {});
    let mut alias = Client::connect(rig.address, &rig.credentials, Some("www.shop.test"), &[]).unwrap();
    assert_eq!(alias.ask(&get("/")).status, 200, "an alias of the same service");
    let mut nameless = Client::connect(rig.address, &rig.credentials, None, &[]).unwrap();
    assert_eq!(nameless.ask("GET / HTTP/1.1\nHost: 127.0.0.1\n\n").status, 200);
}
