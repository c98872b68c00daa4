//! Reading lines: bounded, canonical or refused.

use super::{EntryLine, Line, MAX_LINE};
use crate::hash::Hash;
use serde::Deserialize;
use serde::de::IgnoredAny;
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, Read};

/// What stood at a line's place.
pub(super) enum Item {
    /// The input is over.
    Eof,
    /// A canonical line.
    Line(Line),
    /// A line of an entry whose shown plaintext cannot be read, without it: why not.
    Garbled(Box<EntryLine>, String),
    /// The beginning of a line after which the input ends.
    Cut,
    /// Something else: why it is not one.
    Malformed(String),
}

/// Reads an export line by line.
pub(super) struct Lines<R> {
    input: R,
    /// The number of the line read last, from 1.
    pub(super) number: u64,
    digest: Sha256,
    before: Sha256,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(input: R) -> Self {
        Self {
            input,
            number: 0,
            digest: Sha256::new(),
            before: Sha256::new(),
        }
    }

    /// The SHA-256 of every byte before the line read last.
    pub(super) fn digest_before(&self) -> [u8; 32] {
        self.before.clone().finalize().into()
    }

    pub(super) fn next(&mut self) -> io::Result<Item> {
        self.before = self.digest.clone();
        let mut bytes = Vec::new();
        let limit = u64::try_from(MAX_LINE).unwrap_or(u64::MAX);
        self.input.by_ref().take(limit).read_until(b'\n', &mut bytes)?;
        if bytes.is_empty() {
            return Ok(Item::Eof);
        }
        self.number += 1;
        self.digest.update(&bytes);
        let Some(text) = bytes.strip_suffix(b"\n") else {
            if bytes.len() < MAX_LINE {
                return Ok(Item::Cut);
            }
            self.skip_line()?;
            return Ok(Item::Malformed(format!("it is longer than {MAX_LINE} bytes")));
        };
        Ok(match serde_json::from_slice::<Line>(text) {
            Err(error) => garbled(text, error.to_string()),
            Ok(line) => match serde_json::to_vec(&line) {
                Ok(canonical) if canonical == text => Item::Line(line),
                _ => garbled(text, "it is not in canonical form".to_owned()),
            },
        })
    }

    /// Passes over the rest of a line that is too long, without keeping it.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            if buffer.is_empty() {
                return Ok(());
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let used = end.map_or(buffer.len(), |at| at + 1);
            self.digest.update(&buffer[..used]);
            self.input.consume(used);
            if end.is_some() {
                return Ok(());
            }
        }
    }
}

/// What is left of a line that is not one as it stands: of an entry, all but the plaintext, so that the rest is verified all the same.
fn garbled(text: &[u8], why: String) -> Item {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Outer {
        entry: Inner,
    }
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Inner {
        sequence: u64,
        hash: Hash,
        leaf: String,
        #[serde(rename = "opening")]
        _opening: Hash,
        #[serde(rename = "plaintext")]
        _plaintext: IgnoredAny,
    }
    match serde_json::from_slice::<Outer>(text) {
        Ok(Outer { entry }) => {
            let entry = EntryLine {
                sequence: entry.sequence,
                hash: entry.hash,
                leaf: entry.leaf,
                opening: None,
                plaintext: None,
            };
            Item::Garbled(Box::new(entry), why)
        }
        Err(_) => Item::Malformed(why),
    }
}
