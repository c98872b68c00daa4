//! The two phases in which a service takes its part of a configuration. Asked by the manager.

use redan_types::Generation;
use serde::{Deserialize, Serialize};

/// A step of the transaction.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ApplyRequest<S> {
    /// Check everything that can be checked and be ready to switch, without switching. Replaces an earlier preparation.
    Prepare {
        /// The candidate.
        generation: Generation,
        /// The service's part.
        slice: S,
    },
    /// Switch to what was prepared.
    Commit {
        /// The candidate.
        generation: Generation,
    },
    /// Forget what was prepared.
    Abort {
        /// The candidate.
        generation: Generation,
    },
    /// Which version runs here?
    Current,
}

/// The answer to a step.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum ApplyReply {
    /// Prepared, committed or aborted.
    Done,
    /// To `Current`: `None` before the first commit.
    Current(Option<Generation>),
    /// The service cannot take it; what ran goes on.
    Refused {
        /// Why, each for an operator.
        reasons: Vec<String>,
    },
    /// To `Commit`: this version was not prepared.
    NotPrepared,
}
