//! Things that a service asks its supervisor for while it runs: a device opened anew, a worker started anew.

use crate::hub::Hub;
use redan_ipc::messages::control::{End, FromService, Need, Purpose};
use redan_ipc::{Channel, Pair};
use std::io;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

/// Asks for them. Cheap to clone; one at a time should ask for one thing.
#[derive(Clone)]
pub struct Supply {
    hub: Arc<Hub>,
}

impl Supply {
    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// The descriptor for `purpose`: the one that came with the start, or else one opened anew.
    ///
    /// # Errors
    /// What the supervisor says, or that it did not answer in time.
    pub fn file(&self, need: Need, purpose: Purpose, patience: Duration) -> io::Result<OwnedFd> {
        if let Some(file) = self.hub.take_file(purpose) {
            return Ok(file);
        }
        self.hub.forget_lack(need);
        self.hub.tell(&FromService::Needs(need));
        self.hub
            .await_supply(need, patience, |initial| initial.take_file(purpose))
    }

    /// A wire to a peer that was started for it.
    ///
    /// # Errors
    /// What the supervisor says, or that it did not answer in time.
    pub fn wire<P: Pair>(&self, need: Need, patience: Duration) -> io::Result<Channel> {
        // One that nobody took belongs to an earlier worker.
        drop(self.hub.take_wire(P::TAG, End::Client));
        self.hub.forget_lack(need);
        self.hub.tell(&FromService::Needs(need));
        self.hub
            .await_supply(need, patience, |initial| initial.take_wire(P::TAG, End::Client))
    }
}

/// Tells the supervisor whether the vault is sealed. Cheap to clone.
#[derive(Clone)]
pub struct Teller {
    hub: Arc<Hub>,
}

impl Teller {
    pub(crate) const fn new(hub: Arc<Hub>) -> Self {
        Self { hub }
    }

    /// It is sealed, and why; `None`: it is open.
    pub fn sealed(&self, why: Option<String>) {
        self.hub.tell(&FromService::Sealed { why });
    }
}

impl std::fmt::Debug for Teller {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Teller(..)")
    }
}

impl std::fmt::Debug for Supply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Supply(..)")
    }
}
