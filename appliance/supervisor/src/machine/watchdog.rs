//! The hardware watchdog, and whether the machine is well enough for it to be fed.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

/// Between two signs of life; watchdogs wait for 10 s at least, most for 30 s or more.
const FEEDING: Duration = Duration::from_secs(3);
/// How long services that must run may be without a heartbeat, starts included. A restart takes seconds, a first start on a slow
/// machine a minute.
const PATIENCE: Duration = Duration::from_secs(180);
/// For how long everything must have been well before a version counts as good.
const PROOF: Duration = Duration::from_secs(20);

/// The watchdog, which may be absent.
#[derive(Debug)]
pub(crate) struct Watchdog {
    device: Option<File>,
    fed: Option<Instant>,
    health: Health,
}

/// How the appliance is.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(crate) enum WellBeing {
    /// A service that must run does not, or gives no sign of life.
    Unwell,
    /// All of them run.
    Alive,
    /// And the configuration is applied.
    Good,
}

/// How long things have been well, or not.
#[derive(Debug)]
struct Health {
    /// When the services were last alive.
    well: Instant,
    /// Since when everything has been good without a break.
    since: Option<Instant>,
}

impl Watchdog {
    /// Opens the device, which arms it.
    pub(super) fn open(now: Instant) -> Self {
        Self {
            device: File::options().write(true).open("/dev/watchdog").ok(),
            fed: None,
            health: Health { well: now, since: None },
        }
    }

    /// Whether there is one.
    pub(crate) const fn is_there(&self) -> bool {
        self.device.is_some()
    }

    /// Takes note of how the services are, and feeds the watchdog as long as they are well or have not been unwell for long.
    pub(crate) fn attend(&mut self, state: WellBeing, now: Instant) {
        self.health.note(state, now);
        let due = self.fed.is_none_or(|fed| now >= fed + FEEDING);
        if due && self.health.deserves_food(now) {
            self.fed = Some(now);
            if let Some(device) = &mut self.device {
                // A watchdog that cannot be fed restarts the machine: that is what it is for.
                let _ = device.write(b"\0");
            }
        }
    }

    /// When [`Self::attend`] is to be called next at the latest.
    pub(crate) fn wake(&self, now: Instant) -> Instant {
        self.fed.map_or(now, |fed| fed + FEEDING)
    }

    /// Whether everything has been well for long enough to keep this version.
    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        self.health.is_proven(now)
    }
}

impl Health {
    fn note(&mut self, state: WellBeing, now: Instant) {
        if state >= WellBeing::Alive {
            self.well = now;
        }
        if state >= WellBeing::Good {
            self.since.get_or_insert(now);
        } else {
            self.since = None;
        }
    }

    fn deserves_food(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.well) < PATIENCE
    }

    fn is_proven(&self, now: Instant) -> bool {
        self.since
            .is_some_and(|since| now.saturating_duration_since(since) >= PROOF)
    }
}

#[cfg(test)]
mod tests {
    use super::{Health, PATIENCE, PROOF, WellBeing};
    use std::time::{Duration, Instant};

    #[test]
    fn services_that_stay_unwell_starve_the_watchdog_and_a_short_trouble_does_not() {
        let start = Instant::now();
        let mut health = Health {
            well: start,
            since: None,
        };
        health.note(WellBeing::Unwell, start + PATIENCE / 2);
        assert!(health.deserves_food(start + PATIENCE / 2));
        health.note(WellBeing::Good, start + PATIENCE / 2);
        assert!(health.deserves_food(start + PATIENCE));
        health.note(WellBeing::Unwell, start + PATIENCE);
        assert!(!health.deserves_food(start + PATIENCE + PATIENCE / 2));
    }

    #[test]
    fn a_version_is_proven_after_an_unbroken_time_of_health() {
        let start = Instant::now();
        let mut health = Health {
            well: start,
            since: None,
        };
        health.note(WellBeing::Good, start);
        assert!(!health.is_proven(start + PROOF - Duration::from_millis(1)));
        assert!(health.is_proven(start + PROOF));
        health.note(WellBeing::Alive, start + PROOF);
        health.note(WellBeing::Good, start + PROOF);
        assert!(!health.is_proven(start + PROOF));
    }
}
