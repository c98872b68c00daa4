//! The bounds on foreign input.

/// Bounds on what a peer may send. The defaults are the appliance's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Limits {
    /// Bytes of a head, from the first of the start line to the empty line's last. Values over 65,535 mean 65,535.
    pub head: usize,
    /// Fields in a head. Values over 128 mean 128.
    pub fields: usize,
    /// Bytes of a field line (and of a status line), without its CRLF.
    pub line: usize,
    /// Bytes of a request target.
    pub target: usize,
    /// Bytes of a trailer section, with its last empty line. The caller's buffer must hold that many.
    pub trailers: usize,
    /// Fields in a trailer section. Values over 128 mean 128.
    pub trailer_fields: usize,
    /// Bytes of content in a body. What is announced counts before it comes: a length at once, a chunk with its size.
    pub body: u64,
}

impl Limits {
    /// The most bytes that the ranges of a head can address.
    pub(crate) const HEAD: usize = 0xffff;
    /// The most fields, for which the tokeniser has room on the stack.
    pub(crate) const FIELDS: usize = 128;

    /// These limits with everything that cannot be represented cut to what can.
    pub(crate) fn bounded(&self) -> Self {
        Self {
            head: self.head.min(Self::HEAD),
            fields: self.fields.min(Self::FIELDS),
            trailers: self.trailers.min(Self::HEAD),
            trailer_fields: self.trailer_fields.min(Self::FIELDS),
            ..*self
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head: 16_384,
            fields: 100,
            line: 8_192,
            target: 8_192,
            trailers: 4_096,
            trailer_fields: 32,
            body: u64::MAX,
        }
    }
}
