//! Who counts as one client, and how many connections each has.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A client for the purposes of counting: an IPv4 address, or an IPv6 network of 64 bits, since a host can have any address of its
/// network.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Source(u64);

impl Source {
    /// The source to which an address belongs. An IPv4 address mapped into IPv6 is the IPv4 address.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            // No IPv6 unicast address begins with these 32 bits.
            IpAddr::V4(v4) => Self(0xffff_ffff_0000_0000 | u64::from(v4.to_bits())),
            IpAddr::V6(v6) => {
                let [a, b, c, d, e, f, g, h, ..] = v6.octets();
                Self(u64::from_be_bytes([a, b, c, d, e, f, g, h]))
            }
        }
    }

    pub(crate) const fn number(self) -> u64 {
        self.0
    }
}

/// What one source has open.
#[derive(Debug, Default)]
pub(crate) struct Load {
    connections: AtomicU32,
    handshakes: AtomicU32,
}

/// The connections of all threads, in total and by source. Its locks are taken at the start and the end of a connection, never for a
/// request.
#[derive(Debug)]
pub(crate) struct Sources {
    total: AtomicU32,
    shards: Vec<Mutex<HashMap<Source, Arc<Load>>>>,
    hasher: RandomState,
}

/// Why a connection is not taken.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Full {
    /// All clients together have too many.
    Total,
    /// This client has too many.
    Source,
}

impl Sources {
    const SHARDS: usize = 16;

    pub(crate) fn new() -> Self {
        Self {
            total: AtomicU32::new(0),
            shards: (0..Self::SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Open connections of all threads.
    pub(crate) fn total(&self) -> u32 {
        self.total.load(Ordering::Relaxed)
    }

    /// Counts a new connection within these bounds, until the place is dropped.
    pub(crate) fn enter(self: &Arc<Self>, source: Source, total: u32, per_source: u32) -> Result<Place, Full> {
        if self.total.fetch_add(1, Ordering::Relaxed) >= total {
            self.total.fetch_sub(1, Ordering::Relaxed);
            return Err(Full::Total);
        }
        let load = Arc::clone(self.shard(source).entry(source).or_default());
        let place = Place {
            sources: Arc::clone(self),
            source,
            load,
        };
        if place.load.connections.fetch_add(1, Ordering::Relaxed) >= per_source {
            return Err(Full::Source);
        }
        Ok(place)
    }

    fn shard(&self, source: Source) -> MutexGuard<'_, HashMap<Source, Arc<Load>>> {
        #[expect(clippy::cast_possible_truncation, reason = "any bits of a hash choose a shard")]
        let index = self.hasher.hash_one(source) as usize % Self::SHARDS;
        // The index is below the number of shards by the line above.
        self.shards.get(index).map_or_else(
            || unreachable!("a shard for each remainder"),
            |shard| shard.lock().unwrap_or_else(PoisonError::into_inner),
        )
    }
}

/// A connection that is counted.
#[derive(Debug)]
pub(crate) struct Place {
    sources: Arc<Sources>,
    source: Source,
    load: Arc<Load>,
}

impl Place {
    /// Counts a handshake of the same source until the guard is dropped; `None` when that many are under way.
    pub(crate) fn handshake(&self, most: u32) -> Option<Handshake> {
        let guard = Handshake(Arc::clone(&self.load));
        (self.load.handshakes.fetch_add(1, Ordering::Relaxed) < most).then_some(guard)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.sources.total.fetch_sub(1, Ordering::Relaxed);
        if self.load.connections.fetch_sub(1, Ordering::Relaxed) == 1 {
            let mut shard = self.sources.shard(self.source);
            // Another thread may have counted a new connection meanwhile, under this lock or with an entry it holds.
            if shard
                .get(&self.source)
                .is_some_and(|load| load.connections.load(Ordering::Relaxed) == 0 && Arc::strong_count(load) <= 2)
            {
                shard.remove(&self.source);
            }
        }
    }
}

/// A handshake that is counted.
#[derive(Debug)]
pub(crate) struct Handshake(Arc<Load>);

impl Drop for Handshake {
    fn drop(&mut self) {
        self.0.handshakes.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, Source, Sources};
    use proptest::prelude::{any, proptest};
    use std::net::{IpAddr, Ipv6Addr};
    use std::sync::Arc;

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_client_is_its_network() {
        assert_eq!(source("2001:db8::1"), source("2001:db8::ffff:1"));
        assert_ne!(source("2001:db8::1"), source("2001:db8:0:1::1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
        assert_eq!(source("192.0.2.1"), source("::ffff:192.0.2.1"));
    }

    proptest! {
        #[test]
        fn the_lower_half_of_an_ipv6_address_never_matters(network: u64, a: u64, b: u64) {
            let address = |low: u64| IpAddr::V6(Ipv6Addr::from_bits(u128::from(network) << 64 | u128::from(low)));
            if network != 0 {
                assert_eq!(Source::of(address(a)), Source::of(address(b)));
            }
        }

        #[test]
        fn different_ipv4_addresses_are_different_sources(a in any::<u32>(), b in any::<u32>()) {
            let of = |bits: u32| Source::of(IpAddr::V4(bits.into()));
            assert_eq!(a == b, of(a) == of(b));
        }
    }

    #[test]
    fn connections_are_bounded_in_total_and_by_source_and_counted_down_again() {
        let sources = Arc::new(Sources::new());
        let (a, b) = (source("192.0.2.1"), source("192.0.2.2"));
        let first = sources.enter(a, 3, 2).unwrap();
        let second = sources.enter(a, 3, 2).unwrap();
        assert_eq!(sources.enter(a, 3, 2).unwrap_err(), Full::Source);
        let third = sources.enter(b, 3, 2).unwrap();
        assert_eq!(sources.enter(b, 3, 2).unwrap_err(), Full::Total);
        drop(second);
        let fourth = sources.enter(a, 3, 2).unwrap();
        assert_eq!(sources.total(), 3);
        drop((first, third, fourth));
        assert_eq!(sources.total(), 0);
        assert!(sources.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }

    #[test]
    fn handshakes_of_a_source_are_bounded() {
        let sources = Arc::new(Sources::new());
        let place = sources.enter(source("192.0.2.1"), 9, 9).unwrap();
        let guard = place.handshake(1);
        assert!(guard.is_some());
        assert!(place.handshake(1).is_none());
        drop(guard);
        assert!(place.handshake(1).is_some());
    }
}
