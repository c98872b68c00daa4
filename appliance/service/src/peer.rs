//! The asking end of a pair, through the peer's restarts.

use crate::hub::Hub;
use redan_ipc::{Client, IpcError, Pair};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

#[cfg(feature = "tokio")]
pub use asynchronous::AsyncPeer;

/// A peer that threads ask and wait for. While the peer restarts, a question waits for its new wire, within its timeout.
#[derive(Debug)]
pub struct Peer<P: Pair> {
    slot: Arc<Slot<P>>,
}

#[derive(Debug)]
struct Slot<P: Pair> {
    client: Mutex<Option<Arc<Client<P>>>>,
    arrived: Condvar,
}

impl<P: Pair> Slot<P> {
    fn wire(&self) -> Option<Arc<Client<P>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl<P: Pair> Peer<P> {
    pub(crate) fn new(hub: &Arc<Hub>, index: u16) -> Self {
        let slot = Arc::new(Slot {
            client: Mutex::new(None),
            arrived: Condvar::new(),
        });
        let filled = Arc::clone(&slot);
        hub.on_wire(P::TAG, index, move |channel| {
            *filled.client.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(Client::new(channel)));
            filled.arrived.notify_all();
        });
        Self { slot }
    }

    /// A peer on a wire of one's own, for tests.
    #[must_use]
    pub fn fixed(channel: redan_ipc::Channel) -> Self {
        let client = Some(Arc::new(Client::new(channel)));
        Self {
            slot: Arc::new(Slot {
                client: Mutex::new(client),
                arrived: Condvar::new(),
            }),
        }
    }

    /// Asks and waits, at most `timeout`.
    ///
    /// # Errors
    /// [`IpcError::Closed`] when the peer went away after it was asked: whether it did what was asked is unknown.
    /// [`IpcError::Deadline`] when there was no wire or no answer in time.
    pub fn call(&self, request: &P::Request, timeout: Duration) -> Result<P::Reply, IpcError> {
        // With a wire at hand nothing is waited for, and the timeout is the same for each question: the client sets it on the socket once.
        let (client, left) = match self.slot.wire() {
            Some(client) => (client, timeout),
            None => {
                let start = Instant::now();
                let client = self.client(timeout)?;
                let left = timeout.saturating_sub(start.elapsed());
                (client, left.max(Duration::from_millis(1)))
            }
        };
        let outcome = client.call(request, left);
        self.settle(&client, outcome)
    }

    /// Sends what nobody answers.
    ///
    /// # Errors
    /// As [`Peer::call`].
    pub fn notify(&self, request: &P::Request, timeout: Duration) -> Result<(), IpcError> {
        let client = self.client(timeout)?;
        let outcome = client.notify(request, timeout);
        self.settle(&client, outcome)
    }

    fn client(&self, timeout: Duration) -> Result<Arc<Client<P>>, IpcError> {
        let slot = self.slot.client.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self
            .slot
            .arrived
            .wait_timeout_while(slot, timeout, |client| client.is_none());
        let (client, _) = waited.unwrap_or_else(PoisonError::into_inner);
        client.clone().ok_or(IpcError::Deadline)
    }

    /// Forgets a wire that has ended, so that the next question waits for the new one.
    fn settle<T>(&self, used: &Arc<Client<P>>, outcome: Result<T, IpcError>) -> Result<T, IpcError> {
        if !matches!(
            outcome,
            Ok(_) | Err(IpcError::Deadline | IpcError::Dropped | IpcError::TooLarge { .. })
        ) {
            let mut slot = self.slot.client.lock().unwrap_or_else(PoisonError::into_inner);
            if slot.as_ref().is_some_and(|client| Arc::ptr_eq(client, used)) {
                *slot = None;
            }
        }
        outcome
    }
}

impl<P: Pair> Clone for Peer<P> {
    fn clone(&self) -> Self {
        Self {
            slot: Arc::clone(&self.slot),
        }
    }
}

#[cfg(feature = "tokio")]
mod asynchronous {
    use crate::hub::Hub;
    use redan_ipc::{AsyncClient, Channel, IpcError, Pair};
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::sync::{mpsc, watch};
    use tokio::time::{Instant, timeout_at};

    /// A peer for asynchronous code. While the peer restarts, a question waits for its new wire, within its timeout.
    #[derive(Debug)]
    pub struct AsyncPeer<P: Pair> {
        client: watch::Receiver<Option<AsyncClient<P>>>,
    }

    impl<P: Pair> AsyncPeer<P> {
        pub(crate) fn new(hub: &Arc<Hub>, index: u16) -> Self {
            let (wires, arriving) = mpsc::unbounded_channel();
            hub.on_wire(P::TAG, index, move |channel| {
                // The receiver goes with its runtime, at the service's end.
                let _ = wires.send(channel);
            });
            Self::following(arriving)
        }

        /// A peer on a wire of one's own, for tests. To be called within a runtime.
        #[must_use]
        pub fn fixed(channel: Channel) -> Self {
            let (wires, arriving) = mpsc::unbounded_channel();
            // The receiver is alive: it is in the next line.
            let _ = wires.send(channel);
            Self::following(arriving)
        }

        fn following(mut arriving: mpsc::UnboundedReceiver<Channel>) -> Self {
            let (sender, client) = watch::channel(None);
            tokio::spawn(async move {
                while let Some(channel) = arriving.recv().await {
                    match AsyncClient::new(channel) {
                        Ok(client) => {
                            if sender.send(Some(client)).is_err() {
                                return;
                            }
                        }
                        Err(error) => eprintln!("a wire to {} cannot be used: {error}", P::SERVER),
                    }
                }
                // Keeps the last client usable for those who hold the receiver.
                sender.closed().await;
            });
            Self { client }
        }

        /// Asks and waits, at most `timeout`.
        ///
        /// # Errors
        /// [`IpcError::Closed`] when the peer went away after it was asked: whether it did what was asked is unknown.
        /// [`IpcError::Deadline`] when there was no wire or no answer in time.
        pub async fn call(&self, request: &P::Request, timeout: Duration) -> Result<P::Reply, IpcError> {
            let until = Instant::now() + timeout;
            let mut watched = self.client.clone();
            let alive = |client: &Option<AsyncClient<P>>| client.as_ref().is_some_and(|client| !client.is_closed());
            let client = timeout_at(until, watched.wait_for(alive))
                .await
                .map_err(|_| IpcError::Deadline)?
                .map_err(|_| IpcError::Closed)?
                .clone();
            match client {
                Some(client) => {
                    client
                        .call(request, until.saturating_duration_since(Instant::now()))
                        .await
                }
                None => Err(IpcError::Closed),
            }
        }

        /// Sends what nobody answers, if there is room now.
        ///
        /// # Errors
        /// [`IpcError::Deadline`] without a wire or room: the caller counts what it lost.
        pub fn try_notify(&self, request: &P::Request) -> Result<(), IpcError> {
            let client = self.client.borrow().clone();
            client.ok_or(IpcError::Deadline)?.try_notify(request)
        }
    }

    impl<P: Pair> Clone for AsyncPeer<P> {
        fn clone(&self) -> Self {
            Self {
                client: self.client.clone(),
            }
        }
    }
}
