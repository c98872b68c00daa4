//! How a process under test tells what was acknowledged: to the disk, in order with its writes, and to whoever may kill it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

pub(crate) struct Told(File);

impl Told {
    pub(crate) fn open(acks: &Path) -> Self {
        Self(File::options().write(true).open(acks).unwrap())
    }

    pub(crate) fn ack(&self, text: &str) {
        (&self.0).write_all(text.as_bytes()).unwrap();
        Self::line("ack");
    }

    pub(crate) fn refused(&self, why: &str) {
        Self::line(&format!("refused: {why}"));
    }

    /// Returns when whoever started this process wants it to end.
    pub(crate) fn wait_for_end(&self) {
        let mut rest = Vec::new();
        std::io::stdin().read_to_end(&mut rest).unwrap();
    }

    fn line(text: &str) {
        let mut out = std::io::stdout().lock();
        // Whoever listened may have killed this process already.
        let _ = writeln!(out, "{text}").and_then(|()| out.flush());
    }
}
