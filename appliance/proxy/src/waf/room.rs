//! Memory for bodies that wait to be inspected: so much for all, and no client and no service can have all of it.

use crate::source::Source;
use redan_types::ServiceName;
use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Bytes of memory for bodies and what the engine makes of them, of all threads together.
pub(crate) const ALL: usize = 512 << 20;
/// The part of it that one client may have.
const CLIENT: usize = 8;
/// The part of it that one service may have.
const SERVICE: usize = 2;

/// How much there is, and who has it.
#[derive(Debug)]
pub(crate) struct Room {
    all: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    clients: HashMap<Source, usize>,
    services: HashMap<ServiceName, usize>,
}

impl Room {
    pub(crate) fn new(all: usize) -> Self {
        Self {
            all,
            taken: Mutex::default(),
        }
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one request has of the room. It gives it back at its end.
#[derive(Debug)]
pub(crate) struct Held {
    room: Arc<Room>,
    client: Source,
    service: ServiceName,
    own: usize,
}

impl Held {
    /// Nothing yet.
    pub(crate) fn nothing(room: &Arc<Room>, client: Source, service: &ServiceName) -> Self {
        Self {
            room: Arc::clone(room),
            client,
            service: service.clone(),
            own: 0,
        }
    }

    /// Has so many bytes from now on; false, and nothing changes, where that would be more than there is for all, for the client or
    /// for the service.
    pub(crate) fn have(&mut self, bytes: usize) -> bool {
        let more = bytes.saturating_sub(self.own);
        let mut taken = self.room.taken();
        let of = |had: Option<&usize>| had.copied().unwrap_or(0).saturating_add(more);
        let fits = more == 0
            || (taken.all.saturating_add(more) <= self.room.all
                && of(taken.clients.get(&self.client)) <= self.room.all / CLIENT
                && of(taken.services.get(&self.service)) <= self.room.all / SERVICE);
        if fits {
            taken.change(self.client, &self.service, self.own, bytes);
            self.own = bytes;
        }
        fits
    }

    /// Has so many bytes from now on, whatever others have: they are in use already.
    pub(crate) fn settle(&mut self, bytes: usize) {
        self.room.taken().change(self.client, &self.service, self.own, bytes);
        self.own = bytes;
    }

    /// How many bytes it has.
    pub(crate) const fn bytes(&self) -> usize {
        self.own
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.settle(0);
    }
}

impl Taken {
    fn change(&mut self, client: Source, service: &ServiceName, from: usize, to: usize) {
        if from == to {
            return;
        }
        self.all = self.all.saturating_sub(from).saturating_add(to);
        changed(&mut self.clients, &client, from, to);
        changed(&mut self.services, service, from, to);
    }
}

/// Who has nothing is not listed.
fn changed<K: Eq + Hash + Clone>(shares: &mut HashMap<K, usize>, key: &K, from: usize, to: usize) {
    let share = shares.entry(key.clone()).or_default();
    *share = share.saturating_sub(from).saturating_add(to);
    if *share == 0 {
        shares.remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::{Held, Room};
    use crate::source::Source;
    use redan_types::ServiceName;
    use std::sync::Arc;

    fn held(room: &Arc<Room>, client: &str, service: &str) -> Held {
        let service = ServiceName::parse(service).unwrap();
        Held::nothing(room, Source::of(client.parse().unwrap()), &service)
    }

    #[test]
    fn neither_a_client_nor_a_service_can_have_all_of_it() {
        let room = Arc::new(Room::new(800));
        let mut first = held(&room, "192.0.2.1", "shop");
        let mut again = held(&room, "192.0.2.1", "wiki");
        assert!(first.have(60) && again.have(40));
        assert!(!first.have(61) && !again.have(41), "a client has an eighth");
        let others: Vec<Held> = (2..=6)
            .map(|client| {
                let mut other = held(&room, &format!("192.0.2.{client}"), "shop");
                assert!(other.have(68));
                other
            })
            .collect();
        assert!(!held(&room, "192.0.2.9", "shop").have(1), "a service has half");
        assert!(held(&room, "192.0.2.9", "wiki").have(100));
        drop(others);
        assert!(held(&room, "192.0.2.9", "shop").have(100));
    }

    #[test]
    fn what_is_given_back_is_there_again_and_nobody_is_remembered() {
        let room = Arc::new(Room::new(800));
        let mut one = held(&room, "2001:db8::1", "shop");
        assert!(one.have(100) && one.have(20));
        let mut same = held(&room, "2001:db8::2", "shop");
        assert!(
            same.have(80) && !same.have(81),
            "addresses of one network are one client"
        );
        one.settle(500);
        assert!(!held(&room, "192.0.2.1", "shop").have(1));
        drop(one);
        drop(same);
        let taken = room.taken();
        assert!(taken.all == 0 && taken.clients.is_empty() && taken.services.is_empty());
    }
}
