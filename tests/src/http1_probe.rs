//! Ambiguous and oversized HTTP/1.1 messages, sent as they are over TLS, with what a strict proxy makes of each.
//!
//! A probe is refused when the client gets one of its statuses, the connection ends, and nothing of it reached the upstream as a
//! request. The second request that some probes hide (`/smuggled`) must never get there.

use crate::wire::{Alpn, End, Target};
use crate::witness::{Seen, Witness};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// What a strict proxy makes of a probe.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// It is answered as this many requests, all of which reach the upstream; the connection may go on.
    Answered(usize),
    /// One answer with one of these statuses, whether from the upstream or the proxy, and then the connection ends.
    OnceThenClosed(&'static [u16]),
    /// One of these statuses and the end of the connection; nothing reaches the upstream.
    Refused(&'static [u16]),
    /// The same, but the head was good and may have reached the upstream, as a request whose body never came to its end.
    RefusedInBody(&'static [u16]),
}

/// A message to send.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Its name.
    pub name: &'static str,
    /// What is sent.
    pub bytes: Vec<u8>,
    /// What should come of it.
    pub expected: Expected,
}

/// What came of a probe.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The statuses that the client got, in order, interim ones left out.
    pub statuses: Vec<u16>,
    /// How the client's connection stood in the end.
    pub end: End,
    /// What the upstream saw, where there is a witness.
    pub seen: Vec<Seen>,
    /// Whether another client, asking right afterwards, got something else than the response to its own request. Needs a witness.
    pub desynchronised: bool,
    /// How long it took to tell.
    pub took: Duration,
}

impl Verdict {
    /// Why the verdict is not what was expected; none when it is.
    #[must_use]
    pub fn contradicts(&self, expected: Expected) -> Option<String> {
        if let Some(smuggled) = self.seen.iter().find(|seen| seen.line.contains("/smuggled")) {
            return Some(format!("the upstream was sent {:?}", smuggled.line));
        }
        if self.desynchronised {
            return Some("the next client did not get the response to its own request".into());
        }
        let complete = self.seen.iter().filter(|seen| seen.complete).count();
        match expected {
            Expected::Answered(count) => (self.statuses != vec![200; count])
                .then(|| format!("expected {count} times 200, got {:?}", self.statuses)),
            Expected::OnceThenClosed(statuses) => {
                if self.end == End::Open {
                    return Some("the connection stayed open".into());
                }
                let once = matches!(*self.statuses, [status] if statuses.contains(&status));
                (!once).then(|| format!("expected one of {statuses:?}, got {:?}", self.statuses))
            }
            Expected::Refused(statuses) | Expected::RefusedInBody(statuses) => {
                if self.end == End::Open {
                    return Some("the connection stayed open".into());
                }
                if !matches!(*self.statuses, [status] if statuses.contains(&status)) {
                    return Some(format!("expected one of {statuses:?}, got {:?}", self.statuses));
                }
                if complete > 0 || (!matches!(expected, Expected::RefusedInBody(_)) && !self.seen.is_empty()) {
                    return Some(format!("it reached the upstream: {:?}", self.seen));
                }
                None
            }
        }
    }
}

/// Sends one probe and gathers what comes of it within `within`.
///
/// # Errors
/// The target cannot be connected to.
pub fn run(target: &Target, probe: &Probe, witness: Option<&Witness>, within: Duration) -> io::Result<Verdict> {
    let start = Instant::now();
    if let Some(witness) = witness {
        witness.take();
    }
    let mut wire = target.connect(Alpn::Http1)?;
    // A target that has seen enough closes while the rest is being sent, which is a verdict and no error.
    let _ = wire.send(&probe.bytes);
    let answered = match probe.expected {
        Expected::Answered(count) => count,
        _ => usize::MAX,
    };
    let mut bytes = Vec::new();
    let end = loop {
        let left = within.saturating_sub(start.elapsed());
        if left.is_zero() || statuses(&bytes).1 >= answered {
            break End::Open;
        }
        match wire.receive(&mut bytes, left) {
            End::Open => {}
            end => break end,
        }
    };
    let took = start.elapsed();
    drop(wire);
    // Whoever asks next may be given an upstream connection that the probe has left in disorder; and once that request has been
    // seen, whatever the probe sent there before it has been seen too.
    let desynchronised = match witness {
        Some(_) => !gets_its_own_answer(target, within)?,
        None => false,
    };
    let mut seen = witness.map(Witness::take).unwrap_or_default();
    seen.retain(|seen| !seen.line.contains(MARKER));
    Ok(Verdict {
        statuses: statuses(&bytes).0,
        end,
        seen,
        desynchronised,
        took,
    })
}

/// Asks for a path that nobody asked for before, which the witness answers with that path.
pub(crate) fn gets_its_own_answer(target: &Target, within: Duration) -> io::Result<bool> {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    let path = format!("{MARKER}{}", NEXT.fetch_add(1, Ordering::Relaxed));
    let mut wire = target.connect(Alpn::Http1)?;
    wire.send(
        format!(
            "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n",
            target.authority
        )
        .as_bytes(),
    )?;
    let answer = wire.read_to_end(within, 1 << 16);
    Ok(statuses(&answer.bytes) == (vec![200], 1) && answer.bytes.ends_with(path.as_bytes()))
}

pub(crate) const MARKER: &str = "/marker-";

/// The statuses of the responses in `bytes`, and how many of the responses are whole. Reads what our own proxy writes, so a length
/// is a single field and chunks have no extensions.
fn statuses(mut bytes: &[u8]) -> (Vec<u16>, usize) {
    let (mut statuses, mut whole) = (Vec::new(), 0);
    while let Some(end) = find(bytes, b"\r\n\r\n") {
        let (head, rest) = bytes.split_at_checked(end + 4).unwrap_or_default();
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let status = text
            .strip_prefix("http/1.1 ")
            .or_else(|| text.strip_prefix("http/1.0 "));
        let Some(status) = status
            .and_then(|text| text.get(..3))
            .and_then(|digits| digits.parse::<u16>().ok())
        else {
            break;
        };
        bytes = rest;
        if status < 200 {
            continue;
        }
        statuses.push(status);
        let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
        let length = if field("transfer-encoding:").is_some() {
            find(bytes, b"0\r\n\r\n").map(|at| at + 5)
        } else {
            field("content-length:")
                .and_then(|digits| digits.parse().ok())
                .filter(|length| *length <= bytes.len())
        };
        let Some(length) = length else { break };
        bytes = bytes.get(length..).unwrap_or_default();
        whole += 1;
    }
    (statuses, whole)
}

fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark)
}

/// Every probe, for a target that is published as `host`.
#[must_use]
pub fn probes(host: &str) -> Vec<Probe> {
    let mut probes = Vec::new();
    framing(host, &mut probes);
    chunks(host, &mut probes);
    fields(host, &mut probes);
    lines(host, &mut probes);
    hosts(host, &mut probes);
    connections(host, &mut probes);
    sizes(host, &mut probes);
    clear(host, &mut probes);
    probes
}

const BAD: &[u16] = &[400];
const BAD_OR_UNIMPLEMENTED: &[u16] = &[400, 501];
const MISDIRECTED: &[u16] = &[400, 421];
const TOO_LARGE: &[u16] = &[400, 431];

fn add(probes: &mut Vec<Probe>, name: &'static str, bytes: impl Into<Vec<u8>>, expected: Expected) {
    probes.push(Probe {
        name,
        bytes: bytes.into(),
        expected,
    });
}

fn get(host: &str, fields: &str) -> String {
    format!("GET / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n")
}

fn post(host: &str, fields: &str, body: &str) -> String {
    format!("POST / HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n{body}")
}

fn smuggled(host: &str) -> String {
    format!("GET /smuggled HTTP/1.1\r\nHost: {host}\r\n\r\n")
}

fn framing(host: &str, probes: &mut Vec<Probe>) {
    let hidden = smuggled(host);
    let last = format!("0\r\n\r\n{hidden}");
    for (name, fields, body) in [
        ("CL+TE", "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", &*last),
        ("TE+CL", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", &last),
        ("CL twice differ", "Content-Length: 1\r\nContent-Length: 2\r\n", "ab"),
        ("CL twice same", "Content-Length: 2\r\nContent-Length: 2\r\n", "ab"),
        ("CL list 2, 2", "Content-Length: 2, 2\r\n", "ab"),
        ("CL +2", "Content-Length: +2\r\n", "ab"),
        ("CL -2", "Content-Length: -2\r\n", "ab"),
        ("CL 0x2", "Content-Length: 0x2\r\n", "ab"),
        ("CL 2.0", "Content-Length: 2.0\r\n", "ab"),
        ("CL empty", "Content-Length:\r\n", &hidden),
        ("CL 2^64", "Content-Length: 18446744073709551616\r\n", &hidden),
        ("CL with inner space", "Content-Length: 2 2\r\n", "ab"),
        (
            "CL with underscore",
            "Content_Length: 2\r\nContent-Length: 0\r\n",
            &hidden,
        ),
    ] {
        add(probes, name, post(host, fields, body), Expected::Refused(BAD));
    }
    for (name, fields) in [
        ("TE xchunked", "Transfer-Encoding: xchunked\r\n"),
        ("TE chunked, identity", "Transfer-Encoding: chunked, identity\r\n"),
        ("TE gzip, chunked", "Transfer-Encoding: gzip, chunked\r\n"),
        ("TE identity", "Transfer-Encoding: identity\r\n"),
        (
            "TE twice",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
        ),
        (
            "TE twice chunked",
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        ),
        ("TE \\x0bchunked", "Transfer-Encoding: \x0bchunked\r\n"),
        ("TE empty", "Transfer-Encoding:\r\n"),
        ("TE quoted", "Transfer-Encoding: \"chunked\"\r\n"),
        ("TE trailing comma", "Transfer-Encoding: chunked,\r\n"),
        ("TE with parameter", "Transfer-Encoding: chunked;a=b\r\n"),
        ("TE with no-break space", "Transfer-Encoding: chunked\u{a0}\r\n"),
        (
            "TE with underscore",
            "Transfer_Encoding: chunked\r\nContent-Length: 0\r\n",
        ),
        ("TE space before colon", "Transfer-Encoding : chunked\r\n"),
    ] {
        add(
            probes,
            name,
            post(host, fields, &last),
            Expected::Refused(BAD_OR_UNIMPLEMENTED),
        );
    }
    let old = format!("POST / HTTP/1.0\r\nHost: {host}\r\nTransfer-Encoding: chunked\r\n\r\n{last}");
    add(probes, "TE in HTTP/1.0", old, Expected::Refused(BAD));
}

fn chunks(host: &str, probes: &mut Vec<Probe>) {
    for (name, body) in [
        ("bare LF chunk", "0\n\n"),
        ("bare LF after data", "1\r\na\n0\r\n\r\n"),
        ("bare CR in chunk line", "1\ra\r\n0\r\n\r\n"),
        ("chunk extension", "0;a=b\r\n\r\n"),
        ("chunk ext junk", "0;\x01a=b\r\n\r\n"),
        ("chunk ext with LF", "1;a\nb\r\na\r\n0\r\n\r\n"),
        ("chunk size with space", "1 \r\na\r\n0\r\n\r\n"),
        ("chunk size 0x0", "0x0\r\n\r\n"),
        ("chunk size negative", "-1\r\na\r\n0\r\n\r\n"),
        ("chunk size empty", "\r\na\r\n0\r\n\r\n"),
        ("chunk size 17 digits", "00000000000000001\r\na\r\n0\r\n\r\n"),
        ("chunk size overflow", "10000000000000001\r\na\r\n0\r\n\r\n"),
        ("chunk longer than said", "1\r\nab\r\n0\r\n\r\n"),
        ("trailer Content-Length", "0\r\nContent-Length: 5\r\n\r\n"),
        ("trailer Transfer-Encoding", "0\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ("trailer Host", "0\r\nHost: evil\r\n\r\n"),
        ("trailer Authorization", "0\r\nAuthorization: Basic YTpi\r\n\r\n"),
        ("trailer folded", "0\r\nX: a\r\n b\r\n\r\n"),
        ("trailer without colon", "0\r\nGET /smuggled HTTP/1.1\r\n\r\n"),
        ("trailer with bare LF", "0\r\nX: a\n\r\n"),
    ] {
        add(
            probes,
            name,
            post(host, "Transfer-Encoding: chunked\r\n", body),
            Expected::RefusedInBody(BAD),
        );
    }
    for (name, body) in [
        ("chunk size 2^63 - 1", "7fffffffffffffff\r\na"),
        ("chunk size 2^64 - 1", "ffffffffffffffff\r\na"),
        ("chunk sizes that sum up to 2^64", "1\r\na\r\nffffffffffffffff\r\n"),
    ] {
        add(
            probes,
            name,
            post(host, "Transfer-Encoding: chunked\r\n", body),
            Expected::RefusedInBody(&[400, 413]),
        );
    }
    let trailers = format!("0\r\n{}", "X: y\r\n".repeat(2_000));
    add(
        probes,
        "2000 trailers",
        post(host, "Transfer-Encoding: chunked\r\n", &trailers),
        Expected::RefusedInBody(TOO_LARGE),
    );
}

fn fields(host: &str, probes: &mut Vec<Probe>) {
    for (name, fields) in [
        ("obs-fold", "X: a\r\n b\r\n"),
        ("obs-fold tab", "X: a\r\n\tb\r\n"),
        ("obs-fold hides Host", "X: a\r\n Host: evil\r\n"),
        ("no colon line", "bad line\r\n"),
        ("empty name", ": x\r\n"),
        ("space before colon", "X : a\r\n"),
        ("tab before colon", "X\t: a\r\n"),
        ("space in name", "X Y: a\r\n"),
        ("NUL in value", "X: a\0b\r\n"),
        ("NUL in name", "X\0Y: a\r\n"),
        ("control in value", "X: a\x01b\r\n"),
        ("DEL in value", "X: a\x7fb\r\n"),
        ("bare CR in value", "X: a\rY: b\r\n"),
        ("bare CR before CRLF", "X: a\r\r\n"),
        ("non-ASCII name", "X\u{e9}: a\r\n"),
        ("bracket in name", "X[: a\r\n"),
        ("bare LF between fields", "X: a\nY: b\r\n"),
        (
            "two Authorization",
            "Authorization: Basic YTpi\r\nAuthorization: Bearer a\r\n",
        ),
        (
            "two Content-Type",
            "Content-Type: text/plain\r\nContent-Type: text/html\r\n",
        ),
    ] {
        add(probes, name, get(host, fields), Expected::Refused(BAD));
    }
    let folded = format!("GET / HTTP/1.1\r\n Host: {host}\r\n\r\n");
    add(probes, "space before first field", folded, Expected::Refused(BAD));
}

fn lines(host: &str, probes: &mut Vec<Probe>) {
    let head = |line: &str| format!("{line}\r\nHost: {host}\r\n\r\n");
    add(
        probes,
        "bare LF head",
        format!("GET / HTTP/1.1\nHost: {host}\n\n"),
        Expected::Refused(BAD),
    );
    for (name, line, statuses) in [
        ("empty line first", "\r\nGET / HTTP/1.1", BAD),
        ("lower-case method", "get / HTTP/1.1", BAD_OR_UNIMPLEMENTED),
        ("unknown method", "SMUGGLE / HTTP/1.1", BAD_OR_UNIMPLEMENTED),
        ("method with colon", "GET: / HTTP/1.1", BAD),
        ("TRACE", "TRACE / HTTP/1.1", &[400, 405, 501]),
        ("CONNECT", "CONNECT localhost:80 HTTP/1.1", &[400, 405, 501]),
        ("HTTP/0.9", "GET /", BAD),
        ("HTTP/1.2", "GET / HTTP/1.2", &[400, 505]),
        ("HTTP/2.0", "GET / HTTP/2.0", &[400, 505]),
        ("HTTP/1.10", "GET / HTTP/1.10", BAD),
        ("lower-case version", "GET / http/1.1", BAD),
        ("two spaces", "GET  / HTTP/1.1", BAD),
        ("tab as separator", "GET\t/\tHTTP/1.1", BAD),
        ("space at the end", "GET / HTTP/1.1 ", BAD),
        ("space in target", "GET /a b HTTP/1.1", BAD),
        ("fragment in target", "GET /a#b HTTP/1.1", BAD),
        ("control in target", "GET /\x01 HTTP/1.1", BAD),
        ("NUL in target", "GET /a\0b HTTP/1.1", BAD),
        ("non-ASCII target", "GET /\u{e9} HTTP/1.1", BAD),
        ("target without slash", "GET a HTTP/1.1", BAD),
        ("authority-form GET", "GET localhost:80 HTTP/1.1", BAD),
        ("asterisk-form GET", "GET * HTTP/1.1", BAD),
        ("absolute-form ftp", "GET ftp://localhost/ HTTP/1.1", BAD),
        ("version in the middle", "GET / HTTP/1.1 HTTP/1.1", BAD),
    ] {
        add(probes, name, head(line), Expected::Refused(statuses));
    }
}

fn hosts(host: &str, probes: &mut Vec<Probe>) {
    add(
        probes,
        "no Host",
        "GET / HTTP/1.1\r\nA: b\r\n\r\n",
        Expected::Refused(BAD),
    );
    add(
        probes,
        "no Host in HTTP/1.0",
        "GET / HTTP/1.0\r\n\r\n",
        Expected::Refused(BAD),
    );
    add(probes, "two Host", get(host, "Host: evil\r\n"), Expected::Refused(BAD));
    add(
        probes,
        "two equal Host",
        get(host, &format!("Host: {host}\r\n")),
        Expected::Refused(BAD),
    );
    let absolute = format!("GET http://evil/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    add(
        probes,
        "absolute-form vs Host",
        absolute,
        Expected::Refused(MISDIRECTED),
    );
    let user = format!("GET http://{host}@evil/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    add(probes, "absolute-form with user", user, Expected::Refused(MISDIRECTED));
    for (name, value) in [
        ("Host empty", String::new()),
        ("Host with path", format!("{host}/a")),
        ("Host with user", format!("a@{host}")),
        ("Host with comma", format!("{host}, evil")),
        ("Host with space", format!("{host} evil")),
        ("Host with empty port", format!("{host}:")),
        ("Host with port 0", format!("{host}:0")),
        ("Host with port 99999", format!("{host}:99999")),
        ("Host with letters for a port", format!("{host}:http")),
        ("Host with two ports", format!("{host}:80:80")),
        ("Host with percent", "%6c".to_owned()),
        ("Host of another site", "evil.example".to_owned()),
    ] {
        let bytes = format!("GET / HTTP/1.1\r\nHost: {value}\r\n\r\n");
        add(probes, name, bytes, Expected::Refused(MISDIRECTED));
    }
}

fn connections(host: &str, probes: &mut Vec<Probe>) {
    let hidden = smuggled(host);
    for (name, fields) in [
        ("Connection lists Host", "Connection: close, Host\r\n"),
        ("Connection lists CL", "Connection: Content-Length\r\n"),
        ("Connection lists Authorization", "Connection: Authorization\r\n"),
        ("Connection lists X-Forwarded-For", "Connection: X-Forwarded-For\r\n"),
        ("Connection no token", "Connection: a b\r\n"),
    ] {
        add(probes, name, get(host, fields), Expected::Refused(BAD));
    }
    let fields = "Connection: Upgrade\r\nUpgrade: x\r\nContent-Length: 4\r\n";
    add(
        probes,
        "Upgrade with body",
        post(host, fields, "abcd"),
        Expected::Refused(BAD),
    );
    let expect = post(host, "Expect: 200-maybe\r\nContent-Length: 2\r\n", "ab");
    add(probes, "unknown Expect", expect, Expected::Refused(&[400, 417]));
    // What follows is not asked for again on a connection that was to change its protocol.
    let upgrade = get(host, "Connection: Upgrade\r\nUpgrade: x\r\n") + &hidden;
    add(
        probes,
        "Upgrade + smuggled",
        upgrade,
        Expected::OnceThenClosed(&[200, 400, 501]),
    );
    let old = format!("GET / HTTP/1.0\r\nHost: {host}\r\nConnection: keep-alive\r\n\r\n{hidden}");
    add(
        probes,
        "HTTP/1.0 keep-alive + smuggled",
        old,
        Expected::OnceThenClosed(&[200]),
    );
    let close = get(host, "Connection: close\r\n") + &hidden;
    add(probes, "close + smuggled", close, Expected::OnceThenClosed(&[200]));
}

fn sizes(host: &str, probes: &mut Vec<Probe>) {
    let many = |count: usize| (0..count).map(|i| format!("X{i}: y\r\n")).collect::<String>();
    let long = |length: usize| format!("X: {}\r\n", "y".repeat(length));
    add(
        probes,
        "101 fields",
        get(host, &many(101)),
        Expected::Refused(TOO_LARGE),
    );
    add(
        probes,
        "2000 fields",
        get(host, &many(2_000)),
        Expected::Refused(TOO_LARGE),
    );
    add(
        probes,
        "40 KiB field",
        get(host, &long(40_960)),
        Expected::Refused(TOO_LARGE),
    );
    add(
        probes,
        "500 KiB field",
        get(host, &long(512_000)),
        Expected::Refused(TOO_LARGE),
    );
    add(
        probes,
        "3 fields of 7 KiB",
        get(host, &long(7_000).repeat(3)),
        Expected::Refused(TOO_LARGE),
    );
    let target = format!("GET /{} HTTP/1.1\r\nHost: {host}\r\n\r\n", "a".repeat(9_000));
    add(probes, "9 KiB target", target, Expected::Refused(&[400, 414]));
    add(
        probes,
        "endless head",
        "GET / HTTP/1.1\r\n".to_owned() + &"X: y\r\n".repeat(20_000),
        Expected::Refused(TOO_LARGE),
    );
    add(
        probes,
        "endless request line",
        "G".repeat(100_000),
        Expected::Refused(&[400, 414, 431]),
    );
}

/// Messages that are clear, though some are rare: a proxy that refuses everything is no proxy.
fn clear(host: &str, probes: &mut Vec<Probe>) {
    add(probes, "plain GET", get(host, ""), Expected::Answered(1));
    add(
        probes,
        "two pipelined",
        get(host, "") + &get(host, ""),
        Expected::Answered(2),
    );
    add(
        probes,
        "POST with length",
        post(host, "Content-Length: 5\r\n", "abcde"),
        Expected::Answered(1),
    );
    add(
        probes,
        "POST in chunks",
        post(host, "Transfer-Encoding: chunked\r\n", "3\r\nabc\r\n0\r\n\r\n"),
        Expected::Answered(1),
    );
    let trailers = "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n";
    add(
        probes,
        "POST with trailers",
        post(host, "Transfer-Encoding: chunked\r\n", trailers),
        Expected::Answered(1),
    );
    // The body's content looks like a request, and is content all the same.
    let inside = smuggled(host);
    let length = format!("Content-Length: {}\r\n", inside.len());
    let after = post(host, &length, &inside) + &get(host, "");
    add(probes, "request within a body", after, Expected::Answered(2));
    let get_body = format!("GET / HTTP/1.1\r\nHost: {host}\r\n{length}\r\n{inside}") + &get(host, "");
    add(probes, "GET with a body (CL.0)", get_body, Expected::Answered(2));
    let absolute = format!("GET https://{host}/ HTTP/1.1\r\nHost: {host}\r\n\r\n");
    add(probes, "absolute-form equal to Host", absolute, Expected::Answered(1));
    add(
        probes,
        "100 fields",
        get(host, &"X: y\r\n".repeat(99)),
        Expected::Answered(1),
    );
    add(
        probes,
        "empty and spaced values",
        get(host, "X:\r\nY: \t a \t\r\n"),
        Expected::Answered(1),
    );
    let expect = post(host, "Expect: 100-continue\r\nContent-Length: 2\r\n", "ab");
    add(probes, "Expect 100-continue", expect, Expected::Answered(1));
}
