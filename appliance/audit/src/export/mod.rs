//! The export: one file of JSON lines that holds everything a verifier needs.
//!
//! ```text
//! {"header":{"format":"redan-audit-export","version":1,"origin":…,"keys":[vkey…],"first":0,"end":1024,"start":[]}}
//! {"entry":{"sequence":0,"hash":…,"leaf":…,"opening":…,"plaintext":{…}}}
//! …
//! {"checkpoint":"signed note"}
//! {"end":{"lines":1027,"sha256":…}}
//! ```
//!
//! * Entries stand in the order of the log from `first` to before `end`; a checkpoint of size N stands after entry N − 1, and the last
//!   one covers all entries. An export from the middle gives in `start` the frontier of the tree of `first` leaves: wrong hashes there
//!   cannot lead to a signed root.
//! * `leaf` is the leaf's data, `hash` the leaf hash that the log's tree was built from. Giving both makes a damaged entry nameable:
//!   with the root alone, a verifier could only say that something between two checkpoints is wrong.
//! * `opening` and `plaintext` are there, both or neither, where the exporter may read the entry (see [`crate::leaf`]).
//! * Every line is canonical: reading and writing it again gives the same bytes. The end line's digest covers all bytes before it.
//!
//! What an export cannot show alone: that the log has no newer entries. An auditor keeps the last checkpoint of each export and gives
//! it to the next verification, which then also proves that the old log is the beginning of the new one.

mod leaves;
mod read;
mod report;
mod verify;
mod write;

pub use leaves::{LeavesError, leaves};
pub use report::{Finding, KeySource, Problem, Report};
pub use verify::{Options, Unusable, verify};
pub use write::{ExportError, ExportWriter};

use crate::entry::Entry;
use crate::hash::Hash;
use serde::{Deserialize, Serialize};

/// The longest line, in bytes: the largest leaf in base64 and the largest entry fit.
pub const MAX_LINE: usize = 256 * 1024;
/// The most keys that a header names.
pub const MAX_KEYS: usize = 16;

const FORMAT: &str = "redan-audit-export";
const FORMAT_VERSION: u32 = 1;

/// A line of the export.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
enum Line {
    Header(Header),
    Entry(Box<EntryLine>),
    Checkpoint(String),
    End(End),
}

/// The first line, without format and version.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct Header {
    format: String,
    version: u32,
    origin: String,
    keys: Vec<String>,
    first: u64,
    end: u64,
    start: Vec<Hash>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct EntryLine {
    sequence: u64,
    hash: Hash,
    leaf: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    opening: Option<Hash>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    plaintext: Option<Entry>,
}

#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(deny_unknown_fields)]
struct End {
    lines: u64,
    sha256: Hash,
}
