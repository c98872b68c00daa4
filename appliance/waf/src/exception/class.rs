//! What kind of text a value is: tells whether the requests that an exception lets through are alike.

use serde::{Deserialize, Serialize};

/// A kind of text. Told from the value, or from an excerpt of it.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ValueClass {
    /// Nothing.
    Empty,
    /// Digits with what stands between them.
    Number,
    /// Letters and digits without a blank.
    Word,
    /// Words as people write them.
    Prose,
    /// A path, a host or a URL.
    Address,
    /// A long run of letters and digits, such as an identifier or Base64.
    Token,
    /// JSON.
    Json,
    /// Tags.
    Markup,
    /// Quotes, brackets and operators: code, queries, commands.
    Code,
    /// Bytes that are no text.
    Binary,
}

impl ValueClass {
    /// The kind of a value.
    #[must_use]
    pub fn of(value: &str) -> Self {
        let text = value.trim();
        let all = |test: &dyn Fn(char) -> bool| text.chars().all(test);
        let binary = |c: char| c == '\u{fffd}' || (c.is_control() && !c.is_whitespace());
        let word = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
        if text.is_empty() {
            Self::Empty
        } else if text.chars().any(binary) {
            Self::Binary
        } else if all(&|c| c.is_ascii_digit() || " .,:+-/".contains(c)) && text.contains(|c: char| c.is_ascii_digit()) {
            Self::Number
        } else if all(&|c| c.is_ascii_alphanumeric() || "+/=_-".contains(c)) && text.len() >= 20 {
            Self::Token
        } else if all(&word) {
            Self::Word
        } else if (text.starts_with('{') && text.contains(':')) || text.starts_with("[{") || text.starts_with("[\"") {
            Self::Json
        } else if text.contains('<') && text.contains('>') {
            Self::Markup
        } else if !text.contains(char::is_whitespace)
            && (text.contains("://") || text.starts_with('/') || text.starts_with("../"))
            && !text.contains(|c: char| "'\"`;|<>(){}$".contains(c))
        {
            Self::Address
        } else if text.contains(|c: char| "`;|<>{}[]\\=$^~".contains(c))
            || text.contains("--")
            || text.contains("/*")
            || quotes(text) > 1
            || is_call(text)
        {
            Self::Code
        } else {
            Self::Prose
        }
    }

    /// Its name, for people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "nothing",
            Self::Number => "a number",
            Self::Word => "a word",
            Self::Prose => "prose",
            Self::Address => "a path or URL",
            Self::Token => "a token",
            Self::Json => "JSON",
            Self::Markup => "markup",
            Self::Code => "code",
            Self::Binary => "binary data",
        }
    }
}

/// How many quotes there are; an apostrophe within a word is none.
fn quotes(text: &str) -> usize {
    let within = text.as_bytes().windows(3).filter(
        |three| matches!(three, [before, b'\'', after] if before.is_ascii_alphabetic() && after.is_ascii_alphabetic()),
    );
    text.matches(['\'', '"']).count() - within.count()
}

/// Whether a parenthesis follows a word without a blank, as in a call.
fn is_call(text: &str) -> bool {
    text.as_bytes()
        .windows(2)
        .any(|pair| matches!(pair, [before, b'('] if before.is_ascii_alphanumeric() || *before == b'_'))
}

#[cfg(test)]
mod tests {
    use super::ValueClass as Class;

    #[test]
    fn values_are_told_apart() {
        for (value, class) in [
            ("", Class::Empty),
            ("  ", Class::Empty),
            ("12,500.00", Class::Number),
            ("2026-11-22 10:00", Class::Number),
            ("ann_2", Class::Word),
            ("It's a nice day, isn't it? Call me.", Class::Prose),
            ("O'Brien", Class::Prose),
            ("select a drink from the menu", Class::Prose),
            ("https://example.org/a?b=c", Class::Address),
            ("../../etc/passwd", Class::Address),
            ("dGhpcyBpcyBhIHRva2Vu", Class::Token),
            ("{\"a\": 1}", Class::Json),
            ("<b>bold</b>", Class::Markup),
            ("1' or '1'='1", Class::Code),
            ("sleep(5)", Class::Code),
            ("a; cat x", Class::Code),
            ("a\u{0}b", Class::Binary),
        ] {
            assert_eq!(Class::of(value), class, "{value:?}");
        }
    }
}
