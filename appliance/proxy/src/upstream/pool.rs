//! A thread's idle connections to servers.

use crate::clock::Moment;
use crate::snapshot::UpstreamPlan;
use crate::upstream::{Connection, Upstream};
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::net::TcpStream;

/// Idle connections kept for each server.
const KEPT: usize = 64;
/// An idle connection is closed after this many milliseconds: before the servers' own usual limits.
const IDLE: u64 = 15_000;
/// A request that must not be sent twice takes no connection that has been idle longer than this many milliseconds: the server might
/// be closing it right now.
const FRESH: u64 = 2_000;
/// What a retry costs, in requests: at most one in five is retried for long.
const RETRY: u32 = 5;
/// Requests that count towards retries, at most.
const BUDGET: u32 = 100;

#[derive(Debug)]
struct Idle {
    tcp: TcpStream,
    // Kept along: its count is shared by all threads, and is left alone as long as connections are used again.
    server: Arc<Upstream>,
    since: Moment,
}

/// Idle connections by [`Upstream::index`], and what may be spent on retries.
#[derive(Debug)]
pub(crate) struct Pool {
    idle: RefCell<Vec<Vec<Idle>>>,
    budget: Cell<u32>,
}

impl Pool {
    pub(crate) const fn new() -> Self {
        Self {
            idle: RefCell::new(Vec::new()),
            budget: Cell::new(BUDGET),
        }
    }

    /// The next server of a plan that takes requests; `None` when all rest.
    pub(crate) fn choose<'a>(&self, plan: &'a UpstreamPlan, now: Moment) -> Option<&'a Arc<Upstream>> {
        let servers = &plan.servers;
        if let [only] = servers.as_slice() {
            return only.is_open(now).then_some(only);
        }
        let start = plan.next.fetch_add(1, Ordering::Relaxed);
        let (before, after) = servers.split_at(start.checked_rem(servers.len())?);
        after.iter().chain(before).find(|server| server.is_open(now))
    }

    /// An idle connection to a server.
    pub(crate) fn take(&self, server: &Arc<Upstream>, repeatable: bool, now: Moment) -> Option<Connection> {
        let mut pools = self.idle.borrow_mut();
        let pool = pools.get_mut(server.index)?;
        while let Some(idle) = pool.pop() {
            let age = now.since(idle.since);
            if age > IDLE || (!repeatable && age > FRESH) {
                // Those below have been idle even longer.
                pool.clear();
                return None;
            }
            if is_quiet(&idle.tcp) && (repeatable || is_silent(&idle.tcp)) {
                return Some(Connection::new(idle.tcp, idle.server, true));
            }
        }
        None
    }

    /// Keeps a connection that stands before its next request.
    pub(crate) fn put(&self, connection: Connection, now: Moment) {
        let (tcp, server) = connection.into_parts();
        let mut pools = self.idle.borrow_mut();
        let index = server.index;
        if pools.len() <= index {
            pools.resize_with(index + 1, Vec::new);
        }
        if let Some(pool) = pools.get_mut(index)
            && pool.len() < KEPT
        {
            pool.push(Idle {
                tcp,
                server,
                since: now,
            });
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, now: Moment) {
        for pool in self.idle.borrow_mut().iter_mut() {
            pool.retain(|idle| now.since(idle.since) <= IDLE && is_quiet(&idle.tcp));
        }
    }

    /// Counts a request towards later retries.
    pub(crate) fn earn(&self) {
        self.budget.set(self.budget.get().saturating_add(1).min(BUDGET));
    }

    /// Pays for a retry; false when retries have used up what requests earned, so that they don't multiply the load of a server that
    /// is failing.
    pub(crate) fn pay(&self) -> bool {
        match self.budget.get().checked_sub(RETRY) {
            Some(left) => {
                self.budget.set(left);
                true
            }
            None => false,
        }
    }
}

/// Whether nothing has come on an idle connection. A byte nobody asked for, or the end, means that it must not be used. Asks the
/// runtime, and the kernel only where the runtime is not sure.
fn is_quiet(tcp: &TcpStream) -> bool {
    use std::task::{Context, Poll, Waker};
    match tcp.poll_read_ready(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => true,
        Poll::Ready(_) => {
            matches!(tcp.try_read(&mut [0]), Err(error) if error.kind() == io::ErrorKind::WouldBlock)
        }
    }
}

/// As [`is_quiet`], but always asks the kernel: the runtime may not have heard yet that the server has just closed. For requests that
/// cannot be sent twice; for all others the call would cost more than to find out later.
fn is_silent(tcp: &TcpStream) -> bool {
    let peeked = socket2::SockRef::from(tcp).peek(&mut [std::mem::MaybeUninit::uninit()]);
    matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
}

#[cfg(test)]
mod tests {
    use super::Pool;
    use crate::clock::Moment;
    use crate::snapshot::UpstreamPlan;
    use crate::upstream::Upstream;
    use std::sync::Arc;
    use std::sync::atomic::AtomicUsize;

    #[test]
    fn servers_take_turns_and_the_sick_are_passed_over() {
        let server = |index: u16| Arc::new(Upstream::new(index.into(), ([192, 0, 2, 1], index).into()));
        let plan = UpstreamPlan {
            servers: (0..3).map(server).collect(),
            next: AtomicUsize::new(0),
            connect_timeout: 1,
            response_timeout: 1,
            retries: 0,
        };
        let pool = Pool::new();
        let turns = |count: usize| -> Vec<Option<usize>> {
            let choose = |_| pool.choose(&plan, Moment::START).map(|server| server.index);
            (0..count).map(choose).collect()
        };
        assert_eq!(turns(4), [Some(0), Some(1), Some(2), Some(0)]);
        plan.servers[1].set_down(true);
        assert_eq!(turns(3), [Some(2), Some(2), Some(0)]);
        plan.servers[0].set_down(true);
        plan.servers[2].set_down(true);
        assert_eq!(turns(2), [None, None]);
    }

    #[test]
    fn retries_end_when_they_outrun_the_requests() {
        let pool = Pool::new();
        assert_eq!((0..100).filter(|_| pool.pay()).count(), 20);
        for _ in 0..4 {
            pool.earn();
        }
        assert!(!pool.pay());
        pool.earn();
        assert!(pool.pay());
    }
}
