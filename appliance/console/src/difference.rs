//! The difference of two documents, line by line.

use crate::api::model::{DiffKind, DiffLine};
use similar::{ChangeTag, TextDiff};

/// Lines of context around each change.
const CONTEXT: usize = 3;

/// The most lines of a difference; what comes after is left out and a gap says so.
const MOST: usize = 5_000;

/// What differs between two texts; empty where nothing does.
#[must_use]
pub fn lines(old: &str, new: &str) -> Vec<DiffLine> {
    let diff = TextDiff::from_lines(old, new);
    let mut lines = Vec::new();
    for (i, group) in diff.grouped_ops(CONTEXT).iter().enumerate() {
        if i > 0 {
            lines.push(gap("lines left out"));
        }
        for change in group.iter().flat_map(|op| diff.iter_changes(op)) {
            if lines.len() >= MOST {
                lines.push(gap("the difference goes on"));
                return lines;
            }
            let kind = match change.tag() {
                ChangeTag::Delete => DiffKind::Removed,
                ChangeTag::Equal => DiffKind::Same,
                ChangeTag::Insert => DiffKind::Added,
            };
            lines.push(DiffLine {
                kind,
                old: change.old_index().and_then(number),
                new: change.new_index().and_then(number),
                text: change.value().trim_end_matches(['\r', '\n']).to_owned(),
            });
        }
    }
    lines
}

fn gap(text: &str) -> DiffLine {
    DiffLine {
        kind: DiffKind::Gap,
        old: None,
        new: None,
        text: text.to_owned(),
    }
}

/// A line's number from 1.
fn number(index: usize) -> Option<u32> {
    u32::try_from(index).ok()?.checked_add(1)
}

#[cfg(test)]
mod tests {
    use super::lines;
    use crate::api::model::DiffKind;

    #[test]
    fn a_changed_line_is_removed_and_added_with_its_numbers() {
        let found = lines("a\nb\nc\n", "a\nB\nc\n");
        let shape: Vec<_> = found
            .iter()
            .map(|line| (line.kind, line.old, line.new, line.text.as_str()))
            .collect();
        assert_eq!(
            shape,
            [
                (DiffKind::Same, Some(1), Some(1), "a"),
                (DiffKind::Removed, Some(2), None, "b"),
                (DiffKind::Added, None, Some(2), "B"),
                (DiffKind::Same, Some(3), Some(3), "c"),
            ]
        );
        assert!(lines("same\n", "same\n").is_empty());
    }

    #[test]
    fn distant_changes_have_a_gap_between_them() {
        let old: String = (0..40).map(|i| format!("{i}\n")).collect();
        let new = old.replace("5\n", "five\n").replace("30\n", "thirty\n");
        assert!(lines(&old, &new).iter().any(|line| line.kind == DiffKind::Gap));
    }
}
