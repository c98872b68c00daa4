//! What the manager, the console and operators ask of this service.

use redan_ipc::Pair;
use redan_ipc::messages::ConsoleNetwork;
use redan_ipc::messages::apply::{ApplyReply, ApplyRequest};
use redan_ipc::messages::network::{Block, NetworkReply, NetworkRequest};
use redan_ipc::slice::NetworkSlice;
use redan_types::{Generation, Timestamp};

use crate::firewall::{Firewall, FirewallError};
use crate::links::{LinkError, Links};

/// The service's state: what is in force, and what is prepared.
#[derive(Debug)]
pub struct Network {
    /// `None` where there is no network of the appliance's own: the host's is never touched.
    kernel: Option<Kernel>,
    current: Option<(Generation, NetworkSlice)>,
    prepared: Option<(Generation, NetworkSlice)>,
}

#[derive(Debug)]
struct Kernel {
    firewall: Firewall,
    links: Links,
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
        let links = Links::open()?;
        Ok(Self {
            kernel: Some(Kernel { firewall, links }),
            ..Self::without_filter()
        })
    }

    /// For an evaluation that shares the network of its host: configurations are checked and nothing is applied.
    #[must_use]
    pub const fn without_filter() -> Self {
        Self {
            kernel: None,
            current: None,
            prepared: None,
        }
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
        let Some(Kernel { firewall, .. }) = &mut self.kernel else {
            return match request {
                NetworkRequest::Blocklist => NetworkReply::Blocklist(Vec::new()),
                NetworkRequest::Counters => NetworkReply::Counters(Vec::new()),
                NetworkRequest::Block { .. } | NetworkRequest::Unblock { .. } => {
                    NetworkReply::Refused("there is no packet filter in this way of evaluating".into())
                }
            };
        };
        let done = match request {
            NetworkRequest::Block {
                network,
                seconds,
                reason,
            } => firewall.block(network, seconds, &reason, now),
            NetworkRequest::Unblock { network } => firewall.unblock(network, now),
            NetworkRequest::Blocklist => return listed(firewall.blocks(now)),
            NetworkRequest::Counters => match firewall.counters() {
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
        let reasons = match &mut self.kernel {
            Some(kernel) => kernel.check(&slice, now),
            None => Firewall::compile(&slice).err().iter().flat_map(reasons).collect(),
        };
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
        let before = self.current.as_ref().map(|(_, slice)| slice);
        let reasons = self
            .kernel
            .as_mut()
            .map(|kernel| kernel.switch(&slice, before, now))
            .unwrap_or_default();
        if !reasons.is_empty() {
            return ApplyReply::Refused { reasons };
        }
        self.current = Some((generation, slice));
        ApplyReply::Done
    }
}

impl Kernel {
    /// Everything that speaks against a configuration.
    fn check(&mut self, slice: &NetworkSlice, now: Timestamp) -> Vec<String> {
        let mut found = match self.links.check(slice) {
            Ok(errors) => errors.iter().map(ToString::to_string).collect(),
            Err(error) => vec![error.to_string()],
        };
        if let Err(error) = self.firewall.check(slice, now) {
            found.extend(reasons(&error));
        }
        found
    }

    /// Applies a configuration, or says why not, and then what ran before runs again; what cannot be undone is said too.
    fn switch(&mut self, slice: &NetworkSlice, before: Option<&NetworkSlice>, now: Timestamp) -> Vec<String> {
        // The filter first: an address must not be reachable before its rules are in force.
        if let Err(error) = self.firewall.apply(slice, now) {
            return reasons(&error);
        }
        let Err(error) = self.links.apply(slice) else {
            return Vec::new();
        };
        let mut found = vec![error.to_string()];
        let filter = match before {
            Some(before) => self.firewall.apply(before, now).map(drop),
            None => self.firewall.close(now),
        };
        found.extend(
            filter
                .err()
                .map(|error| format!("going back to the filter before: {error}")),
        );
        let links = before.map_or(Ok(()), |before| self.links.apply(before));
        found.extend(
            links
                .err()
                .map(|error| format!("going back to the interfaces before: {error}")),
        );
        found
    }
}

/// The list, where it fits into an answer; a part of it could be taken for all.
fn listed(blocks: Vec<Block>) -> NetworkReply {
    let bytes: usize = blocks
        .iter()
        .map(|block| BLOCK_BYTES.saturating_add(block.reason.len()))
        .sum();
    if bytes > ConsoleNetwork::LIMIT {
        let count = blocks.len();
        return NetworkReply::Refused(format!("the blocklist's {count} entries do not fit into one answer"));
    }
    NetworkReply::Blocklist(blocks)
}

/// A block in an answer without its reason: network, end, lengths, in their longest encodings.
const BLOCK_BYTES: usize = 40;

fn reasons(error: &FirewallError) -> Vec<String> {
    match error {
        FirewallError::Compile(errors) => errors.iter().map(ToString::to_string).collect(),
        error => vec![error.to_string()],
    }
}
