//! Connections of clients: who they are, and the two protocols that they speak.

pub(crate) mod h1;
pub(crate) mod h2;
mod watch;

use crate::forwarding::Origin;
use crate::rate::{Cell, Standing, Subject};
use crate::snapshot::Published;
use crate::source::Source;
use crate::worker::Worker;
use redan_ipc::slice::RequestLimits;
use redan_types::{Generation, ServiceName};
use std::cell::RefCell;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

/// Cells that a connection keeps: one for each scope that its requests meet, rarely more than two.
const CELLS: usize = 8;

/// The client of a connection, and the service that its handshake named.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) worker: Rc<Worker>,
    pub(crate) address: IpAddr,
    /// The port that the client connected from.
    pub(crate) port: u16,
    pub(crate) source: Source,
    /// What upstreams are told about the client, made at the first request.
    pub(crate) origin: RefCell<Option<Origin>>,
    listener: SocketAddr,
    name: ServiceName,
    service: RefCell<(Generation, Arc<Published>)>,
    cells: RefCell<Vec<Held>>,
}

#[derive(Debug)]
struct Held {
    scope: Arc<str>,
    subject: Subject,
    limit: u32,
    cell: Arc<Cell>,
}

impl Peer {
    pub(crate) fn new(
        worker: Rc<Worker>,
        remote: SocketAddr,
        listener: SocketAddr,
        generation: Generation,
        service: Arc<Published>,
    ) -> Self {
        let address = remote.ip().to_canonical();
        Self {
            worker,
            address,
            port: remote.port(),
            source: Source::of(address),
            origin: RefCell::new(None),
            listener,
            name: service.name.clone(),
            service: RefCell::new((generation, service)),
            cells: RefCell::default(),
        }
    }

    /// The service as the running configuration has it; `None` when it is no longer published there.
    pub(crate) fn service(&self) -> Option<Arc<Published>> {
        self.renew()?;
        Some(Arc::clone(&self.service.borrow().1))
    }

    /// Takes the service as the running configuration has it; `None` when it is no longer published there.
    fn renew(&self) -> Option<()> {
        let snapshot = self.worker.snapshot.borrow();
        let mut known = self.service.borrow_mut();
        if known.0 != snapshot.generation {
            let site = snapshot.sites.get(&self.listener)?;
            *known = (snapshot.generation, Arc::clone(site.named(&self.name)?));
        }
        Some(())
    }

    /// Where the client connected to.
    pub(crate) const fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// The service's limits; those that it had last where it is no longer published, so that a last request can be told so.
    pub(crate) fn limits(&self) -> RequestLimits {
        // Without counting up the service, which all threads share.
        let _ = self.renew();
        self.service.borrow().1.limits.clone()
    }

    /// Counts a request of a subject in a scope.
    pub(crate) fn count(&self, scope: &Arc<str>, subject: &Subject, limit: u32) -> Result<Standing, Standing> {
        let mut cells = self.cells.borrow_mut();
        let known = cells
            .iter()
            .find(|held| held.limit == limit && Arc::ptr_eq(&held.scope, scope) && held.subject == *subject);
        if let Some(held) = known {
            return held.cell.take();
        }
        let cell = self.worker.shared.cells.find(scope, subject, limit);
        if cells.len() >= CELLS {
            cells.remove(0);
        }
        cells.push(Held {
            scope: Arc::clone(scope),
            subject: subject.clone(),
            limit,
            cell: Arc::clone(&cell),
        });
        cell.take()
    }
}
