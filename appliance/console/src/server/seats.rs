//! Who has a connection, how many, and which of them gives way.
//!
//! A connection that waits for its client (for a handshake, a head, a body, or for an answer to be taken that anybody may have)
//! keeps its seat only as long as nobody needs it. One that works for an operator keeps it in any case. So whoever fills an address
//! with silence takes nothing from the next client of that address, and whoever fills the console with many addresses makes room
//! where most is taken.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// The seats of one console.
#[derive(Clone, Debug)]
pub(super) struct Seats {
    table: Arc<Mutex<Table>>,
    most: usize,
    most_of_one: usize,
}

#[derive(Debug, Default)]
struct Table {
    taken: HashMap<IpAddr, Vec<Taken>>,
    count: usize,
    /// What the next one to sit down or to wait is told: the order of age.
    next: u64,
}

#[derive(Debug)]
struct Taken {
    id: u64,
    /// Since when it waits for its client; `None` while it must not give way.
    waiting: Option<u64>,
    leave: Arc<Notify>,
}

/// A connection's place; given back when dropped.
#[derive(Debug)]
pub(super) struct Seat {
    seats: Seats,
    source: IpAddr,
    id: u64,
    leave: Arc<Notify>,
}

impl Seats {
    pub(super) fn new(most: usize, most_of_one: usize) -> Self {
        Self {
            table: Arc::default(),
            most,
            most_of_one,
        }
    }

    /// A seat for a connection from this address, if there is one or another can give way.
    pub(super) fn take(&self, address: IpAddr) -> Option<Seat> {
        let source = network(address);
        let mut table = self.table();
        if table
            .taken
            .get(&source)
            .is_some_and(|own| own.len() >= self.most_of_one)
            && !table.free_one_of(source)
        {
            return None;
        }
        if table.count >= self.most && !table.free_one() {
            return None;
        }
        table.next += 1;
        let (id, leave) = (table.next, Arc::new(Notify::new()));
        table.count += 1;
        table.taken.entry(source).or_default().push(Taken {
            id,
            waiting: Some(id),
            leave: Arc::clone(&leave),
        });
        Some(Seat {
            seats: self.clone(),
            source,
            id,
            leave,
        })
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// It works: nobody takes its seat.
    pub(super) fn works(&self) {
        let mut table = self.seats.table();
        if let Some(taken) = table.find(self.source, self.id) {
            taken.waiting = None;
        }
    }

    /// It waits for its client, from now on.
    pub(super) fn waits(&self) {
        let mut table = self.seats.table();
        table.next += 1;
        let now = table.next;
        if let Some(taken) = table.find(self.source, self.id) {
            taken.waiting = Some(now);
        }
    }

    /// Ends when another connection has taken the seat.
    pub(super) async fn taken_away(&self) {
        self.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.seats.table().remove(self.source, self.id);
    }
}

impl Table {
    fn find(&mut self, source: IpAddr, id: u64) -> Option<&mut Taken> {
        self.taken.get_mut(&source)?.iter_mut().find(|taken| taken.id == id)
    }

    fn remove(&mut self, source: IpAddr, id: u64) {
        let Some(own) = self.taken.get_mut(&source) else { return };
        if let Some(at) = own.iter().position(|taken| taken.id == id) {
            own.swap_remove(at);
            self.count = self.count.saturating_sub(1);
        }
        if own.is_empty() {
            self.taken.remove(&source);
        }
    }

    /// Takes the seat of the one of this source that has waited longest.
    fn free_one_of(&mut self, source: IpAddr) -> bool {
        let own = self.taken.get(&source).map(Vec::as_slice).unwrap_or_default();
        let oldest = own.iter().filter(|taken| taken.waiting.is_some());
        let Some(oldest) = oldest.min_by_key(|taken| taken.waiting) else {
            return false;
        };
        let id = oldest.id;
        // Kept for a connection that is not listening at this moment.
        oldest.leave.notify_one();
        self.remove(source, id);
        true
    }

    /// Takes a seat where most are taken; among equals, from whoever has waited longest.
    fn free_one(&mut self) -> bool {
        let waiting = |own: &Vec<Taken>| own.iter().filter_map(|taken| taken.waiting).min();
        let fullest = self
            .taken
            .iter()
            .filter_map(|(source, own)| Some((own.len(), std::cmp::Reverse(waiting(own)?), *source)))
            .max();
        fullest.is_some_and(|(_, _, source)| self.free_one_of(source))
    }
}

/// Whoever has one address of an IPv6 network of 64 bits has them all.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & (u128::MAX << 64)).into()),
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::{Seat, Seats};

    fn take(seats: &Seats, address: &str) -> Option<Seat> {
        seats.take(address.parse().unwrap())
    }

    fn is_taken_away(seat: &Seat) -> bool {
        use futures_util::FutureExt as _;
        seat.taken_away().now_or_never().is_some()
    }

    #[test]
    fn the_one_that_has_waited_longest_gives_way_to_a_new_one_of_its_address() {
        let seats = Seats::new(100, 3);
        let all: Vec<_> = (0..3).map(|_| take(&seats, "192.0.2.1").unwrap()).collect();
        all[0].waits();
        let new = take(&seats, "192.0.2.1").unwrap();
        let away: Vec<_> = all.iter().map(is_taken_away).collect();
        assert_eq!(away, [false, true, false], "the second has waited longest by now");
        drop(all);
        drop(new);
        assert_eq!(seats.table().count, 0, "and a seat is given back once");
    }

    #[test]
    fn one_that_works_keeps_its_seat() {
        let seats = Seats::new(100, 2);
        let all: Vec<_> = (0..2).map(|_| take(&seats, "2001:db8::1").unwrap()).collect();
        all.iter().for_each(Seat::works);
        assert!(take(&seats, "2001:db8::2").is_none(), "of the same network of 64 bits");
        assert!(take(&seats, "2001:db8:0:1::2").is_some());
        all[1].waits();
        assert!(take(&seats, "2001:db8::2").is_some());
        assert!(is_taken_away(&all[1]) && !is_taken_away(&all[0]));
    }

    #[test]
    fn a_full_console_makes_room_where_most_is_taken() {
        let seats = Seats::new(5, 4);
        let many: Vec<_> = (0..4).map(|_| take(&seats, "192.0.2.1").unwrap()).collect();
        let one = take(&seats, "192.0.2.2").unwrap();
        let other = take(&seats, "192.0.2.3").unwrap();
        assert!(is_taken_away(&many[0]) && !is_taken_away(&one) && !is_taken_away(&other));
        assert_eq!(seats.table().count, 5);
    }
}
