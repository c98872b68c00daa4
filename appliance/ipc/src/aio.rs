//! The asking end, for asynchronous services: many requests under way at once on one wire.

use crate::frame::{Encoded, Header, Kind, Received};
use crate::{Channel, IpcError, MAX_PACKET, Pair};
use rustix::fd::AsFd;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::UnixDatagram;
use tokio::sync::oneshot;

/// The most requests under way on one wire; one more is refused with [`IpcError::Deadline`], so that a slow peer costs bounded
/// memory.
const UNDER_WAY: usize = 1024;

/// A client whose requests do not wait for each other. Clones share the wire.
pub struct AsyncClient<P: Pair> {
    shared: Arc<Shared<P>>,
}

struct Shared<P: Pair> {
    channel: Channel,
    // The same socket once more, registered with the runtime: says when a packet or room has come. Its type is the closest that
    // the runtime offers safely; only its readiness is used.
    readiness: UnixDatagram,
    next: AtomicU64,
    // None once the wire has ended.
    waiting: Mutex<Option<Waiting<P>>>,
    pair: PhantomData<fn() -> P>,
}

// The answer's sender for each request under way.
type Waiting<P> = HashMap<u64, oneshot::Sender<Result<<P as Pair>::Reply, IpcError>>>;

impl<P: Pair> AsyncClient<P> {
    /// A client on its end of the wire; its receiving task runs until the wire ends. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// The descriptor cannot be watched.
    pub fn new(channel: Channel) -> Result<Self, IpcError> {
        channel.set_nonblocking(true)?;
        let readiness = channel
            .as_fd()
            .try_clone_to_owned()
            .and_then(|socket| UnixDatagram::from_std(socket.into()))
            .map_err(|source| IpcError::System {
                operation: "watch a wire",
                source,
            })?;
        let waiting = Mutex::new(Some(HashMap::new()));
        let shared = Arc::new(Shared {
            channel,
            readiness,
            next: AtomicU64::new(1),
            waiting,
            pair: PhantomData,
        });
        let receiver = Arc::clone(&shared);
        tokio::spawn(async move { receiver.receive().await });
        Ok(Self { shared })
    }

    /// Asks and waits for the answer, at most `timeout`.
    ///
    /// # Errors
    /// [`IpcError::Closed`] once the wire has ended, [`IpcError::Deadline`] when no answer came in time.
    pub async fn call(&self, request: &P::Request, timeout: Duration) -> Result<P::Reply, IpcError> {
        let id = self.shared.next.fetch_add(1, Ordering::Relaxed);
        let (sender, receiver) = oneshot::channel();
        self.shared.enter(id, sender)?;
        let guard = Leave {
            shared: &self.shared,
            id,
        };
        let header = Header {
            kind: Kind::Request,
            id,
            wait: timeout,
        };
        let frame = Encoded::new(header, request, P::LIMIT)?;
        let exchange = async {
            self.shared.send(&frame).await?;
            receiver.await.unwrap_or(Err(IpcError::Closed))
        };
        let outcome = tokio::time::timeout(timeout, exchange).await;
        drop(guard);
        outcome.unwrap_or(Err(IpcError::Deadline))
    }

    /// Sends a message that nobody answers, if there is room for it now.
    ///
    /// # Errors
    /// [`IpcError::Deadline`] when there is no room: the caller counts what it lost.
    pub fn try_notify(&self, request: &P::Request) -> Result<(), IpcError> {
        let header = Header {
            kind: Kind::Notice,
            id: 0,
            wait: Duration::ZERO,
        };
        Encoded::new(header, request, P::LIMIT)?.send(&self.shared.channel, &[])
    }

    /// Whether the wire has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .is_none()
    }
}

impl<P: Pair> Clone for AsyncClient<P> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
        }
    }
}

impl<P: Pair> std::fmt::Debug for AsyncClient<P> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsyncClient").finish_non_exhaustive()
    }
}

/// Forgets a request when its caller is done with it, answered or not.
struct Leave<'a, P: Pair> {
    shared: &'a Shared<P>,
    id: u64,
}

impl<P: Pair> Drop for Leave<'_, P> {
    fn drop(&mut self) {
        if let Some(waiting) = self
            .shared
            .waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .as_mut()
        {
            waiting.remove(&self.id);
        }
    }
}

impl<P: Pair> Shared<P> {
    fn enter(&self, id: u64, sender: oneshot::Sender<Result<P::Reply, IpcError>>) -> Result<(), IpcError> {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = waiting.as_mut().ok_or(IpcError::Closed)?;
        if waiting.len() >= UNDER_WAY {
            return Err(IpcError::Deadline);
        }
        waiting.insert(id, sender);
        Ok(())
    }

    async fn send(&self, frame: &Encoded) -> Result<(), IpcError> {
        loop {
            let sent = self.when(Interest::WRITABLE, || frame.send(&self.channel, &[]));
            match sent {
                Err(IpcError::Deadline) => {}
                other => return other,
            }
            self.readiness.writable().await.map_err(|source| IpcError::System {
                operation: "wait for room on a wire",
                source,
            })?;
        }
    }

    async fn receive(&self) {
        let mut buffer = vec![0; MAX_PACKET];
        while self.readiness.readable().await.is_ok() {
            let packet = match self.when(Interest::READABLE, || self.channel.receive(&mut buffer)) {
                Ok(packet) => packet,
                Err(IpcError::Deadline) => continue,
                Err(_) => break,
            };
            let Ok(received) = Received::parse(&buffer, packet, P::LIMIT) else {
                break;
            };
            let answer = match received.header.kind {
                Kind::Reply => received.body(&buffer),
                Kind::Dropped => Err(IpcError::Dropped),
                Kind::Request | Kind::Notice => break,
            };
            received.wipe(&mut buffer);
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let sender = waiting.as_mut().and_then(|waiting| waiting.remove(&received.header.id));
            drop(waiting);
            if let Some(sender) = sender {
                // The caller may have stopped waiting.
                let _ = sender.send(answer);
            }
        }
        // Dropping the senders tells every waiting caller.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    /// Tries a step that must not wait; the runtime learns from [`IpcError::Deadline`] that the socket is not ready.
    fn when<T>(&self, interest: Interest, step: impl FnOnce() -> Result<T, IpcError>) -> Result<T, IpcError> {
        let outcome = self.readiness.try_io(interest, || match step() {
            Err(IpcError::Deadline) => Err(std::io::ErrorKind::WouldBlock.into()),
            other => Ok(other),
        });
        outcome.unwrap_or(Err(IpcError::Deadline))
    }
}

#[cfg(test)]
mod tests {
    use super::AsyncClient;
    use crate::messages::ConsoleNetwork;
    use crate::messages::network::{NetworkReply, NetworkRequest};
    use crate::{Channel, Client, IpcError, serve};
    use std::time::Duration;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn server() -> Channel {
        let (client, server) = Channel::pair().unwrap();
        let mut held = None;
        std::thread::spawn(move || {
            serve::<ConsoleNetwork>(server, |request, responder| match request {
                // Answered after the next request, so that answers come out of order.
                NetworkRequest::Counters => held = Some(responder),
                NetworkRequest::Blocklist => {
                    responder.reply(&NetworkReply::Blocklist(Vec::new()));
                    if let Some(held) = held.take() {
                        held.reply(&NetworkReply::Counters(Vec::new()));
                    }
                }
                NetworkRequest::Block { .. } | NetworkRequest::Unblock { .. } => drop(responder),
            })
        });
        client
    }

    #[tokio::test]
    async fn answers_find_their_questions_in_any_order() {
        let (end, server) = Channel::pair().unwrap();
        std::thread::spawn(move || {
            let mut waiting = Vec::new();
            serve::<ConsoleNetwork>(server, |request, responder| {
                waiting.push((request, responder));
                if waiting.len() == 2 {
                    // The last asked is the first answered.
                    while let Some((request, responder)) = waiting.pop() {
                        responder.reply(&match request {
                            NetworkRequest::Counters => NetworkReply::Counters(Vec::new()),
                            _ => NetworkReply::Blocklist(Vec::new()),
                        });
                    }
                }
            })
        });
        let client = AsyncClient::<ConsoleNetwork>::new(end).unwrap();
        let (first, second) = tokio::join!(
            client.call(&NetworkRequest::Counters, PATIENCE),
            client.call(&NetworkRequest::Blocklist, PATIENCE)
        );
        assert!(matches!(first, Ok(NetworkReply::Counters(_))), "{first:?}");
        assert!(matches!(second, Ok(NetworkReply::Blocklist(_))), "{second:?}");
    }

    #[tokio::test]
    async fn a_question_without_answer_is_an_error_at_once_and_a_slow_one_at_its_deadline() {
        let client = AsyncClient::<ConsoleNetwork>::new(server()).unwrap();
        let unblock = NetworkRequest::Unblock {
            network: "192.0.2.1".parse().unwrap(),
        };
        assert!(matches!(client.call(&unblock, PATIENCE).await, Err(IpcError::Dropped)));
        let slow = client.call(&NetworkRequest::Counters, Duration::from_millis(20)).await;
        assert!(matches!(slow, Err(IpcError::Deadline)));
        // The wire goes on, and the late answer is passed over.
        assert!(matches!(
            client.call(&NetworkRequest::Blocklist, PATIENCE).await,
            Ok(NetworkReply::Blocklist(_))
        ));
    }

    #[tokio::test]
    async fn the_end_of_the_wire_ends_every_wait() {
        let (end, server) = Channel::pair().unwrap();
        let client = AsyncClient::<ConsoleNetwork>::new(end).unwrap();
        let (outcome, ()) = tokio::join!(client.call(&NetworkRequest::Counters, PATIENCE), async { drop(server) });
        assert!(matches!(outcome, Err(IpcError::Closed)), "{outcome:?}");
        assert!(matches!(
            client.call(&NetworkRequest::Counters, PATIENCE).await,
            Err(IpcError::Closed)
        ));
    }

    #[test]
    fn a_waiting_client_passes_over_late_answers() {
        let client = Client::<ConsoleNetwork>::new(server());
        let slow = client.call(&NetworkRequest::Counters, Duration::from_millis(20));
        assert!(matches!(slow, Err(IpcError::Deadline)));
        let reply = client.call(&NetworkRequest::Blocklist, PATIENCE);
        assert!(matches!(reply, Ok(NetworkReply::Blocklist(_))));
        let reply = client.call(&NetworkRequest::Blocklist, PATIENCE);
        assert!(matches!(reply, Ok(NetworkReply::Blocklist(_))));
    }
}
