//! Connections, from the inherited listener to the router: who may connect, how many, and how slowly.

mod patient;

use crate::api::Client;
use crate::settings::Settings;
use crate::tls::Tls;
use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use patient::Patient;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt as _;

/// Open connections of everybody: a handful of operators with a browser's six each, and scripts.
const CONNECTIONS: usize = 512;

/// Open connections of one address.
const PER_SOURCE: usize = 128;

/// Handshakes under way; each may hold a thread while the vault signs.
const HANDSHAKES: usize = 16;

/// For a handshake.
const HANDSHAKE: Duration = Duration::from_secs(10);

/// For a request's head, counted from the answer before: also how long a connection may be idle.
const HEAD: Duration = Duration::from_secs(30);

/// For a head's size: request line and all fields.
const LARGEST_HEAD: usize = 32 << 10;

/// Serves connections; clones share their bounds.
#[derive(Clone, Debug)]
pub struct Server {
    router: Router,
    tls: Tls,
    settings: Settings,
    connections: Arc<Semaphore>,
    handshakes: Arc<Semaphore>,
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Server {
    /// Over this router.
    #[must_use]
    pub fn new(router: Router, tls: Tls, settings: Settings) -> Self {
        Self {
            router,
            tls,
            settings,
            connections: Arc::new(Semaphore::new(CONNECTIONS)),
            handshakes: Arc::new(Semaphore::new(HANDSHAKES)),
            sources: Arc::default(),
        }
    }

    /// Accepts until the task is dropped. With all places taken, the kernel's queue waits.
    pub async fn accept(self, listener: TcpListener) {
        loop {
            let Ok(place) = Arc::clone(&self.connections).acquire_owned().await else {
                return;
            };
            match listener.accept().await {
                Ok((stream, address)) => {
                    if let Some(seat) = self.seat(address.ip()) {
                        let server = self.clone();
                        tokio::spawn(async move { server.serve(stream, address, place, seat).await });
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

    async fn serve(self, stream: TcpStream, address: SocketAddr, _place: OwnedSemaphorePermit, _seat: Seat) {
        // Small answers must not wait for an acknowledgement; a socket that refuses the option is slower, not broken.
        let _ = stream.set_nodelay(true);
        let Some(config) = self.tls.current() else { return };
        let handshake = async {
            let _turn = self.handshakes.acquire().await;
            TlsAcceptor::from(config).accept(Patient::new(stream)).await
        };
        // A failed handshake is the client's affair; it got its alert.
        let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE, handshake).await else {
            return;
        };
        let client = Client(address);
        let router = self.router;
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(client);
            router.clone().oneshot(request.map(Body::new))
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // However it ended, it has ended.
        let _ = connection.await;
    }

    /// A seat among the connections of this address, if it may connect and there is one.
    fn seat(&self, source: IpAddr) -> Option<Seat> {
        let source = source.to_canonical();
        if !self.settings.allows(source) {
            return None;
        }
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = sources.entry(source).or_default();
        if *taken >= PER_SOURCE {
            return None;
        }
        *taken += 1;
        Some(Seat {
            sources: Arc::clone(&self.sources),
            source,
        })
    }
}

/// One of the connections of an address; given back when dropped.
struct Seat {
    sources: Arc<Mutex<HashMap<IpAddr, usize>>>,
    source: IpAddr,
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(taken) = sources.get_mut(&self.source) {
            *taken = taken.saturating_sub(1);
            if *taken == 0 {
                sources.remove(&self.source);
            }
        }
    }
}
