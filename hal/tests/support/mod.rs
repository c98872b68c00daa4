//! Simulators of key devices, each in a folder of its own, stopped when they are dropped.
#![allow(dead_code, reason = "each test binary uses its part")]

pub mod softhsm;
pub mod swtpm;
pub mod wiretap;
