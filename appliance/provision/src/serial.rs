//! The serial line itself: waits for bytes and for time, and writes what the menu says.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::{Errno, read, write};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::menu::Menu;
use crate::world::World;

/// Bytes that are read before the menu has its turn.
const PORTION: usize = 1024;
/// While so much waits to be sent, nothing more is read: the answer to it would only make it more.
const BACKLOG: usize = 64 << 10;
/// How long nothing may happen before the menu is asked what time has brought.
const TICK: Duration = Duration::from_secs(1);

/// Runs the menu on the line, until the line fails. The line does not wait (`O_NONBLOCK`).
///
/// # Errors
/// What the kernel says.
pub fn run<W: World>(line: &OwnedFd, menu: &mut Menu<W>) -> Result<(), Errno> {
    let start = Instant::now();
    let mut waiting = Vec::new();
    let mut buffer = [0; PORTION];
    menu.begin(start.elapsed());
    loop {
        waiting.append(&mut menu.take_output());
        let mut interest = PollFlags::empty();
        interest.set(PollFlags::IN, waiting.len() < BACKLOG);
        interest.set(PollFlags::OUT, !waiting.is_empty());
        let mut polled = [PollFd::new(line, interest)];
        let timeout = Timespec::try_from(TICK).map_err(|_| Errno::INVAL)?;
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
        let ready = polled.first().map_or(PollFlags::empty(), PollFd::revents);
        if ready.contains(PollFlags::OUT) {
            match write(line, &waiting) {
                Ok(length) => drop(waiting.drain(..length)),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        }
        if ready.contains(PollFlags::IN) {
            match read(line, &mut buffer) {
                // The other end of a pseudo-terminal has gone; on a wire there is always another byte to wait for.
                Ok(0) => return Ok(()),
                Ok(length) => menu.take(buffer.get(..length).unwrap_or_default(), start.elapsed()),
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(errno) => return Err(errno),
            }
        } else if ready.intersects(PollFlags::HUP | PollFlags::ERR) {
            return Ok(());
        }
        menu.tick(start.elapsed());
    }
}

/// Where there is no serial line: sticks are looked at all the same. This does not end.
pub fn run_without<W: World>(menu: &mut Menu<W>) -> ! {
    let start = Instant::now();
    loop {
        menu.tick(start.elapsed());
        drop(menu.take_output());
        std::thread::sleep(TICK);
    }
}
