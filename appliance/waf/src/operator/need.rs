//! What a value must have for an operator to match it, told from its bytes and its length alone: the prefilter.

use regex_syntax::hir::{Class, Hir, HirKind, Look};

use crate::bytes::ByteSet;

/// How many clauses a need keeps.
const CLAUSES: usize = 4;

/// How many are looked at while a pattern is analysed.
const CANDIDATES: usize = 12;

/// A condition that every matching value meets. The default is met by every value.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Need {
    /// A matching value has a byte of each of these sets.
    clauses: [ByteSet; CLAUSES],
    /// A matching value consists of bytes of this set only.
    only: ByteSet,
    /// A matching value is at least as long.
    minimum: usize,
    /// A matching value is at most as long.
    maximum: usize,
}

impl Default for Need {
    fn default() -> Self {
        Self {
            clauses: [ByteSet::ALL; CLAUSES],
            only: ByteSet::ALL,
            minimum: 0,
            maximum: usize::MAX,
        }
    }
}

impl Need {
    /// Nothing matches.
    pub(crate) fn impossible() -> Self {
        Self {
            minimum: 1,
            maximum: 0,
            ..Self::default()
        }
    }

    /// Whether a value with these bytes, of this length, may match.
    pub(crate) const fn is_met(&self, present: ByteSet, length: usize) -> bool {
        if length < self.minimum || length > self.maximum {
            return false;
        }
        if length == 0 {
            return true;
        }
        let [first, second, third, fourth] = &self.clauses;
        present.intersects(*first)
            && present.intersects(*second)
            && present.intersects(*third)
            && present.intersects(*fourth)
            && present.within(self.only)
    }

    /// Whether any of several values may match, of which the bytes together and the shortest and longest length are known.
    pub(crate) const fn may_be_met(&self, union: ByteSet, shortest: usize, longest: usize) -> bool {
        if longest < self.minimum || shortest > self.maximum {
            return false;
        }
        if self.minimum == 0 && shortest == 0 {
            return true;
        }
        let [first, second, third, fourth] = &self.clauses;
        union.intersects(*first) && union.intersects(*second) && union.intersects(*third) && union.intersects(*fourth)
    }

    /// The need of a regular pattern, searched anywhere in a value.
    pub(crate) fn of_pattern(hir: &Hir) -> Self {
        let properties = hir.properties();
        let Some(minimum) = properties.minimum_len() else {
            return Self::impossible();
        };
        let mut need = Self::of_clauses(clauses(hir), minimum);
        if properties.look_set_prefix().contains(Look::Start) && properties.look_set_suffix().contains(Look::End) {
            // Every match is the whole value.
            need.maximum = properties.maximum_len().unwrap_or(usize::MAX);
            need.only = alphabet(hir);
        }
        need
    }

    /// The need of a value that has all bytes of at least one of these texts, case or not.
    pub(crate) fn of_texts<'a>(texts: impl IntoIterator<Item = &'a [u8]>, fold: bool) -> Self {
        let branch = |text: &[u8]| {
            let single = |byte: &u8| ByteSet::EMPTY.with(*byte);
            let sets = text.iter().map(single);
            best(sets.map(|set| if fold { set.fold_case() } else { set }).collect())
        };
        let mut minimum = usize::MAX;
        let mut all: Option<Vec<ByteSet>> = None;
        for text in texts {
            minimum = minimum.min(text.len());
            all = Some(match all {
                None => branch(text),
                Some(others) => either(&others, &branch(text)),
            });
        }
        all.map_or_else(Self::impossible, |clauses| Self::of_clauses(clauses, minimum))
    }

    /// The need of a value that has a byte of each of these sets, and is at least so long.
    pub(crate) fn of_clauses(found: Vec<ByteSet>, minimum: usize) -> Self {
        let mut need = Self {
            minimum,
            ..Self::default()
        };
        for (clause, set) in need.clauses.iter_mut().zip(best(found)) {
            *clause = set;
        }
        need
    }

    /// The same for values that are part of a text: no longer, and of its bytes only.
    pub(crate) fn part_of(mut self, text: &[u8]) -> Self {
        self.maximum = text.len();
        self.only = ByteSet::of(text);
        self
    }
}

/// How likely an ordinary value has the byte, roughly, in percent.
const CHANCES: [u32; 256] = {
    let mut chances = [1; 256];
    let groups: [(&[u8], u32); 6] = [
        (b"!\"#$%'()*+<>?@[\\]^`{|}~", 4),
        (b"ABCDEFGHIJKLMNOPQRSTUVWXYZ_=&:,;", 10),
        (b"0123456789 /.-", 25),
        (b"bcdfghjklmpquvwxyz", 30),
        (b"aeinorst", 60),
        (b"\n\r\t", 3),
    ];
    let mut group = 0;
    while group < groups.len() {
        let (bytes, chance) = groups[group];
        let mut index = 0;
        while index < bytes.len() {
            chances[bytes[index] as usize] = chance;
            index += 1;
        }
        group += 1;
    }
    chances
};

/// How likely an ordinary value has a byte of the set: the sum of the bytes' chances.
fn chance(set: ByteSet) -> u32 {
    set.iter().map(|byte| CHANCES[usize::from(byte)]).sum()
}

/// The clauses least likely to be met, the best one first, each once.
fn best(mut clauses: Vec<ByteSet>) -> Vec<ByteSet> {
    clauses.retain(|set| set.len() < 200);
    clauses.sort_by_cached_key(|set| chance(*set));
    let mut kept: Vec<ByteSet> = Vec::with_capacity(CANDIDATES);
    for set in clauses {
        if kept.len() == CANDIDATES {
            break;
        }
        // A set that holds a better one adds nothing.
        if !kept.iter().any(|other| other.within(set)) {
            kept.push(set);
        }
    }
    kept
}

/// The clauses of a choice between two: a byte of a clause of the one, or of a clause of the other.
fn either(one: &[ByteSet], other: &[ByteSet]) -> Vec<ByteSet> {
    if one.is_empty() || other.is_empty() {
        return Vec::new();
    }
    let unions = one
        .iter()
        .flat_map(|first| other.iter().map(|second| first.union(*second)));
    best(unions.collect())
}

fn clauses(hir: &Hir) -> Vec<ByteSet> {
    match hir.kind() {
        // Patterns are built of bytes only.
        HirKind::Empty | HirKind::Look(_) | HirKind::Class(Class::Unicode(_)) => Vec::new(),
        HirKind::Literal(literal) => best(literal.0.iter().map(|byte| ByteSet::EMPTY.with(*byte)).collect()),
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class
                .ranges()
                .iter()
                .map(|range| ByteSet::range(range.start(), range.end()));
            best(vec![ranges.fold(ByteSet::EMPTY, ByteSet::union)])
        }
        HirKind::Repetition(repetition) if repetition.min == 0 => Vec::new(),
        HirKind::Repetition(repetition) => clauses(&repetition.sub),
        HirKind::Capture(capture) => clauses(&capture.sub),
        HirKind::Concat(nodes) => best(nodes.iter().flat_map(clauses).collect()),
        HirKind::Alternation(nodes) => {
            let mut branches = nodes.iter().map(clauses);
            let first = branches.next().unwrap_or_default();
            branches.fold(first, |all, branch| either(&all, &branch))
        }
    }
}

/// The bytes that any match consists of.
fn alphabet(hir: &Hir) -> ByteSet {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => ByteSet::EMPTY,
        HirKind::Literal(literal) => ByteSet::of(&literal.0),
        HirKind::Class(Class::Bytes(class)) => {
            let ranges = class
                .ranges()
                .iter()
                .map(|range| ByteSet::range(range.start(), range.end()));
            ranges.fold(ByteSet::EMPTY, ByteSet::union)
        }
        HirKind::Class(Class::Unicode(_)) => ByteSet::ALL,
        HirKind::Repetition(repetition) => alphabet(&repetition.sub),
        HirKind::Capture(capture) => alphabet(&capture.sub),
        HirKind::Concat(nodes) | HirKind::Alternation(nodes) => {
            nodes.iter().map(alphabet).fold(ByteSet::EMPTY, ByteSet::union)
        }
    }
}
