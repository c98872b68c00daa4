//! What happens while a request is under way: interim responses, clients and servers that leave, and what may be sent twice.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{HOST, Rig, Scripted, eventually};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

fn get() -> String {
    format!("GET / HTTP/1.1\nHost: {HOST}\n\n")
}

fn post() -> String {
    format!("POST / HTTP/1.1\nHost: {HOST}\nContent-Length: 2\n\nab")
}

/// Reads a head and nothing else.
fn read_head(socket: &mut TcpStream) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") && socket.read_exact(&mut byte).is_ok() {
        head.push(byte[0]);
    }
}

#[test]
fn an_interim_response_during_an_upload_does_not_end_it() {
    let said = Arc::new(AtomicBool::new(false));
    let saying = Arc::clone(&said);
    let upstream = Scripted::start(move |_, socket, _| {
        read_head(socket);
        socket
            .write_all(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")
            .unwrap();
        saying.store(true, Ordering::SeqCst);
        let mut body = [0; 20];
        socket.read_exact(&mut body).unwrap();
        write!(socket, "HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n").unwrap();
        socket.write_all(&body).unwrap();
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: 20\r\n\r\n01234"
    ));
    eventually("the interim responses are sent", || said.load(Ordering::SeqCst));
    for piece in ["56789", "0123456789"] {
        client.send(piece);
    }
    let response = client.response();
    assert_eq!(
        (response.status, response.text().as_str()),
        (200, "01234567890123456789")
    );
}

#[test]
fn a_server_that_answers_instead_of_reading_is_heard() {
    let upstream = Scripted::start(|_, socket, _| {
        read_head(socket);
        socket
            .write_all(b"HTTP/1.1 422 Unprocessable\r\nContent-Length: 2\r\n\r\nno")
            .unwrap();
        // Nothing more is read until the proxy has gone.
        std::thread::sleep(Duration::from_secs(3));
    });
    let rig = Rig::start(upstream.address, |slice| slice.services[0].limits.body = 64 << 20);
    let mut client = rig.client();
    let start = Instant::now();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {}\r\n\r\n{}",
        32 << 20,
        "b".repeat(6 << 20)
    ));
    let response = client.response();
    assert_eq!((response.status, response.field("connection")), (422, Some("close")));
    assert!(
        start.elapsed() < Duration::from_secs(2),
        "before the upstream's timeout"
    );
}

/// A server that gets requests and never answers in full; counts the connections that the proxy ended.
fn patient(first: &'static str) -> (Scripted, Arc<AtomicU64>) {
    let ended = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&ended);
    let upstream = Scripted::start(move |_, socket, request| {
        if request(socket).is_some() {
            socket.write_all(first.as_bytes()).unwrap();
            if matches!(socket.read(&mut [0]), Ok(0) | Err(_)) {
                counting.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    (upstream, ended)
}

#[test]
fn a_client_that_leaves_ends_the_exchange_with_the_server() {
    // Before anything was said, and in the middle of a response.
    for first in ["", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf"] {
        let (upstream, ended) = patient(first);
        let rig = Rig::start(upstream.address, |slice| {
            slice.services[0].routes[0].upstreams.response_timeout = 120_000;
        });
        let mut client = rig.client();
        client.send(get().replace('\n', "\r\n"));
        eventually("the request arrives", || upstream.requests().len() == 1);
        drop(client);
        eventually("the upstream connection ends", || ended.load(Ordering::SeqCst) == 1);
        eventually("the client's too", || rig.proxy.connections() == 0);
    }
}

#[test]
fn the_next_request_does_not_look_like_a_client_that_left() {
    let upstream = Scripted::start(|_, socket, request| {
        while request(socket).is_some() {
            std::thread::sleep(Duration::from_millis(100));
            socket.write_all(OK.as_bytes()).unwrap();
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(get().replace('\n', "\r\n"));
    eventually("the request arrives", || upstream.requests().len() == 1);
    // While the first is being answered, more comes than is kept.
    client.send(get().replace('\n', "\r\n").repeat(1_000));
    for _ in 0..5 {
        assert_eq!(client.response().text(), "ok");
    }
}

/// Answers the first request of each of its first `faulty` connections; then says `farewell` to the second, and ends.
fn fickle(faulty: u64, farewell: &'static str) -> Scripted {
    Scripted::start(move |number, socket, request| {
        for count in 0.. {
            if request(socket).is_none() {
                return;
            }
            let breaks = number < faulty && count > 0;
            socket.write_all(if breaks { farewell } else { OK }.as_bytes()).unwrap();
            if breaks {
                return;
            }
        }
    })
}

#[test]
fn a_request_lost_with_a_kept_connection_is_sent_once_more_on_a_fresh_one() {
    let upstream = fickle(1, "");
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].routes[0].upstreams.retries = 0;
    });
    let mut client = rig.client();
    assert_eq!(client.ask(&get()).status, 200);
    assert_eq!(client.ask(&get()).status, 200);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
    assert_eq!(upstream.requests().len(), 3);
}

#[test]
fn a_post_lost_with_a_kept_connection_is_not_sent_again() {
    let upstream = fickle(u64::MAX, "");
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].routes[0].upstreams.retries = 3;
    });
    let mut client = rig.client();
    assert_eq!(client.ask(&get()).status, 200);
    assert_eq!(client.ask(&post()).status, 502);
    assert_eq!(upstream.requests().len(), 2);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 1);
}

#[test]
fn nothing_is_sent_again_once_the_server_has_said_something() {
    for farewell in ["HTTP/1.1 103 Early Hints\r\n\r\n", "HTTP/1.1 2"] {
        let upstream = fickle(u64::MAX, farewell);
        let rig = Rig::start(upstream.address, |slice| {
            slice.services[0].routes[0].upstreams.retries = 3;
        });
        let mut client = rig.client();
        assert_eq!(client.ask(&get()).status, 200);
        assert_eq!(client.ask(&get()).status, 502, "{farewell:?}");
        assert_eq!(upstream.requests().len(), 2, "{farewell:?}");
    }
}

#[test]
fn a_kept_connection_that_the_server_has_closed_takes_no_post() {
    let closed = Arc::new(AtomicU64::new(0));
    let closing = Arc::clone(&closed);
    let upstream = Scripted::start(move |_, socket, request| {
        if request(socket).is_some() {
            socket.write_all(OK.as_bytes()).unwrap();
            socket.shutdown(std::net::Shutdown::Both).unwrap();
            closing.fetch_add(1, Ordering::SeqCst);
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    for count in 1..=20 {
        assert_eq!(client.ask(&post()).status, 200);
        eventually("the server closes", || closed.load(Ordering::SeqCst) == count);
    }
}

#[test]
fn trailers_are_held_to_the_policy_of_the_head() {
    let upstream = Scripted::answering(
        "HTTP/1.1 200 OK\nTransfer-Encoding: chunked\n\n2\nok\n0\nServer: secret/1.0\nX-Frame-Options: ALLOWALL\n\
         X-Content-Type-Options: sniff\nX-Request-Id: theirs\nX-Sum: 7\n\n",
    );
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(format!("GET / HTTP/1.1\r\nHost: {HOST}\r\nConnection: close\r\n\r\n"));
    let mut bytes = Vec::new();
    client.stream.read_to_end(&mut bytes).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    assert!(text.ends_with("2\r\nok\r\n0\r\nX-Sum: 7\r\n\r\n"), "{text}");
    assert!(!text.contains("secret") && !text.contains("theirs"), "{text}");
}

#[test]
fn a_body_in_crumbs_is_not_written_in_crumbs() {
    let upstream = Scripted::answering("HTTP/1.1 200 OK\nContent-Length: 2\n\nok");
    let rig = Rig::start(upstream.address, |_| {});
    let mut client = rig.client();
    client.send(format!(
        "POST / HTTP/1.1\r\nHost: {HOST}\r\nTransfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n",
        "1\r\na\r\n".repeat(256)
    ));
    assert_eq!(client.response().status, 200);
    let request = &upstream.requests()[0];
    assert!(
        request.ends_with(&format!("\r\n\r\n100\r\n{}\r\n0\r\n\r\n", "a".repeat(256))),
        "{request}"
    );
}
