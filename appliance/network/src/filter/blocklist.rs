//! Which addresses are cut off, until when and why.
//!
//! Networks may lie within each other, each with its own end; the kernel's sets hold disjoint ranges only, so that the list is cut into
//! pieces, each of which lasts as long as the longest of the networks around it.

use std::collections::BTreeMap;
use std::time::Duration;

use redan_ipc::messages::network::Block;
use redan_types::{Cidr, Timestamp};

use super::compile::is_loopback;
use crate::nft::{Element, Elements, NamedSet, Range};

/// Entries at most: bounds the memory here and in the kernel (some 200 bytes each).
pub(crate) const LIMIT: usize = 65_536;
/// The longest block: what should last longer belongs into the configuration.
pub(crate) const LONGEST: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Bytes of a reason that are kept; the kernel stores it beside the address.
const REASON: usize = 200;

/// Why a block is refused.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BlockError {
    /// It would cut off what the configuration protects.
    #[error("{network} holds {never}, which the configuration never blocks")]
    Never {
        /// What was to be blocked.
        network: Cidr,
        /// What is protected.
        never: Cidr,
    },
    /// The appliance's own loopback addresses.
    #[error("{0} holds loopback addresses")]
    Loopback(Cidr),
    /// A duration that is not.
    #[error("a block lasts between 1 second and 30 days, not {0} seconds")]
    Duration(u32),
    /// The list is full.
    #[error("the blocklist is full ({LIMIT} entries)")]
    Full,
    /// What is to be unblocked is not blocked by exactly this network.
    #[error("{0} is not blocked; name the network exactly as it was blocked")]
    Unknown(Cidr),
    /// What is to be unblocked is blocked by the configuration.
    #[error("{0} is blocked by the configuration; change it there")]
    Configured(Cidr),
}

/// The list.
#[derive(Clone, Debug, Default)]
pub(crate) struct Blocklist {
    /// Added while running, with an end.
    added: BTreeMap<Cidr, (Timestamp, String)>,
    /// From the configuration.
    configured: Vec<Cidr>,
    never: Vec<Cidr>,
}

/// What is cut off without a break in between, and until when (`None`: for good).
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Piece {
    pub(crate) range: Range,
    pub(crate) until: Option<Timestamp>,
    pub(crate) reason: String,
}

impl Blocklist {
    pub(crate) fn block(
        &mut self,
        network: Cidr,
        seconds: u32,
        reason: &str,
        now: Timestamp,
    ) -> Result<(), BlockError> {
        let span = Duration::from_secs(seconds.into());
        if span.is_zero() || span > LONGEST {
            return Err(BlockError::Duration(seconds));
        }
        if is_loopback(&network) {
            return Err(BlockError::Loopback(network));
        }
        if let Some(never) = self.never.iter().find(|never| never.overlaps(&network)) {
            return Err(BlockError::Never { network, never: *never });
        }
        self.forget_expired(now);
        if self.added.len() + self.configured.len() >= LIMIT && !self.added.contains_key(&network) {
            return Err(BlockError::Full);
        }
        let reason = reason
            .chars()
            .filter(|character| !character.is_control())
            .take(REASON)
            .collect();
        self.added.insert(network, (now.after(span), reason));
        Ok(())
    }

    pub(crate) fn unblock(&mut self, network: Cidr, now: Timestamp) -> Result<(), BlockError> {
        self.forget_expired(now);
        match self.added.remove(&network) {
            Some(_) => Ok(()),
            None if self.configured.contains(&network) => Err(BlockError::Configured(network)),
            None => Err(BlockError::Unknown(network)),
        }
    }

    /// Takes the configuration's part. Additions that it protects now are let go.
    pub(crate) fn configure(&mut self, configured: &[Cidr], never: &[Cidr]) {
        self.configured = configured.to_vec();
        self.never = never.to_vec();
        self.added
            .retain(|network, _| !never.iter().any(|never| never.overlaps(network)));
    }

    /// Takes over what the kernel still holds from an earlier process. What has no end comes from its configuration.
    pub(crate) fn restore(&mut self, set: NamedSet, elements: &[Element], now: Timestamp) {
        for element in elements {
            let until = element
                .left
                .map(|left| now.after(Duration::from_millis(left).min(LONGEST)));
            for network in networks(element.range, set) {
                match until {
                    None => self.configured.push(network),
                    Some(until) if self.added.len() < LIMIT => {
                        self.added.insert(network, (until, element.comment.clone()));
                    }
                    Some(_) => {}
                }
            }
        }
    }

    /// For people: what is blocked at `now`.
    pub(crate) fn list(&self, now: Timestamp) -> Vec<Block> {
        let configured = self.configured.iter().map(|network| Block {
            network: *network,
            until: None,
            reason: "configuration".into(),
        });
        let added = self.added.iter().filter(|(_, (until, _))| *until > now);
        let added = added.map(|(network, (until, reason))| Block {
            network: *network,
            until: Some(*until),
            reason: reason.clone(),
        });
        configured.chain(added).collect()
    }

    /// For the kernel: disjoint ranges in order.
    pub(crate) fn pieces(&self, set: NamedSet, now: Timestamp) -> Vec<Piece> {
        let four = set == NamedSet::Blocked4;
        let mut entries: Vec<(Range, Option<Timestamp>, &str)> = Vec::new();
        entries.extend(
            self.configured
                .iter()
                .filter(|n| n.address().is_ipv4() == four)
                .map(|n| (Range::network(n), None, "configuration")),
        );
        let live = self
            .added
            .iter()
            .filter(|(network, (until, _))| network.address().is_ipv4() == four && *until > now);
        entries.extend(live.map(|(network, (until, reason))| (Range::network(network), Some(*until), reason.as_str())));
        // Networks nest or are disjoint; in this order each comes after those around it.
        entries.sort_by_key(|(range, ..)| (range.start, std::cmp::Reverse(range.end)));
        let mut pieces: Vec<Piece> = Vec::new();
        let mut around: Vec<(Range, Option<Timestamp>, &str)> = Vec::new();
        let mut from = 0;
        for (range, until, reason) in entries {
            close(&mut pieces, &mut around, &mut from, Some(range.start));
            // Within a network that lasts longer it adds nothing, but its own end must not cut that one off.
            let (until, reason) = match around.last() {
                Some((_, outer, outer_reason)) if lasts(*outer) >= lasts(until) => (*outer, *outer_reason),
                _ => (until, reason),
            };
            around.push((range, until, reason));
            from = range.start;
        }
        close(&mut pieces, &mut around, &mut from, None);
        pieces
    }

    /// All of it as the kernel's elements, in place of what it holds.
    pub(crate) fn elements(&self, now: Timestamp) -> Vec<Elements> {
        NamedSet::ALL
            .map(|set| Elements {
                set,
                replace: true,
                add: timed(self.pieces(set, now), now),
            })
            .into()
    }

    /// What must be told to the kernel so that it holds this list where it held `before`: only additions if nothing else has changed.
    pub(crate) fn difference(&self, before: &Self, now: Timestamp) -> Vec<Elements> {
        let mut changes = Vec::new();
        for set in NamedSet::ALL {
            let (old, new) = (before.pieces(set, now), self.pieces(set, now));
            if old == new {
                continue;
            }
            let kept: std::collections::HashSet<_> = new.iter().map(|piece| (piece.range, piece.until)).collect();
            let replace = !old.iter().all(|piece| kept.contains(&(piece.range, piece.until)));
            let known: std::collections::HashSet<_> = old.iter().map(|piece| piece.range).collect();
            let add = new
                .into_iter()
                .filter(|piece| replace || !known.contains(&piece.range))
                .collect();
            changes.push(Elements {
                set,
                replace,
                add: timed(add, now),
            });
        }
        changes
    }

    fn forget_expired(&mut self, now: Timestamp) {
        self.added.retain(|_, (until, _)| *until > now);
    }
}

fn timed(pieces: Vec<Piece>, now: Timestamp) -> Vec<(Range, Option<u64>, String)> {
    pieces
        .into_iter()
        .map(|piece| {
            // The kernel counts in milliseconds from now and takes 0 for "for good".
            let millis = piece
                .until
                .map(|until| u64::try_from(until.since(now).as_millis()).unwrap_or(u64::MAX).max(1));
            (piece.range, millis, piece.reason)
        })
        .collect()
}

const fn lasts(until: Option<Timestamp>) -> u64 {
    match until {
        Some(until) => until.0,
        None => u64::MAX,
    }
}

/// Writes the pieces between `from` and the next network's start, closing networks that end before it.
fn close(
    pieces: &mut Vec<Piece>,
    around: &mut Vec<(Range, Option<Timestamp>, &str)>,
    from: &mut u128,
    next: Option<u128>,
) {
    while let Some((range, until, reason)) = around.last() {
        let ends = next.is_none_or(|next| range.end < next);
        let to = if ends {
            range.end
        } else {
            next.unwrap_or(0).saturating_sub(1)
        };
        if *from <= to && *from >= range.start && (ends || next.is_some_and(|next| next > *from)) {
            let piece = Piece {
                range: Range::new(*from, to),
                until: *until,
                reason: (*reason).to_owned(),
            };
            match pieces.last_mut() {
                // A network within one that lasts longer does not cut it.
                Some(last)
                    if last.range.end.checked_add(1) == Some(*from)
                        && last.until == *until
                        && last.reason == *reason =>
                {
                    last.range.end = to;
                }
                _ => pieces.push(piece),
            }
        }
        if !ends {
            return;
        }
        // The last address of all ends every network.
        let Some(behind) = range.end.checked_add(1) else {
            around.clear();
            return;
        };
        *from = behind;
        around.pop();
    }
}

/// The fewest networks that make up a range.
fn networks(range: Range, set: NamedSet) -> Vec<Cidr> {
    let bits = if set == NamedSet::Blocked4 { 32_u32 } else { 128 };
    let mut found = Vec::new();
    let mut start = range.start;
    // A range of addresses is at most twice as many networks as an address has bits.
    for _ in 0..2 * bits {
        let aligned = start.trailing_zeros().min(bits);
        let size = (0..=aligned).rev().find(|size| {
            let last = if *size >= 128 {
                u128::MAX
            } else {
                start.saturating_add((1_u128 << size) - 1)
            };
            last <= range.end
        });
        let Some(size) = size else { break };
        let address = match set {
            NamedSet::Blocked4 => u32::try_from(start)
                .ok()
                .map(|bits| std::net::Ipv4Addr::from_bits(bits).into()),
            NamedSet::Blocked6 => Some(std::net::Ipv6Addr::from_bits(start).into()),
        };
        let (Some(address), Ok(prefix)) = (address, u8::try_from(bits - size)) else {
            break;
        };
        found.push(Cidr::containing(address, prefix));
        match 1_u128.checked_shl(size).and_then(|step| start.checked_add(step)) {
            Some(next) if next <= range.end => start = next,
            _ => break,
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::{BlockError, Blocklist, LONGEST, networks};
    use crate::nft::{NamedSet, Range};
    use proptest::prelude::{prop, prop_assert, prop_assert_eq, proptest};
    use redan_types::{Cidr, Timestamp};
    use std::net::Ipv4Addr;

    const NOW: Timestamp = Timestamp(1_000_000_000);

    fn cidr(text: &str) -> Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_never_to_be_blocked_is_refused_with_its_name() {
        let mut list = Blocklist::default();
        list.configure(&[], &[cidr("10.0.0.5")]);
        let error = list.block(cidr("10.0.0.0/24"), 60, "", NOW).unwrap_err();
        assert_eq!(
            error,
            BlockError::Never {
                network: cidr("10.0.0.0/24"),
                never: cidr("10.0.0.5")
            }
        );
        assert_eq!(
            list.block(cidr("0.0.0.0/0"), 60, "", NOW).unwrap_err(),
            BlockError::Loopback(cidr("0.0.0.0/0"))
        );
        assert_eq!(
            list.block(cidr("10.1.0.0/16"), 0, "", NOW).unwrap_err(),
            BlockError::Duration(0)
        );
        let long = u32::try_from(LONGEST.as_secs()).unwrap() + 1;
        assert_eq!(
            list.block(cidr("10.1.0.0/16"), long, "", NOW).unwrap_err(),
            BlockError::Duration(long)
        );
        assert!(list.list(NOW).is_empty());
    }

    #[test]
    fn a_new_configuration_lets_go_what_it_protects() {
        let mut list = Blocklist::default();
        list.block(cidr("10.0.0.0/24"), 60, "scan", NOW).unwrap();
        list.block(cidr("10.0.1.0/24"), 60, "scan", NOW).unwrap();
        list.configure(&[], &[cidr("10.0.0.5")]);
        assert_eq!(
            list.list(NOW)
                .into_iter()
                .map(|block| block.network)
                .collect::<Vec<_>>(),
            [cidr("10.0.1.0/24")]
        );
    }

    #[test]
    fn an_address_alone_is_added_and_not_exchanged() {
        let mut before = Blocklist::default();
        before.block(cidr("10.0.0.1"), 60, "a", NOW).unwrap();
        let mut after = before.clone();
        after.block(cidr("10.0.0.9"), 60, "b", NOW).unwrap();
        let changes = after.difference(&before, NOW);
        assert_eq!(changes.len(), 1);
        assert!(!changes[0].replace);
        assert_eq!(changes[0].add.len(), 1);
        assert!(before.difference(&after, NOW)[0].replace);
    }

    #[test]
    fn what_the_kernel_holds_is_taken_over_as_networks() {
        let range = Range::new(
            u32::from(Ipv4Addr::new(10, 0, 0, 1)).into(),
            u32::from(Ipv4Addr::new(10, 0, 0, 6)).into(),
        );
        assert_eq!(
            networks(range, NamedSet::Blocked4),
            [
                cidr("10.0.0.1/32"),
                cidr("10.0.0.2/31"),
                cidr("10.0.0.4/31"),
                cidr("10.0.0.6/32")
            ]
        );
        assert_eq!(networks(Range::new(0, u128::MAX), NamedSet::Blocked6), [cidr("::/0")]);
    }

    proptest! {
        #[test]
        fn an_address_is_blocked_until_the_last_of_its_networks_ends(
            entries in prop::collection::vec((0_u32..64, 26_u8..=32, 1_u32..5), 0..12),
            address in 0_u32..64,
            later in 0_u64..5,
        ) {
            let mut list = Blocklist::default();
            for (host, prefix, seconds) in &entries {
                let network = Cidr::containing(Ipv4Addr::from_bits(0x0a00_0000 | host).into(), *prefix);
                list.block(network, *seconds, "", NOW).unwrap();
            }
            let at = Timestamp(NOW.0 + later * 1_000_000);
            let address = Ipv4Addr::from_bits(0x0a00_0000 | address);
            let expected = list.list(at).iter().any(|block| block.network.contains(address.into()));
            let pieces = list.pieces(NamedSet::Blocked4, NOW);
            prop_assert!(pieces.windows(2).all(|pair| pair[0].range.end < pair[1].range.start));
            let holding = pieces.iter().find(|piece| piece.range.contains(address.to_bits().into()));
            prop_assert_eq!(holding.is_some_and(|piece| piece.until.is_none_or(|until| until > at)), expected);
        }
    }
}
