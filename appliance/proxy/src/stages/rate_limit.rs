//! Stage: whether the client's quota allows one more request.

use super::Denial;
use super::authenticate::Identity;
use crate::connection::Peer;
use crate::rate::{Standing, Subject};
use crate::snapshot::RoutePlan;
use redan_ipc::messages::traffic::Verdict;

/// A request over its quota.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) denial: Denial,
    pub(crate) standing: Standing,
}

/// Counts the request: against the user where there is one, else against the address. `None` where no quota applies.
pub(crate) fn count(peer: &Peer, route: &RoutePlan, identity: Option<&Identity>) -> Result<Option<Standing>, Refused> {
    let anonymous = Subject::Address(peer.source);
    let (quota, subject) = match identity {
        None => (route.rates.guest(), &anonymous),
        Some(identity) => (route.rates.quota(&identity.principal.roles), &identity.subject),
    };
    let Some(limit) = quota else { return Ok(None) };
    match peer.count(&route.scope, subject, limit) {
        Ok(standing) => Ok(Some(standing)),
        Err(standing) => Err(Refused {
            denial: Denial {
                retry_after: Some(standing.reset.max(1)),
                ..Denial::new(
                    Verdict::RateLimit,
                    429,
                    format!("over the quota of {limit} requests a minute"),
                )
            },
            standing,
        }),
    }
}
