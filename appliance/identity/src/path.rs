//! The one reading of a request's path.
//!
//! A proxy that decides about one path while the server behind it understands another lets requests through that nobody allowed.
//! So a path is either brought into a normal form, which is what is forwarded and decided about, or refused:
//!
//! * percent-encoded unreserved characters are decoded (RFC 3986 section 6.2.2.2), other escapes get upper-case digits, characters
//!   that browsers send although RFC 3986 forbids them (`|`, `^`, `[`, `]`) are encoded;
//! * `.` and `..` segments are resolved, empty segments are dropped; a last '/' stays;
//! * refused is what servers read differently: encoded slashes, backslashes and NUL, control characters, `..` that climb above the
//!   root or follow an empty segment, encoded or parametrised dot segments, escapes of escapes (`%2541`), invalid escapes, escaped
//!   bytes that are not UTF-8 (overlong forms among them), other bytes outside of RFC 3986.
//!
//! One difference is left: some servers cut parameters (`;name=value`) off each segment before they look at it. A path with
//! parameters therefore has two readings, and every decision must hold for both ([`NormalPath::readings`], [`NormalPath::agreed`]).

use std::borrow::Cow;

/// The longest path, in bytes.
pub const MAX_PATH: usize = 8 * 1024;

/// Why a path is refused. The client is told only that its request was bad.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Ambiguous {
    /// It does not begin with '/'.
    #[error("the path does not begin with '/'")]
    Relative,
    /// Longer than [`MAX_PATH`].
    #[error("the path is longer than {MAX_PATH} bytes")]
    TooLong,
    /// A byte that does not belong in a path.
    #[error("the path holds the byte {0:#04x}")]
    Byte(u8),
    /// A backslash, plain or encoded.
    #[error("the path holds a backslash")]
    Backslash,
    /// `%2F`.
    #[error("the path holds an encoded slash")]
    EncodedSlash,
    /// An encoded control character, NUL among them.
    #[error("the path holds the encoded control character {0:#04x}")]
    EncodedControl(u8),
    /// `%` without two hexadecimal digits.
    #[error("the path holds an invalid percent escape")]
    Escape,
    /// An escape that gives another one when it is decoded twice.
    #[error("the path holds an escape of an escape")]
    DoubleEscape,
    /// Decoded, it is not UTF-8.
    #[error("the decoded path is not UTF-8")]
    Utf8,
    /// A dot segment that is encoded or has parameters.
    #[error("the path holds a disguised dot segment")]
    DisguisedDots,
    /// `..` at the root, or after an empty segment.
    #[error("the path climbs above its root")]
    Climbs,
    /// A segment of parameters only.
    #[error("the path holds a segment that is empty without its parameters")]
    Parameters,
}

/// A path in normal form.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct NormalPath<'a> {
    forward: Cow<'a, str>,
    /// Decoded, where that is another text.
    decoded: Option<String>,
    /// Decoded and without parameters, where there are any.
    bare: Option<String>,
}

impl NormalPath<'_> {
    /// The path to forward to the server, without query. Never the one that the client sent: decisions were made about this one.
    #[must_use]
    pub fn forward(&self) -> &str {
        &self.forward
    }

    /// The decoded path with parameters, for logs and for people.
    #[must_use]
    pub fn decoded(&self) -> &str {
        self.decoded.as_deref().unwrap_or(&self.forward)
    }

    /// The one or two texts that servers may read: decoded, and decoded without parameters where there are any.
    pub fn readings(&self) -> impl Iterator<Item = &str> {
        std::iter::once(self.decoded()).chain(self.bare.as_deref())
    }

    /// What `decide` says about every reading; `None` where it does not say the same about all, and the request must be refused.
    /// Routing uses this: a path must not belong to one route for us and to another one for the server.
    pub fn agreed<T: PartialEq>(&self, mut decide: impl FnMut(&str) -> T) -> Option<T> {
        let first = decide(self.decoded());
        match &self.bare {
            Some(bare) if decide(bare) != first => None,
            _ => Some(first),
        }
    }
}

/// Brings the path of a request (without query) into normal form.
///
/// # Errors
/// [`Ambiguous`] where servers may read it differently.
pub fn normalise(path: &str) -> Result<NormalPath<'_>, Ambiguous> {
    if path.len() > MAX_PATH {
        return Err(Ambiguous::TooLong);
    }
    if !path.starts_with('/') {
        return Err(Ambiguous::Relative);
    }
    if is_plain(path) {
        return Ok(NormalPath {
            forward: Cow::Borrowed(path),
            decoded: None,
            bare: None,
        });
    }
    let escaped = unescape(path)?;
    let forward = resolve(&escaped)?;
    let decoded = decode(&forward)?;
    let bare = if decoded.contains(';') {
        Some(without_parameters(&decoded)?)
    } else {
        None
    };
    let decoded = Some(decoded).filter(|decoded| *decoded != forward);
    Ok(NormalPath {
        forward: Cow::Owned(forward),
        decoded,
        bare,
    })
}

/// Whether nothing is to be done: the usual path, recognised without allocating.
fn is_plain(path: &str) -> bool {
    let mut previous = 0;
    path.bytes().all(|byte| {
        // A segment that begins with a dot may be a dot segment; one after '/' that is '/' is empty.
        let plain = is_literal(byte) && byte != b';' || byte == b'/';
        let odd = previous == b'/' && matches!(byte, b'/' | b'.');
        previous = byte;
        plain && !odd
    })
}

const fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986's `pchar` without escapes.
const fn is_literal(byte: u8) -> bool {
    is_unreserved(byte)
        || matches!(
            byte,
            b'!' | b'$' | b'&' | b'\'' | b'(' | b')' | b'*' | b'+' | b',' | b';' | b'=' | b':' | b'@'
        )
}

/// Decodes the escapes that mean the same as the character, checks the others and gives them upper-case digits.
fn unescape(path: &str) -> Result<String, Ambiguous> {
    let mut out = String::with_capacity(path.len() + 8);
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'/' => out.push('/'),
            b'%' => {
                let value = escape(&mut bytes)?;
                match value {
                    0..0x20 | 0x7f => return Err(Ambiguous::EncodedControl(value)),
                    b'/' => return Err(Ambiguous::EncodedSlash),
                    b'\\' => return Err(Ambiguous::Backslash),
                    // An encoded dot in a dot segment is found below: mark it by leaving it encoded for now.
                    b'.' => out.push_str("%2E"),
                    _ if is_unreserved(value) => out.push(char::from(value)),
                    _ => push_escape(&mut out, value),
                }
            }
            b'\\' => return Err(Ambiguous::Backslash),
            b'|' | b'^' | b'[' | b']' => push_escape(&mut out, byte),
            _ if is_literal(byte) => out.push(char::from(byte)),
            _ => return Err(Ambiguous::Byte(byte)),
        }
    }
    // Only now, because the digits after an encoded '%' may have been encoded themselves.
    let twice = out.match_indices("%25").any(|(at, found)| {
        let rest = out.get(at + found.len()..).unwrap_or_default();
        escape(&mut rest.bytes()).is_ok()
    });
    if twice { Err(Ambiguous::DoubleEscape) } else { Ok(out) }
}

fn escape(bytes: &mut std::str::Bytes<'_>) -> Result<u8, Ambiguous> {
    let mut digit = || {
        let digit = bytes
            .next()
            .and_then(|byte| char::from(byte).to_digit(16))
            .ok_or(Ambiguous::Escape)?;
        u8::try_from(digit).map_err(|_| Ambiguous::Escape)
    };
    let high = digit()?;
    Ok(high << 4 | digit()?)
}

fn push_escape(out: &mut String, byte: u8) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    for digit in [byte >> 4, byte & 15] {
        out.push(char::from(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0')));
    }
}

/// Resolves dot segments and drops empty ones. A last '/' stays, and a last dot segment leaves one.
fn resolve(path: &str) -> Result<String, Ambiguous> {
    let mut kept: Vec<Cow<'_, str>> = Vec::new();
    let mut folder = false;
    let mut empty = false;
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        folder = matches!(segment, "" | "." | "..");
        match segment {
            "" => empty = empty || !last,
            "." => {}
            ".." if empty => return Err(Ambiguous::Climbs),
            ".." => drop(kept.pop().ok_or(Ambiguous::Climbs)?),
            _ => {
                let plain = if segment.contains("%2E") {
                    Cow::Owned(segment.replace("%2E", "."))
                } else {
                    segment.into()
                };
                // Cut parameters as a server would, encoded or not.
                let name = plain
                    .split(';')
                    .next()
                    .and_then(|name| name.split("%3B").next())
                    .unwrap_or_default();
                if matches!(name, "." | "..") {
                    return Err(Ambiguous::DisguisedDots);
                }
                kept.push(plain);
            }
        }
    }
    let mut out = String::with_capacity(path.len());
    for segment in &kept {
        out.push('/');
        out.push_str(segment);
    }
    if folder || out.is_empty() {
        out.push('/');
    }
    Ok(out)
}

/// Decodes every escape that is left.
fn decode(path: &str) -> Result<String, Ambiguous> {
    let mut out = Vec::with_capacity(path.len());
    let mut bytes = path.bytes();
    while let Some(byte) = bytes.next() {
        out.push(if byte == b'%' { escape(&mut bytes)? } else { byte });
    }
    String::from_utf8(out).map_err(|_| Ambiguous::Utf8)
}

fn without_parameters(decoded: &str) -> Result<String, Ambiguous> {
    let mut out = String::with_capacity(decoded.len());
    for segment in decoded.split('/').skip(1) {
        let name = segment.split(';').next().unwrap_or_default();
        if name.is_empty() && !segment.is_empty() {
            return Err(Ambiguous::Parameters);
        }
        out.push('/');
        out.push_str(name);
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::{Ambiguous, MAX_PATH, normalise};
    use proptest::prelude::{prop_assert, prop_assert_eq, proptest};

    fn forward(path: &str) -> Result<String, Ambiguous> {
        normalise(path).map(|path| path.forward().to_owned())
    }

    #[test]
    fn the_normal_form_is_what_the_documentation_says() {
        for (path, normal) in [
            ("/", "/"),
            ("/a/b", "/a/b"),
            ("/a/b/", "/a/b/"),
            ("/%61%7e%2D", "/a~-"),
            ("/a%2eb", "/a.b"),
            ("/%c3%a9", "/%C3%A9"),
            ("/a%3fb%23", "/a%3Fb%23"),
            ("/a|b^[c]", "/a%7Cb%5E%5Bc%5D"),
            ("//a///b//", "/a/b/"),
            ("/a/./b/.", "/a/b/"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/..", "/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/...", "/..."),
            ("/a..b", "/a..b"),
            ("/100%25", "/100%25"),
            ("/100%25x", "/100%25x"),
            ("/a;b=c/d", "/a;b=c/d"),
            ("/a%3bb", "/a%3Bb"),
        ] {
            assert_eq!(forward(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_servers_read_differently_is_refused() {
        for (path, why) in [
            ("", Ambiguous::Relative),
            ("a", Ambiguous::Relative),
            ("*", Ambiguous::Relative),
            ("/a%2fb", Ambiguous::EncodedSlash),
            ("/a%2Fb", Ambiguous::EncodedSlash),
            ("/a%5cb", Ambiguous::Backslash),
            ("/a\\b", Ambiguous::Backslash),
            ("/a%00", Ambiguous::EncodedControl(0)),
            ("/a%0d%0a", Ambiguous::EncodedControl(13)),
            ("/a%7f", Ambiguous::EncodedControl(127)),
            ("/..", Ambiguous::Climbs),
            ("/a/../../b", Ambiguous::Climbs),
            ("/a//../b", Ambiguous::Climbs),
            ("/%2e%2e/a", Ambiguous::DisguisedDots),
            ("/a/.%2E/b", Ambiguous::DisguisedDots),
            ("/a/%2e/b", Ambiguous::DisguisedDots),
            ("/a/..;/b", Ambiguous::DisguisedDots),
            ("/a/..;x=y/b", Ambiguous::DisguisedDots),
            ("/a/%2e%2e;/b", Ambiguous::DisguisedDots),
            ("/a/..%3b/b", Ambiguous::DisguisedDots),
            ("/a/.;/b", Ambiguous::DisguisedDots),
            ("/a/;x/b", Ambiguous::Parameters),
            ("/;/b", Ambiguous::Parameters),
            ("/%252e%252e/", Ambiguous::DoubleEscape),
            ("/%25%32%65", Ambiguous::DoubleEscape),
            ("/%2541", Ambiguous::DoubleEscape),
            ("/%", Ambiguous::Escape),
            ("/%4", Ambiguous::Escape),
            ("/%4g", Ambiguous::Escape),
            ("/%u0041", Ambiguous::Escape),
            ("/%c0%af", Ambiguous::Utf8),
            ("/%ff", Ambiguous::Utf8),
            ("/a b", Ambiguous::Byte(b' ')),
            ("/a?b", Ambiguous::Byte(b'?')),
            ("/a#b", Ambiguous::Byte(b'#')),
            ("/é", Ambiguous::Byte(0xc3)),
            ("/\u{7f}", Ambiguous::Byte(0x7f)),
        ] {
            assert_eq!(forward(path), Err(why), "{path}");
        }
        assert_eq!(forward(&format!("/{}", "a".repeat(MAX_PATH))), Err(Ambiguous::TooLong));
    }

    #[test]
    fn parameters_give_two_readings_and_decisions_must_agree() {
        let path = normalise("/api;v=1/x%2Cy;z").unwrap();
        assert_eq!(path.forward(), "/api;v=1/x%2Cy;z");
        assert_eq!(path.readings().collect::<Vec<_>>(), ["/api;v=1/x,y;z", "/api/x,y"]);
        assert_eq!(path.agreed(|reading| reading.starts_with("/api/")), None);
        assert_eq!(path.agreed(|reading| reading.starts_with("/other")), Some(false));
        assert_eq!(
            normalise("/a%3Bb").unwrap().readings().collect::<Vec<_>>(),
            ["/a;b", "/a"]
        );
        assert_eq!(normalise("/a").unwrap().readings().count(), 1);
    }

    /// A server that decodes once and resolves, as RFC 3986 says: for any normal form it must understand what we decided about.
    fn server(path: &str) -> String {
        let mut bytes = Vec::new();
        let mut rest = path.bytes();
        while let Some(byte) = rest.next() {
            if byte == b'%' {
                let digits: String = rest.by_ref().take(2).map(char::from).collect();
                bytes.push(u8::from_str_radix(&digits, 16).unwrap());
            } else {
                bytes.push(byte);
            }
        }
        let text = String::from_utf8(bytes).unwrap();
        let mut kept = Vec::new();
        for segment in text.split('/') {
            match segment {
                "" | "." => {}
                ".." => drop(kept.pop()),
                _ => kept.push(segment),
            }
        }
        let folder = matches!(text.rsplit('/').next(), Some("" | "." | ".."));
        let end = if folder && !kept.is_empty() { "/" } else { "" };
        format!("/{}{end}", kept.join("/"))
    }

    const PIECES: &str = "(/|\\.|\\.\\.|a|%2e|%2E|%2f|%5c|%25|%32|%c3%a9|;|x|%3b|%61|A|\\||%|%2525?|2|5){1,12}";

    proptest! {
        #[test]
        fn a_normal_form_is_its_own_normal_form(rest in PIECES) {
            if let Ok(path) = normalise(&format!("/{rest}")) {
                let again = normalise(path.forward()).unwrap();
                prop_assert_eq!(again.forward(), path.forward());
                prop_assert_eq!(again.readings().collect::<Vec<_>>(), path.readings().collect::<Vec<_>>());
            }
        }

        #[test]
        fn a_server_that_decodes_and_resolves_reads_what_was_decided_about(rest in PIECES) {
            let sent = format!("/{rest}");
            if let Ok(path) = normalise(&sent) {
                prop_assert_eq!(server(path.forward()), path.decoded());
                // Had the path been forwarded as it came, it would have read the same.
                prop_assert_eq!(server(&sent), path.decoded());
                for reading in path.readings() {
                    prop_assert!(reading.split('/').all(|segment| segment != "." && segment != ".."));
                    prop_assert!(!reading.contains("//"));
                }
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,40}") {
            let _ = normalise(&text);
            let _ = normalise(&format!("/{text}"));
        }
    }
}
