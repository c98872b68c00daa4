//! The form of every message: a 16-byte header and a `postcard` body.
//!
//! ```text
//! 0       version (1)
//! 1       kind: 0 request, 1 reply, 2 dropped (the server gives no answer), 3 notice (nobody answers)
//! 2       1 when the body is in the memory file that is the packet's first descriptor, else 0
//! 3       0
//! 4..8    for a request: milliseconds that the client will wait, little-endian; else 0
//! 8..16   request id, little-endian; the reply repeats it
//! 16..    the body
//! ```

use crate::IpcError;
use crate::channel::{Channel, MAX_PACKET, Packet};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags};
use serde::{Serialize, de::DeserializeOwned};
use std::os::unix::fs::FileExt;
use std::time::Duration;
use zeroize::{Zeroize, Zeroizing};

/// The version of the framing and of the message tables. A change to either that is not additive raises it.
pub const VERSION: u8 = 2;

const HEADER: usize = 16;
const INLINE: usize = MAX_PACKET - HEADER;
/// What nearly every body fits in.
const USUAL: usize = 1 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// The server gives no answer to this request.
    Dropped,
    /// A message that nobody answers.
    Notice,
    /// The answer to the request with the same id.
    Reply,
    /// A question.
    Request,
}

/// The header of a message.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Header {
    /// What it is.
    pub kind: Kind,
    /// The request's number.
    pub id: u64,
    /// How long the client will wait, for a request.
    pub wait: Duration,
}

/// A message ready to be sent.
#[derive(Debug)]
pub struct Encoded {
    header: [u8; HEADER],
    body: Vec<u8>,
    file: Option<OwnedFd>,
}

/// A message as it arrived.
#[derive(Debug)]
pub struct Received {
    /// Its header.
    pub header: Header,
    body: Body,
    /// Descriptors beside the body's own.
    pub descriptors: Vec<OwnedFd>,
}

#[derive(Debug)]
enum Body {
    Inline(usize),
    File(Zeroizing<Vec<u8>>),
}

impl Encoded {
    /// Encodes `body` behind `header`.
    ///
    /// # Errors
    /// A body over `limit`, or no memory file for a large one.
    pub fn new<T: Serialize>(header: Header, body: &T, limit: usize) -> Result<Self, IpcError> {
        // With room from the start, what is secret in a body of usual size leaves no copy where the buffer grew.
        let body = postcard::to_extend(body, Vec::with_capacity(USUAL))?;
        if body.len() > limit {
            return Err(IpcError::TooLarge {
                size: body.len(),
                limit,
            });
        }
        let mut encoded = Self {
            header: header.encode(false),
            body,
            file: None,
        };
        if encoded.body.len() > INLINE {
            encoded.file = Some(seal(&encoded.body)?);
            encoded.header = header.encode(true);
            encoded.body.zeroize();
        }
        Ok(encoded)
    }

    /// Sends it with further descriptors.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn send(&self, channel: &Channel, descriptors: &[BorrowedFd<'_>]) -> Result<(), IpcError> {
        match &self.file {
            None => channel.send(&[&self.header, &self.body], descriptors),
            Some(file) => {
                let mut all = vec![file.as_fd()];
                all.extend_from_slice(descriptors);
                channel.send(&[&self.header], &all)
            }
        }
    }
}

impl Drop for Encoded {
    /// Passwords, PINs and keys travel in bodies.
    fn drop(&mut self) {
        self.body.zeroize();
    }
}

impl Received {
    /// Reads the header of a packet in `buffer`, and the body where it came in a memory file.
    ///
    /// # Errors
    /// Another version, a broken header, a memory file that is not sealed or over `limit`.
    pub fn parse(buffer: &[u8], packet: Packet, limit: usize) -> Result<Self, IpcError> {
        let bytes = buffer
            .get(..packet.length)
            .ok_or(IpcError::Framing("a packet outside its buffer"))?;
        let header: &[u8; HEADER] = bytes
            .first_chunk()
            .ok_or(IpcError::Framing("a packet without a header"))?;
        let (header, in_file) = Header::decode(header)?;
        let mut descriptors = packet.descriptors;
        let body = if in_file {
            if descriptors.is_empty() {
                return Err(IpcError::Framing("a body in a file that is missing"));
            }
            Body::File(Zeroizing::new(unseal(descriptors.remove(0), limit)?))
        } else {
            let size = packet.length.saturating_sub(HEADER);
            if size > limit {
                return Err(IpcError::TooLarge { size, limit });
            }
            Body::Inline(packet.length)
        };
        Ok(Self {
            header,
            body,
            descriptors,
        })
    }

    /// Decodes the body; `buffer` is the one that was parsed. Bytes after the value are an error.
    ///
    /// # Errors
    /// A body that is not a `T`.
    pub fn body<T: DeserializeOwned>(&self, buffer: &[u8]) -> Result<T, IpcError> {
        let bytes = match &self.body {
            Body::File(bytes) => bytes.as_slice(),
            Body::Inline(length) => buffer
                .get(HEADER..*length)
                .ok_or(IpcError::Framing("a body outside its buffer"))?,
        };
        let (value, rest) = postcard::take_from_bytes(bytes)?;
        if rest.is_empty() {
            Ok(value)
        } else {
            Err(IpcError::Framing("bytes after the body"))
        }
    }
}

impl Received {
    /// Wipes the body from the buffer that it was received into, once it has been decoded.
    pub fn wipe(&self, buffer: &mut [u8]) {
        if let Body::Inline(length) = self.body
            && let Some(bytes) = buffer.get_mut(HEADER..length)
        {
            bytes.zeroize();
        }
    }
}

impl Header {
    fn encode(self, in_file: bool) -> [u8; HEADER] {
        let mut bytes = [0; HEADER];
        let kind = match self.kind {
            Kind::Request => 0,
            Kind::Reply => 1,
            Kind::Dropped => 2,
            Kind::Notice => 3,
        };
        let wait = u32::try_from(self.wait.as_millis()).unwrap_or(u32::MAX);
        let (head, id) = bytes.split_at_mut(8);
        let (flags, deadline) = head.split_at_mut(4);
        flags.copy_from_slice(&[VERSION, kind, u8::from(in_file), 0]);
        deadline.copy_from_slice(&wait.to_le_bytes());
        id.copy_from_slice(&self.id.to_le_bytes());
        bytes
    }

    fn decode(bytes: &[u8; HEADER]) -> Result<(Self, bool), IpcError> {
        let [version, kind, in_file, zero, w0, w1, w2, w3, id @ ..] = *bytes;
        if version != VERSION {
            return Err(IpcError::Version(version));
        }
        let kind = match kind {
            0 => Kind::Request,
            1 => Kind::Reply,
            2 => Kind::Dropped,
            3 => Kind::Notice,
            _ => return Err(IpcError::Framing("an unknown kind")),
        };
        if in_file > 1 || zero != 0 {
            return Err(IpcError::Framing("an unknown flag"));
        }
        let wait = Duration::from_millis(u32::from_le_bytes([w0, w1, w2, w3]).into());
        Ok((
            Self {
                kind,
                id: u64::from_le_bytes(id),
                wait,
            },
            in_file == 1,
        ))
    }
}

fn seal(body: &[u8]) -> Result<OwnedFd, IpcError> {
    let file = rustix::fs::memfd_create("redan-message", MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING)
        .map_err(IpcError::system("make a memory file"))?;
    let file = std::fs::File::from(file);
    file.write_all_at(body, 0).map_err(|source| IpcError::System {
        operation: "fill a memory file",
        source,
    })?;
    rustix::fs::fcntl_add_seals(
        &file,
        SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE,
    )
    .map_err(IpcError::system("seal a memory file"))?;
    Ok(file.into())
}

fn unseal(file: OwnedFd, limit: usize) -> Result<Vec<u8>, IpcError> {
    let seals = rustix::fs::fcntl_get_seals(&file).map_err(|_| IpcError::Framing("a body in no memory file"))?;
    // Without the seals the peer could change the size or the bytes while they are read.
    if !seals.contains(SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE) {
        return Err(IpcError::Framing("a memory file that is not sealed"));
    }
    let file = std::fs::File::from(file);
    let length = file
        .metadata()
        .map_err(|source| IpcError::System {
            operation: "measure a memory file",
            source,
        })?
        .len();
    let size = usize::try_from(length).unwrap_or(usize::MAX);
    if size > limit {
        return Err(IpcError::TooLarge { size, limit });
    }
    let mut body = vec![0; size];
    file.read_exact_at(&mut body, 0).map_err(|source| IpcError::System {
        operation: "read a memory file",
        source,
    })?;
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::{Encoded, Header, Kind, Received};
    use crate::{Channel, IpcError, MAX_PACKET};
    use proptest::prelude::{ProptestConfig, any, proptest};
    use std::time::Duration;

    const LIMIT: usize = 1 << 20;

    fn header() -> Header {
        Header {
            kind: Kind::Request,
            id: 7,
            wait: Duration::from_millis(50),
        }
    }

    fn through(body: &Vec<u8>, limit: usize) -> Result<(Header, Vec<u8>), IpcError> {
        let (a, b) = Channel::pair()?;
        Encoded::new(header(), body, LIMIT)?.send(&a, &[])?;
        let mut buffer = vec![0; MAX_PACKET];
        let packet = b.receive(&mut buffer)?;
        let received = Received::parse(&buffer, packet, limit)?;
        Ok((received.header, received.body(&buffer)?))
    }

    #[test]
    fn a_body_of_any_size_arrives_as_it_was() {
        for size in [0, 1, 60_000, 65_530, 65_536, 700_000] {
            let body = vec![0x5a; size];
            assert_eq!(through(&body, LIMIT).unwrap(), (header(), body));
        }
    }

    #[test]
    fn a_body_over_the_limit_is_refused_at_both_ends() {
        let body = vec![0; LIMIT + 1];
        assert!(matches!(
            Encoded::new(header(), &body, LIMIT),
            Err(IpcError::TooLarge { .. })
        ));
        assert!(matches!(through(&vec![0; 100], 50), Err(IpcError::TooLarge { .. })));
        assert!(matches!(
            through(&vec![0; 100_000], 50_000),
            Err(IpcError::TooLarge { .. })
        ));
    }

    #[test]
    fn a_file_that_can_still_change_is_refused() {
        let (a, b) = Channel::pair().unwrap();
        let file = tempfile();
        a.send(&[&header().encode(true)], &[std::os::fd::AsFd::as_fd(&file)])
            .unwrap();
        let mut buffer = vec![0; MAX_PACKET];
        let packet = b.receive(&mut buffer).unwrap();
        assert!(matches!(
            Received::parse(&buffer, packet, LIMIT),
            Err(IpcError::Framing(_))
        ));
    }

    fn tempfile() -> std::os::fd::OwnedFd {
        rustix::fs::memfd_create("unsealed", rustix::fs::MemfdFlags::ALLOW_SEALING).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(256))]

        #[test]
        fn no_bytes_make_the_parser_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let packet = crate::Packet { length: bytes.len(), descriptors: Vec::new() };
            if let Ok(received) = Received::parse(&bytes, packet, LIMIT) {
                let _: Result<crate::messages::ManagerRequest, _> = received.body(&bytes);
            }
        }
    }
}
