//! A request written down as text, for tools that show what rules make of it.
//!
//! Read leniently, since attacks are what people write down: lines may end with a bare newline, header names may be anything, a
//! `Content-Length` that is wrong does not matter. The data path has a strict reader of its own.

use crate::engine::{Intervention, Transaction};

/// A request from a text.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Sample {
    /// The method.
    pub method: Vec<u8>,
    /// The target as written.
    pub target: Vec<u8>,
    /// `HTTP/1.1`.
    pub protocol: Vec<u8>,
    /// Names and values, without white space around the values.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body, put together if it was chunked.
    pub body: Vec<u8>,
}

/// Why a text is no request.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("line {line}: {problem}")]
pub struct SampleError {
    /// The number of the line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: SampleProblem,
}

/// What is wrong with a line.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum SampleProblem {
    /// There is nothing.
    #[error("there is no request")]
    Empty,
    /// A header without its colon.
    #[error("this is no header: it has no colon (an empty line ends the headers)")]
    NoColon,
    /// The first line is no request line.
    #[error("this is no request line, such as: GET /path?query HTTP/1.1")]
    RequestLine,
}

impl Sample {
    /// Reads a request.
    ///
    /// # Errors
    ///
    /// Where the text has no request line, or a line among the headers is no header.
    pub fn parse(text: &[u8]) -> Result<Self, SampleError> {
        let mut rest = text;
        let mut number = 1;
        let error = |line, problem| SampleError { line, problem };
        let line = take_line(&mut rest);
        if line.trim_ascii().is_empty() {
            return Err(error(1, SampleProblem::Empty));
        }
        let first = line.iter().position(|byte| *byte == b' ');
        let last = line.iter().rposition(|byte| *byte == b' ');
        let (Some(first), Some(last)) = (first, last.filter(|last| Some(*last) > first)) else {
            return Err(error(1, SampleProblem::RequestLine));
        };
        let mut sample = Self {
            method: line.get(..first).unwrap_or_default().to_vec(),
            target: line.get(first + 1..last).unwrap_or_default().to_vec(),
            protocol: line.get(last + 1..).unwrap_or_default().to_vec(),
            ..Self::default()
        };
        if !sample.protocol.starts_with(b"HTTP/") {
            return Err(error(1, SampleProblem::RequestLine));
        }
        while !rest.is_empty() {
            number += 1;
            let line = take_line(&mut rest);
            if line.is_empty() {
                break;
            }
            let Some(colon) = line.iter().position(|byte| *byte == b':') else {
                return Err(error(number, SampleProblem::NoColon));
            };
            let (name, value) = line.split_at(colon);
            sample
                .headers
                .push((name.to_vec(), value.get(1..).unwrap_or_default().trim_ascii().to_vec()));
        }
        sample.body = if sample.is_chunked() {
            // One of the two says how long the body is, and this one does (RFC 9112, section 6.3).
            sample
                .headers
                .retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
            without_chunks(rest)
        } else {
            rest.to_vec()
        };
        Ok(sample)
    }

    fn is_chunked(&self) -> bool {
        self.headers.iter().any(|(name, value)| {
            name.eq_ignore_ascii_case(b"transfer-encoding") && value.to_ascii_lowercase().ends_with(b"chunked")
        })
    }

    /// Gives the request to a transaction that knows its connection, up to the end of phase 2. The verdict, if there is one.
    pub fn feed(&self, transaction: &mut Transaction) -> Option<Intervention> {
        transaction.request_line(&self.method, &self.target, &self.protocol);
        for (name, value) in &self.headers {
            transaction.request_header(name, value);
        }
        if let Some(verdict) = transaction.request_headers_end() {
            return Some(verdict);
        }
        if let Some(verdict) = transaction.request_body(&self.body) {
            return Some(verdict);
        }
        transaction.request_body_end()
    }
}

/// Takes a line; the last may have no end.
fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
    let (line, left) = rest.split_at(end);
    *rest = left.get(1..).unwrap_or_default();
    line.strip_suffix(b"\r").unwrap_or(line)
}

/// What chunks carry, up to the first that is none.
fn without_chunks(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while !rest.is_empty() {
        let line = take_line(&mut rest);
        let size = line.split(|byte| *byte == b';').next().unwrap_or_default();
        let size = std::str::from_utf8(size)
            .ok()
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok());
        let Some(size) = size.filter(|size| *size > 0 && *size <= rest.len()) else {
            break;
        };
        let (chunk, left) = rest.split_at(size);
        body.extend_from_slice(chunk);
        rest = left;
        take_line(&mut rest);
    }
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_as_it_stands() {
        let sample = Sample::parse(b"POST /a b?c HTTP/1.1\nHost:  x \r\nX_y: \n\nbody\nmore").unwrap();
        assert_eq!(
            (sample.method.as_slice(), sample.target.as_slice()),
            (&b"POST"[..], &b"/a b?c"[..])
        );
        assert_eq!(sample.headers[0], (b"Host".to_vec(), b"x".to_vec()));
        assert_eq!(sample.headers[1], (b"X_y".to_vec(), Vec::new()));
        assert_eq!(sample.body, b"body\nmore");
    }

    #[test]
    fn headers_may_end_with_the_file() {
        let sample = Sample::parse(b"GET / HTTP/1.1\r\nHost: x").unwrap();
        assert_eq!((sample.headers.len(), sample.body.len()), (1, 0));
    }

    #[test]
    fn a_chunked_body_is_put_together_and_its_length_is_not_heeded() {
        let text = b"POST / HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n2\r\nde\r\n0\r\n\r\n";
        let sample = Sample::parse(text).unwrap();
        assert_eq!((sample.headers.len(), sample.body.as_slice()), (1, &b"abcde"[..]));
    }

    #[test]
    fn what_is_no_request_is_refused_with_its_line() {
        let wrong = |text: &str| Sample::parse(text.as_bytes()).unwrap_err();
        assert_eq!((wrong("").line, wrong("").problem), (1, SampleProblem::Empty));
        assert_eq!(wrong("hello").problem, SampleProblem::RequestLine);
        assert_eq!(wrong("GET / nothing\n").problem, SampleProblem::RequestLine);
        assert_eq!(
            wrong("GET / HTTP/1.1\nHost: x\nnothing here\n"),
            SampleError {
                line: 3,
                problem: SampleProblem::NoColon
            }
        );
    }
}
