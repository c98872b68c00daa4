//! The loop that does what nobody asks for: the first version, the timer, restarted services, events into the audit log.

use crate::journal::Journal;
use crate::peers::{Peers, Wires};
use crate::transaction::{Denial, Transactions};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks while everybody runs what they should.
const CALM: Duration = Duration::from_millis(250);
/// Between two looks while somebody does not: a restarted proxy serves nothing until it has its part.
const BUSY: Duration = Duration::from_millis(20);

/// The transactions, shared by the loop and those who answer questions.
#[derive(Clone, Debug)]
pub struct Shared {
    // Lock order: `transactions` before `trouble`.
    transactions: Arc<Mutex<Transactions<Wires>>>,
    /// Readable while a transaction is under way.
    trouble: Arc<Mutex<Vec<String>>>,
    peers: Peers,
}

impl Shared {
    /// Transactions over these wires. `initial` becomes the first version where the vault has none.
    #[must_use]
    pub fn new(peers: Peers, initial: Option<String>) -> Self {
        let transactions = Transactions::new(Wires::new(peers.clone()), initial);
        Self {
            transactions: Arc::new(Mutex::new(transactions)),
            trouble: Arc::default(),
            peers,
        }
    }

    /// The wires.
    #[must_use]
    pub const fn peers(&self) -> &Peers {
        &self.peers
    }

    /// The transactions, for one step. Waits for a step that is under way.
    pub fn transactions(&self) -> MutexGuard<'_, Transactions<Wires>> {
        // A panic ends the process, so the lock is never poisoned by half a step.
        self.transactions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why somebody does not run what they should.
    #[must_use]
    pub fn trouble(&self) -> Vec<String> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for the vault, open or sealed, and finds out what runs; stores the first configuration where there is none.
    ///
    /// # Errors
    /// [`Denial`] where the first configuration is wrong: there is nothing to run, and trying again does not help.
    pub fn begin(&self, journal: &mut Journal) -> Result<(), Denial> {
        loop {
            self.look(journal)?;
            // Behind a seal there is a version already: what is found when somebody opens it is run then.
            if self.transactions().has_begun() || self.peers.is_sealed() {
                return Ok(());
            }
            // The vault may be starting again; what it did not answer to has waited for it already.
            std::thread::sleep(BUSY);
        }
    }

    /// Runs the loop until the sender of `stop` is dropped.
    pub fn keep(&self, mut journal: Journal, stop: &Receiver<()>) {
        loop {
            // After the beginning there is a version to run, so that nothing is denied here.
            let calm = self.look(&mut journal).unwrap_or_default();
            match stop.recv_timeout(if calm { CALM } else { BUSY }) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// One look; says whether all is well.
    fn look(&self, journal: &mut Journal) -> Result<bool, Denial> {
        // Read without the lock: it waits for others.
        let news = journal.read(&self.peers);
        let mut transactions = self.transactions();
        let mut silent = None;
        match news {
            Ok(news) => {
                if news.vault_restarted {
                    transactions.world().vault_restarted();
                }
                news.events
                    .into_iter()
                    .for_each(|event| crate::world::World::audit(transactions.world(), event));
            }
            Err(error) => silent = Some(error.to_string()),
        }
        transactions.world().flush();
        transactions.tick()?;
        if transactions.knows_nothing() {
            transactions.world().manage();
        }
        let mut trouble = transactions.trouble().to_vec();
        drop(transactions);
        trouble.extend(silent);
        let calm = trouble.is_empty();
        let mut told = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        if *told != trouble {
            for line in trouble.iter().filter(|line| !told.contains(line)) {
                eprintln!("{line}");
            }
            *told = trouble;
        }
        Ok(calm)
    }
}
