//! Signs of life of a service's own threads.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How long a pulse may pause before the service counts as hung.
const PATIENCE: Duration = Duration::from_secs(3);

/// A thread's sign of life. Dropping it takes it out of the heartbeat.
#[derive(Clone, Debug)]
pub struct Pulse(Arc<AtomicU64>);

impl Pulse {
    /// The thread lives.
    pub fn beat(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// All pulses of a service, as the control thread watches them.
#[derive(Debug, Default)]
pub(crate) struct Pulses(Vec<Watched>);

#[derive(Debug)]
struct Watched {
    pulse: Arc<AtomicU64>,
    seen: u64,
    since: Instant,
}

impl Pulses {
    pub(crate) fn add(&mut self, now: Instant) -> Pulse {
        let pulse = Arc::new(AtomicU64::new(0));
        self.0.push(Watched {
            pulse: Arc::clone(&pulse),
            seen: 0,
            since: now,
        });
        Pulse(pulse)
    }

    /// Whether every pulse has beaten lately.
    pub(crate) fn alive(&mut self, now: Instant) -> bool {
        self.0.retain(|watched| Arc::strong_count(&watched.pulse) > 1);
        for watched in &mut self.0 {
            let beats = watched.pulse.load(Ordering::Relaxed);
            if beats != watched.seen {
                watched.seen = beats;
                watched.since = now;
            }
        }
        self.0
            .iter()
            .all(|watched| now.duration_since(watched.since) < PATIENCE)
    }
}

#[cfg(test)]
mod tests {
    use super::{PATIENCE, Pulses};
    use std::time::{Duration, Instant};

    #[test]
    fn a_thread_without_beats_ends_the_heartbeat() {
        let start = Instant::now();
        let mut pulses = Pulses::default();
        let (a, b) = (pulses.add(start), pulses.add(start));
        let later = start + PATIENCE;
        a.beat();
        assert!(!pulses.alive(later), "b has not beaten");
        b.beat();
        assert!(pulses.alive(later));
        assert!(pulses.alive(later + PATIENCE - Duration::from_millis(1)));
        drop(b);
        a.beat();
        assert!(pulses.alive(later + PATIENCE), "a thread that has ended needs no pulse");
    }
}
