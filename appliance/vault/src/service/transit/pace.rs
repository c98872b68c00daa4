//! How many items a caller may ask for in a minute: the generic cell rate algorithm, a cell for each caller and key.

use redan_types::{KeyName, Timestamp};
use std::collections::HashMap;

/// The cells. Those that are full again are forgotten.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// When a cell will be full again, in microseconds.
    full: HashMap<(String, KeyName), u64>,
}

impl Pace {
    /// Takes `items` out of a cell of `rate` a minute, which holds a minute's worth.
    ///
    /// # Errors
    /// The milliseconds after which there are enough; at once for more than the cell ever holds, which then waits for a full one.
    pub(super) fn take(
        &mut self,
        caller: &str,
        key: &KeyName,
        items: u32,
        rate: u32,
        now: Timestamp,
    ) -> Result<(), u64> {
        if self.full.len() >= CELLS {
            self.full.retain(|_, full| *full > now.0);
        }
        let each = MINUTE / u64::from(rate.max(1));
        let cost = each.saturating_mul(u64::from(items)).min(MINUTE);
        let full = self.full.entry((caller.to_owned(), key.clone())).or_default();
        let after = (*full).max(now.0).saturating_add(cost);
        let over = after.saturating_sub(now.0.saturating_add(MINUTE));
        if over > 0 {
            return Err(over.div_ceil(1_000));
        }
        *full = after;
        Ok(())
    }
}

/// Callers are users and API keys of ours, of which there are fewer.
const CELLS: usize = 100_000;
/// In microseconds.
const MINUTE: u64 = 60_000_000;

#[cfg(test)]
mod tests {
    use super::{MINUTE, Pace};
    use redan_types::{KeyName, Timestamp};

    #[test]
    fn a_minutes_worth_passes_and_more_waits_for_its_share() {
        let mut pace = Pace::default();
        let key = KeyName::parse("orders").unwrap();
        let start = Timestamp(1_000 * MINUTE);
        for _ in 0..60 {
            assert_eq!(pace.take("user:ann", &key, 1, 60, start), Ok(()));
        }
        assert_eq!(pace.take("user:ann", &key, 1, 60, start), Err(1_000));
        assert_eq!(
            pace.take("user:ben", &key, 1, 60, start),
            Ok(()),
            "others have cells of their own"
        );
        let later = Timestamp(start.0 + 1_000_000);
        assert_eq!(pace.take("user:ann", &key, 1, 60, later), Ok(()));
        assert_eq!(pace.take("user:ann", &key, 30, 60, later), Err(30_000));
    }

    #[test]
    fn a_batch_larger_than_the_cell_empties_it() {
        let mut pace = Pace::default();
        let key = KeyName::parse("orders").unwrap();
        let start = Timestamp(1_000 * MINUTE);
        assert_eq!(pace.take("user:ann", &key, 500, 60, start), Ok(()));
        assert_eq!(pace.take("user:ann", &key, 1, 60, start), Err(1_000));
    }
}
