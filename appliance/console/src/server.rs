//! Connections, from the inherited listener to the router: who may connect, how many, and how slowly.

mod body;
mod patient;
mod seats;

use crate::api::{Caller, Client};
use crate::settings::Settings;
use crate::tls::Tls;
use axum::Router;
use axum::body::Body;
use body::{Arriving, Leaving};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use patient::Patient;
use seats::{Seat, Seats};
use std::convert::Infallible;
use std::future::poll_fn;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Open connections of everybody: a handful of operators with a browser's six each, and scripts.
const CONNECTIONS: usize = 512;

/// Open connections of one address.
const PER_SOURCE: usize = 128;

/// Handshakes that are computed at a time; each may hold a thread while the vault signs.
const HANDSHAKES: usize = 16;

/// For a handshake, from the first byte to the last.
const HANDSHAKE: Duration = Duration::from_secs(5);

/// For the whole of a request's head, counted from the answer before: also how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(10);

/// For a head's size: request line and all fields.
const LARGEST_HEAD: usize = 32 << 10;

/// Serves connections; clones share their bounds.
#[derive(Clone, Debug)]
pub struct Server {
    router: Router,
    tls: Tls,
    settings: Settings,
    seats: Seats,
    handshakes: Arc<Semaphore>,
}

impl Server {
    /// Over this router.
    #[must_use]
    pub fn new(router: Router, tls: Tls, settings: Settings) -> Self {
        Self {
            router,
            tls,
            settings,
            seats: Seats::new(CONNECTIONS, PER_SOURCE),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
        }
    }

    /// Accepts until the task is dropped.
    pub async fn accept(self, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((stream, address)) => {
                    if let Some(seat) = self.seat(address.ip()) {
                        let server = self.clone();
                        tokio::spawn(async move {
                            let seat = Arc::new(seat);
                            tokio::select! {
                                () = server.serve(stream, address, &seat) => {}
                                () = seat.taken_away() => {}
                            }
                        });
                    }
                }
                Err(error) => {
                    // Out of descriptors, or the client has gone already: the next may do better in a moment.
                    eprintln!("a connection could not be accepted: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    async fn serve(self, stream: TcpStream, address: SocketAddr, seat: &Arc<Seat>) {
        // Small answers must not wait for an acknowledgement; a socket that refuses the option is slower, not broken.
        let _ = stream.set_nodelay(true);
        let Some(config) = self.tls.current() else { return };
        let handshake = by_turns(&self.handshakes, TlsAcceptor::from(config).accept(Patient::new(stream)));
        // A failed handshake is the client's affair; it got its alert.
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
            return;
        };
        let client = Client(address);
        let router = self.router;
        let seat = Arc::clone(seat);
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (router, seat) = (router.clone(), Arc::clone(&seat));
            async move {
                // Until its body is here, a request may give way to another.
                let mut request = request.map(|body| Body::new(Arriving::new(body, Arc::clone(&seat))));
                request.extensions_mut().insert(client);
                let response = router.oneshot(request).await?;
                // An answer that anybody can have may be taken slowly, but keeps nobody out.
                if response.extensions().get::<Caller>().is_none() {
                    seat.waits();
                }
                Ok::<_, Infallible>(response.map(|body| Leaving::new(body, seat)))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // However it ended, it has ended.
        let _ = connection.await;
    }

    /// A seat for a connection of this address, if it may connect and there is one.
    fn seat(&self, source: IpAddr) -> Option<Seat> {
        let source = source.to_canonical();
        self.settings.allows(source).then(|| self.seats.take(source))?
    }
}

/// Drives a handshake whose every step waits for its turn: the steps of all hold a bounded number of threads, and a client that is
/// silent between two of them holds none.
async fn by_turns<F: Future>(turns: &Semaphore, handshake: F) -> F::Output {
    let mut handshake = pin!(handshake);
    loop {
        // Never closed.
        let turn = turns.acquire().await;
        let step = poll_fn(|context| Poll::Ready(handshake.as_mut().poll(context))).await;
        drop(turn);
        if let Poll::Ready(outcome) = step {
            return outcome;
        }
        // The step has left this task's waker with the connection: whatever wakes the task is worth another step.
        let mut woken = false;
        poll_fn(|_| {
            if std::mem::replace(&mut woken, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}
