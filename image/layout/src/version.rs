//! The version of an image.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// The version of an image: what a file name, a command line and a boot menu can carry without any quoting.
#[derive(Clone, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Version(String);

/// This is no version.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{0:?} is no version: 1 to 32 of the characters a-z, 0-9, '.' and '-', a digit first")]
pub struct VersionError(String);

/// Long enough for any, short enough for every place where it stands.
const LONGEST: usize = 32;

impl Version {
    /// As text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Version {
    type Err = VersionError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

impl TryFrom<String> for Version {
    type Error = VersionError;

    // Neither '_' nor '+', which the boot loader's file names use, nor anything that a path or a command line gives a meaning to.
    fn try_from(text: String) -> Result<Self, Self::Error> {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'.' || byte == b'-';
        let begins = text.bytes().next().is_some_and(|byte| byte.is_ascii_digit());
        if begins && text.len() <= LONGEST && text.bytes().all(fits) {
            Ok(Self(text))
        } else {
            Err(VersionError(text.chars().take(2 * LONGEST).collect()))
        }
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[test]
    fn what_a_file_name_or_a_command_line_could_misread_is_no_version() {
        for wrong in ["", "v1", "1.0+3", "1_0", "1 0", "../1", "1/2", "1.0\n", &"1".repeat(33)] {
            assert!(wrong.parse::<Version>().is_err(), "{wrong:?}");
        }
        for right in ["1", "0.1.0", "2026.11-rc1"] {
            assert_eq!(right.parse::<Version>().unwrap().as_str(), right);
        }
    }
}
