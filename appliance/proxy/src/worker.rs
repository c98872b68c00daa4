//! One thread of the data path: its runtime, its listeners and everything that it keeps for itself.

use crate::accept;
use crate::audit::Audit;
use crate::clock::{Clock, TICK};
use crate::counters::Counters;
use crate::incident::Incidents;
use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::stages::authenticate::Keys;
use crate::tls::{HandshakeSigner, install_signer};
use crate::upstream::{Pool, watch};
use crate::waf::found::Found;
use redan_ipc::messages::ProxyVault;
use redan_ipc::messages::vault::ProxyVaultRequest;
use redan_service::{AsyncPeer, ListenerSet, Pulse};
use redan_types::Timestamp;
use std::cell::{Cell, RefCell};
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

/// How long a thread that is to stop waits for connections and for the vault.
const FAREWELL: Duration = Duration::from_secs(3);
/// Refusals are gathered for so many ticks.
const GATHERED: u32 = 50;

/// What a thread is told.
pub(crate) enum Order {
    /// Use this configuration from now on; answer once it is so.
    Switch(Arc<Snapshot>, oneshot::Sender<()>),
    /// Accept on these listeners from now on, and on no others.
    Listen(Arc<ListenerSet>),
    /// Finish.
    Stop,
}

/// What a thread gets when it starts.
pub(crate) struct Start {
    pub(crate) index: u16,
    pub(crate) shared: Arc<Shared>,
    pub(crate) signer: Box<dyn HandshakeSigner + Send>,
    pub(crate) vault: AsyncPeer<ProxyVault>,
    pub(crate) pulse: Option<Pulse>,
    pub(crate) orders: UnboundedReceiver<Order>,
    pub(crate) began: Instant,
}

/// What belongs to one thread and everything on it.
pub(crate) struct Worker {
    pub(crate) index: u16,
    pub(crate) shared: Arc<Shared>,
    pub(crate) clock: Rc<Clock>,
    pub(crate) snapshot: RefCell<Arc<Snapshot>>,
    pub(crate) vault: AsyncPeer<ProxyVault>,
    pub(crate) pool: Pool,
    pub(crate) keys: Keys,
    pub(crate) counters: Counters,
    pub(crate) audit: Audit,
    pub(crate) found: Found,
    pub(crate) incidents: Incidents,
    /// Handshakes under way.
    pub(crate) handshakes: Cell<u32>,
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("index", &self.index)
            .finish_non_exhaustive()
    }
}

/// The runtime of one thread.
pub(crate) fn runtime() -> std::io::Result<Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
}

/// Runs a thread until it is told to stop.
pub(crate) fn run(runtime: &Runtime, start: Start) {
    runtime.block_on(LocalSet::new().run_until(work(start)));
}

async fn work(start: Start) {
    let Start {
        index,
        shared,
        signer,
        vault,
        pulse,
        mut orders,
        began,
    } = start;
    install_signer(signer);
    let worker = Rc::new(Worker {
        index,
        clock: Rc::new(Clock::new(began)),
        snapshot: RefCell::new(Arc::new(Snapshot::empty())),
        vault,
        pool: Pool::new(),
        keys: Keys::default(),
        counters: Counters::default(),
        audit: Audit::default(),
        found: Found::default(),
        incidents: Incidents::new(),
        handshakes: Cell::new(0),
        shared,
    });
    spawn_local(tick(Rc::clone(&worker), pulse));
    let delivering = Rc::clone(&worker);
    spawn_local(async move { delivering.audit.deliver(&delivering.vault).await });
    if index == 0 {
        spawn_local(watch(Arc::clone(&worker.shared), Rc::clone(&worker.clock)));
    }
    let mut listening = accept::Listening::default();
    while let Some(order) = orders.recv().await {
        match order {
            Order::Switch(snapshot, done) => {
                worker.snapshot.replace(snapshot);
                // Whoever asked may have given up waiting.
                let _ = done.send(());
            }
            Order::Listen(set) => listening.replace(&worker, &set),
            Order::Stop => break,
        }
    }
    drop(listening);
    worker.audit.close(now());
    worker.found.send(&worker.vault);
    let until = Instant::now() + FAREWELL;
    while (worker.counters.open() > 0 || !worker.audit.is_empty()) && Instant::now() < until {
        worker.clock.evict(None);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What a thread does regularly.
async fn tick(worker: Rc<Worker>, pulse: Option<Pulse>) {
    let mut interval = tokio::time::interval(TICK);
    interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    for count in 1_u32.. {
        interval.tick().await;
        worker.clock.sweep(Instant::now());
        if count % 5 == 0
            && let Some(pulse) = &pulse
        {
            pulse.beat();
        }
        if count % 2 == 0 {
            worker.counters.lost(worker.found.send(&worker.vault));
        }
        if count % 10 == 0 {
            let sample = worker.counters.take(now());
            if worker
                .vault
                .try_notify(&ProxyVaultRequest::Traffic(Box::new(sample)))
                .is_err()
            {
                worker.counters.lost(1);
            }
            worker.pool.sweep(worker.clock.now());
        }
        if count % GATHERED == 0 {
            worker.audit.close(now());
        }
        if count % 600 == 0 && worker.index == 0 {
            worker.shared.cells.sweep();
        }
    }
}

fn now() -> Timestamp {
    Timestamp::from_system(SystemTime::now())
}
