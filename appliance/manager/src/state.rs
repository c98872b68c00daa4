//! Which version runs, and what may follow on what. Pure: from one state to the next, or a refusal in words for an operator.

use redan_ipc::messages::audit::Actor;
use redan_ipc::messages::vault::{CommitState, Pending};
use redan_types::{Generation, Timestamp};
use std::time::Duration;

/// The shortest time to confirm in.
pub const SHORTEST: Duration = Duration::from_secs(30);
/// The longest time to confirm in.
pub const LONGEST: Duration = Duration::from_mins(10);

/// Why a step is not taken; nothing has changed.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A version waits already.
    #[error("version {0} waits to be confirmed: confirm it or roll it back first")]
    Waiting(Generation),
    /// Somebody committed in between.
    #[error("version {running} runs, this one was written against version {base}: compare and commit again")]
    Outdated {
        /// What runs.
        running: Generation,
        /// What the author saw.
        base: Generation,
    },
    /// The time to confirm in is out of its bounds.
    #[error("the time to confirm in is {shortest} to {longest} seconds, not {0}", shortest = SHORTEST.as_secs(), longest = LONGEST.as_secs())]
    Within(u64),
    /// Another version waits, or none.
    #[error("version {0} does not wait to be confirmed")]
    NotWaiting(Generation),
    /// The time to confirm in is over.
    #[error("version {0} was not confirmed in time and is being rolled back")]
    TooLate(Generation),
    /// A version's number must be greater than those before.
    #[error("version {0} is older than the one that runs")]
    Older(Generation),
}

/// What runs, or should.
#[must_use]
pub fn running(state: &CommitState) -> Generation {
    state
        .pending
        .as_ref()
        .map_or(state.confirmed, |pending| pending.generation)
}

/// Whether a commit may begin now.
///
/// # Errors
/// A version waits already, the author saw another version, or the time to confirm in is out of bounds.
pub fn may_begin(state: &CommitState, base: Option<Generation>, within: Duration) -> Result<(), Refusal> {
    if let Some(pending) = &state.pending {
        return Err(Refusal::Waiting(pending.generation));
    }
    if let Some(base) = base.filter(|base| *base != state.confirmed) {
        return Err(Refusal::Outdated {
            running: state.confirmed,
            base,
        });
    }
    if (SHORTEST..=LONGEST).contains(&within) {
        Ok(())
    } else {
        Err(Refusal::Within(within.as_secs()))
    }
}

/// The state in which `candidate` runs on probation. The very first version is confirmed at once: there is none to return to.
///
/// # Errors
/// [`Refusal::Older`] where the candidate's number does not follow.
pub fn begin(
    state: &CommitState,
    candidate: Generation,
    within: Duration,
    actor: Actor,
    now: Timestamp,
) -> Result<CommitState, Refusal> {
    if candidate <= running(state) {
        return Err(Refusal::Older(candidate));
    }
    if state.confirmed == Generation(0) {
        return Ok(CommitState {
            confirmed: candidate,
            pending: None,
        });
    }
    let pending = Pending {
        generation: candidate,
        deadline: now.after(within),
        actor,
    };
    Ok(CommitState {
        confirmed: state.confirmed,
        pending: Some(pending),
    })
}

/// The state in which the waiting version is kept.
///
/// # Errors
/// The version does not wait, or its time is over.
pub fn confirm(state: &CommitState, generation: Generation, now: Timestamp) -> Result<CommitState, Refusal> {
    let pending = waiting(state, generation)?;
    if now >= pending.deadline {
        return Err(Refusal::TooLate(generation));
    }
    Ok(CommitState {
        confirmed: generation,
        pending: None,
    })
}

/// The state in which the waiting version is given up.
///
/// # Errors
/// The version does not wait.
pub fn roll_back(state: &CommitState, generation: Generation) -> Result<CommitState, Refusal> {
    waiting(state, generation)?;
    Ok(CommitState {
        confirmed: state.confirmed,
        pending: None,
    })
}

/// How long the waiting version may still wait. Never longer than [`LONGEST`], whatever the clock did.
#[must_use]
pub fn remaining(state: &CommitState, now: Timestamp) -> Option<Duration> {
    state
        .pending
        .as_ref()
        .map(|pending| pending.deadline.since(now).min(LONGEST))
}

fn waiting(state: &CommitState, generation: Generation) -> Result<&Pending, Refusal> {
    state
        .pending
        .as_ref()
        .filter(|pending| pending.generation == generation)
        .ok_or(Refusal::NotWaiting(generation))
}

#[cfg(test)]
mod tests {
    use super::{LONGEST, Refusal, begin, confirm, may_begin, remaining, roll_back, running};
    use redan_ipc::messages::audit::Actor;
    use redan_ipc::messages::vault::CommitState;
    use redan_types::{Generation, Timestamp};
    use std::time::Duration;

    const MINUTE: Duration = Duration::from_mins(1);

    fn confirmed(generation: u64) -> CommitState {
        CommitState {
            confirmed: Generation(generation),
            pending: None,
        }
    }

    fn pending() -> CommitState {
        begin(&confirmed(1), Generation(2), MINUTE, Actor::Anonymous, Timestamp(0)).unwrap()
    }

    #[test]
    fn a_committed_version_runs_until_it_is_confirmed_or_given_up() {
        assert_eq!(running(&pending()), Generation(2));
        assert_eq!(confirm(&pending(), Generation(2), Timestamp(1)), Ok(confirmed(2)));
        assert_eq!(roll_back(&pending(), Generation(2)), Ok(confirmed(1)));
    }

    #[test]
    fn only_the_waiting_version_is_confirmed_and_only_in_time() {
        let late = Timestamp(0).after(MINUTE);
        assert_eq!(
            confirm(&pending(), Generation(2), late),
            Err(Refusal::TooLate(Generation(2)))
        );
        assert_eq!(
            confirm(&pending(), Generation(1), Timestamp(0)),
            Err(Refusal::NotWaiting(Generation(1)))
        );
        assert_eq!(
            confirm(&confirmed(2), Generation(2), Timestamp(0)),
            Err(Refusal::NotWaiting(Generation(2)))
        );
        assert_eq!(
            roll_back(&confirmed(2), Generation(2)),
            Err(Refusal::NotWaiting(Generation(2)))
        );
    }

    #[test]
    fn one_version_waits_at_a_time_and_nobody_overwrites_unseen() {
        assert_eq!(
            may_begin(&pending(), None, MINUTE),
            Err(Refusal::Waiting(Generation(2)))
        );
        let outdated = Refusal::Outdated {
            running: Generation(3),
            base: Generation(2),
        };
        assert_eq!(may_begin(&confirmed(3), Some(Generation(2)), MINUTE), Err(outdated));
        assert_eq!(may_begin(&confirmed(3), Some(Generation(3)), MINUTE), Ok(()));
        assert_eq!(
            may_begin(&confirmed(3), None, Duration::from_secs(29)),
            Err(Refusal::Within(29))
        );
        assert_eq!(
            may_begin(&confirmed(3), None, Duration::from_secs(601)),
            Err(Refusal::Within(601))
        );
        let older = begin(&confirmed(3), Generation(3), MINUTE, Actor::Anonymous, Timestamp(0));
        assert_eq!(older, Err(Refusal::Older(Generation(3))));
    }

    #[test]
    fn the_first_version_is_confirmed_at_once() {
        let state = begin(
            &CommitState::default(),
            Generation(1),
            MINUTE,
            Actor::Anonymous,
            Timestamp(0),
        );
        assert_eq!(state, Ok(confirmed(1)));
    }

    #[test]
    fn a_clock_set_back_does_not_prolong_the_probation_beyond_its_bound() {
        let mut state = pending();
        state.pending.as_mut().unwrap().deadline = Timestamp(u64::MAX);
        assert_eq!(remaining(&state, Timestamp(0)), Some(LONGEST));
        assert_eq!(remaining(&pending(), Timestamp(u64::MAX)), Some(Duration::ZERO));
        assert_eq!(remaining(&confirmed(1), Timestamp(0)), None);
    }
}
