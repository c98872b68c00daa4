//! The configuration's transactions: parse, slice, prepare, commit, confirm.
#![forbid(unsafe_code)]

fn main() {}
