//! The partition table (UEFI specification, section 5.3). Identifiers are derived from names, so that they are always the same.

use crate::disk::{DATA, Partition};
use crate::sha256;

const SECTOR: u64 = 512;
const ENTRY: usize = 128;
const ENTRIES: usize = 128;
/// Where the first partition begins, and what every one is aligned to.
pub const ALIGNMENT: u64 = 1 << 20;
/// The protective record, the header and the entries at the beginning; entries and header at the end.
pub const HEAD: usize = 34 * 512;
const TAIL: usize = 33 * 512;

/// A table: what stands at the beginning and at the end of the disk, and where each partition begins.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Table {
    /// What stands at the beginning of the disk.
    pub head: Vec<u8>,
    /// What stands at its end.
    pub tail: Vec<u8>,
    /// Where each partition begins, in bytes.
    pub starts: Vec<u64>,
    /// The size of the disk in bytes.
    pub size: u64,
}

/// A table for these partitions with their sizes in bytes, one after the other; `None` where one's name is too long.
#[must_use]
pub fn table(partitions: &[(Partition, u64)], seed: &[u8]) -> Option<Table> {
    let mut entries = vec![0; ENTRY * ENTRIES];
    let mut starts = Vec::new();
    let mut next = ALIGNMENT;
    for ((partition, size), entry) in partitions.iter().zip(entries.chunks_exact_mut(ENTRY)) {
        starts.push(next);
        let end = next + size.next_multiple_of(ALIGNMENT);
        let name: Vec<u8> = partition.name.encode_utf16().flat_map(u16::to_le_bytes).collect();
        let fields: [&[u8]; 6] = [
            &partition.kind,
            &identifier(&[seed, partition.name.as_bytes()]),
            &(next / SECTOR).to_le_bytes(),
            &(end / SECTOR - 1).to_le_bytes(),
            &[0; 8],
            &name,
        ];
        let bytes = fields.concat();
        entry.get_mut(..bytes.len())?.copy_from_slice(&bytes);
        next = end;
    }
    let size = next + ALIGNMENT;
    let (head, tail) = around(&entries, identifier(&[seed, b"disk"]), size)?;
    Some(Table {
        head,
        tail,
        starts,
        size,
    })
}

/// A table whose data partition was made to reach the end of its disk.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Grown {
    /// What stands at the beginning of the disk.
    pub head: Vec<u8>,
    /// What stands at its end.
    pub tail: Vec<u8>,
    /// The partition's number, from 1.
    pub number: i32,
    /// Where it begins, in bytes.
    pub start: u64,
    /// Its length in bytes.
    pub length: u64,
}

/// Reads the beginning of a disk ([`HEAD`] bytes) and lets the data partition reach the end of the disk, whose size is in bytes. `None`
/// where it does already, or where the table is not one of ours.
#[must_use]
pub fn grow(head: &[u8], size: u64) -> Option<Grown> {
    let header = head.get(512..1_024)?;
    let mut entries = head.get(1_024..HEAD)?.to_vec();
    let field = |at: usize| {
        header
            .get(at..at + 4)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u32::from_le_bytes)
    };
    let mut checked = header.get(..92)?.to_vec();
    checked.get_mut(16..20)?.fill(0);
    let is_ours = header.starts_with(b"EFI PART") && field(80)? == 128 && field(84)? == 128;
    if !is_ours || crc32(&checked) != field(16)? || crc32(&entries) != field(88)? {
        return None;
    }
    let disk = header.get(56..72)?.try_into().ok()?;
    let number = |entry: &[u8], at: usize| {
        entry
            .get(at..at + 8)
            .and_then(|bytes| bytes.try_into().ok())
            .map(u64::from_le_bytes)
    };
    let position = entries
        .chunks_exact(ENTRY)
        .position(|entry| entry.starts_with(&DATA.kind))?;
    let furthest = entries
        .chunks_exact(ENTRY)
        .filter_map(|entry| number(entry, 40))
        .max()?;
    let data = entries.chunks_exact_mut(ENTRY).nth(position)?;
    let (start, last) = (number(data, 32)?, number(data, 40)?);
    // The table's own sectors at the end are left free.
    let end = (size / ALIGNMENT).checked_sub(1)? * (ALIGNMENT / SECTOR);
    if last != furthest || end <= last + 1 || start >= end {
        return None;
    }
    data.get_mut(40..48)?.copy_from_slice(&(end - 1).to_le_bytes());
    let (head, tail) = around(&entries, disk, size / SECTOR * SECTOR)?;
    Some(Grown {
        head,
        tail,
        number: i32::try_from(position).ok()? + 1,
        start: start * SECTOR,
        length: (end - start) * SECTOR,
    })
}

/// What stands at both ends of a disk of this size with these entries.
fn around(entries: &[u8], disk: [u8; 16], size: u64) -> Option<(Vec<u8>, Vec<u8>)> {
    let last = size / SECTOR - 1;
    let header = |own: u64, other: u64, at: u64| {
        let mut bytes = [
            &b"EFI PART\0\0\x01\0\x5c\0\0\0"[..],
            &[0; 8],
            &own.to_le_bytes(),
            &other.to_le_bytes(),
            &34_u64.to_le_bytes(),
            &(last - 33).to_le_bytes(),
            &disk,
            &at.to_le_bytes(),
            &128_u32.to_le_bytes(),
            &128_u32.to_le_bytes(),
            &crc32(entries).to_le_bytes(),
        ]
        .concat();
        let checksum = crc32(&bytes).to_le_bytes();
        bytes
            .iter_mut()
            .skip(16)
            .zip(checksum)
            .for_each(|(to, from)| *to = from);
        bytes.resize(512, 0);
        bytes
    };
    let mut protective = vec![0; 512];
    // One partition of type 0xee from sector 1 to the end, or as far as its 32 bits go.
    let length = u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes();
    let record = [&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0][..], &length].concat();
    protective
        .iter_mut()
        .skip(446)
        .zip(record)
        .for_each(|(to, from)| *to = from);
    protective
        .iter_mut()
        .skip(510)
        .zip([0x55, 0xaa])
        .for_each(|(to, from)| *to = from);
    let head = [&protective, &header(1, last, 2), entries].concat();
    let tail = [entries, &header(last, 1, last - 32)].concat();
    (head.len() == HEAD && tail.len() == TAIL).then_some((head, tail))
}

/// A GUID of the kind for identifiers derived from names (RFC 9562 section 5.8).
fn identifier(parts: &[&[u8]]) -> [u8; 16] {
    let mut all = vec![&b"redan image identifier"[..]];
    all.extend_from_slice(parts);
    let mut bytes = [0; 16];
    bytes.iter_mut().zip(sha256(&all)).for_each(|(to, from)| *to = from);
    // Version 8, in the third field, which is written little-endian; and the variant.
    bytes[7] = bytes[7] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    bytes
}

/// CRC-32 (ISO 3309).
fn crc32(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc: u32, _| {
            if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::{ALIGNMENT, Grown, Table, crc32, grow, table};
    use crate::disk;
    use std::io::{Seek, SeekFrom, Write};
    use std::process::Command;

    fn small() -> Table {
        table(&[(disk::ESP, 3 << 20), (disk::DATA, 5 << 20)], b"test").unwrap()
    }

    fn verify(head: &[u8], tail: &[u8], size: u64) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(size).unwrap();
        file.write_all(head).unwrap();
        file.seek(SeekFrom::Start(size - u64::try_from(tail.len()).unwrap()))
            .unwrap();
        file.write_all(tail).unwrap();
        let Ok(output) = Command::new("sfdisk").arg("--verify").arg(file.path()).output() else {
            eprintln!("skipped: sfdisk is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("No errors detected"), "{said}");
    }

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_reference_tool_finds_nothing_wrong() {
        let table = small();
        assert_eq!(table.starts, [ALIGNMENT, 4 * ALIGNMENT]);
        verify(&table.head, &table.tail, table.size);
    }

    #[test]
    fn the_data_partition_grows_to_the_end_of_a_larger_disk_and_once_only() {
        let table = small();
        assert_eq!(grow(&table.head, table.size), None);
        let size = 100 * ALIGNMENT + 512;
        let Grown {
            head,
            tail,
            number,
            start,
            length,
        } = grow(&table.head, size).unwrap();
        assert_eq!((number, start, length), (2, 4 * ALIGNMENT, 95 * ALIGNMENT));
        verify(&head, &tail, size);
        assert_eq!(grow(&head, size), None);
    }

    #[test]
    fn a_damaged_table_is_left_alone() {
        let table = small();
        for at in [512, 520, 600, 1_024 + 40, 1_024 + 128 + 40] {
            let mut head = table.head.clone();
            head[at] ^= 1;
            assert_eq!(grow(&head, 100 * ALIGNMENT), None, "byte {at}");
        }
    }
}
