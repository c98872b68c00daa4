//! Quotas: `governor` cells that all threads share.
//!
//! A cell is looked up once for a connection or an identity, under a lock, and kept by whoever uses it; counting a request is one
//! atomic exchange.

use crate::source::Source;
use governor::clock::{Clock as _, MonotonicClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use redan_types::{RoleName, UserName};
use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Who is counted.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub enum Subject {
    /// A client without an identity.
    Address(Source),
    /// A user, over all of the user's keys.
    User(UserName),
}

/// Requests a minute by role.
#[derive(Clone, Debug, Default)]
pub struct Rates(Vec<(RoleName, u32)>);

impl Rates {
    /// The name of the role that everybody without an identity has.
    pub const GUEST: &'static str = "guest";

    /// Rates as the configuration gives them.
    #[must_use]
    pub const fn new(rates: Vec<(RoleName, u32)>) -> Self {
        Self(rates)
    }

    /// The quota of these roles: the highest of any. Roles without a quota have the guest's; without that there is none.
    #[must_use]
    pub fn quota(&self, roles: &[RoleName]) -> Option<u32> {
        let own = self
            .0
            .iter()
            .filter(|(role, _)| roles.contains(role))
            .map(|(_, rate)| *rate);
        own.max().or_else(|| self.guest())
    }

    /// The quota of those without an identity.
    #[must_use]
    pub fn guest(&self) -> Option<u32> {
        let guest = self.0.iter().find(|(role, _)| role.as_str() == Self::GUEST);
        guest.map(|(_, rate)| *rate)
    }
}

/// What a request's quota looked like after it was counted, for the response's headers.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Standing {
    /// Requests a minute.
    pub limit: u32,
    /// Requests left now.
    pub remaining: u32,
    /// Seconds until the whole quota is there again, or for a refused request until the next one is taken.
    pub reset: u64,
}

/// The count of one subject in one scope.
#[derive(Debug)]
pub struct Cell {
    limit: u32,
    // None for a quota of nothing.
    limiter: Option<Limiter>,
}

type Limiter = RateLimiter<NotKeyed, InMemoryState, MonotonicClock, StateInformationMiddleware>;

impl Cell {
    /// A cell for this many requests a minute.
    #[must_use]
    pub fn new(limit: u32) -> Self {
        let limiter = NonZeroU32::new(limit).map(|limit| {
            RateLimiter::direct_with_clock(Quota::per_minute(limit), MonotonicClock)
                .with_middleware::<StateInformationMiddleware>()
        });
        Self { limit, limiter }
    }

    /// Counts a request.
    ///
    /// # Errors
    /// The quota is used up.
    pub fn take(&self) -> Result<Standing, Standing> {
        let limit = self.limit;
        let Some(limiter) = &self.limiter else {
            return Err(Standing {
                limit,
                remaining: 0,
                reset: 60,
            });
        };
        match limiter.check() {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let used = limit.saturating_sub(remaining);
                Ok(Standing {
                    limit,
                    remaining,
                    reset: (u64::from(used) * 60).div_ceil(u64::from(limit.max(1))),
                })
            }
            Err(until) => Err(Standing {
                limit,
                remaining: 0,
                reset: seconds(until.wait_time_from(MonotonicClock.now())),
            }),
        }
    }

    /// Whether nothing of the quota is used. Asking counts as a request where it is not.
    fn is_whole(&self) -> bool {
        self.take()
            .map_or_else(|_| self.limit == 0, |standing| standing.remaining + 1 >= standing.limit)
    }
}

/// All cells.
#[derive(Debug, Default)]
pub struct Cells {
    cells: Mutex<HashMap<Key, Arc<Cell>>>,
}

#[derive(Debug, Eq, Hash, PartialEq)]
struct Key {
    scope: Arc<str>,
    subject: Subject,
    limit: u32,
}

impl Cells {
    /// Cells at most; beyond that all newcomers of a scope share one, so that memory is bounded and nothing is uncounted.
    const MOST: usize = 200_000;

    /// The cell of a subject in a scope (a service, or a route with rates of its own).
    #[must_use]
    pub fn find(&self, scope: &Arc<str>, subject: &Subject, limit: u32) -> Arc<Cell> {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = Key {
            scope: Arc::clone(scope),
            subject: subject.clone(),
            limit,
        };
        if let Some(cell) = cells.get(&key) {
            return Arc::clone(cell);
        }
        if cells.len() >= Self::MOST {
            key.subject = Subject::Address(Source::of([0; 4].into()));
        }
        Arc::clone(cells.entry(key).or_insert_with(|| Arc::new(Cell::new(limit))))
    }

    /// Forgets cells that nobody holds and whose quota is whole again: a new one would be the same.
    pub(crate) fn sweep(&self) {
        let mut cells = self.cells.lock().unwrap_or_else(PoisonError::into_inner);
        cells.retain(|_, cell| Arc::strong_count(cell) > 1 || !cell.is_whole());
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::{Cell, Cells, Rates, Subject};
    use crate::source::Source;
    use proptest::prelude::{prop, proptest};
    use redan_types::{RoleName, UserName};
    use std::sync::Arc;

    fn role(name: &str) -> RoleName {
        RoleName::parse(name).unwrap()
    }

    fn address(last: u8) -> Subject {
        Subject::Address(Source::of([192, 0, 2, last].into()))
    }

    #[test]
    fn the_highest_quota_of_all_roles_counts() {
        let rates = Rates::new(vec![(role("guest"), 10), (role("user"), 60), (role("admin"), 600)]);
        assert_eq!(rates.quota(&[]), Some(10));
        assert_eq!(rates.quota(&[role("user"), role("admin")]), Some(600));
        assert_eq!(rates.quota(&[role("other")]), Some(10));
        assert_eq!(Rates::default().quota(&[role("user")]), None);
    }

    #[test]
    fn a_quota_ends_and_says_when_it_goes_on() {
        let cell = Cell::new(3);
        assert_eq!(cell.take().unwrap().remaining, 2);
        assert_eq!(cell.take().unwrap().remaining, 1);
        let last = cell.take().unwrap();
        assert_eq!((last.limit, last.remaining, last.reset), (3, 0, 60));
        let refused = cell.take().unwrap_err();
        assert_eq!((refused.limit, refused.remaining), (3, 0));
        assert!((1..=20).contains(&refused.reset), "{}", refused.reset);
    }

    #[test]
    fn a_quota_of_nothing_refuses_everything() {
        assert!(Cell::new(0).take().is_err());
    }

    #[test]
    fn subjects_and_scopes_are_counted_apart() {
        let cells = Cells::default();
        let (shop, blog): (Arc<str>, Arc<str>) = ("shop".into(), "blog".into());
        let ann = Subject::User(UserName::parse("ann").unwrap());
        let first = cells.find(&shop, &address(1), 5);
        assert!(Arc::ptr_eq(&first, &cells.find(&shop, &address(1), 5)));
        for other in [
            cells.find(&shop, &address(2), 5),
            cells.find(&blog, &address(1), 5),
            cells.find(&shop, &ann, 5),
            cells.find(&shop, &address(1), 6),
        ] {
            assert!(!Arc::ptr_eq(&first, &other));
        }
    }

    #[test]
    fn a_sweep_forgets_only_whole_quotas_that_nobody_holds() {
        let cells = Cells::default();
        let scope: Arc<str> = "shop".into();
        let held = cells.find(&scope, &address(1), 5);
        let used = cells.find(&scope, &address(2), 5);
        used.take().unwrap();
        drop(used);
        drop(cells.find(&scope, &address(3), 5));
        cells.sweep();
        assert_eq!(cells.cells.lock().unwrap().len(), 2);
        drop(held);
    }

    proptest! {
        #[test]
        fn a_quota_is_never_below_that_of_any_role_held(rates in prop::collection::vec(0_u32..1_000, 1..6)) {
            let named: Vec<_> = rates.iter().enumerate().map(|(i, rate)| (role(&format!("r{i}")), *rate)).collect();
            let roles: Vec<_> = named.iter().map(|(role, _)| role.clone()).collect();
            let quota = Rates::new(named).quota(&roles);
            assert_eq!(quota, rates.into_iter().max());
        }
    }
}
