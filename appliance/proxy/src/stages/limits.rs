//! Stage: whether the body is as small as the service wants it. What does not say its length is counted while it is read.

use super::Denial;
use crate::snapshot::Published;
use redan_http1::{Framing, RequestHead};
use redan_ipc::messages::traffic::Verdict;

/// Checks the announced length, before a byte of the body is read.
pub(crate) fn check(service: &Published, head: &RequestHead) -> Result<(), Denial> {
    match head.framing() {
        Framing::Length(length) if length > service.limits.body => Err(too_large(service)),
        Framing::Chunked | Framing::Length(_) | Framing::None => Ok(()),
    }
}

/// The refusal of a body that is too large.
pub(crate) fn too_large(service: &Published) -> Denial {
    Denial::new(
        Verdict::Limit,
        413,
        format!("the body is over {} bytes", service.limits.body),
    )
}
