//! The archive that an initramfs is (kernel documentation, "initramfs buffer format", newc), without times, owners and inode numbers
//! of the build machine.

use crate::tools::Outcome;

/// An archive being written.
#[derive(Default)]
pub(crate) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

const FOLDER: u32 = 0o040_755;
const FILE: u32 = 0o100_644;
const PROGRAM: u32 = 0o100_755;
const DEVICE: u32 = 0o020_600;

impl Archive {
    pub(crate) fn folder(&mut self, path: &str) -> Outcome<()> {
        self.entry(path, FOLDER, (0, 0), &[])
    }

    pub(crate) fn file(&mut self, path: &str, content: &[u8]) -> Outcome<()> {
        self.entry(path, FILE, (0, 0), content)
    }

    pub(crate) fn program(&mut self, path: &str, content: &[u8]) -> Outcome<()> {
        self.entry(path, PROGRAM, (0, 0), content)
    }

    /// A character device with these numbers.
    pub(crate) fn device(&mut self, path: &str, numbers: (u32, u32)) -> Outcome<()> {
        self.entry(path, DEVICE, numbers, &[])
    }

    pub(crate) fn finish(mut self) -> Outcome<Vec<u8>> {
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        Ok(self.bytes)
    }

    fn entry(&mut self, path: &str, mode: u32, numbers: (u32, u32), content: &[u8]) -> Outcome<()> {
        self.entries += 1;
        let (length, name) = (u32::try_from(content.len())?, u32::try_from(path.len() + 1)?);
        let fields = [
            self.entries,
            mode,
            0,
            0,
            1,
            0,
            length,
            0,
            0,
            numbers.0,
            numbers.1,
            name,
            0,
        ];
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(path.as_bytes());
        self.bytes.push(0);
        self.align();
        self.bytes.extend_from_slice(content);
        self.align();
        Ok(())
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}
