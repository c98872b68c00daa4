//! The transaction: candidate → plan → prepare → store → pending → commit → confirmed or rolled back.
//!
//! The order makes a crash at any point harmless. Before the pending state is saved nothing has switched, and a stored version that
//! never ran is only an entry in a list. Once it is saved, the candidate is what should run: after a crash every participant is
//! brought to it and the timer goes on, or, when its time is over, back to the confirmed version. Whether a save that failed took
//! effect is not guessed: the state is read again before the next step.

use crate::state::{self, Refusal};
use crate::world::{Participant, PlanError, Unavailable, World};
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::manager::Mistake;
use redan_ipc::messages::vault::CommitState;
use redan_types::{Generation, Process};
use std::time::Duration;

/// The longest comment, in characters; the rest is cut off.
const COMMENT: usize = 1_000;

/// Between two looks at certificates that may want renewing; they are renewed weeks before they end.
const RENEWAL: Duration = Duration::from_hours(6);
/// The first look, and the next after one that failed.
const RENEWAL_SOON: Duration = Duration::from_mins(1);

/// What an author asks for.
#[derive(Clone, Debug)]
pub struct Candidate {
    /// The document's text.
    pub document: String,
    /// Rolled back unless confirmed within this time.
    pub within: Duration,
    /// Why.
    pub comment: String,
    /// Who.
    pub actor: Actor,
    /// The version that the author saw running.
    pub base: Option<Generation>,
}

/// Why a step was not taken; what ran before goes on, or is being restored.
#[derive(Clone, Debug)]
pub enum Denial {
    /// The document has mistakes.
    Mistaken(Vec<Mistake>),
    /// The rules, a participant or the vault refused.
    Refused(Vec<String>),
}

impl From<Refusal> for Denial {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(vec![refusal.to_string()])
    }
}

impl From<Unavailable> for Denial {
    fn from(error: Unavailable) -> Self {
        Self::Refused(vec![error.to_string()])
    }
}

impl From<PlanError> for Denial {
    fn from(error: PlanError) -> Self {
        match error {
            PlanError::Mistaken(mistakes) => Self::Mistaken(mistakes),
            PlanError::Refused(reasons) => Self::Refused(reasons),
            PlanError::Unavailable(error) => error.into(),
        }
    }
}

impl Denial {
    /// In one line, for logs.
    #[must_use]
    pub fn summary(&self) -> String {
        match self {
            Self::Mistaken(mistakes) => format!("the document has {} mistakes", mistakes.len()),
            Self::Refused(reasons) => reasons.join("; "),
        }
    }
}

/// The transactions of one appliance.
#[derive(Debug)]
pub struct Transactions<W: World> {
    world: W,
    /// The first configuration, until there is one in the vault.
    initial: Option<String>,
    /// The state as the vault has it; `None` where that is not known for certain.
    state: Option<CommitState>,
    /// A candidate whose author was told that it was refused, although the vault may have taken it.
    disowned: Option<Generation>,
    /// When the waiting version's time is over, by the clock that never goes back.
    timer: Option<Duration>,
    /// The plan of the version that runs.
    plan: Option<(Generation, W::Plan)>,
    /// When certificates are looked at next, by the clock that never goes back.
    renewal: Duration,
    /// Why the last look failed.
    unrenewed: Option<String>,
    /// Why some participant does not run what it should, in words.
    trouble: Vec<String>,
}

impl<W: World> Transactions<W> {
    /// Transactions in this world. `initial` becomes the first version where the vault has none.
    #[must_use]
    pub const fn new(world: W, initial: Option<String>) -> Self {
        Self {
            world,
            initial,
            state: None,
            disowned: None,
            timer: None,
            plan: None,
            renewal: RENEWAL_SOON,
            unrenewed: None,
            trouble: Vec::new(),
        }
    }

    /// The world.
    pub const fn world(&mut self) -> &mut W {
        &mut self.world
    }

    /// Whether the state is known, and there is a version to run or none that could become the first.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        let known = self
            .state
            .as_ref()
            .is_some_and(|state| state::running(state) != Generation(0));
        known || (self.state.is_some() && self.initial.is_none())
    }

    /// Whether nothing is known yet of what should run: the vault is starting, or sealed.
    #[must_use]
    pub const fn knows_nothing(&self) -> bool {
        self.state.is_none() && self.plan.is_none()
    }

    /// What is made of the version that runs; `None` before the first is applied.
    #[must_use]
    pub fn plan(&self) -> Option<&W::Plan> {
        self.plan.as_ref().map(|(_, plan)| plan)
    }

    /// Why some participant does not run what it should, in words for an operator.
    #[must_use]
    pub fn trouble(&self) -> &[String] {
        &self.trouble
    }

    /// Commits a candidate. One that is the running version to the byte changes nothing: no version, no probation, no record, and
    /// the state is what it was.
    ///
    /// # Errors
    /// [`Denial`]: what ran goes on.
    pub fn commit(&mut self, candidate: &Candidate) -> Result<CommitState, Denial> {
        let outcome = self.try_commit(candidate);
        if let Err(denial) = &outcome {
            let runs = self.state.as_ref().map(state::running);
            let mut event = self.event("configuration.refused", &candidate.actor, Outcome::Denied);
            event.before = runs.map(|generation| generation.to_string());
            event.message = denial.summary();
            self.world.audit(event);
        }
        outcome
    }

    /// Keeps the version that waits.
    ///
    /// # Errors
    /// [`Denial`] where it does not wait any more, or the vault does not answer.
    pub fn confirm(&mut self, generation: Generation, actor: &Actor) -> Result<CommitState, Denial> {
        let before = self.state()?;
        if self.is_due(&before) {
            return Err(Refusal::TooLate(generation).into());
        }
        let after = state::confirm(&before, generation, self.world.now())?;
        self.save(&after)?;
        self.changed("configuration.confirmed", actor, before.confirmed, generation, "");
        Ok(after)
    }

    /// Gives the version that waits up.
    ///
    /// # Errors
    /// [`Denial`] where it does not wait any more, or the vault does not answer.
    pub fn roll_back(&mut self, generation: Generation, actor: &Actor) -> Result<CommitState, Denial> {
        let before = self.state()?;
        let after = state::roll_back(&before, generation)?;
        self.return_to(&after)?;
        self.changed("configuration.rolled-back", actor, generation, after.confirmed, "");
        Ok(after)
    }

    /// What has to be done without being asked: the first version, the timer, participants that run something else. To be called
    /// several times a second. What cannot be done now is tried again at the next call.
    ///
    /// # Errors
    /// [`Denial`] where the first configuration itself is wrong: there is nothing to run, and trying again does not help.
    pub fn tick(&mut self) -> Result<(), Denial> {
        let state = match self.state() {
            Ok(state) => state,
            Err(error) => {
                self.trouble = vec![error.to_string()];
                return Ok(());
            }
        };
        if state.confirmed == Generation(0) && state.pending.is_none() {
            return self.first();
        }
        let manager = Actor::Process(Process::Manager);
        if let Some(pending) = &state.pending {
            let disowned = self.disowned == Some(pending.generation);
            if disowned || self.is_due(&state) {
                let why = if disowned {
                    "its commit had failed"
                } else {
                    "it was not confirmed in time"
                };
                return self.roll_back_alone(&state, pending.generation, &manager, why);
            }
        }
        let running = state::running(&state);
        self.converge(running);
        if self.trouble.is_empty() && self.world.elapsed() >= self.renewal {
            self.renew(running);
        }
        self.trouble.extend(self.unrenewed.clone());
        Ok(())
    }

    /// Asks for the running version's certificates again, and gives renewed ones to those who use them.
    fn renew(&mut self, generation: Generation) {
        let before = self.plan.take();
        let renewed = self
            .plan_of(generation)
            .map_err(|denial| vec![denial.summary()])
            .and_then(|()| {
                let Some((_, plan)) = &self.plan else { return Ok(()) };
                // After a restart of the manager it is unknown which certificates they have: they get them once more.
                let same = before.is_some_and(|(of, old)| of == generation && !self.world.differ(&old, plan));
                if same {
                    return Ok(());
                }
                for who in Participant::CERTIFIED {
                    let pushed = self.world.prepare(who, generation, plan);
                    pushed
                        .and_then(|()| self.world.commit(who, generation, plan))
                        .map_err(|reasons| named(who, reasons))?;
                }
                Ok(())
            });
        self.unrenewed = renewed
            .err()
            .map(|reasons| format!("certificates cannot be renewed: {}", reasons.join("; ")));
        let wait = if self.unrenewed.is_some() {
            // Without a plan the next look gives them out whatever they are.
            self.plan = None;
            RENEWAL_SOON
        } else {
            RENEWAL
        };
        self.renewal = self.world.elapsed().saturating_add(wait);
    }

    fn roll_back_alone(
        &mut self,
        before: &CommitState,
        generation: Generation,
        actor: &Actor,
        why: &str,
    ) -> Result<(), Denial> {
        let rolled = state::roll_back(before, generation)
            .map_err(Denial::from)
            .and_then(|after| {
                self.return_to(&after)?;
                Ok(after)
            });
        match rolled {
            Ok(after) => self.changed("configuration.rolled-back", actor, generation, after.confirmed, why),
            Err(denial) => {
                let why = denial.summary();
                self.trouble = vec![format!("version {generation} cannot be rolled back: {why}")];
            }
        }
        Ok(())
    }

    fn try_commit(&mut self, candidate: &Candidate) -> Result<CommitState, Denial> {
        let before = self.state()?;
        state::may_begin(&before, candidate.base, candidate.within)?;
        if self.runs_already(&before, &candidate.document)? {
            return Ok(before);
        }
        let plan = self.world.plan(&candidate.document)?;
        let generation = Generation(self.world.newest()?.0.saturating_add(1));
        self.prepare(generation, &plan)?;
        let stored = self.store(candidate, generation);
        let after = stored.and_then(|()| {
            let (within, actor) = (candidate.within, candidate.actor.clone());
            let after = state::begin(&before, generation, within, actor, self.world.now())?;
            if let Err(error) = self.save(&after) {
                // The vault may have taken it: whichever it is, it will not run on.
                self.disowned = Some(generation);
                return Err(error.into());
            }
            Ok(after)
        });
        let after = match after {
            Ok(after) => after,
            Err(denial) => {
                self.abort(generation);
                return Err(denial);
            }
        };
        for who in Participant::ORDER {
            if let Err(reasons) = self.world.commit(who, generation, &plan) {
                let mut reasons = named(who, reasons);
                // All or none: those that switched already go back. The very first version has nothing to go back to; it stays,
                // and whoever refused it is asked again.
                if after.pending.is_some() {
                    self.disowned = Some(generation);
                    if let Err(error) = self.return_to(&before) {
                        reasons.push(format!("and going back is not finished: {}", error.summary()));
                    }
                }
                return Err(Denial::Refused(reasons));
            }
        }
        self.plan = Some((generation, plan));
        let message = format!(
            "{} (to be confirmed within {} s)",
            comment(candidate),
            candidate.within.as_secs()
        );
        self.changed(
            "configuration.committed",
            &candidate.actor,
            before.confirmed,
            generation,
            &message,
        );
        Ok(after)
    }

    fn runs_already(&mut self, state: &CommitState, document: &str) -> Result<bool, Unavailable> {
        let running = state::running(state);
        if running == Generation(0) {
            return Ok(false);
        }
        Ok(self
            .world
            .version(running)?
            .is_some_and(|version| version.document == document))
    }

    fn prepare(&mut self, generation: Generation, plan: &W::Plan) -> Result<(), Denial> {
        let mut reasons = Vec::new();
        for who in Participant::ORDER {
            // Everybody is asked, so that the author learns all reasons at once.
            if let Err(more) = self.world.prepare(who, generation, plan) {
                reasons.extend(named(who, more));
            }
        }
        if reasons.is_empty() {
            return Ok(());
        }
        self.abort(generation);
        Err(Denial::Refused(reasons))
    }

    fn abort(&mut self, generation: Generation) {
        for who in Participant::ORDER {
            self.world.abort(who, generation);
        }
    }

    fn store(&mut self, candidate: &Candidate, expected: Generation) -> Result<(), Denial> {
        let stored = self
            .world
            .put(&candidate.document, &candidate.actor, &comment(candidate))?;
        if stored == expected {
            return Ok(());
        }
        Err(Denial::Refused(vec![format!(
            "the vault stored version {stored}, {expected} was prepared; commit again"
        )]))
    }

    /// Saves a state without a waiting version, then brings everybody to its confirmed version. The plan comes first: without one
    /// there is nothing to go back to, and the state stays as it is.
    fn return_to(&mut self, after: &CommitState) -> Result<(), Denial> {
        let confirmed = after.confirmed;
        self.plan_of(confirmed)?;
        self.save(after)?;
        self.converge(confirmed);
        Ok(())
    }

    /// Stores and runs the first configuration.
    fn first(&mut self) -> Result<(), Denial> {
        let Some(document) = self.initial.clone() else {
            self.trouble = vec!["there is no configuration yet".to_owned()];
            return Ok(());
        };
        let actor = Actor::Process(Process::Supervisor);
        let stored = self.try_first(&document, &actor);
        match stored {
            Ok(generation) => {
                self.initial = None;
                self.changed("configuration.first", &actor, Generation(0), generation, "");
                self.converge(generation);
                Ok(())
            }
            Err(PlanError::Unavailable(error)) => {
                self.trouble = vec![error.to_string()];
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }

    fn try_first(&mut self, document: &str, actor: &Actor) -> Result<Generation, PlanError> {
        let plan = self.world.plan(document)?;
        // A crash between storing and saving leaves a version that is this document: it is taken up again.
        let newest = self.world.newest()?;
        let known = self
            .world
            .version(newest)?
            .filter(|version| version.document == document);
        let generation = match known {
            Some(version) => version.info.generation,
            None => self.world.put(document, actor, "the first configuration")?,
        };
        self.save(&CommitState {
            confirmed: generation,
            pending: None,
        })?;
        self.plan = Some((generation, plan));
        Ok(generation)
    }

    /// Brings every participant that runs something else to `generation`.
    fn converge(&mut self, generation: Generation) {
        let mut trouble = Vec::new();
        for who in Participant::ORDER {
            let current = match self.world.current(who) {
                Ok(current) => current,
                Err(error) => {
                    trouble.push(error.to_string());
                    continue;
                }
            };
            if current == Some(generation) {
                continue;
            }
            // Nothing new listens before the packet filter knows it.
            let filter_is_up = who != Participant::Listeners
                || self
                    .world
                    .current(Participant::Network)
                    .is_ok_and(|runs| runs == Some(generation));
            if !filter_is_up {
                trouble.push("the listeners wait for the packet filter".to_owned());
                continue;
            }
            if let Err(denial) = self.plan_of(generation) {
                trouble.push(format!("version {generation} cannot be applied: {}", denial.summary()));
                break;
            }
            let Some((_, plan)) = &self.plan else { break };
            let pushed = self.world.prepare(who, generation, plan);
            if let Err(reasons) = pushed.and_then(|()| self.world.commit(who, generation, plan)) {
                trouble.extend(named(who, reasons));
            }
        }
        self.trouble = trouble;
    }

    /// Makes sure that the plan at hand is that of `generation`.
    fn plan_of(&mut self, generation: Generation) -> Result<(), Denial> {
        if self.plan.as_ref().is_some_and(|(of, _)| *of == generation) {
            return Ok(());
        }
        let version = self.world.version(generation)?;
        let version = version.ok_or_else(|| Denial::Refused(vec![format!("the vault has no version {generation}")]))?;
        self.plan = Some((generation, self.world.plan(&version.document)?));
        Ok(())
    }

    /// The state as the vault has it.
    fn state(&mut self) -> Result<CommitState, Unavailable> {
        if let Some(state) = &self.state {
            return Ok(state.clone());
        }
        let state = self.world.load()?;
        self.set(state.clone());
        Ok(state)
    }

    fn save(&mut self, state: &CommitState) -> Result<(), Unavailable> {
        // Until it is acknowledged, nobody knows which state the vault has.
        self.state = None;
        self.world.save(state)?;
        self.set(state.clone());
        Ok(())
    }

    fn set(&mut self, state: CommitState) {
        let remaining = state::remaining(&state, self.world.now());
        self.timer = remaining.map(|remaining| self.world.elapsed().saturating_add(remaining));
        self.state = Some(state);
    }

    /// Whether the waiting version's time is over, by either clock: one that is set back does not stop the other.
    fn is_due(&self, state: &CommitState) -> bool {
        let by_wall = state
            .pending
            .as_ref()
            .is_some_and(|pending| self.world.now() >= pending.deadline);
        by_wall || self.timer.is_some_and(|end| self.world.elapsed() >= end)
    }

    fn changed(&mut self, action: &str, actor: &Actor, before: Generation, after: Generation, message: &str) {
        let mut event = self.event(action, actor, Outcome::Succeeded);
        event.before = Some(before.to_string());
        event.after = Some(after.to_string());
        message.clone_into(&mut event.message);
        self.world.audit(event);
    }

    fn event(&self, action: &str, actor: &Actor, outcome: Outcome) -> AuditEvent {
        AuditEvent {
            time: self.world.now(),
            actor: actor.clone(),
            action: action.to_owned(),
            resource: "configuration".to_owned(),
            outcome,
            before: None,
            after: None,
            address: None,
            agent: None,
            request: None,
            incident: None,
            message: String::new(),
        }
    }
}

fn named(who: Participant, reasons: Vec<String>) -> Vec<String> {
    reasons
        .into_iter()
        .map(|reason| format!("{}: {reason}", who.name()))
        .collect()
}

fn comment(candidate: &Candidate) -> String {
    candidate.comment.chars().take(COMMENT).collect()
}

#[cfg(test)]
mod tests;
