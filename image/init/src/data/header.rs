//! The header of the data partition.
//!
//! The partition's first [`AREA`] bytes are not encrypted and hold two copies of the header, [`PLACE`] bytes apart; from [`AREA`] on
//! everything is AES-256-XTS with the volume key. A change is written to the copy that is not the newest, so that a power cut leaves
//! one that is whole. A copy is
//!
//! ```text
//! magic      16 bytes, "redan data v1\0\0\0"
//! length     u32, little-endian
//! body       postcard, see [`Header`]
//! seal       HMAC-SHA256 over magic, length and body, with a key derived from the volume key
//! checksum   SHA-256 over everything before it
//! ```
//!
//! The checksum tells a damaged copy from a whole one before there is a key; the seal, checked as soon as there is one, tells a
//! header that somebody changed.

use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::hmac;
use redan_image_layout::sha256;
use redan_types::SecretBytes;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Bytes before the encrypted part.
pub(crate) const AREA: u64 = 1 << 20;
/// Bytes from one copy to the other.
const PLACE: u64 = 64 << 10;
/// Bytes of a copy at most.
const LONGEST: usize = 32 << 10;
const MAGIC: &[u8; 16] = b"redan data v1\0\0\0";

/// What the header says.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Header {
    /// Which data partition this is.
    pub(crate) id: [u8; 16],
    /// Higher with each change.
    pub(crate) sequence: u64,
    /// The volume key for the TPM; `None` on a machine without one.
    pub(crate) sealed: Option<Sealed>,
    /// The volume key for the recovery key.
    pub(crate) recovery: Wrapped,
}

/// The volume key, encrypted with a key that two secrets make: one that the TPM gives to images that our maker approves, one that it
/// gives while the firmware's state is one that this machine approves. Neither alone says anything.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Sealed {
    /// The security version of the image that sealed it.
    pub(crate) security: u32,
    /// The secret for approved images, as the TPM sealed it.
    pub(crate) image: Vec<u8>,
    /// The secret for approved states of the firmware, as the TPM sealed it.
    pub(crate) firmware: Vec<u8>,
    /// This machine's key that approves states of the firmware: P-256, uncompressed.
    pub(crate) approver: Vec<u8>,
    /// The states that it approved, the newest last.
    pub(crate) states: Vec<State>,
    /// The volume key.
    pub(crate) key: Wrapped,
}

/// An approved state of the firmware.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct State {
    /// The value of PCR 7: which keys the firmware trusts, and by which of them what was started is signed.
    pub(crate) pcr: [u8; 32],
    /// ECDSA P-256 with SHA-256, DER.
    pub(crate) signature: Vec<u8>,
}

/// A key encrypted with AES-256-GCM under a key derived from a secret.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub(crate) struct Wrapped {
    pub(crate) nonce: [u8; 12],
    pub(crate) text: Vec<u8>,
}

/// A header as it was read: not to be believed before [`Found::check`].
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) header: Header,
    signed: Vec<u8>,
    seal: [u8; 32],
}

/// What stands at the beginning of a partition.
#[derive(Debug)]
pub(crate) enum Area {
    /// Zeros, as the image is delivered and a factory reset leaves it.
    Empty,
    /// A header.
    Header(Box<Found>),
    /// Something else.
    Damaged,
}

/// The header was changed by somebody who does not have the volume key.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("the header of the data partition was altered")]
pub struct Altered;

impl Found {
    /// Checks the seal.
    pub(crate) fn check(&self, volume: &SecretBytes) -> Result<(), Altered> {
        hmac::verify(&sealer(volume), &self.signed, &self.seal).map_err(|_| Altered)
    }
}

/// Reads the area.
pub(crate) fn read(device: &File) -> io::Result<Area> {
    let mut newest: Option<Found> = None;
    let mut clean = true;
    for place in [0, PLACE] {
        let mut bytes = vec![0; LONGEST];
        device.read_exact_at(&mut bytes, place)?;
        clean &= bytes.iter().all(|byte| *byte == 0);
        if let Some(found) = decode(&bytes)
            && newest
                .as_ref()
                .is_none_or(|newest| newest.header.sequence < found.header.sequence)
        {
            newest = Some(found);
        }
    }
    Ok(match newest {
        Some(found) => Area::Header(Box::new(found)),
        None if clean => Area::Empty,
        None => Area::Damaged,
    })
}

/// Writes a header with the next sequence number over the older copy; durable when this returns.
pub(crate) fn write(device: &File, header: &mut Header, volume: &SecretBytes) -> io::Result<()> {
    header.sequence = header.sequence.saturating_add(1);
    let bytes = encode(header, volume).ok_or(io::ErrorKind::InvalidData)?;
    device.write_all_at(&bytes, header.sequence % 2 * PLACE)?;
    device.sync_all()
}

/// Overwrites the whole area, with noise first: the keys are gone when this returns.
pub(crate) fn destroy(device: &File, noise: &[u8]) -> io::Result<()> {
    let length = usize::try_from(AREA).unwrap_or(0);
    let mut cover: Vec<u8> = noise.iter().copied().cycle().take(length).collect();
    device.write_all_at(&cover, 0)?;
    device.sync_all()?;
    cover.fill(0);
    device.write_all_at(&cover, 0)?;
    device.sync_all()
}

fn encode(header: &Header, volume: &SecretBytes) -> Option<Vec<u8>> {
    let body = postcard::to_stdvec(header).ok()?;
    let length = u32::try_from(body.len()).ok()?;
    let mut bytes = [&MAGIC[..], &length.to_le_bytes(), &body].concat();
    let seal = hmac::sign(&sealer(volume), &bytes);
    bytes.extend_from_slice(seal.as_ref());
    let checksum = sha256(&[&bytes]);
    bytes.extend_from_slice(&checksum);
    if bytes.len() > LONGEST {
        return None;
    }
    bytes.resize(LONGEST, 0);
    Some(bytes)
}

fn decode(bytes: &[u8]) -> Option<Found> {
    let (length, _) = bytes.strip_prefix(MAGIC)?.split_first_chunk()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let signed = bytes.get(..(MAGIC.len() + 4).checked_add(length)?)?;
    let (seal, rest) = bytes.get(signed.len()..)?.split_first_chunk::<32>()?;
    if rest.get(..32)? != sha256(&[signed, seal]) {
        return None;
    }
    Some(Found {
        header: postcard::from_bytes(signed.get(MAGIC.len() + 4..)?).ok()?,
        signed: signed.to_vec(),
        seal: *seal,
    })
}

fn sealer(volume: &SecretBytes) -> hmac::Key {
    let derived = Salt::new(HKDF_SHA256, b"redan data header v1").extract(volume.expose());
    // The length is the one that the algorithm has, which is the only thing that can be wrong here; a key of zeros would verify nothing.
    match derived.expand(&[b"seal"], hmac::HMAC_SHA256) {
        Ok(key) => hmac::Key::from(key),
        Err(_) => hmac::Key::new(hmac::HMAC_SHA256, volume.expose()),
    }
}

#[cfg(test)]
mod tests {
    use super::{AREA, Altered, Area, Header, Wrapped, destroy, read, write};
    use redan_types::SecretBytes;
    use std::fs::File;
    use std::os::unix::fs::FileExt;

    fn partition() -> File {
        let file = tempfile::tempfile().unwrap();
        file.set_len(AREA).unwrap();
        file
    }

    fn header() -> Header {
        Header {
            id: [3; 16],
            sequence: 0,
            sealed: None,
            recovery: Wrapped {
                nonce: [1; 12],
                text: vec![9; 80],
            },
        }
    }

    fn volume() -> SecretBytes {
        SecretBytes::new(vec![7; 64])
    }

    fn header_in(file: &File) -> Box<super::Found> {
        match read(file).unwrap() {
            Area::Header(found) => found,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_whole_copy_counts() {
        let (file, mut header) = (partition(), header());
        assert!(matches!(read(&file).unwrap(), Area::Empty));
        write(&file, &mut header, &volume()).unwrap();
        header.id = [4; 16];
        write(&file, &mut header, &volume()).unwrap();
        assert_eq!(header_in(&file).header.id, [4; 16]);
        // The second copy was half written when the power went.
        file.write_all_at(&[0; 30], 20).unwrap();
        assert_eq!(header_in(&file).header.id, [3; 16]);
    }

    #[test]
    fn a_header_that_was_written_with_another_key_is_altered() {
        let (file, mut header) = (partition(), header());
        write(&file, &mut header, &SecretBytes::new(vec![8; 64])).unwrap();
        assert_eq!(header_in(&file).check(&volume()), Err(Altered));
        write(&file, &mut header, &volume()).unwrap();
        assert_eq!(header_in(&file).check(&volume()), Ok(()));
    }

    #[test]
    fn what_is_neither_empty_nor_a_header_is_damaged() {
        let file = partition();
        file.write_all_at(b"ext4 or so", 0).unwrap();
        assert!(matches!(read(&file).unwrap(), Area::Damaged));
    }

    #[test]
    fn nothing_of_a_header_is_left_when_it_is_destroyed() {
        let (file, mut header) = (partition(), header());
        write(&file, &mut header, &volume()).unwrap();
        write(&file, &mut header, &volume()).unwrap();
        destroy(&file, &[5; 64]).unwrap();
        let mut all = vec![1; usize::try_from(AREA).unwrap()];
        file.read_exact_at(&mut all, 0).unwrap();
        assert!(all.iter().all(|byte| *byte == 0));
    }
}
