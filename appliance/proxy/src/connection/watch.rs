//! Looks at the frames of an HTTP/2 client as they pass, and counts those that cost us work without bringing the client anywhere.
//!
//! `h2` bounds what it keeps; it does not mind being asked for ever. The floods of 2019 (PING, SETTINGS, empty DATA, PRIORITY) and the
//! rapid reset of 2023 (CVE-2023-44487) are all of that kind.

use crate::clock::Moment;

/// The client preface, before the first frame (RFC 9113 section 3.4).
const PREFACE: usize = 24;
const HEADER: usize = 9;

/// Counts are for this many milliseconds.
const WINDOW: u64 = 10_000;
/// `RST_STREAM` frames in a window.
const RESETS: u32 = 100;
/// Other frames without progress in a window, beyond one for each kilobyte of content either way.
const IDLE_FRAMES: u32 = 500;
/// A DATA frame with less than this many bytes costs more than it brings, unless it ends its stream.
const SMALL: usize = 128;
/// Small DATA frames in a window, beyond one for each [`SMALL_AVERAGE`] bytes of content from the client: enough for somebody who types,
/// and any number of messages of a dozen bytes.
const SMALL_FRAMES: u32 = 1_000;
const SMALL_AVERAGE: u64 = 16;

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Watch {
    skip: usize,
    header: [u8; HEADER],
    have: usize,
    since: Moment,
    resets: u32,
    idle: u32,
    small: u32,
    content: u64,
    received: u64,
    /// The highest stream that the client has opened.
    newest: u32,
}

/// Why a connection is ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(crate) enum Flood {
    /// Streams opened and reset, again and again.
    #[error("an HTTP/2 client resets stream after stream")]
    Resets,
    /// Frames that lead nowhere.
    #[error("an HTTP/2 client sends frames without progress")]
    IdleFrames,
    /// Content in crumbs. `h2` bounds what it keeps of them, not how many pass.
    #[error("an HTTP/2 client sends its content in too small frames")]
    SmallFrames,
}

impl Watch {
    pub(crate) const fn new(now: Moment) -> Self {
        Self {
            skip: PREFACE,
            header: [0; HEADER],
            have: 0,
            since: now,
            resets: 0,
            idle: 0,
            small: 0,
            content: 0,
            received: 0,
            newest: 0,
        }
    }

    /// Content sent to the client: its window updates are paid for.
    pub(crate) fn sent(&mut self, bytes: usize) {
        self.content = self.content.saturating_add(u64::try_from(bytes).unwrap_or(0));
    }

    /// Looks at bytes from the client.
    pub(crate) fn received(&mut self, mut bytes: &[u8], now: Moment) -> Result<(), Flood> {
        if now.since(self.since) > WINDOW {
            self.since = now;
            (self.resets, self.idle, self.small) = (0, 0, 0);
            (self.content, self.received) = (0, 0);
        }
        loop {
            let skipped = self.skip.min(bytes.len());
            self.skip -= skipped;
            bytes = bytes.get(skipped..).unwrap_or_default();
            if bytes.is_empty() {
                return Ok(());
            }
            let wanted = HEADER - self.have;
            let (part, rest) = bytes.split_at_checked(wanted).unwrap_or((bytes, &[]));
            if let Some(room) = self.header.get_mut(self.have..self.have + part.len()) {
                room.copy_from_slice(part);
            }
            self.have += part.len();
            bytes = rest;
            if self.have < HEADER {
                return Ok(());
            }
            self.have = 0;
            let [a, b, c, kind, flags, stream @ ..] = self.header;
            self.skip = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
            self.frame(kind, flags, u32::from_be_bytes(stream) & 0x7fff_ffff)?;
        }
    }

    fn frame(&mut self, kind: u8, flags: u8, stream: u32) -> Result<(), Flood> {
        const END_STREAM: u8 = 1;
        match kind {
            // DATA
            0 if self.skip > 0 => {
                let bytes = u64::try_from(self.skip).unwrap_or(u64::MAX);
                self.content = self.content.saturating_add(bytes);
                self.received = self.received.saturating_add(bytes);
                if self.skip < SMALL && flags & END_STREAM == 0 {
                    self.small += 1;
                    if u64::from(self.small) > u64::from(SMALL_FRAMES) + self.received / SMALL_AVERAGE {
                        return Err(Flood::SmallFrames);
                    }
                }
            }
            0 if flags & END_STREAM != 0 => {}
            // HEADERS of a new stream: the stages and the limits of `h2` look after these. On an old one they are trailers, which are
            // rare, or lead nowhere.
            1 if stream > self.newest => self.newest = stream,
            // RST_STREAM
            3 => {
                self.resets += 1;
                if self.resets > RESETS {
                    return Err(Flood::Resets);
                }
            }
            // Empty DATA, HEADERS of an old stream, PRIORITY, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION and whatever is unknown.
            _ => {
                self.idle += 1;
                if u64::from(self.idle) > u64::from(IDLE_FRAMES) + self.content / 1_024 {
                    return Err(Flood::IdleFrames);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Flood, IDLE_FRAMES, PREFACE, RESETS, SMALL_FRAMES, Watch};
    use crate::clock::Moment;
    use proptest::prelude::{any, prop, proptest};

    fn frame(kind: u8, flags: u8, payload: usize) -> Vec<u8> {
        let length = u32::try_from(payload).unwrap().to_be_bytes();
        let mut bytes = vec![length[1], length[2], length[3], kind, flags, 0, 0, 0, 1];
        bytes.resize(bytes.len() + payload, 0);
        bytes
    }

    fn watch() -> Watch {
        let mut watch = Watch::new(Moment::START);
        watch.received(&[b'x'; PREFACE], Moment::START).unwrap();
        watch
    }

    #[test]
    fn a_rapid_reset_is_noticed_and_a_slow_one_is_not() {
        let mut fast = watch();
        let reset = frame(3, 0, 4);
        for _ in 0..RESETS {
            fast.received(&reset, Moment::START).unwrap();
        }
        assert_eq!(fast.received(&reset, Moment::START), Err(Flood::Resets));
        let mut slow = watch();
        for second in 0..1_000 {
            slow.received(&reset, Moment::START.after(second * 1_000)).unwrap();
        }
    }

    #[test]
    fn frames_without_progress_are_bounded() {
        for (kind, payload) in [
            (1, 1),
            (6, 8),
            (4, 0),
            (4, 6),
            (0, 0),
            (2, 5),
            (8, 4),
            (9, 0),
            (0x77, 3),
        ] {
            let mut watch = watch();
            // A request opens the stream, whatever comes next on it.
            watch.received(&frame(1, 0, 1), Moment::START).unwrap();
            let bytes = frame(kind, 0, payload);
            for _ in 0..IDLE_FRAMES {
                watch.received(&bytes, Moment::START).unwrap();
            }
            assert_eq!(watch.received(&bytes, Moment::START), Err(Flood::IdleFrames), "{kind}");
        }
    }

    #[test]
    fn window_updates_of_a_download_are_progress() {
        let mut watch = watch();
        for _ in 0..10_000 {
            watch.sent(16_384);
            watch.received(&frame(8, 0, 4), Moment::START).unwrap();
        }
    }

    #[test]
    fn content_in_crumbs_is_bounded_and_small_messages_are_not() {
        for (size, stopped) in [(1, true), (8, true), (16, false), (200, false)] {
            let mut watch = watch();
            let bytes = frame(0, 0, size);
            let outcome = (0..5 * SMALL_FRAMES).try_for_each(|_| watch.received(&bytes, Moment::START));
            assert_eq!(outcome.is_err(), stopped, "{size}: {outcome:?}");
        }
        let mut typing = watch();
        for key in 0..10_000 {
            typing.received(&frame(0, 0, 1), Moment::START.after(key * 33)).unwrap();
        }
        let mut small_bodies = watch();
        for _ in 0..10_000 {
            small_bodies.received(&frame(0, 1, 1), Moment::START).unwrap();
        }
    }

    proptest! {
        #[test]
        fn the_count_does_not_depend_on_how_the_bytes_are_cut(
            frames in prop::collection::vec((0_u8..10, any::<u8>(), 0_usize..40), 0..60),
            cut in 1_usize..50,
        ) {
            let bytes: Vec<u8> = frames.iter().flat_map(|(kind, flags, payload)| frame(*kind, *flags, *payload)).collect();
            let (mut whole, mut pieces) = (watch(), watch());
            let first = whole.received(&bytes, Moment::START);
            let second = bytes.chunks(cut).try_for_each(|piece| pieces.received(piece, Moment::START));
            assert_eq!(first, second);
            assert_eq!((whole.resets, whole.idle, whole.content), (pieces.resets, pieces.idle, pieces.content));
        }
    }
}
