//! Exports, handed on in parts.

use super::entries::StoredEntry;
use super::{AuditLog, Signed};
use crate::service::VaultError;
use crate::store::{Name, Tree};
use redan_audit::Hash;
use redan_audit::export::{ExportError, ExportWriter};
use redan_ipc::messages::audit::ExportPart;
use redan_types::Timestamp;

/// An export under way. Its end was fixed when it began; what is appended meanwhile belongs to the next one.
#[derive(Debug)]
pub(crate) struct Export {
    writer: ExportWriter<Vec<u8>>,
    next: u64,
    end: u64,
}

impl AuditLog {
    /// The part of an export from `from` on; 0 begins a new one. `under_way` belongs to the one who asks.
    pub(crate) fn export(
        &self,
        under_way: &mut Option<Export>,
        from: u64,
        now: Timestamp,
    ) -> Result<ExportPart, VaultError> {
        let mut export = match under_way.take() {
            _ if from == 0 => {
                // The last checkpoint of an export covers all of it.
                self.checkpoint(now)?;
                let end = self.live().checkpoint.as_ref().map_or(0, |checkpoint| checkpoint.size);
                let start = self.sealed().frontier()?;
                let (key, others) = (&self.keys.common, self.keys.published());
                let writer = ExportWriter::begin(Vec::new(), key, &others, &start, end).map_err(failed)?;
                Export {
                    writer,
                    next: start.size(),
                    end,
                }
            }
            Some(export) if export.next == from => export,
            _ => {
                return Err(VaultError::Refused(
                    "an export is read from the beginning, part by part".to_owned(),
                ));
            }
        };
        while export.next < export.end && export.writer.destination().len() < PART {
            let until = (export.next + STEP).min(export.end);
            let records = self
                .store
                .numbered(Tree::AuditEntries, export.next..until, false, usize::MAX)?;
            for record in records {
                let record = record?;
                let number = record.number.unwrap_or(export.next);
                if number != export.next {
                    break;
                }
                self.write_entry(&mut export.writer, number, &record.value)?;
                export.next = number + 1;
            }
            if export.next != until {
                return Err(VaultError::Refused(format!(
                    "entry {} of the audit log is missing",
                    export.next
                )));
            }
        }
        let done = export.next == export.end;
        let next = (!done).then_some(export.next);
        let bytes = if done {
            export.writer.finish().map_err(failed)?
        } else {
            let bytes = std::mem::take(export.writer.destination());
            *under_way = Some(export);
            bytes
        };
        let text = String::from_utf8(bytes).map_err(|_| VaultError::Form("an export is not text"))?;
        Ok(ExportPart { text, next })
    }

    fn write_entry(&self, writer: &mut ExportWriter<Vec<u8>>, number: u64, value: &[u8]) -> Result<(), VaultError> {
        let stored = StoredEntry::parse(value)?;
        let opened = self.key_of(&stored.person, number)?.and_then(|key| stored.open(&key));
        let shown = opened.as_ref().map(|(opening, entry)| (opening, entry.clone()));
        writer
            .entry(number, Hash(stored.hash), &stored.leaf, shown)
            .map_err(failed)?;
        if let Some(bytes) = self.store.get(Tree::AuditCheckpoints, Name::Number(number + 1))? {
            let signed = Signed::read(&bytes, &*self.device)?;
            writer.checkpoint(&signed.note).map_err(failed)?;
        }
        Ok(())
    }
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn failed(error: ExportError) -> VaultError {
    VaultError::Refused(error.to_string())
}

const STEP: u64 = 64;
/// A part and the largest entries of one step stay below the limit of a message.
const PART: usize = 512 << 10;
