//! Fields: ranges into the shared buffer, and the types of which the writers accept names and values.

use crate::known::{self, Known};
use crate::token;
use bytes::Bytes;
use smallvec::SmallVec;
use std::fmt;
use std::ops::Range;

/// The fields of a head or a trailer section, in the order in which they came.
#[derive(Clone, Default)]
pub struct Fields {
    pub(crate) bytes: Bytes,
    pub(crate) entries: SmallVec<[Entry; Self::INLINE]>,
}

impl Fields {
    /// Fields that need no allocation; what a browser sends fits.
    pub(crate) const INLINE: usize = 24;

    /// The number of fields, those that are not passed on included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Every field, hop-by-hop and framing fields included: what the peer said, for inspection. What goes on is
    /// [`Fields::end_to_end`].
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries.iter().map(|entry| entry.view(&self.bytes))
    }

    /// The fields that are passed on: without the hop-by-hop fields, those that `Connection` lists, and those that the writers make
    /// anew (`Host`, `Content-Length`, `Transfer-Encoding`) or the proxy answers itself (`Expect`).
    pub fn end_to_end(&self) -> impl Iterator<Item = Field<'_>> {
        self.entries
            .iter()
            .filter(|entry| entry.passes())
            .map(|entry| entry.view(&self.bytes))
    }

    /// The value of the first field called `name` in any letter case.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<FieldValue<'_>> {
        self.all(name).next()
    }

    /// The values of all fields called `name` in any letter case.
    pub fn all<'a>(&'a self, name: &str) -> impl Iterator<Item = FieldValue<'a>> {
        self.iter().filter(move |field| field.is(name)).map(|field| field.value)
    }

    /// The value of the only field called `name`. For whatever decides on access: of two values, the application might read the
    /// other one.
    ///
    /// # Errors
    /// There is more than one.
    pub fn only(&self, name: &str) -> Result<Option<FieldValue<'_>>, Duplicate> {
        let mut all = self.all(name);
        let first = all.next();
        if all.next().is_some() {
            Err(Duplicate)
        } else {
            Ok(first)
        }
    }

    /// Takes away every field for which `keep` says no.
    pub fn retain(&mut self, mut keep: impl FnMut(&Field<'_>) -> bool) {
        let bytes = &self.bytes;
        self.entries.retain(|entry| keep(&entry.view(bytes)));
    }

    /// Takes away every field called `name` in any letter case.
    pub fn remove(&mut self, name: &str) {
        self.retain(|field| !field.is(name));
    }
}

impl fmt::Debug for Fields {
    /// Names only: values hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.iter().map(|field| field.name.as_str()))
            .finish()
    }
}

/// More than one field of a name that may stand once.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the field is repeated")]
pub struct Duplicate;

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field<'a> {
    name: FieldName<'a>,
    value: FieldValue<'a>,
}

impl<'a> Field<'a> {
    /// The name, in the letter case in which it came.
    #[must_use]
    pub const fn name(&self) -> FieldName<'a> {
        self.name
    }

    /// The value, without spaces around it.
    #[must_use]
    pub const fn value(&self) -> FieldValue<'a> {
        self.value
    }

    /// Whether the field has this name in any letter case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.is(name)
    }
}

/// Why a text is no field name or value.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum FieldError {
    /// A name is empty, longer than 255 bytes or has a character that no token has.
    #[error("a field name is 1 to 255 letters, digits and token marks")]
    Name,
    /// The writers make this field themselves; nobody else may.
    #[error("the codec writes this field itself")]
    Reserved,
    /// A value has a control character, or a space at an end.
    #[error("a field value has no control characters and no spaces at its ends")]
    Value,
}

/// A field name: a token. Whoever holds one cannot inject anything with it.
#[derive(Clone, Copy, Debug)]
pub struct FieldName<'a>(&'a [u8]);

impl<'a> FieldName<'a> {
    /// A name to send. Names of framing, routing and connection fields are refused: the writers make those from the model.
    ///
    /// # Errors
    /// [`FieldError::Name`], [`FieldError::Reserved`].
    pub const fn new(name: &'a str) -> Result<Self, FieldError> {
        let bytes = name.as_bytes();
        if bytes.is_empty() || bytes.len() > 255 {
            return Err(FieldError::Name);
        }
        let mut rest = bytes;
        while let [first, others @ ..] = rest {
            if !token::is_tchar(*first) {
                return Err(FieldError::Name);
            }
            rest = others;
        }
        if known::is_written_by_codec(bytes) {
            Err(FieldError::Reserved)
        } else {
            Ok(Self(bytes))
        }
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        // A token is ASCII; the empty text can never stand here.
        std::str::from_utf8(self.0).unwrap_or_default()
    }

    /// Whether the names are the same; letter case does not matter.
    #[must_use]
    pub fn is(self, name: &str) -> bool {
        self.0.len() == name.len() && self.0.eq_ignore_ascii_case(name.as_bytes())
    }

    /// Whether the names are the same; letter case does not matter.
    #[must_use]
    pub const fn same(self, other: FieldName<'_>) -> bool {
        self.0.eq_ignore_ascii_case(other.0)
    }

    /// The name as bytes, all of them ASCII.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl FieldName<'static> {
    /// A name known when compiling: `const RETRY_AFTER: FieldName<'static> = FieldName::constant("retry-after");`.
    ///
    /// Call it in a `const` only: what [`FieldName::new`] refuses, it answers with a panic, which is then an error of the compiler.
    #[must_use]
    pub const fn constant(name: &'static str) -> Self {
        let parsed = Self::new(name);
        assert!(parsed.is_ok(), "not a field name that may be sent");
        match parsed {
            Ok(name) => name,
            Err(_) => Self(b"x"),
        }
    }
}

/// A field value: visible characters, spaces and tabs within, bytes over 0x7f. Whoever holds one cannot inject anything with it.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
pub struct FieldValue<'a>(&'a [u8]);

impl<'a> FieldValue<'a> {
    /// A value to send.
    ///
    /// # Errors
    /// [`FieldError::Value`].
    pub fn new(value: &'a [u8]) -> Result<Self, FieldError> {
        let blank_end = |byte: Option<&u8>| byte.is_some_and(|b| token::is_blank(*b));
        if token::is_value(value) && !blank_end(value.first()) && !blank_end(value.last()) {
            Ok(Self(value))
        } else {
            Err(FieldError::Value)
        }
    }

    /// A value out of a head, which was checked when it was parsed.
    pub(crate) fn checked(value: &'a [u8]) -> Self {
        debug_assert!(token::is_value(value));
        Self(value)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The value as text, where it is ASCII or UTF-8.
    #[must_use]
    pub fn as_str(self) -> Option<&'a str> {
        std::str::from_utf8(self.0).ok()
    }
}

impl FieldValue<'static> {
    /// A value known when compiling; see [`FieldName::constant`].
    #[must_use]
    pub const fn constant(value: &'static str) -> Self {
        let mut rest = value.as_bytes();
        if let [b' ' | b'\t', ..] | [.., b' ' | b'\t'] = rest {
            assert!(rest.is_empty(), "a field value has no space at its ends");
        }
        while let [first, others @ ..] = rest {
            assert!(
                (*first >= 0x20 && *first != 0x7f) || *first == b'\t',
                "not a field value"
            );
            rest = others;
        }
        Self(value.as_bytes())
    }
}

impl fmt::Debug for FieldValue<'_> {
    /// The length only: values hold credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} bytes>", self.0.len())
    }
}

/// Where a field stands in the shared buffer. 16 bits reach every byte of a head ([`crate::Limits::head`]).
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    name: u16,
    name_end: u16,
    value: u16,
    value_end: u16,
    pub(crate) known: Known,
    /// Listed in `Connection`.
    pub(crate) listed: bool,
}

impl Entry {
    /// None when a range reaches beyond 16 bits.
    pub(crate) fn new(text: &[u8], name: &Range<usize>, value: &Range<usize>) -> Option<Self> {
        Some(Self {
            name: name.start.try_into().ok()?,
            name_end: name.end.try_into().ok()?,
            value: value.start.try_into().ok()?,
            value_end: value.end.try_into().ok()?,
            known: Known::of(text),
            listed: false,
        })
    }

    pub(crate) fn name<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
            .get(usize::from(self.name)..usize::from(self.name_end))
            .unwrap_or_default()
    }

    pub(crate) fn value<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        bytes
            .get(usize::from(self.value)..usize::from(self.value_end))
            .unwrap_or_default()
    }

    pub(crate) const fn value_range(&self) -> (u16, u16) {
        (self.value, self.value_end)
    }

    pub(crate) fn passes(&self) -> bool {
        matches!(self.known, Known::Authorization | Known::ContentType | Known::Other) && !self.listed
    }

    pub(crate) fn view<'a>(&self, bytes: &'a [u8]) -> Field<'a> {
        Field {
            name: FieldName(self.name(bytes)),
            value: FieldValue(self.value(bytes)),
        }
    }
}
