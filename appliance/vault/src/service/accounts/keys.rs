//! Whose API key is this?

use super::Accounts;
use redan_identity::api_key::ApiKey;
use redan_ipc::messages::accounts::Principal;
use redan_types::{SecretString, Timestamp};
use std::time::Duration;

impl Accounts {
    /// The principal behind a key as it was presented; `None` for one that is malformed, unknown, expired or revoked, or whose owner
    /// may not act. Waits for nothing but a lock held for look-ups.
    pub(crate) fn resolve(&self, presented: &SecretString, now: Timestamp) -> Option<Principal> {
        let hash = ApiKey::parse(presented.expose()).ok()?.hash();
        let (principal, noted) = {
            let model = self.model();
            let key = model.keys.get(model.by_hash.get(&hash)?)?;
            let until = key.validity.accepts(&hash, now)?;
            let roles = model.key_roles(key)?;
            let noted = key.used.is_some_and(|used| now.since(used) < NOTED);
            (
                Principal {
                    id: key.id,
                    user: key.owner.clone(),
                    roles,
                    until,
                },
                noted,
            )
        };
        if !noted {
            let mut model = self.model_mut();
            if let Some(key) = model.keys.get_mut(&principal.id) {
                key.used = Some(now);
                model.used_keys.insert(principal.id);
            }
        }
        Some(principal)
    }
}

/// The last use is known to the minute.
const NOTED: Duration = Duration::from_mins(1);
