//! Lists of phrases: `@pm` and `@pmFromFile`. Case does not count.

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};

use super::need::Need;
use super::{Captures, OperatorError};
use crate::bytes::is_white_space;

/// A compiled list.
#[derive(Debug)]
pub(super) struct Phrases {
    automaton: AhoCorasick,
    phrases: Vec<Box<[u8]>>,
}

impl Phrases {
    /// About how many bytes the list takes.
    pub(super) fn memory(&self) -> usize {
        let texts: usize = self
            .phrases
            .iter()
            .map(|phrase| size_of_val(phrase) + phrase.len())
            .sum();
        self.automaton.memory_usage() + texts
    }

    /// Reads a list separated by white space. A part between bars is hexadecimal (`|41 42|`), as in Snort's content.
    pub(super) fn parse(argument: &[u8], operator: &'static str) -> Result<Self, OperatorError> {
        let text = argument.trim_ascii();
        let text = match text {
            [b'"', inner @ .., b'"'] => inner,
            other => other,
        };
        let text = without_hexadecimal(text);
        Self::compile(text.split(|byte| is_white_space(*byte)).map(Into::into), operator)
    }

    /// Reads files: a phrase a line; lines that start with `#` are comments.
    pub(super) fn parse_files(files: &[&[u8]], operator: &'static str) -> Result<Self, OperatorError> {
        let lines = files.iter().flat_map(|file| file.split(|byte| *byte == b'\n'));
        let phrases = lines
            .map(<[u8]>::trim_ascii)
            .filter(|line| !line.starts_with(b"#"))
            .map(Into::into);
        Self::compile(phrases, operator)
    }

    fn compile(phrases: impl Iterator<Item = Box<[u8]>>, operator: &'static str) -> Result<Self, OperatorError> {
        // An empty phrase would match everything.
        let phrases: Vec<Box<[u8]>> = phrases.filter(|phrase| !phrase.is_empty()).collect();
        if phrases.is_empty() {
            return Err(OperatorError::Phrases {
                operator,
                reason: "there is no phrase",
            });
        }
        let kind = if phrases.len() <= 100 {
            AhoCorasickKind::DFA
        } else {
            AhoCorasickKind::ContiguousNFA
        };
        let automaton = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .kind(Some(kind))
            .build(&phrases)
            .map_err(|_| OperatorError::Phrases {
                operator,
                reason: "the list is too large",
            })?;
        Ok(Self { automaton, phrases })
    }

    pub(super) fn need(&self) -> Need {
        Need::of_texts(self.phrases.iter().map(|phrase| &**phrase), true)
    }

    /// Whether one of the phrases is in the value. The first that ends is captured, as the rule writes it.
    pub(super) fn evaluate(&self, value: &[u8], captures: &mut Captures) -> bool {
        let Some(found) = self.automaton.find(value) else {
            return false;
        };
        if captures.wanted()
            && let Some(phrase) = self.phrases.get(found.pattern().as_usize())
        {
            captures.set(0, phrase);
        }
        true
    }
}

/// The text with each part between bars decoded, if it consists of pairs of hexadecimal digits and blanks.
fn without_hexadecimal(text: &[u8]) -> Vec<u8> {
    let mut output = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        rest = &rest[1..];
        if byte == b'|'
            && let Some(end) = memchr::memchr(b'|', rest)
            && let Some(decoded) = hexadecimal(&rest[..end])
        {
            output.extend(decoded);
            rest = &rest[end + 1..];
        } else {
            output.push(byte);
        }
    }
    output
}

fn hexadecimal(text: &[u8]) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> = text
        .iter()
        .filter(|byte| **byte != b' ')
        .map(|byte| {
            char::from(*byte)
                .to_digit(16)
                .and_then(|digit| u8::try_from(digit).ok())
        })
        .collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len().is_multiple_of(2))?;
    Some(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}
