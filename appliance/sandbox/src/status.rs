//! `/proc/self/status`, opened before the tree is given up and read again at the end.
#![forbid(unsafe_code)]

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The open file.
#[derive(Debug)]
pub(crate) struct StatusFile(File);

impl StatusFile {
    pub(crate) fn open() -> io::Result<Self> {
        File::open("/proc/self/status").map(Self)
    }

    /// Reads it anew: the kernel renders it at each read from its start.
    pub(crate) fn read(&self) -> io::Result<Status> {
        // The file has about 1.5 KiB.
        let mut text = vec![0; 16_384];
        let length = self.0.read_at(&mut text, 0)?;
        text.truncate(length);
        Status::parse(&String::from_utf8_lossy(&text))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "a line is missing in /proc/self/status"))
    }

    pub(crate) const fn file(&self) -> &File {
        &self.0
    }
}

/// The lines that matter here.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Status {
    pub(crate) threads: u64,
    pub(crate) inheritable: u64,
    pub(crate) permitted: u64,
    pub(crate) effective: u64,
    pub(crate) bounding: u64,
    pub(crate) ambient: u64,
    pub(crate) no_new_privileges: u64,
    pub(crate) seccomp: u64,
}

impl Status {
    fn parse(text: &str) -> Option<Self> {
        let field = |name: &str| {
            text.lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
                .map(str::trim)
        };
        let decimal = |name: &str| field(name)?.parse().ok();
        let hexadecimal = |name: &str| u64::from_str_radix(field(name)?, 16).ok();
        Some(Self {
            threads: decimal("Threads")?,
            inheritable: hexadecimal("CapInh")?,
            permitted: hexadecimal("CapPrm")?,
            effective: hexadecimal("CapEff")?,
            bounding: hexadecimal("CapBnd")?,
            ambient: hexadecimal("CapAmb")?,
            no_new_privileges: decimal("NoNewPrivs")?,
            seccomp: decimal("Seccomp")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Status, StatusFile};

    #[test]
    fn the_kernels_own_file_is_understood() {
        let status = StatusFile::open().unwrap().read().unwrap();
        assert!(status.threads >= 1);
    }

    #[test]
    fn a_missing_line_is_no_status() {
        let text =
            "Threads:\t1\nCapInh:\t0\nCapPrm:\t0\nCapEff:\t1000\nCapBnd:\t0\nCapAmb:\t0\nNoNewPrivs:\t1\nSeccomp:\t2\n";
        assert_eq!(Status::parse(text).unwrap().effective, 0x1000);
        assert_eq!(Status::parse(text).unwrap().seccomp, 2);
        assert_eq!(Status::parse(text.trim_end_matches("Seccomp:\t2\n")), None);
    }
}
