//! A version on probation: it is kept once it has proved itself, and gives itself up when it does not for too long.

use std::time::{Duration, Instant};

/// From the start until a version on probation must have proved itself.
const PATIENCE: Duration = Duration::from_mins(5);
/// Until the judgement is told again: who should carry it out may have been restarting.
const AGAIN: Duration = Duration::from_secs(10);

/// What is to be told to the update service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Judgement {
    /// It has proved itself.
    Good,
    /// It has not.
    Bad,
}

/// The trial of the version that runs.
#[derive(Debug)]
pub(crate) struct Trial {
    started: Instant,
    on_probation: bool,
    told: Option<Instant>,
}

impl Trial {
    pub(super) const fn new(now: Instant) -> Self {
        Self {
            started: now,
            on_probation: false,
            told: None,
        }
    }

    /// The boot partition says that this version is on probation.
    pub(crate) const fn begin(&mut self) {
        self.on_probation = true;
    }

    /// It is permanent.
    pub(crate) const fn end(&mut self) {
        self.on_probation = false;
    }

    /// What is to be told now.
    pub(crate) fn judge(&mut self, is_proven: bool, now: Instant) -> Option<Judgement> {
        let is_late = now.saturating_duration_since(self.started) >= PATIENCE;
        let was_told = self
            .told
            .is_some_and(|told| now.saturating_duration_since(told) < AGAIN);
        if !self.on_probation || was_told || !(is_proven || is_late) {
            return None;
        }
        self.told = Some(now);
        Some(if is_proven { Judgement::Good } else { Judgement::Bad })
    }
}

#[cfg(test)]
mod tests {
    use super::{AGAIN, Judgement, PATIENCE, Trial};
    use std::time::Instant;

    #[test]
    fn a_version_is_kept_once_proven_and_given_up_when_it_is_late() {
        let start = Instant::now();
        let mut trial = Trial::new(start);
        assert_eq!(trial.judge(true, start), None, "a permanent version is not judged");
        trial.begin();
        assert_eq!(trial.judge(false, start), None);
        assert_eq!(trial.judge(true, start), Some(Judgement::Good));
        assert_eq!(trial.judge(true, start), None);
        assert_eq!(trial.judge(true, start + AGAIN), Some(Judgement::Good));
        trial.end();
        assert_eq!(trial.judge(true, start + AGAIN * 2), None);
        let mut trial = Trial::new(start);
        trial.begin();
        assert_eq!(trial.judge(false, start + PATIENCE), Some(Judgement::Bad));
    }
}
