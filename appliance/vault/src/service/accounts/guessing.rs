//! What stands against guessing passwords: waits for whoever guesses, and places that are known to belong to a user.
//!
//! The waits are in memory: whoever can restart the vault need not guess. The places are stored, since they are what keeps a user
//! in while strangers guess at the account.

use super::{Accounts, Attempt, Model, VERSION};
use crate::service::VaultError;
use crate::service::change::Change;
use crate::store::Tree;
use redan_identity::lockout::LockoutRules;
use redan_identity::session::{SessionToken, TokenHash};
use redan_identity::throttle::{Patience, Source, Throttle, Wait};
use redan_types::{RecordId, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Whom failures are counted for.
#[derive(Clone, Debug, Eq, Hash, PartialEq)]
pub(super) enum Guesser {
    /// An address, whatever names it tries.
    Source(Source),
    /// An address that tries this name.
    At(Source, String),
    /// A browser that signed in with this name before: whoever else is at its address does not slow it down.
    Device(UserName, TokenHash),
    /// A session that changes its password.
    Session(RecordId),
}

/// Where a user signed in from.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct Place {
    source: Source,
    device: TokenHash,
    seen: Timestamp,
}

/// The waits of everybody.
#[derive(Debug)]
pub(super) struct Waits(Mutex<Throttle<Guesser>>);

impl Waits {
    /// As [`Throttle::admit`].
    pub(super) fn admit(&self, guesses: &[(Guesser, Patience)], now: Timestamp) -> Result<u32, Wait> {
        self.throttle().admit(guesses, now)
    }

    /// The password was right. What is counted for an address as a whole goes on, without this attempt: a right password for one
    /// account must not make room for guesses at others.
    pub(super) fn right(&self, guesses: &[(Guesser, Patience)]) {
        let mut throttle = self.throttle();
        for (guesser, _) in guesses {
            match guesser {
                Guesser::Source(_) => throttle.take_back(guesser),
                Guesser::At(..) | Guesser::Device(..) | Guesser::Session(_) => throttle.forget(guesser),
            }
        }
    }

    /// Until when one of these must wait now.
    pub(super) fn until(&self, guesses: &[(Guesser, Patience)], now: Timestamp) -> Option<Timestamp> {
        let throttle = self.throttle();
        guesses
            .iter()
            .filter_map(|(guesser, patience)| throttle.waits(guesser, patience, now))
            .max()
    }

    fn throttle(&self) -> MutexGuard<'_, Throttle<Guesser>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Waits {
    fn default() -> Self {
        Self(Mutex::new(Throttle::new(GUESSERS)))
    }
}

/// Who guesses, as far as an attempt tells.
pub(super) struct Guess {
    /// Whom it counts for.
    pub(super) guessers: Vec<(Guesser, Patience)>,
    /// Whether the user has signed in from there: the account is not closed to this attempt, nor does it close it to others.
    pub(super) familiar: bool,
}

impl Model {
    /// Whom an attempt counts for.
    pub(super) fn guess(&self, attempt: &Attempt, user: Option<&UserName>, now: Timestamp) -> Guess {
        let rules: LockoutRules = self.rules.lockout;
        let source = Source::of(attempt.address);
        let device = attempt.device();
        let places = user.and_then(|user| Some((user, self.places.get(user)?)));
        let recent = |place: &&Place| now.since(place.seen) < REMEMBERED;
        if let Some((user, places)) = places
            && let Some(device) = device
            && places.iter().filter(recent).any(|place| place.device == device)
        {
            return Guess {
                guessers: vec![(Guesser::Device(user.clone(), device), rules.of_guesser())],
                familiar: true,
            };
        }
        Guess {
            guessers: vec![
                (Guesser::At(source, attempt.typed()), rules.of_guesser()),
                (Guesser::Source(source), rules.of_source()),
            ],
            familiar: places
                .is_some_and(|(_, places)| places.iter().filter(recent).any(|place| place.source == source)),
        }
    }

    /// The places of a user after a login: the latest first, this one instead of the one that it was.
    pub(super) fn places_after(
        &self,
        user: &UserName,
        attempt: &Attempt,
        device: TokenHash,
        now: Timestamp,
    ) -> Vec<Place> {
        let before = attempt.device();
        let place = Place {
            source: Source::of(attempt.address),
            device,
            seen: now,
        };
        let kept = self.places.get(user).into_iter().flatten();
        let kept = kept.filter(|place| Some(place.device) != before && now.since(place.seen) < REMEMBERED);
        std::iter::once(place).chain(kept.cloned()).take(PLACES).collect()
    }
}

impl Attempt {
    /// The name as it is counted: not longer than a name can be, since what was typed is foreign.
    pub(super) fn typed(&self) -> String {
        self.user.chars().take(UserName::LIMIT).collect()
    }

    fn device(&self) -> Option<TokenHash> {
        let token = SessionToken::parse(self.device.as_ref()?.expose())?;
        Some(token.hash())
    }
}

impl Accounts {
    /// Reads the places of these users. One that cannot be read is a user without places.
    pub(super) fn read_places(store: &crate::store::Store, model: &mut Model, notes: &mut Vec<String>) {
        for name in model.users.keys() {
            let stored = store.get(Tree::State, crate::store::Name::Secret(&record(name)));
            let read = stored.map_err(VaultError::from).and_then(|bytes| {
                bytes
                    .map(|bytes| crate::service::change::decode::<Vec<Place>>(VERSION, &bytes))
                    .transpose()
            });
            match read {
                Ok(places) => {
                    model.places.extend(places.map(|places| (name.clone(), places)));
                }
                Err(error) => notes.push(error.to_string()),
            }
        }
    }
}

/// The change that stores a user's places.
pub(super) fn stored(user: &UserName, places: &[Place]) -> Result<Change, VaultError> {
    Change::put(Tree::State, &record(user), VERSION, &places)
}

/// The change that forgets a user's places.
pub(super) fn forgotten(user: &UserName) -> Change {
    Change::delete(Tree::State, &record(user))
}

fn record(user: &UserName) -> Vec<u8> {
    format!("places of {user}").into_bytes()
}

/// Guessers that are known at a time, each of about 150 bytes.
const GUESSERS: usize = 16_384;

/// Places of a user.
const PLACES: usize = 16;

/// A place is known for this long after the last login from it; the console's cookie lives as long.
const REMEMBERED: Duration = Duration::from_hours(30 * 24);
