//! Random identifiers for requests, drawn in batches: one system call for many.

use redan_types::IncidentId;
use std::cell::RefCell;

/// A thread's supply.
pub(crate) struct Incidents(RefCell<Supply>);

struct Supply {
    bytes: [u8; Self::SIZE],
    used: usize,
}

impl Supply {
    const SIZE: usize = 4_096;
}

impl Incidents {
    pub(crate) const fn new() -> Self {
        Self(RefCell::new(Supply {
            bytes: [0; Supply::SIZE],
            used: Supply::SIZE,
        }))
    }

    /// A fresh identifier.
    pub(crate) fn next(&self) -> IncidentId {
        let mut supply = self.0.borrow_mut();
        if supply.used >= Supply::SIZE {
            if getrandom::fill(&mut supply.bytes).is_err() {
                // The identifier only ties a page to a log entry: one that repeats is better than no answer.
                return IncidentId([0; 8]);
            }
            supply.used = 0;
        }
        let used = supply.used;
        supply.used += 8;
        let drawn = supply.bytes.get(used..).and_then(<[u8]>::first_chunk);
        IncidentId(drawn.copied().unwrap_or_default())
    }
}

/// The identifier in hexadecimal, without an allocation.
pub(crate) fn hexadecimal(id: IncidentId) -> [u8; 16] {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'0'; 16];
    for (pair, byte) in text.chunks_exact_mut(2).zip(id.0) {
        let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0');
        if let [high, low] = pair {
            *high = digit(byte >> 4);
            *low = digit(byte & 0xf);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::{Incidents, hexadecimal};
    use std::collections::HashSet;

    #[test]
    fn identifiers_do_not_repeat() {
        let incidents = Incidents::new();
        let seen: HashSet<_> = (0..2_000).map(|_| incidents.next()).collect();
        assert_eq!(seen.len(), 2_000);
    }

    #[test]
    fn an_identifier_is_written_as_it_prints() {
        let id = Incidents::new().next();
        assert_eq!(hexadecimal(id), id.to_string().as_bytes());
    }
}
