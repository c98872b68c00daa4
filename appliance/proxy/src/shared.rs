//! What the threads share. Nothing here is locked for a request: cells and counters are looked up once and then kept.

use crate::rate::Cells;
use crate::source::Sources;
use crate::tls::Tickets;
use crate::upstream::Upstream;
use crate::waf::Library;
use redan_ipc::slice::HealthCheck;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

/// State of the whole process.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) sources: Arc<Sources>,
    pub(crate) cells: Cells,
    upstreams: Mutex<Known>,
    tickets: OnceLock<Tickets>,
    tickets_tls12: OnceLock<Tickets>,
    pub(crate) waf: Library,
}

#[derive(Debug, Default)]
struct Known {
    by_address: HashMap<SocketAddr, Weak<Upstream>>,
    next: usize,
}

impl Shared {
    pub(crate) fn new() -> Self {
        Self {
            sources: Arc::new(Sources::new()),
            cells: Cells::default(),
            upstreams: Mutex::default(),
            tickets: OnceLock::new(),
            tickets_tls12: OnceLock::new(),
            waf: Library::new(),
        }
    }

    /// The state of the server at an address, the same for every route and configuration that names it.
    pub(crate) fn upstream(&self, address: SocketAddr, check: Option<&HealthCheck>) -> Arc<Upstream> {
        let mut known = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_address.retain(|_, server| server.strong_count() > 0);
        let alive = known.by_address.get(&address).and_then(Weak::upgrade);
        let server = alive.unwrap_or_else(|| {
            let server = Arc::new(Upstream::new(known.next, address));
            known.next += 1;
            known.by_address.insert(address, Arc::downgrade(&server));
            server
        });
        if let Some(check) = check {
            server.expect(check);
        }
        server
    }

    /// The ticket keys of a TLS policy: a session begun under one is not resumed under the other.
    pub(crate) fn tickets(&self, tls12: bool) -> Result<&Tickets, rustls::Error> {
        let keys = if tls12 { &self.tickets_tls12 } else { &self.tickets };
        match keys.get() {
            Some(tickets) => Ok(tickets),
            None => {
                let fresh = Tickets::new()?;
                Ok(keys.get_or_init(|| fresh))
            }
        }
    }

    /// Every server that a configuration in use names.
    pub(crate) fn upstreams(&self) -> Vec<Arc<Upstream>> {
        let known = self.upstreams.lock().unwrap_or_else(PoisonError::into_inner);
        known.by_address.values().filter_map(Weak::upgrade).collect()
    }
}
