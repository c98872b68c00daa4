//! Comparisons of text.

use memchr::memmem;

use super::OperatorKind;

/// Whether the value compares so with the argument.
pub(super) fn compare(kind: OperatorKind, argument: &[u8], value: &[u8]) -> bool {
    match kind {
        OperatorKind::BeginsWith => value.starts_with(argument),
        OperatorKind::Contains | OperatorKind::StrMatch => memmem::find(value, argument).is_some(),
        OperatorKind::ContainsWord => contains_word(value, argument),
        OperatorKind::EndsWith => value.ends_with(argument),
        OperatorKind::StrEq => value == argument,
        OperatorKind::Within => memmem::find(argument, value).is_some(),
        _ => false,
    }
}

/// Whether the word occurs with no letter before or behind it.
fn contains_word(value: &[u8], word: &[u8]) -> bool {
    let free = |neighbour: Option<&u8>| neighbour.is_none_or(|byte| !byte.is_ascii_alphabetic());
    let mut start = 0;
    while let Some(offset) = value.get(start..).and_then(|rest| memmem::find(rest, word)) {
        let place = start + offset;
        let before = place.checked_sub(1).and_then(|index| value.get(index));
        if word.is_empty() || free(before) && free(value.get(place + word.len())) {
            return true;
        }
        start = place + 1;
    }
    false
}

/// The words of an argument that lists files.
pub(crate) fn words(argument: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(argument)
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}
