//! Users, sessions and API keys, as the vault answers about them.

use super::World;
use redan_console::now;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest, KeyRecord, UserRecord};
use redan_types::{SecretString, Timestamp, UserName};
use std::time::Duration;

impl World {
    pub(super) fn accounts(&mut self, request: AccountRequest) -> AccountReply {
        let done = |secret: Option<&str>, id| AccountReply::Done {
            id,
            secret: secret.map(|text| SecretString::new(text.to_owned())),
        };
        match request {
            AccountRequest::Users => {
                let mut names: Vec<_> = self.roles.keys().cloned().collect();
                names.sort();
                let user = |name: String| UserRecord {
                    roles: self.roles[&name].clone(),
                    enabled: !self.disabled.contains(&name),
                    must_change: self.passwords[&name].1,
                    locked_until: None,
                    created: Timestamp(1_795_000_000_000_000),
                    last_login: None,
                    name: UserName::parse(&name).unwrap(),
                };
                AccountReply::Users(names.into_iter().map(user).collect())
            }
            AccountRequest::CreateUser { name, roles, password } => {
                if self.passwords.contains_key(name.as_str()) {
                    return AccountReply::Refused("There is a user of this name.".to_owned());
                }
                self.passwords
                    .insert(name.to_string(), (password.expose().to_owned(), true));
                self.roles.insert(name.to_string(), roles);
                done(None, None)
            }
            AccountRequest::SetRoles { name, roles } => {
                self.roles.insert(name.to_string(), roles);
                done(None, None)
            }
            AccountRequest::SetEnabled { name, enabled } => {
                if enabled {
                    self.disabled.remove(name.as_str())
                } else {
                    self.disabled.insert(name.to_string())
                };
                done(None, None)
            }
            AccountRequest::ResetPassword { name } => {
                self.passwords
                    .insert(name.to_string(), ("made-up-once".to_owned(), true));
                done(Some("made-up-once"), None)
            }
            AccountRequest::Sessions => AccountReply::Sessions(self.sessions.values().cloned().collect()),
            AccountRequest::RevokeSession { id } => {
                self.sessions.retain(|_, session| session.id != id);
                done(None, Some(id))
            }
            AccountRequest::Keys => AccountReply::Keys(self.keys.clone()),
            AccountRequest::CreateKey { owner, roles, comment } => {
                let id = self.id();
                let until = now().after(Duration::from_secs(90 * 86_400));
                self.keys.push(KeyRecord {
                    id,
                    owner,
                    roles,
                    comment,
                    created: now(),
                    until,
                    previous_until: None,
                    used: None,
                    revoked: false,
                    owner_enabled: true,
                });
                done(Some("redan_made_up_for_this_test"), Some(id))
            }
            AccountRequest::RotateKey { id } => done(Some("redan_rotated_for_this_test"), Some(id)),
            AccountRequest::RevokeKey { id } => {
                self.keys
                    .iter_mut()
                    .filter(|key| key.id == id)
                    .for_each(|key| key.revoked = true);
                done(None, Some(id))
            }
        }
    }
}
