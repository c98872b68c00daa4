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
        // All ones if the condition holds, else zero: no branches, since which word a byte goes to is not predictable.
        let mask = |condition: bool| u64::from(condition).wrapping_neg();
        let mut words = [0_u64; 4];
        if value.is_ascii() {
            for byte in value {
                let bit = 1 << (byte & 63);
                words[0] |= bit & mask(*byte < 64);
                words[1] |= bit & mask(*byte >= 64);
            }
        } else {
            for byte in value {
                let bit = 1 << (byte & 63);
                words[0] |= bit & mask(byte >> 6 == 0);
                words[1] |= bit & mask(byte >> 6 == 1);
                words[2] |= bit & mask(byte >> 6 == 2);
                words[3] |= bit & mask(byte >> 6 == 3);
            }
        }
        Self(words)
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

impl ByteSet {
    /// Every byte.
    pub const ALL: Self = Self([u64::MAX; 4]);

    /// The bytes of a list.
    #[must_use]
    pub const fn from_list(bytes: &[u8]) -> Self {
        let mut set = Self::EMPTY;
        let mut index = 0;
        while index < bytes.len() {
            set = set.with(bytes[index]);
            index += 1;
        }
        set
    }

    /// The bytes from `first` to `last`, both included; empty if `first` is the larger one.
    #[must_use]
    pub const fn range(first: u8, last: u8) -> Self {
        let mut set = Self::EMPTY;
        let mut byte = first;
        while byte <= last {
            set = set.with(byte);
            if byte == u8::MAX {
                break;
            }
            byte += 1;
        }
        set
    }

    /// The bytes of either set.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self([
            self.0[0] | other.0[0],
            self.0[1] | other.0[1],
            self.0[2] | other.0[2],
            self.0[3] | other.0[3],
        ])
    }

    /// The bytes of both sets.
    #[must_use]
    pub const fn intersection(self, other: Self) -> Self {
        Self([
            self.0[0] & other.0[0],
            self.0[1] & other.0[1],
            self.0[2] & other.0[2],
            self.0[3] & other.0[3],
        ])
    }

    /// The bytes that are not in the set.
    #[must_use]
    pub const fn complement(self) -> Self {
        Self([!self.0[0], !self.0[1], !self.0[2], !self.0[3]])
    }

    /// Whether every byte of this set is in the other one.
    #[must_use]
    pub const fn within(self, other: Self) -> bool {
        !self.intersects(other.complement())
    }

    /// Whether no byte is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0[0] | self.0[1] | self.0[2] | self.0[3] == 0
    }

    /// How many bytes are in the set.
    #[must_use]
    pub const fn len(self) -> u32 {
        self.0[0].count_ones() + self.0[1].count_ones() + self.0[2].count_ones() + self.0[3].count_ones()
    }

    /// The bytes in ascending order.
    pub fn iter(self) -> impl Iterator<Item = u8> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let (word, bits) = (0_u8..).zip(&mut rest).find(|(_, bits)| **bits != 0)?;
            let bit = bits.trailing_zeros();
            *bits &= *bits - 1;
            u8::try_from(bit).ok().map(|bit| word << 6 | bit)
        })
    }

    /// The set with the other case of each ASCII letter in it.
    #[must_use]
    pub fn fold_case(self) -> Self {
        // All letters are in the second word: capitals at bits 1 to 26, small ones 32 bits above.
        const CAPITALS: u64 = 0x07ff_fffe;
        let [a, b, c, d] = self.0;
        let letters = (b | b >> 32) & CAPITALS;
        Self([a, b | letters | letters << 32, c, d])
    }
}

/// What C calls white space: blank, tab, newline, vertical tab, form feed, carriage return.
pub const WHITE_SPACE: ByteSet = ByteSet::from_list(b" \t\n\x0b\x0c\r");

/// Whether C's `isspace` holds in the C locale. (`u8::is_ascii_whitespace` leaves the vertical tab out.)
#[must_use]
pub const fn is_white_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t'..=b'\r')
}
