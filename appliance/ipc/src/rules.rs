//! Rule files of the web application firewall on their way: the supervisor packs them, the manager and the proxy unpack them.
//!
//! The form is one that needs no parser to speak of: a mark, then for each file the length of its name (two bytes, little-endian), the
//! length of its content (four bytes), the name and the content. Messages as large as this one travel in sealed memory files (see
//! [`crate::frame`]), so that nobody can change what another one is still reading.

use crate::slice::RuleSource;
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::sync::Arc;

/// The first bytes.
const MARK: &[u8] = b"redan rules 1\n";
/// The most files of one archive.
pub const FILES: usize = 1_024;
/// The largest file, in bytes.
pub const FILE: usize = 4 << 20;
/// The largest archive, in bytes.
pub const ARCHIVE: usize = 16 << 20;

/// The name of a rule set's own settings in its archive.
pub const SETUP: &str = "setup.conf";
/// The folder of a rule set's rules in its archive.
pub const FOLDER: &str = "rules/";

/// The rule files and data files of a rule set. Cheap to clone.
#[derive(Clone, Default, Eq, PartialEq)]
pub struct RuleArchive(Arc<Vec<u8>>);

/// What is wrong with an archive or a file that shall go into it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// It ends in the middle, or is something else.
    #[error("the archive of rule files is damaged")]
    Damaged,
    /// Too many files.
    #[error("more than {FILES} rule files")]
    Files,
    /// A name that is empty or too long.
    #[error("a rule file's name is empty or too long")]
    Name,
    /// Too many bytes.
    #[error("rule files of more than {FILE} bytes each or {ARCHIVE} together")]
    Size,
}

/// One file of an archive.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RuleFile<'a> {
    /// Its path within the archive.
    pub name: &'a str,
    /// Its content.
    pub content: &'a [u8],
}

impl RuleArchive {
    /// Packs files.
    ///
    /// # Errors
    /// [`ArchiveError`] where a bound is exceeded.
    pub fn pack<'f>(files: impl IntoIterator<Item = RuleFile<'f>>) -> Result<Self, ArchiveError> {
        let mut bytes = MARK.to_vec();
        for (index, RuleFile { name, content }) in files.into_iter().enumerate() {
            if index >= FILES {
                return Err(ArchiveError::Files);
            }
            if name.is_empty() || name.len() > 255 {
                return Err(ArchiveError::Name);
            }
            let short = u16::try_from(name.len()).map_err(|_| ArchiveError::Name)?;
            let long = u32::try_from(content.len()).map_err(|_| ArchiveError::Size)?;
            if content.len() > FILE || bytes.len() + content.len() + name.len() + 6 > ARCHIVE {
                return Err(ArchiveError::Size);
            }
            bytes.extend_from_slice(&short.to_le_bytes());
            bytes.extend_from_slice(&long.to_le_bytes());
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(content);
        }
        Ok(Self(Arc::new(bytes)))
    }

    /// The files, in the order in which they were packed.
    ///
    /// # Errors
    /// [`ArchiveError`]: nothing of a damaged archive is used.
    pub fn files(&self) -> Result<Vec<RuleFile<'_>>, ArchiveError> {
        let mut rest = self.0.strip_prefix(MARK).ok_or(ArchiveError::Damaged)?;
        let mut files = Vec::new();
        while !rest.is_empty() {
            if files.len() >= FILES {
                return Err(ArchiveError::Files);
            }
            let (name, content, left) = next(rest).ok_or(ArchiveError::Damaged)?;
            files.push(RuleFile { name, content });
            rest = left;
        }
        Ok(files)
    }

    /// The archive as it travels.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The files of a service's rules: every one with its name, its content and whether it is a rule file to be loaded, in the order of
/// loading. The manager and the proxy compile the same.
///
/// # Errors
/// A damaged archive, or a rule set that the slice does not hold.
pub fn assemble(sources: &[RuleSource], sets: &[RuleArchive]) -> Result<Vec<(String, Vec<u8>, bool)>, ArchiveError> {
    let mut files = Vec::new();
    for source in sources {
        let (index, is_setup) = match source {
            RuleSource::Text { name, text } => {
                files.push((name.clone(), text.clone().into_bytes(), true));
                continue;
            }
            RuleSource::Setup(index) => (*index, true),
            RuleSource::Rules(index) => (*index, false),
        };
        let set = sets.get(usize::from(index)).ok_or(ArchiveError::Damaged)?;
        for file in set.files()? {
            if (file.name == SETUP) == is_setup {
                let is_rules = file.name.ends_with(".conf");
                files.push((file.name.to_owned(), file.content.to_vec(), is_rules));
            }
        }
    }
    Ok(files)
}

fn next(bytes: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let (short, rest) = bytes.split_first_chunk::<2>()?;
    let (long, rest) = rest.split_first_chunk::<4>()?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(*short).into())?;
    let (content, rest) = rest.split_at_checked(usize::try_from(u32::from_le_bytes(*long)).ok()?)?;
    Some((std::str::from_utf8(name).ok()?, content, rest))
}

impl fmt::Debug for RuleArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RuleArchive({} bytes)", self.0.len())
    }
}

impl Serialize for RuleArchive {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for RuleArchive {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = RuleArchive;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an archive of rule files")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<RuleArchive, E> {
                if bytes.len() > ARCHIVE {
                    return Err(E::custom(ArchiveError::Size));
                }
                Ok(RuleArchive(Arc::new(bytes.to_vec())))
            }
        }

        deserializer.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::{ArchiveError, FILE, RuleArchive, RuleFile};

    #[test]
    fn files_come_out_as_they_went_in_also_after_the_journey() {
        let files = [
            RuleFile {
                name: "setup.conf",
                content: b"SecRuleEngine On",
            },
            RuleFile {
                name: "rules/words.data",
                content: b"",
            },
        ];
        let archive = RuleArchive::pack(files).unwrap();
        let sent = postcard::to_stdvec(&archive).unwrap();
        let come: RuleArchive = postcard::from_bytes(&sent).unwrap();
        assert_eq!(come.files().unwrap(), files);
    }

    #[test]
    fn an_archive_that_is_cut_anywhere_is_refused_or_holds_whole_files() {
        let file = RuleFile {
            name: "a",
            content: b"bcd",
        };
        let whole = RuleArchive::pack([file, file]).unwrap();
        for length in 0..whole.bytes().len() {
            let cut = RuleArchive(std::sync::Arc::new(whole.bytes()[..length].to_vec()));
            match cut.files() {
                Err(error) => assert_eq!(error, ArchiveError::Damaged),
                Ok(files) => assert!(files.iter().all(|found| *found == file)),
            }
        }
    }

    #[test]
    fn a_file_over_the_bound_is_refused() {
        let content = vec![0; FILE + 1];
        let file = RuleFile {
            name: "a",
            content: &content,
        };
        assert_eq!(RuleArchive::pack([file]), Err(ArchiveError::Size));
    }
}
