//! A request's body on its way to the upstream.

use crate::body::{Encoder, Step};
use crate::buffer::Buffer;
use crate::clock::{Expired, Moment};
use crate::exchange::{BodyFault, Client, Exchange, Failure};
use crate::stages::waf::Guard;
use crate::stages::{Denial, limits};
use redan_http1::Refusal;
use redan_ipc::messages::traffic::Verdict;
use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

/// Content that leaves together, if it is there together.
const TOGETHER: usize = 16_384;

/// A request's body on its way.
pub(crate) struct Upload {
    encoder: Encoder,
    /// What came last, until it is taken.
    pub(crate) content: Buffer,
    pace: Pace,
    received: u64,
    limit: u64,
}

impl Upload {
    pub(crate) fn new(exchange: &Exchange<'_>) -> Self {
        let limits = &exchange.service.limits;
        Self {
            encoder: Encoder::for_request(exchange.head.framing()),
            content: Buffer::take(),
            pace: Pace::new(exchange.timer.now(), limits.body_rate.into()),
            received: 0,
            limit: limits.body,
        }
    }

    /// When the next piece must have come, at the latest.
    pub(crate) const fn deadline(&self) -> Moment {
        self.pace.deadline
    }

    /// Says that since `before` the client was not asked for more, because the upstream did not take what had come.
    pub(crate) fn paused(&mut self, before: Moment, now: Moment) {
        self.pace.paused(before, now);
    }

    /// Takes what has come already, without waiting, as long as it fits a buffer. Framed as one piece: a client that sends its body
    /// byte by byte costs no write to the upstream for each.
    pub(crate) fn gather<C: Client>(
        &mut self,
        exchange: &mut Exchange<'_>,
        client: &mut C,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut cx = Context::from_waker(Waker::noop());
        while !exchange.read && out.len() + self.content.len() < TOGETHER {
            match client.poll_body(&mut cx, &mut self.content) {
                Poll::Ready(Ok(Step::Data)) => {}
                Poll::Ready(other) => {
                    self.take(exchange, Ok(Step::Data), out)?;
                    self.take(exchange, other, out)?;
                }
                Poll::Pending => break,
            }
        }
        if self.content.is_empty() {
            Ok(())
        } else {
            self.take(exchange, Ok(Step::Data), out)
        }
    }

    /// Reads the body for inspection, up to its end or to where no more is inspected. What it was is framed behind the head, which has
    /// not left yet.
    pub(crate) async fn hold<C: Client>(
        &mut self,
        exchange: &mut Exchange<'_>,
        client: &mut C,
        guard: &mut Guard<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        while !exchange.read && guard.wants_request_body() {
            let content = &mut self.content;
            let next = poll_fn(|cx| client.poll_body(cx, content));
            let step = exchange.timer.until(self.pace.deadline, next).await;
            let step = step.map_err(|Expired| Denial::new(Verdict::Limit, 408, "the body came too slowly"))?;
            guard.request_body(&self.content)?;
            self.take(exchange, Ok(Step::Data), out)?;
            if step != Ok(Step::Data) {
                self.take(exchange, step, out)?;
            }
        }
        Ok(())
    }

    /// Frames what came for the upstream.
    pub(crate) fn take(
        &mut self,
        exchange: &mut Exchange<'_>,
        step: Result<Step, BodyFault>,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let malformed = |refusal: Refusal| Denial::new(Verdict::Framing, refusal.status().code(), refusal.to_string());
        match step {
            Ok(Step::Data) => {
                let bytes = u64::try_from(self.content.len()).unwrap_or(u64::MAX);
                self.received = self.received.saturating_add(bytes);
                exchange.received = self.received;
                if self.received > self.limit {
                    return Err(limits::too_large(exchange.service).into());
                }
                self.pace.received(bytes, exchange.timer.now());
                self.encoder.data(&self.content, out).map_err(malformed)?;
                self.content.clear();
            }
            Ok(Step::End) => {
                self.encoder.end(None, out).map_err(malformed)?;
                exchange.read = true;
            }
            Err(BodyFault::Gone) => return Err(Failure::Cut(None)),
            Err(BodyFault::Refused(Refusal::BodyTooLong)) => return Err(limits::too_large(exchange.service).into()),
            Err(BodyFault::Refused(refusal)) => return Err(malformed(refusal).into()),
        }
        Ok(())
    }
}

/// How fast a body must come: at some rate on the whole, after a grace. Whoever is ahead of that has credit, but only so much: a client
/// that sent a lot at once may not rest for the hours which that would have taken at the least rate.
#[derive(Debug)]
struct Pace {
    rate: u64,
    deadline: Moment,
    /// Thousandths of bytes that did not make a whole millisecond.
    rest: u64,
}

impl Pace {
    /// Milliseconds before the rate is looked at.
    const GRACE: u64 = 5_000;
    /// Milliseconds that a client may be ahead, at most.
    const CREDIT: u64 = 30_000;

    /// A pace of `rate` bytes a second; 0 means that any is good.
    const fn new(now: Moment, rate: u64) -> Self {
        Self {
            rate,
            deadline: if rate == 0 {
                Moment::NEVER
            } else {
                now.after(Self::GRACE)
            },
            rest: 0,
        }
    }

    fn received(&mut self, bytes: u64, now: Moment) {
        let earned = bytes.saturating_mul(1_000).saturating_add(self.rest);
        let (Some(millis), Some(rest)) = (earned.checked_div(self.rate), earned.checked_rem(self.rate)) else {
            return;
        };
        self.rest = rest;
        self.extend(millis, now);
    }

    fn paused(&mut self, before: Moment, now: Moment) {
        if self.rate > 0 {
            self.extend(now.since(before), now);
        }
    }

    fn extend(&mut self, millis: u64, now: Moment) {
        self.deadline = self.deadline.after(millis).min(now.after(Self::CREDIT));
    }
}

#[cfg(test)]
mod tests {
    use super::Pace;
    use crate::clock::Moment;

    #[test]
    fn a_body_must_keep_its_pace_after_the_grace() {
        let mut pace = Pace::new(Moment::START, 500);
        assert_eq!(pace.deadline, Moment::START.after(5_000));
        // Ten seconds at exactly the rate, in single bytes: the grace is neither lost nor added to.
        for count in 0..5_000 {
            pace.received(1, Moment::START.after(count * 2));
        }
        assert_eq!(pace.deadline, Moment::START.after(15_000));
    }

    #[test]
    fn credit_for_a_fast_start_is_capped() {
        let mut pace = Pace::new(Moment::START, 500);
        pace.received(1 << 30, Moment::START.after(1_000));
        assert_eq!(
            pace.deadline,
            Moment::START.after(31_000),
            "thirty seconds, not twenty-five days"
        );
        // A byte now and then does not buy another thirty seconds.
        pace.received(1, Moment::START.after(30_000));
        assert_eq!(pace.deadline, Moment::START.after(31_002));
    }

    #[test]
    fn what_the_upstream_does_not_take_is_not_held_against_the_client() {
        let mut pace = Pace::new(Moment::START, 500);
        let (before, now) = (Moment::START.after(1_000), Moment::START.after(41_000));
        pace.paused(before, now);
        assert_eq!(pace.deadline, Moment::START.after(45_000));
    }

    #[test]
    fn without_a_rate_there_is_no_deadline() {
        let mut pace = Pace::new(Moment::START, 0);
        pace.received(7, Moment::START);
        pace.paused(Moment::START, Moment::START.after(9));
        assert_eq!(pace.deadline, Moment::NEVER);
    }
}
