//! The audit log's Merkle tree, its export, and the offline verifier.
#![forbid(unsafe_code)]

fn main() {}
