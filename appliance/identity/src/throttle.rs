//! Who must wait before another password of theirs is looked at.
//!
//! Wrong passwords are counted for whoever typed them (an address, a browser, a session), never for the account alone: whoever
//! guesses keeps nobody else out. After a few of them each one more doubles the wait, so that a person who mistypes waits a second,
//! and a program that guesses gets nowhere. [`crate::lockout`] is the second line, for guesses that come from many addresses.
//!
//! An attempt counts as wrong from the moment it is admitted and is taken back when the password was right: attempts side by side
//! cannot share one place.

use redan_types::Timestamp;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

/// Where attempts come from: an IPv4 address, or an IPv6 network of 64 bits, since whoever has one address of it has all.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, serde::Deserialize, serde::Serialize)]
pub struct Source(IpAddr);

impl Source {
    /// The source of an address; an IPv4 address in IPv6 clothes is IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
            v4 @ IpAddr::V4(_) => v4,
        })
    }
}

/// How failures become a wait.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Patience {
    /// Failures from which on each costs a wait: this one costs a second, each one more twice as much; 0 counts as 1.
    pub free: u32,
    /// The longest wait.
    pub longest: Duration,
    /// Without failures for this long after the end of a wait, everything is forgotten.
    pub memory: Duration,
}

impl Patience {
    fn wait(&self, failures: u32) -> Duration {
        let over = failures.checked_sub(self.free.max(1));
        let doubled = over.map_or(0, |over| 1_u64.checked_shl(over).unwrap_or(u64::MAX));
        Duration::from_secs(doubled).min(self.longest)
    }
}

/// Refused, and until when.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Wait {
    /// The end of the wait.
    pub until: Timestamp,
    /// Whether it is the first refusal of this wait: the one to be recorded, so that whoever knocks on does not fill the record.
    pub first: bool,
}

/// The failures of everybody, within a bound.
#[derive(Debug)]
pub struct Throttle<K> {
    entries: HashMap<K, Entry>,
    most: usize,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    failures: u32,
    last: Timestamp,
    refused: u32,
    forgotten: Timestamp,
}

impl<K: Clone + Eq + Hash> Throttle<K> {
    /// Room for `most` of them. Where there are more, those go that would be forgotten soonest, which have failed the least.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self {
            entries: HashMap::new(),
            most,
        }
    }

    /// Admits an attempt that counts for each of `keys`, or for none of them where one must wait. Returns how many were refused
    /// since the last one that was admitted.
    ///
    /// # Errors
    /// The longest wait among the keys.
    pub fn admit(&mut self, keys: &[(K, Patience)], now: Timestamp) -> Result<u32, Wait> {
        let mut longest: Option<Wait> = None;
        for (key, patience) in keys {
            let Some(entry) = self.entries.get_mut(key) else {
                continue;
            };
            // A time ahead of the clock (it was set back) counts as now: no wait is ever longer than its length.
            entry.last = entry.last.min(now);
            let until = entry.last.after(patience.wait(entry.failures));
            if now < until {
                let wait = Wait {
                    until,
                    first: entry.refused == 0,
                };
                entry.refused = entry.refused.saturating_add(1);
                longest = Some(longest.filter(|other| other.until >= until).unwrap_or(wait));
            }
        }
        if let Some(wait) = longest {
            return Err(wait);
        }
        let mut refused = 0;
        for (key, patience) in keys {
            self.make_room(key, now);
            let entry = self.entries.entry(key.clone()).or_insert(Entry {
                failures: 0,
                last: now,
                refused: 0,
                forgotten: now,
            });
            if entry.forgotten <= now {
                entry.failures = 0;
            }
            entry.failures = entry.failures.saturating_add(1);
            entry.last = now;
            entry.forgotten = now.after(patience.wait(entry.failures)).after(patience.memory);
            refused = refused.max(std::mem::take(&mut entry.refused));
        }
        Ok(refused)
    }

    /// Until when this key must wait now; `None` where it need not.
    #[must_use]
    pub fn waits(&self, key: &K, patience: &Patience, now: Timestamp) -> Option<Timestamp> {
        let entry = self.entries.get(key)?;
        let until = entry.last.min(now).after(patience.wait(entry.failures));
        (now < until).then_some(until)
    }

    /// Takes the last attempt back: it was none that failed.
    pub fn take_back(&mut self, key: &K) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.failures = entry.failures.saturating_sub(1);
        }
    }

    /// Forgets everything about a key.
    pub fn forget(&mut self, key: &K) {
        self.entries.remove(key);
    }

    fn make_room(&mut self, key: &K, now: Timestamp) {
        if self.entries.len() < self.most || self.entries.contains_key(key) {
            return;
        }
        self.entries.retain(|_, entry| now < entry.forgotten);
        if self.entries.len() >= self.most {
            let soonest = self.entries.iter().min_by_key(|(_, entry)| entry.forgotten);
            if let Some(key) = soonest.map(|(key, _)| key.clone()) {
                self.entries.remove(&key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Patience, Source, Throttle};
    use proptest::prelude::{prop_assert, proptest};
    use redan_types::Timestamp;
    use std::time::Duration;

    const PATIENCE: Patience = Patience {
        free: 5,
        longest: Duration::from_mins(15),
        memory: Duration::from_mins(15),
    };

    fn at(second: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_secs(1_000_000 + second))
    }

    fn source(text: &str) -> Source {
        Source::of(text.parse().unwrap())
    }

    #[test]
    fn an_ipv6_source_is_its_network_of_64_bits() {
        assert_eq!(source("2001:db8:0:1::7"), source("2001:db8:0:1:ffff::1"));
        assert_ne!(source("2001:db8:0:1::7"), source("2001:db8:0:2::7"));
        assert_eq!(source("::ffff:192.0.2.1"), source("192.0.2.1"));
        assert_ne!(source("192.0.2.1"), source("192.0.2.2"));
    }

    #[test]
    fn each_failure_beyond_the_free_ones_doubles_the_wait_up_to_the_longest() {
        let mut throttle = Throttle::new(10);
        let keys = [("guesser", PATIENCE)];
        let mut now = 0;
        for expected in [0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 900, 900] {
            throttle.admit(&keys, at(now)).unwrap();
            let until = throttle.waits(&"guesser", &PATIENCE, at(now));
            assert_eq!(until.map_or(0, |until| until.since(at(now)).as_secs()), expected);
            if expected > 0 {
                assert!(throttle.admit(&keys, at(now)).is_err());
            }
            now += expected;
        }
    }

    #[test]
    fn one_source_waiting_is_no_wait_for_another() {
        let mut throttle = Throttle::new(10);
        for _ in 0..5 {
            throttle.admit(&[(source("192.0.2.1"), PATIENCE)], at(0)).unwrap();
        }
        assert!(throttle.admit(&[(source("192.0.2.1"), PATIENCE)], at(0)).is_err());
        assert!(throttle.admit(&[(source("192.0.2.2"), PATIENCE)], at(0)).is_ok());
    }

    #[test]
    fn a_refused_attempt_is_recorded_once_a_wait_and_lengthens_none() {
        let mut throttle = Throttle::new(10);
        let keys = [("guesser", PATIENCE)];
        for _ in 0..5 {
            throttle.admit(&keys, at(0)).unwrap();
        }
        let first = throttle.admit(&keys, at(0)).unwrap_err();
        assert!(first.first);
        for _ in 0..9 {
            let again = throttle.admit(&keys, at(0)).unwrap_err();
            assert_eq!((again.first, again.until), (false, first.until));
        }
        assert_eq!(throttle.admit(&keys, at(1)).unwrap(), 10, "and their number is told");
    }

    #[test]
    fn attempts_side_by_side_do_not_share_a_place_and_a_good_one_is_taken_back() {
        let mut throttle = Throttle::new(10);
        let keys = [("person", PATIENCE)];
        for _ in 0..100 {
            throttle.admit(&keys, at(0)).unwrap();
            throttle.take_back(&"person");
        }
        for _ in 0..5 {
            throttle.admit(&keys, at(0)).unwrap();
        }
        assert!(throttle.admit(&keys, at(0)).is_err());
        throttle.forget(&"person");
        assert!(throttle.admit(&keys, at(0)).is_ok());
    }

    #[test]
    fn time_forgets_and_a_clock_set_back_lengthens_nothing() {
        let mut throttle = Throttle::new(10);
        let keys = [("guesser", PATIENCE)];
        for step in 0..7 {
            throttle.admit(&keys, at(step * 10)).unwrap();
        }
        let wait = throttle.admit(&keys, at(5)).unwrap_err();
        assert_eq!(wait.until, at(9), "four seconds from the clock as it is now");
        let later = at(5 + 4 + 900 + 60);
        throttle.admit(&keys, later).unwrap();
        assert_eq!(throttle.waits(&"guesser", &PATIENCE, later), None);
    }

    #[test]
    fn a_full_table_drops_those_that_failed_least() {
        let mut throttle = Throttle::new(3);
        for step in 0..7 {
            throttle.admit(&[(0, PATIENCE)], at(step * 10)).unwrap();
        }
        for other in 1..100 {
            throttle.admit(&[(other, PATIENCE)], at(60)).unwrap();
            assert!(throttle.entries.len() <= 3);
        }
        assert!(
            throttle.admit(&[(0, PATIENCE)], at(60)).is_err(),
            "the guesser still waits"
        );
    }

    proptest! {
        #[test]
        fn nobody_guesses_more_often_than_the_waits_allow(steps in proptest::collection::vec(0_u64..2_000, 1..300)) {
            let (mut throttle, mut now, mut tried) = (Throttle::new(4), 0, Vec::new());
            for step in steps {
                now += step;
                if throttle.admit(&[("guesser", PATIENCE)], at(now)).is_ok() {
                    tried.push(now);
                }
            }
            // Five free ones and the ten waits up to the longest: no 16 within a quarter of an hour.
            for window in tried.windows(16) {
                prop_assert!(window[15] - window[0] >= 900);
            }
        }
    }
}
