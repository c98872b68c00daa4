//! Users, sessions and API keys: held in memory, changed durably together with the audit entry about the change.
//!
//! Readers (is this session alive, whose key is this) take `model` for a look-up and never wait for a disk. A change is made by one
//! thread at a time under `changing`: it works out what shall be, makes that durable, and then takes it over into the model.

mod admin;
mod guessing;
mod keys;
mod login;
mod stored;

pub(crate) use admin::Vouched;
pub(crate) use login::Attempt;

use guessing::{Place, Waits};

use super::VaultError;
use super::audit::AuditLog;
use super::change::{Change, decode};
use crate::store::{Name, Store, Tree};
use redan_identity::api_key::{KeyHash, KeyValidity};
use redan_identity::lockout::{Failures, LockoutRules};
use redan_identity::password::{Hasher, PasswordHash, PasswordRules, one_time};
use redan_identity::session::{SessionRules, SessionTimes, TokenHash};
use redan_identity::weak::Known;
use redan_ipc::messages::accounts::{KeyRecord, SessionRecord, UserRecord};
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::slice::VaultSlice;
use redan_types::{Process, RecordId, RoleName, SecretString, Timestamp, UserName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

/// Everything about identities.
#[derive(Debug)]
pub(crate) struct Accounts {
    store: Arc<Store>,
    audit: Arc<AuditLog>,
    hasher: Hasher,
    /// Locked for a look-up only, and never while another lock is taken.
    waits: Waits,
    // Lock order: `changing`, then `model`.
    changing: Mutex<()>,
    model: RwLock<Model>,
}

#[derive(Debug, Default)]
struct Model {
    rules: Rules,
    users: BTreeMap<UserName, User>,
    sessions: HashMap<TokenHash, Session>,
    keys: BTreeMap<RecordId, Key>,
    by_hash: HashMap<KeyHash, RecordId>,
    /// Failures for names that nobody has: closed like the others, so that a lock does not tell which names exist.
    strangers: HashMap<String, Failures>,
    /// Where users signed in from.
    places: HashMap<UserName, Vec<Place>>,
    /// Sessions and keys whose last use is not stored yet.
    used_sessions: HashSet<TokenHash>,
    used_keys: HashSet<RecordId>,
}

/// The rules of the running configuration.
#[derive(Clone, Debug)]
struct Rules {
    passwords: PasswordRules,
    /// What a guesser knows.
    known: Known,
    lockout: LockoutRules,
    sessions: SessionRules,
    key_lifetime: Duration,
    /// Each role with those that it includes.
    roles: BTreeMap<RoleName, Vec<RoleName>>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct User {
    name: UserName,
    roles: Vec<RoleName>,
    enabled: bool,
    must_change: bool,
    /// `None` until an administrator gives the user a one-time password.
    password: Option<PasswordHash>,
    earlier: Vec<PasswordHash>,
    /// From strangers; see [`LockoutRules::of_account`].
    failures: Failures,
    created: Timestamp,
    last_login: Option<Timestamp>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Session {
    id: RecordId,
    user: UserName,
    times: SessionTimes,
    address: Option<IpAddr>,
    agent: Option<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
struct Key {
    id: RecordId,
    owner: UserName,
    roles: Vec<RoleName>,
    comment: String,
    created: Timestamp,
    validity: KeyValidity,
    used: Option<Timestamp>,
}

impl Accounts {
    /// Reads what is stored. Returns what could not be read, in words.
    pub(crate) fn open(store: Arc<Store>, audit: Arc<AuditLog>) -> Result<(Self, Vec<String>), VaultError> {
        let mut notes = Vec::new();
        let mut model = Model::default();
        if let Some(bytes) = store.get(Tree::State, Name::Secret(RULES))? {
            model.rules = Rules::new(&stored::read_rules(&bytes)?);
        }
        for record in read_all::<User>(&store, Tree::Users, &mut notes)? {
            model.users.insert(record.1.name.clone(), record.1);
        }
        Self::read_places(&store, &mut model, &mut notes);
        for (name, session) in read_all::<Session>(&store, Tree::Sessions, &mut notes)? {
            if let Ok(hash) = <[u8; 32]>::try_from(name.as_slice()) {
                model.sessions.insert(TokenHash(hash), session);
            }
        }
        for (_, key) in read_all::<Key>(&store, Tree::ApiKeys, &mut notes)? {
            model.insert_key(key);
        }
        let hasher = Hasher::new().map_err(|error| VaultError::Refused(error.to_string()))?;
        Ok((
            Self {
                store,
                audit,
                hasher,
                waits: Waits::default(),
                changing: Mutex::default(),
                model: RwLock::new(model),
            },
            notes,
        ))
    }

    /// Makes the first administrator at the first start, and returns the one-time password as long as it has not been changed.
    pub(crate) fn first_administrator(&self, now: Timestamp) -> Result<Option<(UserName, SecretString)>, VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let name = UserName::parse(ADMINISTRATOR).map_err(|_| VaultError::Form("the administrator's name is none"))?;
        if !self.model().users.is_empty() {
            let stored = self.store.get(Tree::State, Name::Secret(FIRST_PASSWORD))?;
            let password = stored
                .map(|bytes| decode::<SecretString>(VERSION, &bytes))
                .transpose()?;
            return Ok(password.map(|password| (name, password)));
        }
        let password = one_time().map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
        let hash = self
            .hasher
            .hash(&password)
            .map_err(|error| VaultError::Refused(error.to_string()))?;
        let role = RoleName::parse(ADMIN).map_err(|_| VaultError::Form("the administrator's role is none"))?;
        let user = User::new(name.clone(), vec![role], Some(hash), now);
        let event = event(
            now,
            Actor::Process(Process::Vault),
            "user.created",
            &format!("user/{name}"),
            Outcome::Succeeded,
        );
        let changes = vec![
            user.stored()?,
            // Kept until it is changed: a crash before it was shown must not lock everybody out.
            Change::put(Tree::State, FIRST_PASSWORD, VERSION, &password)?,
        ];
        self.audit.append(&[event], changes)?;
        self.model_mut().users.insert(name.clone(), user);
        Ok(Some((name, password)))
    }

    /// Takes over the rules of a configuration, and makes the users that it declares.
    pub(crate) fn configure(&self, slice: &VaultSlice, now: Timestamp) -> Result<(), VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut changes = vec![stored::rules(slice)?];
        let (mut events, mut changed) = (Vec::new(), Vec::new());
        for (name, roles) in &slice.users {
            let known = self.model().users.get(name).cloned();
            let (action, user) = match known {
                Some(user) if user.roles == *roles => continue,
                Some(user) => (
                    "user.roles",
                    User {
                        roles: roles.clone(),
                        ..user
                    },
                ),
                None => ("user.created", User::new(name.clone(), roles.clone(), None, now)),
            };
            changes.push(user.stored()?);
            let mut event = event(
                now,
                Actor::Process(Process::Manager),
                action,
                &format!("user/{name}"),
                Outcome::Succeeded,
            );
            event.after = Some(list(roles));
            events.push(event);
            changed.push(user);
        }
        for events in events.chunks(EVENTS) {
            self.audit.append(events, std::mem::take(&mut changes))?;
        }
        // Without events there is still the change of rules.
        self.audit.append(&[], changes)?;
        let mut model = self.model_mut();
        model.rules = Rules::new(slice);
        for user in changed {
            model.users.insert(user.name.clone(), user);
        }
        Ok(())
    }

    /// What an actor may act as now, for those who decide by role.
    pub(crate) fn roles_of(&self, vouched: Vouched, actor: &Actor, now: Timestamp) -> Vec<RoleName> {
        self.model().acting(vouched, actor, now)
    }

    /// Whether an actor may administrate now.
    pub(crate) fn may_administrate(&self, vouched: Vouched, actor: &Actor) -> Result<(), VaultError> {
        let allowed = self.model().may_administrate(vouched, actor);
        allowed.map_err(|why| VaultError::Refused(why.to_owned()))
    }

    /// Stores when sessions and keys were used last, and forgets the sessions that have ended. Called now and then.
    pub(crate) fn keep_house(&self, now: Timestamp) -> Result<(), VaultError> {
        let _one = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut model = self.model_mut();
        let rules = model.rules.sessions;
        let ended: Vec<_> = model
            .sessions
            .iter()
            .filter(|(_, session)| !session.times.is_alive(&rules, now))
            .map(|(hash, _)| *hash)
            .collect();
        let mut changes: Vec<_> = ended
            .iter()
            .map(|hash| Change::delete(Tree::Sessions, &hash.0))
            .collect();
        for hash in &ended {
            model.sessions.remove(hash);
        }
        let sessions = std::mem::take(&mut model.used_sessions);
        let keys = std::mem::take(&mut model.used_keys);
        for hash in sessions {
            if let Some(session) = model.sessions.get(&hash) {
                changes.push(session.stored(&hash)?);
            }
        }
        for id in keys {
            if let Some(key) = model.keys.get(&id) {
                changes.push(key.stored()?);
            }
        }
        let rules = model.rules.lockout;
        model
            .strangers
            .retain(|_, failures| failures.last().is_some_and(|last| now.since(last) < rules.window));
        drop(model);
        Ok(self.audit.append(&[], changes)?)
    }

    fn model(&self) -> RwLockReadGuard<'_, Model> {
        self.model.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn model_mut(&self) -> RwLockWriteGuard<'_, Model> {
        self.model.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Model {
    fn insert_key(&mut self, key: Key) {
        self.by_hash.retain(|_, id| *id != key.id);
        self.by_hash.insert(key.validity.current, key.id);
        if let Some((previous, _)) = key.validity.previous {
            self.by_hash.insert(previous, key.id);
        }
        self.keys.insert(key.id, key);
    }

    /// Whether somebody with these roles may administrate.
    fn is_admin(&self, roles: &[RoleName]) -> bool {
        self.rules.expand(roles).iter().any(|role| role.as_str() == ADMIN)
    }

    /// What a key may do now: what it was made for, as far as its owner still may.
    /// What an actor may act as, all included roles among them; nothing for somebody unknown, switched off or with a one-time
    /// password.
    fn acting(&self, vouched: Vouched, actor: &Actor, now: Timestamp) -> Vec<RoleName> {
        let roles = match (vouched, actor) {
            (_, Actor::User(name)) => UserName::parse(name)
                .ok()
                .and_then(|name| self.users.get(&name))
                .filter(|user| user.enabled && !user.must_change)
                .map(|user| user.roles.clone()),
            (Vouched::Console, Actor::Key { id, .. }) => self
                .keys
                .get(id)
                .filter(|key| !key.validity.revoked && now < key.validity.until)
                .and_then(|key| self.key_roles(key)),
            _ => None,
        };
        roles.map_or_else(Vec::new, |roles| self.rules.expand(&roles))
    }

    fn key_roles(&self, key: &Key) -> Option<Vec<RoleName>> {
        let owner = self.users.get(&key.owner).filter(|owner| owner.enabled)?;
        let allowed = self.rules.expand(&owner.roles);
        Some(
            key.roles
                .iter()
                .filter(|role| allowed.contains(role))
                .cloned()
                .collect(),
        )
    }
}

impl Rules {
    fn new(slice: &VaultSlice) -> Self {
        Self {
            passwords: PasswordRules {
                min_length: slice.password_length,
                history: slice.password_history,
            },
            known: Known::new(
                slice.password_names.iter().map(String::as_str),
                slice.password_refused.iter().map(String::as_str),
            ),
            lockout: LockoutRules {
                failures: slice.lockout_failures,
                window: Duration::from_secs(slice.lockout_window.into()),
                duration: Duration::from_secs(slice.lockout_duration.into()),
            },
            sessions: SessionRules {
                idle: Duration::from_secs(slice.session_idle.into()),
                absolute: Duration::from_secs(slice.session_absolute.into()),
            },
            key_lifetime: Duration::from_hours(24 * u64::from(slice.key_days)),
            roles: slice.roles.iter().cloned().collect(),
        }
    }

    /// The roles and all that they include.
    fn expand(&self, roles: &[RoleName]) -> Vec<RoleName> {
        let mut all: Vec<RoleName> = roles.to_vec();
        for role in roles {
            all.extend(self.roles.get(role).into_iter().flatten().cloned());
        }
        all.sort_unstable();
        all.dedup();
        all
    }

    /// Refuses roles that do not exist. Before the first configuration there is only the administrator's.
    fn check_roles(&self, roles: &[RoleName]) -> Result<(), VaultError> {
        if roles.len() > ROLES {
            return Err(VaultError::Refused(format!(
                "at most {ROLES} roles, not {}",
                roles.len()
            )));
        }
        let unknown = roles
            .iter()
            .find(|role| !self.roles.contains_key(*role) && role.as_str() != ADMIN);
        unknown.map_or(Ok(()), |role| {
            Err(VaultError::Refused(format!("there is no role {role}")))
        })
    }
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            passwords: PasswordRules::default(),
            known: Known::new([], []),
            lockout: LockoutRules::default(),
            sessions: SessionRules::default(),
            key_lifetime: Duration::from_hours(24 * 90),
            roles: BTreeMap::new(),
        }
    }
}

impl User {
    fn new(name: UserName, roles: Vec<RoleName>, password: Option<PasswordHash>, now: Timestamp) -> Self {
        Self {
            name,
            roles,
            enabled: true,
            must_change: true,
            password,
            earlier: Vec::new(),
            failures: Failures::default(),
            created: now,
            last_login: None,
        }
    }

    fn stored(&self) -> Result<Change, VaultError> {
        Change::put(Tree::Users, self.name.as_str().as_bytes(), VERSION, self)
    }

    fn record(&self, rules: &Rules, now: Timestamp) -> UserRecord {
        UserRecord {
            name: self.name.clone(),
            roles: self.roles.clone(),
            enabled: self.enabled,
            must_change: self.must_change,
            locked_until: self.failures.locked(&rules.lockout.of_account(), now),
            created: self.created,
            last_login: self.last_login,
        }
    }
}

impl Session {
    fn stored(&self, hash: &TokenHash) -> Result<Change, VaultError> {
        Change::put(Tree::Sessions, &hash.0, VERSION, self)
    }

    fn record(&self, user: &User, rules: &Rules) -> SessionRecord {
        SessionRecord {
            id: self.id,
            user: self.user.clone(),
            roles: rules.expand(&user.roles),
            must_change: user.must_change,
            created: self.times.created,
            used: self.times.used,
            idle_until: self.times.idle_until(&rules.sessions),
            until: self.times.until(&rules.sessions),
            address: self.address,
            agent: self.agent.clone(),
        }
    }
}

impl Key {
    fn stored(&self) -> Result<Change, VaultError> {
        Change::put(Tree::ApiKeys, &self.id.0, VERSION, self)
    }

    fn record(&self, owner: Option<&User>) -> KeyRecord {
        KeyRecord {
            id: self.id,
            owner: self.owner.clone(),
            roles: self.roles.clone(),
            comment: self.comment.clone(),
            created: self.created,
            until: self.validity.until,
            previous_until: self.validity.previous.map(|(_, until)| until),
            used: self.used,
            revoked: self.validity.revoked,
            owner_enabled: owner.is_some_and(|owner| owner.enabled),
        }
    }
}

fn read_all<T: serde::de::DeserializeOwned>(
    store: &Store,
    tree: Tree,
    notes: &mut Vec<String>,
) -> Result<Vec<(Vec<u8>, T)>, VaultError> {
    let mut all = Vec::new();
    for record in store.list(tree)? {
        let read = record
            .map_err(VaultError::from)
            .and_then(|record| Ok((record.name, decode(VERSION, &record.value)?)));
        match read {
            Ok(read) => all.push(read),
            Err(error) => notes.push(error.to_string()),
        }
    }
    Ok(all)
}

fn event(time: Timestamp, actor: Actor, action: &str, resource: &str, outcome: Outcome) -> AuditEvent {
    AuditEvent {
        time,
        actor,
        action: action.to_owned(),
        resource: resource.to_owned(),
        outcome,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: String::new(),
    }
}

fn new_id() -> Result<RecordId, VaultError> {
    let mut id = [0; 8];
    getrandom::fill(&mut id).map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
    Ok(RecordId(id))
}

fn list(roles: &[RoleName]) -> String {
    roles.iter().map(RoleName::as_str).collect::<Vec<_>>().join(", ")
}

const ADMINISTRATOR: &str = "admin";
const ADMIN: &str = "admin";
const RULES: &[u8] = b"identity rules";
const FIRST_PASSWORD: &[u8] = b"first password";
const VERSION: u8 = 1;
const ROLES: usize = 32;
const EVENTS: usize = 200;

#[cfg(test)]
mod tests;
