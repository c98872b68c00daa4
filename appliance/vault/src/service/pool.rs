//! Bounded pools of threads: what may wait does so here, and never on a wire's own thread.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};

/// A task: called with `true` to be done, with `false` when there is no room for it, so that it can say so to whoever waits.
type Task = Box<dyn FnOnce(bool) + Send>;

/// Threads that take tasks from one bounded queue.
#[derive(Debug)]
pub(crate) struct Pool {
    tasks: SyncSender<Task>,
}

impl Pool {
    /// Starts a pool. `yielding` threads run below the priority of those that answer handshakes.
    pub(crate) fn start(name: &'static str, threads: usize, queue: usize, yielding: bool) -> std::io::Result<Self> {
        let (tasks, todo) = sync_channel::<Task>(queue);
        let todo = Arc::new(Mutex::new(todo));
        for number in 0..threads {
            let todo = Arc::clone(&todo);
            std::thread::Builder::new()
                .name(format!("{name}-{number}"))
                .spawn(move || {
                    if yielding {
                        // Refused where the sandbox does not know the call; the work is then done at the usual priority.
                        let _ = rustix::process::setpriority_process(None, NICE);
                    }
                    while let Some(task) = next(&todo) {
                        task(true);
                    }
                })?;
        }
        Ok(Self { tasks })
    }

    /// Hands a task over, or refuses it at once where the queue is full.
    pub(crate) fn run(&self, task: impl FnOnce(bool) + Send + 'static) {
        if let Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) = self.tasks.try_send(Box::new(task)) {
            task(false);
        }
    }
}

fn next(todo: &Mutex<Receiver<Task>>) -> Option<Task> {
    todo.lock().unwrap_or_else(PoisonError::into_inner).recv().ok()
}

const NICE: i32 = 10;

#[cfg(test)]
mod tests {
    use super::Pool;
    use std::sync::mpsc::channel;

    #[test]
    fn a_full_queue_refuses_at_once_and_says_so() {
        let pool = Pool::start("test", 1, 1, true).unwrap();
        let (hold, held) = channel::<()>();
        let (tell, told) = channel();
        let begun = tell.clone();
        pool.run(move |_| {
            begun.send("begun").unwrap();
            held.recv().unwrap();
        });
        assert_eq!(told.recv().unwrap(), "begun");
        for _ in 0..2 {
            let tell = tell.clone();
            pool.run(move |accepted| tell.send(if accepted { "done" } else { "refused" }).unwrap());
        }
        assert_eq!(told.recv().unwrap(), "refused");
        hold.send(()).unwrap();
        assert_eq!(told.recv().unwrap(), "done");
    }
}
