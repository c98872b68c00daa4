//! What administrators do with accounts. Whoever asks is checked here again, whatever the asking service has checked.

use super::{Accounts, FIRST_PASSWORD, Key, Model, User, event, guessing, list, new_id};
use crate::service::VaultError;
use crate::service::change::Change;
use crate::store::Tree;
use redan_identity::api_key::{ApiKey, KeyValidity};
use redan_identity::password::one_time;
use redan_ipc::messages::accounts::{AccountReply, AccountRequest};
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_types::{Process, RecordId, RoleName, SecretString, Timestamp, UserName};
use std::sync::PoisonError;

/// Over which wire a question came: what the asking service can vouch for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Vouched {
    /// The console: it knows sessions and API keys.
    Console,
    /// The manager: it knows the peers of the local operators' socket.
    Manager,
}

impl Accounts {
    /// Answers a question or makes a change, where the actor may.
    pub(crate) fn administrate(
        &self,
        vouched: Vouched,
        actor: &Actor,
        request: &AccountRequest,
        now: Timestamp,
    ) -> Result<AccountReply, VaultError> {
        if let Err(why) = self.model().may_administrate(vouched, actor) {
            let denied = event(now, actor.clone(), action(request), &resource(request), Outcome::Denied);
            self.audit.append(&[denied], Vec::new())?;
            return Ok(AccountReply::Refused(why.to_owned()));
        }
        let answer = match request {
            AccountRequest::Users => return Ok(self.users(now)),
            AccountRequest::Sessions => return Ok(self.sessions(now)),
            AccountRequest::Keys => return Ok(self.keys()),
            AccountRequest::CreateUser { name, roles, password } => self.create_user(actor, name, roles, password, now),
            AccountRequest::SetRoles { name, roles } => self.set_roles(actor, name, roles, now),
            AccountRequest::SetEnabled { name, enabled } => self.set_enabled(actor, name, *enabled, now),
            AccountRequest::ResetPassword { name } => self.reset_password(actor, name, now),
            AccountRequest::RevokeSession { id } => self.revoke_session(actor, *id, now),
            AccountRequest::CreateKey { owner, roles, comment } => self.create_key(actor, owner, roles, comment, now),
            AccountRequest::RotateKey { id } => self.rotate_key(actor, *id, now),
            AccountRequest::RevokeKey { id } => self.revoke_key(actor, *id, now),
        };
        match answer {
            Err(VaultError::Refused(why)) => Ok(AccountReply::Refused(why)),
            Err(VaultError::Missing) => Ok(AccountReply::Refused(format!("there is no {}", resource(request)))),
            other => other,
        }
    }

    fn users(&self, now: Timestamp) -> AccountReply {
        let model = self.model();
        AccountReply::Users(
            model
                .users
                .values()
                .map(|user| user.record(&model.rules, now))
                .collect(),
        )
    }

    fn keys(&self) -> AccountReply {
        let model = self.model();
        let record = |key: &Key| key.record(model.users.get(&key.owner));
        AccountReply::Keys(model.keys.values().map(record).collect())
    }

    fn sessions(&self, now: Timestamp) -> AccountReply {
        let model = self.model();
        let alive = model
            .sessions
            .values()
            .filter(|session| session.times.is_alive(&model.rules.sessions, now));
        let record = |session: &super::Session| Some(session.record(model.users.get(&session.user)?, &model.rules));
        let mut records: Vec<_> = alive.filter_map(record).collect();
        records.sort_unstable_by_key(|record| (record.created, record.id));
        AccountReply::Sessions(records)
    }

    fn create_user(
        &self,
        actor: &Actor,
        name: &UserName,
        roles: &[RoleName],
        password: &SecretString,
        now: Timestamp,
    ) -> Result<AccountReply, VaultError> {
        let rules = self.model().rules.clone();
        rules.check_roles(roles)?;
        rules
            .passwords
            .check(password, name.as_str(), &rules.known, &[], &self.hasher)
            .map_err(|refusal| VaultError::Refused(refusal.to_string()))?;
        let hash = self
            .hasher
            .hash(password)
            .map_err(|error| VaultError::Refused(error.to_string()))?;
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.model().users.contains_key(name) {
            return Err(VaultError::Refused(format!("there is a user {name} already")));
        }
        if self.model().users.len() >= USERS {
            return Err(VaultError::Refused(format!(
                "there are {USERS} users, and no more are possible"
            )));
        }
        let user = User::new(name.clone(), roles.to_vec(), Some(hash), now);
        let mut event = succeeded(now, actor, "user.created", &format!("user/{name}"));
        event.after = Some(list(roles));
        self.change_user(user, event, Vec::new())?;
        Ok(done(None, None))
    }

    fn set_roles(
        &self,
        actor: &Actor,
        name: &UserName,
        roles: &[RoleName],
        now: Timestamp,
    ) -> Result<AccountReply, VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let user = self.find(name)?;
        self.model().rules.check_roles(roles)?;
        let mut event = succeeded(now, actor, "user.roles", &format!("user/{name}"));
        event.before = Some(list(&user.roles));
        event.after = Some(list(roles));
        let user = User {
            roles: roles.to_vec(),
            ..user
        };
        self.model().keeps_an_administrator(&user)?;
        self.change_user(user, event, Vec::new())?;
        Ok(done(None, None))
    }

    fn set_enabled(
        &self,
        actor: &Actor,
        name: &UserName,
        enabled: bool,
        now: Timestamp,
    ) -> Result<AccountReply, VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let user = User {
            enabled,
            ..self.find(name)?
        };
        self.model().keeps_an_administrator(&user)?;
        let action = if enabled { "user.enabled" } else { "user.disabled" };
        self.end_sessions(
            user,
            succeeded(now, actor, action, &format!("user/{name}")),
            Vec::new(),
            !enabled,
        )?;
        Ok(done(None, None))
    }

    fn reset_password(&self, actor: &Actor, name: &UserName, now: Timestamp) -> Result<AccountReply, VaultError> {
        self.find(name)?;
        let password = one_time().map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
        let hash = self
            .hasher
            .hash(&password)
            .map_err(|error| VaultError::Refused(error.to_string()))?;
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut user = self.find(name)?;
        user.earlier.splice(0..0, user.password.replace(hash));
        user.must_change = true;
        user.failures.clear();
        // Whoever signed in until now need not be the one who gets the new password.
        let mut changes = vec![guessing::forgotten(name)];
        if name.as_str() == super::ADMINISTRATOR {
            changes.push(Change::delete(Tree::State, FIRST_PASSWORD));
        }
        self.end_sessions(
            user,
            succeeded(now, actor, "user.password-reset", &format!("user/{name}")),
            changes,
            true,
        )?;
        self.model_mut().places.remove(name);
        Ok(done(None, Some(password)))
    }

    fn revoke_session(&self, actor: &Actor, id: RecordId, now: Timestamp) -> Result<AccountReply, VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let found = self
            .model()
            .sessions
            .iter()
            .find(|(_, session)| session.id == id)
            .map(|(hash, _)| *hash);
        let hash = found.ok_or(VaultError::Missing)?;
        let event = succeeded(now, actor, "session.revoked", &format!("session/{id}"));
        self.audit
            .append(&[event], vec![Change::delete(Tree::Sessions, &hash.0)])?;
        self.model_mut().sessions.remove(&hash);
        Ok(done(Some(id), None))
    }

    fn create_key(
        &self,
        actor: &Actor,
        owner: &UserName,
        roles: &[RoleName],
        comment: &str,
        now: Timestamp,
    ) -> Result<AccountReply, VaultError> {
        if comment.chars().count() > COMMENT {
            return Err(VaultError::Refused(format!(
                "a comment has at most {COMMENT} characters"
            )));
        }
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let lifetime = {
            let model = self.model();
            let user = model.users.get(owner).ok_or(VaultError::Missing)?;
            model.rules.check_roles(roles)?;
            let allowed = model.rules.expand(&user.roles);
            if let Some(role) = roles.iter().find(|role| !allowed.contains(role)) {
                return Err(VaultError::Refused(format!(
                    "{owner} does not have the role {role}, so no key of theirs can"
                )));
            }
            if model.keys.len() >= KEYS {
                return Err(VaultError::Refused(format!(
                    "there are {KEYS} API keys, and no more are possible"
                )));
            }
            model.rules.key_lifetime
        };
        let secret = ApiKey::generate().map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
        let key = Key {
            id: new_id()?,
            owner: owner.clone(),
            roles: roles.to_vec(),
            comment: comment.to_owned(),
            created: now,
            validity: KeyValidity::new(secret.hash(), now, lifetime),
            used: None,
        };
        let id = key.id;
        let mut event = succeeded(now, actor, "key.created", &format!("key/{id}"));
        event.after = Some(format!("{owner}: {}", list(roles)));
        self.change_key(key, event)?;
        Ok(done(Some(id), Some(secret.secret().clone())))
    }

    fn rotate_key(&self, actor: &Actor, id: RecordId, now: Timestamp) -> Result<AccountReply, VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut key, lifetime) = {
            let model = self.model();
            (
                model.keys.get(&id).cloned().ok_or(VaultError::Missing)?,
                model.rules.key_lifetime,
            )
        };
        if key.validity.revoked {
            return Err(VaultError::Refused("the key is revoked; make a new one".to_owned()));
        }
        let secret = ApiKey::generate().map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
        key.validity.rotate(secret.hash(), now, lifetime);
        self.change_key(key, succeeded(now, actor, "key.rotated", &format!("key/{id}")))?;
        Ok(done(Some(id), Some(secret.secret().clone())))
    }

    fn revoke_key(&self, actor: &Actor, id: RecordId, now: Timestamp) -> Result<AccountReply, VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut key = self.model().keys.get(&id).cloned().ok_or(VaultError::Missing)?;
        key.validity.revoked = true;
        self.change_key(key, succeeded(now, actor, "key.revoked", &format!("key/{id}")))?;
        Ok(done(Some(id), None))
    }

    fn find(&self, name: &UserName) -> Result<User, VaultError> {
        self.model().users.get(name).cloned().ok_or(VaultError::Missing)
    }

    fn change_user(&self, user: User, event: AuditEvent, mut changes: Vec<Change>) -> Result<(), VaultError> {
        changes.push(user.stored()?);
        self.audit.append(&[event], changes)?;
        self.model_mut().users.insert(user.name.clone(), user);
        Ok(())
    }

    fn change_key(&self, key: Key, event: AuditEvent) -> Result<(), VaultError> {
        self.audit.append(&[event], vec![key.stored()?])?;
        self.model_mut().insert_key(key);
        Ok(())
    }

    fn end_sessions(
        &self,
        user: User,
        event: AuditEvent,
        mut changes: Vec<Change>,
        end: bool,
    ) -> Result<(), VaultError> {
        let ended = if end { self.sessions_of(&user.name) } else { Vec::new() };
        changes.extend(ended.iter().map(|(hash, _)| Change::delete(Tree::Sessions, &hash.0)));
        self.change_user(user, event, changes)?;
        let mut model = self.model_mut();
        ended.iter().for_each(|(hash, _)| drop(model.sessions.remove(hash)));
        Ok(())
    }
}

impl Model {
    pub(super) fn may_administrate(&self, vouched: Vouched, actor: &Actor) -> Result<(), &'static str> {
        let allowed = match (vouched, actor) {
            // The operators' socket is root's; whoever is at the serial line has the machine in their hands, and told its PIN.
            (Vouched::Manager, Actor::Operator { .. } | Actor::Process(Process::Provision)) => true,
            (_, Actor::User(name)) => UserName::parse(name)
                .ok()
                .and_then(|name| self.users.get(&name))
                .is_some_and(|user| user.enabled && !user.must_change && self.is_admin(&user.roles)),
            (_, Actor::Key { id, .. }) => self
                .keys
                .get(id)
                .filter(|key| !key.validity.revoked)
                .and_then(|key| self.key_roles(key))
                .is_some_and(|roles| self.is_admin(&roles)),
            _ => false,
        };
        if allowed {
            Ok(())
        } else {
            Err("only an administrator may do this")
        }
    }

    /// Refuses a change after which nobody could administrate.
    fn keeps_an_administrator(&self, changed: &User) -> Result<(), VaultError> {
        let able = |user: &User| user.enabled && self.is_admin(&user.roles);
        let others = self.users.values().filter(|user| user.name != changed.name);
        if able(changed) || others.into_iter().any(able) {
            Ok(())
        } else {
            Err(VaultError::Refused(
                "this would leave nobody who may administrate the appliance".to_owned(),
            ))
        }
    }
}

fn succeeded(now: Timestamp, actor: &Actor, action: &str, resource: &str) -> AuditEvent {
    event(now, actor.clone(), action, resource, Outcome::Succeeded)
}

const fn done(id: Option<RecordId>, secret: Option<SecretString>) -> AccountReply {
    AccountReply::Done { id, secret }
}

const fn action(request: &AccountRequest) -> &'static str {
    match request {
        AccountRequest::Users => "user.list",
        AccountRequest::CreateUser { .. } => "user.created",
        AccountRequest::SetRoles { .. } => "user.roles",
        AccountRequest::SetEnabled { enabled: true, .. } => "user.enabled",
        AccountRequest::SetEnabled { enabled: false, .. } => "user.disabled",
        AccountRequest::ResetPassword { .. } => "user.password-reset",
        AccountRequest::Sessions => "session.list",
        AccountRequest::RevokeSession { .. } => "session.revoked",
        AccountRequest::Keys => "key.list",
        AccountRequest::CreateKey { .. } => "key.created",
        AccountRequest::RotateKey { .. } => "key.rotated",
        AccountRequest::RevokeKey { .. } => "key.revoked",
    }
}

fn resource(request: &AccountRequest) -> String {
    match request {
        AccountRequest::Users => "user".to_owned(),
        AccountRequest::Sessions => "session".to_owned(),
        AccountRequest::Keys => "key".to_owned(),
        AccountRequest::CreateUser { name, .. }
        | AccountRequest::SetRoles { name, .. }
        | AccountRequest::SetEnabled { name, .. }
        | AccountRequest::ResetPassword { name }
        | AccountRequest::CreateKey { owner: name, .. } => format!("user/{name}"),
        AccountRequest::RevokeSession { id } => format!("session/{id}"),
        AccountRequest::RotateKey { id } | AccountRequest::RevokeKey { id } => format!("key/{id}"),
    }
}

const USERS: usize = 10_000;
const KEYS: usize = 10_000;
const COMMENT: usize = 256;
