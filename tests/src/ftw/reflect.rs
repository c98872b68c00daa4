//! The application that the tests expect behind the server: it answers as the request says.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use serde_json::Value;

/// What the upstream that the tests expect answers.
pub(super) fn upstream(target: &[u8], body: &[u8]) -> (u16, Vec<(String, String)>, Vec<u8>) {
    if !target.starts_with(b"/reflect") {
        return (200, Vec::new(), Vec::new());
    }
    let Ok(answer) = serde_json::from_slice::<Value>(body) else {
        return (400, Vec::new(), Vec::new());
    };
    let status = answer["status"]
        .as_u64()
        .and_then(|status| u16::try_from(status).ok())
        .unwrap_or(200);
    let mut headers: Vec<(String, String)> = Vec::new();
    for (name, value) in answer["headers"].as_object().into_iter().flatten() {
        headers.push((name.clone(), value.as_str().unwrap_or_default().to_owned()));
    }
    let body = match (answer["body"].as_str(), answer["encodedBody"].as_str()) {
        (Some(body), _) => body.as_bytes().to_vec(),
        (None, Some(encoded)) => BASE64_STANDARD.decode(encoded).unwrap_or_default(),
        (None, None) => Vec::new(),
    };
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("content-type"))
    {
        headers.push(("Content-Type".to_owned(), "text/html; charset=utf-8".to_owned()));
    }
    (status, headers, body)
}

/// Starts it on a free port of the loopback, and gives the port. It ends with the program.
pub(super) fn start() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// Answers requests until the connection ends.
fn serve(stream: TcpStream) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut input = BufReader::new(stream);
    while let Some((method, target, body)) = request(&mut input) {
        let (status, headers, body) = upstream(target.as_bytes(), &body);
        let mut answer = format!("HTTP/1.1 {status} Answer\r\n");
        for (name, value) in &headers {
            answer.push_str(&format!("{name}: {value}\r\n"));
        }
        if status >= 200 && status != 204 && status != 304 {
            answer.push_str(&format!("Content-Length: {}\r\n", body.len()));
        }
        answer.push_str("\r\n");
        let mut bytes = answer.into_bytes();
        if method != "HEAD" && status >= 200 && status != 204 && status != 304 {
            bytes.extend_from_slice(&body);
        }
        if out.write_all(&bytes).is_err() {
            return;
        }
    }
}

/// Method, target and body of the next request.
fn request(input: &mut BufReader<TcpStream>) -> Option<(String, String, Vec<u8>)> {
    let line = |input: &mut BufReader<TcpStream>| {
        let mut bytes = Vec::new();
        let count = input.read_until(b'\n', &mut bytes).ok()?;
        (count > 0).then(|| String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    let first = line(input)?;
    let mut parts = first.split(' ');
    let (method, target) = (parts.next()?.to_owned(), parts.next()?.to_owned());
    let (mut length, mut chunked) = (0, false);
    loop {
        let header = line(input)?;
        if header.is_empty() {
            break;
        }
        let (name, value) = header.split_once(':').unwrap_or((&header, ""));
        if name.eq_ignore_ascii_case("content-length") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= name.eq_ignore_ascii_case("transfer-encoding");
    }
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    while chunked {
        let size = usize::from_str_radix(line(input)?.trim(), 16).ok()?;
        let start = body.len();
        body.resize(start + size, 0);
        input.read_exact(body.get_mut(start..)?).ok()?;
        line(input)?;
        chunked = size > 0;
    }
    Some((method, target, body))
}
