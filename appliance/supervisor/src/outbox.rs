//! A channel with a bounded queue in front of it: what the supervisor sends never waits.

use redan_ipc::frame::{Encoded, Header, Kind, Received};
use redan_ipc::messages::control::{LIMIT, ToService};
use redan_ipc::{Channel, IpcError};
use std::collections::VecDeque;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;
use std::time::Duration;

/// Messages that may wait for room in the socket. A start of a proxy with 64 threads and a thousand listeners needs about 250.
const CAPACITY: usize = 1024;

/// Why a message was not taken, or the channel is of no use any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutboxError {
    #[error("{CAPACITY} messages wait for it")]
    Full,
    #[error(transparent)]
    Channel(#[from] IpcError),
}

#[derive(Debug)]
pub(crate) struct Outbox {
    channel: Channel,
    queue: VecDeque<(Encoded, Vec<Rc<OwnedFd>>)>,
}

impl Outbox {
    pub(crate) fn new(channel: Channel) -> Result<Self, IpcError> {
        channel.set_nonblocking(true)?;
        Ok(Self {
            channel,
            queue: VecDeque::new(),
        })
    }

    /// Sends a control message, now or when there is room.
    pub(crate) fn notify(&mut self, message: &ToService, descriptors: Vec<Rc<OwnedFd>>) -> Result<(), OutboxError> {
        let header = Header {
            kind: Kind::Notice,
            id: 0,
            wait: Duration::ZERO,
        };
        self.push(Encoded::new(header, message, LIMIT)?, descriptors)
    }

    pub(crate) fn push(&mut self, message: Encoded, descriptors: Vec<Rc<OwnedFd>>) -> Result<(), OutboxError> {
        if self.queue.len() >= CAPACITY {
            return Err(OutboxError::Full);
        }
        self.queue.push_back((message, descriptors));
        self.flush()
    }

    /// Sends what there is room for.
    pub(crate) fn flush(&mut self) -> Result<(), OutboxError> {
        while let Some((message, descriptors)) = self.queue.front() {
            let borrowed: Vec<BorrowedFd<'_>> = descriptors.iter().map(|fd| fd.as_fd()).collect();
            match message.send(&self.channel, &borrowed) {
                Ok(()) => {
                    self.queue.pop_front();
                }
                // A channel that does not wait says so when there is no room.
                Err(IpcError::Deadline) => break,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    pub(crate) fn is_waiting(&self) -> bool {
        !self.queue.is_empty()
    }

    /// The next message, if one has arrived.
    pub(crate) fn receive(&self, buffer: &mut [u8], limit: usize) -> Result<Option<Received>, IpcError> {
        match self.channel.receive(buffer) {
            Ok(packet) => Received::parse(buffer, packet, limit).map(Some),
            Err(IpcError::Deadline) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

impl AsFd for Outbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.channel.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Outbox, OutboxError};
    use redan_ipc::Channel;
    use redan_ipc::messages::control::ToService;

    #[test]
    fn a_peer_that_reads_nothing_fills_the_queue_and_nobody_waits() {
        let (ours, _theirs) = Channel::pair().unwrap();
        let mut outbox = Outbox::new(ours).unwrap();
        let mut sent = 0;
        let error = loop {
            match outbox.notify(&ToService::Ping { number: sent }, Vec::new()) {
                Ok(()) => sent += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, OutboxError::Full), "{error}");
        assert!(sent >= u64::try_from(CAPACITY).unwrap());
    }

    #[test]
    fn what_waited_is_sent_in_order_when_there_is_room() {
        let (ours, theirs) = Channel::pair().unwrap();
        let mut outbox = Outbox::new(ours).unwrap();
        let mut sent = 0;
        while !outbox.is_waiting() {
            outbox.notify(&ToService::Ping { number: sent }, Vec::new()).unwrap();
            sent += 1;
        }
        let reader = Outbox::new(theirs).unwrap();
        let mut buffer = vec![0; redan_ipc::MAX_PACKET];
        let mut expected = 0;
        while expected < sent {
            let Some(received) = reader.receive(&mut buffer, 64).unwrap() else {
                outbox.flush().unwrap();
                continue;
            };
            let ToService::Ping { number } = received.body(&buffer).unwrap() else {
                panic!("another message")
            };
            assert_eq!(number, expected);
            expected += 1;
        }
    }
}
