//! Versions, and the names of the boot entries that hold them.

use std::fmt;

/// A version of the image: three numbers, ordered as one expects.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Version {
    /// Changes that an operator has to read about.
    pub major: u32,
    /// New functions.
    pub minor: u32,
    /// Mended mistakes.
    pub patch: u32,
}

/// Text that is no version.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no version: three numbers with dots between them, such as 1.4.0")]
pub struct VersionError(String);

/// A file `redan_<version>[+left[-done]].efi` in `EFI/Linux` of the boot partition: a signed kernel image with the tries that the
/// boot loader has left for it ("Automatic Boot Assessment" of systemd-boot).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BootEntry {
    /// Which version it boots.
    pub version: Version,
    /// Tries left and made; `None` for one that is permanent.
    pub tries: Option<Tries>,
}

/// Tries of a boot entry on probation.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Tries {
    /// How often the boot loader will still try it.
    pub left: u32,
    /// How often it has tried it.
    pub done: u32,
}

impl Version {
    /// Reads `major.minor.patch`: decimal numbers without leading zeros.
    ///
    /// # Errors
    /// Any other text.
    pub fn parse(text: &str) -> Result<Self, VersionError> {
        let wrong = || VersionError(text.chars().take(40).collect());
        let mut parts = text.split('.');
        let mut number = || {
            let part = parts.next()?;
            let canonical = part == "0" || !part.starts_with('0');
            let digits = (1..=9).contains(&part.len()) && part.bytes().all(|byte| byte.is_ascii_digit());
            (canonical && digits).then(|| part.parse().ok()).flatten()
        };
        let (Some(major), Some(minor), Some(patch)) = (number(), number(), number()) else {
            return Err(wrong());
        };
        if parts.next().is_some() {
            return Err(wrong());
        }
        Ok(Self { major, minor, patch })
    }
}

impl BootEntry {
    /// A version that is tried once.
    #[must_use]
    pub const fn on_probation(version: Version) -> Self {
        Self {
            version,
            tries: Some(Tries { left: 1, done: 0 }),
        }
    }

    /// A version that has proved itself.
    #[must_use]
    pub const fn permanent(version: Version) -> Self {
        Self { version, tries: None }
    }

    /// Reads a file's name, upper or lower case; `None` for a file that is none of ours.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let name = name.to_ascii_lowercase();
        let stem = name.strip_prefix("redan_")?.strip_suffix(".efi")?;
        let Some((version, counter)) = stem.split_once('+') else {
            return Some(Self::permanent(Version::parse(stem).ok()?));
        };
        let number = |text: &str| {
            let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
            digits.then(|| text.parse::<u32>().ok()).flatten()
        };
        let (left, done) = match counter.split_once('-') {
            Some((left, done)) => (number(left)?, number(done)?),
            None => (number(counter)?, 0),
        };
        Some(Self {
            version: Version::parse(version).ok()?,
            tries: Some(Tries { left, done }),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Display for BootEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "redan_{}", self.version)?;
        match self.tries {
            None => {}
            Some(Tries { left, done: 0 }) => write!(f, "+{left}")?,
            Some(Tries { left, done }) => write!(f, "+{left}-{done}")?,
        }
        f.write_str(".efi")
    }
}

#[cfg(test)]
mod tests {
    use super::{BootEntry, Tries, Version};

    #[test]
    fn versions_are_three_plain_numbers_in_their_order() {
        let parse = |text| Version::parse(text).unwrap();
        assert!(parse("0.9.10") > parse("0.9.9") && parse("1.0.0") > parse("0.99.99"));
        assert_eq!(parse("1.20.3").to_string(), "1.20.3");
        for wrong in [
            "",
            "1",
            "1.2",
            "1.2.3.4",
            "01.2.3",
            "1.2.x",
            "1.2.-3",
            "1..3",
            "1.2.3 ",
            "1.2.9999999999",
        ] {
            assert!(Version::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn boot_entries_are_named_as_the_boot_loader_counts() {
        let version = Version::parse("1.4.0").unwrap();
        assert_eq!(BootEntry::on_probation(version).to_string(), "redan_1.4.0+1.efi");
        assert_eq!(BootEntry::permanent(version).to_string(), "redan_1.4.0.efi");
        for (name, tries) in [
            ("redan_1.4.0+1.efi", Some((1, 0))),
            ("REDAN_1.4.0+0-1.EFI", Some((0, 1))),
            ("redan_1.4.0.efi", None),
        ] {
            let tries = tries.map(|(left, done)| Tries { left, done });
            assert_eq!(BootEntry::parse(name), Some(BootEntry { version, tries }), "{name}");
        }
        for other in [
            "redan_1.4.0+.efi",
            "redan_1.4.0+1-.efi",
            "systemd-bootx64.efi",
            "redan_1.4.efi",
            "redan_1.4.0",
        ] {
            assert_eq!(BootEntry::parse(other), None, "{other}");
        }
    }
}
