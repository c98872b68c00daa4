//! What concerns several keys at once: references, conflicts, things that could never take effect, a console that nobody could reach.

mod console;
mod identity;
mod network;
mod policy;
mod secrets;
mod service;
mod waf;

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use redan_types::RoleName;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::document::Appliance;
use crate::mistake::{Kind, Mistake, Mistakes};
use crate::read::{Read, Reader, SEPARATOR};
use crate::section::at;
use crate::suggest;

/// Reads and checks a document.
pub(crate) fn document(text: &str, file: &str) -> Result<(Appliance, Mistakes), Mistakes> {
    if text.len() > crate::LARGEST {
        let message = format!(
            "the document has {} bytes, at most {} are allowed",
            text.len(),
            crate::LARGEST
        );
        let mistake = Mistake::new(Kind::Range, "", 0..0, message);
        return Err(Mistakes::new(file, "", vec![mistake], Vec::new()));
    }
    let (table, syntax) = DeTable::parse_recoverable(text);
    if syntax.is_empty() && table.get_ref().is_empty() {
        let mistake = Mistake::new(Kind::Missing, "", 0..0, "the document is empty")
            .label("nothing here")
            .help(Some(
                "begin with `schema = 1`, zones and interfaces; the README and config/examples/redan.toml show whole documents".to_owned(),
            ));
        return Err(Mistakes::new(file, text, vec![mistake], Vec::new()));
    }
    let mut reader = Reader::default();
    let root = Spanned::new(0..0, DeValue::Table(table.into_inner()));
    let appliance = Appliance::read(&root, &mut reader);

    if !syntax.is_empty() {
        return Err(Mistakes::new(
            file,
            text,
            with_syntax_errors(text, &syntax, reader.mistakes),
            Vec::new(),
        ));
    }
    let Some(appliance) = appliance.filter(|_| !reader.passed_over) else {
        return Err(Mistakes::new(file, text, reader.mistakes, Vec::new()));
    };
    let mut check = Check::new(&appliance, &reader);
    check.interfaces();
    check.policies();
    check.services();
    check.identity();
    check.secrets();
    check.console();
    let Check {
        mut errors,
        mut warnings,
        ..
    } = check;
    errors.append(&mut reader.mistakes);
    let empty = errors.is_empty();
    if !empty {
        // What seems unused is often what a misspelt name was meant for.
        warnings.retain(|warning| warning.kind != Kind::Unreachable);
    }
    let mistakes = Mistakes::new(file, text, errors, warnings);
    if empty {
        Ok((appliance, mistakes))
    } else {
        Err(mistakes)
    }
}

/// The syntax errors, the first of each line, since the parser finds more where it has lost its way; and of the other mistakes those that they cannot have caused: on other lines, and nothing about what is missing.
fn with_syntax_errors(text: &str, syntax: &[toml::de::Error], others: Vec<Mistake>) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = syntax
        .iter()
        .map(|error| {
            let message = error.message().lines().collect::<Vec<_>>().join(": ");
            Mistake::new(Kind::Syntax, "", error.span().unwrap_or(0..0), message).label("not TOML")
        })
        .collect();
    let line = |at: usize| text.get(..at).map_or(0, |before| before.matches('\n').count());
    mistakes.sort_by_key(|mistake| mistake.span.start);
    // Bounded, since counting lines costs the length of the text.
    mistakes.truncate(crate::mistake::KEPT);
    mistakes.dedup_by_key(|mistake| line(mistake.span.start));
    let broken: Vec<usize> = mistakes.iter().map(|mistake| line(mistake.span.start)).collect();
    let independent = |mistake: &Mistake| {
        matches!(mistake.kind, Kind::Range | Kind::Type | Kind::UnknownKey | Kind::Value)
            && !broken.contains(&line(mistake.span.start))
    };
    mistakes.extend(others.into_iter().take(100).filter(independent));
    mistakes
}

/// A document under check, and what was found.
struct Check<'a> {
    appliance: &'a Appliance,
    reader: &'a Reader,
    /// The paths at or below which something could not be read.
    broken: BTreeSet<String>,
    /// Every role with those that it includes, once somebody has asked.
    roles: Option<Rc<BTreeMap<RoleName, BTreeSet<RoleName>>>>,
    errors: Vec<Mistake>,
    warnings: Vec<Mistake>,
}

impl<'a> Check<'a> {
    fn new(appliance: &'a Appliance, reader: &'a Reader) -> Self {
        let mut broken = BTreeSet::new();
        for mistake in &reader.mistakes {
            let mut path = mistake.path.as_str();
            while broken.insert(path.to_owned()) {
                path = path.rsplit_once('.').map_or("", |(parent, _)| parent);
            }
        }
        Self {
            appliance,
            reader,
            broken,
            roles: None,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }
}

impl Check<'_> {
    /// A mistake in the value at `path`.
    fn value(&self, kind: Kind, path: &str, message: impl Into<String>) -> Mistake {
        Mistake::new(kind, path, self.reader.place(path).value, message)
    }

    /// A mistake in the thing called by the key at `path`.
    fn key(&self, kind: Kind, path: &str, message: impl Into<String>) -> Mistake {
        Mistake::new(kind, path, self.reader.place(path).key, message)
    }

    /// Whether everything at and below `path` could be read, so that a conclusion about it is not drawn from half of it.
    fn sound(&self, path: &str) -> bool {
        !self.broken.contains(&path.replace(SEPARATOR, "."))
    }

    /// Reports `name` at `path` unless `section` holds it.
    fn resolves(&mut self, path: &str, what: &str, section: &str, name: &str) -> bool {
        if self.reader.holds(&at![section, name]) {
            return true;
        }
        let names = self.reader.names(section);
        let mistake = self.dangling(path, what, name, &names);
        self.errors.push(mistake);
        false
    }

    /// A name that stands for nothing.
    fn dangling(&self, path: &str, what: &str, name: &str, known: &[&str]) -> Mistake {
        // Beyond what is printed, no more time is spent on suggestions.
        if self.errors.len() > crate::mistake::KEPT {
            return self.value(Kind::Dangling, path, format!("there is no {what} `{name}`"));
        }
        let help = match (suggest::closest(name, known.iter().copied()), known.is_empty()) {
            (Some(near), _) => format!("did you mean `{near}`?"),
            (None, true) => format!("the document defines no {what}"),
            (None, false) => format!("there are {}", suggest::listed(known.iter().copied())),
        };
        self.value(Kind::Dangling, path, format!("there is no {what} `{name}`"))
            .label(format!("no such {what}"))
            .help(Some(help))
    }

    /// Reports entries of a list that stand in it twice.
    fn duplicates<T: PartialEq + std::fmt::Display>(&mut self, path: &str, what: &str, entries: &[T]) {
        for (index, entry) in entries.iter().enumerate() {
            let before = entries.iter().take(index).position(|other| other == entry);
            if let Some(before) = before {
                let first = self.reader.place(&at![path, before]).value;
                let mistake = self
                    .value(
                        Kind::Conflict,
                        &at![path, index],
                        format!("{what} `{entry}` stands here twice"),
                    )
                    .label("the second time")
                    .help(Some("remove one of them".to_owned()))
                    .related(first, "the first time");
                self.errors.push(mistake);
            }
        }
    }

    /// Reports an empty list.
    fn filled<T>(&mut self, path: &str, entries: &[T], message: String, help: &str) {
        if entries.is_empty() && self.sound(path) {
            let mistake = self
                .value(Kind::Value, path, message)
                .label("nothing here")
                .help(Some(help.to_owned()));
            self.errors.push(mistake);
        }
    }
}
