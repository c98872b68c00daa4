//! Stage: whether the client may do this.

use super::Denial;
use super::authenticate::Identity;
use crate::rate::Rates;
use crate::snapshot::RoutePlan;
use redan_http1::Method;
use redan_identity::path::NormalPath;
use redan_ipc::messages::traffic::Verdict;
use redan_types::RoleName;

/// Looks the request up in the route's decision table. Somebody without an identity has the role `guest`, and is told to come back
/// with a key.
pub(crate) fn decide(
    route: &RoutePlan,
    identity: Option<&Identity>,
    method: Method,
    path: &NormalPath<'_>,
) -> Result<(), Denial> {
    let Some(table) = &route.access else { return Ok(()) };
    let allowed = match identity {
        Some(identity) => table.allows(table.roles(&identity.principal.roles), method.as_str(), path),
        None => {
            RoleName::parse(Rates::GUEST).is_ok_and(|guest| table.allows(table.roles(&[guest]), method.as_str(), path))
        }
    };
    match (allowed, identity) {
        (true, _) => Ok(()),
        (false, None) => Err(Denial::new(Verdict::Authorisation, 401, "the path needs an API key")),
        (false, Some(_)) => Err(Denial::new(
            Verdict::Authorisation,
            403,
            "no role of the user allows this",
        )),
    }
}
