//! The audit log's Merkle tree, its export, and the offline verifier.
