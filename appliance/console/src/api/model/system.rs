//! Versions of the image.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Which versions of the image there are.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct SystemVersions {
    /// What runs.
    pub running: String,
    /// Its security version: an image with a lower one is refused.
    pub security_version: u32,
    /// Whether what runs is tried for the first time and has not proved itself yet.
    pub on_probation: bool,
    /// What is tried at the next start.
    pub next: Option<String>,
}

/// A version that was installed.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
pub struct InstalledVersion {
    /// Which; it is tried at the next start.
    pub version: String,
    /// Whether the appliance restarts into it now.
    pub restarting: bool,
}
