//! Servers behind the proxy: their health, shared by all threads, and each thread's connections to them.

mod connection;
mod health;
mod pool;

pub(crate) use connection::{Connection, Step as UpstreamStep, UpstreamFault};
pub(crate) use health::watch;
pub(crate) use pool::Pool;

use crate::clock::Moment;
use redan_ipc::slice::HealthCheck;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

/// A server, as all threads see it.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// A number of its own, never used again: the index of its connections in each thread's pool.
    pub(crate) index: usize,
    pub(crate) address: SocketAddr,
    // Failures of requests in a row.
    failures: AtomicU32,
    // The `Moment` until which no request is sent there; all threads count from the same start.
    closed_until: AtomicU64,
    // What the active check says.
    down: AtomicBool,
    check: Mutex<Option<HealthCheck>>,
}

/// Connections in a row that could not be made, after which a server rests.
const FAILURES: u32 = 3;
/// How long it rests, in milliseconds: short, since nobody tells us when it is well again.
const REST: u64 = 1_000;

impl Upstream {
    pub(crate) const fn new(index: usize, address: SocketAddr) -> Self {
        Self {
            index,
            address,
            failures: AtomicU32::new(0),
            closed_until: AtomicU64::new(0),
            down: AtomicBool::new(false),
            check: Mutex::new(None),
        }
    }

    /// Whether requests go there now.
    pub(crate) fn is_open(&self, now: Moment) -> bool {
        !self.down.load(Ordering::Relaxed) && now.millis() >= self.closed_until.load(Ordering::Relaxed)
    }

    /// A request was answered, with whatever status.
    pub(crate) fn succeeded(&self) {
        // A load is cheaper than a store that takes the line away from the other threads.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// No connection could be made.
    pub(crate) fn failed(&self, now: Moment) {
        if self.failures.fetch_add(1, Ordering::Relaxed) + 1 >= FAILURES {
            self.closed_until.store(now.after(REST).millis(), Ordering::Relaxed);
        }
    }

    /// Sets the active check that a configuration wants.
    pub(crate) fn expect(&self, check: &HealthCheck) {
        *self.check.lock().unwrap_or_else(PoisonError::into_inner) = Some(check.clone());
    }

    pub(crate) fn check(&self) -> Option<HealthCheck> {
        self.check.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_down(&self, down: bool) {
        self.down.store(down, Ordering::Relaxed);
        if !down {
            self.closed_until.store(0, Ordering::Relaxed);
            self.failures.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{REST, Upstream};
    use crate::clock::Moment;

    #[test]
    fn a_server_rests_after_failures_in_a_row_and_comes_back() {
        let server = Upstream::new(0, "192.0.2.1:80".parse().unwrap());
        let now = Moment::START.after(10);
        server.failed(now);
        server.failed(now);
        server.succeeded();
        server.failed(now);
        server.failed(now);
        assert!(server.is_open(now));
        server.failed(now);
        assert!(!server.is_open(now));
        assert!(!server.is_open(now.after(REST - 1)));
        assert!(server.is_open(now.after(REST)));
        server.set_down(true);
        assert!(!server.is_open(Moment::NEVER));
        server.set_down(false);
        assert!(server.is_open(Moment::START));
    }
}
