//! Logging in, sessions, and changing one's own password. Everything here that hashes runs in the hashing pool.

use super::{Accounts, FIRST_PASSWORD, Session, User, event, new_id};
use crate::service::VaultError;
use crate::service::change::Change;
use crate::store::Tree;
use redan_identity::password::PasswordHash;
use redan_identity::session::{SessionTimes, SessionToken, TokenHash};
use redan_ipc::messages::accounts::SessionRecord;
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::vault::LoginOutcome;
use redan_types::{RecordId, SecretString, Timestamp, UserName};
use std::net::IpAddr;
use std::sync::PoisonError;

/// Who logs in, from where.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) user: String,
    pub(crate) password: SecretString,
    pub(crate) address: IpAddr,
    pub(crate) agent: Option<String>,
}

impl Accounts {
    /// Logs somebody in. Takes as long for a name that nobody has as for a wrong password, and says no more.
    pub(crate) fn login(&self, attempt: &Attempt, now: Timestamp) -> Result<LoginOutcome, VaultError> {
        let name = UserName::parse(&attempt.user).ok();
        let (hash, locked) = {
            let model = self.model();
            let user = name.as_ref().and_then(|name| model.users.get(name));
            let failures = user.map_or_else(|| model.strangers.get(&attempt.user), |user| Some(&user.failures));
            let locked = failures.and_then(|failures| failures.locked(&model.rules.lockout, now));
            (
                user.filter(|user| user.enabled).and_then(|user| user.password.clone()),
                locked,
            )
        };
        if let Some(until) = locked {
            self.hasher.dummy_verify(&attempt.password);
            self.audit.append(
                &[attempt.event(now, Outcome::Denied, "the account is locked after too many failures")],
                Vec::new(),
            )?;
            return Ok(locked_for(until, now));
        }
        let good = self.hasher.verify(&attempt.password, hash.as_ref());
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        // The user may have changed while the password was hashed.
        let user = name.and_then(|name| self.model().users.get(&name).cloned());
        match (user, hash) {
            (Some(user), Some(hash))
                if good && user.enabled && user.password.as_ref().is_some_and(|now| same(now, &hash)) =>
            {
                self.welcome(user, attempt, now)
            }
            (user, _) => self.refuse(user, attempt, now),
        }
    }

    /// The session of a token, where it is alive; counts as a use.
    pub(crate) fn session(&self, token: &SecretString, now: Timestamp) -> Option<SessionRecord> {
        let hash = SessionToken::parse(token.expose())?.hash();
        let mut model = self.model_mut();
        let rules = model.rules.sessions;
        let session = model.sessions.get_mut(&hash)?;
        if !session.times.touch(&rules, now) {
            return None;
        }
        let session = session.clone();
        model.used_sessions.insert(hash);
        let user = model.users.get(&session.user).filter(|user| user.enabled)?;
        Some(session.record(user, &model.rules))
    }

    /// Ends a session. One that has ended already is no error.
    pub(crate) fn logout(&self, token: &SecretString, now: Timestamp) -> Result<(), VaultError> {
        let Some(hash) = SessionToken::parse(token.expose()).map(|token| token.hash()) else {
            return Ok(());
        };
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(session) = self.model().sessions.get(&hash).cloned() else {
            return Ok(());
        };
        let event = event(
            now,
            Actor::User(session.user.to_string()),
            "user.logout",
            &resource(&session.user),
            Outcome::Succeeded,
        );
        self.audit
            .append(&[event], vec![Change::delete(Tree::Sessions, &hash.0)])?;
        self.model_mut().sessions.remove(&hash);
        Ok(())
    }

    /// Changes one's own password: the old one is checked as at a login, and the user's other sessions end.
    pub(crate) fn change_password(
        &self,
        token: &SecretString,
        old: &SecretString,
        new: &SecretString,
        now: Timestamp,
    ) -> Result<(), VaultError> {
        let record = self
            .session(token, now)
            .ok_or_else(|| VaultError::Refused("the session has ended".to_owned()))?;
        let (user, rules) = {
            let model = self.model();
            let user = model.users.get(&record.user).cloned().ok_or(VaultError::Missing)?;
            (user, model.rules.clone())
        };
        let actor = Actor::User(user.name.to_string());
        if user.failures.locked(&rules.lockout, now).is_some() || !self.hasher.verify(old, user.password.as_ref()) {
            let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
            let mut user = self
                .model()
                .users
                .get(&record.user)
                .cloned()
                .ok_or(VaultError::Missing)?;
            user.failures.failed(&rules.lockout, now);
            let denied = event(now, actor, "user.password", &resource(&user.name), Outcome::Denied);
            self.audit.append(&[denied], vec![user.stored()?])?;
            self.model_mut().users.insert(user.name.clone(), user);
            return Err(VaultError::Refused("the old password is wrong".to_owned()));
        }
        let earlier: Vec<PasswordHash> = user.password.iter().chain(&user.earlier).cloned().collect();
        rules
            .passwords
            .check(new, user.name.as_str(), is_trivial, &earlier, &self.hasher)
            .map_err(|refusal| VaultError::Refused(refusal.to_string()))?;
        let hash = self
            .hasher
            .hash(new)
            .map_err(|error| VaultError::Refused(error.to_string()))?;
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut user = self
            .model()
            .users
            .get(&record.user)
            .cloned()
            .ok_or(VaultError::Missing)?;
        user.earlier = earlier;
        user.earlier.truncate(usize::from(rules.passwords.history));
        user.password = Some(hash);
        user.must_change = false;
        user.failures.clear();
        let mut ended = self.sessions_of(&user.name);
        ended.retain(|(_, id)| *id != record.id);
        let mut changes = vec![user.stored()?];
        changes.extend(ended.iter().map(|(hash, _)| Change::delete(Tree::Sessions, &hash.0)));
        if user.name.as_str() == super::ADMINISTRATOR {
            changes.push(Change::delete(Tree::State, FIRST_PASSWORD));
        }
        self.audit.append(
            &[event(
                now,
                actor,
                "user.password",
                &resource(&user.name),
                Outcome::Succeeded,
            )],
            changes,
        )?;
        let mut model = self.model_mut();
        model.users.insert(user.name.clone(), user);
        ended.iter().for_each(|(hash, _)| drop(model.sessions.remove(hash)));
        Ok(())
    }

    /// The sessions of a user.
    pub(super) fn sessions_of(&self, name: &UserName) -> Vec<(TokenHash, RecordId)> {
        let model = self.model();
        model
            .sessions
            .iter()
            .filter(|(_, session)| session.user == *name)
            .map(|(hash, session)| (*hash, session.id))
            .collect()
    }

    fn welcome(&self, mut user: User, attempt: &Attempt, now: Timestamp) -> Result<LoginOutcome, VaultError> {
        let token = SessionToken::generate().map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
        user.failures.clear();
        user.last_login = Some(now);
        if let Some(hash) = user.password.as_ref().filter(|hash| self.hasher.is_outdated(hash)) {
            // A hash of older work is made again; where that fails, the old one is still good.
            user.password = Some(self.hasher.hash(&attempt.password).unwrap_or_else(|_| hash.clone()));
        }
        let session = Session {
            id: new_id()?,
            user: user.name.clone(),
            times: SessionTimes::begin(now),
            address: Some(attempt.address),
            agent: attempt
                .agent
                .as_deref()
                .map(|agent| agent.chars().take(AGENT).collect()),
        };
        let mut changes = vec![user.stored()?, session.stored(&token.hash())?];
        // A user's oldest sessions give way, so that they cannot fill the memory.
        let mut old = {
            let model = self.model();
            let mine = model.sessions.iter().filter(|(_, session)| session.user == user.name);
            mine.map(|(hash, session)| (session.times.used, *hash))
                .collect::<Vec<_>>()
        };
        old.sort_unstable();
        old.truncate((old.len() + 1).saturating_sub(SESSIONS));
        changes.extend(old.iter().map(|(_, hash)| Change::delete(Tree::Sessions, &hash.0)));
        self.audit
            .append(&[attempt.event(now, Outcome::Succeeded, "")], changes)?;
        let mut model = self.model_mut();
        old.iter().for_each(|(_, hash)| drop(model.sessions.remove(hash)));
        let record = session.record(&user, &model.rules);
        model.users.insert(user.name.clone(), user);
        model.sessions.insert(token.hash(), session);
        Ok(LoginOutcome::Session {
            token: token.secret().clone(),
            session: record,
        })
    }

    fn refuse(&self, user: Option<User>, attempt: &Attempt, now: Timestamp) -> Result<LoginOutcome, VaultError> {
        let rules = self.model().rules.lockout;
        let (locked, changes, user) = match user {
            Some(mut user) => {
                let locked = user.failures.failed(&rules, now);
                (locked, vec![user.stored()?], Some(user))
            }
            None => {
                let mut model = self.model_mut();
                if model.strangers.len() >= STRANGERS {
                    model.strangers.clear();
                }
                // Not longer than a name can be: what was typed is foreign.
                let typed = attempt.user.chars().take(UserName::LIMIT).collect();
                (
                    model.strangers.entry(typed).or_default().failed(&rules, now),
                    Vec::new(),
                    None,
                )
            }
        };
        let why = if locked.is_some() {
            "wrong name or password; the account is now locked"
        } else {
            "wrong name or password"
        };
        self.audit
            .append(&[attempt.event(now, Outcome::Denied, why)], changes)?;
        if let Some(user) = user {
            self.model_mut().users.insert(user.name.clone(), user);
        }
        Ok(locked.map_or(LoginOutcome::Wrong, |until| locked_for(until, now)))
    }
}

impl Attempt {
    fn event(&self, now: Timestamp, outcome: Outcome, message: &str) -> AuditEvent {
        // What was typed as a name may be a password typed in the wrong field: only names are repeated.
        let name = UserName::parse(&self.user).ok().map(|name| name.to_string());
        let resource = name
            .as_ref()
            .map_or_else(|| "user".to_owned(), |name| format!("user/{name}"));
        let actor = match (outcome, name) {
            (Outcome::Succeeded, Some(name)) => Actor::User(name),
            _ => Actor::Anonymous,
        };
        let mut event = event(now, actor, "user.login", &resource, outcome);
        event.address = Some(self.address);
        event.agent.clone_from(&self.agent);
        event.message = message.to_owned();
        event
    }
}

/// Passwords that are no secret whatever their length: few different characters, or one step repeated (`abcdefgh`, `98765432`).
pub(super) fn is_trivial(folded: &str) -> bool {
    let characters: Vec<u32> = folded.chars().map(u32::from).collect();
    let mut different = characters.clone();
    different.sort_unstable();
    different.dedup();
    let step = |pair: &[u32]| i64::from(pair[1]) - i64::from(pair[0]);
    let mut steps = characters.windows(2).map(step);
    let first = steps.next();
    different.len() < 5 || steps.all(|step| Some(step) == first)
}

fn locked_for(until: Timestamp, now: Timestamp) -> LoginOutcome {
    let seconds = until.since(now).as_secs().saturating_add(1);
    LoginOutcome::Locked {
        seconds: u32::try_from(seconds).unwrap_or(u32::MAX),
    }
}

fn same(one: &PasswordHash, other: &PasswordHash) -> bool {
    one.as_str() == other.as_str()
}

fn resource(name: &UserName) -> String {
    format!("user/{name}")
}

const AGENT: usize = 256;
const SESSIONS: usize = 20;
const STRANGERS: usize = 4_096;
