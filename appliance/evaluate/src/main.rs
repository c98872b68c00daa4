//! Builds everything and starts an evaluation appliance: cargo evaluate.
#![forbid(unsafe_code)]

fn main() {}
