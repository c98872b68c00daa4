//! Simulators of key devices, each in a folder of its own, stopped when they are dropped.
#![allow(dead_code, reason = "each test binary uses its part")]

pub(crate) mod softhsm;
pub(crate) mod swtpm;
pub(crate) mod wiretap;
