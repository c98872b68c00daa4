//! Versions, candidates and what they would change.

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// One version of the configuration.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Version {
    /// Its number: 1 for the first.
    pub number: u64,
    /// Who committed it.
    pub author: String,
    /// When.
    pub at: String,
    /// Why, in the author's words.
    pub comment: String,
    /// SHA-256 of the document in hexadecimal.
    pub hash: String,
    /// What became of it.
    pub state: VersionState,
}

/// What became of a version.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum VersionState {
    /// Not in force: another followed, or it was taken back.
    Idle,
    /// Applied, and waits for confirmation.
    Pending,
    /// In force and confirmed.
    Running,
}

/// A version with its text.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Document {
    /// Which version.
    pub version: Version,
    /// The document as it was committed (TOML).
    pub text: String,
}

/// A commit that waits for confirmation. The manager holds the timer; the console only shows it.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Pending {
    /// The version that was applied.
    pub version: u64,
    /// The version to return to.
    pub previous: u64,
    /// Who applied it.
    pub author: String,
    /// When it is taken back unless confirmed.
    pub revert_at: String,
    /// The time left when this was written, in milliseconds: counting down from here needs no agreement about the clock.
    pub remaining_ms: u64,
}

/// A candidate to check.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// The whole document (TOML), at most 512 KiB.
    pub text: String,
}

/// The outcome of a check.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Check {
    /// All mistakes; the candidate may be committed when none of them is fatal.
    pub mistakes: Vec<Mistake>,
    /// What committing it would change, in words; empty where there are fatal mistakes.
    pub changes: Vec<Change>,
    /// The same as lines of text.
    pub diff: Vec<DiffLine>,
}

/// One mistake in a candidate.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Mistake {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1, in characters.
    pub column: u32,
    /// How many characters it concerns.
    pub length: u32,
    /// What is wrong.
    pub message: String,
    /// What would be right; may be empty.
    pub help: String,
    /// Whether it prevents a commit.
    pub fatal: bool,
}

/// One difference between two configurations, in words.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Change {
    /// What happened to it.
    pub kind: ChangeKind,
    /// Where, such as `services.shop.limits`.
    pub path: String,
    /// In words.
    pub text: String,
}

/// The kind of a difference.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum ChangeKind {
    /// New.
    Added,
    /// Other than before.
    Changed,
    /// Gone.
    Removed,
}

/// The difference between two versions.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Diff {
    /// The older side's number.
    pub from: u64,
    /// The newer side's number.
    pub to: u64,
    /// What differs, in words.
    pub changes: Vec<Change>,
    /// The lines, with three of context around each change.
    pub lines: Vec<DiffLine>,
}

/// One line of a difference.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct DiffLine {
    /// What the line is.
    pub kind: DiffKind,
    /// Its number in the old text, from 1; absent on an added line.
    pub old: Option<u32>,
    /// Its number in the new text, from 1; absent on a removed line.
    pub new: Option<u32>,
    /// The text without its end of line.
    pub text: String,
}

/// What a line of a difference is.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
#[serde(rename_all = "kebab-case")]
pub enum DiffKind {
    /// In the new text only.
    Added,
    /// Lines left out here.
    Gap,
    /// In the old text only.
    Removed,
    /// In both.
    Same,
}

/// A candidate to apply.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Commit {
    /// The whole document (TOML), at most 512 KiB.
    pub text: String,
    /// Why; at most 500 characters, not empty.
    pub comment: String,
    /// The version that the text was made from; the commit is refused if another is running by now.
    pub base: u64,
    /// How long to wait for confirmation before it is taken back, in seconds: 30 to 600.
    pub confirm_within_s: u32,
}

/// Names the pending commit that is meant.
#[derive(Clone, Copy, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Confirm {
    /// The pending version's number.
    pub version: u64,
}

/// A return to an earlier version, or the end of a pending commit.
#[derive(Clone, Debug, Deserialize, ToSchema, TS)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The version to return to; absent takes the pending commit back.
    #[serde(default)]
    #[ts(optional)]
    pub version: Option<u64>,
    /// How long to wait for confirmation, in seconds: 30 to 600; 60 where absent. Taking a pending commit back waits for nothing.
    #[serde(default)]
    #[ts(optional)]
    pub confirm_within_s: Option<u32>,
}
