//! The partition table (UEFI specification, section 5.3). Identifiers are derived from names, so that they are always the same.

use crate::tools::Outcome;
use redan_image_layout::disk::Partition;
use redan_image_layout::sha256;

const SECTOR: u64 = 512;
const ENTRY: usize = 128;
const ENTRIES: usize = 128;
/// Where the first partition begins, and what every one is aligned to.
pub(crate) const ALIGNMENT: u64 = 1 << 20;
/// The protective record, the header and the entries at the beginning; entries and header at the end.
const HEAD: usize = 34 * 512;
const TAIL: usize = 33 * 512;

/// A table: what stands at the beginning and at the end of the disk, and where each partition begins.
pub(crate) struct Table {
    pub(crate) head: Vec<u8>,
    pub(crate) tail: Vec<u8>,
    pub(crate) starts: Vec<u64>,
    pub(crate) size: u64,
}

/// A table for these partitions with their sizes in bytes, one after the other.
pub(crate) fn table(partitions: &[(Partition, u64)], seed: &[u8]) -> Outcome<Table> {
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
        entry.get_mut(..bytes.len()).ok_or("a partition's name is too long")?.copy_from_slice(&bytes);
        next = end;
    }
    let size = next + ALIGNMENT;
    let last = size / SECTOR - 1;
    let disk = identifier(&[seed, b"disk"]);
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
            &crc32(&entries).to_le_bytes(),
        ]
        .concat();
        let checksum = crc32(&bytes).to_le_bytes();
        bytes.iter_mut().skip(16).zip(checksum).for_each(|(to, from)| *to = from);
        bytes.resize(512, 0);
        bytes
    };
    let mut protective = vec![0; 512];
    // One partition of type 0xee from sector 1 to the end, or as far as its 32 bits go.
    let length = u32::try_from(last).unwrap_or(u32::MAX).to_le_bytes();
    let record = [&[0, 0, 2, 0, 0xee, 0xff, 0xff, 0xff, 1, 0, 0, 0][..], &length].concat();
    protective.iter_mut().skip(446).zip(record).for_each(|(to, from)| *to = from);
    protective.iter_mut().skip(510).zip([0x55, 0xaa]).for_each(|(to, from)| *to = from);
    let head = [protective, header(1, last, 2), entries.clone()].concat();
    let tail = [entries.clone(), header(last, 1, last - 32)].concat();
    if head.len() != HEAD || tail.len() != TAIL {
        return Err("the partition table does not fit its place".into());
    }
    Ok(Table {
        head,
        tail,
        starts,
        size,
    })
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
    use super::{ALIGNMENT, crc32, table};
    use redan_image_layout::disk;
    use std::io::{Seek, SeekFrom, Write};
    use std::process::Command;

    #[test]
    fn the_checksum_is_the_usual_one() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }

    #[test]
    fn the_reference_tool_finds_nothing_wrong() {
        let table = table(&[(disk::ESP, 3 << 20), (disk::SLOT_A, 5 << 20)], b"test").unwrap();
        assert_eq!(table.starts, [ALIGNMENT, 4 * ALIGNMENT]);
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.as_file().set_len(table.size).unwrap();
        file.write_all(&table.head).unwrap();
        let tail = table.size - u64::try_from(table.tail.len()).unwrap();
        file.seek(SeekFrom::Start(tail)).unwrap();
        file.write_all(&table.tail).unwrap();
        let Ok(output) = Command::new("sfdisk").arg("--verify").arg(file.path()).output() else {
            eprintln!("skipped: sfdisk is not installed");
            return;
        };
        let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && said.contains("No errors detected"), "{said}");
    }
}
