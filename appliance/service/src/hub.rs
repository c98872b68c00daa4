//! Everything that the supervisor has passed, and who waits for more of it.

use crate::control;
use crate::pulse::{Pulse, Pulses};
use redan_ipc::Channel;
use redan_ipc::messages::control::{End, FromService, Listener, Need, Purpose, ToService};
use redan_types::Generation;
use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The listeners of a configuration; each socket is shared with whoever uses it.
#[derive(Debug, Default)]
pub struct ListenerSet {
    /// The configuration that they belong to.
    pub generation: Generation,
    /// Where each listens, for which thread, and the socket.
    pub entries: Vec<(Listener, Arc<OwnedFd>)>,
}

/// A message out of order, or without the descriptors that it should carry.
#[derive(Debug, thiserror::Error)]
#[error("a message with other descriptors than it should carry, or out of order")]
pub(crate) struct Unexpected;

/// What arrived before the start.
#[derive(Default)]
pub(crate) struct Initial {
    wires: HashMap<Wire, Channel>,
    files: HashMap<Purpose, OwnedFd>,
    /// What was asked for and cannot be had, and why.
    lacks: Vec<(Need, String)>,
    collecting: ListenerSet,
    listeners: Option<Arc<ListenerSet>>,
}

#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Wire {
    pair: u8,
    end: End,
    index: u16,
}

/// Which wires somebody takes: all of a pair and end, or one.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
struct Taker {
    pair: u8,
    end: End,
    index: Option<u16>,
}

type TakeWire = Box<dyn Fn(u16, Channel) + Send + Sync>;
type TakeVerdict = Box<dyn Fn(Result<(), String>) + Send + Sync>;
type TakeListeners = Box<dyn Fn(Arc<ListenerSet>) + Send + Sync>;

/// Shared by the control thread and the service's own.
pub(crate) struct Hub {
    channel: Arc<Channel>,
    // Lock order: `initial` before `wire_takers` before `listener_takers`; `pulses` and `verdict_taker` alone.
    initial: Mutex<Initial>,
    arrived: Condvar,
    wire_takers: Mutex<HashMap<Taker, TakeWire>>,
    listener_takers: Mutex<Vec<TakeListeners>>,
    verdict_taker: Mutex<Option<TakeVerdict>>,
    pulses: Mutex<Pulses>,
}

impl Initial {
    /// Every descriptor that has arrived, so that the sandbox keeps them.
    pub(crate) fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        let wires = self.wires.values().map(AsFd::as_fd);
        let files = self.files.values().map(AsFd::as_fd);
        let listeners = self
            .listeners
            .iter()
            .flat_map(|set| &set.entries)
            .map(|(_, socket)| socket.as_fd());
        wires.chain(files).chain(listeners).collect()
    }

    /// Takes a message in.
    pub(crate) fn take(&mut self, message: ToService, descriptors: Vec<OwnedFd>) -> Result<(), Unexpected> {
        match message {
            ToService::Wire {
                pair,
                end,
                index,
                generation: _,
            } => {
                let socket = only(descriptors)?;
                self.wires
                    .insert(Wire { pair, end, index }, Channel::from_descriptor(socket));
            }
            ToService::File { purpose } => {
                self.files.insert(purpose, only(descriptors)?);
            }
            ToService::Lacks { need, why } => {
                self.lacks.retain(|(other, _)| *other != need);
                self.lacks.push((need, why));
            }
            ToService::Listeners {
                generation,
                entries,
                complete,
            } => {
                if entries.len() != descriptors.len() {
                    return Err(Unexpected);
                }
                if self.collecting.generation != generation {
                    self.collecting = ListenerSet {
                        generation,
                        entries: Vec::new(),
                    };
                }
                self.collecting
                    .entries
                    .extend(entries.into_iter().zip(descriptors.into_iter().map(Arc::new)));
                if complete {
                    self.listeners = Some(Arc::new(std::mem::take(&mut self.collecting)));
                }
            }
            ToService::Begin { .. }
            | ToService::Ping { .. }
            | ToService::Started
            | ToService::Stop
            | ToService::Verdict(_) => {
                return Err(Unexpected);
            }
        }
        Ok(())
    }

    pub(crate) fn take_file(&mut self, purpose: Purpose) -> Option<OwnedFd> {
        self.files.remove(&purpose)
    }

    pub(crate) fn take_wire(&mut self, pair: u8, end: End) -> Option<Channel> {
        self.wires.remove(&Wire { pair, end, index: 0 })
    }
}

impl Hub {
    pub(crate) fn new(channel: Arc<Channel>, initial: Initial) -> Self {
        Self {
            channel,
            initial: Mutex::new(initial),
            arrived: Condvar::new(),
            wire_takers: Mutex::default(),
            listener_takers: Mutex::default(),
            verdict_taker: Mutex::default(),
            pulses: Mutex::default(),
        }
    }

    pub(crate) fn channel(&self) -> &Channel {
        &self.channel
    }

    pub(crate) fn tell(&self, message: &FromService) {
        control::tell(&self.channel, message);
    }

    pub(crate) fn take_file(&self, purpose: Purpose) -> Option<OwnedFd> {
        lock(&self.initial).take_file(purpose)
    }

    pub(crate) fn take_wire(&self, pair: u8, end: End) -> Option<Channel> {
        lock(&self.initial).take_wire(pair, end)
    }

    pub(crate) fn forget_lack(&self, need: Need) {
        lock(&self.initial).lacks.retain(|(other, _)| *other != need);
    }

    /// Waits until `take` finds what was asked for, or the supervisor says that it cannot be had.
    pub(crate) fn await_supply<T>(
        &self,
        need: Need,
        patience: Duration,
        take: impl Fn(&mut Initial) -> Option<T>,
    ) -> io::Result<T> {
        let until = Instant::now() + patience;
        let mut initial = lock(&self.initial);
        loop {
            if let Some(found) = take(&mut initial) {
                return Ok(found);
            }
            if let Some(at) = initial.lacks.iter().position(|(other, _)| *other == need) {
                return Err(io::Error::other(initial.lacks.swap_remove(at).1));
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::ErrorKind::TimedOut.into());
            }
            initial = self
                .arrived
                .wait_timeout(initial, left)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }

    pub(crate) fn pulse(&self) -> Pulse {
        lock(&self.pulses).add(Instant::now())
    }

    pub(crate) fn alive(&self, now: Instant) -> bool {
        lock(&self.pulses).alive(now)
    }

    /// Takes a message that came after the start and hands its content to whoever waits for it.
    pub(crate) fn take(&self, message: ToService, descriptors: Vec<OwnedFd>) -> Result<(), Unexpected> {
        let mut initial = lock(&self.initial);
        let listeners = matches!(message, ToService::Listeners { complete: true, .. });
        initial.take(message, descriptors)?;
        self.arrived.notify_all();
        hand_over(&mut initial, &lock(&self.wire_takers));
        if listeners && let Some(set) = &initial.listeners {
            lock(&self.listener_takers)
                .iter()
                .for_each(|take| take(Arc::clone(set)));
        }
        Ok(())
    }

    /// Hands every wire of a pair and end to `take`.
    pub(crate) fn on_wires(&self, pair: u8, end: End, take: TakeWire) {
        self.add_taker(Taker { pair, end, index: None }, take);
    }

    /// Hands the asking end of one of a pair's wires to `take`.
    pub(crate) fn on_wire(&self, pair: u8, index: u16, take: impl Fn(Channel) + Send + Sync + 'static) {
        let taker = Taker {
            pair,
            end: End::Client,
            index: Some(index),
        };
        self.add_taker(taker, Box::new(move |_, channel| take(channel)));
    }

    fn add_taker(&self, taker: Taker, take: TakeWire) {
        let mut initial = lock(&self.initial);
        let mut takers = lock(&self.wire_takers);
        takers.insert(taker, take);
        hand_over(&mut initial, &takers);
    }

    pub(crate) fn on_verdict(&self, take: TakeVerdict) {
        *lock(&self.verdict_taker) = Some(take);
    }

    /// Hands a verdict to whoever waits for it; nobody does but the update service.
    pub(crate) fn judge(&self, verdict: Result<(), String>) {
        if let Some(take) = &*lock(&self.verdict_taker) {
            take(verdict);
        }
    }

    pub(crate) fn on_listeners(&self, take: TakeListeners) {
        let initial = lock(&self.initial);
        if let Some(set) = &initial.listeners {
            take(Arc::clone(set));
        }
        lock(&self.listener_takers).push(take);
    }
}

/// Hands over the wires that somebody takes; the others wait for their taker.
fn hand_over(initial: &mut Initial, takers: &HashMap<Taker, TakeWire>) {
    let wires = std::mem::take(&mut initial.wires);
    for (wire, channel) in wires {
        let Wire { pair, end, index } = wire;
        let taker = takers
            .get(&Taker {
                pair,
                end,
                index: Some(index),
            })
            .or_else(|| takers.get(&Taker { pair, end, index: None }));
        match taker {
            Some(take) => take(index, channel),
            None => {
                initial.wires.insert(wire, channel);
            }
        }
    }
}

fn only(descriptors: Vec<OwnedFd>) -> Result<OwnedFd, Unexpected> {
    let [one] = <[OwnedFd; 1]>::try_from(descriptors).map_err(|_| Unexpected)?;
    Ok(one)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::{Hub, Initial};
    use redan_ipc::Channel;
    use redan_ipc::messages::control::{End, Listener, ToService};
    use redan_types::Generation;
    use std::os::fd::OwnedFd;
    use std::sync::mpsc::channel;
    use std::sync::{Arc, Mutex};

    fn hub() -> Hub {
        Hub::new(Arc::new(Channel::pair().unwrap().0), Initial::default())
    }

    fn wire(index: u16) -> (ToService, Vec<OwnedFd>) {
        let message = ToService::Wire {
            pair: 9,
            end: End::Client,
            index,
            generation: 1,
        };
        (message, vec![Channel::pair().unwrap().0.into_descriptor()])
    }

    #[test]
    fn a_wire_waits_for_its_taker_and_goes_to_no_other() {
        let hub = hub();
        let (sender, receiver) = channel();
        let zero = Mutex::new(sender.clone());
        hub.on_wire(9, 0, move |_| zero.lock().unwrap().send(0).unwrap());
        for index in [1, 0] {
            let (message, descriptors) = wire(index);
            hub.take(message, descriptors).unwrap();
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [0]);
        let one = Mutex::new(sender);
        hub.on_wire(9, 1, move |_| one.lock().unwrap().send(1).unwrap());
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [1]);
    }

    #[test]
    fn listeners_are_handed_over_when_their_set_is_complete() {
        let hub = hub();
        let (sender, receiver) = channel();
        let sender = Mutex::new(sender);
        hub.on_listeners(Box::new(move |set| {
            sender.lock().unwrap().send(set.entries.len()).unwrap();
        }));
        let part = |port: u16, complete| {
            let entries = vec![Listener {
                address: ([127, 0, 0, 1], port).into(),
                thread: 0,
            }];
            let message = ToService::Listeners {
                generation: Generation(4),
                entries,
                complete,
            };
            (message, vec![Channel::pair().unwrap().0.into_descriptor()])
        };
        for (port, complete) in [(1, false), (2, true)] {
            let (message, descriptors) = part(port, complete);
            hub.take(message, descriptors).unwrap();
        }
        assert_eq!(receiver.try_iter().collect::<Vec<_>>(), [2]);
    }

    #[test]
    fn a_message_without_its_descriptor_is_refused() {
        let (message, _) = wire(0);
        assert!(hub().take(message, Vec::new()).is_err());
        assert!(hub().take(ToService::Started, Vec::new()).is_err());
    }
}
