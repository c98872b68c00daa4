//! Text for a terminal of 80 columns.

/// How wide lines may become.
const WIDTH: usize = 79;
/// How many characters of a value are shown.
const SHOWN: usize = 400;

/// A text in lines of at most 80 columns, the first behind `first`, the others behind as many blanks. Words that are too long are cut.
pub(crate) fn wrapped(first: &str, text: &str) -> String {
    let indent = first.chars().count();
    let room = WIDTH.saturating_sub(indent).max(20);
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let mut word: Vec<char> = word.chars().collect();
        loop {
            let gap = usize::from(used > 0);
            if used + gap + word.len() <= room {
                push(&mut lines, gap, &word);
                used += gap + word.len();
                break;
            }
            if used > 0 && word.len() <= room {
                lines.push(String::new());
                used = 0;
                continue;
            }
            if used > 0 {
                lines.push(String::new());
            }
            let rest = word.split_off(word.len().min(room));
            push(&mut lines, 0, &word);
            lines.push(String::new());
            used = 0;
            word = rest;
            if word.is_empty() {
                break;
            }
        }
    }
    while lines.len() > 1 && lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    let mut out = String::new();
    for (number, line) in lines.iter().enumerate() {
        let lead = if number == 0 {
            first.to_owned()
        } else {
            " ".repeat(indent)
        };
        out.push_str(format!("{lead}{line}").trim_end());
        out.push('\n');
    }
    out
}

fn push(lines: &mut [String], gap: usize, word: &[char]) {
    if let Some(line) = lines.last_mut() {
        line.push_str(&" ".repeat(gap));
        line.extend(word);
    }
}

/// A value from a request, on one line: control characters as escapes, direction overrides too, cut where it is long.
pub(crate) fn value(text: &str) -> String {
    let mut out = String::new();
    let count = text.chars().count();
    for character in text.chars().take(SHOWN) {
        match character {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => {
                out.push_str(&format!("\\u{{{:x}}}", u32::from(character)));
            }
            c => out.push(c),
        }
    }
    if count > SHOWN {
        out.push_str(&format!("\u{2026} ({count} characters)"));
    }
    out
}

/// A time as people read it.
pub(crate) fn time(nanoseconds: u64) -> String {
    match nanoseconds {
        0..=9_999_999 => format!("{}.{} µs", nanoseconds / 1_000, nanoseconds % 1_000 / 100),
        _ => format!("{}.{} ms", nanoseconds / 1_000_000, nanoseconds % 1_000_000 / 100_000),
    }
}

#[cfg(test)]
mod tests {
    use super::{time, value, wrapped};

    #[test]
    fn lines_are_no_longer_than_80_columns_and_nothing_is_lost() {
        let text = format!("a few words {} and more {}", "x".repeat(200), "word ".repeat(40));
        let out = wrapped("  message   ", &text);
        assert!(out.lines().all(|line| line.chars().count() < 80), "{out}");
        let kept = |text: &str| text.chars().filter(|c| !c.is_whitespace()).count();
        assert_eq!(kept(&out), kept(&text) + "message".len());
        assert_eq!(wrapped("a ", "b"), "a b\n");
        assert_eq!(wrapped("a", ""), "a\n");
    }

    #[test]
    fn values_cannot_write_to_the_terminal() {
        assert_eq!(value("a\u{1b}[31m\n\u{202e}b"), "a\\x1b[31m\\n\\u{202e}b");
        assert!(value(&"x".repeat(1_000)).ends_with("\u{2026} (1000 characters)"));
    }

    #[test]
    fn times_read_well() {
        assert_eq!(time(1_234), "1.2 µs");
        assert_eq!(time(12_345_678), "12.3 ms");
    }
}
