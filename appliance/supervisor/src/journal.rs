//! What happened to services, until the manager has put it into the audit log.

use redan_ipc::messages::status::{ServiceEvent, ServiceEventKind};
use redan_types::{Process, Timestamp};
use std::collections::VecDeque;

/// Events kept: hours of a service that dies at once each time.
const KEPT: usize = 1024;
/// Events in an answer: with their details well below the limit of the pair.
const ANSWERED: usize = 128;
/// Bytes of an event's detail.
const DETAIL: usize = 1024;

#[derive(Debug, Default)]
pub(crate) struct Journal {
    events: VecDeque<ServiceEvent>,
    last: u64,
}

impl Journal {
    pub(crate) fn record(&mut self, time: Timestamp, process: Process, kind: ServiceEventKind, detail: &str) {
        self.last += 1;
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        let detail = detail.chars().take(DETAIL / 4).collect();
        self.events.push_back(ServiceEvent {
            number: self.last,
            time,
            process,
            kind,
            detail,
        });
    }

    /// The oldest events after this number.
    pub(crate) fn after(&self, number: u64) -> Vec<ServiceEvent> {
        self.events
            .iter()
            .filter(|event| event.number > number)
            .take(ANSWERED)
            .cloned()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{ANSWERED, Journal, KEPT};
    use redan_ipc::messages::status::ServiceEventKind;
    use redan_types::{Process, Timestamp};

    #[test]
    fn events_are_numbered_bounded_and_read_in_portions() {
        let mut journal = Journal::default();
        for _ in 0..KEPT + 10 {
            journal.record(Timestamp(1), Process::Proxy, ServiceEventKind::Died, "exit status 1");
        }
        let first = journal.after(0);
        assert_eq!((first.len(), first[0].number), (ANSWERED, 11));
        let mut seen = 0;
        let mut last = 0;
        while let [.., newest] = journal.after(last).as_slice() {
            seen += usize::try_from(newest.number - last.max(10)).unwrap();
            last = newest.number;
        }
        assert_eq!((seen, last), (KEPT, u64::try_from(KEPT + 10).unwrap()));
    }
}
