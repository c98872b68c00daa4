//! Keys that applications use without having them: encrypt, decrypt, rewrap, sign, verify, data keys.
//!
//! * `ring`: what a key with its versions computes.
//! * `pace`: how many items a caller may ask for in a minute.
//!
//! Which keys there are and who may do what with them is one table in the configuration, [`KeyRules`]; a key that is new in it is
//! made, one that is no longer in it can be used by nobody and is kept, since what it sealed would be lost. Every request is an
//! entry in the audit log before it is answered; what was encrypted is not in it.

mod pace;
mod ring;

use super::VaultError;
use super::audit::AuditLog;
use super::change::{Change, decode};
use crate::store::{Store, Tree};
use pace::Pace;
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::transit::{KeyDescription, KeyRules, Sealed, TransitReply, TransitRequest};
use redan_types::{KeyName, Process, RoleName, SecretBytes, Timestamp};
use ring::{ItemError, Ring, StoredKey, StoredVersion};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use zeroize::Zeroizing;

/// The keys of applications.
#[derive(Debug)]
pub(crate) struct Transit {
    store: Arc<Store>,
    audit: Arc<AuditLog>,
    /// As stored; held while a key is made or changed. Lock order: `stored`, then `table`.
    stored: Mutex<BTreeMap<KeyName, StoredKey>>,
    /// The keys that the configuration names, ready for use.
    table: RwLock<BTreeMap<KeyName, Arc<Row>>>,
    pace: Mutex<Pace>,
}

#[derive(Debug)]
struct Row {
    rules: KeyRules,
    ring: Ring,
    used: Arc<AtomicU64>,
}

impl Transit {
    /// Opens the keys of a store. Returns what could not be read, in words.
    pub(crate) fn open(store: Arc<Store>, audit: Arc<AuditLog>) -> Result<(Self, Vec<String>), VaultError> {
        let mut stored = BTreeMap::new();
        let mut notes = Vec::new();
        for record in store.list(Tree::TransitKeys)? {
            let key = record
                .map_err(VaultError::from)
                .and_then(|record| decode::<StoredKey>(VERSION, &record.value));
            match key {
                Ok(key) => drop(stored.insert(key.name.clone(), key)),
                Err(error) => notes.push(format!("a key of an application cannot be read: {error}")),
            }
        }
        let transit = Self {
            store,
            audit,
            stored: Mutex::new(stored),
            table: RwLock::default(),
            pace: Mutex::default(),
        };
        Ok((transit, notes))
    }

    /// Takes the table over: keys that are new in it are made, the others keep their versions.
    ///
    /// # Errors
    /// A key exists with another kind; a key cannot be stored. Then the table is as before.
    pub(crate) fn configure(&self, table: &[KeyRules], now: Timestamp) -> Result<(), VaultError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.table();
        let mut rows = BTreeMap::new();
        for rules in table {
            let name = &rules.name;
            let key = match stored.get(name) {
                Some(key) if (key.kind, key.convergent) == (rules.kind, rules.convergent) => key.clone(),
                Some(_) => {
                    return Err(VaultError::Refused(format!(
                        "the key {name} exists and is of another kind: a key's kind never changes, give the new one another name"
                    )));
                }
                None => {
                    let key = StoredKey {
                        name: name.clone(),
                        kind: rules.kind,
                        convergent: rules.convergent,
                        versions: vec![StoredVersion::make(rules.kind, 1, now).map_err(failed)?],
                    };
                    self.keep(&key, event(now, Actor::Process(Process::Manager), "key.created", name))?;
                    stored.insert(name.clone(), key.clone());
                    key
                }
            };
            let used = before.get(name).map_or_else(Arc::default, |row| Arc::clone(&row.used));
            rows.insert(name.clone(), Arc::new(row(rules, &key, used)?));
        }
        *self.table.write().unwrap_or_else(PoisonError::into_inner) = rows;
        Ok(())
    }

    /// Does what an application asks, where its roles allow it (those included in them are among `roles`).
    pub(crate) fn answer(
        &self,
        actor: &Actor,
        roles: &[RoleName],
        name: &KeyName,
        request: TransitRequest,
        now: Timestamp,
    ) -> Result<TransitReply, VaultError> {
        let row = self.table().get(name).cloned();
        let act = Act::of(&request);
        let mut event = event(now, actor.clone(), act.action, name);
        let Some(row) = row.filter(|row| act.allowed(&row.rules, roles)) else {
            event.outcome = Outcome::Denied;
            self.audit.append(&[event], Vec::new())?;
            return Ok(TransitReply::Forbidden);
        };
        if let Some(why) = act.too_much {
            return Ok(TransitReply::Refused(why));
        }
        let paced = self.pace.lock().unwrap_or_else(PoisonError::into_inner).take(
            &actor.to_string(),
            name,
            act.items,
            row.rules.rate,
            now,
        );
        if let Err(wait) = paced {
            // Not recorded one by one: whoever asks too often would fill the log.
            return Ok(TransitReply::TooMany { wait });
        }
        row.used.fetch_add(u64::from(act.items), Ordering::Relaxed);
        let reply = match request {
            TransitRequest::Rotate => return self.rotate(name, actor, now),
            TransitRequest::Trim { oldest } => return self.trim(name, oldest, actor, now),
            other => row.compute(other),
        };
        let failures = reply.failures();
        event.message = match failures {
            0 => format!("{} items", act.items),
            _ => format!("{} items, {failures} of them failed", act.items),
        };
        if failures > 0 {
            event.outcome = Outcome::Failed;
        }
        self.audit.append(&[event], Vec::new())?;
        Ok(reply)
    }

    /// Makes new versions of keys whose time has come.
    pub(crate) fn keep_house(&self, now: Timestamp) -> Result<(), VaultError> {
        let due: Vec<_> = self
            .table()
            .values()
            .filter(|row| {
                row.rules
                    .rotate_after
                    .is_some_and(|after| now.since(row.ring.renewed()).as_secs() >= after)
            })
            .map(|row| row.rules.name.clone())
            .collect();
        due.iter()
            .try_for_each(|name| self.rotate(name, &Actor::Process(Process::Vault), now).map(drop))
    }

    fn rotate(&self, name: &KeyName, actor: &Actor, now: Timestamp) -> Result<TransitReply, VaultError> {
        self.change(name, |key| {
            if key.versions.len() >= VERSIONS {
                return Err(VaultError::Refused(format!(
                    "the key {name} has {VERSIONS} versions; rewrap what the oldest sealed and trim them"
                )));
            }
            let rotated = Ring::rotated(key, now).map_err(failed)?;
            let mut event = event(now, actor.clone(), "key.rotated", name);
            event.after = rotated.versions.last().map(|version| version.number.to_string());
            Ok((rotated, event))
        })
    }

    fn trim(&self, name: &KeyName, oldest: u32, actor: &Actor, now: Timestamp) -> Result<TransitReply, VaultError> {
        let reply = self.change(name, |key| {
            let mut trimmed = key.clone();
            trimmed.versions.retain(|version| version.number >= oldest);
            if trimmed.versions.is_empty() {
                return Err(VaultError::Refused(format!(
                    "the newest version of {name} cannot be destroyed: rotate first"
                )));
            }
            let mut event = event(now, actor.clone(), "key.trimmed", name);
            event.before = key.versions.first().map(|version| version.number.to_string());
            event.after = trimmed.versions.first().map(|version| version.number.to_string());
            Ok((trimmed, event))
        });
        if matches!(reply, Ok(TransitReply::Key(_))) {
            // The journal still holds the versions until it is merged.
            self.store.compact()?;
        }
        reply
    }

    /// Replaces a key by what `make` makes of it, together with the entry about it.
    fn change(
        &self,
        name: &KeyName,
        make: impl FnOnce(&StoredKey) -> Result<(StoredKey, AuditEvent), VaultError>,
    ) -> Result<TransitReply, VaultError> {
        let mut stored = self.stored.lock().unwrap_or_else(PoisonError::into_inner);
        let key = stored.get(name).ok_or(VaultError::Missing)?;
        let (changed, event) = match make(key) {
            Err(VaultError::Refused(why)) => return Ok(TransitReply::Refused(why)),
            other => other?,
        };
        self.keep(&changed, event)?;
        let mut table = self.table.write().unwrap_or_else(PoisonError::into_inner);
        let before = table.get(name).ok_or(VaultError::Missing)?;
        let after = Arc::new(row(&before.rules, &changed, Arc::clone(&before.used))?);
        let description = after.describe();
        table.insert(name.clone(), after);
        stored.insert(name.clone(), changed);
        Ok(TransitReply::Key(description))
    }

    fn keep(&self, key: &StoredKey, event: AuditEvent) -> Result<(), VaultError> {
        let change = Change::put(Tree::TransitKeys, key.name.as_str().as_bytes(), VERSION, key)?;
        Ok(self.audit.append(&[event], vec![change])?)
    }

    fn table(&self) -> BTreeMap<KeyName, Arc<Row>> {
        self.table.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Row {
    fn describe(&self) -> KeyDescription {
        self.ring.describe(self.used.load(Ordering::Relaxed))
    }

    /// Operations that change nothing.
    fn compute(&self, request: TransitRequest) -> TransitReply {
        let ring = &self.ring;
        let open = |sealed: &Sealed| ring.decrypt(&sealed.ciphertext, &sealed.context);
        match request {
            TransitRequest::Encrypt(items) => texts(items.iter(), |item| {
                ring.encrypt(item.plaintext.expose(), &item.context)
            }),
            TransitRequest::Decrypt(items) => TransitReply::Plaintexts(
                items
                    .iter()
                    .map(|item| open(item).map(secret).map_err(|error| error.to_string()))
                    .collect(),
            ),
            TransitRequest::Rewrap(items) => texts(items.iter(), |item| ring.encrypt(&open(item)?, &item.context)),
            TransitRequest::DataKey { context, reveal } => {
                let mut key = Zeroizing::new(vec![0; 32]);
                let sealed = getrandom::fill(&mut key)
                    .map_err(|_| ItemError::Failed)
                    .and_then(|()| ring.encrypt(&key, &context));
                match sealed {
                    Ok(sealed) => TransitReply::DataKey {
                        sealed,
                        key: reveal.then(|| secret(key)),
                    },
                    Err(error) => TransitReply::Refused(error.to_string()),
                }
            }
            TransitRequest::Sign(items) => texts(items.iter(), |item| ring.sign(item.expose())),
            // A signature that cannot even be read is as wrong as any other.
            TransitRequest::Verify(items) => TransitReply::Verified(
                items
                    .iter()
                    .map(|item| ring.verify(item.input.expose(), &item.signature).unwrap_or(false))
                    .collect(),
            ),
            TransitRequest::Describe | TransitRequest::Rotate | TransitRequest::Trim { .. } => {
                TransitReply::Key(self.describe())
            }
        }
    }
}

/// What a request is, for the table, the pace and the log.
struct Act {
    action: &'static str,
    items: u32,
    /// The rows of the table that allow it: each must.
    allowing: &'static [fn(&KeyRules) -> &[RoleName]],
    /// Why it is too much at once.
    too_much: Option<String>,
}

impl Act {
    fn of(request: &TransitRequest) -> Self {
        const ENCRYPT: fn(&KeyRules) -> &[RoleName] = |rules| &rules.encrypt;
        const DECRYPT: fn(&KeyRules) -> &[RoleName] = |rules| &rules.decrypt;
        const SIGN: fn(&KeyRules) -> &[RoleName] = |rules| &rules.sign;
        const VERIFY: fn(&KeyRules) -> &[RoleName] = |rules| &rules.verify;
        const MANAGE: fn(&KeyRules) -> &[RoleName] = |rules| &rules.manage;
        let sealed = |items: &[Sealed]| {
            (
                items.len(),
                items
                    .iter()
                    .map(|item| item.ciphertext.len() + item.context.len())
                    .sum(),
            )
        };
        let (action, (items, bytes), allowing): (_, (usize, usize), &'static [_]) = match request {
            TransitRequest::Encrypt(items) => (
                "key.encrypt",
                (
                    items.len(),
                    items
                        .iter()
                        .map(|item| item.plaintext.expose().len() + item.context.len())
                        .sum(),
                ),
                &[ENCRYPT],
            ),
            TransitRequest::Decrypt(items) => ("key.decrypt", sealed(items), &[DECRYPT]),
            TransitRequest::Rewrap(items) => ("key.rewrap", sealed(items), &[ENCRYPT]),
            TransitRequest::DataKey { context, reveal: false } => ("key.data-key", (1, context.len()), &[ENCRYPT]),
            TransitRequest::DataKey { context, reveal: true } => {
                ("key.data-key", (1, context.len()), &[ENCRYPT, DECRYPT])
            }
            TransitRequest::Sign(items) => (
                "key.sign",
                (items.len(), items.iter().map(|item| item.expose().len()).sum()),
                &[SIGN],
            ),
            TransitRequest::Verify(items) => (
                "key.verify",
                (
                    items.len(),
                    items
                        .iter()
                        .map(|item| item.input.expose().len() + item.signature.len())
                        .sum(),
                ),
                &[VERIFY],
            ),
            TransitRequest::Describe => ("key.describe", (1, 0), &[MANAGE]),
            TransitRequest::Rotate => ("key.rotate", (1, 0), &[MANAGE]),
            TransitRequest::Trim { .. } => ("key.trim", (1, 0), &[MANAGE]),
        };
        let too_much = (items == 0 || items > ITEMS || bytes > BYTES).then(|| {
            format!("a request has 1 to {ITEMS} items with at most {BYTES} bytes together, not {items} with {bytes}")
        });
        Self {
            action,
            items: u32::try_from(items).unwrap_or(u32::MAX),
            allowing,
            too_much,
        }
    }

    fn allowed(&self, rules: &KeyRules, roles: &[RoleName]) -> bool {
        self.allowing
            .iter()
            .all(|allowed| allowed(rules).iter().any(|role| roles.contains(role)))
    }
}

trait Failures {
    /// Items without an answer. A signature that is wrong is an answer.
    fn failures(&self) -> usize;
}

impl Failures for TransitReply {
    fn failures(&self) -> usize {
        match self {
            Self::Texts(items) => items.iter().filter(|item| item.is_err()).count(),
            Self::Plaintexts(items) => items.iter().filter(|item| item.is_err()).count(),
            Self::Refused(_) => 1,
            Self::DataKey { .. } | Self::Verified(_) | Self::Key(_) | Self::TooMany { .. } | Self::Forbidden => 0,
        }
    }
}

fn texts<T>(items: impl Iterator<Item = T>, work: impl Fn(T) -> Result<String, ItemError>) -> TransitReply {
    TransitReply::Texts(
        items
            .map(|item| work(item).map_err(|error| error.to_string()))
            .collect(),
    )
}

/// Moves the bytes: no copy of them stays behind.
fn secret(mut bytes: Zeroizing<Vec<u8>>) -> SecretBytes {
    SecretBytes::new(std::mem::take(&mut *bytes))
}

fn row(rules: &KeyRules, key: &StoredKey, used: Arc<AtomicU64>) -> Result<Row, VaultError> {
    let ring = Ring::of(key).ok_or(VaultError::Form("an application's key is malformed"))?;
    Ok(Row {
        rules: rules.clone(),
        ring,
        used,
    })
}

fn failed(error: ItemError) -> VaultError {
    VaultError::Refused(error.to_string())
}

fn event(now: Timestamp, actor: Actor, action: &str, name: &KeyName) -> AuditEvent {
    AuditEvent {
        time: now,
        actor,
        action: action.to_owned(),
        resource: format!("key/{name}"),
        outcome: Outcome::Succeeded,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: String::new(),
    }
}

const VERSION: u8 = 1;
/// In one request.
const ITEMS: usize = 1_024;
const BYTES: usize = 1 << 20;
/// Of one key.
const VERSIONS: usize = 1_000;

#[cfg(test)]
mod tests;
