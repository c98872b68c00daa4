//! The partitions of the disk.
//!
//! ```text
//! ESP    systemd-boot, the unified kernel images, loader.conf
//! A, B   one root file system each, with its hash tree and trailer
//! data   encrypted; the last, so that it can grow to the end of the disk
//! ```

/// A partition: its name in the partition table, by which the first program finds it, and its type.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Partition {
    /// The name, which the kernel tells as `PARTNAME`.
    pub name: &'static str,
    /// The type as it is written in the table: the first three fields of the GUID little-endian (UEFI, appendix A).
    pub kind: [u8; 16],
}

/// The system partition of the firmware (UEFI section 5.3.3).
pub const ESP: Partition = Partition {
    name: "redan-esp",
    kind: guid(
        0xc12a_7328,
        0xf81f,
        0x11d2,
        [0xba, 0x4b, 0x00, 0xa0, 0xc9, 0x3e, 0xc9, 0x3b],
    ),
};

/// The first slot.
pub const SLOT_A: Partition = Partition {
    name: "redan-a",
    kind: SLOT,
};

/// The second slot.
pub const SLOT_B: Partition = Partition {
    name: "redan-b",
    kind: SLOT,
};

/// The data.
pub const DATA: Partition = Partition {
    name: "redan-data",
    kind: guid(
        0x5245_4441,
        0x4e44,
        0x4154,
        [0x80, 0x01, 0x72, 0x65, 0x64, 0x61, 0x6e, 0x02],
    ),
};

/// All of them in the order in which they lie on the disk.
pub const ALL: [Partition; 4] = [ESP, SLOT_A, SLOT_B, DATA];

/// Bytes of the system partition: three unified kernel images (the one that runs, the one to go back to, the one being written).
pub const ESP_SIZE: u64 = 128 << 20;
/// Bytes of a slot.
pub const SLOT_SIZE: u64 = 96 << 20;
/// Bytes of the data partition in the image; it grows to the end of the disk at the first start.
pub const DATA_SIZE: u64 = 64 << 20;

/// A type of our own: nobody else is to take a slot for something that they know how to mount.
const SLOT: [u8; 16] = guid(
    0x5245_4441,
    0x4e53,
    0x4c4f,
    [0x80, 0x01, 0x72, 0x65, 0x64, 0x61, 0x6e, 0x01],
);

const fn guid(first: u32, second: u16, third: u16, rest: [u8; 8]) -> [u8; 16] {
    let [a, b, c, d] = first.to_le_bytes();
    let [e, f] = second.to_le_bytes();
    let [g, h] = third.to_le_bytes();
    let [i, j, k, l, m, n, o, p] = rest;
    [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p]
}
