//! HTTP/2 requests that become something else when they are written as HTTP/1.1, and those that are no requests at all.
//!
//! A case is refused when its stream gets a status of 400 and above (but not 5xx, which would mean that an upstream was asked), or
//! is reset, or the connection ends; and nothing complete reached the upstream.

use crate::h2_raw::{H2, Heard, flag, kind};
use crate::hpack::Block;
use crate::http1_probe::{MARKER, gets_its_own_answer};
use crate::wire::Target;
use crate::witness::{Seen, Witness};
use std::io;
use std::time::{Duration, Instant};

/// What a strict proxy makes of a case.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Expected {
    /// 200, and the upstream has seen one request.
    Answered,
    /// Refused, and nothing complete at the upstream.
    Refused,
    /// Refused, or answered without what is wrong having reached the upstream.
    RefusedOrDropped,
}

/// A request as frames on stream 1.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its name.
    pub name: &'static str,
    /// The fields of HEADERS, pseudo-headers among them.
    pub fields: Vec<(Vec<u8>, Vec<u8>)>,
    /// DATA, a frame each; none at all means that HEADERS ends the stream.
    pub data: Vec<Vec<u8>>,
    /// Trailers, which then end the stream.
    pub trailers: Option<Vec<(Vec<u8>, Vec<u8>)>>,
    /// What should come of it.
    pub expected: Expected,
}

/// What came of a case.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// What the peer said.
    pub heard: Heard,
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
        if let Some(smuggled) = self.seen.iter().find(|seen| seen.line.contains("smuggled")) {
            return Some(format!("the upstream was sent {:?}", smuggled.line));
        }
        if self.desynchronised {
            return Some("the next client did not get the response to its own request".into());
        }
        let status = self.heard.status(1);
        let complete = self.seen.iter().filter(|seen| seen.complete).count();
        match expected {
            Expected::Answered => (status != Some(200)).then(|| format!("expected 200, heard {:?}", self.heard)),
            Expected::RefusedOrDropped if status == Some(200) => None,
            Expected::Refused | Expected::RefusedOrDropped => {
                let refused = status.map_or_else(
                    || self.heard.is_done(1),
                    |status| (400..=501).contains(&status) && status != 500,
                );
                if !refused {
                    return Some(format!("it was not refused: {:?}", self.heard));
                }
                (complete > 0).then(|| format!("it reached the upstream: {:?}", self.seen))
            }
        }
    }
}

/// Sends one case on a connection of its own and gathers what comes of it within `within`.
///
/// # Errors
/// The target cannot be connected to.
pub fn run(target: &Target, case: &Case, witness: Option<&Witness>, within: Duration) -> io::Result<Verdict> {
    let start = Instant::now();
    if let Some(witness) = witness {
        witness.take();
    }
    let mut client = H2::connect(target)?;
    let bare = case.data.is_empty() && case.trailers.is_none();
    client.headers(1, &block(&case.fields), bare);
    for (index, data) in case.data.iter().enumerate() {
        let last = index + 1 == case.data.len() && case.trailers.is_none();
        client.data(1, data, last);
    }
    if let Some(trailers) = &case.trailers {
        client.frame(
            kind::HEADERS,
            flag::END_HEADERS | flag::END_STREAM,
            1,
            &block(trailers).0,
        );
    }
    client.pump();
    client.listen(within, |heard| heard.is_done(1));
    let took = start.elapsed();
    // Once a later request has been seen at the upstream, whatever the case sent there has been seen too.
    let desynchronised = match witness {
        Some(_) => !gets_its_own_answer(target, within)?,
        None => false,
    };
    let mut seen = witness.map(Witness::take).unwrap_or_default();
    seen.retain(|seen| !seen.line.contains(MARKER));
    Ok(Verdict {
        heard: client.heard,
        seen,
        desynchronised,
        took,
    })
}

fn block(fields: &[(Vec<u8>, Vec<u8>)]) -> Block {
    let mut block = Block::default();
    for (name, value) in fields {
        block.literal(name, value);
    }
    block
}

/// Every case, for a target that is published as `host`.
#[must_use]
pub fn cases(host: &str) -> Vec<Case> {
    let mut list = List {
        host: host.to_owned(),
        cases: Vec::new(),
    };
    injections(&mut list);
    pseudo_headers(&mut list);
    connection_fields(&mut list);
    lengths(&mut list);
    trailers(&mut list);
    sizes(&mut list);
    clear(&mut list);
    list.cases
}

struct List {
    host: String,
    cases: Vec<Case>,
}

impl List {
    /// The pseudo-headers of an ordinary request.
    fn pseudo(&self, method: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        fields(&[
            (":method", method),
            (":scheme", "https"),
            (":authority", &self.host),
            (":path", "/"),
        ])
    }

    /// An ordinary request with `extra` fields.
    fn get(&self, extra: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = self.pseudo("GET");
        all.extend(fields(extra));
        all
    }

    /// An ordinary request with the value of one pseudo-header changed.
    fn with(&self, name: &str, value: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = self.pseudo("GET");
        for field in &mut all {
            if field.0 == name.as_bytes() {
                field.1 = value.into();
            }
        }
        all
    }

    /// An ordinary request without one pseudo-header.
    fn without(&self, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
        let mut all = self.pseudo("GET");
        all.retain(|field| field.0 != name.as_bytes());
        all
    }

    fn refuse(&mut self, name: &'static str, fields: Vec<(Vec<u8>, Vec<u8>)>) {
        self.push(name, fields, &[], None, Expected::Refused);
    }

    fn post(&mut self, name: &'static str, extra: &[(&str, &str)], data: &[&str], expected: Expected) {
        let mut all = self.pseudo("POST");
        all.extend(fields(extra));
        self.push(name, all, data, None, expected);
    }

    fn push(
        &mut self,
        name: &'static str,
        fields: Vec<(Vec<u8>, Vec<u8>)>,
        data: &[&str],
        trailers: Option<Vec<(Vec<u8>, Vec<u8>)>>,
        expected: Expected,
    ) {
        let data = data.iter().map(|data| data.as_bytes().to_vec()).collect();
        self.cases.push(Case {
            name,
            fields,
            data,
            trailers,
            expected,
        });
    }
}

fn fields(fields: &[(&str, &str)]) -> Vec<(Vec<u8>, Vec<u8>)> {
    fields
        .iter()
        .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
        .collect()
}

/// Line breaks and other separators of HTTP/1.1 where HTTP/2 would carry them.
fn injections(list: &mut List) {
    let hidden = "a\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, field) in [
        ("CRLF in a value", ("x", hidden)),
        ("LF in a value", ("x", "a\nx-injected: b")),
        ("CR in a value", ("x", "a\rx-injected: b")),
        ("NUL in a value", ("x", "a\0b")),
        ("space before a value", ("x", " a")),
        ("CRLF in a name", ("x: a\r\nx-injected", "b")),
        ("colon in a name", ("transfer-encoding:chunked", "b")),
        ("space in a name", ("x y", "b")),
        ("upper case in a name", ("X-Upper", "b")),
        ("NUL in a name", ("x\0y", "b")),
        ("empty name", ("", "b")),
        ("CRLF in a cookie", ("cookie", "a=1\r\nx-injected: b")),
        ("underscore for a length", ("content_length", "5")),
    ] {
        list.refuse(name, list.get(&[field]));
    }
    for (name, pseudo, value) in [
        (
            "CRLF in the path",
            ":path",
            "/ HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled HTTP/1.1\r\nx: y",
        ),
        ("space in the path", ":path", "/ HTTP/1.1"),
        ("LF in the path", ":path", "/\nx"),
        ("NUL in the path", ":path", "/\0"),
        (
            "CRLF in the method",
            ":method",
            "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET",
        ),
        ("space in the method", ":method", "GET /smuggled HTTP/1.1"),
        ("CRLF in the authority", ":authority", "a\r\nx-injected: b"),
        ("space in the authority", ":authority", "a b"),
        ("user in the authority", ":authority", "user@localhost"),
        ("path in the authority", ":authority", "localhost/smuggled"),
        ("CRLF in the scheme", ":scheme", "https://a/smuggled HTTP/1.1\r\nx: y"),
    ] {
        list.refuse(name, list.with(pseudo, value));
    }
}

/// RFC 9113 section 8.3.
fn pseudo_headers(list: &mut List) {
    for (name, missing) in [
        ("no method", ":method"),
        ("no scheme", ":scheme"),
        ("no path", ":path"),
        ("no authority", ":authority"),
    ] {
        list.refuse(name, list.without(missing));
    }
    let host = list.host.clone();
    for (name, field) in [
        ("two methods", (":method", "GET")),
        ("two schemes", (":scheme", "https")),
        ("two paths", (":path", "/smuggled")),
        ("two authorities", (":authority", &*host)),
        ("an unknown pseudo-header", (":x", "y")),
        ("a status in a request", (":status", "200")),
        ("host is another", ("host", "evil.example")),
    ] {
        list.refuse(name, list.get(&[field]));
    }
    // RFC 9113 section 8.3.1 lets a gateway do this. No browser does, and one way to name the host is enough.
    list.refuse("host instead of the authority", {
        let mut all = list.without(":authority");
        all.extend(fields(&[("host", &host)]));
        all
    });
    list.refuse("a pseudo-header after a field", {
        let mut all = fields(&[("x", "y")]);
        all.extend(list.pseudo("GET"));
        all
    });
    for (name, field) in [
        ("two authorizations", "authorization"),
        ("two content types", "content-type"),
    ] {
        list.refuse(name, list.get(&[(field, "a"), (field, "b")]));
    }
    // The `h2` crate cuts the fragment off before anybody sees it: then it must be gone for everybody.
    list.push(
        "a fragment in the path",
        list.with(":path", "/#smuggled"),
        &[],
        None,
        Expected::RefusedOrDropped,
    );
    list.refuse("two hosts", list.get(&[("host", &host), ("host", &host)]));
    for (name, pseudo, value) in [
        ("an empty path", ":path", ""),
        ("a path without slash", ":path", "smuggled"),
        ("a path that is a URI", ":path", "http://evil/"),
        ("an asterisk without OPTIONS", ":path", "*"),
        ("another scheme", ":scheme", "ftp"),
        ("the scheme without TLS", ":scheme", "http"),
        ("a path outside ASCII", ":path", "/\u{e9}"),
        ("a control in the path", ":path", "/\u{7f}"),
        ("an empty port", ":authority", "localhost:"),
        ("a port over 65535", ":authority", "localhost:65536"),
        ("an empty authority", ":authority", ""),
        ("another authority", ":authority", "evil.example"),
        ("CONNECT", ":method", "CONNECT"),
        ("TRACE", ":method", "TRACE"),
        ("an unknown method", ":method", "SMUGGLE"),
        ("a lower-case method", ":method", "get"),
        ("an empty method", ":method", ""),
    ] {
        list.refuse(name, list.with(pseudo, value));
    }
}

/// RFC 9113 section 8.2.2.
fn connection_fields(list: &mut List) {
    for (name, field) in [
        ("connection", ("connection", "close")),
        ("connection lists host", ("connection", "host")),
        ("transfer-encoding", ("transfer-encoding", "chunked")),
        ("keep-alive", ("keep-alive", "timeout=5")),
        ("proxy-connection", ("proxy-connection", "close")),
        ("upgrade", ("upgrade", "h2c")),
        ("te gzip", ("te", "gzip")),
        ("te trailers, gzip", ("te", "trailers, gzip")),
    ] {
        list.refuse(name, list.get(&[field]));
    }
    let body = ["0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"];
    list.post(
        "transfer-encoding with a body",
        &[("transfer-encoding", "chunked")],
        &body,
        Expected::Refused,
    );
    let both = [("content-length", "48"), ("transfer-encoding", "chunked")];
    list.post("transfer-encoding and a length", &both, &body, Expected::Refused);
}

/// RFC 9113 section 8.1.1: the length must be that of the DATA frames.
fn lengths(list: &mut List) {
    let hidden = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    for (name, lengths, data) in [
        ("a length over the data", &["100"][..], &["abc"][..]),
        ("a length under the data", &["3"], &["abc", hidden]),
        ("a length of 0 and data", &["0"], &[hidden]),
        ("two lengths that differ", &["3", "4"], &["abc"]),
        ("two equal lengths", &["3", "3"], &["abc"]),
        ("a list of lengths", &["3, 3"], &["abc"]),
        ("a length with a sign", &["+3"], &["abc"]),
        ("a length in hexadecimal", &["0x3"], &["abc"]),
        ("an empty length", &[""], &["abc"]),
        ("a length over 64 bits", &["18446744073709551619"], &["abc"]),
    ] {
        let extra: Vec<_> = lengths.iter().map(|length| ("content-length", *length)).collect();
        list.post(name, &extra, data, Expected::Refused);
    }
    list.refuse("a length without data", list.get(&[("content-length", "5")]));
}

fn trailers(list: &mut List) {
    for (name, field) in [
        ("a length in trailers", ("content-length", "5")),
        ("a transfer coding in trailers", ("transfer-encoding", "chunked")),
        ("a host in trailers", ("host", "evil")),
        ("an authorization in trailers", ("authorization", "Basic YTpi")),
        ("CRLF in trailers", ("x", "a\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n")),
        ("upper case in trailers", ("X-Sum", "1")),
    ] {
        list.push(
            name,
            list.pseudo("POST"),
            &["abc"],
            Some(fields(&[field])),
            Expected::Refused,
        );
    } // RFC 9113 section 8.1 calls it malformed; the `h2` crate drops it before anybody sees it.
    let pseudo = Some(fields(&[(":path", "/smuggled")]));
    list.push(
        "a pseudo-header in trailers",
        list.pseudo("POST"),
        &["abc"],
        pseudo,
        Expected::RefusedOrDropped,
    );
}

fn sizes(list: &mut List) {
    let long = "y".repeat(15_000);
    list.refuse(
        "20 KiB of fields",
        list.get(&[("a", &long[..5_000]), ("b", &long), ("c", &long[..5_000])]),
    );
    list.refuse("101 fields", list.get(&[("x", "y"); 101]));
    list.refuse("a path of 9 KiB", list.with(":path", &format!("/{}", &long[..9_000])));
}

/// What is clear, so that refusing everything is no way to pass.
fn clear(list: &mut List) {
    let answered = Expected::Answered;
    list.push("a GET", list.pseudo("GET"), &[], None, answered);
    list.push("te trailers", list.get(&[("te", "trailers")]), &[], None, answered);
    list.push(
        "cookie crumbs",
        list.get(&[("cookie", "a=1"), ("cookie", "b=2")]),
        &[],
        None,
        answered,
    );
    let host = list.host.clone();
    list.push(
        "host equal to the authority",
        list.get(&[("host", &host)]),
        &[],
        None,
        answered,
    );
    list.post(
        "a length that fits",
        &[("content-length", "6")],
        &["abc", "def"],
        answered,
    );
    list.post("data without a length", &[], &["abc", "", "def"], answered);
    // Content that looks like framing is content.
    list.post("a chunk as data", &[], &["0\r\n\r\nGET / HTTP/1.1\r\n\r\n"], answered);
    list.push(
        "a trailer",
        list.pseudo("POST"),
        &["abc"],
        Some(fields(&[("x-sum", "1")])),
        answered,
    );
}
