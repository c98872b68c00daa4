//! The audit log's shape, its export, and the verifier that needs nothing else of Redan.
//!
//! The crate stands alone: it uses no other crate of the appliance, opens no socket and holds no key, so that an auditor can
//! build and read it in an hour. The vault builds the log with it; `redan-audit verify EXPORT` checks what the vault exported.
//!
//! What an auditor should read, in this order:
//! 1. [`leaf`]: what one entry of the log is. A leaf holds ciphertext and a commitment to the plaintext, so that destroying a
//!    person's key erases what the entry says while every proof over the log stays valid.
//! 2. [`tree`] and [`proof`]: the Merkle tree of RFC 9162 section 2.1 and its inclusion and consistency proofs.
//! 3. [`note`] and [`checkpoint`]: the signed statement "the log has this size and this root" (C2SP `signed-note` and
//!    `tlog-checkpoint`).
//! 4. [`tiles`]: the log as static files, from which others compute proofs.
//! 5. [`export`]: the file with all of it, and the verifier.
#![forbid(unsafe_code)]

pub mod checkpoint;
pub mod entry;
pub mod export;
pub mod hash;
pub mod leaf;
pub mod note;
pub mod proof;
pub mod tiles;
pub mod tree;

pub use checkpoint::{Checkpoint, CheckpointError};
pub use entry::{Actor, ActorKind, Entry, EntryError, Outcome};
pub use hash::{Hash, leaf_hash, node_hash};
pub use leaf::{Leaf, LeafError, LeafHeader, Opening};
pub use note::{LogKey, NoteError};
pub use proof::{ProofError, verify_consistency, verify_inclusion};
pub use tree::{Frontier, LeafHashes, TreeError, consistency_proof, inclusion_proof, root};
