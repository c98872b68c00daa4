//! The request as callers feed it: connection, request line, headers; and what follows from them.

use redan_types::Timestamp;

use super::{Bag, Connection, Fields, Texts, Transaction, Variable, Word};
use crate::body::urlencoded;

impl Transaction {
    /// Who talks to whom, and when.
    pub fn connection(&mut self, connection: &Connection, unique_id: &str, now: Timestamp) {
        self.now = now;
        let client = connection.client.to_string();
        self.set_text(Variable::RemoteAddr, client.as_bytes());
        self.set_text(Variable::RemoteHost, client.as_bytes());
        self.set_text(Variable::UserAgentIp, client.as_bytes());
        self.set_number(Variable::RemotePort, i64::from(connection.client_port));
        self.set_text(Variable::ServerAddr, connection.server.to_string().as_bytes());
        self.set_number(Variable::ServerPort, i64::from(connection.server_port));
        self.set_text(Variable::UniqueId, unique_id.as_bytes());
    }

    /// The request line: method, target as sent, protocol as `HTTP/1.1`.
    pub fn request_line(&mut self, method: &[u8], target: &[u8], protocol: &[u8]) {
        self.set_text(Variable::RequestMethod, method);
        self.set_text(Variable::RequestProtocol, protocol);
        self.set_text(Variable::RequestUriRaw, target);
        let start = self.texts.end();
        for part in [method, b" ", target, b" ", protocol] {
            self.texts.append(part);
        }
        let line = Word::Text(self.texts.adopt(start));
        self.fields.set(Variable::RequestLine, line);
        let (path, query) = match target.iter().position(|byte| *byte == b'?') {
            Some(at) => (target.get(..at).unwrap_or_default(), target.get(at + 1..)),
            None => (target, None),
        };
        self.set_text(Variable::QueryString, query.unwrap_or_default());
        let mut room = Vec::new();
        let path = urlencoded::decode(without_authority(path), false, &mut room, &mut false);
        self.set_text(Variable::RequestFilename, path);
        self.set_text(Variable::PathInfo, path);
        let base = path.iter().rposition(|byte| *byte == b'/' || *byte == b'\\');
        self.set_text(
            Variable::RequestBasename,
            base.map_or(path, |at| path.get(at + 1..).unwrap_or_default()),
        );
        let mut room = Vec::new();
        let uri = urlencoded::decode(without_authority(target), false, &mut room, &mut false);
        self.set_text(Variable::RequestUri, uri);
        if let Some(query) = query {
            self.arguments(Bag::ArgsGet, query);
        }
    }

    /// Adds arguments of a query string or form.
    pub(super) fn arguments(&mut self, bag: Bag, text: &[u8]) {
        let settings = &self.rules.settings;
        let separator = settings.argument_separator;
        let mut arguments = Arguments::new(&mut self.texts, &mut self.fields, settings.arguments_limit);
        let invalid = urlencoded::pairs(text, separator, &mut |name, value| arguments.add(bag, name, value));
        let size = arguments.size;
        if invalid {
            self.set_number(Variable::UrlencodedError, 1);
        }
        self.add_argument_size(size);
    }

    /// Counts what arguments take.
    pub(super) fn add_argument_size(&mut self, size: usize) {
        let old = self
            .fields
            .single(Variable::ArgsCombinedSize)
            .map_or(0, |word| self.integer(word));
        let size = i64::try_from(size).unwrap_or(i64::MAX);
        self.set_number(Variable::ArgsCombinedSize, old.saturating_add(size));
    }

    /// A request header as sent, without white space around its value.
    pub fn request_header(&mut self, name: &[u8], value: &[u8]) {
        let (key, text) = (self.texts.intern(name), self.texts.intern(value));
        self.fields.push(Bag::RequestHeaders, key, Word::Text(text));
        if name.eq_ignore_ascii_case(b"cookie") {
            self.cookies(value);
        } else if name.eq_ignore_ascii_case(b"host") {
            let host = host_name(value);
            self.set_text(Variable::ServerName, host);
        } else if name.eq_ignore_ascii_case(b"authorization") {
            let kind = value.split(u8::is_ascii_whitespace).next().unwrap_or_default();
            self.set_text(Variable::AuthType, kind);
        } else if name.eq_ignore_ascii_case(b"content-type") {
            let mime = value
                .split(|byte| *byte == b';' || *byte == b',')
                .next()
                .unwrap_or_default();
            let mime = mime.trim_ascii().to_ascii_lowercase();
            if mime.starts_with(b"multipart/form-data") {
                self.set_text(Variable::ReqbodyProcessor, b"MULTIPART");
            } else if mime == b"application/x-www-form-urlencoded" {
                self.set_text(Variable::ReqbodyProcessor, b"URLENCODED");
            }
        }
    }

    fn cookies(&mut self, value: &[u8]) {
        for cookie in value.split(|byte| *byte == b';') {
            let cookie = cookie.trim_ascii_start();
            if cookie.is_empty() {
                continue;
            }
            let (name, value) = match cookie.iter().position(|byte| *byte == b'=') {
                Some(at) => (
                    cookie.get(..at).unwrap_or_default(),
                    cookie.get(at + 1..).unwrap_or_default(),
                ),
                None => (cookie, &b""[..]),
            };
            if name.is_empty() {
                continue;
            }
            let mut value = value;
            if self.rules.settings.quoted_cookies
                && let Some(inner) = value
                    .trim_ascii()
                    .strip_prefix(b"\"")
                    .and_then(|value| value.strip_suffix(b"\""))
            {
                value = inner;
            }
            let (name, value) = (self.texts.intern(name), self.texts.intern(value));
            self.fields.push(Bag::RequestCookies, name, Word::Text(value));
        }
    }

    pub(super) fn set_text(&mut self, variable: Variable, text: &[u8]) {
        let text = self.texts.intern(text);
        self.fields.set(variable, Word::Text(text));
    }

    pub(super) fn set_number(&mut self, variable: Variable, number: i64) {
        self.fields.set(variable, Word::Number(number));
    }
}

/// Arguments on their way in: as many as there is room for.
pub(super) struct Arguments<'a> {
    texts: &'a mut Texts,
    fields: &'a mut Fields,
    left: usize,
    /// The bytes of those that were taken.
    pub(super) size: usize,
}

impl<'a> Arguments<'a> {
    /// Room for so many, of which some may be there.
    pub(super) fn new(texts: &'a mut Texts, fields: &'a mut Fields, limit: usize) -> Self {
        let count = fields.bag(Bag::ArgsGet).len() + fields.bag(Bag::ArgsPost).len();
        Self {
            texts,
            fields,
            left: limit.saturating_sub(count),
            size: 0,
        }
    }

    /// Takes one, if there is room.
    pub(super) fn add(&mut self, bag: Bag, name: &[u8], value: &[u8]) {
        if self.left > 0 {
            self.left -= 1;
            self.size += name.len() + value.len();
            let (name, value) = (self.texts.intern(name), self.texts.intern(value));
            self.fields.push(bag, name, Word::Text(value));
        }
    }
}

/// A target without scheme and host, if it has them.
fn without_authority(target: &[u8]) -> &[u8] {
    if target.starts_with(b"/") {
        return target;
    }
    let Some(colon) = memchr::memmem::find(target, b"://") else {
        return target;
    };
    let after = target.get(colon + 3..).unwrap_or_default();
    match after.iter().position(|byte| *byte == b'/') {
        Some(slash) => after.get(slash..).unwrap_or_default(),
        None => target,
    }
}

/// A host header without its port.
fn host_name(value: &[u8]) -> &[u8] {
    if value.starts_with(b"[") {
        let end = value.iter().position(|byte| *byte == b']');
        return end.and_then(|end| value.get(..=end)).unwrap_or(value);
    }
    value.split(|byte| *byte == b':').next().unwrap_or_default()
}
