//! UTF-8 as `%uHHHH`, and the code pages of `SecUnicodeMapFile`.

use std::borrow::Cow;
use std::collections::HashMap;

use super::settle;

/// What code points one code page maps to a byte. From `unicode.mapping` files.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct UnicodeMap(HashMap<u16, u8>);

/// Why a map file is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum UnicodeMapError {
    /// The file has no such code page.
    #[error("the file has no code page {0}")]
    Absent(u32),
    /// A word of the code page is not `code:byte` in hexadecimal.
    #[error("code page {page} has the word {word:?}, which is not a code point and a byte in hexadecimal")]
    Malformed {
        /// The code page.
        page: u32,
        /// The word.
        word: String,
    },
}

impl UnicodeMap {
    /// Reads one code page of a map file: a line with its number, then words `code:byte` up to an empty line.
    ///
    /// # Errors
    /// If the page is absent, or a word of it is malformed.
    pub fn parse(file: &[u8], page: u32) -> Result<Self, UnicodeMapError> {
        let text = String::from_utf8_lossy(file);
        let mut lines = text.lines().map(str::trim);
        let heads = |line: &str| line.split_whitespace().next().and_then(|word| word.parse().ok()) == Some(page);
        lines.find(|line| heads(line)).ok_or(UnicodeMapError::Absent(page))?;
        let words = lines
            .take_while(|line| !line.is_empty() && !line.starts_with('#'))
            .take_while(|line| line.contains(':'))
            .flat_map(str::split_whitespace);
        let mut map = HashMap::new();
        for word in words {
            let malformed = || UnicodeMapError::Malformed {
                page,
                word: word.to_owned(),
            };
            let (code, byte) = word.split_once(':').ok_or_else(malformed)?;
            let code = u16::from_str_radix(code, 16).map_err(|_| malformed())?;
            let byte = u8::from_str_radix(byte, 16).map_err(|_| malformed())?;
            map.insert(code, byte);
        }
        Ok(Self(map))
    }

    /// The byte of a code point.
    #[must_use]
    pub fn get(&self, code: u16) -> Option<u8> {
        self.0.get(&code).copied()
    }
}

/// UTF-8 sequences as `%uHHHH`.
///
/// What is not UTF-8 comes out as libmodsecurity has it: NUL bytes and first bytes without their sequence are dropped, bytes that
/// start none stay; after an overlong form or a surrogate comes its first byte, before a code point that is too large as well.
pub(super) fn escape(value: &[u8]) -> Cow<'_, [u8]> {
    let Some(first) = value.iter().position(|byte| *byte >= 0x80 || *byte == 0) else {
        return Cow::Borrowed(value);
    };
    let mut output = Vec::with_capacity(value.len() + value.len() / 2);
    output.extend_from_slice(&value[..first]);
    let mut rest = &value[first..];
    while let Some(&byte) = rest.first() {
        let (length, bits) = match byte {
            0 => (1, None),
            0xc0..=0xdf => (2, Some(byte & 0x1f)),
            0xe0..=0xef => (3, Some(byte & 0x0f)),
            0xf0..=0xf7 => (4, Some(byte & 0x07)),
            _ => {
                output.push(byte);
                (1, None)
            }
        };
        if byte >= 0xf5 && bits.is_some() {
            output.push(byte);
        }
        let code = bits.and_then(|bits| code_point(rest.get(1..length)?, bits));
        let Some(code) = code else {
            rest = &rest[1..];
            continue;
        };
        output.extend_from_slice(format!("%u{code:04x}").as_bytes());
        let smallest = [0, 0, 0x80, 0x800, 0x1_0000][length];
        if (0xd800..0xe000).contains(&code) || code < smallest {
            output.push(byte);
        }
        rest = &rest[length..];
    }
    settle(value, output)
}

/// The code point of a first byte's bits and the bytes that continue it.
fn code_point(continuation: &[u8], bits: u8) -> Option<u32> {
    continuation.iter().try_fold(u32::from(bits), |code, byte| {
        (byte & 0xc0 == 0x80).then(|| code << 6 | u32::from(byte & 0x3f))
    })
}
