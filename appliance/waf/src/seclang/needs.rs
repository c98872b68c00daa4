//! Which other files a rule file names, for those who read files: the compiler only takes what it is given.

use super::{RuleFiles, directives::split_operator, lines::directives};
use crate::operator::words;

/// The files that a rule file names. Relative names have become paths beside it.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Needs {
    /// Rule files: patterns with `*` and `?`, in order. With whether one must be there.
    pub includes: Vec<(String, bool)>,
    /// Data files, such as lists of phrases.
    pub data: Vec<String>,
}

impl Needs {
    /// Reads which files a rule file names. Lines with mistakes name nothing; the compiler reports them.
    #[must_use]
    pub fn of(path: &str, text: &[u8]) -> Self {
        let mut needs = Self::default();
        let none = RuleFiles::new();
        let beside = none.beside(path);
        let name = |bytes: &[u8]| beside.resolve(&String::from_utf8_lossy(bytes));
        for directive in directives(text).into_iter().flatten() {
            let first = directive.arguments.first();
            match directive.name.to_ascii_lowercase().as_str() {
                "include" => needs.includes.extend(first.map(|file| (name(file), true))),
                "includeoptional" => needs.includes.extend(first.map(|file| (name(file), false))),
                "secgeolookupdb" | "secunicodemapfile" => needs.data.extend(first.map(|file| name(file))),
                "secrule" => {
                    let Some(operator) = directive.arguments.get(1) else {
                        continue;
                    };
                    let (_, operator, argument) = split_operator(operator);
                    if names_files(&operator) {
                        needs
                            .data
                            .extend(words(&argument).iter().map(|file| beside.resolve(file)));
                    }
                }
                _ => {}
            }
        }
        needs
    }
}

/// Whether an operator's argument is a list of files.
pub(super) fn names_files(operator: &str) -> bool {
    let operator = operator.to_ascii_lowercase();
    operator.ends_with("fromfile") || matches!(operator.as_str(), "pmf" | "ipmatchf")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_file_names_rule_files_and_data_files_beside_it() {
        let text = b"Include rules/*.conf\nIncludeOptional /etc/extra.conf\nSecRule ARGS \"!@pmFromFile a.data b.data\" \"id:1\"\n\
            SecRule REMOTE_ADDR \"@ipMatchF nets\" \"id:2\"\nSecRule ARGS \"@rx x\" \"id:3\"\nSecUnicodeMapFile unicode.mapping 20127\n";
        let needs = Needs::of("r/main.conf", text);
        assert_eq!(
            needs.includes,
            [
                ("r/rules/*.conf".to_owned(), true),
                ("/etc/extra.conf".to_owned(), false)
            ]
        );
        assert_eq!(needs.data, ["r/a.data", "r/b.data", "r/nets", "r/unicode.mapping"]);
    }

    #[test]
    fn a_line_with_a_mistake_names_nothing() {
        assert_eq!(Needs::of("a.conf", b"Include \"open"), Needs::default());
    }
}
