//! Writing an export.

use super::{End, EntryLine, FORMAT, FORMAT_VERSION, Header, Line, MAX_LINE};
use crate::entry::Entry;
use crate::hash::Hash;
use crate::leaf::Opening;
use crate::note::LogKey;
use crate::tree::Frontier;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::io::{self, Write};

/// Why an export was not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExportError {
    /// The destination refused.
    #[error("the export cannot be written")]
    Write(#[from] io::Error),
    /// A line does not serialise.
    #[error("a line of the export cannot be made")]
    Json(#[from] serde_json::Error),
    /// A line is longer than readers accept.
    #[error("line {line} would have {length} bytes, more than {MAX_LINE}")]
    TooLong {
        /// The line's number, from 1.
        line: u64,
        /// Its length in bytes.
        length: usize,
    },
}

/// Writes an export line by line, so that a log of any size needs no more memory than one entry.
#[derive(Debug)]
pub struct ExportWriter<W: Write> {
    to: W,
    lines: u64,
    digest: Sha256,
}

impl<W: Write> ExportWriter<W> {
    /// Begins an export of the entries from `start.size()` to before `end`. The log is named by the first key; `start` is the
    /// frontier before the first exported entry, so [`Frontier::new`] for an export from the beginning.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn begin(to: W, key: &LogKey, older_keys: &[LogKey], start: &Frontier, end: u64) -> Result<Self, ExportError> {
        let mut writer = Self {
            to,
            lines: 0,
            digest: Sha256::new(),
        };
        let keys = std::iter::once(key)
            .chain(older_keys)
            .map(ToString::to_string)
            .collect();
        writer.line(&Line::Header(Header {
            format: FORMAT.to_owned(),
            version: FORMAT_VERSION,
            origin: key.name().to_owned(),
            keys,
            first: start.size(),
            end,
            start: start.hashes().to_vec(),
        }))?;
        Ok(writer)
    }

    /// Writes one entry: its index, the leaf hash that the tree was built from, the leaf's data, and where the exporter may read
    /// it, the opening and the entry.
    ///
    /// # Errors
    /// Those of the destination, and [`ExportError::TooLong`].
    pub fn entry(
        &mut self,
        sequence: u64,
        hash: Hash,
        leaf: &[u8],
        shown: Option<(&Opening, Entry)>,
    ) -> Result<(), ExportError> {
        let (opening, plaintext) = match shown {
            Some((opening, entry)) => (Some(Hash(opening.0)), Some(entry)),
            None => (None, None),
        };
        let leaf = STANDARD.encode(leaf);
        self.line(&Line::Entry(Box::new(EntryLine {
            sequence,
            hash,
            leaf,
            opening,
            plaintext,
        })))
    }

    /// Writes a signed checkpoint; it belongs directly after the last entry that it covers.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn checkpoint(&mut self, note: &str) -> Result<(), ExportError> {
        self.line(&Line::Checkpoint(note.to_owned()))
    }

    /// The destination: whoever hands the export on in parts writes to memory and takes away what has gathered there.
    pub const fn destination(&mut self) -> &mut W {
        &mut self.to
    }

    /// Writes the end line and gives the destination back, flushed.
    ///
    /// # Errors
    /// Those of the destination.
    pub fn finish(mut self) -> Result<W, ExportError> {
        let end = End {
            lines: self.lines,
            sha256: Hash(self.digest.clone().finalize().into()),
        };
        self.line(&Line::End(end))?;
        self.to.flush()?;
        Ok(self.to)
    }

    fn line(&mut self, line: &Line) -> Result<(), ExportError> {
        let mut bytes = serde_json::to_vec(line)?;
        bytes.push(b'\n');
        self.lines += 1;
        if bytes.len() > MAX_LINE {
            return Err(ExportError::TooLong {
                line: self.lines,
                length: bytes.len(),
            });
        }
        self.digest.update(&bytes);
        self.to.write_all(&bytes)?;
        Ok(())
    }
}
