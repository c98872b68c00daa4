//! HTTP/2 with clients: the same answers as over HTTP/1.1, and floods that end the connection.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends at the first surprise")]

mod common;

use common::{Client, HOST, Rig, Scripted, eventually};
use std::io::{Read, Write};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const OK: &str = "HTTP/1.1 200 OK\nServer: x\nContent-Length: 2\n\nok";

fn curl(rig: &Rig, arguments: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("roots.pem");
    std::fs::write(&roots, &rig.credentials.pem).unwrap();
    let port = rig.address.port();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "15", "--http2", "--include"])
        .arg("--cacert")
        .arg(&roots)
        .arg("--resolve")
        .arg(format!("{HOST}:{port}:127.0.0.1"))
        .args(arguments)
        .output()
        .unwrap();
    format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

fn url(rig: &Rig, path: &str) -> String {
    format!("https://{HOST}:{}{path}", rig.address.port())
}

#[test]
fn curl_gets_the_same_answer_over_http_2() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    let answer = curl(&rig, &[&url(&rig, "/a?b")]);
    assert!(answer.starts_with("HTTP/2 200"), "{answer}");
    assert!(
        answer.contains("\r\nx-content-type-options: nosniff\r\n") && !answer.contains("server:"),
        "{answer}"
    );
    assert!(answer.ends_with("ok"), "{answer}");
    let request = &upstream.requests()[0];
    assert!(
        request.starts_with(&format!("GET /a?b HTTP/1.1\r\nHost: {HOST}:{}\r\n", rig.address.port())),
        "{request}"
    );
}

#[test]
fn bodies_pass_both_ways_over_http_2() {
    let upstream = Scripted::start(|_, socket, request| {
        while let Some(text) = request(socket) {
            let body = text.split_once("\r\n\r\n").unwrap().1;
            let _ = write!(
                socket,
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
                body.len()
            );
        }
    });
    let rig = Rig::start(upstream.address, |_| {});
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    let body = "0123456789".repeat(50_000);
    std::fs::write(&file, &body).unwrap();
    let data = format!("@{}", file.display());
    let answer = curl(&rig, &["--data-binary", &data, &url(&rig, "/")]);
    assert!(answer.ends_with(&body), "{} bytes", answer.len());
    assert!(upstream.requests()[0].contains(&format!("Content-Length: {}\r\n", body.len())));
}

#[test]
fn refusals_are_pages_over_http_2_too() {
    let rig = Rig::start(Scripted::answering(OK).address, |slice| {
        slice.services[0].limits.body = 10;
    });
    let answer = curl(
        &rig,
        &["--data", "more than ten bytes", "-H", "Expect:", &url(&rig, "/")],
    );
    assert!(answer.starts_with("HTTP/2 413"), "{answer}");
    let answer = curl(&rig, &["-H", "Host: other.test", &url(&rig, "/")]);
    assert!(answer.starts_with("HTTP/2 421"), "{answer}");
    let answer = curl(&rig, &["--path-as-is", &url(&rig, "/a/%2e%2e/b")]);
    assert!(answer.starts_with("HTTP/2 400"), "{answer}");
}

#[test]
fn many_requests_share_a_connection() {
    let rig = Rig::start(Scripted::answering(OK).address, |_| {});
    let output = Command::new("h2load")
        // Fewer at once than the queue of connections holds that the scripted server has yet to accept.
        .args(["-n", "2000", "-c", "4", "-m", "25", "-t", "1"])
        .arg(format!("https://127.0.0.1:{}/", rig.address.port()))
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        text.contains("2000 succeeded, 0 failed, 0 errored, 0 timeout"),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// A client that writes frames by hand.
struct Raw(Client);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

impl Raw {
    fn connect(rig: &Rig) -> Self {
        let client = Client::connect(rig.address, &rig.credentials, Some(HOST), &[b"h2"]).unwrap();
        assert_eq!(client.stream.conn.alpn_protocol(), Some(&b"h2"[..]));
        let mut raw = Self(client);
        raw.0.send(PREFACE);
        raw.frame(4, 0, 0, &[]);
        raw
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) {
        // A connection that the proxy has ended refuses further frames; the test looks at what it said.
        let _ = self.0.stream.write_all(&frame(kind, flags, stream, payload));
    }

    /// Reads frames until one of this kind: its stream and payload; `None` at the end.
    fn next(&mut self, kind: u8) -> Option<(u32, u8, Vec<u8>)> {
        self.next_of(&[kind])
            .map(|(_, stream, flags, payload)| (stream, flags, payload))
    }

    /// Reads frames until one of these kinds: its kind, stream, flags and payload.
    fn next_of(&mut self, kinds: &[u8]) -> Option<(u8, u32, u8, Vec<u8>)> {
        loop {
            let mut header = [0; 9];
            self.0.stream.read_exact(&mut header).ok()?;
            let length = u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize;
            let mut payload = vec![0; length];
            self.0.stream.read_exact(&mut payload).ok()?;
            if kinds.contains(&header[3]) {
                let stream = u32::from_be_bytes([header[5], header[6], header[7], header[8]]);
                return Some((header[3], stream, header[4], payload));
            }
        }
    }

    /// The code with which the connection ended.
    fn goodbye(&mut self) -> Option<u32> {
        self.next(7)
            .map(|(_, _, payload)| u32::from_be_bytes(payload[4..8].try_into().unwrap()))
    }
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = vec![length[1], length[2], length[3], kind, flags];
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// Fields as literals without indexing (RFC 7541 section 6.2.2).
fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (name, value) in fields {
        bytes.push(0);
        for text in [name, value] {
            assert!(text.len() < 127);
            bytes.push(u8::try_from(text.len()).unwrap());
            bytes.extend(text.as_bytes());
        }
    }
    bytes
}

fn request(extra: &[(&str, &str)]) -> Vec<u8> {
    let mut fields = vec![
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", "/"),
    ];
    fields.extend(extra);
    block(&fields)
}

const ENHANCE_YOUR_CALM: u32 = 0xb;

#[test]
fn a_rapid_reset_ends_the_connection() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |_| {});
    let mut raw = Raw::connect(&rig);
    let head = request(&[]);
    for id in 0..300 {
        raw.frame(1, 5, 2 * id + 1, &head);
        raw.frame(3, 0, 2 * id + 1, &8_u32.to_be_bytes());
    }
    let _ = raw.0.stream.flush();
    assert_eq!(raw.goodbye(), Some(ENHANCE_YOUR_CALM));
}

#[test]
fn floods_of_frames_without_progress_end_the_connection() {
    let rig = Rig::start(Scripted::answering(OK).address, |_| {});
    for (kind, flags, stream, payload) in [
        (6_u8, 0_u8, 0_u32, vec![0; 8]),
        (4, 0, 0, Vec::new()),
        (2, 0, 1, vec![0, 0, 0, 0, 1]),
        (8, 0, 0, vec![0, 0, 0, 1]),
    ] {
        let mut raw = Raw::connect(&rig);
        for _ in 0..600 {
            raw.frame(kind, flags, stream, &payload);
        }
        let _ = raw.0.stream.flush();
        assert_eq!(raw.goodbye(), Some(ENHANCE_YOUR_CALM), "{kind}");
    }
}

#[test]
fn a_header_list_over_the_limit_is_refused() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    let mut raw = Raw::connect(&rig);
    let value = "v".repeat(120);
    let names: Vec<String> = (0..200).map(|i| format!("x-{i}")).collect();
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    let head = request(&fields);
    let (first, rest) = head.split_at(16_000);
    raw.frame(1, 1, 1, first);
    raw.frame(9, 4, 1, rest);
    let _ = raw.0.stream.flush();
    let answered = raw.next(1).map(|(stream, _, _)| stream);
    assert!(matches!(answered, Some(1) | None));
    assert!(upstream.requests().is_empty());
}

#[test]
fn what_http_1_1_would_misread_is_not_forwarded() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    for extra in [
        &[("transfer-encoding", "chunked")][..],
        &[("connection", "close")],
        &[("content-length", "5")],
        &[("x", "a\r\nb: c")],
        &[("x y", "1")],
        &[("host", "other.test")],
        &[("te", "gzip")],
        &[("upgrade", "h2c")],
    ] {
        let mut raw = Raw::connect(&rig);
        raw.frame(1, 5, 1, &request(extra));
        let _ = raw.0.stream.flush();
        // Refused by a response, by a reset of the stream or by the end of the connection; never by the upstream.
        let mut header = [0; 9];
        while raw.0.stream.read_exact(&mut header).is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
            raw.0.stream.read_exact(&mut payload).unwrap();
            if matches!(header[3], 1 | 3 | 7) {
                break;
            }
        }
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}

#[test]
fn a_body_of_another_length_than_announced_never_becomes_a_request() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |_| {});
    for body in ["ab", "abcdef"] {
        let mut raw = Raw::connect(&rig);
        let head = block(&[
            (":method", "POST"),
            (":scheme", "https"),
            (":authority", HOST),
            (":path", "/"),
            ("content-length", "4"),
        ]);
        raw.frame(1, 4, 1, &head);
        raw.frame(0, 1, 1, body.as_bytes());
        let _ = raw.0.stream.flush();
        let mut seen = Vec::new();
        let mut byte = [0; 64];
        while let Ok(size) = raw.0.stream.read(&mut byte) {
            seen.extend_from_slice(&byte[..size]);
            if size == 0 || seen.len() > 60 {
                break;
            }
        }
    }
    assert!(upstream.requests().is_empty());
}

#[test]
fn content_in_crumbs_ends_the_connection() {
    let upstream = Scripted::start(|_, socket, request| while request(socket).is_some() {});
    let rig = Rig::start(upstream.address, |_| {});
    let mut raw = Raw::connect(&rig);
    let head = block(&[
        (":method", "POST"),
        (":scheme", "https"),
        (":authority", HOST),
        (":path", "/"),
    ]);
    raw.frame(1, 4, 1, &head);
    let mut sent = 0;
    let code = loop {
        for _ in 0..100 {
            raw.frame(0, 0, 1, b"x");
        }
        sent += 100;
        // Once the PING is answered, the crumbs before it have been taken: they do not pile up, which `h2` itself would mind.
        raw.frame(6, 0, 0, &[0; 8]);
        let _ = raw.0.stream.flush();
        match raw.next_of(&[6, 7]) {
            Some((6, ..)) => assert!(sent < 3_000, "the flood is put up with"),
            Some((_, _, _, payload)) => break u32::from_be_bytes(payload[4..8].try_into().unwrap()),
            None => panic!("the connection ended without a word"),
        }
    };
    assert_eq!(code, ENHANCE_YOUR_CALM);
    assert!(sent > 1_000, "{sent}: somebody who types is not taken for a flood");
    assert!(upstream.requests().is_empty());
}

#[test]
fn a_stream_that_is_reset_ends_the_exchange_with_the_server() {
    let ended = Arc::new(AtomicU64::new(0));
    let counting = Arc::clone(&ended);
    let upstream = Scripted::start(move |_, socket, request| {
        if request(socket).is_some() && matches!(socket.read(&mut [0]), Ok(0) | Err(_)) {
            counting.fetch_add(1, Ordering::SeqCst);
        }
    });
    let rig = Rig::start(upstream.address, |slice| {
        slice.services[0].routes[0].upstreams.response_timeout = 120_000;
    });
    let mut raw = Raw::connect(&rig);
    raw.frame(1, 5, 1, &request(&[]));
    let _ = raw.0.stream.flush();
    eventually("the request arrives", || upstream.requests().len() == 1);
    raw.frame(3, 0, 1, &8_u32.to_be_bytes());
    let _ = raw.0.stream.flush();
    eventually("the upstream connection ends", || ended.load(Ordering::SeqCst) == 1);
    // The client's connection goes on, and so does the next stream, on another upstream connection.
    raw.frame(1, 5, 3, &request(&[]));
    let _ = raw.0.stream.flush();
    eventually("the next request arrives", || upstream.requests().len() == 2);
    assert_eq!(upstream.connections.load(Ordering::SeqCst), 2);
    drop(raw);
    eventually("its exchange ends with the connection", || {
        ended.load(Ordering::SeqCst) == 2
    });
}

/// `h2` gives the path without its fragment, so that nobody can refuse the request for it; what matters is that no stage and no
/// upstream sees another path than the others.
#[test]
fn a_fragment_in_a_path_never_reaches_the_upstream() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    for path in ["/a#/../admin", "/a?b#c", "/#"] {
        let mut raw = Raw::connect(&rig);
        let head = block(&[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", HOST),
            (":path", path),
        ]);
        raw.frame(1, 5, 1, &head);
        let _ = raw.0.stream.flush();
        raw.next(1).unwrap();
    }
    let lines: Vec<String> = upstream
        .requests()
        .iter()
        .map(|request| request.lines().next().unwrap().to_owned())
        .collect();
    assert_eq!(lines, ["GET /a HTTP/1.1", "GET /a?b HTTP/1.1", "GET / HTTP/1.1"]);
}

#[test]
fn targets_that_http_1_1_refuses_are_refused() {
    let upstream = Scripted::answering(OK);
    let rig = Rig::start(upstream.address, |_| {});
    for (scheme, path) in [
        ("https", "/a b"),
        ("https", "/a\tb"),
        ("https", "/a\u{7f}"),
        ("https", "/\u{e9}"),
        ("https", "a"),
        ("https", "?a"),
        ("https", "*"),
        ("https", "https://shop.test/"),
        ("http", "/"),
        ("ftp", "/"),
    ] {
        let mut raw = Raw::connect(&rig);
        let head = block(&[
            (":method", "GET"),
            (":scheme", scheme),
            (":authority", HOST),
            (":path", path),
        ]);
        raw.frame(1, 5, 1, &head);
        let _ = raw.0.stream.flush();
        let mut header = [0; 9];
        loop {
            raw.0.stream.read_exact(&mut header).unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, header[0], header[1], header[2]]) as usize];
            raw.0.stream.read_exact(&mut payload).unwrap();
            // A response (never 200: the upstream is not asked), or the reset of the stream.
            if matches!(header[3], 1 | 3) {
                break;
            }
        }
    }
    assert!(upstream.requests().is_empty(), "{:?}", upstream.requests());
}
