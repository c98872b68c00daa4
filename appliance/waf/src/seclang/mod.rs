//! The rule language: rule files as bytes in, a compiled [`RuleSet`](crate::engine::RuleSet) out, or the first mistake with its place.
//!
//! `lines` makes directives of bytes, `targets`, `actions` and `template` read what is inside a rule, `directives` knows every
//! directive, `update` changes rules by directives elsewhere, `build` and `lists` make rules that run, `compile` puts them together.
//! Nothing here reads a file: rule files and data files come as bytes; `needs` tells which ones a rule file names.

mod actions;
mod build;
mod compile;
mod control;
mod directives;
mod files;
mod lines;
mod lists;
mod needs;
mod settings;
mod slots;
mod targets;
mod template;
mod update;

pub(crate) use actions::{Action, Allow, Change, Disruptive, Place, RuleActions, Sanitise};
pub use actions::{Keeper, Severity};
pub use compile::{Compiler, MOST_MISTAKES};
pub(crate) use control::{Ctl, PartChange, Switch, Which};
pub use files::{RuleFiles, is_named};
pub use needs::Needs;
pub(crate) use settings::{AuditMode, XmlArgs};
pub use settings::{BodyLimitAction, EngineMode, Settings};
pub(crate) use slots::Slots;
pub(crate) use targets::{Selector, Target, TargetText};
pub(crate) use template::{Piece, Reference, Template};

use crate::{operator::OperatorError, transform::UnicodeMapError};

/// Settings and rules to load before the rules of a service: bodies are read and checked, the engine only detects.
pub const DEFAULTS: &[u8] = include_bytes!("defaults.conf");

/// A mistake in a rule file. The rule set it belongs to is refused whole.
#[derive(Debug, thiserror::Error)]
#[error("{file}:{line}: {problem}")]
pub struct RuleError {
    /// The name of the rule file.
    pub file: String,
    /// The number of the directive's first line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// What is wrong.
    #[source]
    pub problem: Problem,
}

/// What is wrong with a directive.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// The action needs an argument, or may not have one.
    #[error("action {0:?}: its argument is missing or not wanted")]
    ActionArgument(String),
    /// A directive has too few or too many arguments.
    #[error("{directive} takes {wanted} argument(s), not {found}")]
    ArgumentCount {
        /// The directive.
        directive: String,
        /// How many it takes.
        wanted: &'static str,
        /// How many there are.
        found: usize,
    },
    /// A rule says `chain` and no rule follows.
    #[error("a chain is not continued by another rule")]
    ChainOpen,
    /// A rule inside a chain has an action that only the first may have.
    #[error("action {0:?} belongs to the first rule of the chain")]
    ChainedAction(String),
    /// Two rules have one id.
    #[error("rule id {0} is used twice")]
    DuplicateId(u64),
    /// A rule without an id.
    #[error("the rule has no id")]
    MissingId,
    /// A data file or an included file is not among the files given.
    #[error("file {0:?} is not there")]
    MissingFile(String),
    /// `skipAfter` names a marker that does not follow.
    #[error("no marker or rule {0:?} follows")]
    MissingMarker(String),
    /// Includes that include each other, or too many of them.
    #[error("files include each other too deeply")]
    NestedIncludes,
    /// An operator is unknown or its argument is wrong.
    #[error("operator: {0}")]
    Operator(#[from] OperatorError),
    /// White space or a comma is missing after a closing quote.
    #[error("text follows a closing quote")]
    TextAfterQuote,
    /// A quote is not closed.
    #[error("a quote is not closed")]
    UnclosedQuote,
    /// A map of code points cannot be used.
    #[error("the map of code points: {0}")]
    UnicodeMap(#[from] UnicodeMapError),
    /// An action that the language does not have.
    #[error("unknown action {0:?}")]
    UnknownAction(String),
    /// A directive that the language does not have.
    #[error("unknown directive {0:?}")]
    UnknownDirective(String),
    /// A transformation that the language does not have.
    #[error("unknown transformation {0:?}")]
    UnknownTransformation(String),
    /// A variable that the language does not have.
    #[error("unknown variable {0:?}")]
    UnknownVariable(String),
    /// Something of the language that runs programs or reaches other machines, which this engine does not do.
    #[error("{0} runs a program, a script or a remote look-up, which this firewall never does for a request")]
    Unsupported(String),
    /// A value outside of what the directive or action takes.
    #[error("{what}: {value:?} is not {wanted}")]
    Value {
        /// The directive or action.
        what: String,
        /// What is written.
        value: String,
        /// What it should be.
        wanted: &'static str,
    },
}

impl Problem {
    fn value(what: &str, value: &[u8], wanted: &'static str) -> Self {
        Self::Value {
            what: what.to_owned(),
            value: String::from_utf8_lossy(value).into_owned(),
            wanted,
        }
    }
}

/// A decimal number, nothing else around it.
fn number<T: std::str::FromStr>(what: &str, text: &[u8]) -> Result<T, Problem> {
    std::str::from_utf8(text.trim_ascii())
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| Problem::value(what, text, "a number"))
}
