//! Base64 (RFC 4648), encoding and two ways of decoding.

use std::borrow::Cow;

use super::settle;

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn sextet(byte: u8) -> Option<u32> {
    Some(u32::from(match byte {
        b'A'..=b'Z' => byte - b'A',
        b'a'..=b'z' => byte - b'a' + 26,
        b'0'..=b'9' => byte - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    }))
}

/// Collects sextets into bytes. What is left of an unfinished group gives the bytes that are whole.
#[derive(Default)]
struct Collector {
    bits: u32,
    sextets: u32,
    output: Vec<u8>,
}

impl Collector {
    fn push(&mut self, sextet: u32) {
        self.bits = self.bits << 6 | sextet;
        self.sextets += 1;
        if self.sextets == 4 {
            self.output.extend_from_slice(&self.bits.to_be_bytes()[1..]);
            *self = Self {
                output: std::mem::take(&mut self.output),
                ..Self::default()
            };
        }
    }

    fn finish(mut self) -> Vec<u8> {
        let aligned = (self.bits << (6 * (4 - self.sextets))).to_be_bytes();
        match self.sextets {
            2 => self.output.push(aligned[1]),
            3 => self.output.extend_from_slice(&aligned[1..3]),
            _ => {}
        }
        self.output
    }
}

/// Decodes up to the first byte that is neither of the alphabet nor a line's end.
///
/// Implementations differ here. ModSecurity 2 does this, but stops at the end of a line; libmodsecurity decodes nothing unless all
/// of the value is right. What decodes most hides least.
pub(super) fn decode(value: &[u8]) -> Cow<'_, [u8]> {
    let mut collector = Collector::default();
    for byte in value.iter().filter(|byte| !matches!(byte, b'\r' | b'\n')) {
        let Some(sextet) = sextet(*byte) else { break };
        collector.push(sextet);
    }
    settle(value, collector.finish())
}

/// Decodes what is of the alphabet and skips the rest, padding wherever it is, as PHP does.
pub(super) fn decode_skipping(value: &[u8]) -> Cow<'_, [u8]> {
    let mut collector = Collector::default();
    value
        .iter()
        .filter_map(|byte| sextet(*byte))
        .for_each(|sextet| collector.push(sextet));
    settle(value, collector.finish())
}

pub(super) fn encode(value: &[u8]) -> Cow<'_, [u8]> {
    if value.is_empty() {
        return Cow::Borrowed(value);
    }
    let mut output = Vec::with_capacity(value.len().div_ceil(3) * 4);
    for group in value.chunks(3) {
        let bits = group.iter().fold(0_u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - group.len()));
        for index in 0..4 {
            output.push(if index <= group.len() {
                ALPHABET[(bits >> (18 - 6 * index) & 63) as usize]
            } else {
                b'='
            });
        }
    }
    Cow::Owned(output)
}
