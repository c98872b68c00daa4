//! Parity bits of seven-bit data.

use crate::bytes::ByteSet;

/// The bytes with an even number of ones.
pub(super) const EVEN: ByteSet = {
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

pub(super) fn even(byte: u8) -> u8 {
    let seven = byte & 0x7f;
    if EVEN.contains(seven) { seven } else { seven | 0x80 }
}

pub(super) fn odd(byte: u8) -> u8 {
    even(byte) ^ 0x80
}
