//! The hash tree of dm-verity (kernel documentation, "dm-verity", on-disk format): version 1, SHA-256, blocks of 4096 bytes, the
//! levels from the root down, no superblock.

use redan_image_layout::sha256;
use redan_image_layout::slot::{BLOCK, Root};

/// The tree of a file system whose length is a multiple of a block, and what names it.
pub(crate) fn tree(data: &[u8], salt: [u8; 32]) -> (Root, Vec<u8>) {
    let block = usize::try_from(BLOCK).unwrap_or(4_096);
    let mut levels: Vec<Vec<u8>> = Vec::new();
    let mut hashes = hash_blocks(data, &salt, block);
    while hashes.len() > 32 {
        hashes.resize(hashes.len().next_multiple_of(block), 0);
        let above = hash_blocks(&hashes, &salt, block);
        levels.push(hashes);
        hashes = above;
    }
    let mut hash = [0; 32];
    hash.iter_mut().zip(&hashes).for_each(|(to, from)| *to = *from);
    let root = Root {
        hash,
        salt,
        blocks: u64::try_from(data.len() / block).unwrap_or(0),
    };
    levels.reverse();
    (root, levels.concat())
}

fn hash_blocks(data: &[u8], salt: &[u8], block: usize) -> Vec<u8> {
    data.chunks(block).flat_map(|block| sha256(&[salt, block])).collect()
}

#[cfg(test)]
mod tests {
    use super::tree;
    use redan_image_layout::hex;
    use redan_image_layout::slot::BLOCK;
    use std::process::Command;

    #[test]
    fn the_tree_is_as_long_as_its_readers_expect() {
        for blocks in [2_usize, 128, 129, 200, 128 * 128 + 1] {
            let (root, tree) = tree(&vec![5; blocks * 4_096], [1; 32]);
            assert_eq!(
                u64::try_from(tree.len()).unwrap(),
                root.tree_blocks() * BLOCK,
                "{blocks} blocks"
            );
        }
    }

    #[test]
    fn the_reference_tool_verifies_our_tree() {
        if Command::new("veritysetup").arg("--version").output().is_err() {
            eprintln!("skipped: veritysetup is not installed");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let data: Vec<u8> = (0..300_u32 * 1_024).flat_map(u32::to_le_bytes).collect();
        let (root, tree) = tree(&data, [7; 32]);
        let (data_file, tree_file) = (folder.path().join("data"), folder.path().join("tree"));
        std::fs::write(&data_file, &data).unwrap();
        std::fs::write(&tree_file, &tree).unwrap();
        let verify = |hash: &str| {
            let mut command = Command::new("veritysetup");
            command.args([
                "verify",
                "--no-superblock",
                "--salt",
                &hex(&root.salt),
                "--data-blocks",
                "300",
            ]);
            command
                .args([&data_file, &tree_file])
                .arg(hash)
                .output()
                .unwrap()
                .status
                .success()
        };
        assert!(verify(&hex(&root.hash)));
        assert!(!verify(&hex(&[1; 32])));
    }
}
