//! A thread's coarse clock and its deadlines.
//!
//! A timer of the runtime for each read and write would cost more than the read: a deadline here is a number in a cell, and one
//! sweep of the thread, ten times a second, wakes those whose time has come.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

/// How often a thread looks at its deadlines; they are that exact.
pub(crate) const TICK: Duration = Duration::from_millis(100);

/// Milliseconds since the proxy began, the same for all threads.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) struct Moment(u64);

impl Moment {
    /// A time that never comes.
    pub(crate) const NEVER: Self = Self(u64::MAX);

    /// The start of the process.
    #[cfg(test)]
    pub(crate) const START: Self = Self(0);

    pub(crate) const fn millis(self) -> u64 {
        self.0
    }

    /// This many milliseconds later.
    pub(crate) const fn after(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }

    /// Milliseconds since `earlier`.
    pub(crate) const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// The time for a wait was over, or the connection was given up to make room.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Expired;

/// A thread's clock and everything that waits on it.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    now: Cell<Moment>,
    entries: RefCell<Entries>,
}

#[derive(Debug, Default)]
struct Entries {
    slots: Vec<Option<Rc<Entry>>>,
    free: Vec<usize>,
    cursor: usize,
}

#[derive(Debug)]
struct Entry {
    at: Cell<Moment>,
    expired: Cell<bool>,
    waker: RefCell<Option<Waker>>,
    idle: Cell<Option<Moment>>,
    source: u64,
}

impl Clock {
    pub(crate) fn new(start: Instant) -> Self {
        Self {
            start,
            now: Cell::new(Moment(1)),
            entries: RefCell::default(),
        }
    }

    /// The time of the last sweep.
    pub(crate) fn now(&self) -> Moment {
        self.now.get()
    }

    /// Moves the time on and wakes everything whose deadline has passed.
    pub(crate) fn sweep(&self, now: Instant) {
        let millis = u64::try_from(now.duration_since(self.start).as_millis()).unwrap_or(u64::MAX - 1);
        let now = Moment(millis.saturating_add(1));
        self.now.set(now);
        let due: Vec<Rc<Entry>> = {
            let entries = self.entries.borrow();
            let due = entries.slots.iter().flatten().filter(|entry| entry.at.get() <= now);
            due.cloned().collect()
        };
        for entry in due {
            entry.expire();
        }
    }

    /// A timer of a connection from `source` or of one of its streams.
    pub(crate) fn timer(self: &Rc<Self>, source: u64) -> Timer {
        let entry = Rc::new(Entry {
            at: Cell::new(Moment::NEVER),
            expired: Cell::new(false),
            waker: RefCell::new(None),
            idle: Cell::new(None),
            source,
        });
        let mut entries = self.entries.borrow_mut();
        let slot = match entries.free.pop() {
            Some(slot) => slot,
            None => {
                entries.slots.push(None);
                entries.slots.len() - 1
            }
        };
        if let Some(place) = entries.slots.get_mut(slot) {
            *place = Some(Rc::clone(&entry));
        }
        Timer {
            clock: Rc::clone(self),
            entry,
            slot,
        }
    }

    /// Gives up the longest idle connection among the next [`Self::SAMPLE`], of one source if that is asked. Says whether there was
    /// one. A sample, so that a flood of connections costs the same for each.
    pub(crate) fn evict(&self, source: Option<u64>) -> bool {
        let mut entries = self.entries.borrow_mut();
        let count = entries.slots.len();
        let looked = Self::SAMPLE.min(count);
        let mut oldest: Option<(Moment, Rc<Entry>)> = None;
        for step in 0..looked {
            let at = (entries.cursor + step) % count;
            let Some(Some(entry)) = entries.slots.get(at) else {
                continue;
            };
            let Some(idle) = entry.idle.get() else { continue };
            if source.is_none_or(|source| source == entry.source)
                && oldest.as_ref().is_none_or(|(least, _)| idle < *least)
            {
                oldest = Some((idle, Rc::clone(entry)));
            }
        }
        entries.cursor = if count == 0 {
            0
        } else {
            (entries.cursor + looked) % count
        };
        drop(entries);
        match oldest {
            Some((_, entry)) => {
                entry.idle.set(None);
                entry.expire();
                true
            }
            None => false,
        }
    }

    const SAMPLE: usize = 256;
}

impl Entry {
    fn expire(&self) {
        self.at.set(Moment::NEVER);
        self.expired.set(true);
        if let Some(waker) = self.waker.borrow_mut().take() {
            waker.wake();
        }
    }
}

/// The deadline of whatever its owner waits for now.
#[derive(Debug)]
pub(crate) struct Timer {
    clock: Rc<Clock>,
    entry: Rc<Entry>,
    slot: usize,
}

impl Timer {
    pub(crate) fn now(&self) -> Moment {
        self.clock.now()
    }

    /// Waits for `future`, at most until `deadline`.
    pub(crate) async fn until<F: Future>(&self, deadline: Moment, future: F) -> Result<F::Output, Expired> {
        let mut future = pin!(future);
        self.entry.expired.set(false);
        let mut armed = false;
        let outcome = poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if !armed {
                armed = true;
                self.entry.at.set(deadline);
            }
            self.poll_expired(cx).map(Err)
        })
        .await;
        if armed {
            self.entry.at.set(Moment::NEVER);
        }
        outcome
    }

    /// As [`Timer::until`], for this many milliseconds from now.
    pub(crate) async fn within<F: Future>(&self, millis: u64, future: F) -> Result<F::Output, Expired> {
        self.until(self.now().after(millis), future).await
    }

    /// As [`Timer::until`], for a connection that waits for its next request and may be given up to make room.
    pub(crate) async fn idle<F: Future>(&self, millis: u64, future: F) -> Result<F::Output, Expired> {
        self.entry.idle.set(Some(self.now()));
        let outcome = self.within(millis, future).await;
        self.entry.idle.set(None);
        outcome
    }

    fn poll_expired(&self, cx: &Context<'_>) -> Poll<Expired> {
        if self.entry.expired.get() {
            return Poll::Ready(Expired);
        }
        let mut waker = self.entry.waker.borrow_mut();
        if !waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        let mut entries = self.clock.entries.borrow_mut();
        if let Some(place) = entries.slots.get_mut(self.slot) {
            *place = None;
        }
        entries.free.push(self.slot);
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, Expired};
    use std::future::{Future, pending, ready};
    use std::pin::pin;
    use std::rc::Rc;
    use std::task::{Context, Poll, Waker};
    use std::time::{Duration, Instant};

    fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
        future.poll(&mut Context::from_waker(Waker::noop()))
    }

    #[test]
    fn a_wait_ends_at_its_deadline_and_not_before() {
        let start = Instant::now();
        let clock = Rc::new(Clock::new(start));
        let timer = clock.timer(0);
        let mut wait = pin!(timer.within(500, pending::<()>()));
        assert!(poll(wait.as_mut()).is_pending());
        clock.sweep(start + Duration::from_millis(499));
        assert!(poll(wait.as_mut()).is_pending());
        clock.sweep(start + Duration::from_millis(501));
        assert_eq!(poll(wait.as_mut()), Poll::Ready(Err(Expired)));
    }

    #[test]
    fn what_is_ready_never_expires() {
        let clock = Rc::new(Clock::new(Instant::now()));
        let timer = clock.timer(0);
        assert_eq!(poll(pin!(timer.within(0, ready(7)))), Poll::Ready(Ok(7)));
    }

    #[test]
    fn the_longest_idle_connection_makes_room() {
        let start = Instant::now();
        let clock = Rc::new(Clock::new(start));
        let (first, second, busy) = (clock.timer(1), clock.timer(2), clock.timer(3));
        let mut old = pin!(first.idle(60_000, pending::<()>()));
        assert!(poll(old.as_mut()).is_pending());
        clock.sweep(start + Duration::from_millis(200));
        let mut young = pin!(second.idle(60_000, pending::<()>()));
        assert!(poll(young.as_mut()).is_pending());
        let mut working = pin!(busy.within(60_000, pending::<()>()));
        assert!(poll(working.as_mut()).is_pending());

        assert!(clock.evict(None));
        assert!(poll(old.as_mut()).is_ready());
        assert!(poll(young.as_mut()).is_pending());
        assert!(!clock.evict(Some(9)), "no idle connection of that source");
        assert!(clock.evict(Some(2)));
        assert!(poll(young.as_mut()).is_ready());
        assert!(!clock.evict(None), "a busy connection is never given up");
        assert!(poll(working.as_mut()).is_pending());
    }
}
