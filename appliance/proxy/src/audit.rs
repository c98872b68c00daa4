//! Audit events on their way to the vault: gathered for some seconds, so that an attacker cannot flood the log, then kept until the
//! vault has them on disk.

use crate::source::Source;
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditedRequest, Outcome};
use redan_ipc::messages::traffic::Verdict;
use redan_ipc::messages::vault::{ProxyVaultReply, ProxyVaultRequest};
use redan_service::AsyncPeer;
use redan_types::{Process, ServiceName, Timestamp};
use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::sync::Notify;

/// Refusals of one kind, source, actor and service that become one entry, at most that many kinds at once.
const KINDS: usize = 512;
/// Events that wait for the vault, at most: minutes of a restart at full gathering.
const WAITING: usize = 4_096;
/// Events in one message.
const BATCH: usize = 256;
const PATIENCE: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(250);

#[derive(Clone, Debug, Eq, Hash, PartialEq)]
struct Key {
    verdict: u8,
    source: Source,
    actor: Actor,
    service: Option<ServiceName>,
}

/// A thread's events.
#[derive(Debug, Default)]
pub(crate) struct Audit {
    gathered: RefCell<HashMap<Key, AuditEvent>>,
    waiting: RefCell<VecDeque<AuditEvent>>,
    overflow: Cell<u64>,
    news: Notify,
}

impl Audit {
    /// Adds a refusal; the first of its kind stands for those that follow.
    pub(crate) fn refused(
        &self,
        verdict: Verdict,
        source: Source,
        service: Option<&ServiceName>,
        event: impl FnOnce() -> AuditEvent,
        actor: &Actor,
    ) {
        let key = Key {
            verdict: verdict as u8,
            source,
            actor: actor.clone(),
            service: service.cloned(),
        };
        let mut gathered = self.gathered.borrow_mut();
        if let Some(known) = gathered.get_mut(&key) {
            if let Some(request) = &mut known.request {
                request.count = request.count.saturating_add(1);
            }
        } else if gathered.len() < KINDS {
            gathered.insert(key, event());
        } else {
            self.overflow.set(self.overflow.get().saturating_add(1));
        }
    }

    /// Hands what was gathered over to be sent.
    pub(crate) fn close(&self, now: Timestamp) {
        let gathered = std::mem::take(&mut *self.gathered.borrow_mut());
        let mut waiting = self.waiting.borrow_mut();
        for event in gathered.into_values() {
            if waiting.len() < WAITING {
                waiting.push_back(event);
            } else {
                let count = event.request.map_or(1, |request| request.count);
                self.overflow.set(self.overflow.get().saturating_add(count.into()));
            }
        }
        let lost = self.overflow.get();
        if lost > 0 && waiting.len() < WAITING {
            self.overflow.set(0);
            waiting.push_back(overflowed(lost, now));
        }
        if !waiting.is_empty() {
            self.news.notify_one();
        }
    }

    /// Whether everything has been handed to the vault.
    pub(crate) fn is_empty(&self) -> bool {
        self.gathered.borrow().is_empty() && self.waiting.borrow().is_empty()
    }

    /// Sends for ever. An event leaves the queue only when the vault says that it is durable.
    pub(crate) async fn deliver(&self, vault: &AsyncPeer<redan_ipc::messages::ProxyVault>) {
        loop {
            let events: Vec<AuditEvent> = self.waiting.borrow().iter().take(BATCH).cloned().collect();
            if events.is_empty() {
                self.news.notified().await;
                continue;
            }
            let sent = events.len();
            match vault.call(&ProxyVaultRequest::Audit { events }, PATIENCE).await {
                Ok(ProxyVaultReply::Recorded) => {
                    self.waiting.borrow_mut().drain(..sent);
                }
                _ => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

fn overflowed(lost: u64, time: Timestamp) -> AuditEvent {
    AuditEvent {
        time,
        actor: Actor::Process(Process::Proxy),
        action: "proxy.events-lost".into(),
        resource: "proxy".into(),
        outcome: Outcome::Failed,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: format!("{lost} refused requests of further sources are not listed: there were too many at once"),
    }
}

/// The request of an event, cut to what an entry may hold.
pub(crate) fn audited(method: &str, path: &str, status: u16) -> AuditedRequest {
    AuditedRequest {
        method: method.to_owned(),
        path: cut(path, 1_024),
        status,
        count: 1,
    }
}

/// At most this many characters.
pub(crate) fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::{Audit, KINDS, WAITING, audited, overflowed};
    use crate::source::Source;
    use redan_ipc::messages::audit::{Actor, AuditEvent};
    use redan_ipc::messages::traffic::Verdict;
    use redan_types::Timestamp;

    fn event() -> AuditEvent {
        AuditEvent {
            request: Some(audited("GET", "/", 401)),
            ..overflowed(0, Timestamp(1))
        }
    }

    fn refuse(audit: &Audit, source: u32) {
        let source = Source::of(std::net::Ipv4Addr::from_bits(source).into());
        audit.refused(Verdict::Authentication, source, None, event, &Actor::Anonymous);
    }

    #[test]
    fn refusals_of_one_kind_become_one_entry_with_their_number() {
        let audit = Audit::default();
        for _ in 0..1_000 {
            refuse(&audit, 1);
        }
        refuse(&audit, 2);
        audit.close(Timestamp(5));
        let mut counts: Vec<_> = audit
            .waiting
            .borrow()
            .iter()
            .filter_map(|event| Some(event.request.as_ref()?.count))
            .collect();
        counts.sort_unstable();
        assert_eq!(counts, [1, 1_000]);
    }

    #[test]
    fn a_flood_of_sources_costs_bounded_memory_and_is_said() {
        let audit = Audit::default();
        for round in 0..20_u32 {
            for source in 0..1_000 {
                refuse(&audit, round * 1_000 + source);
            }
            assert!(audit.gathered.borrow().len() <= KINDS);
            audit.close(Timestamp(5));
            assert!(audit.waiting.borrow().len() <= WAITING);
        }
        assert!(
            audit
                .waiting
                .borrow()
                .iter()
                .any(|event| event.action == "proxy.events-lost")
        );
    }
}
