//! Transformations: what a rule does to a value before it looks at it (`t:…`).
//!
//! Each is a function from bytes to bytes that borrows its input when nothing changes, because most values are plain and most chains
//! do nothing to them. [`Transformation::leaves_alone`] says so from the set of bytes alone, without looking at the value again.
//! Pure functions; the engine calls them. The meaning of each is that of the ModSecurity v3 reference manual, and where that is
//! silent, what libmodsecurity does.

mod base64;
mod checksum;
mod command;
mod comments;
mod escapes;
mod hex;
mod html;
mod parity;
mod path;
mod php;
mod spaces;
mod unicode;
mod url;

use std::borrow::Cow;

pub use unicode::{UnicodeMap, UnicodeMapError};

use crate::bytes::{ByteSet, WHITE_SPACE};

/// One transformation, named as in SecLang.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Transformation {
    /// Base64 decoding that stops at the first byte outside the alphabet.
    Base64Decode,
    /// Base64 decoding that skips bytes outside the alphabet.
    Base64DecodeExt,
    /// Base64 encoding.
    Base64Encode,
    /// What a shell ignores, removed: quotes, backslashes, carets; separators become one blank; lower case.
    CmdLine,
    /// Runs of white space become one blank.
    CompressWhitespace,
    /// CSS escapes.
    CssDecode,
    /// ANSI C escapes.
    EscapeSeqDecode,
    /// Pairs of hexadecimal digits become bytes.
    HexDecode,
    /// Each byte becomes two hexadecimal digits.
    HexEncode,
    /// HTML entities.
    HtmlEntityDecode,
    /// JavaScript escapes.
    JsDecode,
    /// The length in decimal.
    Length,
    /// ASCII capitals become small.
    Lowercase,
    /// The MD5 digest, as bytes.
    Md5,
    /// Path without empty, `.` and `..` segments.
    NormalizePath,
    /// The same after turning backslashes into slashes.
    NormalizePathWin,
    /// The top bit is set where the number of ones is odd, else cleared.
    ParityEven7bit,
    /// The opposite.
    ParityOdd7bit,
    /// The top bit is cleared.
    ParityZero7bit,
    /// A parameter name as PHP would register it.
    PhpArgsNames,
    /// C, SQL, HTML comments, removed with their text.
    RemoveComments,
    /// The marks of comments, removed; the text stays.
    RemoveCommentsChar,
    /// NUL bytes, removed.
    RemoveNulls,
    /// White space, removed.
    RemoveWhitespace,
    /// Each C comment becomes one blank.
    ReplaceComments,
    /// NUL bytes become blanks.
    ReplaceNulls,
    /// The SHA-1 digest, as bytes.
    Sha1,
    /// SQL's hexadecimal literals (`0x…`) become the bytes they stand for.
    SqlHexDecode,
    /// White space at both ends, removed.
    Trim,
    /// White space at the start, removed.
    TrimLeft,
    /// White space at the end, removed.
    TrimRight,
    /// ASCII small letters become capitals.
    Uppercase,
    /// URL decoding.
    UrlDecode,
    /// URL decoding with Microsoft's `%uHHHH`.
    UrlDecodeUni,
    /// URL encoding.
    UrlEncode,
    /// UTF-8 sequences become `%uHHHH`.
    Utf8toUnicode,
}

const CAPITALS: ByteSet = ByteSet::range(b'A', b'Z');
const SMALL: ByteSet = ByteSet::range(b'a', b'z');
const HIGH: ByteSet = ByteSet::range(0x80, 0xff);
const NUL: ByteSet = ByteSet::from_list(&[0]);

impl Transformation {
    /// Every transformation, in alphabetical order.
    pub const EVERY: [Self; 36] = [
        Self::Base64Decode,
        Self::Base64DecodeExt,
        Self::Base64Encode,
        Self::CmdLine,
        Self::CompressWhitespace,
        Self::CssDecode,
        Self::EscapeSeqDecode,
        Self::HexDecode,
        Self::HexEncode,
        Self::HtmlEntityDecode,
        Self::JsDecode,
        Self::Length,
        Self::Lowercase,
        Self::Md5,
        Self::NormalizePath,
        Self::NormalizePathWin,
        Self::ParityEven7bit,
        Self::ParityOdd7bit,
        Self::ParityZero7bit,
        Self::PhpArgsNames,
        Self::RemoveComments,
        Self::RemoveCommentsChar,
        Self::RemoveNulls,
        Self::RemoveWhitespace,
        Self::ReplaceComments,
        Self::ReplaceNulls,
        Self::Sha1,
        Self::SqlHexDecode,
        Self::Trim,
        Self::TrimLeft,
        Self::TrimRight,
        Self::Uppercase,
        Self::UrlDecode,
        Self::UrlDecodeUni,
        Self::UrlEncode,
        Self::Utf8toUnicode,
    ];

    /// The transformation of this name, whatever the case of its letters. `none` is not one: it clears a list, which is the
    /// compiler's work.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let is = |other: &str| name.eq_ignore_ascii_case(other);
        if is("normalisePath") {
            return Some(Self::NormalizePath);
        }
        if is("normalisePathWin") {
            return Some(Self::NormalizePathWin);
        }
        Self::EVERY.into_iter().find(|transformation| is(transformation.name()))
    }

    /// The name in SecLang.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Base64Decode => "base64Decode",
            Self::Base64DecodeExt => "base64DecodeExt",
            Self::Base64Encode => "base64Encode",
            Self::CmdLine => "cmdLine",
            Self::CompressWhitespace => "compressWhitespace",
            Self::CssDecode => "cssDecode",
            Self::EscapeSeqDecode => "escapeSeqDecode",
            Self::HexDecode => "hexDecode",
            Self::HexEncode => "hexEncode",
            Self::HtmlEntityDecode => "htmlEntityDecode",
            Self::JsDecode => "jsDecode",
            Self::Length => "length",
            Self::Lowercase => "lowercase",
            Self::Md5 => "md5",
            Self::NormalizePath => "normalizePath",
            Self::NormalizePathWin => "normalizePathWin",
            Self::ParityEven7bit => "parityEven7bit",
            Self::ParityOdd7bit => "parityOdd7bit",
            Self::ParityZero7bit => "parityZero7bit",
            Self::PhpArgsNames => "phpArgsNames",
            Self::RemoveComments => "removeComments",
            Self::RemoveCommentsChar => "removeCommentsChar",
            Self::RemoveNulls => "removeNulls",
            Self::RemoveWhitespace => "removeWhitespace",
            Self::ReplaceComments => "replaceComments",
            Self::ReplaceNulls => "replaceNulls",
            Self::Sha1 => "sha1",
            Self::SqlHexDecode => "sqlHexDecode",
            Self::Trim => "trim",
            Self::TrimLeft => "trimLeft",
            Self::TrimRight => "trimRight",
            Self::Uppercase => "uppercase",
            Self::UrlDecode => "urlDecode",
            Self::UrlDecodeUni => "urlDecodeUni",
            Self::UrlEncode => "urlEncode",
            Self::Utf8toUnicode => "utf8toUnicode",
        }
    }

    /// The transformed value; borrowed when nothing changed.
    #[must_use]
    pub fn apply(self, value: &[u8]) -> Cow<'_, [u8]> {
        match self {
            Self::Base64Decode => base64::decode(value),
            Self::Base64DecodeExt => base64::decode_skipping(value),
            Self::Base64Encode => base64::encode(value),
            Self::CmdLine => command::normalize(value),
            Self::CompressWhitespace => spaces::compress(value),
            Self::CssDecode => escapes::css(value),
            Self::EscapeSeqDecode => escapes::ansi(value),
            Self::HexDecode => hex::decode(value),
            Self::HexEncode => hex::encode(value),
            Self::HtmlEntityDecode => html::decode(value),
            Self::JsDecode => escapes::javascript(value),
            Self::Length => Cow::Owned(value.len().to_string().into_bytes()),
            Self::Lowercase => map(value, |byte| byte.to_ascii_lowercase()),
            Self::Md5 => checksum::md5(value),
            Self::NormalizePath => path::normalize(value),
            Self::NormalizePathWin => path::normalize_windows(value),
            Self::ParityEven7bit => map(value, parity::even),
            Self::ParityOdd7bit => map(value, parity::odd),
            Self::ParityZero7bit => map(value, |byte| byte & 0x7f),
            Self::PhpArgsNames => php::argument_name(value),
            Self::RemoveComments => comments::remove(value),
            Self::RemoveCommentsChar => comments::remove_marks(value),
            Self::RemoveNulls => spaces::remove(value, |byte| byte == 0),
            Self::RemoveWhitespace => spaces::remove(value, spaces::is_blank),
            Self::ReplaceComments => comments::replace(value),
            Self::ReplaceNulls => map(value, |byte| if byte == 0 { b' ' } else { byte }),
            Self::Sha1 => checksum::sha1(value),
            Self::SqlHexDecode => hex::decode_sql(value),
            Self::Trim => Cow::Borrowed(spaces::trim_right(spaces::trim_left(value))),
            Self::TrimLeft => Cow::Borrowed(spaces::trim_left(value)),
            Self::TrimRight => Cow::Borrowed(spaces::trim_right(value)),
            Self::Uppercase => map(value, |byte| byte.to_ascii_uppercase()),
            Self::UrlDecode => url::decode(value),
            Self::UrlDecodeUni => url::decode_unicode(value, None),
            Self::UrlEncode => url::encode(value),
            Self::Utf8toUnicode => unicode::escape(value),
        }
    }

    /// The same with the code page of `SecUnicodeMapFile`, which only [`Self::UrlDecodeUni`] heeds.
    #[must_use]
    pub fn apply_with_map<'a>(self, value: &'a [u8], map: &UnicodeMap) -> Cow<'a, [u8]> {
        match self {
            Self::UrlDecodeUni => url::decode_unicode(value, Some(map)),
            other => other.apply(value),
        }
    }

    /// Whether the transformation returns every value that consists of bytes of this set as it is. `false` says nothing.
    #[must_use]
    pub fn leaves_alone(self, present: ByteSet) -> bool {
        let lacks = |set: ByteSet| !present.intersects(set);
        let lacks_one_of = |bytes: &[u8]| bytes.iter().any(|byte| !present.contains(*byte));
        match self {
            Self::Base64Decode | Self::Base64DecodeExt | Self::Base64Encode | Self::HexDecode | Self::HexEncode => {
                present.is_empty()
            }
            Self::CmdLine => lacks(CAPITALS.union(command::HANDLED)),
            Self::CompressWhitespace | Self::Trim | Self::TrimLeft | Self::TrimRight => lacks(WHITE_SPACE),
            Self::CssDecode | Self::EscapeSeqDecode | Self::JsDecode => !present.contains(b'\\'),
            Self::HtmlEntityDecode => !present.contains(b'&'),
            Self::Length | Self::Md5 | Self::Sha1 => false,
            Self::Lowercase => lacks(CAPITALS),
            Self::NormalizePath => lacks(ByteSet::from_list(b"/.")),
            Self::NormalizePathWin => lacks(ByteSet::from_list(b"/.\\")),
            Self::ParityEven7bit => present.within(parity::KEPT_BY_EVEN),
            Self::ParityOdd7bit => lacks(parity::KEPT_BY_EVEN),
            Self::ParityZero7bit => lacks(HIGH),
            Self::PhpArgsNames => lacks(php::HANDLED),
            Self::RemoveComments | Self::RemoveCommentsChar => {
                !present.contains(b'#') && !present.contains(b'-') && lacks_one_of(b"/*")
            }
            Self::RemoveNulls | Self::ReplaceNulls => lacks(NUL),
            Self::RemoveWhitespace => lacks(spaces::BLANKS),
            Self::ReplaceComments => lacks_one_of(b"/*"),
            Self::SqlHexDecode => !present.contains(b'0') || lacks(ByteSet::from_list(b"xX")),
            Self::Uppercase => lacks(SMALL),
            Self::UrlDecode | Self::UrlDecodeUni => lacks(ByteSet::from_list(b"%+")),
            Self::UrlEncode => present.within(url::UNESCAPED),
            Self::Utf8toUnicode => lacks(HIGH.union(NUL)),
        }
    }
}

/// `changed`, or the value itself if the two are equal.
fn settle(value: &[u8], changed: Vec<u8>) -> Cow<'_, [u8]> {
    if changed == value {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(changed)
    }
}

/// Each byte replaced by its image.
fn map(value: &[u8], image: impl Fn(u8) -> u8) -> Cow<'_, [u8]> {
    if value.iter().all(|byte| image(*byte) == *byte) {
        Cow::Borrowed(value)
    } else {
        Cow::Owned(value.iter().map(|byte| image(*byte)).collect())
    }
}

/// The value of a hexadecimal digit.
fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// The byte that the two hexadecimal digits at the start of `text` stand for.
fn pair(text: &[u8]) -> Option<u8> {
    let [high, low, ..] = text else { return None };
    Some(digit(*high)? << 4 | digit(*low)?)
}

#[cfg(test)]
mod tests;
