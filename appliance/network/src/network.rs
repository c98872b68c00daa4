//! What the manager, the console and operators ask of this service.

use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::messages::network::{NetworkReply, NetworkRequest};
use redan_ipc::slice::NetworkSlice;
use redan_types::{Generation, Timestamp};

use crate::firewall::{Firewall, FirewallError};
use crate::links::{LinkError, Links};

/// The service's state: what is in force, and what is prepared.
#[derive(Debug)]
pub struct Network {
    firewall: Firewall,
    links: Links,
    current: Option<(Generation, NetworkSlice)>,
    prepared: Option<(Generation, NetworkSlice)>,
}

/// Why the service cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The packet filter is not up.
    #[error("the packet filter could not be set up")]
    Firewall(#[from] FirewallError),
    /// Links cannot be asked for.
    #[error("the interfaces could not be read")]
    Links(#[from] LinkError),
}

impl Network {
    /// Sets the filter up; see [`Firewall::open`].
    ///
    /// # Errors
    /// Where the kernel refuses: the service must not go on then.
    pub fn open(now: Timestamp) -> Result<Self, OpenError> {
        let firewall = Firewall::open(now)?;
        Ok(Self {
            firewall,
            links: Links::open()?,
            current: None,
            prepared: None,
        })
    }

    /// A step of the manager's transaction.
    pub fn apply(&mut self, request: ApplyRequest<NetworkSlice>, now: Timestamp) -> ApplyReply {
        match request {
            ApplyRequest::Prepare { generation, slice } => self.prepare(generation, slice, now),
            ApplyRequest::Commit { generation } => self.commit(generation, now),
            ApplyRequest::Abort { generation } => {
                self.prepared.take_if(|(prepared, _)| *prepared == generation);
                ApplyReply::Done
            }
            ApplyRequest::Current => ApplyReply::Current(self.current.as_ref().map(|(generation, _)| *generation)),
        }
    }

    /// Blocklist and counters.
    pub fn answer(&mut self, request: NetworkRequest, now: Timestamp) -> NetworkReply {
        let done = match request {
            NetworkRequest::Block {
                network,
                seconds,
                reason,
            } => self.firewall.block(network, seconds, &reason, now),
            NetworkRequest::Unblock { network } => self.firewall.unblock(network, now),
            NetworkRequest::Blocklist => return NetworkReply::Blocklist(self.firewall.blocks(now)),
            NetworkRequest::Counters => match self.firewall.counters() {
                Ok(counters) => return NetworkReply::Counters(counters),
                Err(error) => Err(error),
            },
        };
        done.map_or_else(
            |error| NetworkReply::Refused(error.to_string()),
            |()| NetworkReply::Done,
        )
    }

    fn prepare(&mut self, generation: Generation, slice: NetworkSlice, now: Timestamp) -> ApplyReply {
        self.prepared = None;
        let mut reasons = Vec::new();
        match self.links.check(&slice) {
            Ok(found) => reasons.extend(found.iter().map(ToString::to_string)),
            Err(error) => reasons.push(error.to_string()),
        }
        match self.firewall.check(&slice, now) {
            Ok(_) => {}
            Err(FirewallError::Compile(errors)) => reasons.extend(errors.iter().map(ToString::to_string)),
            Err(error) => reasons.push(error.to_string()),
        }
        if !reasons.is_empty() {
            return ApplyReply::Refused { reasons };
        }
        self.prepared = Some((generation, slice));
        ApplyReply::Done
    }

    fn commit(&mut self, generation: Generation, now: Timestamp) -> ApplyReply {
        // A commit that is asked for again, because its answer was lost, is done.
        if self.prepared.is_none() && self.current.as_ref().is_some_and(|(current, _)| *current == generation) {
            return ApplyReply::Done;
        }
        let Some((generation, slice)) = self.prepared.take_if(|(prepared, _)| *prepared == generation) else {
            return ApplyReply::NotPrepared;
        };
        // The filter first: an address must not be reachable before its rules are in force.
        let mut reasons = match self.firewall.apply(&slice, now) {
            Ok(_) => match self.links.apply(&slice) {
                Ok(()) => {
                    self.current = Some((generation, slice));
                    return ApplyReply::Done;
                }
                Err(error) => vec![error.to_string()],
            },
            Err(error) => {
                return ApplyReply::Refused {
                    reasons: vec![error.to_string()],
                };
            }
        };
        reasons.extend(self.go_back(now));
        ApplyReply::Refused { reasons }
    }

    /// Makes what ran before run again after half of a commit; what cannot be is said.
    fn go_back(&mut self, now: Timestamp) -> Vec<String> {
        let Some((_, slice)) = &self.current else {
            let closed = self.firewall.close(now).err();
            return closed
                .map(|error| format!("closing the filter again: {error}"))
                .into_iter()
                .collect();
        };
        let filter = self
            .firewall
            .apply(slice, now)
            .err()
            .map(|error| format!("going back to the filter before: {error}"));
        let links = self
            .links
            .apply(slice)
            .err()
            .map(|error| format!("going back to the interfaces before: {error}"));
        filter.into_iter().chain(links).collect()
    }
}
