//! What the services write to their standard error, and the supervisor's own log.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::{Errno, ioctl_fionbio, read, write};
use rustix::pipe::{PipeFlags, pipe_with};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::supervisor::SELF;

/// A longer line is cut: the reader's memory is bounded, and a line is written to a pipe in one piece.
const LINE: usize = 1024;
/// Lines that a service may write at once, and each second.
const BURST: u32 = 200;
const LINES_A_SECOND: u32 = 50;
/// The last lines that are kept as a service's last words.
const LAST: usize = 3;

/// Whether the log goes to the kernel's.
static KERNEL: AtomicBool = AtomicBool::new(false);
/// The newest lines of the appliance's own image, for its support bundle.
static NEWEST: Mutex<VecDeque<String>> = Mutex::new(VecDeque::new());
const NEWEST_LINES: usize = 300;
/// The largest record that the kernel's log takes is 1,024 bytes (linux/kernel/printk).
const KERNEL_LINE: usize = 900;

/// From now on standard error is the kernel's log: each line gets its level, is cut to the kernel's length and kept.
pub(crate) fn to_kernel() {
    KERNEL.store(true, Ordering::Relaxed);
}

/// The newest lines, oldest first; empty unless the log goes to the kernel.
pub(crate) fn newest() -> Vec<String> {
    NEWEST
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .iter()
        .cloned()
        .collect()
}

fn say_to_kernel(source: &str, text: &str) {
    // 5 is "notice", 6 "informational" (syslog(3)): what the supervisor decides is shown before what services tell.
    let level = if source == SELF { 5 } else { 6 };
    let line: String = format!("{source}: {text}").chars().take(KERNEL_LINE / 4).collect();
    let record = format!("<{level}>redan {line}\n");
    // Bounded where it is called: services by their budget, the supervisor by having little to say.
    let _ = write(rustix::stdio::stderr(), record.as_bytes());
    let mut newest = NEWEST.lock().unwrap_or_else(PoisonError::into_inner);
    if newest.len() == NEWEST_LINES {
        newest.pop_front();
    }
    newest.push_back(line);
}

/// Writes a line to the log. Where whoever reads the log does not, the line is lost: the supervisor waits for nobody.
pub(crate) fn say(source: &str, text: &str) {
    if KERNEL.load(Ordering::Relaxed) {
        return say_to_kernel(source, text);
    }
    let mut line = format!("{source}: ").into_bytes();
    line.extend(text.bytes().take(LINE));
    line.push(b'\n');
    let stderr = rustix::stdio::stderr();
    let mut room = [PollFd::new(&stderr, PollFlags::OUT)];
    let now = rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 };
    if poll(&mut room, Some(&now)).is_ok_and(|ready| ready > 0) {
        // Nowhere is left to report a log that cannot be written.
        let _ = write(stderr, &line);
    }
}

/// The reading end of one service's log.
#[derive(Debug)]
pub(crate) struct Log {
    pipe: OwnedFd,
    source: &'static str,
    line: Vec<u8>,
    budget: Budget,
    last: VecDeque<String>,
    is_open: bool,
}

impl Log {
    /// A pipe: this end, and the one for the service.
    pub(crate) fn new(source: &'static str, now: Instant) -> Result<(Self, OwnedFd), Errno> {
        let (pipe, theirs) = pipe_with(PipeFlags::CLOEXEC)?;
        ioctl_fionbio(&pipe, true)?;
        Ok((
            Self {
                pipe,
                source,
                line: Vec::new(),
                budget: Budget::new(now),
                last: VecDeque::new(),
                is_open: true,
            },
            theirs,
        ))
    }

    /// Whether anybody can still write to it.
    pub(crate) const fn is_open(&self) -> bool {
        self.is_open
    }

    /// Passes on what has arrived, up to a bound.
    pub(crate) fn pump(&mut self, now: Instant) {
        let mut buffer = [0; 4096];
        // Bounded, so that a service that writes without end does not keep the supervisor from the others.
        for _ in 0..16 {
            let length = match read(&self.pipe, &mut buffer) {
                Ok(0) => {
                    self.end_line(now);
                    self.is_open = false;
                    return;
                }
                Ok(length) => length,
                Err(Errno::INTR) => continue,
                Err(_) => return,
            };
            for byte in buffer.iter().take(length) {
                match byte {
                    b'\n' => self.end_line(now),
                    _ if self.line.len() < LINE => self.line.push(*byte),
                    _ => {}
                }
            }
        }
    }

    /// The last lines, as one.
    pub(crate) fn last_words(&self) -> String {
        self.last.iter().map(String::as_str).collect::<Vec<_>>().join(" / ")
    }

    fn end_line(&mut self, now: Instant) {
        if self.line.is_empty() {
            return;
        }
        let text = printable(&self.line);
        self.line.clear();
        match self.budget.take(now) {
            Spent::Nothing => return,
            Spent::One { lost: 0 } => {}
            Spent::One { lost } => say(
                self.source,
                &format!("({lost} lines were lost: more than {LINES_A_SECOND} a second)"),
            ),
        }
        say(self.source, &text);
        if self.last.len() == LAST {
            self.last.pop_front();
        }
        self.last.push_back(text);
    }
}

impl AsFd for Log {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// What a service says, in the form and length that the log, events and status take.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .take(LINE / 4)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

/// Text without control characters, which could forge lines or drive the reader's terminal.
fn printable(line: &[u8]) -> String {
    String::from_utf8_lossy(line)
        .chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

#[derive(Debug)]
struct Budget {
    left: u32,
    filled: Instant,
    lost: u64,
}

#[derive(Debug, Eq, PartialEq)]
enum Spent {
    Nothing,
    One { lost: u64 },
}

impl Budget {
    const fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
            lost: 0,
        }
    }

    fn take(&mut self, now: Instant) -> Spent {
        let second = Duration::from_secs(1);
        while now.saturating_duration_since(self.filled) >= second && self.left < BURST {
            self.left = self.left.saturating_add(LINES_A_SECOND).min(BURST);
            self.filled += second;
        }
        if self.left == BURST {
            self.filled = now;
        }
        if self.left == 0 {
            self.lost = self.lost.saturating_add(1);
            return Spent::Nothing;
        }
        self.left -= 1;
        Spent::One {
            lost: std::mem::take(&mut self.lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{BURST, Budget, LINE, LINES_A_SECOND, Log, Spent, printable};
    use std::io::Write;
    use std::time::{Duration, Instant};

    #[test]
    fn a_flood_of_lines_is_cut_and_counted() {
        let now = Instant::now();
        let mut budget = Budget::new(now);
        assert!((0..BURST).all(|_| budget.take(now) == Spent::One { lost: 0 }));
        assert!((0..7).all(|_| budget.take(now) == Spent::Nothing));
        let later = now + Duration::from_secs(1);
        assert_eq!(budget.take(later), Spent::One { lost: 7 });
        assert!((1..LINES_A_SECOND).all(|_| budget.take(later) == Spent::One { lost: 0 }));
        assert_eq!(budget.take(later), Spent::Nothing);
    }

    #[test]
    fn a_line_cannot_forge_another_or_drive_a_terminal() {
        assert_eq!(printable(b"a\x1b[2J\rb\xff"), "a\u{fffd}[2J\u{fffd}b\u{fffd}");
    }

    #[test]
    fn last_words_are_kept_and_long_lines_are_cut() {
        let now = Instant::now();
        let (mut log, theirs) = Log::new("test", now).unwrap();
        let mut writer = std::fs::File::from(theirs);
        writer.write_all(b"one\ntwo\nthree\nfour\n").unwrap();
        log.pump(now);
        assert!(log.is_open());
        assert_eq!(log.last_words(), "two / three / four");
        writer.write_all(&[b'x'; 3 * LINE]).unwrap();
        drop(writer);
        log.pump(now);
        assert!(!log.is_open());
        assert!(log.last_words().ends_with(&"x".repeat(LINE)));
        assert!(log.last_words().len() < LINE + 20);
    }
}
