//! Suggestions for misspelt keys and names.

use crate::read::{Node, Reader};

/// The known name nearest to `text`, where one is near enough to be what was meant.
pub(crate) fn closest<'a>(text: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A name of the document is short; the distance of a hostile one would be quadratic work.
    if text.len() > 64 {
        return None;
    }
    let folded = text.to_lowercase().replace('_', "-");
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, name), name))
        .filter(|(distance, name)| *distance <= (name.len().max(folded.len()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Names in a sentence, at most a dozen.
pub(crate) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    let shown = names.get(..12).unwrap_or(&names);
    let more = if names.len() > shown.len() { ", …" } else { "" };
    format!("{}{more}", shown.join(", "))
}

/// Reports a word that is none of the allowed ones.
pub(crate) fn not_a_word(text: &str, words: &[&'static str], node: &Node<'_>, reader: &mut Reader) {
    let shown: String = text.chars().take(64).collect();
    let help = closest(text, words.iter().copied()).map(|near| format!("did you mean \"{near}\"?"));
    let label = format!("expected one of {}", listed(words.iter().copied()));
    reader.wrong(node, format!("{shown:?} is not allowed here"), label, help);
}

#[cfg(test)]
mod tests {
    use super::closest;

    #[test]
    fn a_near_name_is_suggested_and_a_far_one_is_not() {
        let known = ["hostname", "threads"];
        assert_eq!(closest("hostnam", known), Some("hostname"));
        assert_eq!(closest("host_name", ["host-name"]), Some("host-name"));
        assert_eq!(closest("colour", known), None);
        assert_eq!(closest(&"x".repeat(100_000), known), None);
    }
}
