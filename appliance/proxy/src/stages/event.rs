//! Stage: what is remembered of a request. Counts of everything, and an audit event of what was refused for who asked or how.

use super::{Denial, Findings};
use crate::audit::{audited, cut};
use crate::connection::Peer;
use crate::snapshot::Published;
use redan_http1::RequestHead;
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::traffic::Verdict;
use redan_types::{IncidentId, Timestamp};
use std::time::SystemTime;

/// A request at its end.
#[derive(Debug)]
pub(crate) struct Ended<'a> {
    pub(crate) service: Option<&'a Published>,
    /// None for one that could not be read.
    pub(crate) head: Option<&'a RequestHead>,
    pub(crate) findings: &'a Findings,
    pub(crate) denial: Option<&'a Denial>,
    pub(crate) incident: IncidentId,
    pub(crate) status: u16,
    pub(crate) received: u64,
    pub(crate) sent: u64,
    pub(crate) micros: u64,
}

/// Counts the request, and records it where it was refused for more than a missing page.
pub(crate) fn record(peer: &Peer, ended: &Ended<'_>) {
    let worker = &peer.worker;
    let verdict = ended.denial.map(|denial| denial.verdict);
    worker
        .counters
        .answered(ended.status, verdict, ended.received, ended.sent, ended.micros);
    let Some(denial) = ended.denial else { return };
    let action = match denial.verdict {
        Verdict::Authentication => "request.unauthenticated",
        Verdict::Authorisation => "request.forbidden",
        Verdict::Blocked => "request.blocked",
        Verdict::Framing => "request.malformed",
        Verdict::Limit => "request.over-limit",
        Verdict::RateLimit => "request.over-quota",
        Verdict::Waf => "request.attack",
        // Nobody's fault but a broken link's or an operator's: counted, not audited.
        Verdict::Route | Verdict::Upstream => return,
    };
    let actor = match &ended.findings.identity {
        None => Actor::Anonymous,
        Some(identity) => Actor::Key {
            id: identity.principal.id,
            owner: identity.principal.user.to_string(),
        },
    };
    let service = ended.service.map(|service| &service.name);
    let event = || AuditEvent {
        time: Timestamp::from_system(SystemTime::now()),
        actor: actor.clone(),
        action: action.to_owned(),
        resource: service.map_or_else(|| "proxy".to_owned(), |name| format!("service/{name}")),
        outcome: Outcome::Denied,
        before: None,
        after: None,
        address: Some(peer.address),
        agent: ended
            .head
            .and_then(|head| head.fields().get("user-agent"))
            .map(|agent| cut(&String::from_utf8_lossy(agent.as_bytes()), 256)),
        request: Some(match ended.head {
            Some(head) => audited(head.method().as_str(), head.path(), ended.status),
            None => audited("", "", ended.status),
        }),
        incident: Some(ended.incident),
        message: denial.detail.clone().into_owned(),
    };
    worker
        .audit
        .refused(denial.verdict, peer.source, service, event, &actor);
}
