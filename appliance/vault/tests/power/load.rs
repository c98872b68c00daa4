//! How a process under test tells what was acknowledged: to the disk, in order with its writes, and to whoever may kill it.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

pub(crate) struct Told(File);

/// What is wrong with what a cut has left.
#[derive(Debug)]
pub(crate) enum Wrong {
    /// It does not open, or says what is missing.
    Named(String),
    /// Something that was acknowledged is not there, and nothing says so.
    Missing(String),
    /// It is neither the one state nor the other.
    Torn(String),
}

impl Wrong {
    #[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
    pub(crate) fn torn<E: ToString>(error: E) -> Self {
        Self::Torn(error.to_string())
    }
}

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
