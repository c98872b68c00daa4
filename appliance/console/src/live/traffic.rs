//! Seconds of traffic: put together from the proxy's threads, the gaps between them made visible, latency over a sliding minute.

use crate::api::model::{Refusal, Sample};
use redan_ipc::messages::traffic::{TrafficSample, Verdict};
use redan_types::Timestamp;
use std::collections::{BTreeMap, VecDeque};

/// Seconds kept.
const KEPT: u64 = 900;

/// Seconds over which latency is taken.
const MINUTE: usize = 60;

/// A second is taken for whole when this many more have begun: the proxy's threads do not report at the same instant.
const SETTLE: u64 = 2;

/// The last 15 minutes.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// Finished seconds, oldest first, without holes.
    seconds: VecDeque<(Sample, TrafficSample)>,
}

impl Traffic {
    /// What to ask the vault for: samples after this.
    pub(super) fn after(&self, now: Timestamp) -> Timestamp {
        let oldest = now.seconds().saturating_sub(KEPT);
        let last = self.seconds.back().map_or(oldest, |(sample, _)| sample.at.max(oldest));
        // The end of the last finished second: what is later belongs to the next.
        Timestamp(last.saturating_mul(1_000_000).saturating_add(999_999))
    }

    /// Takes samples in and returns the seconds that are finished now.
    pub(super) fn take(&mut self, samples: Vec<TrafficSample>, now: Timestamp) -> Vec<Sample> {
        let finished = now.seconds().saturating_sub(SETTLE);
        let last = self.seconds.back().map(|(sample, _)| sample.at);
        let mut by_second: BTreeMap<u64, TrafficSample> = BTreeMap::new();
        for sample in samples {
            let second = sample.time.seconds();
            let oldest = now.seconds().saturating_sub(KEPT);
            if second <= finished && second > oldest && last.is_none_or(|last| second > last) {
                by_second.entry(second).or_default().add(&sample);
            }
        }
        // Before the first sample ever there is nothing to show; between two, and after the last, silence is shown as such.
        let Some(first) = last.map(|last| last + 1).or_else(|| by_second.keys().next().copied()) else {
            return Vec::new();
        };
        let first = first.max(now.seconds().saturating_sub(KEPT));
        let mut fresh = Vec::new();
        for second in first..=finished {
            let counts = by_second.remove(&second);
            let known = counts.is_some();
            let counts = counts.unwrap_or_default();
            let refused = counts
                .refused
                .iter()
                .fold(0_u64, |sum, count| sum.saturating_add(*count));
            let mut sample = Sample {
                at: second,
                known,
                requests: counts.requests,
                refused,
                failed: counts.upstream_errors,
                connections: counts.connections,
                p50_us: 0,
                p99_us: 0,
            };
            self.seconds.push_back((sample, counts));
            (sample.p50_us, sample.p99_us) = self.latency();
            if let Some((kept, _)) = self.seconds.back_mut() {
                *kept = sample;
            }
            fresh.push(sample);
        }
        while self.seconds.len() as u64 > KEPT {
            self.seconds.pop_front();
        }
        fresh
    }

    /// All seconds, oldest first.
    pub(super) fn samples(&self) -> Vec<Sample> {
        self.seconds.iter().map(|(sample, _)| *sample).collect()
    }

    /// Refused requests by reason, most frequent first.
    pub(super) fn refusals(&self) -> Vec<Refusal> {
        let mut sums = [0_u64; Verdict::COUNT];
        for (_, counts) in &self.seconds {
            for (sum, count) in sums.iter_mut().zip(&counts.refused) {
                *sum = sum.saturating_add(*count);
            }
        }
        let mut list: Vec<_> = Verdict::ALL
            .iter()
            .zip(sums)
            .filter(|(_, count)| *count > 0)
            .map(|(verdict, count)| Refusal {
                reason: verdict.name().to_owned(),
                count,
            })
            .collect();
        list.sort_by_key(|refusal| std::cmp::Reverse(refusal.count));
        list
    }

    /// Median and 99th percentile over the last minute, in microseconds.
    fn latency(&self) -> (u64, u64) {
        let mut buckets = [0_u64; TrafficSample::BUCKETS];
        for (_, counts) in self.seconds.iter().rev().take(MINUTE) {
            for (sum, count) in buckets.iter_mut().zip(&counts.latency) {
                *sum = sum.saturating_add(u64::from(*count));
            }
        }
        (quantile(&buckets, 50), quantile(&buckets, 99))
    }
}

/// The time under which this many in a hundred stay: linear within the bucket that holds it. 0 without requests.
fn quantile(buckets: &[u64; TrafficSample::BUCKETS], percent: u64) -> u64 {
    let total = buckets.iter().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let wanted = total.saturating_mul(percent).div_ceil(100);
    let mut below = 0_u64;
    for (i, count) in buckets.iter().enumerate() {
        if *count > 0 && below.saturating_add(*count) >= wanted {
            // Bucket i ends at 64 << i and begins where the one before ends.
            let end = 64_u64 << i;
            let start = if i == 0 { 0 } else { end / 2 };
            return start + (end - start).saturating_mul(wanted - below) / count;
        }
        below = below.saturating_add(*count);
    }
    0
}

#[cfg(test)]
mod tests {
    use super::{Traffic, quantile};
    use redan_ipc::messages::traffic::{TrafficSample, Verdict};
    use redan_types::Timestamp;

    fn sample(second: u64, requests: u64) -> TrafficSample {
        TrafficSample {
            time: Timestamp(second * 1_000_000),
            requests,
            ..TrafficSample::default()
        }
    }

    #[test]
    fn threads_are_summed_and_a_silent_proxy_leaves_a_gap() {
        let mut traffic = Traffic::default();
        let now = Timestamp(1_010_000_000);
        let fresh = traffic.take(
            vec![sample(1_000, 3), sample(1_000, 4), sample(1_002, 1), sample(1_009, 9)],
            now,
        );
        let shape: Vec<_> = fresh.iter().map(|s| (s.at, s.known, s.requests)).collect();
        assert_eq!(shape[..3], [(1_000, true, 7), (1_001, false, 0), (1_002, true, 1)]);
        assert_eq!(shape.last().unwrap().0, 1_008, "the second that is not whole yet waits");
        assert_eq!(traffic.after(now).seconds(), 1_008);
        let fresh = traffic.take(vec![sample(1_009, 9), sample(1_008, 5)], Timestamp(1_011_000_000));
        assert_eq!(fresh.len(), 1, "a second is told once");
        assert_eq!(fresh[0].requests, 9);
    }

    #[test]
    fn no_more_than_the_last_quarter_of_an_hour_is_kept() {
        let mut traffic = Traffic::default();
        assert!(
            traffic.take(Vec::new(), Timestamp(1_000_000_000)).is_empty(),
            "nothing to show before the first sample"
        );
        traffic.take(vec![sample(1_000, 1)], Timestamp(1_005_000_000));
        traffic.take(vec![sample(9_000, 1)], Timestamp(9_002_000_000));
        assert!(traffic.samples().len() <= 900);
        assert_eq!(traffic.samples().last().unwrap().at, 9_000);
    }

    #[test]
    fn quantiles_lie_within_their_bucket() {
        let mut buckets = [0; TrafficSample::BUCKETS];
        assert_eq!(quantile(&buckets, 99), 0);
        buckets[4] = 100;
        let p50 = quantile(&buckets, 50);
        assert!((512..=1_024).contains(&p50), "{p50}");
        buckets[10] = 2;
        assert!(quantile(&buckets, 99) > 32_768);
        assert_eq!(quantile(&buckets, 50) / 1_024, 0);
    }

    #[test]
    fn refusals_are_sorted_by_number() {
        let mut traffic = Traffic::default();
        let mut one = sample(1_000, 10);
        one.refused[Verdict::RateLimit as usize] = 2;
        one.refused[Verdict::Framing as usize] = 5;
        let fresh = traffic.take(vec![one], Timestamp(1_002_000_000));
        assert_eq!(fresh[0].refused, 7);
        let names: Vec<_> = traffic.refusals().into_iter().map(|r| r.reason).collect();
        assert_eq!(names, ["framing", "rate-limit"]);
    }
}
