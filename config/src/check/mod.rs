//! What concerns several keys at once.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Appliance;
use crate::mistake::{Kind, Mistake, Mistakes};
use crate::read::{Read, Reader};

/// Reads and checks a document.
pub(crate) fn document(text: &str, file: &str) -> Result<(Appliance, Mistakes), Mistakes> {
    if text.len() > crate::LARGEST {
        let message = format!(
            "the document has {} bytes, at most {} are allowed",
            text.len(),
            crate::LARGEST
        );
        let mistake = Mistake::new(Kind::Range, String::new(), 0..0, message);
        return Err(Mistakes::new(file, "", vec![mistake], Vec::new()));
    }
    let (table, syntax) = DeTable::parse_recoverable(text);
    let mut reader = Reader::default();
    let span = table.span();
    let root = Spanned::new(0..span.end.min(0), DeValue::Table(table.into_inner()));
    let appliance = Appliance::read(&root, &mut reader);
    let _ = syntax;
    match appliance {
        Some(appliance) if reader.mistakes.is_empty() => {
            Ok((appliance, Mistakes::new(file, text, Vec::new(), Vec::new())))
        }
        _ => Err(Mistakes::new(file, text, reader.mistakes, Vec::new())),
    }
}
