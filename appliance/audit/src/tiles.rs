//! The log as static files (C2SP `tlog-tiles`), from which anybody can compute every proof: `checkpoint`, tiles of 256 hashes under
//! `tile/L/N`, bundles of 256 leaves under `tile/entries/N`, the last of each cut short as `N.p/W`.
//!
//! Written in one pass with the memory of one tile for each level.

use crate::hash::{Hash, node_hash};
use std::io;

/// Hashes in a whole tile.
pub const WIDTH: usize = 256;
/// The longest leaf that a bundle can hold, in bytes: its length is written in two.
pub const MAX_LEAF: usize = 65_535;

/// Why tiles were not written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TileError {
    /// The destination refused.
    #[error("{path}: {source}")]
    Write {
        /// Which file.
        path: String,
        /// What it said.
        source: io::Error,
    },
    /// A leaf is longer than a bundle can say.
    #[error("entry {index} has {length} bytes, a bundle takes {MAX_LEAF}")]
    TooLong {
        /// The entry.
        index: u64,
        /// Its leaf's length in bytes.
        length: usize,
    },
}

/// Takes leaves in their order and gives files.
#[derive(Debug)]
pub struct TileWriter<F> {
    /// Writes a file: its path with slashes, its content.
    write: F,
    size: u64,
    bundle: Vec<u8>,
    /// The tile of each level that is not whole yet.
    levels: Vec<Vec<Hash>>,
}

impl<F: FnMut(&str, &[u8]) -> io::Result<()>> TileWriter<F> {
    /// Writes through `write`, which makes folders where they are missing.
    pub const fn new(write: F) -> Self {
        Self {
            write,
            size: 0,
            bundle: Vec::new(),
            levels: Vec::new(),
        }
    }

    /// The next leaf: its hash and its data.
    ///
    /// # Errors
    /// [`TileError`].
    pub fn append(&mut self, hash: Hash, data: &[u8]) -> Result<(), TileError> {
        let length = u16::try_from(data.len()).map_err(|_| TileError::TooLong {
            index: self.size,
            length: data.len(),
        })?;
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(data);
        self.size += 1;
        if self.size.is_multiple_of(WIDTH as u64) {
            let bundle = std::mem::take(&mut self.bundle);
            self.put(&entries_path(self.size / WIDTH as u64 - 1), &bundle)?;
        }
        let (mut level, mut next) = (0, Some(hash));
        while let Some(hash) = next {
            if self.levels.len() == level {
                self.levels.push(Vec::with_capacity(WIDTH));
            }
            next = None;
            let Some(tile) = self.levels.get_mut(level) else { break };
            tile.push(hash);
            if tile.len() == WIDTH {
                let whole = std::mem::take(tile);
                let number = (self.size >> (8 * (level + 1))) - 1;
                self.put(&tile_path(level, number), whole.as_flattened_bytes())?;
                next = Some(subtree(&whole));
                level += 1;
            }
        }
        Ok(())
    }

    /// Writes what is not whole, and the signed checkpoint over all.
    ///
    /// # Errors
    /// [`TileError`].
    pub fn finish(mut self, checkpoint: &str) -> Result<(), TileError> {
        let width = self.size % WIDTH as u64;
        if width > 0 {
            let bundle = std::mem::take(&mut self.bundle);
            let path = entries_path(self.size / WIDTH as u64);
            self.put(&format!("{path}.p/{width}"), &bundle)?;
        }
        for (level, tile) in std::mem::take(&mut self.levels).into_iter().enumerate() {
            if !tile.is_empty() {
                let path = tile_path(level, self.size >> (8 * (level + 1)));
                self.put(&format!("{path}.p/{}", tile.len()), tile.as_flattened_bytes())?;
            }
        }
        self.put("checkpoint", checkpoint.as_bytes())
    }

    fn put(&mut self, path: &str, bytes: impl AsRef<[u8]>) -> Result<(), TileError> {
        (self.write)(path, bytes.as_ref()).map_err(|source| TileError::Write {
            path: path.to_owned(),
            source,
        })
    }
}

trait Flattened {
    fn as_flattened_bytes(&self) -> Vec<u8>;
}

impl Flattened for Vec<Hash> {
    fn as_flattened_bytes(&self) -> Vec<u8> {
        self.iter().flat_map(|hash| hash.0).collect()
    }
}

/// The root of a whole tile.
fn subtree(tile: &[Hash]) -> Hash {
    let mut hashes = tile.to_vec();
    while hashes.len() > 1 {
        hashes = hashes.chunks(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes.first().copied().unwrap_or_else(Hash::of_empty_tree)
}

fn tile_path(level: usize, number: u64) -> String {
    format!("tile/{level}/{}", numbered(number))
}

fn entries_path(number: u64) -> String {
    format!("tile/entries/{}", numbered(number))
}

/// Groups of three digits, all but the last with an `x`: 1234067 is `x001/x234/067`.
fn numbered(number: u64) -> String {
    let mut text = format!("{:03}", number % 1_000);
    let mut rest = number / 1_000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1_000);
        rest /= 1_000;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{TileWriter, WIDTH, numbered};
    use crate::hash::{Hash, leaf_hash, node_hash};
    use crate::tree::root;
    use std::collections::BTreeMap;

    fn tiles(count: u64) -> (BTreeMap<String, Vec<u8>>, Vec<Hash>) {
        let (mut files, mut hashes) = (BTreeMap::new(), Vec::new());
        let mut writer = TileWriter::new(|path: &str, bytes: &[u8]| {
            assert!(files.insert(path.to_owned(), bytes.to_vec()).is_none(), "{path} twice");
            Ok(())
        });
        for index in 0..count {
            let data = index.to_be_bytes();
            hashes.push(leaf_hash(&data));
            writer.append(leaf_hash(&data), &data).unwrap();
        }
        writer.finish("checkpoint\n").unwrap();
        (files, hashes)
    }

    #[test]
    fn numbers_are_groups_of_three() {
        assert_eq!(numbered(0), "000");
        assert_eq!(numbered(999), "999");
        assert_eq!(numbered(1_234_067), "x001/x234/067");
    }

    #[test]
    fn whole_and_partial_tiles_hold_the_tree() {
        let (files, hashes) = tiles(70_000);
        let names: Vec<_> = files.keys().map(String::as_str).collect();
        for name in [
            "checkpoint",
            "tile/0/000",
            "tile/0/272",
            "tile/0/273.p/112",
            "tile/1/000",
            "tile/1/001.p/17",
            "tile/2/000.p/1",
            "tile/entries/273.p/112",
        ] {
            assert!(names.contains(&name), "{name}");
        }
        assert_eq!(files.len(), 1 + 2 * 274 + 2 + 1);
        let first: Vec<u8> = hashes[..WIDTH].iter().flat_map(|hash| hash.0).collect();
        assert_eq!(files["tile/0/000"], first);
        assert_eq!(
            files["tile/1/000"][..32],
            root(&hashes[..WIDTH], WIDTH as u64).unwrap().0
        );
        assert_eq!(files["tile/2/000.p/1"], root(&hashes[..65_536], 65_536).unwrap().0);
        assert_eq!(files["tile/entries/000"][..10], [0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    }

    #[test]
    fn an_empty_log_is_a_checkpoint_and_no_tile() {
        assert_eq!(tiles(0).0.into_keys().collect::<Vec<_>>(), ["checkpoint"]);
        let (files, hashes) = tiles(2);
        assert_eq!(files["tile/0/000.p/2"].len(), 64);
        assert_eq!(node_hash(&hashes[0], &hashes[1]), root(&hashes[..], 2).unwrap());
    }
}
