//! Starting a service with everything that it needs.

use redan_ipc::messages::control::{End, Purpose, ToService};
use redan_ipc::{Channel, IpcError};
use redan_sandbox::detached_folder;
use redan_types::{Mode, Process};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::rc::Rc;
use std::time::Instant;

use crate::life::Cause;
use crate::log::say;
use crate::manifest::WIRES;
use crate::outbox::Outbox;
use crate::service::{Parcel, StartError, wire};
use crate::supervisor::{SELF, Supervisor, wall};

/// The wires of a service that starts.
struct Wires {
    /// Its own ends.
    own: Vec<Parcel>,
    /// The other ends, with the index of the service that each is for.
    peers: Vec<(usize, Parcel)>,
}

impl Supervisor {
    pub(crate) fn start(&mut self, index: usize, now: Instant) {
        let Wires { own, peers } = match self.wire_up(index) {
            Ok(wires) => wires,
            Err(error) => return self.start_failed(index, &error.to_string(), now),
        };
        // Made anew for each start: the service attaches it in its own tree, which can be done once.
        let store = match self.store_to_pass() {
            Ok(store) => store,
            Err(errno) => return self.start_failed(index, &format!("cannot make a mount of the store: {errno}"), now),
        };
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        let process = service.entry.process;
        let mut parcels = own;
        let mut file = |purpose, file: &Option<Rc<OwnedFd>>| {
            if let Some(file) = file {
                parcels.push((ToService::File { purpose }, vec![Rc::clone(file)]));
            }
        };
        match process {
            Process::Vault => {
                file(Purpose::Store, &store);
                file(Purpose::FirstPassword, &self.password);
            }
            Process::Provision => {
                file(Purpose::SerialLine, &self.serial);
                let told = self.machine.as_ref().and_then(|machine| machine.password.clone());
                file(Purpose::ToldPassword, &told);
            }
            Process::Manager => {
                file(Purpose::OperatorSocket, &Some(Rc::clone(&self.operators)));
                file(Purpose::InitialConfiguration, &self.document);
            }
            Process::Console
            | Process::Network
            | Process::Operator
            | Process::Pkcs11
            | Process::Proxy
            | Process::Supervisor => {}
            Process::Update => {
                let partitions = self.machine.as_ref().and_then(|machine| machine.partitions.as_ref());
                file(Purpose::OtherSlot, &partitions.map(|own| Rc::clone(&own.other_slot)));
                file(Purpose::BootPartition, &partitions.map(|own| Rc::clone(&own.boot)));
                file(Purpose::Trust, &partitions.map(|own| Rc::clone(&own.trust)));
            }
        }
        if process == Process::Vault {
            parcels.extend(self.key_device.parcels());
            self.sealed = None;
        }
        parcels.extend(self.listeners.messages(process));
        let outcome = service.start(&self.ground, parcels, now);
        service.started = Some(wall());
        match outcome {
            Ok(()) => {}
            // There is a process, but it cannot be talked to.
            Err(StartError::Send(error)) => Self::unsent(service, &error),
            Err(error) if service.life.is_running() => {
                say(SELF, &format!("the {process}: {error}"));
                service.life.condemn(Cause::Channel, now);
            }
            Err(error) => return self.start_failed(index, &error.to_string(), now),
        }
        for (peer, parcel) in peers {
            self.send(peer, parcel);
        }
    }

    /// The store's folder in the form in which the vault gets it: a mount of its own, or the folder where there are no namespaces.
    fn store_to_pass(&self) -> Result<Option<Rc<OwnedFd>>, Errno> {
        match &self.store {
            None => Ok(None),
            Some(store) if self.ground.mode == Mode::EvaluationBare => Ok(Some(Rc::clone(store))),
            Some(store) => Ok(Some(Rc::new(detached_folder(store.as_fd())?))),
        }
    }

    fn start_failed(&mut self, index: usize, why: &str, now: Instant) {
        let Some(service) = self.services.get_mut(index) else {
            return;
        };
        let detail = format!("could not be started: {why}");
        service.life.died(now);
        service.last_exit = Some(detail.clone());
        let process = service.entry.process;
        self.tell_death(process, &detail);
    }

    /// New pairs to every peer that runs.
    fn wire_up(&mut self, index: usize) -> Result<Wires, IpcError> {
        let (mut own, mut peers) = (Vec::new(), Vec::new());
        let Some(service) = self.services.get(index) else {
            return Ok(Wires { own, peers });
        };
        let (process, generation) = (service.entry.process, service.life.starts().saturating_add(1));
        for pair in &WIRES {
            let (end, peer_end, peer) = match (pair.client == process, pair.server == process) {
                (true, _) => (End::Client, End::Server, pair.server),
                (_, true) => (End::Server, End::Client, pair.client),
                _ => continue,
            };
            if peer == Process::Supervisor {
                let (ours, theirs) = Channel::pair()?;
                let desk = Some(Outbox::new(ours)?);
                match process {
                    Process::Provision => self.provision = desk,
                    _ => self.manager = desk,
                }
                own.push(wire(pair.tag, end, 0, 1, theirs));
                continue;
            }
            let Some((at, running)) = self
                .services
                .iter()
                .enumerate()
                .find(|(_, other)| other.entry.process == peer && other.process.is_some())
            else {
                continue;
            };
            let peer_generation = running.life.starts();
            for number in 0..pair.number(self.ground.threads) {
                let (a, b) = Channel::pair()?;
                own.push(wire(pair.tag, end, number, peer_generation, a));
                peers.push((at, wire(pair.tag, peer_end, number, generation, b)));
            }
        }
        Ok(Wires { own, peers })
    }
}
