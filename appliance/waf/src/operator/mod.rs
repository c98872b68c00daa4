//! Operators: what a rule asks of a value (`@rx`, `@pm`, …).
//!
//! [`Operator::compile`] takes an operator's name and argument; data files come in as bytes through [`Files`]. [`Operator::may_match`]
//! tells from a value's bytes and length that it cannot match, which spares most evaluations. Arguments with macros are expanded by
//! the engine at run time and go through [`evaluate_dynamic`]. Pure: operators that would have to ask the network or run a program
//! are refused when they compile, or, where rule sets carry them unused, find nothing ([`Operator::lookup`]).

mod address;
mod captures;
mod identity;
mod kind;
mod need;
mod number;
mod pattern;
mod phrases;
mod text;
mod validation;

use memchr::memmem;

pub use captures::{CAPTURES, Captures, DEFAULT_STEP_LIMIT};
pub use kind::OperatorKind;
pub use pattern::{PatternError, Reason};

use self::address::Addresses;
use self::identity::Identity;
use self::need::Need;
use self::pattern::{Found, Pattern, WORD};
use self::phrases::Phrases;
pub(crate) use self::text::words;
use crate::bytes::ByteSet;
use crate::injection;

/// The data files that arguments name (`@pmFromFile`, `@ipMatchFromFile`).
pub trait Files {
    /// The content of a file, by the name that the rule gives.
    fn read(&self, name: &str) -> Option<&[u8]>;
}

/// Why an operator is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum OperatorError {
    /// No operator has this name.
    #[error("there is no operator @{0}")]
    Unknown(String),
    /// An operator that exists, and that this engine does not have.
    #[error("@{operator} is not supported: {reason}")]
    Unsupported {
        /// Its name.
        operator: &'static str,
        /// Why not.
        reason: &'static str,
    },
    /// A pattern that does not compile.
    #[error("@{operator}: {source}")]
    Pattern {
        /// The operator.
        operator: &'static str,
        /// What is wrong with the pattern.
        #[source]
        source: PatternError,
    },
    /// A data file that is not there.
    #[error("@{operator}: the file {name:?} is missing")]
    File {
        /// The operator.
        operator: &'static str,
        /// The file.
        name: String,
    },
    /// A list of addresses with a word that is none.
    #[error("@{operator}: {word:?} is not an address or a network")]
    Address {
        /// The operator.
        operator: &'static str,
        /// The word.
        word: String,
    },
    /// A list of bytes with a word that is none.
    #[error("@validateByteRange: {0:?} is not a byte or a range of bytes, 0 to 255")]
    ByteRange(String),
    /// A list of phrases with nothing in it, or too large to compile.
    #[error("@{operator}: {reason}")]
    Phrases {
        /// The operator.
        operator: &'static str,
        /// What is wrong.
        reason: &'static str,
    },
}

/// A lookup that needs a source outside of this crate.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Lookup {
    /// `@geoLookup`: a database of places.
    Geo,
    /// `@rbl`: a block list in the DNS, by its domain.
    BlockList(String),
}

/// Which engine runs a pattern.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum PatternKind {
    /// The linear-time engine alone.
    Regular,
    /// Where a looser regular pattern matches, the backtracking engine, within its step limit.
    Backtracking,
}

/// A compiled operator.
#[derive(Debug)]
pub struct Operator {
    kind: OperatorKind,
    need: Need,
    matcher: Matcher,
}

#[derive(Debug)]
enum Matcher {
    Addresses(Addresses),
    Bytes(ByteSet),
    Contains(Box<memmem::Finder<'static>>),
    Identity(Box<Identity>),
    Lookup(Lookup),
    Number(i64),
    Pattern(Box<Pattern>),
    Phrases(Box<Phrases>),
    /// The kind says it all.
    Plain,
    Text(Box<[u8]>),
}

impl Operator {
    /// Compiles the operator of this name (without the `@`, whatever the case of its letters) with an argument without macros.
    ///
    /// # Errors
    /// If the operator or its argument is not usable; the rule set is refused then.
    pub fn compile(name: &str, argument: &[u8], files: &dyn Files) -> Result<Self, OperatorError> {
        let kind = OperatorKind::parse(name).ok_or_else(|| OperatorError::Unknown(name.to_owned()))?;
        Self::compile_kind(kind, argument, files)
    }

    /// The same for an operator whose name has been read.
    ///
    /// # Errors
    /// As [`Self::compile`].
    pub fn compile_kind(kind: OperatorKind, argument: &[u8], files: &dyn Files) -> Result<Self, OperatorError> {
        use OperatorKind as K;
        if let Some(reason) = kind.unsupported() {
            return Err(OperatorError::Unsupported {
                operator: kind.name(),
                reason,
            });
        }
        let file = |name: &str| {
            let missing = || OperatorError::File {
                operator: kind.name(),
                name: name.to_owned(),
            };
            files.read(name).ok_or_else(missing)
        };
        let mut need = Need::default();
        let matcher = match kind {
            K::BeginsWith | K::EndsWith | K::ContainsWord => {
                need = Need::of_texts([argument], false);
                Matcher::Text(argument.into())
            }
            K::Contains | K::StrMatch => {
                need = Need::of_texts([argument], false);
                Matcher::Contains(Box::new(memmem::Finder::new(argument).into_owned()))
            }
            K::StrEq => {
                need = Need::of_texts([argument], false).part_of(argument);
                Matcher::Text(argument.into())
            }
            K::Within => {
                need = need.part_of(argument);
                Matcher::Text(argument.into())
            }
            K::Eq | K::Ge | K::Gt | K::Le | K::Lt => Matcher::Number(number::parse(argument)),
            K::IpMatch => Matcher::Addresses(Addresses::parse(argument, kind.name())?),
            K::IpMatchFromFile => {
                let mut all = Addresses::default();
                for name in words(argument) {
                    all.add_file(file(&name)?, kind.name())?;
                }
                Matcher::Addresses(all.sorted())
            }
            K::Pm => {
                let phrases = Phrases::parse(argument, kind.name())?;
                need = phrases.need();
                Matcher::Phrases(Box::new(phrases))
            }
            K::PmFromFile => {
                let names = words(argument);
                let contents = names.iter().map(|name| file(name)).collect::<Result<Vec<_>, _>>()?;
                let phrases = Phrases::parse_files(&contents, kind.name())?;
                need = phrases.need();
                Matcher::Phrases(Box::new(phrases))
            }
            K::Rx | K::RxGlobal => {
                let pattern = compile_pattern(argument, kind)?;
                need = *pattern.need();
                Matcher::Pattern(Box::new(pattern))
            }
            K::VerifyCc | K::VerifyCpf | K::VerifySsn | K::VerifySvnr => {
                let pattern = compile_pattern(argument, kind)?;
                need = *pattern.need();
                Matcher::Identity(Box::new(Identity { pattern, kind }))
            }
            K::ValidateByteRange => Matcher::Bytes(validation::byte_range(argument)?),
            K::ValidateUrlEncoding => {
                need = Need::of_texts([&b"%"[..]], false);
                Matcher::Plain
            }
            K::DetectSqli => {
                // Words and digits alone are no injection.
                need = Need::of_clauses(vec![WORD.complement()], 1);
                Matcher::Plain
            }
            K::DetectXss => {
                // Neither is what has no tag and no attribute with a value.
                need = Need::of_clauses(vec![ByteSet::from_list(b"<=")], 1);
                Matcher::Plain
            }
            K::GeoLookup => Matcher::Lookup(Lookup::Geo),
            K::Rbl => Matcher::Lookup(Lookup::BlockList(String::from_utf8_lossy(argument).into_owned())),
            K::NoMatch => {
                need = Need::impossible();
                Matcher::Plain
            }
            _ => Matcher::Plain,
        };
        Ok(Self { kind, need, matcher })
    }

    /// Which operator it is.
    #[must_use]
    pub const fn kind(&self) -> OperatorKind {
        self.kind
    }

    /// The source that a lookup would have to ask. Without one it finds nothing, which the engine reports when it compiles.
    #[must_use]
    pub const fn lookup(&self) -> Option<&Lookup> {
        match &self.matcher {
            Matcher::Lookup(lookup) => Some(lookup),
            _ => None,
        }
    }

    /// Whether a value of this length, consisting of these bytes, may match: `false` means it cannot.
    #[inline]
    #[must_use]
    pub fn may_match(&self, present: ByteSet, length: usize) -> bool {
        match &self.matcher {
            Matcher::Bytes(allowed) => !present.within(*allowed),
            _ => self.need.is_met(present, length),
        }
    }

    /// The same for several values at once, of which the bytes together and the shortest and longest length are known.
    #[inline]
    #[must_use]
    pub fn any_may_match(&self, union: ByteSet, shortest: usize, longest: usize) -> bool {
        match &self.matcher {
            Matcher::Bytes(allowed) => !union.within(*allowed),
            _ => self.need.may_be_met(union, shortest, longest),
        }
    }

    /// The pattern, if the operator has one: whether it needs the backtracking engine.
    #[must_use]
    pub fn pattern(&self) -> Option<PatternKind> {
        let pattern = match &self.matcher {
            Matcher::Pattern(pattern) => pattern,
            Matcher::Identity(identity) => &identity.pattern,
            _ => return None,
        };
        Some(if pattern.is_regular() {
            PatternKind::Regular
        } else {
            PatternKind::Backtracking
        })
    }

    /// About how many bytes of memory the compiled operator takes.
    #[must_use]
    pub fn memory(&self) -> usize {
        size_of::<Self>()
            + match &self.matcher {
                Matcher::Identity(identity) => identity.pattern.memory(),
                Matcher::Pattern(pattern) => pattern.memory(),
                Matcher::Phrases(phrases) => phrases.memory(),
                Matcher::Contains(finder) => size_of_val(finder.as_ref()) + finder.needle().len(),
                Matcher::Text(text) => text.len(),
                Matcher::Addresses(_)
                | Matcher::Bytes(_)
                | Matcher::Lookup(_)
                | Matcher::Number(_)
                | Matcher::Plain => 0,
            }
    }

    /// Whether the value matches. `present` is [`ByteSet::of`] the value.
    pub fn evaluate(&self, value: &[u8], present: ByteSet, captures: &mut Captures) -> bool {
        self.may_match(present, value.len()) && self.evaluate_met(value, captures)
    }

    /// Whether a value matches of which [`Self::may_match`] has told that it may.
    pub(crate) fn evaluate_met(&self, value: &[u8], captures: &mut Captures) -> bool {
        match &self.matcher {
            Matcher::Addresses(addresses) => addresses.contain(value),
            // The set has already told.
            Matcher::Bytes(_) => true,
            Matcher::Contains(finder) => finder.find(value).is_some(),
            Matcher::Identity(identity) => identity.evaluate(value, captures),
            Matcher::Lookup(_) => false,
            Matcher::Number(number) => number::compare(self.kind, value, *number),
            Matcher::Pattern(pattern) => search(pattern, self.kind, value, captures),
            Matcher::Phrases(phrases) => phrases.evaluate(value, captures),
            Matcher::Plain => evaluate_plain(self.kind, value, captures),
            Matcher::Text(argument) => text::compare(self.kind, argument, value),
        }
    }
}

/// Evaluates an operator whose argument the engine has just expanded. What does not compile matches nothing; use
/// [`Operator::compile_kind`] where the reason is wanted.
pub fn evaluate_dynamic(kind: OperatorKind, argument: &[u8], value: &[u8], captures: &mut Captures) -> bool {
    compare(kind, argument, value).unwrap_or_else(|| {
        Operator::compile_kind(kind, argument, &NoFiles)
            .is_ok_and(|operator| operator.evaluate(value, ByteSet::of(value), captures))
    })
}

/// The answer of an operator that has nothing to compile.
fn compare(kind: OperatorKind, argument: &[u8], value: &[u8]) -> Option<bool> {
    use OperatorKind as K;
    match kind {
        K::BeginsWith | K::Contains | K::ContainsWord | K::EndsWith | K::StrEq | K::StrMatch | K::Within => {
            Some(text::compare(kind, argument, value))
        }
        K::Eq | K::Ge | K::Gt | K::Le | K::Lt => Some(number::compare(kind, value, number::parse(argument))),
        _ => None,
    }
}

/// Operators compiled from expanded arguments, the last used first: macros mostly expand to what they did before.
#[derive(Debug, Default)]
pub(crate) struct Recent(Vec<RecentOperator>);

#[derive(Debug)]
struct RecentOperator {
    kind: OperatorKind,
    argument: Vec<u8>,
    /// Nothing where it does not compile.
    operator: Option<Operator>,
}

impl Recent {
    /// How many are kept, and the longest argument that is: what a request can make of them is bounded.
    const MOST: usize = 8;
    const LONGEST: usize = 1_024;

    /// As [`evaluate_dynamic`].
    pub(crate) fn evaluate(
        &mut self,
        kind: OperatorKind,
        argument: &[u8],
        value: &[u8],
        captures: &mut Captures,
    ) -> bool {
        if argument.len() > Self::LONGEST {
            return evaluate_dynamic(kind, argument, value, captures);
        }
        if let Some(answer) = compare(kind, argument, value) {
            return answer;
        }
        let known = self
            .0
            .iter()
            .position(|one| one.kind == kind && one.argument == argument);
        match known {
            Some(at) => self.0[..=at].rotate_right(1),
            None => {
                self.0.truncate(Self::MOST - 1);
                let operator = Operator::compile_kind(kind, argument, &NoFiles).ok();
                self.0.insert(
                    0,
                    RecentOperator {
                        kind,
                        argument: argument.to_vec(),
                        operator,
                    },
                );
            }
        }
        let operator = self.0.first().and_then(|one| one.operator.as_ref());
        operator.is_some_and(|operator| operator.evaluate(value, ByteSet::of(value), captures))
    }
}

/// No data files: their names are read when rules compile, so they hold no macros.
struct NoFiles;

impl Files for NoFiles {
    fn read(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

fn compile_pattern(argument: &[u8], kind: OperatorKind) -> Result<Pattern, OperatorError> {
    Pattern::compile(argument).map_err(|source| OperatorError::Pattern {
        operator: kind.name(),
        source,
    })
}

fn evaluate_plain(kind: OperatorKind, value: &[u8], captures: &mut Captures) -> bool {
    match kind {
        OperatorKind::DetectSqli => injection::detect_sqli(value).is_some_and(|fingerprint| {
            if captures.wanted() {
                captures.set(0, fingerprint.as_bytes());
            }
            true
        }),
        OperatorKind::DetectXss => {
            let found = injection::detect_xss(value);
            if found && captures.wanted() {
                captures.set(0, value);
            }
            found
        }
        OperatorKind::UnconditionalMatch => true,
        OperatorKind::ValidateUrlEncoding => !validation::is_url_encoded(value),
        OperatorKind::ValidateUtf8Encoding => std::str::from_utf8(value).is_err(),
        _ => false,
    }
}

fn search(pattern: &Pattern, kind: OperatorKind, value: &[u8], captures: &mut Captures) -> bool {
    captures.count_search();
    let mut steps = captures.step_limit();
    let global = kind == OperatorKind::RxGlobal && captures.wanted();
    let mut matched = false;
    let mut next = 0;
    let mut index = 0;
    while next <= value.len() {
        let groups = match pattern.find(value, next, captures.wanted(), &mut steps) {
            Found::Nothing => break,
            Found::Somewhere => return true,
            Found::Exhausted => {
                captures.exceed_limit();
                break;
            }
            Found::Groups(groups) => groups,
        };
        let Some(Some((start, end))) = groups.first().copied() else {
            break;
        };
        if captures.wanted() {
            // PCRE counts the groups up to the last one that took part, and so the next match's follow directly.
            let count = groups.iter().rposition(Option::is_some).map_or(0, |last| last + 1);
            for place in groups.into_iter().take(count) {
                if let Some((from, to)) = place {
                    captures.set(index, &value[from..to]);
                }
                index += 1;
            }
        }
        matched = true;
        if !global || index >= CAPTURES {
            break;
        }
        // After an empty match the search goes on one byte further.
        next = if end == start { end + 1 } else { end };
    }
    matched
}

#[cfg(test)]
mod tests;
