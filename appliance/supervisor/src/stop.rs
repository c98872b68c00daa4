//! The orderly end.

use redan_ipc::messages::control::ToService;
use redan_types::Process;
use std::time::Instant;

use crate::log::say;
use crate::manifest::STOP;
use crate::supervisor::{SELF, Supervisor};

impl Supervisor {
    /// Begins the orderly end.
    pub(crate) fn begin_stop(&mut self) {
        if self.stopping.is_none() {
            say(SELF, "stopping");
            self.stopping = Some(0);
            self.stop_next();
        }
    }

    /// Asks the next group to stop.
    pub(crate) fn stop_next(&mut self) {
        let Some(group) = self.stopping.and_then(|next| STOP.get(next)) else {
            return;
        };
        self.stopping = self.stopping.map(|next| next + 1);
        let now = Instant::now();
        for index in 0..self.services.len() {
            if let Some(service) = self.services.get_mut(index)
                && group.contains(&service.entry.process)
                && service.life.stop(now)
            {
                self.send(index, (ToService::Stop, Vec::new()));
            }
        }
    }

    /// Goes on to the next group when the ones before have ended.
    pub(crate) fn continue_stop(&mut self) {
        while let Some(next) = self.stopping {
            let before = STOP.iter().take(next).copied().flatten();
            let ended = |process: &Process| {
                self.services
                    .iter()
                    .all(|service| service.entry.process != *process || service.process.is_none())
            };
            if next >= STOP.len() || !before.into_iter().all(ended) {
                return;
            }
            self.stop_next();
        }
    }
}
