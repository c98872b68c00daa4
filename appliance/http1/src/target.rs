//! Request targets (section 3.2).

use crate::{Authority, Method, Refusal, token};
use std::ops::Range;

/// The form in which a client wrote its target.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Form {
    /// `http://host/path?query`; the authority was found equal to `Host`.
    Absolute,
    /// `*`, with `OPTIONS` only.
    Asterisk,
    /// `/path?query`
    Origin,
}

/// A target as the writer takes it: origin-form, or `*`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Target<'a> {
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Target<'a> {
    /// A target made by us: visible ASCII without `#`, and a path without `?` that begins with `/`.
    ///
    /// # Errors
    /// [`Refusal::TargetForm`], [`Refusal::TargetCharacter`].
    pub fn new(path: &'a str, query: Option<&'a str>) -> Result<Self, Refusal> {
        if !path.starts_with('/') || path.contains('?') {
            return Err(Refusal::TargetForm);
        }
        if !token::is_target(path.as_bytes()) || !token::is_target(query.unwrap_or_default().as_bytes()) {
            return Err(Refusal::TargetCharacter);
        }
        Ok(Self { path, query })
    }

    /// The path as it came, percent-encoding untouched; `*` for the asterisk-form.
    #[must_use]
    pub const fn path(self) -> &'a str {
        self.path
    }

    /// What follows the first `?`, where there is one; it may be empty.
    #[must_use]
    pub const fn query(self) -> Option<&'a str> {
        self.query
    }

    pub(crate) fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(self.path.as_bytes());
        if let Some(query) = self.query {
            out.push(b'?');
            out.extend_from_slice(query.as_bytes());
        }
    }
}

/// Where path and query stand in the head's buffer.
#[derive(Clone, Debug)]
pub(crate) struct Location {
    pub(crate) form: Form,
    path: Range<usize>,
    query: Option<Range<usize>>,
}

impl Location {
    /// Reads the target that stands at `at` in the buffer. An absolute-form also gives the authority that it names, which the caller
    /// must compare with `Host`.
    pub(crate) fn parse(text: &[u8], at: usize, method: Method) -> Result<(Self, Option<Authority>), Refusal> {
        if !token::is_target(text) {
            return Err(Refusal::TargetCharacter);
        }
        match text.first() {
            Some(b'/') => Ok((Self::split(text, at, Form::Origin), None)),
            Some(b'*') if text.len() == 1 && method == Method::Options => Ok((
                Self {
                    form: Form::Asterisk,
                    path: at..at.saturating_add(1),
                    query: None,
                },
                None,
            )),
            _ => {
                let scheme = [b"https://".as_slice(), b"http://"]
                    .into_iter()
                    .find(|scheme| {
                        text.get(..scheme.len())
                            .is_some_and(|start| start.eq_ignore_ascii_case(scheme))
                    })
                    .ok_or(Refusal::TargetForm)?;
                let rest = text.get(scheme.len()..).unwrap_or_default();
                let end = rest.iter().position(|b| matches!(b, b'/' | b'?')).unwrap_or(rest.len());
                let (authority, local) = rest.split_at_checked(end).unwrap_or_default();
                let authority = Authority::parse(authority).map_err(|_| Refusal::TargetAuthority)?;
                let at = at.saturating_add(scheme.len()).saturating_add(end);
                Ok((Self::split(local, at, Form::Absolute), Some(authority)))
            }
        }
    }

    /// Splits `/path?query`, `?query` or nothing.
    fn split(text: &[u8], at: usize, form: Form) -> Self {
        let end = at.saturating_add(text.len());
        match memchr::memchr(b'?', text) {
            None => Self {
                form,
                path: at..end,
                query: None,
            },
            Some(mark) => {
                let mark = at.saturating_add(mark);
                Self {
                    form,
                    path: at..mark,
                    query: Some(mark.saturating_add(1)..end),
                }
            }
        }
    }

    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> Target<'a> {
        // Every byte was checked to be visible ASCII, so this never falls back.
        let text = |range: &Range<usize>| {
            std::str::from_utf8(bytes.get(range.clone()).unwrap_or_default()).unwrap_or_default()
        };
        let path = text(&self.path);
        // An absolute-form without a path means the root (RFC 9110 section 4.2.3).
        Target {
            path: if path.is_empty() { "/" } else { path },
            query: self.query.as_ref().map(text),
        }
    }
}
