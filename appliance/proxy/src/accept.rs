//! From a listener to a connection that may speak: caps, then the TLS handshake within its deadlines.

use crate::buffer::Buffer;
use crate::connection::{Peer, h1, h2};
use crate::snapshot::{Site, Snapshot};
use crate::source::{Full, Place, Source};
use crate::tls::TlsStream;
use crate::worker::Worker;
use redan_service::ListenerSet;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, spawn_local};

/// Milliseconds for a `ClientHello`.
const HELLO: u64 = 5_000;
/// Milliseconds for the whole handshake.
const HANDSHAKE: u64 = 10_000;
/// Of a thread's handshakes under way, one source may have this part.
const SHARE: u32 = 4;
/// After the kernel refused to accept: most likely the process is out of descriptors, and some will come back.
const PAUSE: Duration = Duration::from_millis(50);

/// The listeners of a thread. Dropping it ends them.
#[derive(Default)]
pub(crate) struct Listening {
    tasks: Vec<JoinHandle<()>>,
}

impl Listening {
    /// Takes over those of a set that are for this thread, instead of all until now.
    pub(crate) fn replace(&mut self, worker: &Rc<Worker>, set: &ListenerSet) {
        let mut tasks = Vec::new();
        for (listener, socket) in &set.entries {
            if listener.thread != worker.index {
                continue;
            }
            match open(socket) {
                Ok(socket) => tasks.push(spawn_local(accept(Rc::clone(worker), socket, listener.address))),
                Err(error) => eprintln!("the listener {} cannot be used: {error}", listener.address),
            }
        }
        self.end();
        self.tasks = tasks;
    }

    fn end(&mut self) {
        for task in self.tasks.drain(..) {
            task.abort();
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.end();
    }
}

fn open(socket: &Arc<OwnedFd>) -> std::io::Result<TcpListener> {
    let listener = std::net::TcpListener::from(socket.try_clone()?);
    listener.set_nonblocking(true)?;
    TcpListener::from_std(listener)
}

async fn accept(worker: Rc<Worker>, listener: TcpListener, address: SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((tcp, remote)) => admit(&worker, tcp, remote, address),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionAborted => {}
            Err(_) => {
                worker.clock.evict(None);
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

/// Lets a connection in, if there is room for it, or if an idle one can make room.
fn admit(worker: &Rc<Worker>, tcp: TcpStream, remote: SocketAddr, listener: SocketAddr) {
    let snapshot = Arc::clone(&worker.snapshot.borrow());
    let Some(site) = snapshot.sites.get(&listener) else {
        return;
    };
    let site = Arc::clone(site);
    let source = Source::of(remote.ip());
    let limits = &snapshot.connections;
    let place = match worker.shared.sources.enter(source, limits.total, limits.per_source) {
        Ok(place) => place,
        Err(full) => {
            // The idle connection goes now and this one with it: its client's next try finds room.
            worker.clock.evict(match full {
                Full::Source => Some(source.number()),
                Full::Total => None,
            });
            return;
        }
    };
    if worker.handshakes.get() >= limits.handshakes {
        return;
    }
    let Some(handshake) = place.handshake((limits.handshakes / SHARE).max(1)) else {
        return;
    };
    if tcp.set_nodelay(true).is_err() {
        return;
    }
    let Ok(stream) = TlsStream::new(tcp, Arc::clone(&site.tls)) else {
        return;
    };
    worker.handshakes.set(worker.handshakes.get() + 1);
    worker.counters.opened();
    let worker = Rc::clone(worker);
    let open = Open {
        worker: Rc::clone(&worker),
        _place: place,
    };
    spawn_local(async move {
        let arrival = Arrival {
            worker,
            snapshot,
            site,
            listener,
            remote,
        };
        // Boxed: what a handshake needs is gone when it is over.
        let greeted = Box::pin(arrival.greet(stream)).await;
        open.worker
            .handshakes
            .set(open.worker.handshakes.get().saturating_sub(1));
        drop(handshake);
        match greeted {
            None => open.worker.counters.handshake_failed(),
            Some(connection) if connection.stream.is_h2() => {
                let h1::Connection {
                    stream,
                    peer,
                    timer,
                    unread,
                } = *connection;
                Box::pin(h2::serve(stream, peer, timer, unread)).await;
            }
            Some(connection) => connection.serve().await,
        }
        drop(open);
    });
}

/// A connection that is counted.
struct Open {
    worker: Rc<Worker>,
    _place: Place,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.worker.counters.closed();
    }
}

/// A connection before its handshake.
struct Arrival {
    worker: Rc<Worker>,
    snapshot: Arc<Snapshot>,
    site: Arc<Site>,
    listener: SocketAddr,
    remote: SocketAddr,
}

impl Arrival {
    async fn greet(self, mut stream: TlsStream) -> Option<Box<h1::Connection>> {
        let source = Source::of(self.remote.ip());
        let timer = self.worker.clock.timer(source.number());
        let start = timer.now();
        // Grows only if the first request comes along with the end of the handshake.
        let mut early = Vec::new();
        loop {
            let deadline = start.after(if stream.service().is_none() { HELLO } else { HANDSHAKE });
            if timer
                .until(deadline, stream.handshake_step(&mut early))
                .await
                .ok()?
                .ok()?
            {
                break;
            }
        }
        let service = Arc::clone(self.site.services.get(stream.service()?)?);
        // A resumed session needs no signature, which is where the vault would refuse.
        if stream.is_tls12() && !service.tls12 {
            return None;
        }
        self.worker.counters.handshake(stream.is_resumed());
        let peer = Peer::new(
            self.worker,
            self.remote,
            self.listener,
            self.snapshot.generation,
            service,
        );
        let unread = (!early.is_empty()).then(|| {
            let mut unread = Buffer::take();
            unread.extend_from_slice(&early);
            unread
        });
        Some(Box::new(h1::Connection {
            stream,
            peer,
            timer,
            unread,
        }))
    }
}
