//! Answers to the console and to operators.

use crate::document;
use crate::exception::Exceptions;
use crate::keep::Shared;
use crate::peers::{now, odd_answer};
use crate::slice::Plan;
use crate::state;
use crate::transaction::{Candidate, Denial};
use crate::world::Unavailable;
use redan_config::Appliance;
use redan_ipc::Responder;
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::manager::{
    ConfigurationState, ManagerReply, ManagerRequest, OperatorReply, OperatorRequest, Source,
};
use redan_ipc::messages::status::{SupervisorReply, SupervisorRequest};
use redan_ipc::messages::vault::{Certificate, CertificateOwner, CommitState, ManagerVaultReply, ManagerVaultRequest};
use redan_ipc::messages::{ConsoleManager, OperatorManager, ProvisionManager};
use redan_types::Process;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Changes under way at once, waiting ones included; one more is refused.
const CHANGES: usize = 4;
/// How long the network service may take for an operator's question.
const NETWORK: Duration = Duration::from_secs(5);

/// Whoever is at the serial line, or came with a stick.
const PROVISION: Actor = Actor::Process(Process::Provision);
/// Characters of a message for the audit log.
const MESSAGE: usize = 1_000;

/// Answers questions.
#[derive(Clone, Debug)]
pub struct Answerer {
    shared: Shared,
    changes: Arc<AtomicUsize>,
}

impl Answerer {
    /// Answers from these transactions.
    #[must_use]
    pub fn new(shared: Shared) -> Self {
        Self {
            shared,
            changes: Arc::default(),
        }
    }

    /// Answers the console. A change is made on a thread of its own, so that the wire stays free for questions meanwhile.
    pub fn console(&self, request: ManagerRequest, responder: Responder<ConsoleManager>) {
        // A replay may look at many records, so it has a thread of its own, too.
        let changes = matches!(
            request,
            ManagerRequest::Commit { .. }
                | ManagerRequest::Confirm { .. }
                | ManagerRequest::PreviewException(_)
                | ManagerRequest::Rollback { .. }
        );
        if !changes {
            return responder.reply(&self.manager(request));
        }
        let busy = || ManagerReply::Refused(vec!["too many changes are under way, try again".to_owned()]);
        if self.changes.fetch_add(1, Ordering::AcqRel) >= CHANGES {
            self.changes.fetch_sub(1, Ordering::AcqRel);
            return responder.reply(&busy());
        }
        let answerer = self.clone();
        let spawned = std::thread::Builder::new().name("change".to_owned()).spawn(move || {
            let reply = answerer.manager(request);
            answerer.changes.fetch_sub(1, Ordering::AcqRel);
            responder.reply(&reply);
        });
        if spawned.is_err() {
            // The responder went with the closure: the console was told that nobody answers.
            self.changes.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// Answers an operator with this user id. Who asks is said by the kernel, never by the request.
    pub fn operator(&self, uid: u32, request: OperatorRequest, responder: Responder<OperatorManager>) {
        let reply = self.operate(Actor::Operator { uid }, request);
        responder.reply(&reply.unwrap_or_else(|error| OperatorReply::Refused(error.to_string())));
    }

    /// Answers the provisioning service: an operator at the serial line, or a stick.
    pub fn provision(&self, request: OperatorRequest, responder: Responder<ProvisionManager>) {
        let reply = self.operate(PROVISION, request);
        responder.reply(&reply.unwrap_or_else(|error| OperatorReply::Refused(error.to_string())));
    }

    fn operate(&self, actor: Actor, request: OperatorRequest) -> Result<OperatorReply, Unavailable> {
        let vault = match request {
            OperatorRequest::Manager(request) => {
                return Ok(OperatorReply::Manager(self.manager(claimed_by(&actor, request))));
            }
            OperatorRequest::Network(request) => {
                let reply = self.shared.peers().blocklist.call(&request, NETWORK);
                return reply
                    .map(OperatorReply::Network)
                    .map_err(|error| Unavailable(format!("the network service: {error}")));
            }
            OperatorRequest::Certificates => return Ok(OperatorReply::Certificates(self.certificates())),
            OperatorRequest::Accounts(request) => ManagerVaultRequest::Accounts { actor, request },
            OperatorRequest::AuditExport { from } => ManagerVaultRequest::AuditExport { from },
            OperatorRequest::AuditSearch(query) => ManagerVaultRequest::AuditSearch(query),
            OperatorRequest::AuditErase { person } => ManagerVaultRequest::AuditErase { actor, person },
            OperatorRequest::AuditSeal { until } => ManagerVaultRequest::AuditSeal { actor, until },
            OperatorRequest::AuditSegments => ManagerVaultRequest::AuditSegments,
            OperatorRequest::AuditVerify => ManagerVaultRequest::AuditVerify,
            OperatorRequest::Seal(request) => ManagerVaultRequest::Seal { actor, request },
            OperatorRequest::VaultHealth => ManagerVaultRequest::Health,
            OperatorRequest::Record { .. } | OperatorRequest::SerialPin | OperatorRequest::SetSerialPin(_)
                if actor != PROVISION =>
            {
                return Ok(OperatorReply::Refused(
                    "only the serial line's service asks this".to_owned(),
                ));
            }
            OperatorRequest::SerialPin => ManagerVaultRequest::SerialPin,
            OperatorRequest::SetSerialPin(hash) => ManagerVaultRequest::SetSerialPin(hash),
            OperatorRequest::Record { action, done, message } => ManagerVaultRequest::Audit {
                events: vec![provisioning_event(actor, action, done, &message)],
            },
            OperatorRequest::RotateKeys => ManagerVaultRequest::RotateKeys { actor },
            OperatorRequest::Waf(request) => ManagerVaultRequest::Waf(request),
        };
        Ok(match self.shared.peers().ask_vault(&vault)? {
            ManagerVaultReply::Accounts(reply) => OperatorReply::Accounts(reply),
            ManagerVaultReply::AuditExport(part) => OperatorReply::AuditExport(part),
            ManagerVaultReply::AuditPage(page) => OperatorReply::AuditPage(page),
            ManagerVaultReply::AuditSegments(segments) => OperatorReply::AuditSegments(segments),
            ManagerVaultReply::AuditVerified(report) => OperatorReply::AuditVerified(report),
            ManagerVaultReply::Done => OperatorReply::Done,
            ManagerVaultReply::Health(health) => OperatorReply::VaultHealth(health),
            ManagerVaultReply::SerialPin(hash) => OperatorReply::SerialPin(hash),
            ManagerVaultReply::Waf(reply) => OperatorReply::Waf(reply),
            ManagerVaultReply::Seal(reply) => OperatorReply::Seal(reply),
            _ => return Err(odd_answer()),
        })
    }

    fn manager(&self, request: ManagerRequest) -> ManagerReply {
        let answered = match request {
            ManagerRequest::Check { document } => return ManagerReply::Checked(document::check(&document)),
            ManagerRequest::Commit {
                document,
                confirm_within,
                comment,
                actor,
                base,
            } => {
                let within = Duration::from_secs(confirm_within.into());
                let candidate = Candidate {
                    document,
                    within,
                    comment,
                    actor,
                    base,
                };
                return done(self.shared.transactions().commit(&candidate));
            }
            ManagerRequest::Confirm { generation, actor } => {
                return done(self.shared.transactions().confirm(generation, &actor));
            }
            ManagerRequest::Rollback { generation, actor } => {
                return done(self.shared.transactions().roll_back(generation, &actor));
            }
            ManagerRequest::Configuration => self.configuration(),
            ManagerRequest::Diff { from, to } => self.diff(from, to),
            ManagerRequest::PreviewException(wish) => self.exceptions().preview(&wish),
            ManagerRequest::Status => self.status(),
            ManagerRequest::Version(generation) => self.shared.peers().version(generation).map(ManagerReply::Version),
            ManagerRequest::Versions { before } => self.versions(before),
        };
        answered.unwrap_or_else(|error| ManagerReply::Refused(vec![error.to_string()]))
    }

    fn exceptions(&self) -> Exceptions<'_> {
        Exceptions::new(self.shared.peers())
    }

    /// The certificates of the version that runs; none before the first is applied.
    fn certificates(&self) -> Vec<(CertificateOwner, Certificate)> {
        let transactions = self.shared.transactions();
        transactions.plan().map(Plan::certificates).unwrap_or_default()
    }

    fn status(&self) -> Result<ManagerReply, Unavailable> {
        match self.shared.peers().ask_supervisor(&SupervisorRequest::Status)? {
            SupervisorReply::Status(mut status) => {
                let trouble = self.shared.trouble().into_iter();
                status
                    .notes
                    .extend(trouble.map(|line| format!("the configuration is not fully applied: {line}")));
                Ok(ManagerReply::Status(status))
            }
            _ => Err(Unavailable(
                "the supervisor gave an answer to another question".to_owned(),
            )),
        }
    }

    fn configuration(&self) -> Result<ManagerReply, Unavailable> {
        let state = self.shared.peers().commit_state()?;
        let running = self.shared.peers().version(state::running(&state))?;
        Ok(ManagerReply::Configuration(ConfigurationState {
            state,
            running,
            now: now(),
        }))
    }

    fn versions(&self, before: Option<redan_types::Generation>) -> Result<ManagerReply, Unavailable> {
        match self
            .shared
            .peers()
            .ask_vault(&ManagerVaultRequest::Versions { before })?
        {
            ManagerVaultReply::Versions(versions) => Ok(ManagerReply::Versions(versions)),
            _ => Err(odd_answer()),
        }
    }

    fn diff(&self, from: Source, to: Source) -> Result<ManagerReply, Unavailable> {
        let mut read = [None, None];
        for (place, source) in read.iter_mut().zip([from, to]) {
            match document::parse(&self.text(source)?) {
                Ok(appliance) => *place = Some(appliance),
                Err(mistakes) => return Ok(ManagerReply::Mistaken(mistakes)),
            }
        }
        let changes = |from: &Appliance, to: &Appliance| document::changes(from, to);
        let [from, to] = &read;
        Ok(ManagerReply::Diff(
            from.as_ref()
                .zip(to.as_ref())
                .map(|(from, to)| changes(from, to))
                .unwrap_or_default(),
        ))
    }

    fn text(&self, source: Source) -> Result<String, Unavailable> {
        let generation = match source {
            Source::Text(text) => return Ok(text),
            Source::Running => state::running(&self.shared.peers().commit_state()?),
            Source::Version(generation) => generation,
        };
        let version = self.shared.peers().version(generation)?;
        version
            .map(|version| version.document)
            .ok_or_else(|| Unavailable(format!("there is no version {generation}")))
    }
}

/// The request as one by this actor, whatever it says itself.
fn claimed_by(claimant: &Actor, mut request: ManagerRequest) -> ManagerRequest {
    match &mut request {
        ManagerRequest::Commit { actor, .. }
        | ManagerRequest::Confirm { actor, .. }
        | ManagerRequest::Rollback { actor, .. } => claimant.clone_into(actor),
        ManagerRequest::Check { .. }
        | ManagerRequest::Configuration
        | ManagerRequest::Diff { .. }
        | ManagerRequest::PreviewException(_)
        | ManagerRequest::Status
        | ManagerRequest::Version(_)
        | ManagerRequest::Versions { .. } => {}
    }
    request
}

/// What the provisioning service says that it did, as an audit event of its own kind.
fn provisioning_event(actor: Actor, action: String, done: bool, message: &str) -> AuditEvent {
    let known = ["serial.", "stick.", "update."]
        .iter()
        .any(|kind| action.starts_with(kind));
    AuditEvent {
        time: now(),
        actor,
        action: if known { action } else { "serial.other".to_owned() },
        resource: "appliance".to_owned(),
        outcome: if done { Outcome::Succeeded } else { Outcome::Failed },
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: message.chars().take(MESSAGE).collect(),
    }
}

fn done(outcome: Result<CommitState, Denial>) -> ManagerReply {
    match outcome {
        Ok(state) => ManagerReply::Done(state),
        Err(Denial::Mistaken(mistakes)) => ManagerReply::Mistaken(mistakes),
        Err(Denial::Refused(reasons)) => ManagerReply::Refused(reasons),
    }
}
