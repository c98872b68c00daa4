//! What a request passes, in this order and no other: the order stands in [`admit`], one file a stage, one function a file.
//!
//! Before these come the address and its caps (`accept`), TLS and framing (`connection`); after them the upstream (`exchange`),
//! [`headers`], [`mask`] and [`event`], and [`waf`] on both ways of it: request and response are judged there whole. A stage sees the request and answers with what it found or with a [`Denial`]; it changes
//! nothing and remembers nothing but counts.

pub(crate) mod authenticate;
pub(crate) mod authorise;
pub(crate) mod event;
pub(crate) mod headers;
pub(crate) mod limits;
pub(crate) mod mask;
pub(crate) mod rate_limit;
pub(crate) mod route;
pub(crate) mod waf;

use crate::connection::Peer;
use crate::rate::Standing;
use crate::snapshot::{Published, RoutePlan};
use authenticate::Identity;
use redan_http1::RequestHead;
use redan_identity::path::NormalPath;
use redan_ipc::messages::traffic::Verdict;
use std::borrow::Cow;
use std::rc::Rc;

/// What the stages found out about a request that may go on.
#[derive(Debug)]
pub(crate) struct Admitted<'r> {
    pub(crate) route: &'r RoutePlan,
    pub(crate) path: NormalPath<'r>,
    pub(crate) standing: Option<Standing>,
}

/// Who asked and how the quota stands, also of a request that is refused.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    pub(crate) identity: Option<Rc<Identity>>,
    pub(crate) standing: Option<Standing>,
}

/// Why a request is refused. The client is told the status and the incident, the log everything.
#[derive(Debug)]
pub(crate) struct Denial {
    pub(crate) verdict: Verdict,
    pub(crate) status: u16,
    pub(crate) detail: Cow<'static, str>,
    /// Seconds after which another try may succeed.
    pub(crate) retry_after: Option<u64>,
    /// Where the client is sent instead, with a status that says so.
    pub(crate) location: Option<String>,
}

impl Denial {
    pub(crate) fn new(verdict: Verdict, status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        Self {
            verdict,
            status,
            detail: detail.into(),
            retry_after: None,
            location: None,
        }
    }
}

/// Takes a request through the stages up to the upstream.
pub(crate) async fn admit<'r>(
    peer: &Peer,
    service: &'r Published,
    head: &'r RequestHead,
    findings: &mut Findings,
) -> Result<Admitted<'r>, Denial> {
    let (route, path) = route::choose(service, head)?;
    findings.identity = authenticate::identify(peer, service, route, head).await?;
    findings.standing = rate_limit::count(peer, route, findings.identity.as_deref()).map_err(|refused| {
        findings.standing = Some(refused.standing);
        refused.denial
    })?;
    authorise::decide(route, findings.identity.as_deref(), head.method(), &path)?;
    limits::check(service, head)?;
    Ok(Admitted {
        route,
        path,
        standing: findings.standing,
    })
}
