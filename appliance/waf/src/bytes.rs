//! Sets of bytes: which bytes occur in a value, which bytes a pattern needs. One pass over a value answers many questions.

/// A set of byte values.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct ByteSet([u64; 4]);

impl ByteSet {
    /// The empty set.
    pub const EMPTY: Self = Self([0; 4]);

    /// The bytes that occur in `value`.
    #[must_use]
    pub fn of(value: &[u8]) -> Self {
        value.iter().fold(Self::EMPTY, |set, byte| set.with(*byte))
    }

    /// The set and one more byte.
    #[must_use]
    pub const fn with(mut self, byte: u8) -> Self {
        self.0[(byte >> 6) as usize] |= 1 << (byte & 63);
        self
    }

    /// Whether the byte is in the set.
    #[must_use]
    pub const fn contains(self, byte: u8) -> bool {
        self.0[(byte >> 6) as usize] & (1 << (byte & 63)) != 0
    }

    /// Whether the two sets have a byte in common.
    #[must_use]
    pub const fn intersects(self, other: Self) -> bool {
        (self.0[0] & other.0[0]) | (self.0[1] & other.0[1]) | (self.0[2] & other.0[2]) | (self.0[3] & other.0[3]) != 0
    }
}
