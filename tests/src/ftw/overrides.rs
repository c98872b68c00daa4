//! Where a server answers differently than the tests expect, and why: the rule set's own file format (`test_overrides`).

use std::{fs, path::Path};

use yaml_rust2::{Yaml, YamlLoader};

/// All entries of a file.
#[derive(Debug, Default)]
pub struct Overrides(Vec<Entry>);

#[derive(Debug)]
struct Entry {
    names: Vec<String>,
    output: Yaml,
}

impl Overrides {
    /// Reads a file.
    ///
    /// # Panics
    ///
    /// If it cannot be read, or an entry has no reason.
    #[must_use]
    pub fn read(file: &Path) -> Self {
        let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let documents = YamlLoader::load_from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let mut entries = Vec::new();
        let list = documents
            .first()
            .and_then(|document| document["test_overrides"].as_vec());
        for entry in list.map_or(&[][..], Vec::as_slice) {
            let rule = entry["rule_id"].as_i64().expect("an entry has a rule_id");
            let ids = entry["test_ids"].as_vec().map_or(&[][..], Vec::as_slice);
            let reason = entry["reason"].as_str().unwrap_or_default();
            assert!(!reason.trim().is_empty(), "the entry for {rule} has no reason");
            entries.push(Entry {
                names: ids
                    .iter()
                    .filter_map(Yaml::as_i64)
                    .map(|id| format!("{rule}-{id}"))
                    .collect(),
                output: entry["output"].clone(),
            });
        }
        Self(entries)
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is expected of a test instead of what it says itself.
    #[must_use]
    pub fn of(&self, test: &str) -> Option<&Yaml> {
        let entry = self
            .0
            .iter()
            .find(|entry| entry.names.iter().any(|name| name == test))?;
        Some(&entry.output)
    }
}
