//! Columns of text, and text that came from elsewhere.

/// Text of others on a terminal: control characters and direction overrides become visible.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The same for several lines.
pub(crate) fn lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// A table with a head; columns are as wide as their widest cell, the last one is open.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let rows: Vec<Vec<String>> = std::iter::once(head.iter().map(|cell| (*cell).to_owned()).collect())
        .chain(rows.iter().map(|row| row.iter().map(|cell| clean(cell)).collect()))
        .collect();
    let width = |column: usize| {
        rows.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let mut out = String::new();
    for row in &rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(&format!("{cell:<width$}  "));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

/// Bytes in the unit that reads best.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        0..=10_239 => format!("{bytes} B"),
        10_240..=10_485_759 => format!("{} KiB", bytes >> 10),
        _ => format!("{} MiB", bytes >> 20),
    }
}

/// A span of time in its two largest units.
pub(crate) fn span(time: std::time::Duration) -> String {
    let seconds = time.as_secs();
    let units = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "m"),
        (seconds % 60, "s"),
    ];
    let shown: Vec<String> = units
        .iter()
        .skip_while(|(count, _)| *count == 0)
        .take(2)
        .map(|(count, unit)| format!("{count}{unit}"))
        .collect();
    if shown.is_empty() {
        "0s".to_owned()
    } else {
        shown.join(" ")
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{clean, size, span, table};

    #[test]
    fn columns_line_up_and_control_characters_are_shown() {
        let rows = vec![
            vec!["proxy".to_owned(), "1".to_owned()],
            vec!["a\u{1b}[31m".to_owned(), "22".to_owned()],
        ];
        assert_eq!(
            table(&["SERVICE", "PID"], &rows),
            "SERVICE  PID\nproxy    1\na\u{fffd}[31m   22\n"
        );
        assert_eq!(clean("a\u{202e}b\nc"), "a\u{fffd}b c");
    }

    #[test]
    fn sizes_and_spans_read_well() {
        assert_eq!(size(10), "10 B");
        assert_eq!(size(20 << 20), "20 MiB");
        assert_eq!(span(Duration::from_secs(0)), "0s");
        assert_eq!(span(Duration::from_secs(3_700)), "1h 1m");
        assert_eq!(span(Duration::from_secs(90_061)), "1d 1h");
    }
}
