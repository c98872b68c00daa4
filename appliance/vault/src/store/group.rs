//! Group commit: whoever comes first works for all who wait.
//!
//! There is no writer thread. A caller joins the queue; if nobody leads, it takes everything that waits, does the work for all of
//! them at once and tells each its outcome. While it works, the next group gathers, and the first of those leads next. Each caller
//! sleeps on its own: nobody is woken who has nothing to do.
//!
//! A leader first gives those who have just been served a moment to come back: as many callers as were seen lately, or a fraction
//! of what the work took lately, whichever comes first. Without it, callers that each wait for their own acknowledgement fall
//! into two camps that take turns, and every sync serves half of them. A single caller never waits for anybody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// A queue whose members work for each other. `J` is what a caller wants done, `R` what it is told.
pub struct GroupCommit<J, R> {
    queue: Mutex<Queue<J, R>>,
    /// The most weight of one group; a single job may be heavier.
    limit: usize,
}

struct Queue<J, R> {
    waiting: VecDeque<Waiting<J, R>>,
    led: bool,
    /// Units of all jobs that ever joined.
    joined: u64,
    /// How many callers were seen lately, and how long the work took.
    lately: usize,
    took: Duration,
    /// The leader that waits for this many.
    gathering: Option<(Thread, usize)>,
}

struct Waiting<J, R> {
    job: J,
    weight: usize,
    before: u64,
    ticket: Arc<Ticket<R>>,
}

struct Ticket<R> {
    told: Mutex<Option<Told<R>>>,
    thread: Thread,
}

enum Told<R> {
    Done(R),
    Lead,
}

/// A caller's place in the queue, to be given back to [`GroupCommit::finish`] by the same thread.
#[must_use = "whoever joins must finish, or nobody may lead"]
pub struct Place<R> {
    ticket: Arc<Ticket<R>>,
    /// Units that joined before this job, since the beginning.
    pub before: u64,
}

/// A job of a group, with the units that joined before it.
#[derive(Debug)]
pub struct Member<J> {
    /// What is wanted.
    pub job: J,
    /// Units that joined before it.
    pub before: u64,
}

impl<J, R: Clone> GroupCommit<J, R> {
    /// An empty queue whose groups weigh at most `limit`.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self {
            queue: Mutex::new(Queue {
                waiting: VecDeque::new(),
                led: false,
                joined: 0,
                lately: 0,
                took: Duration::ZERO,
                gathering: None,
            }),
            limit,
        }
    }

    /// Joins the queue. `units` are counted for whoever wants to know how many came before.
    pub fn join(&self, job: J, weight: usize, units: u64) -> Place<R> {
        let ticket = Arc::new(Ticket {
            told: Mutex::new(None),
            thread: std::thread::current(),
        });
        let mut queue = self.queue();
        let before = queue.joined;
        queue.joined += units;
        queue.waiting.push_back(Waiting {
            job,
            weight,
            before,
            ticket: Arc::clone(&ticket),
        });
        if !queue.led {
            queue.led = true;
            ticket.tell(Told::Lead);
        }
        if let Some((leader, wanted)) = &queue.gathering
            && queue.waiting.len() >= *wanted
        {
            leader.unpark();
            queue.gathering = None;
        }
        Place { ticket, before }
    }

    /// Waits for the outcome of the job that joined; where this caller is to lead, does `work` for a group.
    pub fn finish(&self, place: &Place<R>, work: impl Fn(&mut Vec<Member<J>>) -> R) -> R {
        loop {
            match place.ticket.take() {
                None => std::thread::park(),
                Some(Told::Done(result)) => return result,
                Some(Told::Lead) => self.lead(&work),
            }
        }
    }

    fn lead(&self, work: &impl Fn(&mut Vec<Member<J>>) -> R) {
        self.gather();
        let mut queue = self.queue();
        let mut weight = 0_usize;
        let fits = queue.waiting.iter().take_while(|waiting| {
            weight = weight.saturating_add(waiting.weight);
            weight <= self.limit
        });
        let count = fits.count().max(1).min(queue.waiting.len());
        let (mut group, tickets): (Vec<_>, Vec<_>) = queue
            .waiting
            .drain(..count)
            .map(
                |Waiting {
                     job, before, ticket, ..
                 }| (Member { job, before }, ticket),
            )
            .unzip();
        drop(queue);
        let begin = Instant::now();
        let result = work(&mut group);
        let took = begin.elapsed();
        drop(group);
        for ticket in tickets {
            ticket.tell(Told::Done(result.clone()));
        }
        let mut queue = self.queue();
        queue.took = took;
        queue.lately = count + queue.waiting.len();
        match queue.waiting.front() {
            Some(next) => next.ticket.tell(Told::Lead),
            None => queue.led = false,
        }
    }

    /// Gives those who were served a moment ago the time to come back.
    fn gather(&self) {
        let mut queue = self.queue();
        let (wanted, patience) = (queue.lately, (queue.took / PATIENCE).min(PATIENCE_LIMIT));
        if wanted <= queue.waiting.len() {
            return;
        }
        let begin = Instant::now();
        while queue.waiting.len() < wanted {
            let Some(left) = patience.checked_sub(begin.elapsed()).filter(|left| !left.is_zero()) else {
                break;
            };
            queue.gathering = Some((std::thread::current(), wanted));
            drop(queue);
            std::thread::park_timeout(left);
            queue = self.queue();
        }
        queue.gathering = None;
    }

    fn queue(&self) -> MutexGuard<'_, Queue<J, R>> {
        // Nothing that could panic is done while it is held.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<R> Ticket<R> {
    fn tell(&self, told: Told<R>) {
        *self.told.lock().unwrap_or_else(PoisonError::into_inner) = Some(told);
        self.thread.unpark();
    }

    fn take(&self) -> Option<Told<R>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<J, R> std::fmt::Debug for GroupCommit<J, R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("GroupCommit(..)")
    }
}

impl<R> std::fmt::Debug for Place<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Place")
            .field("before", &self.before)
            .finish_non_exhaustive()
    }
}

/// A leader waits for at most this fraction of what the work took lately, and never longer than the limit.
const PATIENCE: u32 = 4;
const PATIENCE_LIMIT: Duration = Duration::from_millis(1);

#[cfg(test)]
mod tests {
    use super::GroupCommit;
    use std::collections::BTreeSet;
    use std::sync::Mutex;
    use std::time::Duration;

    #[test]
    fn every_job_is_done_once_and_each_caller_hears_of_its_own_group() {
        let group = GroupCommit::<u64, usize>::new(usize::MAX);
        let done = Mutex::new((Vec::new(), 0_usize));
        std::thread::scope(|scope| {
            for caller in 0..16_u64 {
                let (group, done) = (&group, &done);
                scope.spawn(move || {
                    for i in 0..50 {
                        let job = caller * 50 + i;
                        let place = group.join(job, 1, 1);
                        let number = group.finish(&place, |members| {
                            std::thread::sleep(Duration::from_micros(200));
                            let mut done = done.lock().unwrap();
                            done.1 += 1;
                            let number = done.1;
                            done.0
                                .extend(members.iter().map(|member| (member.job, member.before, number)));
                            number
                        });
                        assert!(done.lock().unwrap().0.contains(&(job, place.before, number)));
                    }
                });
            }
        });
        let (jobs, groups) = done.into_inner().unwrap();
        assert_eq!(jobs.iter().map(|job| job.0).collect::<BTreeSet<_>>().len(), 800);
        assert_eq!(jobs.len(), 800);
        // They come in the order in which they joined.
        assert!(jobs.windows(2).all(|pair| pair[0].1 + 1 == pair[1].1));
        assert!(groups < 400, "{groups} groups for 800 jobs: nothing was shared");
    }

    #[test]
    fn a_group_weighs_no_more_than_the_limit_unless_it_is_one_job() {
        let group = GroupCommit::<usize, ()>::new(10);
        std::thread::scope(|scope| {
            for weight in [4, 4, 4, 25, 9, 2, 8] {
                let group = &group;
                scope.spawn(move || {
                    let place = group.join(weight, weight, 0);
                    group.finish(&place, |members| {
                        let all: usize = members.iter().map(|member| member.job).sum();
                        assert!(all <= 10 || members.len() == 1, "{all}");
                    });
                });
            }
        });
    }
}
