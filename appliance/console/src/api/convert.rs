//! The services' messages as the API's types.

use super::model;
use redan_ipc::messages::accounts::{KeyRecord, UserRecord};
use redan_ipc::messages::audit::{NumberedEvent, Outcome, VerifyReport};
use redan_ipc::messages::manager::{Change, ChangeKind, Mistake};
use redan_ipc::messages::network::Block;
use redan_ipc::messages::status::{ProtectionState, ServiceState, ServiceStatus};
use redan_ipc::messages::vault::{CommitState, Pending, VersionInfo};
use redan_types::{Generation, RoleName, Timestamp};
use std::net::IpAddr;

/// A time where there may be none.
fn maybe(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

fn names(roles: &[RoleName]) -> Vec<String> {
    roles.iter().map(ToString::to_string).collect()
}

pub(crate) fn address(address: Option<IpAddr>) -> String {
    address.map(|address| address.to_string()).unwrap_or_default()
}

impl From<NumberedEvent> for model::AuditEntry {
    fn from(NumberedEvent { sequence, event }: NumberedEvent) -> Self {
        Self {
            sequence,
            at: event.time.to_string(),
            actor: event.actor.to_string(),
            action: event.action,
            resource: event.resource,
            outcome: event.outcome.into(),
            address: address(event.address),
            agent: event.agent.unwrap_or_default(),
            before: event.before,
            after: event.after,
            request: event.request.map(|request| model::AuditedRequest {
                method: request.method,
                path: request.path,
                status: request.status,
                count: request.count,
            }),
            incident: event.incident.map(|incident| incident.to_string()),
            message: event.message,
        }
    }
}

impl From<Outcome> for model::Outcome {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Denied => Self::Denied,
            Outcome::Failed => Self::Failed,
            Outcome::Succeeded => Self::Succeeded,
        }
    }
}

impl From<model::Outcome> for Outcome {
    fn from(outcome: model::Outcome) -> Self {
        match outcome {
            model::Outcome::Denied => Self::Denied,
            model::Outcome::Failed => Self::Failed,
            model::Outcome::Succeeded => Self::Succeeded,
        }
    }
}

/// A report as of `now`.
pub(super) fn verification(report: VerifyReport, now: Timestamp) -> model::Verification {
    model::Verification {
        at: now.to_string(),
        sound: report.mistakes.is_empty(),
        size: report.size,
        root: report.root,
        key: report.key,
        checkpoint_at: report.checkpoint.to_string(),
        problems: report.mistakes,
        took_us: report.micros,
    }
}

/// A version as the list shows it, in this state of the appliance.
pub(crate) fn version(info: VersionInfo, state: &CommitState) -> model::Version {
    let is_pending = state
        .pending
        .as_ref()
        .is_some_and(|pending| pending.generation == info.generation);
    let state = if is_pending {
        model::VersionState::Pending
    } else if info.generation == state.confirmed {
        model::VersionState::Running
    } else {
        model::VersionState::Idle
    };
    model::Version {
        number: info.generation.0,
        author: info.author.to_string(),
        at: info.time.to_string(),
        comment: info.comment,
        hash: info.hash,
        state,
    }
}

/// A pending commit at the manager's time `now`.
pub(crate) fn pending(pending: &Pending, confirmed: Generation, now: Timestamp) -> model::Pending {
    model::Pending {
        version: pending.generation.0,
        previous: confirmed.0,
        author: pending.actor.to_string(),
        revert_at: pending.deadline.to_string(),
        remaining_ms: u64::try_from(pending.deadline.since(now).as_millis()).unwrap_or(u64::MAX),
    }
}

impl From<Mistake> for model::Mistake {
    fn from(mistake: Mistake) -> Self {
        Self {
            line: mistake.line,
            column: mistake.column,
            length: mistake.length,
            message: mistake.message,
            help: mistake.help.unwrap_or_default(),
            fatal: mistake.fatal,
        }
    }
}

impl From<Change> for model::Change {
    fn from(change: Change) -> Self {
        let kind = match change.kind {
            ChangeKind::Added => model::ChangeKind::Added,
            ChangeKind::Changed => model::ChangeKind::Changed,
            ChangeKind::Removed => model::ChangeKind::Removed,
        };
        Self {
            kind,
            path: change.path,
            text: change.text,
        }
    }
}

impl From<ServiceStatus> for model::Service {
    fn from(service: ServiceStatus) -> Self {
        Self {
            name: service.process.to_string(),
            state: match service.state {
                ServiceState::BackOff => model::ServiceState::BackOff,
                ServiceState::Ready => model::ServiceState::Ready,
                ServiceState::Starting => model::ServiceState::Starting,
                ServiceState::Stopped => model::ServiceState::Stopped,
            },
            pid: service.pid,
            memory_bytes: service.memory,
            restarts: service.restarts,
            since: maybe(service.started),
            confinement: service
                .protections
                .into_iter()
                .map(|protection| model::Protection {
                    name: protection.name,
                    active: protection.state == ProtectionState::Active,
                    detail: protection.detail,
                })
                .collect(),
            last_exit: service.last_exit.unwrap_or_default(),
        }
    }
}

impl From<UserRecord> for model::User {
    fn from(user: UserRecord) -> Self {
        Self {
            name: user.name.to_string(),
            roles: names(&user.roles),
            enabled: user.enabled,
            must_change_password: user.must_change,
            locked_until: maybe(user.locked_until),
            created_at: user.created.to_string(),
            signed_in_at: maybe(user.last_login),
        }
    }
}

impl From<KeyRecord> for model::ApiKey {
    fn from(key: KeyRecord) -> Self {
        Self {
            id: key.id.to_string(),
            owner: key.owner.to_string(),
            roles: names(&key.roles),
            comment: key.comment,
            created_at: key.created.to_string(),
            expires_at: key.until.to_string(),
            previous_until: maybe(key.previous_until),
            used_at: maybe(key.used),
            revoked: key.revoked,
            owner_enabled: key.owner_enabled,
        }
    }
}

impl From<Block> for model::Block {
    fn from(block: Block) -> Self {
        Self {
            address: block.network.to_string(),
            until: maybe(block.until),
            reason: block.reason,
        }
    }
}
