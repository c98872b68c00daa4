//! Mistakes in a document, printed as rustc prints its own.

use std::fmt::{self, Write as _};
use std::ops::Range;

/// How many mistakes are kept of each severity; a document with more has one cause.
pub(crate) const KEPT: usize = 200;
/// How many characters of a source line are printed.
const LINE: usize = 160;

/// What sort of mistake.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[non_exhaustive]
pub enum Kind {
    /// Two things claim the same address, port, name or host.
    Conflict,
    /// A name that stands for nothing.
    Dangling,
    /// The operator could not reach the console, or nobody could administer it.
    LockedOut,
    /// A required key is absent.
    Missing,
    /// A number, size or time out of its bounds.
    Range,
    /// The text is not TOML.
    Syntax,
    /// A value of the wrong type.
    Type,
    /// A key that does not exist.
    UnknownKey,
    /// A thing that could never take effect.
    Unreachable,
    /// A value that cannot be read, or contradicts another.
    Value,
}

/// One mistake (or warning) with its place.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// What sort.
    pub kind: Kind,
    /// The dotted path of the key, for instance `services.shop.listen.0`; empty at the top of the document.
    pub path: String,
    /// Bytes in the text.
    pub span: Range<usize>,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// Length of the part under the carets, in characters, at least 1.
    pub length: usize,
    /// What is wrong.
    pub message: String,
    /// What stands under the carets.
    pub label: String,
    /// What would be right.
    pub help: Option<String>,
    /// Another place that the mistake concerns, with what it is.
    pub related: Option<(Range<usize>, String)>,
}

impl Mistake {
    pub(crate) fn new(kind: Kind, path: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        Self {
            kind,
            path: path.replace(crate::read::SEPARATOR, "."),
            span,
            line: 1,
            column: 1,
            length: 1,
            message: message.into(),
            label: String::new(),
            help: None,
            related: None,
        }
    }

    pub(crate) fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    pub(crate) fn help(mut self, help: Option<String>) -> Self {
        self.help = help;
        self
    }

    pub(crate) fn related(mut self, place: Range<usize>, what: impl Into<String>) -> Self {
        self.related = Some((place, what.into()));
        self
    }
}

/// Everything wrong with a document, in the order of the text. `Display` prints all of it as rustc would.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistakes {
    file: String,
    text: String,
    /// What makes the document unusable.
    pub errors: Vec<Mistake>,
    /// What is odd and yet allowed.
    pub warnings: Vec<Mistake>,
}

impl Mistakes {
    pub(crate) fn new(file: &str, text: &str, errors: Vec<Mistake>, warnings: Vec<Mistake>) -> Self {
        let place = |mut mistakes: Vec<Mistake>| {
            mistakes.sort_by(|a, b| (a.span.start, a.kind, &a.message).cmp(&(b.span.start, b.kind, &b.message)));
            mistakes.dedup();
            mistakes.truncate(KEPT);
            for mistake in &mut mistakes {
                (mistake.line, mistake.column) = position(text, mistake.span.start);
                mistake.length = first_line(text, &mistake.span).chars().count().max(1);
            }
            mistakes
        };
        Self {
            file: file.to_owned(),
            text: text.to_owned(),
            errors: place(errors),
            warnings: place(warnings),
        }
    }

    /// One mistake in full.
    #[must_use]
    pub fn render(&self, mistake: &Mistake, severity: &str) -> String {
        let mut out = format!("{severity}: {}\n", clean(&mistake.message));
        self.excerpt(&mut out, &mistake.span, &mistake.label);
        let gutter = " ".repeat(mistake.line.to_string().len());
        if let Some(help) = &mistake.help {
            out.push_str(&format!("{gutter} = help: {}\n", clean(help)));
        }
        if let Some((place, what)) = &mistake.related {
            out.push_str(&format!("note: {}\n", clean(what)));
            self.excerpt(&mut out, place, "");
        }
        out
    }

    fn excerpt(&self, out: &mut String, span: &Range<usize>, label: &str) {
        let (line, column) = position(&self.text, span.start);
        let source = self.text.split('\n').nth(line - 1).unwrap_or_default();
        let gutter = " ".repeat(line.to_string().len());
        // Of a very long line only the part around the mistake is shown.
        let skipped = if column > LINE * 3 / 4 { column - LINE / 2 } else { 0 };
        let shown: String = source.chars().skip(skipped).take(LINE).map(visible).collect();
        let lead = if skipped > 0 { "…" } else { "" };
        let before = column - 1 - skipped + lead.chars().count();
        let in_line = first_line(&self.text, span);
        let carets = in_line
            .trim_end()
            .chars()
            .count()
            .clamp(1, LINE.saturating_sub(before).max(1));
        let label = if label.is_empty() {
            String::new()
        } else {
            format!(" {}", clean(label))
        };
        out.push_str(&format!(
            "{gutter}--> {}:{line}:{column}\n{gutter} |\n{line} | {lead}{}\n{gutter} | {}{}{label}\n",
            clean(&self.file),
            shown.trim_end(),
            " ".repeat(before),
            "^".repeat(carets),
        ));
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for warning in &self.warnings {
            writeln!(f, "{}", self.render(warning, "warning"))?;
        }
        for error in &self.errors {
            writeln!(f, "{}", self.render(error, "error"))?;
        }
        let mut summary = String::new();
        match self.errors.len() {
            0 => {}
            1 => summary.push_str("1 mistake"),
            KEPT => write!(summary, "{KEPT} mistakes or more")?,
            count => write!(summary, "{count} mistakes")?,
        }
        match self.warnings.len() {
            0 => {}
            count => {
                let between = if summary.is_empty() { "" } else { " and " };
                let plural = if count == 1 { "" } else { "s" };
                write!(summary, "{between}{count} warning{plural}")?;
            }
        }
        if summary.is_empty() {
            Ok(())
        } else {
            writeln!(f, "{}: {summary}", clean(&self.file))
        }
    }
}

impl std::error::Error for Mistakes {}

/// The part of `span` that stands on its first line, without blanks at its end.
fn first_line<'t>(text: &'t str, span: &Range<usize>) -> &'t str {
    text.get(span.clone())
        .and_then(|text| text.split('\n').next())
        .unwrap_or_default()
        .trim_end()
}

/// Line and column, both from 1, of a byte offset; an offset within a character counts as its start.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let mut offset = offset.min(text.len());
    while !text.is_char_boundary(offset) {
        offset -= 1;
    }
    let before = text.get(..offset).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |at| at + 1);
    (line, before.get(start..).unwrap_or_default().chars().count() + 1)
}

/// Control characters never reach the operator's terminal as they are; a tab takes one column, so that carets stay in place.
fn visible(character: char) -> char {
    match character {
        '\t' => ' ',
        character if character.is_control() => '\u{fffd}',
        // Direction overrides could show a line otherwise than it is read.
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
        character => character,
    }
}

fn clean(text: &str) -> String {
    text.chars().map(|c| if c == '\n' { ' ' } else { visible(c) }).collect()
}
