//! Stage: which route of the service takes the request.

use super::Denial;
use crate::snapshot::{Published, RoutePlan};
use redan_http1::{Form, RequestHead};
use redan_identity::path::{NormalPath, normalise};
use redan_ipc::messages::traffic::Verdict;

/// Finds the route. The host must be one of the service that the TLS handshake named, and the path must read in one way only.
pub(crate) fn choose<'r>(
    service: &'r Published,
    head: &'r RequestHead,
) -> Result<(&'r RoutePlan, NormalPath<'r>), Denial> {
    if !service.hosts.contains(&head.authority().host) {
        return Err(Denial::new(
            Verdict::Route,
            421,
            "the host is not one of the service that the TLS handshake named",
        ));
    }
    // No port means the scheme's own. Where the configuration does not say, it may be any: a translation in front of the appliance can
    // publish the service on another port than the one listened on.
    if let Some(port) = head.authority().port
        && !service.ports.is_empty()
        && !service.ports.contains(&port)
    {
        return Err(Denial::new(
            Verdict::Route,
            421,
            format!("the service is not published on port {}", port.number()),
        ));
    }
    if head.form() == Form::Asterisk {
        return Err(Denial::new(
            Verdict::Route,
            404,
            "requests about the server as a whole are not forwarded",
        ));
    }
    if head.upgrade().is_some() {
        return Err(Denial::new(
            Verdict::Route,
            501,
            "an upgrade to another protocol is not available",
        ));
    }
    let path = normalise(head.path()).map_err(|ambiguous| Denial::new(Verdict::Framing, 400, ambiguous.to_string()))?;
    let mut seen = false;
    // The first route of the path whose methods fit, so the readings must agree about each candidate.
    for route in &service.routes {
        match path.agreed(|reading| covers(&route.prefix, reading)) {
            None => {
                return Err(Denial::new(
                    Verdict::Framing,
                    400,
                    "the path belongs to different routes in different readings",
                ));
            }
            Some(false) => {}
            Some(true) if route.methods.is_empty() || route.methods.contains(&head.method()) => {
                return Ok((route, path));
            }
            Some(true) => seen = true,
        }
    }
    Err(if seen {
        Denial::new(Verdict::Route, 405, "no route of this path takes the method")
    } else {
        Denial::new(Verdict::Route, 404, "no route takes the path")
    })
}

/// Whether `path` lies under a prefix of whole segments, which has no '/' at its end.
fn covers(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::covers;
    use proptest::prelude::proptest;

    #[test]
    fn a_prefix_covers_whole_segments_only() {
        for (prefix, path, expected) in [
            ("", "/", true),
            ("", "/anything", true),
            ("/api", "/api", true),
            ("/api", "/api/", true),
            ("/api", "/api/x", true),
            ("/api", "/apix", false),
            ("/api", "/", false),
            ("/api/v1", "/api", false),
        ] {
            assert_eq!(covers(prefix, path), expected, "{prefix:?} {path:?}");
        }
    }

    proptest! {
        #[test]
        fn a_path_lies_under_its_own_segments(segments in proptest::collection::vec("[a-z]{1,4}", 1..5), cut in 0_usize..5) {
            let path = format!("/{}", segments.join("/"));
            let kept = segments.get(..cut.min(segments.len())).unwrap_or_default();
            let prefix: String = kept.iter().map(|segment| format!("/{segment}")).collect();
            assert!(covers(&prefix, &path));
            assert!(!covers(&format!("{path}x"), &path));
        }
    }
}
