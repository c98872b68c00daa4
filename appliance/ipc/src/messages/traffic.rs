//! What the proxy counts: telemetry, kept in memory for the console, lost without harm.

use redan_types::Timestamp;
use serde::{Deserialize, Serialize};

/// One second of one proxy thread.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Serialize)]
pub struct TrafficSample {
    /// The second's end.
    pub time: Timestamp,
    /// Requests answered.
    pub requests: u64,
    /// Of these, answered by an upstream with a status below 400.
    pub succeeded: u64,
    /// Requests refused by a stage, by [`Verdict`] as index.
    pub refused: [u64; Verdict::COUNT],
    /// Answered with 5xx because an upstream failed or said so.
    pub upstream_errors: u64,
    /// TLS handshakes finished, and of these resumed.
    pub handshakes: u64,
    /// Of the handshakes, resumed ones.
    pub resumed: u64,
    /// TLS handshakes that failed.
    pub handshake_failures: u64,
    /// Connections open at the second's end.
    pub connections: u64,
    /// Bytes from clients, bodies only.
    pub bytes_in: u64,
    /// Bytes to clients, bodies only.
    pub bytes_out: u64,
    /// Requests by whole time taken: bucket i counts those under 2^i times 64 µs, the last all others.
    pub latency: [u32; Self::BUCKETS],
    /// Telemetry that was dropped because nobody took it.
    pub dropped: u64,
}

impl TrafficSample {
    /// Latency buckets: from under 64 µs to over a minute.
    pub const BUCKETS: usize = 22;

    /// The bucket of a time in microseconds.
    #[must_use]
    pub fn bucket(micros: u64) -> usize {
        (0..Self::BUCKETS - 1)
            .find(|i| micros < 64 << i)
            .unwrap_or(Self::BUCKETS - 1)
    }

    /// Adds another thread's or second's counts to this one; the later time stands.
    pub fn add(&mut self, other: &Self) {
        self.time = self.time.max(other.time);
        self.requests = self.requests.saturating_add(other.requests);
        self.succeeded = self.succeeded.saturating_add(other.succeeded);
        for (mine, theirs) in self.refused.iter_mut().zip(&other.refused) {
            *mine = mine.saturating_add(*theirs);
        }
        self.upstream_errors = self.upstream_errors.saturating_add(other.upstream_errors);
        self.handshakes = self.handshakes.saturating_add(other.handshakes);
        self.resumed = self.resumed.saturating_add(other.resumed);
        self.handshake_failures = self.handshake_failures.saturating_add(other.handshake_failures);
        self.connections = self.connections.saturating_add(other.connections);
        self.bytes_in = self.bytes_in.saturating_add(other.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(other.bytes_out);
        for (mine, theirs) in self.latency.iter_mut().zip(&other.latency) {
            *mine = mine.saturating_add(*theirs);
        }
        self.dropped = self.dropped.saturating_add(other.dropped);
    }

    /// An upper bound of the time under which this share (0 to 1) of the requests was answered, in microseconds; `None` without
    /// requests.
    #[must_use]
    pub fn quantile(&self, share: f64) -> Option<u64> {
        let total: u64 = self.latency.iter().map(|count| u64::from(*count)).sum();
        if total == 0 {
            return None;
        }
        let mut seen = 0_u64;
        for (i, count) in self.latency.iter().enumerate() {
            seen += u64::from(*count);
            #[expect(
                clippy::cast_precision_loss,
                reason = "counts of requests in seconds are far below 2^52"
            )]
            if seen as f64 >= share * total as f64 {
                return Some(64 << i);
            }
        }
        Some(64 << (Self::BUCKETS - 1))
    }
}

/// The stage that refused a request.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, PartialEq, Serialize)]
pub enum Verdict {
    /// The address is blocked.
    Blocked,
    /// The HTTP framing is ambiguous or over a limit.
    Framing,
    /// No service or route for it.
    Route,
    /// No valid identity.
    Authentication,
    /// Over the quota.
    RateLimit,
    /// The identity may not do this.
    Authorisation,
    /// The body or the time it took is over a limit.
    Limit,
    /// No upstream answered.
    Upstream,
    /// The web application firewall's rules refuse it.
    Waf,
}

impl Verdict {
    /// How many there are.
    pub const COUNT: usize = 9;

    /// All, in the order of their indexes.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Blocked,
        Self::Framing,
        Self::Route,
        Self::Authentication,
        Self::RateLimit,
        Self::Authorisation,
        Self::Limit,
        Self::Upstream,
        Self::Waf,
    ];

    /// The name in events and on pages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Authentication => "authentication",
            Self::Authorisation => "authorisation",
            Self::Blocked => "blocked",
            Self::Framing => "framing",
            Self::Limit => "limit",
            Self::RateLimit => "rate-limit",
            Self::Route => "route",
            Self::Upstream => "upstream",
            Self::Waf => "waf",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{TrafficSample, Verdict};

    #[test]
    fn verdicts_stand_at_their_index() {
        for (i, verdict) in Verdict::ALL.into_iter().enumerate() {
            assert_eq!(verdict as usize, i);
        }
    }

    #[test]
    fn a_quantile_bounds_its_share_of_the_requests() {
        let mut sample = TrafficSample::default();
        assert_eq!(sample.quantile(0.5), None);
        for micros in [10, 70, 70, 5_000] {
            sample.latency[TrafficSample::bucket(micros)] += 1;
        }
        assert_eq!(sample.quantile(0.25), Some(64));
        assert_eq!(sample.quantile(0.75), Some(128));
        assert_eq!(sample.quantile(1.0), Some(8_192));
        assert_eq!(TrafficSample::bucket(u64::MAX), TrafficSample::BUCKETS - 1);
    }
}
