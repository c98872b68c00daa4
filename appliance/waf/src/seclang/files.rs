//! The rule files and data files of a rule set, as bytes by path.

use std::collections::BTreeMap;

use crate::operator::Files;

/// Files by path. Paths are compared as written, with `/` between their parts; nothing is looked up on a disk.
#[derive(Clone, Debug, Default)]
pub struct RuleFiles {
    files: BTreeMap<String, Vec<u8>>,
}

impl RuleFiles {
    /// No files.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a file, or replaces the one of this path.
    pub fn insert(&mut self, path: impl Into<String>, content: Vec<u8>) {
        self.files.insert(path.into(), content);
    }

    /// The content of a file.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&[u8]> {
        self.files.get(path).map(Vec::as_slice)
    }

    /// The paths that a pattern with `*` and `?` matches (neither crosses a `/`), in order.
    pub(super) fn matching(&self, pattern: &str) -> Vec<&str> {
        let pattern = pattern.as_bytes();
        self.files
            .keys()
            .map(String::as_str)
            .filter(|path| is_named(pattern, path.as_bytes()))
            .collect()
    }

    /// The files as a rule file sees them: a relative name is one in its own folder.
    pub(super) fn beside<'a>(&'a self, path: &'a str) -> Beside<'a> {
        Beside { files: self, path }
    }
}

/// The files seen from one of them.
pub(super) struct Beside<'a> {
    files: &'a RuleFiles,
    path: &'a str,
}

impl Beside<'_> {
    /// The full path of a name.
    pub(super) fn resolve(&self, name: &str) -> String {
        let name = name.strip_prefix("./").unwrap_or(name);
        match self.path.rsplit_once('/') {
            Some((folder, _)) if !name.starts_with('/') => format!("{folder}/{name}"),
            _ => name.to_owned(),
        }
    }
}

impl Files for Beside<'_> {
    fn read(&self, name: &str) -> Option<&[u8]> {
        self.files.get(&self.resolve(name))
    }
}

/// Whether a pattern with `*` and `?`, neither of which crosses a `/`, matches a path.
#[must_use]
pub fn is_named(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut read) = (0, 0);
    // Where to go on if the last star has to take one byte more.
    let mut retry = None;
    loop {
        match (pattern.get(at), text.get(read)) {
            (Some(b'*'), _) => {
                retry = Some((at, read));
                at += 1;
                continue;
            }
            (None, None) => return true,
            (Some(wanted), Some(byte)) if wanted == byte || (*wanted == b'?' && *byte != b'/') => {
                at += 1;
                read += 1;
                continue;
            }
            _ => {}
        }
        match retry {
            Some((star, taken)) if text.get(taken).is_some_and(|byte| *byte != b'/') => {
                retry = Some((star, taken + 1));
                at = star + 1;
                read = taken + 1;
            }
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_star_stays_in_its_folder() {
        let mut files = RuleFiles::new();
        for path in ["r/a.conf", "r/b.conf", "r/sub/c.conf", "r/a.data"] {
            files.insert(path, Vec::new());
        }
        assert_eq!(files.matching("r/*.conf"), ["r/a.conf", "r/b.conf"]);
        assert_eq!(files.matching("r/?.data"), ["r/a.data"]);
        assert_eq!(files.matching("*/*/*.conf"), ["r/sub/c.conf"]);
    }

    #[test]
    fn a_relative_name_is_one_in_the_same_folder() {
        let mut files = RuleFiles::new();
        files.insert("r/words.data", b"x".to_vec());
        assert_eq!(files.beside("r/a.conf").read("words.data"), Some(&b"x"[..]));
        assert_eq!(files.beside("a.conf").read("words.data"), None);
    }
}
