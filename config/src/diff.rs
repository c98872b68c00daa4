//! What changes from one configuration to another, in words.

use crate::document::Appliance;
use crate::read::{Read, Tree};

/// One difference.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// What happened.
    pub kind: ChangeKind,
    /// Where, for instance `services.shop.rates.guest`. Entries of lists go by their name, where they have one.
    pub path: String,
    /// In words: `service shop: rate limit for guest 10 → 20 a minute`.
    pub text: String,
}

/// What happened to a part of the configuration.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It is other than before.
    Changed,
    /// It is gone.
    Removed,
}

/// What changes from `old` to `new`, in the order of the document. Two documents that mean the same have no difference.
#[must_use]
pub fn diff(old: &Appliance, new: &Appliance) -> Vec<Change> {
    let mut walk = Walk::default();
    walk.compare(&old.tree(), &new.tree());
    walk.changes
}

/// Longest text of a value in a sentence, in characters.
const SHOWN: usize = 80;

#[derive(Default)]
struct Walk {
    /// Keys down to here.
    path: Vec<String>,
    /// Things with names down to here: `service shop`, `route api`.
    subjects: Vec<String>,
    /// Keys below the innermost subject.
    keys: Vec<String>,
    changes: Vec<Change>,
}

impl Walk {
    fn compare(&mut self, old: &Tree, new: &Tree) {
        if old == new {
            return;
        }
        match (old, new) {
            (Tree::Section(old), Tree::Section(new)) => {
                // Both come from the same type, so the keys are the same, in the same order.
                for ((key, old), (_, new)) in old.iter().zip(new) {
                    self.key(key, |walk| walk.compare(old, new));
                }
            }
            (Tree::Map(old), Tree::Map(new)) => {
                let names: std::collections::BTreeSet<&String> = old.keys().chain(new.keys()).collect();
                for name in names {
                    self.entry(name, old.get(name), new.get(name));
                }
            }
            (Tree::List(old), Tree::List(new)) => self.lists(old, new),
            (old, new) => self.value(old, new),
        }
    }

    fn key(&mut self, key: &str, inner: impl FnOnce(&mut Self)) {
        self.path.push(key.to_owned());
        self.keys.push(key.to_owned());
        inner(self);
        self.keys.pop();
        self.path.pop();
    }

    /// An entry with a name of its own: a new subject of the sentences below, or for single values their last word.
    fn entry(&mut self, name: &str, old: Option<&Tree>, new: Option<&Tree>) {
        let table = matches!(old.or(new), Some(Tree::Section(_)));
        self.path.push(name.to_owned());
        if table {
            let kind = self.keys.last().map(|key| singular(key)).unwrap_or_default();
            self.subjects.push(format!("{kind} {name}"));
            let keys = std::mem::take(&mut self.keys);
            match (old, new) {
                (Some(old), Some(new)) => self.compare(old, new),
                (None, Some(new)) => {
                    let detail = details(new);
                    self.push(ChangeKind::Added, format!("added{detail}"));
                }
                (Some(_), None) => self.push(ChangeKind::Removed, "removed".to_owned()),
                (None, None) => {}
            }
            self.keys = keys;
            self.subjects.pop();
        } else {
            self.keys.push(name.to_owned());
            self.compare(old.unwrap_or(&Tree::Absent), new.unwrap_or(&Tree::Absent));
            self.keys.pop();
        }
        self.path.pop();
    }

    fn lists(&mut self, old: &[Tree], new: &[Tree]) {
        let names = |list: &[Tree]| list.iter().map(name_of).collect::<Option<Vec<String>>>();
        if let (Some(old_names), Some(new_names)) = (names(old), names(new)) {
            let find = |list: &[Tree], names: &[String], name: &String| {
                names
                    .iter()
                    .position(|other| other == name)
                    .and_then(|at| list.get(at).cloned())
            };
            for name in &old_names {
                if !new_names.contains(name) {
                    self.entry(name, find(old, &old_names, name).as_ref(), None);
                }
            }
            for name in &new_names {
                let (before, after) = (find(old, &old_names, name), find(new, &new_names, name));
                self.entry(name, before.as_ref(), after.as_ref());
            }
            let kept = |names: &[String], others: &[String]| -> Vec<String> {
                names.iter().filter(|name| others.contains(name)).cloned().collect()
            };
            let (before, after) = (kept(&old_names, &new_names), kept(&new_names, &old_names));
            if before != after {
                let what = self.what();
                self.push(
                    ChangeKind::Changed,
                    format!("order of {what} is now {}", cut(&after.join(", "))),
                );
            }
            return;
        }
        let what = singular(&self.what());
        for (kind, word, from, to) in [
            (ChangeKind::Removed, "removed", old, new),
            (ChangeKind::Added, "added", new, old),
        ] {
            for entry in from.iter().filter(|entry| !to.contains(entry)) {
                let text = match entry {
                    Tree::Section(_) => format!("{what} {word}: {}", cut(&sentence(entry))),
                    entry => format!("{what} {} {word}", cut(&sentence(entry))),
                };
                self.push(kind, text);
            }
        }
        let same = |from: &[Tree], to: &[Tree]| from.iter().all(|entry| to.contains(entry));
        if same(old, new) && same(new, old) {
            let what = self.what();
            let order: Vec<String> = new.iter().map(sentence).collect();
            self.push(
                ChangeKind::Changed,
                format!("order of {what} is now {}", cut(&order.join(", "))),
            );
        }
    }

    fn value(&mut self, old: &Tree, new: &Tree) {
        let what = self.what();
        let unit = self.unit();
        let (kind, text) = match (old, new) {
            (Tree::Absent, new) => (
                ChangeKind::Added,
                format!("{what} set to {}{unit}", cut(&sentence(new))),
            ),
            (old, Tree::Absent) => (
                ChangeKind::Removed,
                format!("{what} {}{unit} removed", cut(&sentence(old))),
            ),
            (old, new) => (
                ChangeKind::Changed,
                format!("{what} {} → {}{unit}", cut(&sentence(old)), cut(&sentence(new))),
            ),
        };
        self.push(kind, text);
    }

    /// The keys below the subject as words.
    fn what(&self) -> String {
        match self.keys.as_slice() {
            [rates, role] if rates == "rates" => format!("rate limit for {role}"),
            [headers, set, field] if headers == "headers" && set == "set" => format!("header {field}"),
            keys => keys.join(" ").replace('-', " "),
        }
    }

    fn unit(&self) -> &'static str {
        if self.keys.first().is_some_and(|key| key == "rates") {
            " a minute"
        } else {
            ""
        }
    }

    fn push(&mut self, kind: ChangeKind, words: String) {
        let subject = self.subjects.join(", ");
        let text = match (subject.is_empty(), words.as_str()) {
            (true, _) => words,
            // "policy web-in removed", but "service shop: rate limit …".
            (false, "removed" | "added") => format!("{subject} {words}"),
            (false, _) if words.starts_with("added:") => format!("{subject} {words}"),
            (false, _) => format!("{subject}: {words}"),
        };
        self.changes.push(Change {
            kind,
            path: self.path.join("."),
            text,
        });
    }
}

/// The name of an entry of a list, where it has one.
fn name_of(entry: &Tree) -> Option<String> {
    let Tree::Section(keys) = entry else { return None };
    keys.iter()
        .find(|(key, _)| *key == "name")
        .and_then(|(_, value)| match value {
            Tree::Value(name) => Some(name.clone()),
            _ => None,
        })
}

/// A key for one of its entries: `policies` → `policy`.
fn singular(key: &str) -> String {
    let known = [
        ("policies", "policy"),
        ("addresses", "address"),
        ("listen", "listen address"),
        ("access", "access rule"),
    ];
    if let Some((_, one)) = known.iter().find(|(many, _)| key.ends_with(many)) {
        return (*one).to_owned();
    }
    key.strip_suffix('s').unwrap_or(key).to_owned()
}

/// What a new thing is, in short: the values that were given and are not the default would be too much, so the first few.
fn details(tree: &Tree) -> String {
    let Tree::Section(keys) = tree else {
        return String::new();
    };
    let shown: Vec<String> = keys
        .iter()
        .filter(|(key, value)| *key != "name" && *key != "comment" && !empty(value))
        .filter(|(_, value)| match value {
            Tree::Value(_) => true,
            Tree::List(entries) => entries.iter().all(|entry| matches!(entry, Tree::Value(_))),
            _ => false,
        })
        .take(6)
        .map(|(key, value)| format!("{} {}", key.replace('-', " "), cut(&sentence(value))))
        .collect();
    if shown.is_empty() {
        String::new()
    } else {
        format!(": {}", shown.join(", "))
    }
}

fn empty(tree: &Tree) -> bool {
    match tree {
        Tree::Absent => true,
        Tree::Value(text) => text.is_empty(),
        Tree::List(entries) => entries.is_empty(),
        Tree::Map(entries) => entries.is_empty(),
        Tree::Section(keys) => keys.iter().all(|(_, value)| empty(value)),
    }
}

/// A value in a sentence.
fn sentence(tree: &Tree) -> String {
    match tree {
        Tree::Absent => "nothing".to_owned(),
        Tree::Value(text) if text.is_empty() => "\"\"".to_owned(),
        Tree::Value(text) => text.split_whitespace().collect::<Vec<_>>().join(" "),
        Tree::List(entries) => entries.iter().map(sentence).collect::<Vec<_>>().join(" "),
        Tree::Section(keys) => {
            let given = keys.iter().filter(|(_, value)| !empty(value));
            given
                .map(|(key, value)| format!("{} {}", key.replace('-', " "), sentence(value)))
                .collect::<Vec<_>>()
                .join(", ")
        }
        Tree::Map(entries) => entries
            .iter()
            .map(|(name, value)| format!("{name} {}", sentence(value)))
            .collect::<Vec<_>>()
            .join(", "),
    }
}

fn cut(text: &str) -> String {
    if text.chars().count() <= SHOWN {
        return text.to_owned();
    }
    let head: String = text.chars().take(SHOWN - 1).collect();
    format!("{head}…")
}
