//! What the update service is asked: to take a bundle in portions, and how things are.

use serde::{Deserialize, Serialize};

/// The most bytes of a bundle in one message.
pub const PORTION: usize = 48 << 10;

/// A question to the update service.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum UpdateRequest {
    /// How are things?
    State,
    /// A bundle begins; one that another asker began is given up.
    Begin {
        /// Who installs it, as the audit log is to tell.
        by: String,
    },
    /// Its next bytes, at most [`PORTION`].
    Data(Vec<u8>),
    /// It is complete: publish it, and restart if that is wanted.
    Finish {
        /// Whether to restart into it now.
        restart: bool,
    },
    /// It is given up.
    Abort,
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum UpdateReply {
    /// To `State`.
    State(UpdateState),
    /// Taken; the version is known once the manifest was read.
    Taken {
        /// What is being installed.
        version: Option<String>,
    },
    /// To `Finish`: this version is tried at the next start.
    Installed {
        /// Which.
        version: String,
    },
    /// Not done, and why.
    Refused(String),
}

/// How things are.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct UpdateState {
    /// What runs.
    pub running: String,
    /// Its security version.
    pub security_version: u32,
    /// Whether what runs is on probation.
    pub on_probation: bool,
    /// What is tried at the next start.
    pub next: Option<String>,
    /// Why nothing can be installed here, where so.
    pub unable: Option<String>,
}
