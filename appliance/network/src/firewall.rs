//! The packet filter in the kernel, and the blocklist in it.

use redan_ipc::messages::network::{Block, Counter};
use redan_ipc::slice::NetworkSlice;
use redan_types::{Cidr, Timestamp};

use crate::filter::blocklist::{BlockError, Blocklist};
use crate::filter::{CompileError, closed, compile, counter_name};
use crate::netlink::{Batch, BatchMode, Channel, ChannelError};
use crate::nft::{self, NamedSet, Ruleset};

/// How often a transaction is made again after somebody else changed the kernel's ruleset in between.
const ATTEMPTS: usize = 5;

/// Why the packet filter is not what was asked for. What was in force before still is.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FirewallError {
    /// The kernel could not be asked, or refused.
    #[error(transparent)]
    Kernel(#[from] ChannelError),
    /// The configuration makes no ruleset.
    #[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
    Compile(Vec<CompileError>),
    /// A block is refused.
    #[error(transparent)]
    Block(#[from] BlockError),
}

/// How large a transaction is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Transaction {
    /// Messages in it.
    pub messages: usize,
    /// Bytes.
    pub bytes: usize,
}

/// The table `inet redan` of this network namespace. It stays in the kernel when this value goes.
#[derive(Debug)]
pub struct Firewall {
    channel: Channel,
    blocklist: Blocklist,
    /// Whether the kernel's sets are cut into the same pieces as `blocklist`, so that a difference can be told.
    in_step: bool,
}

impl Firewall {
    /// Opens the kernel's packet filter and checks that it can do what will be needed. When this returns, the filter is up: the rules and
    /// blocks of an earlier process go on, and where there are none, nothing passes but loopback and neighbour discovery.
    ///
    /// # Errors
    /// Without `CAP_NET_ADMIN`, or where the kernel lacks a kind of expression, which is named.
    pub fn open(now: Timestamp) -> Result<Self, FirewallError> {
        let mut channel = Channel::netfilter()?;
        nft::probe(&mut channel)?;
        let mut firewall = Self {
            channel,
            blocklist: Blocklist::default(),
            in_step: false,
        };
        if nft::existing(&mut firewall.channel)?.complete {
            for set in NamedSet::ALL {
                let elements = nft::elements(&mut firewall.channel, set)?;
                firewall.blocklist.restore(set, &elements, now);
            }
        } else {
            firewall.transact(&closed(), &Blocklist::default(), BatchMode::Apply, now)?;
            firewall.in_step = true;
        }
        Ok(firewall)
    }

    /// Checks a configuration without asking the kernel.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn compile(slice: &NetworkSlice) -> Result<(), FirewallError> {
        compile(slice).map(drop).map_err(FirewallError::Compile)
    }

    /// Lets the kernel check a configuration's ruleset without applying it.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn check(&mut self, slice: &NetworkSlice, now: Timestamp) -> Result<Transaction, FirewallError> {
        self.switch(slice, BatchMode::Check, now)
    }

    /// Applies a configuration's ruleset, whole or not at all. Counters with the same name go on, and so do blocks.
    ///
    /// # Errors
    /// What the kernel refused; then what was in force before still is.
    pub fn apply(&mut self, slice: &NetworkSlice, now: Timestamp) -> Result<Transaction, FirewallError> {
        self.switch(slice, BatchMode::Apply, now)
    }

    /// Goes back to the state before any configuration.
    ///
    /// # Errors
    /// What the kernel refused.
    pub fn close(&mut self, now: Timestamp) -> Result<(), FirewallError> {
        let mut list = self.blocklist.clone();
        list.configure(&[], &[]);
        self.transact(&closed(), &list, BatchMode::Apply, now)?;
        self.took(list);
        Ok(())
    }

    /// Cuts a network off at once, known connections too.
    ///
    /// # Errors
    /// Where the configuration protects it, the list is full, or the kernel refuses.
    pub fn block(&mut self, network: Cidr, seconds: u32, reason: &str, now: Timestamp) -> Result<(), FirewallError> {
        self.block_all(&[(network, seconds, reason)], now)
    }

    /// Cuts several networks off in one transaction: network, seconds, reason.
    ///
    /// # Errors
    /// As for [`Self::block`]; then none of them is blocked.
    pub fn block_all(&mut self, blocks: &[(Cidr, u32, &str)], now: Timestamp) -> Result<(), FirewallError> {
        let mut list = self.blocklist.clone();
        for (network, seconds, reason) in blocks {
            list.block(*network, *seconds, reason, now)?;
        }
        self.change_blocklist(list, now)
    }

    /// Lets a network in again.
    ///
    /// # Errors
    /// Where it is not blocked by exactly this network, or the configuration blocks it.
    pub fn unblock(&mut self, network: Cidr, now: Timestamp) -> Result<(), FirewallError> {
        let mut list = self.blocklist.clone();
        list.unblock(network, now)?;
        self.change_blocklist(list, now)
    }

    /// What is blocked.
    #[must_use]
    pub fn blocks(&self, now: Timestamp) -> Vec<Block> {
        self.blocklist.list(now)
    }

    /// What was counted, by name.
    ///
    /// # Errors
    /// Where the kernel cannot be asked.
    pub fn counters(&mut self) -> Result<Vec<Counter>, FirewallError> {
        let mut values = nft::counters(&mut self.channel)?;
        values.sort_by(|one, other| one.name.cmp(&other.name));
        let named = |value: nft::CounterValue| Counter {
            name: counter_name(&value.name),
            packets: value.packets,
            bytes: value.bytes,
        };
        Ok(values.into_iter().map(named).collect())
    }

    fn switch(&mut self, slice: &NetworkSlice, mode: BatchMode, now: Timestamp) -> Result<Transaction, FirewallError> {
        let ruleset = compile(slice).map_err(FirewallError::Compile)?;
        let mut list = self.blocklist.clone();
        list.configure(&slice.blocked, &slice.never_block);
        let size = self.transact(&ruleset, &list, mode, now)?;
        if mode == BatchMode::Apply {
            self.took(list);
        }
        Ok(size)
    }

    fn transact(
        &mut self,
        ruleset: &Ruleset,
        list: &Blocklist,
        mode: BatchMode,
        now: Timestamp,
    ) -> Result<Transaction, FirewallError> {
        let mut last = ChannelError::Changed;
        let mut in_place = true;
        for _ in 0..ATTEMPTS {
            let generation = nft::generation(&mut self.channel)?;
            let mut existing = nft::existing(&mut self.channel)?;
            existing.complete &= in_place;
            let elements = self.elements(list, existing.complete && self.in_step, now);
            let mut batch = Batch::new();
            nft::replace(&mut batch, ruleset, &existing, &elements);
            match self.channel.transact(&batch, mode, Some(generation)) {
                Ok(()) => {
                    return Ok(Transaction {
                        messages: batch.messages(),
                        bytes: batch.bytes(),
                    });
                }
                Err(error @ ChannelError::Changed) => last = error,
                // Something of ours is not as we left it. Made anew, the table does not depend on what was there.
                Err(error @ ChannelError::Refused(_)) if existing.complete => {
                    in_place = false;
                    last = error;
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(last.into())
    }

    fn elements(&self, list: &Blocklist, in_step: bool, now: Timestamp) -> Vec<nft::Elements> {
        if in_step {
            list.difference(&self.blocklist, now)
        } else {
            list.elements(now)
        }
    }

    fn change_blocklist(&mut self, list: Blocklist, now: Timestamp) -> Result<(), FirewallError> {
        let mut batch = Batch::new();
        nft::update_elements(&mut batch, &self.elements(&list, self.in_step, now));
        match self.channel.transact(&batch, BatchMode::Apply, None) {
            Ok(()) => {}
            // An entry that the kernel has just let expire, or one that is there although we do not know it: say all of it again.
            Err(ChannelError::Refused(_)) => {
                let mut batch = Batch::new();
                nft::update_elements(&mut batch, &list.elements(now));
                self.channel.transact(&batch, BatchMode::Apply, None)?;
            }
            Err(error) => return Err(error.into()),
        }
        self.took(list);
        Ok(())
    }

    /// The kernel holds this list now.
    fn took(&mut self, list: Blocklist) {
        self.blocklist = list;
        self.in_step = true;
    }
}
