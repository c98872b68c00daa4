//! Commands and answers as bytes (TCG part 1, "Command/Response structure").
//!
//! Structures that hold no secret are those of `tpm2-protocol`; parameters that do are written and read here, in buffers that are
//! wiped. The answer's parser trusts nothing: every length is checked against what is there, and nothing may be left over.

use crate::keys::KeyError;
use tpm2_protocol::{TpmMarshal, TpmWriter};
use zeroize::Zeroizing;

use super::transport::LONGEST;

const NO_SESSIONS: u16 = 0x8001;
const SESSIONS: u16 = 0x8002;

/// The parameters of a command, in order.
pub(super) struct Parameters(pub(super) Zeroizing<Vec<u8>>);

impl Parameters {
    pub(super) fn new() -> Self {
        // With room for the longest command no copy is left behind where the buffer grew.
        Self(Zeroizing::new(Vec::with_capacity(LONGEST)))
    }

    pub(super) fn bytes(mut self, bytes: &[u8]) -> Self {
        self.0.extend_from_slice(bytes);
        self
    }

    pub(super) fn u16(self, value: u16) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    pub(super) fn u32(self, value: u32) -> Self {
        self.bytes(&value.to_be_bytes())
    }

    /// A `TPM2B`: the length in two bytes, then the bytes.
    pub(super) fn sized(self, bytes: &[u8]) -> Self {
        // What is longer than a command does not get past the link's check of the whole.
        self.u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX)).bytes(bytes)
    }
}

/// A structure of `tpm2-protocol` as bytes.
pub(super) fn encode(value: &impl TpmMarshal) -> Result<Vec<u8>, KeyError> {
    let mut buffer = vec![0; LONGEST];
    let mut writer = TpmWriter::new(&mut buffer);
    value
        .marshal(&mut writer)
        .map_err(|_| KeyError::Library("encode a structure for the TPM"))?;
    let length = writer.len();
    buffer.truncate(length);
    Ok(buffer)
}

/// Reads what a TPM wrote. `None` is always: too short, too long, or not what it should be.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, length: usize) -> Option<&'a [u8]> {
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn chunk<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (chunk, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*chunk)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.chunk().map(u8::from_be_bytes)
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        self.chunk().map(u16::from_be_bytes)
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        self.chunk().map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self) -> Option<u64> {
        self.chunk().map(u64::from_be_bytes)
    }

    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let length = self.u16()?;
        self.bytes(length.into())
    }

    pub(super) fn end(&self) -> Option<()> {
        self.0.is_empty().then_some(())
    }
}

/// A command's frame around its parameters.
pub(super) fn command(buffer: &mut Vec<u8>, code: u32, handles: &[u32], authorizations: &[u8], parameters: &[u8]) {
    buffer.clear();
    buffer.extend_from_slice(
        &(if authorizations.is_empty() {
            NO_SESSIONS
        } else {
            SESSIONS
        })
        .to_be_bytes(),
    );
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&code.to_be_bytes());
    for handle in handles {
        buffer.extend_from_slice(&handle.to_be_bytes());
    }
    if !authorizations.is_empty() {
        buffer.extend_from_slice(&u32::try_from(authorizations.len()).unwrap_or(u32::MAX).to_be_bytes());
        buffer.extend_from_slice(authorizations);
    }
    buffer.extend_from_slice(parameters);
    let size = u32::try_from(buffer.len()).unwrap_or(u32::MAX);
    if let Some(place) = buffer.get_mut(2..6) {
        place.copy_from_slice(&size.to_be_bytes());
    }
}

/// An answer taken apart.
#[derive(Debug, Eq, PartialEq)]
pub enum Answer<'a> {
    /// The command was done.
    Done(Done<'a>),
    /// It was refused, with this code.
    Refused(u32),
}

/// What came with success.
#[derive(Debug, Eq, PartialEq)]
pub struct Done<'a> {
    /// The handle, for commands that return one.
    pub handle: Option<u32>,
    /// The parameters, the first perhaps encrypted.
    pub parameters: &'a [u8],
    /// One for each authorization of the command.
    pub acknowledgements: Vec<Acknowledgement<'a>>,
}

/// The device's half of an authorization.
#[derive(Debug, Eq, PartialEq)]
pub struct Acknowledgement<'a> {
    /// Its new nonce.
    pub nonce: &'a [u8],
    /// The session's attributes.
    pub attributes: u8,
    /// The message's authentication.
    pub hmac: &'a [u8],
}

/// Takes an answer apart: whether a handle comes first and how many authorizations the command had is known from the command.
/// `None` where it is no such answer.
#[must_use]
pub fn parse_answer(bytes: &[u8], with_handle: bool, authorizations: usize) -> Option<Answer<'_>> {
    let mut reader = Reader(bytes);
    let tag = reader.u16()?;
    let size = reader.u32()?;
    let code = reader.u32()?;
    if usize::try_from(size).ok()? != bytes.len() || bytes.len() > LONGEST {
        return None;
    }
    if code != 0 {
        // A refusal is a header alone.
        return (tag == NO_SESSIONS && reader.end().is_some()).then_some(Answer::Refused(code));
    }
    if tag != (if authorizations == 0 { NO_SESSIONS } else { SESSIONS }) {
        return None;
    }
    let handle = if with_handle { Some(reader.u32()?) } else { None };
    if authorizations == 0 {
        return Some(Answer::Done(Done {
            handle,
            parameters: reader.0,
            acknowledgements: Vec::new(),
        }));
    }
    let length = reader.u32()?;
    let parameters = reader.bytes(usize::try_from(length).ok()?)?;
    let acknowledgements = (0..authorizations)
        .map(|_| {
            Some(Acknowledgement {
                nonce: reader.sized()?,
                attributes: reader.u8()?,
                hmac: reader.sized()?,
            })
        })
        .collect::<Option<Vec<_>>>()?;
    reader.end()?;
    Some(Answer::Done(Done {
        handle,
        parameters,
        acknowledgements,
    }))
}

#[cfg(test)]
mod tests {
    use super::{Answer, parse_answer};
    use proptest::prelude::{any, proptest};

    fn answer(tag: u16, code: u32, rest: &[u8]) -> Vec<u8> {
        let size = u32::try_from(10 + rest.len()).unwrap();
        [
            &tag.to_be_bytes(),
            size.to_be_bytes().as_slice(),
            &code.to_be_bytes(),
            rest,
        ]
        .concat()
    }

    #[test]
    fn an_answer_with_a_session_is_taken_apart() {
        let rest = [
            &[0x80, 0, 0, 1][..],
            &[0, 0, 0, 3],
            b"abc",
            &[0, 2, 7, 8, 0x01, 0, 1, 9],
        ]
        .concat();
        let bytes = answer(0x8002, 0, &rest);
        let Some(Answer::Done(done)) = parse_answer(&bytes, true, 1) else {
            panic!("refused")
        };
        assert_eq!((done.handle, done.parameters), (Some(0x8000_0001), &b"abc"[..]));
        assert_eq!(
            (done.acknowledgements[0].nonce, done.acknowledgements[0].hmac),
            (&[7, 8][..], &[9][..])
        );
        assert_eq!(parse_answer(&bytes, true, 2), None);
        assert_eq!(parse_answer(&bytes, true, 0), None);
        for cut in 0..bytes.len() {
            assert_eq!(parse_answer(&bytes[..cut], true, 1), None, "cut at {cut}");
        }
        assert_eq!(parse_answer(&[&bytes[..], &[0]].concat(), true, 1), None);
    }

    #[test]
    fn a_refusal_is_a_header_alone() {
        assert_eq!(
            parse_answer(&answer(0x8001, 0x921, &[]), true, 1),
            Some(Answer::Refused(0x921))
        );
        assert_eq!(parse_answer(&answer(0x8001, 0x921, &[0]), true, 1), None);
        assert_eq!(parse_answer(&answer(0x8002, 0x921, &[]), true, 1), None);
    }

    proptest! {
        #[test]
        fn no_answer_makes_the_parser_fail_badly(bytes in proptest::collection::vec(any::<u8>(), 0..256), handle: bool, sessions in 0_usize..4) {
            let _ = parse_answer(&bytes, handle, sessions);
        }
    }
}
