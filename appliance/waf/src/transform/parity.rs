//! Parity bits of seven-bit data.

use crate::bytes::ByteSet;

/// The bytes with an even number of ones.
const EVEN: ByteSet = {
    let mut set = ByteSet::EMPTY;
    let mut byte = 0_u8;
    loop {
        if byte.count_ones().is_multiple_of(2) {
            set = set.with(byte);
        }
        if byte == u8::MAX {
            break set;
        }
        byte += 1;
    }
};

/// The bytes below 0x80.
const SEVEN_BITS: ByteSet = ByteSet::range(0, 0x7f);

/// What [`even`] leaves as it is.
pub(super) const KEPT_BY_EVEN: ByteSet = EVEN
    .intersection(SEVEN_BITS)
    .union(EVEN.complement().intersection(SEVEN_BITS.complement()));

/// Sets the top bit if the number of ones is odd, else clears it. A top bit that is set already counts, which leaves bytes that are
/// no seven-bit data with the wrong parity; every ModSecurity does so.
pub(super) fn even(byte: u8) -> u8 {
    if EVEN.contains(byte) { byte & 0x7f } else { byte | 0x80 }
}

/// The opposite.
pub(super) fn odd(byte: u8) -> u8 {
    even(byte) ^ 0x80
}
