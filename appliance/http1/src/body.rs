//! Bodies: where they end, and nothing else.

use crate::field::Fields;
use crate::scan::{self, Start, Walker};
use crate::{Framing, Limits, Refusal, ResponseFraming, known};
use bytes::Bytes;
use std::ops::Range;

/// What a call of [`BodyDecoder::decode`] found.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Piece {
    /// Content: a range of the bytes given.
    Data(Range<usize>),
    /// The body is over. Trailers, where there are any, are ready; the bytes after `consumed` belong to the next message.
    End,
    /// More bytes are needed.
    Pending,
}

/// How far a call of [`BodyDecoder::decode`] came.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Progress {
    /// What it found.
    pub piece: Piece,
    /// Bytes at the front of the input that are done with once `piece` has been used.
    pub consumed: usize,
}

/// Finds the content of a body in the bytes of a connection, without copying it.
///
/// ```
/// use redan_http1::{BodyDecoder, Framing, Limits, Piece};
///
/// let mut decoder = BodyDecoder::for_request(Framing::Chunked, &Limits::default());
/// let mut read: &[u8] = b"3\r\nabc\r\n0\r\n\r\nGET";
/// let mut content = Vec::new();
/// loop {
///     let progress = decoder.decode(read)?;
///     match progress.piece {
///         Piece::Data(range) => content.extend_from_slice(&read[range]),
///         Piece::Pending => unreachable!("here the rest would be read"),
///         Piece::End => break,
///     }
///     read = &read[progress.consumed..];
/// }
/// assert_eq!(content, b"abc");
/// # Ok::<(), redan_http1::Refusal>(())
/// ```
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    limits: Limits,
    /// Bytes of content that may still be announced.
    room: u64,
    trailers: Option<Fields>,
}

impl BodyDecoder {
    /// A decoder for a request's body.
    #[must_use]
    pub fn for_request(framing: Framing, limits: &Limits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Done,
            Framing::Length(left) => State::Length { left },
            Framing::Chunked => State::START,
        };
        Self::new(state, limits)
    }

    /// A decoder for a response's body.
    #[must_use]
    pub fn for_response(framing: ResponseFraming, limits: &Limits) -> Self {
        let state = match framing {
            ResponseFraming::None { .. } | ResponseFraming::Length(0) => State::Done,
            ResponseFraming::Length(left) => State::Length { left },
            ResponseFraming::Chunked => State::START,
            ResponseFraming::UntilClose => State::UntilClose,
        };
        Self::new(state, limits)
    }

    fn new(state: State, limits: &Limits) -> Self {
        let (state, room) = match state {
            State::Length { left } => match limits.body.checked_sub(left) {
                Some(room) => (State::Length { left }, room),
                None => (State::TooLong, 0),
            },
            state => (state, limits.body),
        };
        Self {
            state,
            limits: limits.bounded(),
            room,
            trailers: None,
        }
    }

    /// Whether the body is over, so that the connection stands before the next message.
    #[must_use]
    pub const fn is_done(&self) -> bool {
        matches!(self.state, State::Done)
    }

    /// The trailer section, where the body was in chunks and had fields after the last one.
    #[must_use]
    pub const fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref()
    }

    /// Takes the trailer section out.
    pub const fn take_trailers(&mut self) -> Option<Fields> {
        self.trailers.take()
    }

    /// Goes on in `buf`, which begins where the last call's `consumed` ended. Repeat until [`Piece::End`]; at [`Piece::Pending`] drop
    /// `consumed` bytes, read more and call again. What is not consumed then is never more than [`Limits::trailers`] bytes.
    ///
    /// # Errors
    /// The rule that the body breaks. The connection must be closed, and for a request the upstream's too: it waits for the rest of a
    /// body that will not come.
    pub fn decode(&mut self, buf: &[u8]) -> Result<Progress, Refusal> {
        let mut at = 0_usize;
        loop {
            let rest = buf.get(at..).unwrap_or_default();
            match &mut self.state {
                State::Done => {
                    return Ok(Progress {
                        piece: Piece::End,
                        consumed: at,
                    });
                }
                State::UntilClose => {
                    let more = u64::try_from(rest.len()).map_err(|_| Refusal::BodyTooLong)?;
                    self.room = self.room.checked_sub(more).ok_or(Refusal::BodyTooLong)?;
                    let piece = if rest.is_empty() {
                        Piece::Pending
                    } else {
                        Piece::Data(at..buf.len())
                    };
                    return Ok(Progress {
                        piece,
                        consumed: buf.len(),
                    });
                }
                State::Length { left } => {
                    let Some((data, remaining)) = take(at, rest.len(), *left) else {
                        return Ok(Progress {
                            piece: Piece::Pending,
                            consumed: at,
                        });
                    };
                    self.state = if remaining == 0 {
                        State::Done
                    } else {
                        State::Length { left: remaining }
                    };
                    return Ok(Progress {
                        consumed: data.end,
                        piece: Piece::Data(data),
                    });
                }
                State::Chunk { left } => {
                    let Some((data, remaining)) = take(at, rest.len(), *left) else {
                        return Ok(Progress {
                            piece: Piece::Pending,
                            consumed: at,
                        });
                    };
                    self.state = if remaining == 0 {
                        State::ChunkCr
                    } else {
                        State::Chunk { left: remaining }
                    };
                    return Ok(Progress {
                        consumed: data.end,
                        piece: Piece::Data(data),
                    });
                }
                State::TooLong => return Err(Refusal::BodyTooLong),
                State::Trailers => {
                    let Some(length) = self.read_trailers(rest)? else {
                        return Ok(Progress {
                            piece: Piece::Pending,
                            consumed: at,
                        });
                    };
                    at = at.saturating_add(length);
                    self.state = State::Done;
                }
                line => {
                    let Some(byte) = rest.first() else {
                        return Ok(Progress {
                            piece: Piece::Pending,
                            consumed: at,
                        });
                    };
                    line.step(*byte)?;
                    if let State::Chunk { left } = line {
                        // A size near 2^64 is refused here, before its first byte comes; the sum of the sizes cannot wrap around.
                        self.room = self.room.checked_sub(*left).ok_or(Refusal::BodyTooLong)?;
                    }
                    at = at.saturating_add(1);
                }
            }
        }
    }

    /// Says that the connection ended.
    ///
    /// # Errors
    /// [`Refusal::BodyTruncated`] unless the body was over, or lasts until exactly that.
    pub fn finish(&mut self) -> Result<(), Refusal> {
        match self.state {
            State::Done => Ok(()),
            State::UntilClose => {
                self.state = State::Done;
                Ok(())
            }
            _ => Err(Refusal::BodyTruncated),
        }
    }

    /// Reads the trailer section at the front of `rest`; gives its length once it has ended.
    fn read_trailers(&mut self, rest: &[u8]) -> Result<Option<usize>, Refusal> {
        let too_long = |refusal| match refusal {
            Refusal::HeadTooLong | Refusal::TooManyFields => Refusal::TrailersTooLong,
            other => other,
        };
        let limits = Limits {
            head: self.limits.trailers,
            fields: self.limits.trailer_fields,
            ..self.limits
        };
        let Some(length) = scan::head_end(rest, Start::Trailers, &limits).map_err(too_long)? else {
            return Ok(None);
        };
        if length > EMPTY_LINE {
            self.trailers = Some(parse_trailers(Bytes::copy_from_slice(
                rest.get(..length).unwrap_or_default(),
            ))?);
        }
        Ok(Some(length))
    }
}

/// Holds the content of a message against the length that its head announced, where the transport (HTTP/2) finds the end in another
/// way: what is sent on must have exactly that length.
#[derive(Clone, Copy, Debug)]
pub struct ContentCount {
    left: Option<u64>,
}

impl ContentCount {
    /// A count for content framed like this towards the upstream.
    #[must_use]
    pub const fn new(framing: Framing) -> Self {
        Self {
            left: match framing {
                Framing::Chunked => None,
                Framing::Length(length) => Some(length),
                Framing::None => Some(0),
            },
        }
    }

    /// Counts `bytes` more of the content.
    ///
    /// # Errors
    /// [`Refusal::ContentLengthMismatch`] when that is more than was announced.
    pub fn add(&mut self, bytes: usize) -> Result<(), Refusal> {
        if let Some(left) = &mut self.left {
            let bytes = u64::try_from(bytes).map_err(|_| Refusal::ContentLengthMismatch)?;
            *left = left.checked_sub(bytes).ok_or(Refusal::ContentLengthMismatch)?;
        }
        Ok(())
    }

    /// Says that the content ended.
    ///
    /// # Errors
    /// [`Refusal::ContentLengthMismatch`] when that was less than announced.
    pub const fn finish(self) -> Result<(), Refusal> {
        match self.left {
            None | Some(0) => Ok(()),
            Some(_) => Err(Refusal::ContentLengthMismatch),
        }
    }
}

#[derive(Debug)]
enum State {
    /// In the data of a chunk.
    Chunk {
        left: u64,
    },
    /// Before the CR after a chunk's data.
    ChunkCr,
    /// Before the LF after a chunk's data.
    ChunkLf,
    Done,
    Length {
        left: u64,
    },
    /// In a chunk size.
    Size {
        value: u64,
        digits: u8,
    },
    /// Before the LF after a chunk size.
    SizeLf {
        value: u64,
    },
    /// The announced length is over the limit.
    TooLong,
    /// Before the fields after the last chunk's line, or the empty line.
    Trailers,
    UntilClose,
}

impl State {
    const START: Self = Self::Size { value: 0, digits: 0 };

    /// Takes one byte of the lines between the data.
    fn step(&mut self, byte: u8) -> Result<(), Refusal> {
        *self = match (&*self, byte) {
            (Self::Size { digits: 0, .. }, b'\r') => return Err(Refusal::ChunkSize),
            (Self::Size { value, .. }, b'\r') => Self::SizeLf { value: *value },
            (Self::Size { digits: 1.., .. }, b';' | b' ' | b'\t') => return Err(Refusal::ChunkExtension),
            (Self::Size { digits: 1.., .. }, b'\n') => return Err(Refusal::BareLineFeed),
            (Self::Size { digits: 0..16, value }, _) => {
                let digit = char::from(byte).to_digit(16).ok_or(Refusal::ChunkSize)?;
                // 15 digits before this one fill 60 bits, so the product fits.
                let value = value
                    .checked_mul(16)
                    .and_then(|value| value.checked_add(u64::from(digit)));
                let Self::Size { digits, .. } = *self else {
                    return Err(Refusal::ChunkSize);
                };
                Self::Size {
                    value: value.ok_or(Refusal::ChunkSize)?,
                    digits: digits.saturating_add(1),
                }
            }
            (Self::SizeLf { value: 0 }, b'\n') => Self::Trailers,
            (Self::SizeLf { value }, b'\n') => Self::Chunk { left: *value },
            (Self::ChunkCr, b'\r') => Self::ChunkLf,
            (Self::ChunkLf, b'\n') => Self::START,
            (Self::Size { .. }, _) => return Err(Refusal::ChunkSize),
            (Self::SizeLf { .. }, _) => return Err(Refusal::BareCarriageReturn),
            _ => return Err(Refusal::ChunkEnd),
        };
        Ok(())
    }
}

/// The part of `left` bytes that `available` bytes at `at` hold, and what remains; none when nothing is there.
fn take(at: usize, available: usize, left: u64) -> Option<(Range<usize>, u64)> {
    if available == 0 {
        return None;
    }
    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
    let remaining = left.saturating_sub(u64::try_from(taken).unwrap_or(u64::MAX));
    Some((at..at.saturating_add(taken), remaining))
}

fn parse_trailers(bytes: Bytes) -> Result<Fields, Refusal> {
    let mut slots = [httparse::EMPTY_HEADER; Limits::FIELDS];
    let headers = match httparse::parse_headers(&bytes, &mut slots) {
        Ok(httparse::Status::Complete((length, headers))) if length == bytes.len() => headers,
        _ => return Err(scan::explain(&bytes)),
    };
    let entries = Walker::new(&bytes).fields(headers)?;
    if entries
        .iter()
        .any(|entry| known::is_forbidden_in_trailers(entry.name(&bytes)))
    {
        return Err(Refusal::TrailerForbidden);
    }
    Ok(Fields { bytes, entries })
}

/// The length of a trailer section without fields.
const EMPTY_LINE: usize = 2;
