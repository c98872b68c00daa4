//! When failed logins lock an account, for a while.
//!
//! The lock is temporary on purpose: a permanent one would let anybody who knows a user's name keep the user out.

use redan_types::Timestamp;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// When to lock.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct LockoutRules {
    /// Failures within the window that lock the account; 0 counts as 1.
    pub failures: u16,
    /// Failures older than this are forgotten.
    pub window: Duration,
    /// How long the lock lasts.
    pub duration: Duration,
}

impl Default for LockoutRules {
    /// Five failures within 15 minutes lock for 15 minutes.
    fn default() -> Self {
        Self {
            failures: 5,
            window: Duration::from_mins(15),
            duration: Duration::from_mins(15),
        }
    }
}

/// The failed logins of one account. Holds at most as many times as the rules count.
#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
pub struct Failures {
    times: Vec<Timestamp>,
    locked_until: Option<Timestamp>,
}

impl Failures {
    /// Until when the account is locked; `None` where it is not. Asked before a password is looked at, so that a locked account
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

    /// Forgets everything: after a good login, or when an administrator unlocks the account.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

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
    fn a_good_login_forgets_the_failures() {
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
