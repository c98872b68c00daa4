//! What crosses processes: end to end, faults, attacks.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

pub mod appliance;
pub mod ftw;
pub mod h2_flood;
pub mod h2_raw;
pub mod h2_smuggle;
pub mod hpack;
pub mod http1_probe;
pub mod memory;
pub mod slow;
pub mod softhsm;
pub mod swtpm;
pub mod wire;
pub mod witness;
