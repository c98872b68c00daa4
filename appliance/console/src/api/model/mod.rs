//! What the API says and accepts, as JSON. The same types make the OpenAPI document (`utoipa`) and the pages' TypeScript
//! (`ts-rs`, written to `web/src/api/types.ts`; a test compares), so neither can drift from the code.
//!
//! Points in time are RFC 3339 text in UTC; durations carry their unit in the name. Enumerations are kebab-case words.

mod accounts;
mod audit;
mod blocks;
mod configuration;
mod seal;
mod session;
mod state;
mod system;
mod waf;

pub use accounts::{ApiKey, IssuedApiKey, NewApiKey, NewUser, OneTimePassword, User, UserChange};
pub use audit::{AuditEntry, AuditPage, AuditState, AuditedRequest, Outcome, Verification};
pub use blocks::{Block, NewBlock};
pub use configuration::{
    Candidate, Change, ChangeKind, Check, Commit, Confirm, Diff, DiffKind, DiffLine, Document, Mistake, Pending,
    Rollback, Version, VersionState,
};
pub use seal::{Seal, SealDetails, SealRecovery, SealShare};
pub use session::{Login, OpenSession, PasswordChange, Role, Session};
pub use state::{Appliance, Attention, Level, Overview, Protection, Refusal, Sample, Service, ServiceState, State};
pub use system::{InstalledVersion, SystemVersions};
pub use waf::{
    WafEvent, WafEventDetail, WafEvents, WafException, WafExceptionPreview, WafExceptionWish, WafMatch, WafReplay,
    WafTally, WafWithout,
};

use serde::{Deserialize, Serialize};
use ts_rs::TS;
use utoipa::ToSchema;

/// Every error of the API has this body.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, ToSchema, TS)]
pub struct Failure {
    /// A fixed word for programs, such as `not-authorised`.
    pub code: String,
    /// One sentence for people; never a path, a version or a parser's position inside the appliance.
    pub message: String,
    /// Names this occurrence; the appliance's own log has it too.
    pub incident: String,
    /// The mistakes in a candidate configuration, where that is why the request was refused.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}
