//! What the builder of the disk image, the first program of a boot and the updater agree on: partitions, what stands at the end of
//! a slot, and what the first program tells the supervisor. Bytes in, values out, and back; no I/O. (The update bundle is
//! `redan_update::bundle`.)
//!
//! * [`disk`]: the partitions and their names; [`gpt`]: the table that they stand in;
//! * [`slot`]: the trailer of a slot, which says what the slot holds;
//! * [`facts`]: what `/run/redan/boot` says.
#![forbid(unsafe_code)]

pub mod disk;
pub mod facts;
pub mod gpt;
pub mod slot;

pub use redan_update::version::Version;

use aws_lc_rs::digest::{SHA256, digest};

/// SHA-256 of the parts, one after the other.
#[must_use]
pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = [0; 32];
    let all = digest(&SHA256, &parts.concat());
    hash.iter_mut().zip(all.as_ref()).for_each(|(to, from)| *to = *from);
    hash
}

/// Lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The bytes that these hexadecimal digits stand for; `None` where they are something else or not of this number.
#[must_use]
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let text = text.as_bytes();
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, digits) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| {
            char::from(digit)
                .to_digit(16)
                .and_then(|value| u8::try_from(value).ok())
        };
        let (high, low) = (digit(*digits.first()?)?, digit(*digits.get(1)?)?);
        *byte = high << 4 | low;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::{hex, unhex};

    #[test]
    fn hexadecimal_goes_there_and_back() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
        assert_eq!(unhex("001fff"), Some([0, 0x1f, 0xff]));
        assert_eq!(unhex::<3>("001ff"), None);
        assert_eq!(unhex::<3>("001fg0"), None);
    }
}
