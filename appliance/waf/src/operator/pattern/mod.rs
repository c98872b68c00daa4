//! Patterns of `@rx`: PCRE's syntax, byte by byte, with the meaning that ModSecurity gives it (a dot matches a newline, `$` only the
//! very end, `^` only the very start).
//!
//! [`parse`] reads the syntax into a tree of byte sets. What is regular runs on the linear-time engine ([`regular`]); what is not
//! (look-around, back-references, possessive quantifiers) runs on [`backtrack`] with a step limit, and only where a regular pattern
//! that matches at least as much has matched first.

mod backtrack;
mod error;
mod group;
mod parse;
mod regular;
mod set;

use regex_automata::meta;
use regex_automata::util::captures::Captures as Slots;
use regex_automata::{Anchored, Input};

pub use error::{PatternError, Reason};
pub(crate) use set::WORD;

use self::backtrack::{Outcome, Program};
use crate::bytes::ByteSet;
use crate::operator::need::Need;

/// A node of a pattern's tree. Case-insensitivity and negation are already in the sets.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Node {
    /// Matches the empty string.
    Empty,
    /// One byte of a set.
    Set(ByteSet),
    /// A place.
    Look(Look),
    /// One after the other.
    Concat(Vec<Self>),
    /// The first that leads to a match.
    Alternation(Vec<Self>),
    /// A capturing group.
    Capture(u32, Box<Self>),
    /// A quantifier.
    Repeat {
        /// What is repeated.
        node: Box<Self>,
        /// How often at least.
        min: u32,
        /// How often at most.
        max: Option<u32>,
        /// What is tried first.
        mode: Mode,
    },
    /// A group that is not entered again once it has matched.
    Atomic(Box<Self>),
    /// Look-ahead and look-behind.
    Around {
        /// Whether it looks ahead.
        ahead: bool,
        /// Whether it must not match.
        negative: bool,
        /// What is looked for.
        node: Box<Self>,
    },
    /// What a group matched, again.
    Reference {
        /// The group.
        group: u32,
        /// Whether ASCII case counts.
        fold: bool,
    },
}

/// What a quantifier tries first.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    /// As many as possible.
    Greedy,
    /// As few as possible.
    Lazy,
    /// As many as possible, and no fewer later.
    Possessive,
}

/// A condition on a place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Look {
    /// The start of the value.
    Start,
    /// Its end.
    End,
    /// Its end, or before a newline there.
    EndOrNewline,
    /// The start of a line.
    LineStart,
    /// The end of a line.
    LineEnd,
    /// Between a word's byte and another.
    Word,
    /// Not there.
    NotWord,
}

/// A compiled pattern.
#[derive(Debug)]
pub(crate) struct Pattern {
    /// The pattern, or, beside a program, one that matches wherever the program does.
    regular: meta::Regex,
    exact: Option<Program>,
    need: Need,
    groups: usize,
}

/// One match: the places of the groups, the whole match first.
pub(crate) type Groups = Vec<Option<(usize, usize)>>;

/// What a search found.
pub(crate) enum Found {
    /// Nothing.
    Nothing,
    /// A match, whose groups were asked for.
    Groups(Groups),
    /// A match, whose groups were not asked for.
    Somewhere,
    /// The step limit came first.
    Exhausted,
}

impl Pattern {
    /// Compiles PCRE syntax.
    pub(crate) fn compile(source: &[u8]) -> Result<Self, PatternError> {
        let parsed = parse::parse(source)?;
        let hir = regular::translate(&parsed.root);
        let need = Need::of_pattern(&hir);
        let regular = regular::compile(&hir)?;
        let exact = if parsed.regular {
            None
        } else {
            Some(Program::compile(&parsed.root, parsed.groups)?)
        };
        Ok(Self {
            regular,
            exact,
            need,
            groups: parsed.groups as usize + 1,
        })
    }

    /// What a value must have to match at all.
    pub(crate) const fn need(&self) -> &Need {
        &self.need
    }

    /// Whether the pattern runs on the linear-time engine alone.
    pub(crate) const fn is_regular(&self) -> bool {
        self.exact.is_none()
    }

    /// About how many bytes the compiled pattern takes, without what searches keep for each thread.
    pub(crate) fn memory(&self) -> usize {
        size_of::<Self>() + self.regular.memory_usage() + self.exact.as_ref().map_or(0, Program::memory)
    }

    /// The first match at or after `start`.
    pub(crate) fn find(&self, value: &[u8], start: usize, wanted: bool, steps: &mut u64) -> Found {
        let input = Input::new(value).range(start..);
        if let Some(program) = &self.exact {
            // No match of the program begins before the first of the looser pattern.
            let Some(first) = self.regular.find(input) else {
                return Found::Nothing;
            };
            return match program.find(value, first.start(), steps) {
                Outcome::Nothing => Found::Nothing,
                Outcome::Match(groups) => Found::Groups(groups),
                Outcome::Exhausted => Found::Exhausted,
            };
        }
        if !wanted {
            return if self.regular.is_match(input) {
                Found::Somewhere
            } else {
                Found::Nothing
            };
        }
        // The whole match first, because most values have none; the groups within it then.
        let Some(whole) = self.regular.find(input) else {
            return Found::Nothing;
        };
        if self.groups == 1 {
            return Found::Groups(vec![Some((whole.start(), whole.end()))]);
        }
        let mut slots: Slots = self.regular.create_captures();
        self.regular.captures(
            Input::new(value).range(whole.start()..).anchored(Anchored::Yes),
            &mut slots,
        );
        let places = (0..self.groups).map(|group| slots.get_group(group).map(|span| (span.start, span.end)));
        Found::Groups(places.collect())
    }
}

#[cfg(test)]
mod tests;
