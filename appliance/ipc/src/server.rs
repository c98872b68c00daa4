//! The answering end.

use crate::frame::{Encoded, Header, Kind, Received};
use crate::{Channel, IpcError, MAX_PACKET, Pair};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Receives requests until the peer goes and hands each to `handle`, which answers through the [`Responder`] at once or later,
/// from any thread. Returns how the wire ended: [`IpcError::Closed`] is the orderly way.
pub fn serve<P: Pair>(channel: Channel, mut handle: impl FnMut(P::Request, Responder<P>)) -> IpcError {
    let channel = Arc::new(channel);
    let mut buffer = vec![0; MAX_PACKET];
    loop {
        let step = channel
            .receive(&mut buffer)
            .and_then(|packet| Received::parse(&buffer, packet, P::LIMIT));
        let received = match step {
            Ok(received) => received,
            Err(error) => return error,
        };
        let Header { kind, id, wait } = received.header;
        let answer = match kind {
            Kind::Request => Some(id),
            Kind::Notice => None,
            Kind::Reply | Kind::Dropped => return IpcError::Framing("an answer from a client"),
        };
        let request = received.body(&buffer);
        received.wipe(&mut buffer);
        let request = match request {
            Ok(request) => request,
            Err(error) => return error,
        };
        let until = Instant::now().checked_add(wait);
        handle(
            request,
            Responder {
                channel: Arc::clone(&channel),
                answer,
                until,
                pair: PhantomData,
            },
        );
    }
}

/// The right to answer one request, once. Dropped without an answer, the client is told so.
pub struct Responder<P> {
    channel: Arc<Channel>,
    answer: Option<u64>,
    until: Option<Instant>,
    pair: PhantomData<fn() -> P>,
}

impl<P: Pair> Responder<P> {
    /// Answers. A client that has gone meanwhile is no error: its wire's own end says so.
    pub fn reply(mut self, reply: &P::Reply) {
        if let Some(id) = self.answer {
            let header = Header {
                kind: Kind::Reply,
                id,
                wait: Duration::ZERO,
            };
            if Encoded::new(header, reply, P::LIMIT)
                .and_then(|frame| frame.send(&self.channel, &[]))
                .is_ok()
            {
                self.answer = None;
            }
        }
    }
}

impl<P> Responder<P> {
    /// Whether the client still waits.
    #[must_use]
    pub fn is_awaited(&self) -> bool {
        self.answer.is_some() && self.until.is_some_and(|until| Instant::now() < until)
    }
}

impl<P> Drop for Responder<P> {
    fn drop(&mut self) {
        if let Some(id) = self.answer.take() {
            let header = Header {
                kind: Kind::Dropped,
                id,
                wait: Duration::ZERO,
            };
            // The peer may be gone, and then nobody needs to know.
            let _ = Encoded::new(header, &(), 0).and_then(|frame| frame.send(&self.channel, &[]));
        }
    }
}

impl<P> std::fmt::Debug for Responder<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Responder")
            .field("answer", &self.answer)
            .finish_non_exhaustive()
    }
}
