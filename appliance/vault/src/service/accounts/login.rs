//! Logging in, sessions, and changing one's own password. Everything here that hashes runs in the hashing pool.

use super::guessing::{self, Guess, Guesser};
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
    /// What an earlier login gave to the client.
    pub(crate) device: Option<SecretString>,
}

impl Accounts {
    /// Logs somebody in. Takes as long for a name that nobody has as for a wrong password, and says no more.
    ///
    /// An attempt counts as a failure from here on, and is taken back when the password is right: nothing that fails on the way
    /// gives a guess away for nothing.
    pub(crate) fn login(&self, attempt: &Attempt, now: Timestamp) -> Result<LoginOutcome, VaultError> {
        let name = UserName::parse(&attempt.user).ok();
        let (hash, closed, guess) = {
            let model = self.model();
            let user = name.as_ref().and_then(|name| model.users.get(name));
            let failures = user.map_or_else(|| model.strangers.get(&attempt.typed()), |user| Some(&user.failures));
            let closed = failures.and_then(|failures| failures.locked(&model.rules.lockout.of_account(), now));
            (
                user.filter(|user| user.enabled).and_then(|user| user.password.clone()),
                closed,
                model.guess(attempt, user.map(|user| &user.name), now),
            )
        };
        let refused = match self.waits.admit(&guess.guessers, now) {
            Ok(refused) => refused,
            Err(wait) => {
                // One entry for each wait: whoever knocks on must not fill the log.
                if wait.first {
                    let why = format!(
                        "too many wrong passwords from there: none is looked at until {}",
                        wait.until
                    );
                    self.audit
                        .append(&[attempt.event(now, Outcome::Denied, &why)], Vec::new())?;
                }
                return Ok(locked_for(wait.until, now));
            }
        };
        if let Some(until) = closed.filter(|_| !guess.familiar) {
            let why = "too many wrong passwords from many addresses: open to addresses and browsers only that signed in before";
            self.audit.append(
                &[attempt.event(now, Outcome::Denied, &with_refused(why, refused))],
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
                let welcome = self.welcome(user, attempt, refused, now)?;
                self.waits.right(&guess.guessers);
                Ok(welcome)
            }
            (user, _) => self.refuse(user, attempt, &guess, refused, now),
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
        // Counted for this session: nobody outside of it slows it down, and it is no way around the waits of others.
        let guesser = [(Guesser::Session(record.id), rules.lockout.of_guesser())];
        let denied = |message: String| {
            let mut denied = event(
                now,
                actor.clone(),
                "user.password",
                &resource(&user.name),
                Outcome::Denied,
            );
            denied.message = message;
            denied
        };
        let refused = match self.waits.admit(&guesser, now) {
            Ok(refused) => refused,
            Err(wait) => {
                let seconds = wait.until.since(now).as_secs().saturating_add(1);
                if wait.first {
                    let why = format!("too many wrong passwords: none is looked at until {}", wait.until);
                    self.audit.append(&[denied(why)], Vec::new())?;
                }
                return Err(VaultError::Refused(format!(
                    "too many wrong passwords; wait {seconds} seconds"
                )));
            }
        };
        if !self.hasher.verify(old, user.password.as_ref()) {
            let why = with_refused("the old password is wrong", refused);
            self.audit.append(&[denied(why)], Vec::new())?;
            return Err(VaultError::Refused("the old password is wrong".to_owned()));
        }
        self.waits.right(&guesser);
        let earlier: Vec<PasswordHash> = user.password.iter().chain(&user.earlier).cloned().collect();
        rules
            .passwords
            .check(new, user.name.as_str(), &rules.known, &earlier, &self.hasher)
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

    fn welcome(
        &self,
        mut user: User,
        attempt: &Attempt,
        refused: u32,
        now: Timestamp,
    ) -> Result<LoginOutcome, VaultError> {
        let token = || SessionToken::generate().map_err(|_| VaultError::Form("the kernel gives no random bytes"));
        let (token, device) = (token()?, token()?);
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
        let places = self.model().places_after(&user.name, attempt, device.hash(), now);
        let mut changes = vec![
            user.stored()?,
            session.stored(&token.hash())?,
            guessing::stored(&user.name, &places)?,
        ];
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
        self.audit.append(
            &[attempt.event(now, Outcome::Succeeded, &with_refused("", refused))],
            changes,
        )?;
        let mut model = self.model_mut();
        model.places.insert(user.name.clone(), places);
        old.iter().for_each(|(_, hash)| drop(model.sessions.remove(hash)));
        let record = session.record(&user, &model.rules);
        model.users.insert(user.name.clone(), user);
        model.sessions.insert(token.hash(), session);
        Ok(LoginOutcome::Session {
            token: token.secret().clone(),
            session: record,
            device: device.secret().clone(),
        })
    }

    fn refuse(
        &self,
        user: Option<User>,
        attempt: &Attempt,
        guess: &Guess,
        refused: u32,
        now: Timestamp,
    ) -> Result<LoginOutcome, VaultError> {
        let rules = self.model().rules.lockout.of_account();
        let (closed, user) = match user {
            // The user's own mistakes close nothing.
            Some(user) if guess.familiar => (None, Some(user)),
            Some(mut user) => (user.failures.failed(&rules, now), Some(user)),
            None => {
                let mut model = self.model_mut();
                let typed = attempt.typed();
                if model.strangers.len() >= STRANGERS && !model.strangers.contains_key(&typed) {
                    let oldest = model.strangers.iter().min_by_key(|(_, failures)| failures.last());
                    if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
                        model.strangers.remove(&oldest);
                    }
                }
                (model.strangers.entry(typed).or_default().failed(&rules, now), None)
            }
        };
        let changes = match &user {
            Some(user) if !guess.familiar => vec![user.stored()?],
            _ => Vec::new(),
        };
        let why = if closed.is_some() {
            "wrong name or password; the account is now closed to addresses and browsers that have not signed in before"
        } else {
            "wrong name or password"
        };
        self.audit.append(
            &[attempt.event(now, Outcome::Denied, &with_refused(why, refused))],
            changes,
        )?;
        if let Some(user) = user {
            self.model_mut().users.insert(user.name.clone(), user);
        }
        let until = self.waits.until(&guess.guessers, now).max(closed);
        Ok(until.map_or(LoginOutcome::Wrong, |until| locked_for(until, now)))
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

/// A message with how many attempts were turned away without an entry of their own.
fn with_refused(message: &str, refused: u32) -> String {
    match refused {
        0 | 1 => message.to_owned(),
        refused => {
            let more = format!("{} more attempts were refused meanwhile", refused - 1);
            if message.is_empty() {
                more
            } else {
                format!("{message}; {more}")
            }
        }
    }
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
