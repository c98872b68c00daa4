//! The leaves of an export, for tiles and proofs.

use super::Line;
use super::read::{Item, Lines};
use crate::hash::{Hash, leaf_hash};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::io::{self, BufRead};

/// Why the leaves of an export cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LeavesError {
    /// The input cannot be read.
    #[error("the export cannot be read")]
    Read(#[from] io::Error),
    /// The export is not whole, or does not begin at entry 0.
    #[error("line {line}: {what}; `redan-audit verify` says more")]
    Export {
        /// The line.
        line: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// Whoever takes the leaves refuses.
    #[error("{0}")]
    Taken(Box<dyn std::error::Error + Send + Sync>),
}

/// Gives every leaf of an export from entry 0 on to `take`: its hash, computed anew, and its data. Returns the last checkpoint.
///
/// # Errors
/// [`LeavesError`]; nothing is verified here but that the leaves are all there in their order.
pub fn leaves<R: BufRead>(
    input: R,
    mut take: impl FnMut(Hash, &[u8]) -> Result<(), Box<dyn std::error::Error + Send + Sync>>,
) -> Result<String, LeavesError> {
    let mut lines = Lines::new(input);
    let (mut next, mut checkpoint, mut covered) = (0, None, 0);
    loop {
        let item = lines.next()?;
        let line = lines.number;
        let wrong = |what| LeavesError::Export { line, what };
        match item {
            Item::Line(Line::Header(header)) if line == 1 => {
                if header.first != 0 {
                    return Err(wrong("the export does not begin at entry 0"));
                }
            }
            Item::Line(Line::Entry(entry)) => {
                let data = STANDARD
                    .decode(&entry.leaf)
                    .map_err(|_| wrong("a leaf is not base64"))?;
                if entry.sequence != next {
                    return Err(wrong("an entry is missing or out of order"));
                }
                take(leaf_hash(&data), &data).map_err(LeavesError::Taken)?;
                next += 1;
            }
            Item::Line(Line::Checkpoint(note)) => {
                checkpoint = Some(note);
                covered = next;
            }
            Item::Line(Line::End(_)) => {
                return match checkpoint {
                    Some(note) if covered == next => Ok(note),
                    _ => Err(wrong("no checkpoint covers all entries")),
                };
            }
            Item::Line(Line::Header(_)) => return Err(wrong("a header out of place")),
            Item::Eof | Item::Cut => return Err(wrong("the export is cut off")),
            Item::Garbled(..) | Item::Malformed(_) => return Err(wrong("the line cannot be read")),
        }
    }
}
