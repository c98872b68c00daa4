//! The file system on the opened data partition: ext4, made by the builder and copied here, since the image has no formatter.
//!
//! A seed is `"redan seed v1\0\0\0"`, the length of the file system (u64), and the blocks of 4096 bytes that are not zero, each behind
//! its number (u64), all little-endian. Everything else is written as zeros: below it is what the disk had before, decrypted to noise.

use crate::system;
use crate::{Context, Failure};
use rustix::mount::{MountFlags, mount};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// What a seed begins with.
pub const MAGIC: &[u8; 16] = b"redan seed v1\0\0\0";
/// Bytes of a block.
pub const BLOCK: usize = 4_096;
/// The largest file system that a seed may describe.
const LARGEST: u64 = 1 << 30;
/// Blocks that are written at once.
const AT_ONCE: u64 = 256;

/// Writes the seed's file system to a device.
///
/// # Errors
/// The seed is not one; the device is too small or does not take it.
pub fn plant(seed: &[u8], device: &mut File) -> Result<(), Failure> {
    let wrong = || Failure::new("the seed of the data's file system is damaged");
    let (length, mut blocks) = seed
        .strip_prefix(MAGIC)
        .and_then(<[u8]>::split_first_chunk)
        .ok_or_else(wrong)?;
    let length = u64::from_le_bytes(*length);
    let block = u64::try_from(BLOCK).map_err(|_| wrong())?;
    if length > LARGEST || length % block != 0 {
        return Err(wrong());
    }
    let mut next = 0;
    let mut run = Vec::new();
    while next < length / block {
        let count = AT_ONCE.min(length / block - next);
        run.clear();
        run.resize(usize::try_from(count).map_err(|_| wrong())? * BLOCK, 0);
        while let Some((number, rest)) = blocks.split_first_chunk() {
            let number = u64::from_le_bytes(*number);
            if number >= next + count {
                break;
            }
            let at = number
                .checked_sub(next)
                .and_then(|at| usize::try_from(at).ok())
                .ok_or_else(wrong)?
                * BLOCK;
            let content = rest.get(..BLOCK).ok_or_else(wrong)?;
            run.get_mut(at..at + BLOCK).ok_or_else(wrong)?.copy_from_slice(content);
            blocks = rest.get(BLOCK..).unwrap_or_default();
        }
        device
            .write_all(&run)
            .context(|| "cannot write the data's file system".to_owned())?;
        next += count;
    }
    if blocks.is_empty() {
        device
            .sync_all()
            .context(|| "cannot write the data's file system".to_owned())
    } else {
        Err(wrong())
    }
}

/// Mounts the file system and lets it grow to the end of its device.
///
/// # Errors
/// It cannot be mounted; that it cannot grow is an error too, since it would fill soon.
pub fn attach(device: &Path, target: &Path) -> Result<(), Failure> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC | MountFlags::NOATIME;
    mount(device, target, "ext4", flags, c"errors=remount-ro")
        .context(|| format!("cannot mount the data at {}", target.display()))?;
    let size = File::open(device)
        .and_then(|mut file| file.seek(SeekFrom::End(0)))
        .context(|| "cannot see how large the data partition is".to_owned())?;
    let mounted = File::open(target).context(|| "cannot open the data's file system".to_owned())?;
    let block = u64::try_from(BLOCK).unwrap_or(u64::MAX);
    let wanted = size / block;
    let now = rustix::fs::statvfs(target).context(|| "cannot see how large the data's file system is".to_owned())?;
    // What the file system keeps for itself is not counted among its blocks, so a grown one can look smaller than its device; asking
    // for the size that it has changes nothing.
    if now.f_blocks < wanted {
        system::resize_ext4(&mounted, wanted).context(|| "the data's file system cannot grow".to_owned())?;
    }
    Ok(())
}

/// Reads a seed.
///
/// # Errors
/// It cannot be read.
pub fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut seed = Vec::new();
    File::open(path)
        .and_then(|file| file.take(LARGEST).read_to_end(&mut seed))
        .context(|| "cannot read the seed of the data's file system".to_owned())?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::{BLOCK, MAGIC, plant};
    use std::io::{Read, Seek, SeekFrom};

    fn seed(length: usize, blocks: &[(u64, u8)]) -> Vec<u8> {
        let mut seed = [&MAGIC[..], &u64::try_from(length).unwrap().to_le_bytes()].concat();
        for (number, content) in blocks {
            seed.extend_from_slice(&number.to_le_bytes());
            seed.extend_from_slice(&[*content; BLOCK]);
        }
        seed
    }

    #[test]
    fn blocks_go_to_their_places_and_zeros_everywhere_else() {
        let mut file = tempfile::tempfile().unwrap();
        plant(&seed(600 * BLOCK, &[(1, 7), (256, 8), (599, 9)]), &mut file).unwrap();
        let mut written = Vec::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_end(&mut written).unwrap();
        assert_eq!(written.len(), 600 * BLOCK);
        for (number, block) in written.chunks(BLOCK).enumerate() {
            let wanted = match number {
                1 => 7,
                256 => 8,
                599 => 9,
                _ => 0,
            };
            assert!(block.iter().all(|byte| *byte == wanted), "block {number}");
        }
    }

    #[test]
    fn a_seed_that_is_cut_or_out_of_order_is_refused() {
        let whole = seed(4 * BLOCK, &[(1, 7), (2, 8)]);
        let plant = |seed: &[u8]| plant(seed, &mut tempfile::tempfile().unwrap());
        assert!(plant(&whole).is_ok());
        assert!(plant(&whole[..whole.len() - 1]).is_err());
        assert!(plant(&seed(4 * BLOCK, &[(4, 7)])).is_err());
        assert!(plant(&seed(400 * BLOCK, &[(300, 7), (2, 8)])).is_err());
        assert!(plant(&seed(100, &[])).is_err());
        assert!(plant(b"").is_err());
    }
}
