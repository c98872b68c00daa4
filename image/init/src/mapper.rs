//! The device mapper: the verified root, and the encrypted data.

use crate::disks::Found;
use crate::system;
use crate::{Context, Failure};
use redan_image_layout::hex;
use redan_image_layout::slot::{BLOCK, Root};
use redan_types::SecretBytes;
use std::fs::{File, OpenOptions};
use std::path::PathBuf;

/// `struct dm_ioctl` and `struct dm_target_spec` (`linux/dm-ioctl.h`).
const HEAD: usize = 312;
const TARGET: usize = 40;
/// The longest table that is made here is a few hundred bytes.
const BUFFER: usize = 4_096;
const READ_ONLY: u32 = 1;
const SECURE_DATA: u32 = 1 << 15;
const CREATE: u8 = 3;
const REMOVE: u8 = 4;
const RESUME: u8 = 6;
const LOAD: u8 = 9;
const SECTOR: u64 = 512;

/// A target of one device.
struct Table {
    sectors: u64,
    kind: &'static str,
    parameters: String,
}

/// Maps the root file system; the kernel checks the signature now and every block when it is read. A block that does not match
/// its hash stops the machine.
///
/// # Errors
/// The kernel does not take the signature, or has no device mapper.
pub fn map_root(slot: &Found, root: &Root, signature: &[u8]) -> Result<PathBuf, Failure> {
    system::add_key(c"user", c"redan:root", signature)
        .context(|| "cannot hand over the signature of the root".to_owned())?;
    let Root { hash, salt, blocks } = root;
    let parameters = format!(
        "1 {device} {device} {BLOCK} {BLOCK} {blocks} {blocks} sha256 {hash} {salt} 3 panic_on_corruption \
         root_hash_sig_key_desc redan:root",
        device = slot.numbers,
        hash = hex(hash),
        salt = hex(salt),
    );
    let sectors = blocks
        .checked_mul(BLOCK / SECTOR)
        .ok_or_else(|| Failure::new("the root has more blocks than a disk"))?;
    let table = Table {
        sectors,
        kind: "verity",
        parameters,
    };
    map("redan-root", READ_ONLY, &table).context(|| format!("the root in {} is not accepted", slot.device.display()))
}

/// Maps the data partition from `offset` bytes on with this key of 64 bytes (AES-256-XTS).
///
/// # Errors
/// The kernel refuses.
pub fn map_data(partition: &Found, offset: u64, key: &SecretBytes) -> Result<PathBuf, Failure> {
    // As a key in the kernel's keyring it never stands in a table that could be read back.
    system::add_key(c"logon", c"redan:data", key.expose()).context(|| "cannot hand over the data's key".to_owned())?;
    // Whole blocks of 4096 bytes.
    let sectors = partition.size.saturating_sub(offset) / BLOCK * (BLOCK / SECTOR);
    let table = Table {
        sectors,
        kind: "crypt",
        parameters: format!(
            "aes-xts-plain64 :64:logon:redan:data 0 {} {} 1 sector_size:4096",
            partition.numbers,
            offset / SECTOR
        ),
    };
    map("redan-data", SECURE_DATA, &table).context(|| format!("cannot map {}", partition.device.display()))
}

fn map(name: &str, flags: u32, table: &Table) -> Result<PathBuf, Failure> {
    let control = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/mapper/control")
        .context(|| "cannot open the device mapper".to_owned())?;
    let number = ask(&control, CREATE, name, 0, None).context(|| format!("cannot make the device {name}"))?;
    let made = ask(&control, LOAD, name, flags, Some(table))
        .context(|| "the kernel refuses the table".to_owned())
        .and_then(|_| ask(&control, RESUME, name, 0, None).context(|| "the device cannot be activated".to_owned()));
    if let Err(failure) = made {
        // Best effort: what is to be reported is why it could not be made.
        let _ = ask(&control, REMOVE, name, 0, None);
        return Err(failure);
    }
    Ok(PathBuf::from(format!("/dev/dm-{}", minor(number))))
}

fn ask(control: &File, command: u8, name: &str, flags: u32, table: Option<&Table>) -> std::io::Result<u64> {
    let mut buffer = request(name, flags, table).ok_or(std::io::ErrorKind::InvalidInput)?;
    system::device_mapper(control, command, &mut buffer)?;
    Ok(buffer
        .get(40..48)
        .and_then(|bytes| bytes.try_into().ok())
        .map_or(0, u64::from_le_bytes))
}

/// The bytes of a request; `None` where something does not fit.
fn request(name: &str, flags: u32, table: Option<&Table>) -> Option<Vec<u8>> {
    let mut buffer = vec![0; BUFFER];
    let mut put = |at: usize, bytes: &[u8]| -> Option<()> {
        buffer.get_mut(at..at.checked_add(bytes.len())?)?.copy_from_slice(bytes);
        Some(())
    };
    // Version 4.0.0 of the interface, the size of it all, where the tables begin.
    put(0, &4_u32.to_le_bytes())?;
    put(12, &u32::try_from(BUFFER).ok()?.to_le_bytes())?;
    put(16, &u32::try_from(HEAD).ok()?.to_le_bytes())?;
    put(28, &flags.to_le_bytes())?;
    put(48, name.as_bytes().get(..name.len().min(127))?)?;
    if let Some(table) = table {
        put(20, &1_u32.to_le_bytes())?;
        put(HEAD + 8, &table.sectors.to_le_bytes())?;
        let end = TARGET + table.parameters.len() + 1;
        put(HEAD + 20, &u32::try_from(end.next_multiple_of(8)).ok()?.to_le_bytes())?;
        put(HEAD + 24, table.kind.as_bytes())?;
        // One byte less than what is left: the parameters end with a zero.
        if HEAD + end > BUFFER {
            return None;
        }
        put(HEAD + TARGET, table.parameters.as_bytes())?;
    }
    Some(buffer)
}

/// The minor number in the kernel's encoding of a device (`new_encode_dev`).
const fn minor(device: u64) -> u64 {
    device & 0xff | device >> 12 & 0xfff_ff00
}

#[cfg(test)]
mod tests {
    use super::{BUFFER, HEAD, TARGET, Table, minor, request};

    #[test]
    fn a_request_has_the_kernels_layout() {
        let table = Table {
            sectors: 80,
            kind: "verity",
            parameters: "1 2 3".to_owned(),
        };
        let bytes = request("redan-root", 1, Some(&table)).unwrap();
        assert_eq!(bytes.len(), BUFFER);
        assert_eq!(bytes[48..59], *b"redan-root\0");
        assert_eq!(bytes[HEAD + 8], 80);
        assert_eq!(bytes[HEAD + 24..HEAD + 31], *b"verity\0");
        assert_eq!(bytes[HEAD + TARGET..HEAD + TARGET + 6], *b"1 2 3\0");
    }

    #[test]
    fn a_table_that_does_not_fit_is_not_cut() {
        let table = Table {
            sectors: 8,
            kind: "crypt",
            parameters: "x".repeat(BUFFER - HEAD - TARGET),
        };
        assert!(request("redan-data", 0, Some(&table)).is_none());
    }

    #[test]
    fn the_minor_number_is_read_from_both_places() {
        assert_eq!(minor(254 << 8 | 3), 3);
        assert_eq!(minor(1 << 20 | 254 << 8 | 2), 258);
    }
}
