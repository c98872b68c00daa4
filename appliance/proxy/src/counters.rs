//! What a thread counts, sent away each second.

use redan_ipc::messages::traffic::{TrafficSample, Verdict};
use redan_types::Timestamp;
use std::cell::{Cell, RefCell};

/// A thread's counts since the last second.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    sample: RefCell<TrafficSample>,
    open: Cell<u64>,
}

impl Counters {
    pub(crate) fn opened(&self) {
        self.open.set(self.open.get() + 1);
    }

    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
    }

    pub(crate) fn open(&self) -> u64 {
        self.open.get()
    }

    pub(crate) fn handshake(&self, resumed: bool) {
        let mut sample = self.sample.borrow_mut();
        sample.handshakes += 1;
        sample.resumed += u64::from(resumed);
    }

    pub(crate) fn handshake_failed(&self) {
        self.sample.borrow_mut().handshake_failures += 1;
    }

    pub(crate) fn lost(&self, events: u64) {
        let mut sample = self.sample.borrow_mut();
        sample.dropped = sample.dropped.saturating_add(events);
    }

    /// Counts a request that was answered.
    pub(crate) fn answered(&self, status: u16, verdict: Option<Verdict>, received: u64, sent: u64, micros: u64) {
        let mut sample = self.sample.borrow_mut();
        sample.requests += 1;
        match verdict {
            Some(verdict) => {
                if let Some(count) = sample.refused.get_mut(verdict as usize) {
                    *count += 1;
                }
                if verdict == Verdict::Upstream {
                    sample.upstream_errors += 1;
                }
            }
            None if status < 400 => sample.succeeded += 1,
            None if status >= 500 => sample.upstream_errors += 1,
            None => {}
        }
        sample.bytes_in += received;
        sample.bytes_out += sent;
        if let Some(bucket) = sample.latency.get_mut(TrafficSample::bucket(micros)) {
            *bucket = bucket.saturating_add(1);
        }
    }

    /// The counts so far, which begin anew.
    pub(crate) fn take(&self, time: Timestamp) -> TrafficSample {
        let mut sample = self.sample.take();
        sample.time = time;
        sample.connections = self.open.get();
        sample
    }
}

#[cfg(test)]
mod tests {
    use super::Counters;
    use redan_ipc::messages::traffic::Verdict;
    use redan_types::Timestamp;

    #[test]
    fn each_request_is_counted_under_one_outcome() {
        let counters = Counters::default();
        counters.answered(200, None, 1, 2, 100);
        counters.answered(404, None, 0, 0, 100);
        counters.answered(500, None, 0, 0, 100);
        counters.answered(502, Some(Verdict::Upstream), 0, 0, 100);
        counters.answered(429, Some(Verdict::RateLimit), 0, 0, 100);
        let sample = counters.take(Timestamp(7));
        assert_eq!((sample.requests, sample.succeeded, sample.upstream_errors), (5, 1, 2));
        assert_eq!(sample.refused.iter().sum::<u64>(), 2);
        assert_eq!((sample.bytes_in, sample.bytes_out), (1, 2));
        assert_eq!(sample.latency.iter().sum::<u32>(), 5);
        assert_eq!(counters.take(Timestamp(8)).requests, 0);
    }
}
