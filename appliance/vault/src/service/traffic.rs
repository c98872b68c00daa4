//! Telemetry of the data path: the last fifteen minutes, second by second, in memory.

use redan_ipc::messages::traffic::TrafficSample;
use redan_types::Timestamp;
use std::collections::BTreeMap;

/// The seconds that are kept.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    seconds: BTreeMap<u64, TrafficSample>,
}

impl Traffic {
    /// Adds a thread's sample to its second. One whose clock is far off is dropped: it would push the real ones out.
    pub(crate) fn add(&mut self, sample: &TrafficSample, now: Timestamp) {
        let second = sample.time.seconds();
        if second > now.seconds() + SKEW || second + KEPT < now.seconds() {
            return;
        }
        self.seconds.entry(second).or_default().add(sample);
        let oldest = now.seconds().saturating_sub(KEPT);
        self.seconds = self.seconds.split_off(&oldest);
    }

    /// The seconds after `after`, oldest first. The current one is left out until all threads have had time to report.
    pub(crate) fn after(&self, after: Timestamp, now: Timestamp) -> Vec<TrafficSample> {
        let from = after.seconds() + 1;
        let until = now.seconds().saturating_sub(1);
        if from > until {
            return Vec::new();
        }
        let at_second = |(second, sample): (&u64, &TrafficSample)| TrafficSample {
            time: Timestamp(second * 1_000_000),
            ..sample.clone()
        };
        self.seconds.range(from..=until).map(at_second).collect()
    }
}

const KEPT: u64 = 15 * 60;
const SKEW: u64 = 5;

#[cfg(test)]
mod tests {
    use super::Traffic;
    use redan_ipc::messages::traffic::TrafficSample;
    use redan_types::Timestamp;

    fn at(second: u64) -> Timestamp {
        Timestamp(second * 1_000_000 + 999_000)
    }

    fn sample(second: u64, requests: u64) -> TrafficSample {
        TrafficSample {
            time: at(second),
            requests,
            ..TrafficSample::default()
        }
    }

    #[test]
    fn threads_add_up_and_old_seconds_go() {
        let mut traffic = Traffic::default();
        for (second, requests) in [(1000, 3), (1000, 4), (1001, 5)] {
            traffic.add(&sample(second, requests), at(second));
        }
        let seen: Vec<_> = traffic
            .after(at(0), at(1003))
            .into_iter()
            .map(|s| (s.time.seconds(), s.requests))
            .collect();
        assert_eq!(seen, [(1000, 7), (1001, 5)]);
        assert_eq!(traffic.after(at(1000), at(1003)).len(), 1);
        assert!(traffic.after(at(1000), at(1001)).is_empty());
        traffic.add(&sample(9000, 1), at(1001));
        traffic.add(&sample(2500, 1), at(2500));
        assert_eq!(traffic.seconds.len(), 1);
    }
}
