//! The one place that reads the clock; logic takes the time as a parameter.

use redan_types::Timestamp;
use std::time::SystemTime;

/// The present.
#[must_use]
pub fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
