//! Which sessions are alive, as far as the console has seen: an event stream must end with its session, and asking the vault would
//! count as a use of it, so that a page left open would never sign anybody out.

use redan_ipc::messages::accounts::SessionRecord;
use redan_types::{RecordId, Timestamp, UserName};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The most sessions remembered; the vault bounds them far below.
const MOST: usize = 10_000;

/// Sessions in use.
#[derive(Debug, Default)]
pub struct Sessions {
    seen: Mutex<HashMap<RecordId, (UserName, Timestamp)>>,
}

impl Sessions {
    /// The session was used just now; the record says until when that keeps it.
    pub fn used(&self, record: &SessionRecord) {
        let mut seen = self.lock();
        if seen.len() >= MOST {
            let used = record.used;
            seen.retain(|_, (_, until)| *until > used);
        }
        if seen.len() < MOST {
            seen.insert(record.id, (record.user.clone(), record.idle_until.min(record.until)));
        }
    }

    /// The session has been ended.
    pub fn ended(&self, id: RecordId) {
        self.lock().remove(&id);
    }

    /// All sessions of a user have been ended, but this one.
    pub fn ended_of(&self, user: &UserName, but: Option<RecordId>) {
        self.lock().retain(|id, (owner, _)| owner != user || Some(*id) == but);
    }

    /// Whether the session is still alive.
    #[must_use]
    pub fn alive(&self, id: RecordId, now: Timestamp) -> bool {
        self.lock().get(&id).is_some_and(|(_, until)| now < *until)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<RecordId, (UserName, Timestamp)>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::Sessions;
    use redan_ipc::messages::accounts::SessionRecord;
    use redan_types::{RecordId, Timestamp, UserName};

    fn record(id: u8, user: &str) -> SessionRecord {
        SessionRecord {
            id: RecordId([id; 8]),
            user: UserName::parse(user).unwrap(),
            roles: Vec::new(),
            must_change: false,
            created: Timestamp(0),
            used: Timestamp(0),
            idle_until: Timestamp(100),
            until: Timestamp(1_000),
            address: None,
            agent: None,
        }
    }

    #[test]
    fn a_session_lives_until_its_idle_time_or_its_end() {
        let sessions = Sessions::default();
        let (ann, bob, other) = (record(1, "ann"), record(2, "bob"), record(3, "ann"));
        for record in [&ann, &bob, &other] {
            sessions.used(record);
        }
        assert!(sessions.alive(ann.id, Timestamp(99)));
        assert!(!sessions.alive(ann.id, Timestamp(100)));
        sessions.ended_of(&ann.user, Some(other.id));
        assert!(!sessions.alive(ann.id, Timestamp(1)));
        assert!(sessions.alive(other.id, Timestamp(1)) && sessions.alive(bob.id, Timestamp(1)));
        sessions.ended(bob.id);
        assert!(!sessions.alive(bob.id, Timestamp(1)));
    }
}
