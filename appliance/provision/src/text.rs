//! What a terminal may be sent: printable ASCII, lines of at most 80 characters.

use std::time::Duration;

/// Columns of the terminal.
pub const WIDTH: usize = 80;
/// Rows of the terminal.
pub const HEIGHT: usize = 24;

/// Text as a plain terminal shows it: a few signs by their ASCII equivalents, anything else that is not printable as `?`. Nothing that
/// came from elsewhere can drive the terminal.
#[must_use]
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            ' '..='~' => plain.push(c),
            '\t' => plain.push(' '),
            '–' | '—' | '·' | '─' => plain.push('-'),
            '…' => plain.push_str("..."),
            '“' | '”' => plain.push('"'),
            '‘' | '’' => plain.push('\''),
            '×' => plain.push('x'),
            '→' => plain.push_str("->"),
            '│' => plain.push('|'),
            '°' => plain.push_str("deg "),
            _ => plain.push('?'),
        }
    }
    plain
}

/// The lines of a text, each plain and cut into pieces of at most this many columns, at spaces where there are any.
#[must_use]
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    text.lines()
        .flat_map(|line| wrap(&plain(line), width.max(10)))
        .collect()
}

fn wrap(line: &str, width: usize) -> Vec<String> {
    let mut pieces = Vec::new();
    let mut rest = line.trim_end();
    while rest.len() > width {
        // Plain text is ASCII, so every place is a boundary of characters.
        let head = rest.get(..width).unwrap_or(rest);
        let at = head.rfind(' ').filter(|at| *at > width / 2).unwrap_or(width);
        let (piece, left) = rest.split_at(at);
        pieces.push(piece.trim_end().to_owned());
        rest = left.trim_start();
    }
    pieces.push(rest.to_owned());
    pieces
}

/// Rows under a head, each column as wide as its widest cell.
#[must_use]
pub fn table(head: &[&str], rows: &[Vec<String>]) -> Vec<String> {
    let head: Vec<String> = head.iter().map(|cell| (*cell).to_owned()).collect();
    let all: Vec<&Vec<String>> = std::iter::once(&head).chain(rows).collect();
    let width = |column: usize| {
        all.iter()
            .filter_map(|row| row.get(column))
            .map(|cell| plain(cell).len())
            .max()
    };
    let widths: Vec<usize> = (0..head.len()).map(|column| width(column).unwrap_or(0)).collect();
    all.iter()
        .map(|row| {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let cell = plain(cell);
                format!("{cell:<width$}")
            });
            let mut line = cells.collect::<Vec<_>>().join("  ");
            line.truncate(line.trim_end().len().min(WIDTH - 2));
            line
        })
        .collect()
}

/// A span of time in its two largest units.
#[must_use]
pub fn span(span: Duration) -> String {
    let seconds = span.as_secs();
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
    use super::{plain, table, wrapped};

    #[test]
    fn nothing_that_is_shown_can_drive_the_terminal() {
        assert_eq!(plain("a\x1b[2J\u{9b}b\rc\u{202e}…"), "a?[2J?b?c?...");
    }

    #[test]
    fn long_lines_are_cut_at_spaces() {
        assert_eq!(wrapped("one two three four", 10), ["one two", "three four"]);
        assert_eq!(
            wrapped(&"x".repeat(25), 10),
            ["x".repeat(10), "x".repeat(10), "x".repeat(5)]
        );
        assert_eq!(wrapped("a\n\nb", 10), ["a", "", "b"]);
    }

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["proxy".to_owned(), "1".to_owned()]];
        assert_eq!(table(&["SERVICE", "PID"], &rows), ["SERVICE  PID", "proxy    1"]);
    }
}
