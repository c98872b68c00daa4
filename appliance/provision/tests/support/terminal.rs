//! As much of a VT100 as the menu may use. Whatever else it is sent is a mistake.

pub const COLUMNS: usize = 80;
pub const ROWS: usize = 24;

/// The screen, the cursor, and what was wrong with what was sent.
#[derive(Debug)]
pub struct Terminal {
    cells: Vec<Vec<u8>>,
    row: usize,
    column: usize,
    sequence: Vec<u8>,
    /// Lines that have left at the top since the screen was last cleared.
    pub scrolled: usize,
    /// Characters that the last column did not leave room for: they stand on the next line.
    pub wrapped: usize,
    /// Sequences and signs that no VT100 need understand.
    pub strange: usize,
    /// Everything that was shown.
    pub seen: String,
}

impl Default for Terminal {
    fn default() -> Self {
        Self {
            cells: vec![vec![b' '; COLUMNS]; ROWS],
            row: 0,
            column: 0,
            sequence: Vec::new(),
            scrolled: 0,
            wrapped: 0,
            strange: 0,
            seen: String::new(),
        }
    }
}

impl Terminal {
    pub fn take(&mut self, bytes: &[u8]) {
        self.seen.push_str(&String::from_utf8_lossy(bytes));
        for byte in bytes {
            if !self.sequence.is_empty() {
                self.sequence.push(*byte);
                self.finish();
                continue;
            }
            match byte {
                0x1b => self.sequence.push(0x1b),
                b'\r' => self.column = 0,
                b'\n' => self.feed(),
                0x08 => self.column = self.column.saturating_sub(1),
                0x07 => {}
                b' '..=b'~' => {
                    if self.column == COLUMNS {
                        self.wrapped += 1;
                        self.column = 0;
                        self.feed();
                    }
                    self.cells[self.row][self.column] = *byte;
                    self.column += 1;
                }
                _ => self.strange += 1,
            }
        }
    }

    fn feed(&mut self) {
        if self.row + 1 < ROWS {
            self.row += 1;
            return;
        }
        self.cells.remove(0);
        self.cells.push(vec![b' '; COLUMNS]);
        self.scrolled += 1;
    }

    /// What stands on the screen.
    pub fn text(&self) -> String {
        let lines: Vec<String> = self
            .cells
            .iter()
            .map(|row| String::from_utf8_lossy(row).trim_end().to_owned())
            .collect();
        lines.join("\n").trim_end().to_owned() + "\n"
    }

    fn finish(&mut self) {
        match self.sequence.as_slice() {
            b"\x1b[2J" => {
                self.cells = vec![vec![b' '; COLUMNS]; ROWS];
                self.scrolled = 0;
            }
            b"\x1b[H" => (self.row, self.column) = (0, 0),
            b"\x1b[0m" => {}
            sequence if sequence.len() < 4 => return,
            _ => self.strange += 1,
        }
        self.sequence.clear();
    }
}
