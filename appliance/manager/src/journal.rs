//! What happened to services, from the supervisor into the audit log, each event once.

use crate::peers::{Peers, odd_answer};
use crate::world::Unavailable;
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditQuery, Outcome};
use redan_ipc::messages::status::{ServiceEvent, ServiceEventKind, SupervisorReply, SupervisorRequest};
use redan_ipc::messages::vault::{ManagerVaultReply, ManagerVaultRequest};
use redan_types::{Process, Timestamp};

/// Where the reading of events has come to.
#[derive(Debug, Default)]
pub struct Journal {
    /// The number of the last event read in this process's life.
    read: u64,
    /// The time of the last event in the audit log when this process started; `None`: not looked up yet.
    recorded: Option<Timestamp>,
}

/// New events.
#[derive(Debug, Default)]
pub struct News {
    /// To be recorded.
    pub events: Vec<AuditEvent>,
    /// Whether the vault has started again.
    pub vault_restarted: bool,
}

impl Journal {
    /// Reads what is new. After a restart of this process, the supervisor tells everything again: what the audit log has already is
    /// passed over.
    ///
    /// # Errors
    /// [`Unavailable`] where the supervisor or, at first, the vault does not answer.
    pub fn read(&mut self, peers: &Peers) -> Result<News, Unavailable> {
        let recorded = match self.recorded {
            Some(recorded) => recorded,
            None => *self.recorded.insert(last_recorded(peers)?),
        };
        let reply = peers.ask_supervisor(&SupervisorRequest::Events { after: self.read })?;
        let SupervisorReply::Events(events) = reply else {
            return Err(Unavailable(
                "the supervisor gave an answer to another question".to_owned(),
            ));
        };
        let mut news = News::default();
        for event in events {
            self.read = self.read.max(event.number);
            news.vault_restarted |= event.process == Process::Vault && event.kind == ServiceEventKind::Restarted;
            if event.time > recorded {
                news.events.push(entry(event));
            }
        }
        Ok(news)
    }
}

fn last_recorded(peers: &Peers) -> Result<Timestamp, Unavailable> {
    let query = AuditQuery {
        actor: Some(Actor::Process(Process::Supervisor).to_string()),
        action: Some("process".to_owned()),
        limit: 1,
        ..AuditQuery::default()
    };
    match peers.ask_vault(&ManagerVaultRequest::AuditSearch(query))? {
        ManagerVaultReply::AuditPage(page) => Ok(page.entries.first().map_or(Timestamp(0), |entry| entry.event.time)),
        _ => Err(odd_answer()),
    }
}

fn entry(event: ServiceEvent) -> AuditEvent {
    let (action, outcome) = match event.kind {
        ServiceEventKind::Died => ("process.died", Outcome::Failed),
        ServiceEventKind::Noted => ("process.noted", Outcome::Succeeded),
        ServiceEventKind::Restarted => ("process.restarted", Outcome::Succeeded),
        ServiceEventKind::Started => ("process.started", Outcome::Succeeded),
    };
    AuditEvent {
        time: event.time,
        actor: Actor::Process(Process::Supervisor),
        action: action.to_owned(),
        resource: format!("process/{}", event.process),
        outcome,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: event.detail,
    }
}
