//! A partition, as far as this crate needs it.

use rustix::fs::{Advice, fadvise};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};

/// Bytes that can be read and written at any place and made durable.
pub trait Storage: Read + Seek + Write {
    /// Returns once everything written is on the disk.
    ///
    /// # Errors
    /// What the disk says.
    fn sync(&mut self) -> io::Result<()>;

    /// Forgets what was read or written, so that the next read comes from the disk.
    ///
    /// # Errors
    /// What the kernel says.
    fn forget(&mut self) -> io::Result<()>;

    /// Its size in bytes.
    ///
    /// # Errors
    /// What the kernel says.
    fn size(&mut self) -> io::Result<u64> {
        self.seek(SeekFrom::End(0))
    }
}

impl Storage for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }

    fn forget(&mut self) -> io::Result<()> {
        // The length is missing: to the end.
        Ok(fadvise(&*self, 0, None, Advice::DontNeed)?)
    }
}

/// A storage that several file systems use, one after the other.
#[derive(Debug)]
pub(crate) struct Borrowed<'a, S>(pub(crate) &'a mut S);

impl<S: Storage> Read for Borrowed<'_, S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Storage> Write for Borrowed<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl<S: Storage> Seek for Borrowed<'_, S> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.0.seek(to)
    }
}
