//! Servers that fail, lie or go away.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{HOST, Rig, Scripted, eventually};
use redan_ipc::slice::{HealthCheck, Page};
use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const OK: &str = "HTTP/1.1 200 OK\nContent-Length: 2\n\nok";

fn get() -> String {
    format!("GET / HTTP/1.1\nHost: {HOST}\n\n")
}

/// An address where nobody listens.
fn nowhere() -> std::net::SocketAddr {
    // A port of the privileged range is never given to a test that runs beside this one.
    "127.0.0.1:1".parse().unwrap()
}

#[test]
fn an_upstream_that_is_down_is_a_502_with_the_fallback_page_and_then_a_503() {
    let rig = Rig::start(nowhere(), |slice| {
        slice.services[0].fallback = Some(Page {
            content_type: "text/plain".into(),
            body: "back soon".into(),
        });
    });
    let mut client = rig.client();
    let first = client.ask(&get());
    assert_eq!((first.status, first.text().as_str()), (502, "back soon"));
    let mut statuses: Vec<u16> = (0..5).map(|_| client.ask(&get()).status).collect();
    statuses.dedup();
    assert_eq!(
        statuses.last(),
        Some(&503),
        "a server that fails again and again is left alone"
    );
    eventually("it is tried again", || client.ask(&get()).status == 502);
}

#[test]
fn a_request_goes_to_another_server_when_one_is_down() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].routes[0].upstreams.addresses = vec![nowhere(), upstream.address];
    });
    let mut client = rig.client();
    for _ in 0..10 {
        assert_eq!(client.ask(&get()).status, 200);
        assert_eq!(
            client
                .ask(&format!("POST / HTTP/1.1\nHost: {HOST}\nContent-Length: 2\n\nab"))
                .status,
            200
        );
    }
}

#[test]
fn responses_with_doubtful_framing_are_a_502_and_poison_the_connection() {
    for response in [
        "HTTP/1.1 200 OK\nContent-Length: 2\nContent-Length: 2\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: 2\nTransfer-Encoding: chunked\n\nok",
        "HTTP/1.1 200 OK\nTransfer-Encoding: gzip\n\nok",
        "HTTP/1.1 200 OK\nContent-Length: x\n\nok",
        "HTTP/1.1 101 Switching Protocols\nUpgrade: x\nConnection: upgrade\n\n",
        "HTTP/2 200 OK\nContent-Length: 2\n\nok",
        "nonsense\n\n",
    ] {
        let upstream = Scripted::answering(response);
        let rig = Rig::start(upstream.address, |_| {});
        let mut client = rig.client();
        assert_eq!(client.ask(&get()).status, 502, "{response}");
        assert_eq!(client.ask(&get()).status, 502, "{response}");
        assert_eq!(
            upstream.connections.load(Ordering::SeqCst),
            2,
            "no connection is used again: {response}"
        );
    }
}

#[test]
fn bytes_after_a_response_poison_the_connection() {
    let upstream =
        Scripted::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nokHTTP/1.1 200 OK\nContent-Length: 4\n\nevil");
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    for _ in 0..3 {
        assert_eq!(client.ask(&get()).text(), "ok");
    }
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 3);
}

#[test]
fn bytes_that_come_late_poison_the_connection_too() {
    let upstream = Scripted::start(|_, socket, request| {
        while request(socket).is_some() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
            std::thread::sleep(Duration::from_millis(50));
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    assert_eq!(client.ask(&get()).text(), "ok");
    std::thread::sleep(Duration::from_millis(200));
    assert_eq!(client.ask(&get()).text(), "ok");
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
}

#[test]
fn a_response_cut_short_cuts_the_clients_connection() {
    let upstream = Scripted::start(|_, socket, request| {
        request(socket);
        let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf");
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(get().replace('\n', "\r\n"));
    let mut bytes = Vec::new();
    let ended = std::io::Read::read_to_end(&mut client.stream, &mut bytes);
    assert!(
        ended.is_err(),
        "an end without close_notify: the client can tell that it is not whole"
    );
}

#[test]
fn a_kept_connection_that_the_server_closed_is_replaced() {
    let upstream = Scripted::start(|_, socket, request| {
        if request(socket).is_some() {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    for _ in 0..20 {
        assert_eq!(client.ask(&get()).status, 200);
    }
}

#[test]
fn only_what_may_be_repeated_is_repeated() {
    let upstream = Scripted::start(|number, socket, request| {
        if request(socket).is_some() && number > 0 {
            let _ = socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    assert_eq!(
        rig.ask(&get()).status,
        200,
        "the first connection broke, the second answered"
    );

    let upstream = Scripted::start(|_, socket, request| {
        request(socket);
    });
    let rig = Rig::start(upstream.address, |_| {});
    let post = format!("POST / HTTP/1.1\nHost: {HOST}\nContent-Length: 2\n\nab");
    assert_eq!(rig.ask(&post).status, 502);
    assert_eq!(upstream.requests().len(), 1, "a POST is sent once");
}

#[test]
fn a_silent_upstream_is_a_504() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].routes[0].upstreams.response_timeout = 300;
    });
    assert_eq!(rig.ask(&get()).status, 504);
}

#[test]
fn an_upstreams_errors_are_masked_unless_the_service_shows_them() {
    let response = "HTTP/1.1 500 Oops\nContent-Length: 11\nX-Trace: a.rs:7\n\nstack trace";
    let upstream = Scripted::answering(response);
    let rig = Rig::start(upstream.address, |_| {});
    let masked = rig.ask(&get());
    assert_eq!((masked.status, masked.field("x-trace")), (500, None));
    assert!(!masked.text().contains("stack") && masked.text().contains(masked.field("x-request-id").unwrap()));
    let rig = Rig::start(upstream.address, |slice| slice.services[0].mask_errors = false);
    assert_eq!(rig.ask(&get()).text(), "stack trace");
}

#[test]
fn an_early_refusal_of_a_large_body_reaches_the_client() {
    let upstream = Scripted::start(|_, socket, _| {
        let mut byte = [0; 10];
        let _ = std::io::Read::read_exact(socket, &mut byte);
        let _ = socket.write_all(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
        std::thread::sleep(Duration::from_millis(500));
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 100000\r\n\r\nbegin"
    ));
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (403, Some("close")));
}

#[test]
fn a_health_check_takes_a_server_out_and_back() {
    let well = Arc::new(AtomicBool::new(false));
    let state = Arc::clone(&well);
    let upstream = Scripted::start(move |_, socket, request| {
        while let Some(text) = request(socket) {
            let status = if text.starts_with("GET /health ") && !state.load(Ordering::SeqCst) {
                "503 x"
            } else {
                "200 OK"
            };
            let _ = write!(socket, "HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].routes[0].upstreams.health = Some(HealthCheck {
            path: "/health".into(),
            interval: 100,
            failures: 2,
        });
    });
    let mut client = rig.client();
    eventually("the sick server is left alone", || client.ask(&get()).status == 503);
    well.store(true, Ordering::SeqCst);
    eventually("the well server is used again", || client.ask(&get()).status == 200);
}
