//! A request's body on its way to the upstream.

use crate::body::{Encoder, Step};
use crate::buffer::Buffer;
use crate::clock::Moment;
use crate::exchange::{BodyFault, Client, Exchange, Failure};
use crate::stages::{Denial, limits};
use redan_http1::Refusal;
use redan_ipc::messages::traffic::Verdict;
use std::task::{Context, Poll, Waker};

/// A request's body on its way.
pub(crate) struct Upload {
    encoder: Encoder,
    /// What came last, until it is taken.
    pub(crate) content: Buffer,
    started: Moment,
    received: u64,
    limit: u64,
    rate: u64,
}

impl Upload {
    /// Milliseconds before the rate is looked at.
    const GRACE: u64 = 5_000;

    pub(crate) fn new(exchange: &Exchange<'_>) -> Self {
        let limits = &exchange.service.limits;
        Self {
            encoder: Encoder::for_request(exchange.head.framing()),
            content: Buffer::take(),
            started: exchange.timer.now(),
            received: 0,
            limit: limits.body,
            rate: limits.body_rate.into(),
        }
    }

    /// When the next piece must have come, at the latest.
    pub(crate) fn deadline(&self) -> Moment {
        let earned = self.received.saturating_mul(1_000).checked_div(self.rate);
        self.started
            .after(Self::GRACE.saturating_add(earned.unwrap_or(u64::MAX)))
    }

    /// Takes what has come already, without waiting, as long as it fits a buffer.
    pub(crate) fn gather<C: Client>(
        &mut self,
        exchange: &mut Exchange<'_>,
        client: &mut C,
        out: &mut Vec<u8>,
    ) -> Result<(), Failure> {
        let mut cx = Context::from_waker(Waker::noop());
        while !exchange.read && out.len() < 16_384 {
            match client.poll_body(&mut cx, &mut self.content) {
                Poll::Ready(step) => self.take(exchange, step, out)?,
                Poll::Pending => break,
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
                self.received = self
                    .received
                    .saturating_add(u64::try_from(self.content.len()).unwrap_or(u64::MAX));
                exchange.received = self.received;
                if self.received > self.limit {
                    return Err(limits::too_large(exchange.service).into());
                }
                self.encoder.data(&self.content, out).map_err(malformed)?;
                self.content.clear();
            }
            Ok(Step::End) => {
                self.encoder.end(None, out).map_err(malformed)?;
                exchange.read = true;
            }
            Err(BodyFault::Gone) => return Err(Failure::Cut(None)),
            Err(BodyFault::Refused(refusal)) => return Err(malformed(refusal).into()),
        }
        Ok(())
    }
}
