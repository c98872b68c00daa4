//! Why a pattern is refused.

/// Why a pattern is refused, and where.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("at byte {position} of the pattern: {reason}")]
pub struct PatternError {
    /// Where in the pattern, in bytes from its start.
    pub position: usize,
    /// What is wrong.
    pub reason: Reason,
}

/// What is wrong with a pattern.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Reason {
    /// A class has no closing bracket.
    #[error("the class has no closing bracket")]
    ClassOpen,
    /// A range whose end comes before its start.
    #[error("the range's end comes before its start")]
    ClassRange,
    /// A POSIX class with a name that does not exist.
    #[error("there is no class [:{0}:]")]
    ClassName(String),
    /// The pattern ends within an escape.
    #[error("the escape is not complete")]
    EscapeCut,
    /// An escape that names a character above 255.
    #[error("the character {0:#x} does not fit into a byte, and patterns match bytes")]
    EscapeWide(u32),
    /// Syntax of PCRE that is not supported.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// A group without its closing parenthesis.
    #[error("the group has no closing parenthesis")]
    GroupOpen,
    /// A closing parenthesis too many.
    #[error("the parenthesis closes nothing")]
    GroupClose,
    /// What follows `(?` is not known.
    #[error("this kind of group is not known")]
    GroupKind,
    /// A reference to a group that does not exist.
    #[error("there is no group {0}")]
    NoSuchGroup(String),
    /// A quantifier with nothing to repeat.
    #[error("the quantifier has nothing to repeat")]
    NothingToRepeat,
    /// A quantifier whose bounds are the wrong way round or above 65,535.
    #[error("the quantifier's bounds are the wrong way round or above 65535")]
    Bounds,
    /// Groups nested too deep.
    #[error("groups are nested more than {0} deep")]
    TooDeep(usize),
    /// The compiled pattern would be too large.
    #[error("the compiled pattern would be too large")]
    TooLarge,
    /// A look-behind whose length is not fixed.
    #[error("the look-behind has no fixed length")]
    LookBehind,
}

impl Reason {
    pub(super) const fn at(self, position: usize) -> PatternError {
        PatternError { position, reason: self }
    }
}
