//! A terminal of 80×24 that knows what the menu may send, and refuses everything else.

const COLUMNS: usize = 80;
const ROWS: usize = 24;

#[derive(Default)]
pub struct Terminal {
    rows: Vec<Vec<u8>>,
    column: usize,
    escape: Vec<u8>,
    shown: String,
    all: Vec<u8>,
    widest: usize,
}

impl Terminal {
    pub fn take(&mut self, bytes: &[u8]) {
        self.all.extend(bytes);
        for byte in bytes {
            self.take_byte(*byte);
        }
        let lines: Vec<_> = self
            .rows
            .iter()
            .map(|row| String::from_utf8(row.clone()).unwrap().trim_end().to_owned())
            .collect();
        self.shown = lines.join("\n") + "\n";
    }

    /// What is on the screen.
    pub fn text(&self) -> &str {
        &self.shown
    }

    /// Everything that was ever sent.
    pub fn everything(&self) -> String {
        String::from_utf8_lossy(&self.all).into_owned()
    }

    /// The last column that was ever used.
    pub fn widest(&self) -> usize {
        self.widest
    }

    fn take_byte(&mut self, byte: u8) {
        if !self.escape.is_empty() || byte == 0x1b {
            self.escape.push(byte);
            match self.escape.as_slice() {
                b"\x1b[2J" => {
                    self.rows.clear();
                    self.escape.clear();
                }
                b"\x1b[H" => {
                    self.column = 0;
                    self.escape.clear();
                }
                b"\x1b[0m" => self.escape.clear(),
                partial => assert!(partial.len() < 4, "an unknown sequence: {partial:?}"),
            }
            return;
        }
        if self.rows.is_empty() {
            self.rows.push(Vec::new());
        }
        let row = self.rows.last_mut().unwrap();
        match byte {
            b'\r' => self.column = 0,
            b'\n' => {
                self.rows.push(Vec::new());
                if self.rows.len() > ROWS {
                    self.rows.remove(0);
                }
            }
            0x08 => self.column = self.column.saturating_sub(1),
            0x07 => {}
            b' '..=b'~' => {
                if self.column == COLUMNS {
                    self.column = 0;
                    self.rows.push(Vec::new());
                    if self.rows.len() > ROWS {
                        self.rows.remove(0);
                    }
                }
                let row = self.rows.last_mut().unwrap();
                if row.len() <= self.column {
                    row.resize(self.column + 1, b' ');
                }
                row[self.column] = byte;
                self.column += 1;
                self.widest = self.widest.max(self.column);
            }
            other => panic!(
                "the terminal was sent {other:#x} after {:?}",
                String::from_utf8_lossy(row)
            ),
        }
    }
}
