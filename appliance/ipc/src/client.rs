//! The asking end, for threads that may wait.

use crate::frame::{Encoded, Header, Kind, Received};
use crate::{Channel, IpcError, MAX_PACKET, Pair};
use std::marker::PhantomData;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// A client that waits for each answer. Threads that share one take turns.
pub struct Client<P> {
    state: Mutex<State>,
    pair: PhantomData<fn() -> P>,
}

struct State {
    channel: Channel,
    buffer: Vec<u8>,
    next: u64,
    timeout: Option<Duration>,
}

impl<P: Pair> Client<P> {
    /// A client on its end of the wire.
    #[must_use]
    pub fn new(channel: Channel) -> Self {
        let state = State {
            channel,
            buffer: vec![0; MAX_PACKET],
            next: 1,
            timeout: None,
        };
        Self {
            state: Mutex::new(state),
            pair: PhantomData,
        }
    }

    /// Asks and waits for the answer, at most `timeout`.
    ///
    /// # Errors
    /// [`IpcError::Closed`] and [`IpcError::Framing`] end the use of this wire; after [`IpcError::Deadline`] it can be used again
    /// (a late answer is passed over).
    pub fn call(&self, request: &P::Request, timeout: Duration) -> Result<P::Reply, IpcError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.call::<P>(request, timeout)
    }

    /// Sends a message that nobody answers; refused with [`IpcError::Deadline`] after `timeout` without room.
    ///
    /// # Errors
    /// As [`Channel::send`].
    pub fn notify(&self, request: &P::Request, timeout: Duration) -> Result<(), IpcError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.channel.set_send_timeout(Some(timeout))?;
        let header = Header {
            kind: Kind::Notice,
            id: 0,
            wait: Duration::ZERO,
        };
        Encoded::new(header, request, P::LIMIT)?.send(&state.channel, &[])
    }
}

impl<P> std::fmt::Debug for Client<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}

impl State {
    fn call<P: Pair>(&mut self, request: &P::Request, timeout: Duration) -> Result<P::Reply, IpcError> {
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        // One system call saved on each request of the common case, where the timeout is always the same.
        if self.timeout != Some(timeout) {
            self.channel.set_receive_timeout(Some(timeout))?;
            self.channel.set_send_timeout(Some(timeout))?;
            self.timeout = Some(timeout);
        }
        let header = Header {
            kind: Kind::Request,
            id,
            wait: timeout,
        };
        Encoded::new(header, request, P::LIMIT)?.send(&self.channel, &[])?;
        let start = Instant::now();
        loop {
            let packet = self.channel.receive(&mut self.buffer)?;
            let received = Received::parse(&self.buffer, packet, P::LIMIT)?;
            match (received.header.kind, received.header.id == id) {
                (Kind::Reply, true) => {
                    let reply = received.body(&self.buffer);
                    received.wipe(&mut self.buffer);
                    return reply;
                }
                (Kind::Dropped, true) => return Err(IpcError::Dropped),
                // The late answer to a request that was given up.
                (Kind::Reply | Kind::Dropped, false) if start.elapsed() < timeout => received.wipe(&mut self.buffer),
                (Kind::Reply | Kind::Dropped, false) => return Err(IpcError::Deadline),
                (Kind::Request | Kind::Notice, _) => return Err(IpcError::Framing("a question from a server")),
            }
        }
    }
}
