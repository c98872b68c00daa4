//! How a document's values become typed values: one [`Read`] for each kind of value, and the [`Reader`]
//! that remembers where everything stood.

use std::collections::BTreeMap;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::mistake::{Kind, Mistake};
use crate::suggest;

/// The most entries of any table or list: a bound on what the checks cost.
pub(crate) const ENTRIES: usize = 4096;

/// A value of the document with its place.
pub(crate) type Node<'i> = Spanned<DeValue<'i>>;

/// What kind of value a key takes, for the reference.
#[derive(Clone)]
pub(crate) enum Shape {
    /// A single value, described in words.
    Value(String),
    /// A table with fixed keys.
    Section { about: &'static str, keys: Vec<Key> },
    /// A list of such values.
    List(Box<Self>),
    /// A table whose keys are names that the operator chooses.
    Map(&'static str, Box<Self>),
}

/// A key of a section, for the reference.
#[derive(Clone)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    /// The default as it would be written in the document.
    pub(crate) default: Option<&'static str>,
    pub(crate) range: Option<(&'static str, &'static str)>,
    /// Whether the document must hold it.
    pub(crate) required: bool,
    pub(crate) shape: Shape,
    /// Whether the default and the bounds are values of the key's type, and the default lies within them.
    #[cfg(test)]
    pub(crate) literals: fn() -> bool,
}

/// A value for comparison: what was read, without its type.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Tree {
    /// Nothing: an optional key that is absent.
    Absent,
    /// A single value as text.
    Value(String),
    /// Fixed keys.
    Section(Vec<(&'static str, Self)>),
    /// Values in an order that matters.
    List(Vec<Self>),
    /// Chosen names.
    Map(BTreeMap<String, Self>),
}

/// A kind of value that a document can hold.
pub(crate) trait Read: Sized {
    /// For the reference.
    fn shape() -> Shape;
    /// The value, or `None` after telling `reader` what is wrong.
    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self>;
    /// For the diff.
    fn tree(&self) -> Tree;
    /// What is used for a section of the document that could not be read, so that the rest can still be checked. The document is
    /// refused in any case.
    fn stand_in() -> Option<Self> {
        None
    }
    /// What an absent key without a default means; `None` where it must be there.
    fn absent() -> Option<Self> {
        None
    }
}

/// Joins the parts of a path inside the crate: names may hold dots (`eth0.100`), but never this.
pub(crate) const SEPARATOR: char = '\u{1f}';

/// Where a key and its value stand in the text, as byte offsets.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) key: Range<usize>,
    pub(crate) value: Range<usize>,
}

/// Collects mistakes and the places of everything read.
#[derive(Default)]
pub(crate) struct Reader {
    path: Vec<String>,
    places: BTreeMap<String, Place>,
    pub(crate) mistakes: Vec<Mistake>,
    /// Whether a part of the document was too large to be read: what refers to it cannot be judged.
    pub(crate) passed_over: bool,
}

impl Reader {
    /// The path of what is being read.
    pub(crate) fn path(&self) -> String {
        self.path.join("\u{1f}")
    }

    /// The path of `name` below what is being read.
    fn below_path(&self, name: &str) -> String {
        if self.path.is_empty() {
            name.to_owned()
        } else {
            format!("{}{SEPARATOR}{name}", self.path())
        }
    }

    /// The path in words for a message: `[services.shop]`, or `the document` at the top.
    pub(crate) fn section(&self) -> String {
        if self.path.is_empty() {
            "the document".to_owned()
        } else {
            format!("[{}]", self.path.join("."))
        }
    }

    /// The place of `path`, or of the nearest table around it that was written.
    pub(crate) fn place(&self, path: &str) -> Place {
        if let Some(place) = self.places.get(path) {
            return place.clone();
        }
        let mut path = path;
        while let Some((parent, _)) = path.rsplit_once(SEPARATOR) {
            if let Some(Place { key, .. }) = self.places.get(parent) {
                return Place {
                    key: key.clone(),
                    value: key.clone(),
                };
            }
            path = parent;
        }
        Place { key: 0..0, value: 0..0 }
    }

    /// Whether the document holds something at `path`, well formed or not.
    pub(crate) fn holds(&self, path: &str) -> bool {
        self.places.contains_key(path)
    }

    /// The names directly below `path` as they were written, whether their values could be read or not.
    pub(crate) fn names(&self, path: &str) -> Vec<&str> {
        let prefix = format!("{path}{SEPARATOR}");
        self.places
            .range(prefix.clone()..)
            .map_while(|(key, _)| key.strip_prefix(&prefix))
            .filter(|rest| !rest.contains(SEPARATOR))
            .collect()
    }

    /// Reports a mistake in the value just read.
    pub(crate) fn wrong(
        &mut self,
        node: &Node<'_>,
        message: impl Into<String>,
        label: impl Into<String>,
        help: Option<String>,
    ) {
        let path = self.path();
        self.mistakes.push(
            Mistake::new(Kind::Value, &path, node.span(), message)
                .label(label)
                .help(help),
        );
    }

    /// Reports a value of another type than `wanted`.
    pub(crate) fn wrong_type(&mut self, node: &Node<'_>, wanted: &str) {
        let found = match node.get_ref() {
            DeValue::String(_) => "a string",
            DeValue::Integer(_) => "an integer",
            DeValue::Float(_) => "a float",
            DeValue::Boolean(_) => "a boolean",
            DeValue::Datetime(_) => "a date",
            DeValue::Array(_) => "a list",
            DeValue::Table(_) => "a table",
        };
        let help = match (node.get_ref(), wanted) {
            (DeValue::String(text), wanted) if wanted.contains("integer") && text.parse::<u64>().is_ok() => {
                Some(format!("write it without quotes: {text}"))
            }
            (DeValue::String(text), wanted) if wanted.contains("boolean") && matches!(&**text, "true" | "false") => {
                Some(format!("write it without quotes: {text}"))
            }
            (DeValue::Array(_) | DeValue::Table(_), _) => None,
            (_, wanted) if wanted.starts_with("a list") => Some("put it in brackets: [ … ]".to_owned()),
            _ => None,
        };
        let key = self
            .path
            .iter()
            .rev()
            .find(|part| part.parse::<usize>().is_err())
            .cloned()
            .unwrap_or_default();
        self.mistakes.push(
            Mistake::new(
                Kind::Type,
                &self.path(),
                node.span(),
                format!("`{key}` takes {wanted}, not {found}"),
            )
            .label(format!("expected {wanted}"))
            .help(help),
        );
    }

    /// The text of a string value.
    pub(crate) fn text<'n>(&mut self, node: &'n Node<'_>, wanted: &str) -> Option<&'n str> {
        let text = node.get_ref().as_str();
        if text.is_none() {
            self.wrong_type(node, wanted);
        }
        text
    }

    /// Runs `read` one level deeper, remembering the place.
    pub(crate) fn below<T>(&mut self, name: String, place: Place, read: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(name);
        self.places.insert(self.path(), place);
        let value = read(self);
        self.path.pop();
        value
    }

    /// Forgets the places at and below the current path's child `name`: an entry of a list that could not be read.
    fn forget(&mut self, name: &str) {
        self.path.push(name.to_owned());
        let path = self.path();
        self.path.pop();
        let prefix = format!("{path}{SEPARATOR}");
        let below: Vec<String> = self
            .places
            .range(path.clone()..)
            .map(|(key, _)| key)
            .take_while(|key| **key == path || key.starts_with(&path))
            .filter(|key| **key == path || key.starts_with(&prefix))
            .cloned()
            .collect();
        for key in below {
            self.places.remove(&key);
        }
    }

    /// The table's entries, with every key that is not in `known` reported.
    pub(crate) fn table<'n, 'i>(&mut self, node: &'n Node<'i>, known: &[&'static str]) -> Option<&'n DeTable<'i>> {
        let Some(table) = node.get_ref().as_table() else {
            self.wrong_type(node, "a table");
            return None;
        };
        for (key, _) in table {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let help = suggest::closest(name, known.iter().copied()).map_or_else(
                    || format!("the keys here are {}", suggest::listed(known.iter().copied())),
                    |near| format!("did you mean `{near}`?"),
                );
                let section = self.section();
                let mistake = Mistake::new(
                    Kind::UnknownKey,
                    &self.path(),
                    key.span(),
                    format!("unknown key `{name}` in {section}"),
                )
                .label("no such key")
                .help(Some(help));
                self.mistakes.push(mistake);
            }
        }
        Some(table)
    }

    /// One key of a section. A value that cannot be read is replaced by the default, so that the rest can still be checked.
    pub(crate) fn field<T: Read>(
        &mut self,
        table: Option<(&DeTable<'_>, Range<usize>)>,
        name: &'static str,
        default: Option<&'static str>,
        check: impl FnOnce(&T, &Node<'_>, &mut Self) -> bool,
    ) -> Option<T> {
        let (table, header) = table?;
        let Some((key, node)) = table.get_key_value(name) else {
            if let Some(default) = default {
                return self.default_value(default);
            }
            let absent = T::absent();
            if absent.is_none() {
                let section = self.section();
                let path = self.below_path(name);
                self.mistakes.push(
                    Mistake::new(
                        Kind::Missing,
                        &path,
                        header,
                        format!("{section} lacks the key `{name}`"),
                    )
                    .label(format!("`{name}` is required here"))
                    .help(Some(format!("`{name}` takes {}", shape_words(&T::shape())))),
                );
                return if self.path.is_empty() { T::stand_in() } else { None };
            }
            return absent;
        };
        let place = Place {
            key: key.span(),
            value: node.span(),
        };
        let value = self.below(name.to_owned(), place, |reader| {
            T::read(node, reader).filter(|value| check(value, node, reader))
        });
        match (value, default) {
            (Some(value), _) => Some(value),
            (None, Some(default)) => self.default_value(default),
            (None, None) if self.path.is_empty() => T::absent().or_else(T::stand_in),
            (None, None) => T::absent(),
        }
    }

    /// Reads a default, which is TOML text like any other. A test reads every one of them.
    fn default_value<T: Read>(&mut self, text: &'static str) -> Option<T> {
        let value = read_text(text);
        if value.is_none() {
            let path = self.path();
            let place = self.place(&path);
            self.mistakes.push(Mistake::new(
                Kind::Value,
                &path,
                place.key,
                format!("the built-in default {text} cannot be read; this is a defect of Redan"),
            ));
        }
        value
    }
}

/// A value from TOML text of our own: a default or a bound.
pub(crate) fn read_text<T: Read>(text: &str) -> Option<T> {
    let node = DeValue::parse(text).ok()?;
    let mut reader = Reader::default();
    let value = T::read(&node, &mut reader);
    value.filter(|_| reader.mistakes.is_empty())
}

/// Reports a value outside of `range`.
pub(crate) fn within<T: Read + PartialOrd>(
    range: Option<(&'static str, &'static str)>,
    value: &T,
    node: &Node<'_>,
    reader: &mut Reader,
) -> bool {
    let Some((least, most)) = range else { return true };
    let inside = read_text::<T>(least).is_some_and(|least| *value >= least)
        && read_text::<T>(most).is_some_and(|most| *value <= most);
    if !inside {
        let key = reader.path.last().cloned().unwrap_or_default();
        let (least, most) = (quoted(least), quoted(most));
        let (label, help) = if least == most {
            (
                format!("must be {least}"),
                format!("this version of Redan knows {least} only"),
            )
        } else {
            (
                format!("must be {least} to {most}"),
                format!("give a value from {least} to {most}"),
            )
        };
        let written = match value.tree() {
            Tree::Value(text) => text,
            _ => String::new(),
        };
        let path = reader.path();
        reader.mistakes.push(
            Mistake::new(
                Kind::Range,
                &path,
                node.span(),
                format!("`{key}` of {written} is out of range"),
            )
            .label(label)
            .help(Some(help)),
        );
    }
    inside
}

/// Whether a default and bounds are values of the type, and the default lies within them.
#[cfg(test)]
pub(crate) fn literals_read<T: Read>(
    default: Option<&'static str>,
    range: Option<(&'static str, &'static str)>,
    inside: impl FnOnce(&T, &Node<'_>, &mut Reader) -> bool,
) -> bool {
    let bounds = range.is_none_or(|(least, most)| read_text::<T>(least).is_some() && read_text::<T>(most).is_some());
    let value = default.is_none_or(|default| {
        let node = DeValue::parse(default);
        let value = read_text::<T>(default);
        node.is_ok_and(|node| value.is_some_and(|value| inside(&value, &node, &mut Reader::default())))
    });
    bounds && value
}

/// Whether a key must be in the document.
pub(crate) fn is_required<T: Read>(default: Option<&'static str>) -> bool {
    default.is_none() && T::absent().is_none()
}

/// Our TOML literals use single quotes, which readers of the reference rarely do; one with both kinds stays as it is.
pub(crate) fn quoted(text: &str) -> String {
    if text.contains('"') {
        text.to_owned()
    } else {
        text.replace('\'', "\"")
    }
}

/// A shape in a few words.
pub(crate) fn shape_words(shape: &Shape) -> String {
    match shape {
        Shape::Value(words) => words.clone(),
        Shape::Section { .. } => "a table".to_owned(),
        Shape::List(of) => format!("a list, each {}", shape_words(of)),
        Shape::Map(name, of) => format!("a table of {name} = {}", shape_words(of)),
    }
}

impl<T: Read> Read for Option<T> {
    fn shape() -> Shape {
        T::shape()
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        T::read(node, reader).map(Some)
    }

    fn tree(&self) -> Tree {
        self.as_ref().map_or(Tree::Absent, Read::tree)
    }

    fn absent() -> Option<Self> {
        Some(None)
    }
}

impl<T: Read> Read for Vec<T> {
    fn shape() -> Shape {
        Shape::List(Box::new(T::shape()))
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(array) = node.get_ref().as_array() else {
            reader.wrong_type(node, "a list");
            return None;
        };
        if array.len() > ENTRIES {
            reader.passed_over = true;
            reader.wrong(
                node,
                format!("a list of {} entries", array.len()),
                format!("at most {ENTRIES} are allowed"),
                None,
            );
            return None;
        }
        let mut values = Self::new();
        for entry in array {
            // The index among what could be read: the checks address entries by it.
            let index = values.len().to_string();
            let place = Place {
                key: entry.span(),
                value: entry.span(),
            };
            match reader.below(index.clone(), place, |reader| T::read(entry, reader)) {
                Some(value) => values.push(value),
                None => reader.forget(&index),
            }
        }
        Some(values)
    }

    fn tree(&self) -> Tree {
        Tree::List(self.iter().map(Read::tree).collect())
    }
}

/// A name that can be the key of a table.
pub(crate) trait Named: Ord + Sized + std::fmt::Display {
    /// What stands for it in the reference, for instance `ZONE`.
    const PLACEHOLDER: &'static str;
    /// Parses it; the error is for the operator.
    fn named(text: &str) -> Result<Self, String>;
}

impl<N: Named, T: Read> Read for BTreeMap<N, T> {
    fn shape() -> Shape {
        Shape::Map(N::PLACEHOLDER, Box::new(T::shape()))
    }

    fn read(node: &Node<'_>, reader: &mut Reader) -> Option<Self> {
        let Some(table) = node.get_ref().as_table() else {
            reader.wrong_type(node, "a table");
            return None;
        };
        if table.len() > ENTRIES {
            reader.passed_over = true;
            reader.wrong(
                node,
                format!("a table of {} entries", table.len()),
                format!("at most {ENTRIES} are allowed"),
                None,
            );
            return None;
        }
        let mut values = Self::new();
        for (key, entry) in table {
            let name: &str = key.get_ref();
            match N::named(name) {
                Err(error) => {
                    let path = reader.path();
                    reader.mistakes.push(
                        Mistake::new(
                            Kind::Value,
                            &path,
                            key.span(),
                            format!("`{name}` is not a name: {error}"),
                        )
                        .label("not a name"),
                    );
                }
                Ok(named) => {
                    let place = Place {
                        key: key.span(),
                        value: entry.span(),
                    };
                    let value = reader.below(named.to_string(), place, |reader| T::read(entry, reader));
                    values.extend(value.map(|value| (named, value)));
                }
            }
        }
        Some(values)
    }

    fn stand_in() -> Option<Self> {
        Some(Self::new())
    }

    fn tree(&self) -> Tree {
        Tree::Map(
            self.iter()
                .map(|(name, value)| (name.to_string(), value.tree()))
                .collect(),
        )
    }
}
