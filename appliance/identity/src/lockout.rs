//! When failed logins close an account to strangers, for a while: the second line behind [`crate::throttle`].
//!
//! Guesses from one address end at that address. These rules count the guesses from all addresses that the account's owner has not
//! signed in from, and what they close stays open to those addresses and browsers from which the owner has: whoever knows a user's
//! name must not be able to keep the user out. The lock is temporary for the same reason.

use crate::throttle::Patience;
use redan_types::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// How many guesses somebody has.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LockoutRules {
    /// Failures from which on whoever guesses must wait; 0 counts as 1.
    pub failures: u16,
    /// Failures older than this are forgotten.
    pub window: Duration,
    /// The longest wait, and how long an account is closed to strangers.
    pub duration: Duration,
}

impl LockoutRules {
    /// For one address, browser or session that guesses at one account.
    #[must_use]
    pub fn of_guesser(&self) -> Patience {
        self.patience(1)
    }

    /// For one address that guesses at any accounts: several people may be behind it.
    #[must_use]
    pub fn of_source(&self) -> Patience {
        self.patience(PEOPLE)
    }

    /// For one account that strangers anywhere guess at.
    #[must_use]
    pub const fn of_account(&self) -> Self {
        Self {
            failures: self.failures.saturating_mul(STRANGERS),
            ..*self
        }
    }

    fn patience(&self, times: u32) -> Patience {
        Patience {
            free: u32::from(self.failures).saturating_mul(times),
            longest: self.duration,
            memory: self.window,
        }
    }
}

impl Default for LockoutRules {
    /// Five failures, 15 minutes.
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_mins(15),
            duration: Duration::from_mins(15),
        }
    }
}

/// The failed logins at one account, from strangers. Holds at most as many times as the rules count.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failures {
    times: Vec<Timestamp>,
    locked_until: Option<Timestamp>,
}

impl Failures {
    /// Until when the account is closed; `None` where it is not. Asked before a password is looked at, so that a closed account
    /// tells nothing about it.
    #[must_use]
    pub fn locked(&self, rules: &LockoutRules, now: Timestamp) -> Option<Timestamp> {
        // A lock never lasts longer than its duration from now, whatever the clock did since it was set.
        self.locked_until
            .filter(|until| now < *until)
            .map(|until| until.min(now.after(rules.duration)))
    }

    /// Counts a failure; returns the end of the lock where this one locked the account.
    pub fn failed(&mut self, rules: &LockoutRules, now: Timestamp) -> Option<Timestamp> {
        // Times ahead of the clock (it was set back) count as now.
        self.times.iter_mut().for_each(|time| *time = (*time).min(now));
        self.times.retain(|time| now.since(*time) < rules.window);
        self.times.push(now);
        if self.times.len() < usize::from(rules.failures) {
            return None;
        }
        self.times.clear();
        let until = now.after(rules.duration);
        self.locked_until = Some(until);
        Some(until)
    }

    /// When the last failure was, as far as it still counts.
    #[must_use]
    pub fn last(&self) -> Option<Timestamp> {
        self.times.last().copied().max(self.locked_until)
    }

    /// Forgets everything: when an administrator resets the password.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

/// People that are thought to be behind one address.
const PEOPLE: u32 = 4;

/// Times the guesses of one address, after which an account is closed to strangers. With the waits, one address cannot reach it.
const STRANGERS: u16 = 10;

#[cfg(test)]
mod tests {
    use super::{Failures, LockoutRules};
    use proptest::prelude::{prop_assert, proptest};
    use redan_types::Timestamp;
    use std::time::Duration;

    fn at(minute: u64) -> Timestamp {
        Timestamp(0).after(Duration::from_mins(minute))
    }

    #[test]
    fn the_fifth_failure_within_the_window_locks() {
        let rules = LockoutRules::default();
        let mut failures = Failures::default();
        for minute in 0..4 {
            assert_eq!(failures.failed(&rules, at(minute)), None);
        }
        assert_eq!(failures.failed(&rules, at(4)), Some(at(19)));
        assert_eq!(failures.locked(&rules, at(18)), Some(at(19)));
        assert_eq!(failures.locked(&rules, at(19)), None);
        assert_eq!(
            failures.failed(&rules, at(20)),
            None,
            "after a lock, counting begins anew"
        );
    }

    #[test]
    fn slow_failures_do_not_lock() {
        let rules = LockoutRules::default();
        let mut failures = Failures::default();
        for minute in (0..1000).step_by(4) {
            assert_eq!(failures.failed(&rules, at(minute)), None);
        }
    }

    #[test]
    fn an_administrator_can_open_an_account_again() {
        let rules = LockoutRules::default();
        let mut failures = Failures::default();
        (0..4).for_each(|_| assert_eq!(failures.failed(&rules, at(0)), None));
        failures.clear();
        assert_eq!(failures.failed(&rules, at(0)), None);
    }

    #[test]
    fn a_clock_set_back_neither_unlocks_nor_locks_for_longer() {
        let rules = LockoutRules::default();
        let mut failures = Failures::default();
        for _ in 0..5 {
            failures.failed(&rules, at(1_000));
        }
        assert_eq!(failures.locked(&rules, at(10)), Some(at(25)));
    }

    proptest! {
        #[test]
        fn never_more_than_the_allowed_failures_within_a_window(steps in proptest::collection::vec(0_u64..20, 1..200)) {
            let rules = LockoutRules::default();
            let (mut failures, mut now, mut tried) = (Failures::default(), 0, Vec::new());
            for step in steps {
                now += step;
                if failures.locked(&rules, at(now)).is_none() {
                    failures.failed(&rules, at(now));
                    tried.push(now);
                }
                prop_assert!(failures.times.len() < 5);
            }
            for window in tried.windows(6) {
                prop_assert!(window[5] - window[0] >= 15);
            }
        }
    }
}
