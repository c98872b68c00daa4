//! The proxy as a whole: its threads, and the configuration that they use. Runs within the appliance or in a test.

use crate::shared::Shared;
use crate::snapshot::Snapshot;
use crate::tls::HandshakeSigner;
use crate::worker::{self, Order, Start};
use redan_ipc::messages::ProxyVault;
use redan_ipc::slice::ProxySlice;
use redan_service::{AsyncPeer, ListenerSet, Pulse};
use redan_types::Generation;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

/// The wires of one thread.
pub struct Wires<'w> {
    /// To the vault's signer of the same number.
    pub signer: Box<dyn HandshakeSigner + Send>,
    /// Makes the wire for identities, audit and telemetry; called within the context of the thread's runtime.
    pub vault: Box<dyn FnOnce() -> AsyncPeer<ProxyVault> + 'w>,
    /// The thread's sign of life.
    pub pulse: Option<Pulse>,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    orders: Vec<UnboundedSender<Order>>,
    threads: Mutex<Vec<JoinHandle<()>>>,
    versions: Mutex<Versions>,
}

#[derive(Debug, Default)]
struct Versions {
    current: Option<Generation>,
    prepared: Option<Arc<Snapshot>>,
}

/// Why a configuration is not switched to.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum CommitError {
    /// Another version was prepared, or none.
    #[error("this version was not prepared")]
    NotPrepared,
    /// A thread has ended.
    #[error("a thread of the proxy has ended")]
    Thread,
}

impl Proxy {
    /// Starts one thread for each set of wires, each on a processor of its own where there are enough.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start<'w>(wires: impl IntoIterator<Item = Wires<'w>>) -> std::io::Result<Self> {
        let began = Instant::now();
        let shared = Arc::new(Shared::new());
        let (mut threads, mut all_orders) = (Vec::new(), Vec::new());
        for (index, wires) in (0_u16..).zip(wires) {
            let (orders, taken) = unbounded_channel();
            let runtime = worker::runtime()?;
            let within = runtime.enter();
            let vault = (wires.vault)();
            drop(within);
            let start = Start {
                index,
                shared: Arc::clone(&shared),
                signer: wires.signer,
                vault,
                pulse: wires.pulse,
                orders: taken,
                began,
            };
            let handle = std::thread::Builder::new()
                .name(format!("proxy-{index}"))
                .spawn(move || {
                    pin(index);
                    worker::run(&runtime, start);
                })?;
            threads.push(handle);
            all_orders.push(orders);
        }
        Ok(Self {
            shared,
            orders: all_orders,
            threads: Mutex::new(threads),
            versions: Mutex::default(),
        })
    }

    /// Checks a configuration and keeps it ready. Replaces one that was prepared before.
    ///
    /// # Errors
    /// Every reason why it cannot be taken.
    pub fn prepare(&self, generation: Generation, slice: &ProxySlice) -> Result<(), Vec<String>> {
        let compile = || Snapshot::compile(generation, slice, &self.shared);
        // Rule sets take a second; what has none is compiled at once.
        let compiled = if slice.services.iter().any(|service| service.waf.is_some()) {
            redan_service::aside(compile).map_err(|error| vec![format!("no thread to compile on: {error}")])?
        } else {
            compile()
        };
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.prepared = None;
        versions.prepared = Some(Arc::new(compiled?));
        Ok(())
    }

    /// Switches all threads to the prepared configuration; returns when all have.
    ///
    /// # Errors
    /// See [`CommitError`].
    pub fn commit(&self, generation: Generation) -> Result<(), CommitError> {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        let prepared = versions.prepared.take_if(|prepared| prepared.generation == generation);
        let snapshot = prepared.ok_or(CommitError::NotPrepared)?;
        let mut answers = Vec::new();
        for orders in &self.orders {
            let (done, answer) = oneshot::channel();
            let order = Order::Switch(Arc::clone(&snapshot), done);
            orders.send(order).map_err(|_| CommitError::Thread)?;
            answers.push(answer);
        }
        for answer in answers {
            answer.blocking_recv().map_err(|_| CommitError::Thread)?;
        }
        versions.current = Some(generation);
        Ok(())
    }

    /// Forgets what was prepared under this number.
    pub fn abort(&self, generation: Generation) {
        let mut versions = self.versions.lock().unwrap_or_else(PoisonError::into_inner);
        versions.prepared.take_if(|prepared| prepared.generation == generation);
    }

    /// The running version; `None` before the first.
    #[must_use]
    pub fn current(&self) -> Option<Generation> {
        self.versions.lock().unwrap_or_else(PoisonError::into_inner).current
    }

    /// Accepts on these listeners from now on, and on no others.
    pub fn listen(&self, set: &Arc<ListenerSet>) {
        for orders in &self.orders {
            // A thread that has ended accepts nothing; its pulse has told the supervisor.
            let _ = orders.send(Order::Listen(Arc::clone(set)));
        }
    }

    /// Open client connections of all threads.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.shared.sources.total()
    }

    /// Stops accepting, gives what is under way a moment to end and joins the threads.
    pub fn stop(&self) {
        for orders in &self.orders {
            let _ = orders.send(Order::Stop);
        }
        for thread in self.threads.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            // A thread that panicked has aborted the process.
            let _ = thread.join();
        }
    }
}

/// Puts the calling thread on the processor of its number, counted among those that it may use. The vault's signer of the same
/// number is on the same one: asking it costs half as much there.
fn pin(index: u16) {
    use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
    use nix::unistd::Pid;
    let this = Pid::from_raw(0);
    let Ok(allowed) = sched_getaffinity(this) else { return };
    let mut usable = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let mut own = CpuSet::new();
    if let Some(cpu) = usable.nth(usize::from(index))
        && own.set(cpu).is_ok()
    {
        // Only speed depends on it.
        let _ = sched_setaffinity(this, &own);
    }
}
