//! HTTP/2 frames (RFC 9113), sent as they are told to.

use crate::hpack::{self, Block};
use crate::wire::{Alpn, End, Target, Wire};
use std::io;
use std::time::{Duration, Instant};

/// The type of a frame (RFC 9113 section 6).
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub mod kind {
    pub const DATA: u8 = 0x0;
    pub const HEADERS: u8 = 0x1;
    pub const PRIORITY: u8 = 0x2;
    pub const RST_STREAM: u8 = 0x3;
    pub const SETTINGS: u8 = 0x4;
    pub const PUSH_PROMISE: u8 = 0x5;
    pub const PING: u8 = 0x6;
    pub const GOAWAY: u8 = 0x7;
    pub const WINDOW_UPDATE: u8 = 0x8;
    pub const CONTINUATION: u8 = 0x9;
}

/// A frame's flags.
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub mod flag {
    pub const ACK: u8 = 0x1;
    pub const END_STREAM: u8 = 0x1;
    pub const END_HEADERS: u8 = 0x4;
    pub const PADDED: u8 = 0x8;
}

/// The settings that the attacks use.
#[expect(missing_docs, reason = "the names are those of the RFC")]
pub mod setting {
    pub const HEADER_TABLE_SIZE: u16 = 0x1;
    pub const INITIAL_WINDOW_SIZE: u16 = 0x4;
    pub const MAX_FRAME_SIZE: u16 = 0x5;
}

/// A frame that came.
#[derive(Clone, Debug)]
pub struct Frame {
    /// See [`kind`].
    pub kind: u8,
    /// See [`flag`].
    pub flags: u8,
    /// The stream, 0 for the connection.
    pub stream: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What a connection has been told so far, and how it stands.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// Streams and the statuses of their responses.
    pub responses: Vec<(u32, u16)>,
    /// Streams that the peer ended properly.
    pub ended: Vec<u32>,
    /// Streams that the peer reset, and why.
    pub resets: Vec<(u32, u32)>,
    /// The error of a GOAWAY.
    pub goaway: Option<u32>,
    /// Acknowledgements of SETTINGS and PING.
    pub acknowledged: usize,
    /// Bytes of DATA.
    pub data: usize,
    /// Whether the peer closed or reset the connection.
    pub end: Option<End>,
}

impl Heard {
    /// Whether the peer ended the connection, or said that it will.
    #[must_use]
    pub const fn is_over(&self) -> bool {
        self.goaway.is_some() || self.end.is_some()
    }

    /// The status on `stream`.
    #[must_use]
    pub fn status(&self, stream: u32) -> Option<u16> {
        self.responses
            .iter()
            .find(|(one, _)| *one == stream)
            .map(|(_, status)| *status)
    }

    /// Whether the peer is done with `stream`, one way or the other.
    #[must_use]
    pub fn is_done(&self, stream: u32) -> bool {
        self.ended.contains(&stream) || self.resets.iter().any(|(one, _)| *one == stream) || self.is_over()
    }
}

/// A connection that speaks frames. Frames are gathered until [`H2::flush`].
#[derive(Debug)]
pub struct H2 {
    wire: Wire,
    out: Vec<u8>,
    read: Vec<u8>,
    /// What came so far.
    pub heard: Heard,
}

impl H2 {
    /// Connects, sends the preface and settings that keep the peer's header compression simple.
    ///
    /// # Errors
    /// The target cannot be connected to, or does not speak HTTP/2.
    pub fn connect(target: &Target) -> io::Result<Self> {
        Self::connect_with(target, &[(setting::HEADER_TABLE_SIZE, 0)])
    }

    /// As [`H2::connect`], with these settings. Without a [`setting::HEADER_TABLE_SIZE`] of 0 statuses may not be readable.
    ///
    /// # Errors
    /// As [`H2::connect`].
    pub fn connect_with(target: &Target, settings: &[(u16, u32)]) -> io::Result<Self> {
        let mut wire = target.connect(Alpn::Http2)?;
        // A peer that reads no more within this time has stopped reading.
        wire.set_send_timeout(Duration::from_secs(3))?;
        let mut client = Self {
            wire,
            out: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
            read: Vec::new(),
            heard: Heard::default(),
        };
        client.settings(settings);
        client.flush()?;
        Ok(client)
    }

    /// Adds any frame.
    pub fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX).to_be_bytes();
        self.out.extend_from_slice(length.get(1..).unwrap_or_default());
        self.out.extend_from_slice(&[kind, flags]);
        self.out.extend_from_slice(&stream.to_be_bytes());
        self.out.extend_from_slice(payload);
        self
    }

    /// Adds HEADERS with a whole block.
    pub fn headers(&mut self, stream: u32, block: &Block, end_stream: bool) -> &mut Self {
        let flags = flag::END_HEADERS | if end_stream { flag::END_STREAM } else { 0 };
        self.frame(kind::HEADERS, flags, stream, &block.0)
    }

    /// Adds DATA.
    pub fn data(&mut self, stream: u32, data: &[u8], end_stream: bool) -> &mut Self {
        self.frame(kind::DATA, u8::from(end_stream), stream, data)
    }

    /// Adds SETTINGS.
    pub fn settings(&mut self, settings: &[(u16, u32)]) -> &mut Self {
        let mut payload = Vec::new();
        for (name, value) in settings {
            payload.extend_from_slice(&name.to_be_bytes());
            payload.extend_from_slice(&value.to_be_bytes());
        }
        self.frame(kind::SETTINGS, 0, 0, &payload)
    }

    /// Adds RST_STREAM with CANCEL.
    pub fn reset(&mut self, stream: u32) -> &mut Self {
        self.frame(kind::RST_STREAM, 0, stream, &8_u32.to_be_bytes())
    }

    /// Adds WINDOW_UPDATE.
    pub fn window_update(&mut self, stream: u32, increment: u32) -> &mut Self {
        self.frame(kind::WINDOW_UPDATE, 0, stream, &increment.to_be_bytes())
    }

    /// Sends what was gathered.
    ///
    /// # Errors
    /// The peer is gone, or has not read for three seconds.
    pub fn flush(&mut self) -> io::Result<()> {
        let out = std::mem::take(&mut self.out);
        self.wire.send(&out)
    }

    /// Sends what was gathered and hears what is already there; says whether the connection goes on.
    pub fn pump(&mut self) -> bool {
        let sent = self.flush();
        loop {
            let before = self.read.len();
            let end = self.wire.poll(&mut self.read);
            if end != End::Open {
                self.heard.end = Some(end);
                break;
            }
            if self.read.len() == before {
                break;
            }
            self.digest();
        }
        self.digest();
        if sent.is_err() && self.heard.end.is_none() {
            self.heard.end = Some(End::Reset);
        }
        !self.heard.is_over()
    }

    /// Hears until `enough` says so, the connection ends, or `within` has passed.
    pub fn listen(&mut self, within: Duration, enough: impl Fn(&Heard) -> bool) -> &Heard {
        let deadline = Instant::now() + within;
        // What is there already may be enough.
        self.digest();
        while !enough(&self.heard) && self.heard.end.is_none() {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break;
            }
            let end = self.wire.receive(&mut self.read, left);
            self.digest();
            if end != End::Open {
                self.heard.end = Some(end);
            }
        }
        &self.heard
    }

    /// Takes whole frames out of what was read, acknowledging the peer's settings and giving its DATA no window back.
    fn digest(&mut self) {
        let mut acknowledge = false;
        while let Some(frame) = take_frame(&mut self.read) {
            let number = |at: usize| {
                frame
                    .payload
                    .get(at..at + 4)
                    .and_then(|bytes| bytes.try_into().ok())
                    .map_or(0, u32::from_be_bytes)
            };
            match frame.kind {
                kind::HEADERS => {
                    if let Some(status) = hpack::status(&frame.payload) {
                        self.heard.responses.push((frame.stream, status));
                    }
                }
                kind::DATA => self.heard.data += frame.payload.len(),
                kind::RST_STREAM => self.heard.resets.push((frame.stream, number(0))),
                kind::GOAWAY => self.heard.goaway = Some(number(4)),
                kind::SETTINGS | kind::PING if frame.flags & flag::ACK != 0 => self.heard.acknowledged += 1,
                kind::SETTINGS => acknowledge = true,
                _ => {}
            }
            if matches!(frame.kind, kind::HEADERS | kind::DATA) && frame.flags & flag::END_STREAM != 0 {
                self.heard.ended.push(frame.stream);
            }
        }
        if acknowledge {
            self.frame(kind::SETTINGS, flag::ACK, 0, &[]);
            // If the peer is gone, the next read says so.
            let _ = self.flush();
        }
    }
}

fn take_frame(read: &mut Vec<u8>) -> Option<Frame> {
    let [a, b, c, kind, flags, s, t, u, v] = *read.first_chunk::<9>()?;
    let length = usize::try_from(u32::from_be_bytes([0, a, b, c])).ok()?;
    let payload = read.get(9..9 + length)?.to_vec();
    read.drain(..9 + length);
    Some(Frame {
        kind,
        flags,
        stream: u32::from_be_bytes([s & 0x7f, t, u, v]),
        payload,
    })
}

/// The block of an ordinary request.
#[must_use]
pub fn request(target: &Target, method: &str, path: &str) -> Block {
    Block::of(&[
        (b":method", method.as_bytes()),
        (b":scheme", b"https"),
        (b":authority", target.authority.as_bytes()),
        (b":path", path.as_bytes()),
    ])
}
