//! The journal's frames: one group commit each. Bytes only, no files.
//!
//! A frame is `header ‖ body ‖ trailer`. The header carries its own checksum so that the length can be trusted, a checksum of the
//! body, a sequence number, and the hash that chains it to everything before. The trailer lets a reader tell a write that a crash
//! cut short from one that was whole once and was damaged later:
//!
//! * The journal is preallocated with zeros and disks write sectors of 512 bytes whole or not at all. A frame cut short therefore
//!   lacks its trailer, or has a whole sector of zeros in it, which ciphertext never has.
//! * A frame is written only after the one before it is durable. A valid frame after an invalid one therefore proves that the
//!   invalid one was durable once.
//!
//! A cut frame was never acknowledged and is dropped; a damaged one is an error that names the place.

use sha2::{Digest, Sha256};

/// The hash that chains frames: of everything in the journal up to a place.
pub(crate) type Chain = [u8; 32];

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Frame<'a> {
    pub(crate) sequence: u64,
    pub(crate) chain: Chain,
    pub(crate) body: &'a [u8],
    pub(crate) end: usize,
}

/// What lies at a place.
#[derive(Debug)]
pub(crate) enum Found<'a> {
    /// A frame that continues the chain.
    Frame(Frame<'a>),
    /// Nothing: the journal ends here.
    End,
    /// A write that was cut short, never acknowledged.
    Cut,
    /// A frame that was whole once, or one that does not belong here.
    Damaged(&'static str),
}

/// The room for a frame whose body will have `length` bytes; the body is appended to it.
pub(crate) fn begin(length: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(OVERHEAD + length);
    bytes.resize(HEADER, 0);
    bytes
}

/// Completes a frame that [`begin`] began; returns the chain after it. `None` where its body is longer than a frame can be.
pub(crate) fn finish(bytes: &mut Vec<u8>, previous: &Chain, sequence: u64) -> Option<Chain> {
    let (header, body) = bytes.split_at_mut_checked(HEADER)?;
    let length = u32::try_from(body.len()).ok()?;
    let chain = link(previous, sequence, body);
    header[..4].copy_from_slice(MAGIC);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&sequence.to_le_bytes());
    header[16..48].copy_from_slice(&chain);
    header[48..52].copy_from_slice(&crc32c::crc32c(body).to_le_bytes());
    let checksum = crc32c::crc32c(&header[..52]);
    header[52..].copy_from_slice(&checksum.to_le_bytes());
    bytes.extend_from_slice(TRAILER);
    Some(chain)
}

/// Reads what lies at `at` in a segment whose chain so far is `previous`.
pub(crate) fn read<'a>(segment: &'a [u8], at: usize, previous: &Chain, sequence: u64) -> Found<'a> {
    let rest = segment.get(at..).unwrap_or_default();
    if rest.iter().take(HEADER).all(|byte| *byte == 0) {
        // Nothing was written here, or the first sector of a write is missing. Either way nothing whole may follow.
        return if follows(segment, at, sequence) {
            Found::Damaged("a frame is missing though a later one is there")
        } else if rest.iter().any(|byte| *byte != 0) {
            Found::Cut
        } else {
            Found::End
        };
    }
    match parse(rest) {
        Parsed::Frame {
            sequence: number,
            chain,
            body,
        } => {
            if number != sequence || chain != link(previous, sequence, body) {
                return Found::Damaged("a frame does not continue the one before it");
            }
            Found::Frame(Frame {
                sequence,
                chain,
                body,
                end: at + OVERHEAD + body.len(),
            })
        }
        Parsed::Header | Parsed::Body | Parsed::Unfinished if follows(segment, at, sequence) => {
            Found::Damaged("a frame is damaged though a later one is whole")
        }
        Parsed::Header if zero_sector(segment, at, at + HEADER) => Found::Cut,
        Parsed::Header => Found::Damaged("a frame's header is damaged"),
        Parsed::Body => {
            let end = at + OVERHEAD + declared_length(rest).unwrap_or(0);
            if zero_sector(segment, at, end) {
                Found::Cut
            } else {
                Found::Damaged("a frame's content is damaged")
            }
        }
        Parsed::Unfinished => {
            // Its sectors were written or not: each byte of the trailer is right or still zero.
            let end = at + OVERHEAD + declared_length(rest).unwrap_or(0);
            let trailer = segment.get(end.saturating_sub(TRAILER.len())..end).unwrap_or_default();
            let written_or_not = trailer
                .iter()
                .zip(TRAILER)
                .all(|(found, right)| *found == 0 || found == right);
            if written_or_not {
                Found::Cut
            } else {
                Found::Damaged("a frame's end is damaged")
            }
        }
    }
}

enum Parsed<'a> {
    Frame {
        sequence: u64,
        chain: Chain,
        body: &'a [u8],
    },
    /// The header is not one.
    Header,
    /// The header is good, the trailer is there, the body is not what it was.
    Body,
    /// The header is good, and the frame has no trailer.
    Unfinished,
}

fn parse(bytes: &[u8]) -> Parsed<'_> {
    let Some((header, rest)) = bytes.split_first_chunk::<HEADER>() else {
        return Parsed::Header;
    };
    let Some((checked, checksum)) = header.split_last_chunk::<4>() else {
        return Parsed::Header;
    };
    if !header.starts_with(MAGIC) || crc32c::crc32c(checked) != u32::from_le_bytes(*checksum) {
        return Parsed::Header;
    }
    let Some(length) = declared_length(bytes) else {
        return Parsed::Header;
    };
    let Some((body, rest)) = rest.split_at_checked(length) else {
        return Parsed::Header;
    };
    if !rest.starts_with(TRAILER) {
        return Parsed::Unfinished;
    }
    let (mut sequence, mut chain, mut body_checksum) = ([0; 8], [0; 32], [0; 4]);
    sequence.copy_from_slice(&header[8..16]);
    chain.copy_from_slice(&header[16..48]);
    body_checksum.copy_from_slice(&header[48..52]);
    if crc32c::crc32c(body) != u32::from_le_bytes(body_checksum) {
        return Parsed::Body;
    }
    Parsed::Frame {
        sequence: u64::from_le_bytes(sequence),
        chain,
        body,
    }
}

fn declared_length(bytes: &[u8]) -> Option<usize> {
    let length: [u8; 4] = bytes.get(4..8)?.try_into().ok()?;
    usize::try_from(u32::from_le_bytes(length)).ok()
}

/// Whether a whole frame with a later number lies anywhere after `at`.
fn follows(segment: &[u8], at: usize, sequence: u64) -> bool {
    let mut from = at + 1;
    while let Some(rest) = segment.get(from..) {
        let Some(step) = rest.windows(MAGIC.len()).position(|window| window == MAGIC) else {
            return false;
        };
        if let Parsed::Frame { sequence: number, .. } = parse(&rest[step..])
            && number > sequence
        {
            return true;
        }
        from += step + 1;
    }
    false
}

/// Whether the part of some sector that lies within `start..end` is all zeros.
fn zero_sector(segment: &[u8], start: usize, end: usize) -> bool {
    let end = end.min(segment.len());
    let mut from = start;
    while from < end {
        let to = ((from / SECTOR + 1) * SECTOR).min(end);
        if segment[from..to].iter().all(|byte| *byte == 0) {
            return true;
        }
        from = to;
    }
    false
}

fn link(previous: &Chain, sequence: u64, body: &[u8]) -> Chain {
    let mut hash = Sha256::new();
    hash.update(b"redan journal frame\0");
    hash.update(previous);
    hash.update(sequence.to_le_bytes());
    hash.update(body);
    hash.finalize().into()
}

const MAGIC: &[u8] = b"RJf1";
pub(super) const TRAILER: &[u8] = b"1fJR";
/// Magic, length, sequence, chain, checksum of the body, checksum of the header.
const HEADER: usize = 4 + 4 + 8 + 32 + 4 + 4;
/// Bytes of a frame beside its body.
const OVERHEAD: usize = HEADER + 4;
const SECTOR: usize = 512;

#[cfg(test)]
mod tests {
    use super::{Chain, Found, begin, finish, read};
    use proptest::prelude::*;

    fn body(seed: u8, length: usize) -> Vec<u8> {
        // Stands for ciphertext: no run of zeros as long as a sector.
        (0..length)
            .map(|i| seed.wrapping_add(u8::try_from(i % 251).unwrap()) | 1)
            .collect()
    }

    fn encode(previous: &Chain, sequence: u64, body: &[u8]) -> (Vec<u8>, Chain) {
        let mut bytes = begin(body.len());
        bytes.extend_from_slice(body);
        let chain = finish(&mut bytes, previous, sequence).unwrap();
        (bytes, chain)
    }

    fn journal(lengths: &[usize]) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut chain, mut ends) = (Vec::new(), [0; 32], Vec::new());
        for (sequence, length) in lengths.iter().enumerate() {
            let sequence = u64::try_from(sequence).unwrap();
            let (frame, next) = encode(&chain, sequence, &body(3, *length));
            bytes.extend_from_slice(&frame);
            ends.push(bytes.len());
            chain = next;
        }
        bytes.resize(bytes.len() + 4096, 0);
        (bytes, ends)
    }

    /// The places of the frames that can be read, and how it ended.
    fn walk(segment: &[u8]) -> (Vec<usize>, &'static str) {
        let (mut at, mut chain, mut sequence, mut ends) = (0, [0; 32], 0, Vec::new());
        loop {
            match read(segment, at, &chain, sequence) {
                Found::Frame(frame) => {
                    (at, chain, sequence) = (frame.end, frame.chain, frame.sequence + 1);
                    ends.push(at);
                }
                Found::End => return (ends, "end"),
                Found::Cut => return (ends, "cut"),
                Found::Damaged(_) => return (ends, "damaged"),
            }
        }
    }

    #[test]
    fn frames_read_back_in_order() {
        let (bytes, ends) = journal(&[10, 0, 3000]);
        assert_eq!(walk(&bytes), (ends, "end"));
        assert_eq!(walk(&[0; 100]), (Vec::new(), "end"));
        assert_eq!(walk(&[]), (Vec::new(), "end"));
    }

    #[test]
    fn a_frame_of_another_journal_does_not_fit() {
        let (bytes, _) = journal(&[10, 20]);
        assert!(matches!(read(&bytes, 0, &[1; 32], 0), Found::Damaged(_)));
        assert!(matches!(read(&bytes, 0, &[0; 32], 1), Found::Damaged(_)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(300))]

        /// Sectors of the last frame are missing: it was never acknowledged, so it is dropped and what is before it stays.
        #[test]
        fn a_write_cut_short_is_dropped_and_nothing_else(
            lengths in prop::collection::vec(1_usize..3000, 1..4), missing in prop::collection::vec(any::<bool>(), 16),
        ) {
            let (mut bytes, ends) = journal(&lengths);
            let start = ends.len().checked_sub(2).map_or(0, |i| ends[i]);
            let end = ends[ends.len() - 1];
            let mut cut = false;
            for (sector, missing) in (start / 512..=(end - 1) / 512).zip(missing.into_iter().cycle()) {
                let (from, to) = ((sector * 512).max(start), ((sector + 1) * 512).min(end));
                if missing {
                    bytes[from..to].fill(0);
                    cut = true;
                }
            }
            let (read, how) = walk(&bytes);
            if cut {
                prop_assert_eq!(&read, &ends[..ends.len() - 1]);
                prop_assert!(how == "cut" || how == "end", "{}", how);
            } else {
                prop_assert_eq!((read, how), (ends, "end"));
            }
        }

        /// A flipped bit anywhere in what was written is never taken for a cut.
        #[test]
        fn a_flipped_bit_is_damage(lengths in prop::collection::vec(1_usize..2000, 1..4), at in any::<prop::sample::Index>(), bit in 0..8) {
            let (mut bytes, ends) = journal(&lengths);
            let at = at.index(ends[ends.len() - 1]);
            bytes[at] ^= 1_u8 << bit;
            let (read, how) = walk(&bytes);
            prop_assert_eq!(how, "damaged");
            prop_assert!(read.iter().all(|end| *end <= at));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            walk(&bytes);
        }
    }
}
