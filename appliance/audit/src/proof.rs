//! Verification of proofs, after RFC 9162 sections 2.1.3.2 and 2.1.4.2.

use crate::hash::{Hash, node_hash};

/// Why a proof does not prove what it is for.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The leaf or the older tree does not lie within the tree.
    #[error("{inner} does not lie within a tree of {size} leaves")]
    Outside {
        /// The leaf's index or the older tree's size.
        inner: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// The proof has more or fewer hashes than its place in the tree asks for.
    #[error("the proof has {0} hashes, which is not what this place in the tree needs")]
    Length(usize),
    /// The hashes lead to another root than the one given for the newer (or only) tree.
    #[error("the proof leads to the root {found}, not to {expected}")]
    Root {
        /// The root that was given.
        expected: Hash,
        /// The root that the proof leads to.
        found: Hash,
    },
    /// The hashes lead to another root than the one given for the older tree.
    #[error("the proof leads to the older root {found}, not to {expected}")]
    OldRoot {
        /// The root that was given.
        expected: Hash,
        /// The root that the proof leads to.
        found: Hash,
    },
}

/// Checks that the leaf with the hash `leaf` stands at `index` in the tree of `size` leaves with the root `root`.
///
/// # Errors
/// Says what about the proof is wrong.
pub fn verify_inclusion(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> Result<(), ProofError> {
    if index >= size {
        return Err(ProofError::Outside { inner: index, size });
    }
    // The RFC calls them fn and sn: the node's and the last node's index on the current level.
    let (mut node, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for sibling in proof {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            skip_single_children(&mut node, &mut last);
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    expect_root(root, hash)
}

/// Checks that the tree of `old` leaves with the root `old_root` is the beginning of the tree of `new` leaves with the root `new_root`.
///
/// # Errors
/// Says what about the proof is wrong.
pub fn verify_consistency(
    old: u64,
    old_root: &Hash,
    new: u64,
    new_root: &Hash,
    proof: &[Hash],
) -> Result<(), ProofError> {
    if old > new {
        return Err(ProofError::Outside { inner: old, size: new });
    }
    if old == 0 || old == new {
        // Nothing to prove: every tree begins with the empty one, and with itself.
        if !proof.is_empty() {
            return Err(ProofError::Length(proof.len()));
        }
        let expected = if old == 0 { Hash::of_empty_tree() } else { *new_root };
        return if *old_root == expected {
            Ok(())
        } else {
            Err(ProofError::OldRoot {
                expected: *old_root,
                found: expected,
            })
        };
    }
    let (mut node, mut last) = (old - 1, new - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    // Where the old tree is perfect, its root is the first hash, and the proof leaves it out.
    let (first, rest) = if old.is_power_of_two() {
        (old_root, proof)
    } else {
        proof.split_first().ok_or(ProofError::Length(0))?
    };
    let (mut old_hash, mut new_hash) = (*first, *first);
    for sibling in rest {
        if last == 0 {
            return Err(ProofError::Length(proof.len()));
        }
        if node & 1 == 1 || node == last {
            old_hash = node_hash(sibling, &old_hash);
            new_hash = node_hash(sibling, &new_hash);
            skip_single_children(&mut node, &mut last);
        } else {
            new_hash = node_hash(&new_hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(ProofError::Length(proof.len()));
    }
    if old_hash != *old_root {
        return Err(ProofError::OldRoot {
            expected: *old_root,
            found: old_hash,
        });
    }
    expect_root(new_root, new_hash)
}

/// A last node without a sibling is the same node one level up.
const fn skip_single_children(node: &mut u64, last: &mut u64) {
    while *node & 1 == 0 && *node != 0 {
        *node >>= 1;
        *last >>= 1;
    }
}

fn expect_root(expected: &Hash, found: Hash) -> Result<(), ProofError> {
    if found == *expected {
        Ok(())
    } else {
        Err(ProofError::Root {
            expected: *expected,
            found,
        })
    }
}
