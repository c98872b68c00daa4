//! The Merkle tree of RFC 9162 section 2.1: the live tree in O(log n) memory, and roots and proofs recomputed from stored leaf hashes.

use crate::hash::{Hash, node_hash};
use std::ops::Range;

/// Why a tree cannot be made or a proof cannot be given.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TreeError<E> {
    /// The number of frontier hashes does not fit the size.
    #[error("a tree of {size} leaves has {expected} frontier hashes, not {given}")]
    Frontier {
        /// Leaves of the tree.
        size: u64,
        /// Hashes that its frontier must have: the ones in the size's binary form.
        expected: u32,
        /// Hashes given.
        given: usize,
    },
    /// The proof is asked for a leaf or a tree outside of the tree.
    #[error("{inner} does not lie within a tree of {size} leaves")]
    Outside {
        /// The leaf's index or the older tree's size.
        inner: u64,
        /// Leaves of the tree.
        size: u64,
    },
    /// A stored leaf hash could not be read.
    #[error("a stored leaf hash could not be read")]
    Leaf(#[source] E),
}

/// Where the stored leaf hashes are read from.
pub trait LeafHashes {
    /// Why a hash could not be read.
    type Error;

    /// The hash of the leaf at `index`, counted from 0.
    ///
    /// # Errors
    /// As the storage says; a missing leaf is an error.
    fn leaf_hash(&self, index: u64) -> Result<Hash, Self::Error>;
}

/// A leaf index beyond the slice.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("there is no leaf {0}")]
pub struct NoLeaf(pub u64);

impl LeafHashes for [Hash] {
    type Error = NoLeaf;

    fn leaf_hash(&self, index: u64) -> Result<Hash, NoLeaf> {
        usize::try_from(index)
            .ok()
            .and_then(|at| self.get(at))
            .copied()
            .ok_or(NoLeaf(index))
    }
}

/// A growing tree, remembered by the roots of its perfect subtrees, the largest (leftmost) first: one for each bit set in the size.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Frontier {
    size: u64,
    hashes: Vec<Hash>,
}

impl Frontier {
    /// The tree without leaves.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            size: 0,
            hashes: Vec::new(),
        }
    }

    /// The tree of `size` leaves as [`Self::hashes`] gave it.
    ///
    /// # Errors
    /// [`TreeError::Frontier`] where the number of hashes does not fit the size. Whether they are the right ones shows only when a
    /// root computed from them is compared with a signed one.
    pub fn from_hashes(size: u64, hashes: Vec<Hash>) -> Result<Self, TreeError<NoLeaf>> {
        let expected = size.count_ones();
        if u32::try_from(hashes.len()) != Ok(expected) {
            return Err(TreeError::Frontier {
                size,
                expected,
                given: hashes.len(),
            });
        }
        Ok(Self { size, hashes })
    }

    /// Leaves appended so far.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// The roots of the perfect subtrees, the largest first: what has to be stored to go on later.
    #[must_use]
    pub fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    /// Appends a leaf by its hash and returns the leaf's index. (2^64 leaves are not reached in practice; the size then stays.)
    pub fn append(&mut self, leaf: Hash) -> u64 {
        let index = self.size;
        let mut hash = leaf;
        // Every trailing one of the old size is a perfect subtree that the new leaf completes to one of twice the size.
        for _ in 0..index.trailing_ones() {
            let Some(left) = self.hashes.pop() else { break };
            hash = node_hash(&left, &hash);
        }
        self.hashes.push(hash);
        self.size = index.saturating_add(1);
        index
    }

    /// The root hash of the leaves appended so far.
    #[must_use]
    pub fn root(&self) -> Hash {
        let mut subtrees = self.hashes.iter().rev();
        let Some(last) = subtrees.next() else {
            return Hash::of_empty_tree();
        };
        subtrees.fold(*last, |right, left| node_hash(left, &right))
    }
}

/// The root hash of the first `size` leaves, recomputed: O(n) reads, O(log n) memory.
///
/// # Errors
/// [`TreeError::Leaf`] where a leaf hash cannot be read.
pub fn root<L: LeafHashes + ?Sized>(leaves: &L, size: u64) -> Result<Hash, TreeError<L::Error>> {
    range_root(leaves, 0..size)
}

/// The inclusion proof of leaf `index` in the tree of `size` leaves (RFC 9162 section 2.1.3.1): sibling hashes, the lowest first.
///
/// # Errors
/// [`TreeError::Outside`] where there is no such leaf, [`TreeError::Leaf`] where a leaf hash cannot be read.
pub fn inclusion_proof<L: LeafHashes + ?Sized>(
    leaves: &L,
    index: u64,
    size: u64,
) -> Result<Vec<Hash>, TreeError<L::Error>> {
    if index >= size {
        return Err(TreeError::Outside { inner: index, size });
    }
    let mut proof = Vec::new();
    let mut range = 0..size;
    while range.end - range.start > 1 {
        let middle = range.start + split(range.end - range.start);
        let (on, off) = if index < middle {
            (range.start..middle, middle..range.end)
        } else {
            (middle..range.end, range.start..middle)
        };
        proof.push(range_root(leaves, off)?);
        range = on;
    }
    proof.reverse();
    Ok(proof)
}

/// The proof that the tree of `old` leaves is the beginning of the tree of `new` leaves (RFC 9162 section 2.1.4.1). Empty where both
/// are the same or the old one is empty.
///
/// # Errors
/// [`TreeError::Outside`] where `old` exceeds `new`, [`TreeError::Leaf`] where a leaf hash cannot be read.
pub fn consistency_proof<L: LeafHashes + ?Sized>(
    leaves: &L,
    old: u64,
    new: u64,
) -> Result<Vec<Hash>, TreeError<L::Error>> {
    if old > new {
        return Err(TreeError::Outside { inner: old, size: new });
    }
    if old == 0 || old == new {
        return Ok(Vec::new());
    }
    let mut proof = Vec::new();
    let mut range = 0..new;
    while range.end != old {
        let middle = range.start + split(range.end - range.start);
        let (on, off) = if old <= middle {
            (range.start..middle, middle..range.end)
        } else {
            (middle..range.end, range.start..middle)
        };
        proof.push(range_root(leaves, off)?);
        range = on;
    }
    // The subtree that ends with the old tree is the old root itself where it starts at 0, and the verifier has that already.
    if range.start != 0 {
        proof.push(range_root(leaves, range)?);
    }
    proof.reverse();
    Ok(proof)
}

fn range_root<L: LeafHashes + ?Sized>(leaves: &L, range: Range<u64>) -> Result<Hash, TreeError<L::Error>> {
    let mut frontier = Frontier::new();
    for index in range {
        frontier.append(leaves.leaf_hash(index).map_err(TreeError::Leaf)?);
    }
    Ok(frontier.root())
}

/// The largest power of two below `size`, which is at least 2: where RFC 9162 splits a tree.
const fn split(size: u64) -> u64 {
    1 << (size - 1).ilog2()
}

#[cfg(test)]
mod tests {
    use super::{Frontier, NoLeaf, TreeError, consistency_proof, inclusion_proof, root};
    use crate::hash::{Hash, leaf_hash};
    use crate::proof::{verify_consistency, verify_inclusion};

    /// Leaves and results of the test tree of Certificate Transparency (RFC 6962), published in google/certificate-transparency
    /// (`merkletree/merkle_tree_test.cc`) and in transparency-dev/merkle (`testonly`).
    const LEAVES: [&str; 8] = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    const ROOTS: [&str; 8] = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    const INCLUSION_0_IN_8: [&str; 3] = [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ];
    const CONSISTENCY_6_TO_8: [&str; 3] = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];

    fn bytes(hex: &str) -> Vec<u8> {
        (0..hex.len())
            .step_by(2)
            .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
            .collect()
    }

    fn hash(hex: &str) -> Hash {
        Hash(bytes(hex).try_into().unwrap())
    }

    fn published() -> Vec<Hash> {
        LEAVES.iter().map(|leaf| leaf_hash(&bytes(leaf))).collect()
    }

    fn numbered(size: u64) -> Vec<Hash> {
        (0..size).map(|index| leaf_hash(&index.to_be_bytes())).collect()
    }

    #[test]
    fn the_published_roots_are_reproduced_live_and_recomputed() {
        let leaves = published();
        let mut live = Frontier::new();
        assert_eq!(
            live.root(),
            hash("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        );
        for (leaf, expected) in leaves.iter().zip(ROOTS) {
            live.append(*leaf);
            assert_eq!(live.root(), hash(expected));
            assert_eq!(root(leaves.as_slice(), live.size()).unwrap(), hash(expected));
        }
    }

    #[test]
    fn the_published_proofs_are_reproduced() {
        let leaves = published();
        assert_eq!(
            inclusion_proof(leaves.as_slice(), 0, 8).unwrap(),
            INCLUSION_0_IN_8.map(hash)
        );
        assert_eq!(
            consistency_proof(leaves.as_slice(), 1, 8).unwrap(),
            INCLUSION_0_IN_8.map(hash)
        );
        assert_eq!(
            consistency_proof(leaves.as_slice(), 6, 8).unwrap(),
            CONSISTENCY_6_TO_8.map(hash)
        );
        assert_eq!(inclusion_proof(leaves.as_slice(), 0, 1).unwrap(), []);
    }

    #[test]
    fn every_leaf_of_every_size_is_proven_and_nothing_else_is() {
        let leaves = numbered(65);
        for size in 1..=64 {
            let tree = root(leaves.as_slice(), size).unwrap();
            for index in 0..size {
                let leaf = leaves[usize::try_from(index).unwrap()];
                let proof = inclusion_proof(leaves.as_slice(), index, size).unwrap();
                verify_inclusion(&leaf, index, size, &proof, &tree).unwrap();
                verify_inclusion(&leaves[64], index, size, &proof, &tree).unwrap_err();
                verify_inclusion(&leaf, index, size, &proof, &leaves[64]).unwrap_err();
                verify_inclusion(&leaf, index + size, size, &proof, &tree).unwrap_err();
                let mut longer = proof.clone();
                longer.push(tree);
                verify_inclusion(&leaf, index, size, &longer, &tree).unwrap_err();
                for at in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[at].0[at % 32] ^= 1;
                    verify_inclusion(&leaf, index, size, &wrong, &tree).unwrap_err();
                    wrong.remove(at);
                    verify_inclusion(&leaf, index, size, &wrong, &tree).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn every_beginning_of_every_size_is_proven_and_nothing_else_is() {
        let leaves = numbered(65);
        for new in 0..=64 {
            let new_root = root(leaves.as_slice(), new).unwrap();
            for old in 0..=new {
                let old_root = root(leaves.as_slice(), old).unwrap();
                let proof = consistency_proof(leaves.as_slice(), old, new).unwrap();
                verify_consistency(old, &old_root, new, &new_root, &proof).unwrap();
                verify_consistency(old, &leaves[64], new, &new_root, &proof).unwrap_err();
                verify_consistency(new + 1, &old_root, new, &new_root, &proof).unwrap_err();
                let mut longer = proof.clone();
                longer.push(new_root);
                verify_consistency(old, &old_root, new, &new_root, &longer).unwrap_err();
                if old > 0 {
                    verify_consistency(old, &old_root, new, &leaves[64], &proof).unwrap_err();
                }
                for at in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[at].0[at % 32] ^= 1;
                    verify_consistency(old, &old_root, new, &new_root, &wrong).unwrap_err();
                    wrong.remove(at);
                    verify_consistency(old, &old_root, new, &new_root, &wrong).unwrap_err();
                }
            }
        }
    }

    #[test]
    fn a_stored_frontier_goes_on_where_it_was() {
        let leaves = numbered(64);
        for cut in 0..=64_usize {
            let mut before = Frontier::new();
            leaves[..cut].iter().for_each(|leaf| {
                before.append(*leaf);
            });
            let mut after = Frontier::from_hashes(before.size(), before.hashes().to_vec()).unwrap();
            leaves[cut..].iter().for_each(|leaf| {
                after.append(*leaf);
            });
            assert_eq!(after.root(), root(leaves.as_slice(), 64).unwrap());
        }
        assert_eq!(
            Frontier::from_hashes(5, vec![leaves[0]]).unwrap_err(),
            TreeError::Frontier {
                size: 5,
                expected: 2,
                given: 1
            }
        );
    }

    #[test]
    fn a_proof_outside_of_the_tree_is_refused() {
        let leaves = numbered(4);
        assert_eq!(
            inclusion_proof(leaves.as_slice(), 4, 4),
            Err(TreeError::Outside { inner: 4, size: 4 })
        );
        assert_eq!(
            consistency_proof(leaves.as_slice(), 5, 4),
            Err(TreeError::Outside { inner: 5, size: 4 })
        );
        assert_eq!(root(leaves.as_slice(), 5), Err(TreeError::Leaf(NoLeaf(4))));
    }
}
