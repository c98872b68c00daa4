//! The first file system of the data partition, in the form in which the first program plants it.

use crate::tools::{Outcome, read, run, text};
use redan_init::data::filesystem::{BLOCK, MAGIC};

/// Its size; it grows at once to its partition's. Large enough for its journal.
const SIZE: &str = "32M";

/// Makes the seed. Options: blocks of 4096 bytes, no reserve for root, room in the tables to grow to 16 TiB, everything written now.
pub(crate) fn make() -> Outcome<Vec<u8>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("data");
    let identifier = "52454441-4e00-4000-8000-000000000002";
    let arguments = [
        "-q",
        "-F",
        "-t",
        "ext4",
        "-b",
        "4096",
        "-m",
        "0",
        "-I",
        "256",
        "-i",
        "16384",
        "-J",
        "size=4",
        "-U",
        identifier,
        "-L",
        "redan-data",
        "-O",
        "meta_bg,^resize_inode,metadata_csum,64bit,^orphan_file",
        "-E",
        &format!("hash_seed={identifier},root_owner=0:0,lazy_itable_init=0,lazy_journal_init=0,nodiscard"),
        text(&file)?,
        SIZE,
    ];
    run("mke2fs", &arguments)?;
    let content = read(&file)?;
    let mut seed = [&MAGIC[..], &u64::try_from(content.len())?.to_le_bytes()].concat();
    for (number, block) in content.chunks(BLOCK).enumerate() {
        if block.iter().any(|byte| *byte != 0) {
            seed.extend_from_slice(&u64::try_from(number)?.to_le_bytes());
            seed.extend_from_slice(block);
        }
    }
    Ok(seed)
}
