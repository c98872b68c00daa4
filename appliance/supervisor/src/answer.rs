//! What the manager may ask.

use redan_ipc::frame::{Encoded, Header, Kind};
use redan_ipc::messages::ManagerSupervisor;
use redan_ipc::messages::status::{ApplianceStatus, ServiceState, ServiceStatus, SupervisorReply, SupervisorRequest};
use redan_ipc::{IpcError, MAX_PACKET, Pair};
use std::time::Duration;

use crate::listeners::Refusal;
use crate::manifest::{Milestone, notes};
use crate::outbox::{Outbox, OutboxError};
use crate::service::Service;
use crate::supervisor::{Supervisor, TURN};

impl Supervisor {
    /// Answers what has arrived on the manager's wire.
    pub(crate) fn attend_manager(&mut self) -> Result<(), OutboxError> {
        self.attend::<ManagerSupervisor>(|this| &mut this.manager, Self::answer)
    }

    /// Answers what has arrived on a wire.
    pub(crate) fn attend<P: Pair>(
        &mut self,
        wire: fn(&mut Self) -> &mut Option<Outbox>,
        answer: fn(&mut Self, P::Request) -> P::Reply,
    ) -> Result<(), OutboxError> {
        let mut buffer = vec![0; MAX_PACKET];
        for _ in 0..TURN {
            let Some(open) = wire(self) else { return Ok(()) };
            let Some(received) = open.receive(&mut buffer, P::LIMIT)? else {
                return Ok(());
            };
            let Header {
                kind: Kind::Request,
                id,
                ..
            } = received.header
            else {
                return Err(IpcError::Framing("an answer from a client").into());
            };
            let request = received.body(&buffer);
            received.wipe(&mut buffer);
            let reply = answer(self, request?);
            let header = Header {
                kind: Kind::Reply,
                id,
                wait: Duration::ZERO,
            };
            let frame = Encoded::new(header, &reply, P::LIMIT)?;
            if let Some(open) = wire(self) {
                open.push(frame, Vec::new())?;
            }
        }
        Ok(())
    }

    fn answer(&mut self, request: SupervisorRequest) -> SupervisorReply {
        let refused = |refusal: Refusal| SupervisorReply::Refused {
            address: refusal.address,
            reason: refusal.reason,
        };
        match request {
            SupervisorRequest::Status => SupervisorReply::Status(self.status()),
            SupervisorRequest::Events { after } => SupervisorReply::Events(self.journal.after(after)),
            SupervisorRequest::PrepareListeners { generation, listeners } => {
                let prepared = self.listeners.prepare(generation, &listeners);
                if let Err(refusal) = &prepared {
                    let why = format!("{} cannot be listened on: {}", refusal.address, refusal.reason);
                    self.tell_refusal(&why);
                }
                prepared.map_or_else(refused, |()| SupervisorReply::Done)
            }
            SupervisorRequest::CommitListeners { generation } => match self.listeners.commit(generation) {
                Ok(true) => {
                    self.hand_over_listeners();
                    SupervisorReply::Done
                }
                Ok(false) => SupervisorReply::NotPrepared,
                Err(refusal) => refused(refusal),
            },
            SupervisorRequest::RuleFiles { directory, setup } => match crate::rules::read(&directory, setup.as_deref())
            {
                Ok(archive) => SupervisorReply::RuleFiles(archive),
                Err(error) => SupervisorReply::NoRuleFiles {
                    reason: error.to_string(),
                },
            },
            SupervisorRequest::AbortListeners { generation } => {
                self.listeners.abort(generation);
                SupervisorReply::Done
            }
        }
    }

    fn status(&self) -> ApplianceStatus {
        let sealed = self.sealed.iter().map(|why| format!("the vault is sealed: {why}"));
        ApplianceStatus {
            mode: self.ground.mode,
            started: self.started,
            notes: sealed
                .chain(notes(self.ground.mode).iter().map(|note| (*note).to_owned()))
                .chain(self.machine.iter().flat_map(|machine| machine.notes.clone()))
                .collect(),
            services: self.services.iter().map(status_of).collect(),
        }
    }
}

fn status_of(service: &Service) -> ServiceStatus {
    let state = match (service.life.milestone(), &service.process) {
        (Some(Milestone::Ready), _) => ServiceState::Ready,
        (_, Some(_)) => ServiceState::Starting,
        (_, None) if service.life.is_stopped() => ServiceState::Stopped,
        (_, None) if service.life.starts() == 0 => ServiceState::Starting,
        (_, None) => ServiceState::BackOff,
    };
    let pid = service
        .process
        .as_ref()
        .map(|process| process.child.pid().as_raw_nonzero().get().unsigned_abs());
    ServiceStatus {
        process: service.entry.process,
        state,
        pid,
        memory: service.memory(),
        restarts: service.life.starts().saturating_sub(1),
        started: service.started.filter(|_| pid.is_some()),
        protections: service.protections.clone(),
        last_exit: service.last_exit.clone(),
    }
}
