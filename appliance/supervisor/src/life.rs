//! When a service is started, pinged, killed and started again: decisions only, with the time as a parameter.

use std::fmt;
use std::time::{Duration, Instant};

use crate::manifest::Milestone;

/// Between two pings.
pub const PING: Duration = Duration::from_secs(1);
/// Without an answer for this long a service counts as hung: several pings, so that a machine under load kills nothing.
pub const SILENCE: Duration = Duration::from_secs(5);
/// From the start until the sandbox has been entered. Nothing slow happens in between.
pub const CONFINEMENT: Duration = Duration::from_secs(10);
/// From a request to stop, or the service's own word that it has failed, until it is killed.
pub const PATIENCE: Duration = Duration::from_secs(3);
/// The first delay before a new start; each further one is twice as long.
pub const FIRST_DELAY: Duration = Duration::from_millis(100);
/// The longest delay.
pub const LAST_DELAY: Duration = Duration::from_secs(30);
/// A service that lived this long starts again without memory of earlier deaths.
pub const HEALTH: Duration = Duration::from_secs(60);

/// What is to be done now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Action {
    /// Start the process.
    Start,
    /// Send this ping.
    Ping(u64),
    /// Kill it, for this reason.
    Kill(Cause),
}

/// Why the supervisor killed a service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Cause {
    /// It answered no ping.
    Silence,
    /// It did not enter its sandbox.
    NotConfined,
    /// It said that it had failed and did not exit.
    Failed,
    /// It did not stop when asked.
    NotStopped,
    /// It broke the framing, or read nothing for so long that its queue was full.
    Channel,
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Silence => "it answered no heartbeat for 5 s",
            Self::NotConfined => "it did not enter its sandbox within 10 s",
            Self::Failed => "it said that it had failed and did not exit",
            Self::NotStopped => "it did not stop within 3 s",
            Self::Channel => "it broke its control channel",
        })
    }
}

/// One service's life.
#[derive(Clone, Debug)]
pub struct Life {
    phase: Phase,
    /// Deaths in a row without [`HEALTH`] between them.
    failures: u32,
    starts: u32,
}

#[derive(Clone, Debug)]
enum Phase {
    /// Its first start waits for another service.
    Waiting,
    BackOff {
        until: Instant,
    },
    Running(Running),
    /// Ended on purpose.
    Stopped,
}

#[derive(Clone, Debug)]
struct Running {
    since: Instant,
    reached: Option<Milestone>,
    /// The first ping without an answer. Counted from the question, so that a supervisor that was itself kept from running blames
    /// nobody.
    asked: Option<Instant>,
    next_ping: Instant,
    pings: u64,
    /// Killed when this moment comes.
    end: Option<(Instant, Cause)>,
    killed: Option<Cause>,
    stopping: bool,
    /// Its end of the control channel is closed.
    closed: bool,
}

impl Default for Life {
    fn default() -> Self {
        Self {
            phase: Phase::Waiting,
            failures: 0,
            starts: 0,
        }
    }
}

impl Life {
    /// What it waited for has happened: it may start.
    pub fn may_start(&mut self, now: Instant) {
        if matches!(self.phase, Phase::Waiting) {
            self.phase = Phase::BackOff { until: now };
        }
    }

    /// What is to be done by now; to be asked again until there is nothing. The caller reports back with [`Self::started`] after a
    /// start and [`Self::died`] where that failed.
    pub fn due(&mut self, now: Instant) -> Option<Action> {
        match &mut self.phase {
            Phase::BackOff { until } if *until <= now => Some(Action::Start),
            Phase::Running(running) => running.due(now),
            Phase::BackOff { .. } | Phase::Stopped | Phase::Waiting => None,
        }
    }

    /// When [`Self::due`] is to be asked next at the latest.
    #[must_use]
    pub fn wake(&self) -> Option<Instant> {
        match &self.phase {
            Phase::BackOff { until } => Some(*until),
            Phase::Running(running) if running.killed.is_some() => None,
            Phase::Running(running) => {
                let confined = running.reached.is_some();
                let limit = if confined {
                    running.asked.map(|at| at + SILENCE)
                } else {
                    Some(running.since + CONFINEMENT)
                };
                let ping = confined.then_some(running.next_ping);
                let end = running.end.map(|(at, _)| at);
                [limit, ping, end].into_iter().flatten().min()
            }
            Phase::Stopped | Phase::Waiting => None,
        }
    }

    /// The process has been started.
    pub fn started(&mut self, now: Instant) {
        self.starts = self.starts.saturating_add(1);
        self.phase = Phase::Running(Running {
            since: now,
            reached: None,
            asked: None,
            next_ping: now,
            pings: 0,
            end: None,
            killed: None,
            stopping: false,
            closed: false,
        });
    }

    /// It has reached a milestone.
    pub fn reached(&mut self, milestone: Milestone, now: Instant) {
        if let Some(running) = self.running_mut() {
            running.next_ping = running.next_ping.max(now);
            running.reached = running.reached.max(Some(milestone));
        }
    }

    /// It answered a ping. An answer to a ping that was never sent is none.
    pub fn answered(&mut self, number: u64, now: Instant) {
        if let Some(running) = self.running_mut()
            && number <= running.pings
        {
            // Behind, but alive.
            running.asked = (number < running.pings).then_some(now);
        }
    }

    /// It should exit by itself now, and is killed for this reason if it does not.
    pub fn should_end(&mut self, cause: Cause, now: Instant) {
        if let Some(running) = self.running_mut() {
            running.end.get_or_insert((now + PATIENCE, cause));
        }
    }

    /// It has closed its end of the control channel: it is about to exit, or else is to be killed.
    pub fn closed(&mut self, now: Instant) {
        if let Some(running) = self.running_mut() {
            running.closed = true;
            running.end.get_or_insert((now + PATIENCE, Cause::Channel));
        }
    }

    /// Whether anything can still come from its control channel.
    #[must_use]
    pub const fn is_listened_to(&self) -> bool {
        matches!(
            &self.phase,
            Phase::Running(Running {
                closed: false,
                killed: None,
                ..
            })
        )
    }

    /// It is to be killed at once.
    pub fn condemn(&mut self, cause: Cause, now: Instant) {
        if let Some(running) = self.running_mut() {
            running.end = Some((now, cause));
            running.closed = true;
        }
    }

    /// It has been asked to stop; `false` where it was not running and is stopped by this.
    pub fn stop(&mut self, now: Instant) -> bool {
        if let Some(running) = self.running_mut() {
            running.stopping = true;
            running.end.get_or_insert((now + PATIENCE, Cause::NotStopped));
            return true;
        }
        self.phase = Phase::Stopped;
        false
    }

    /// The process has ended, or could not be started. Returns why the supervisor killed it, where it did.
    pub fn died(&mut self, now: Instant) -> Option<Cause> {
        let running = match std::mem::replace(&mut self.phase, Phase::Stopped) {
            Phase::Running(running) => Some(running),
            Phase::BackOff { .. } | Phase::Waiting => None,
            Phase::Stopped => return None,
        };
        let (killed, lived, stopping) = running.map_or((None, Duration::ZERO, false), |r| {
            (r.killed, now.saturating_duration_since(r.since), r.stopping)
        });
        if !stopping {
            if lived >= HEALTH {
                self.failures = 0;
            }
            self.phase = Phase::BackOff {
                until: now + delay(self.failures),
            };
            self.failures = self.failures.saturating_add(1);
        }
        killed
    }

    /// How far the running process has come; `None` when there is none or it is before its sandbox.
    #[must_use]
    pub fn milestone(&self) -> Option<Milestone> {
        match &self.phase {
            Phase::Running(running) => running.reached,
            Phase::BackOff { .. } | Phase::Stopped | Phase::Waiting => None,
        }
    }

    /// Whether there is a process.
    #[must_use]
    pub const fn is_running(&self) -> bool {
        matches!(self.phase, Phase::Running(_))
    }

    /// Whether it has ended on purpose.
    #[must_use]
    pub const fn is_stopped(&self) -> bool {
        matches!(self.phase, Phase::Stopped)
    }

    /// Starts so far.
    #[must_use]
    pub const fn starts(&self) -> u32 {
        self.starts
    }

    const fn running_mut(&mut self) -> Option<&mut Running> {
        match &mut self.phase {
            Phase::Running(running) => Some(running),
            Phase::BackOff { .. } | Phase::Stopped | Phase::Waiting => None,
        }
    }
}

impl Running {
    fn due(&mut self, now: Instant) -> Option<Action> {
        if self.killed.is_some() {
            return None;
        }
        let cause = match (self.end, self.reached, self.asked) {
            (Some((at, cause)), _, _) if at <= now => Some(cause),
            (_, None, _) if self.since + CONFINEMENT <= now => Some(Cause::NotConfined),
            (_, Some(_), Some(asked)) if asked + SILENCE <= now => Some(Cause::Silence),
            _ => None,
        };
        if let Some(cause) = cause {
            self.killed = Some(cause);
            return Some(Action::Kill(cause));
        }
        if self.reached.is_some() && self.next_ping <= now {
            self.next_ping = now + PING;
            self.asked.get_or_insert(now);
            self.pings += 1;
            return Some(Action::Ping(self.pings));
        }
        None
    }
}

/// The delay before the start after this many earlier deaths in a row.
fn delay(failures: u32) -> Duration {
    FIRST_DELAY
        .saturating_mul(2_u32.saturating_pow(failures))
        .min(LAST_DELAY)
}

#[cfg(test)]
mod tests {
    use super::{Action, CONFINEMENT, Cause, HEALTH, LAST_DELAY, Life, PATIENCE, PING, SILENCE};
    use crate::manifest::Milestone;
    use std::time::{Duration, Instant};

    fn running(now: Instant) -> Life {
        let mut life = Life::default();
        life.may_start(now);
        assert_eq!(life.due(now), Some(Action::Start));
        life.started(now);
        life.reached(Milestone::Confined, now);
        assert_eq!(life.due(now), Some(Action::Ping(1)));
        life
    }

    #[test]
    fn a_service_waits_for_its_turn() {
        let now = Instant::now();
        let mut life = Life::default();
        assert_eq!((life.due(now), life.wake()), (None, None));
        life.may_start(now);
        assert_eq!(life.due(now), Some(Action::Start));
    }

    #[test]
    fn a_service_that_answers_lives_on() {
        let mut now = Instant::now();
        let mut life = running(now);
        life.answered(1, now);
        for number in 2..100 {
            now += PING;
            assert_eq!(life.wake(), Some(now));
            assert_eq!(life.due(now), Some(Action::Ping(number)));
            assert_eq!(life.due(now), None);
            life.answered(number, now);
        }
    }

    #[test]
    fn a_service_that_stops_answering_is_killed_once() {
        let start = Instant::now();
        let mut life = running(start);
        life.answered(1, start);
        let asked = start + PING;
        assert_eq!(life.due(asked), Some(Action::Ping(2)));
        let end = asked + SILENCE;
        assert!(!matches!(
            life.due(end - Duration::from_millis(1)),
            Some(Action::Kill(_))
        ));
        assert_eq!(life.due(end), Some(Action::Kill(Cause::Silence)));
        assert_eq!((life.due(end + SILENCE), life.wake()), (None, None));
        assert_eq!(life.died(end), Some(Cause::Silence));
    }

    #[test]
    fn a_supervisor_that_was_held_up_blames_nobody() {
        let start = Instant::now();
        let mut life = running(start);
        life.answered(1, start);
        assert_eq!(life.due(start + HEALTH), Some(Action::Ping(2)));
    }

    #[test]
    fn a_service_that_answers_late_is_alive() {
        let start = Instant::now();
        let mut life = running(start);
        for number in 2..20 {
            let now = start + PING * u32::try_from(number).unwrap();
            assert_eq!(life.due(now), Some(Action::Ping(number)));
            life.answered(number - 1, now);
        }
    }

    #[test]
    fn an_answer_to_no_ping_is_no_sign_of_life() {
        let start = Instant::now();
        let mut life = running(start);
        life.answered(u64::MAX, start + SILENCE - PING);
        assert_eq!(life.due(start + SILENCE), Some(Action::Kill(Cause::Silence)));
    }

    #[test]
    fn a_service_that_does_not_confine_itself_is_killed() {
        let now = Instant::now();
        let mut life = Life::default();
        life.may_start(now);
        life.started(now);
        assert_eq!(life.due(now + CONFINEMENT - PING), None);
        assert_eq!(life.due(now + CONFINEMENT), Some(Action::Kill(Cause::NotConfined)));
    }

    #[test]
    fn delays_double_up_to_a_limit_and_start_over_after_health() {
        let mut now = Instant::now();
        let mut life = running(now);
        let mut delays = Vec::new();
        for _ in 0..12 {
            life.died(now);
            let until = life.wake().unwrap();
            delays.push(until - now);
            now = until;
            assert_eq!(life.due(now), Some(Action::Start));
            life.started(now);
        }
        assert_eq!(delays[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(delays[11], LAST_DELAY);
        assert!(delays.is_sorted());

        now += HEALTH;
        life.died(now);
        assert_eq!(life.wake(), Some(now + Duration::from_millis(100)));
        assert_eq!(life.starts(), 13);
    }

    #[test]
    fn a_start_that_fails_backs_off_too() {
        let now = Instant::now();
        let mut life = Life::default();
        life.may_start(now);
        assert_eq!(life.due(now), Some(Action::Start));
        life.died(now);
        assert_eq!(life.due(now), None);
        assert_eq!(life.wake(), Some(now + Duration::from_millis(100)));
    }

    #[test]
    fn a_stop_is_not_followed_by_a_start() {
        let now = Instant::now();
        let mut life = running(now);
        assert!(life.stop(now));
        life.died(now);
        assert!(life.is_stopped());
        assert_eq!((life.due(now + HEALTH), life.wake()), (None, None));

        let mut waiting = Life::default();
        assert!(!waiting.stop(now));
        assert!(waiting.is_stopped());
    }

    #[test]
    fn patience_with_a_stop_or_a_failure_ends() {
        let now = Instant::now();
        let mut life = running(now);
        life.stop(now);
        life.answered(1, now + PATIENCE);
        assert_eq!(life.due(now + PATIENCE), Some(Action::Kill(Cause::NotStopped)));

        let mut life = running(now);
        life.should_end(Cause::Failed, now);
        assert_eq!(life.due(now + PATIENCE), Some(Action::Kill(Cause::Failed)));
        life.died(now + PATIENCE);
        assert!(!life.is_stopped());
    }
}
