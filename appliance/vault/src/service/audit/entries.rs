//! Events of the appliance's services as entries of the log, and back.

use super::VERSION;
use super::people::PersonKey;
use crate::service::VaultError;
use crate::service::change::{decode, encode};
use crate::store::{Batch, NONCE_LENGTH, Name, SealedRecord, Store, TAG_LENGTH, Tree};
use redan_audit::{ActorKind, Entry, EntryError, Frontier, Hash, Leaf, LeafHeader, Opening, leaf_hash};
use redan_ipc::messages::audit::{Actor, AuditEvent, AuditedRequest, Outcome};
use redan_types::{IncidentId, Process, RecordId, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::OnceLock;

/// An event in canonical form, waiting for its place.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) person: String,
    time: u64,
    plaintext: Vec<u8>,
}

/// An event on its way into the log: its caller seals it for the place that it will probably have; whoever writes for the group
/// takes that, or seals it again where the place is another one.
#[derive(Debug)]
pub(super) struct Draft {
    prepared: Prepared,
    ahead: OnceLock<Placed>,
}

/// An entry with its place.
#[derive(Debug)]
struct Placed {
    sequence: u64,
    /// The first entry of the key that it is encrypted under, which tells the key from the person's others.
    key: u64,
    hash: Hash,
    record: SealedRecord,
}

/// An entry as it is stored. The hash beside the leaf lets a damaged leaf be named, and the tree be read without the leaves.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct StoredEntry {
    pub(super) person: String,
    pub(super) leaf: Vec<u8>,
    pub(super) hash: [u8; 32],
}

impl Prepared {
    pub(super) fn new(event: &AuditEvent) -> Result<Self, VaultError> {
        let mut entry = entry_of(event);
        let plaintext = match entry.to_bytes() {
            Err(EntryError::TooLong(_)) => {
                // Only the states can be that long; the log keeps the fact of the change.
                entry.before = entry.before.map(|_| TOO_LONG.to_owned());
                entry.after = entry.after.map(|_| TOO_LONG.to_owned());
                entry.message = entry.message.map(|text| cut(&text, 512));
                entry.to_bytes()
            }
            other => other,
        };
        let plaintext = plaintext.map_err(|error| VaultError::Refused(error.to_string()))?;
        Ok(Self {
            person: person(&event.actor),
            time: event.time.0,
            plaintext,
        })
    }

    fn seal(&self, store: &Store, sequence: u64, key: &PersonKey) -> Result<Placed, VaultError> {
        let mut random = [0; 32 + 32 + NONCE_LENGTH];
        getrandom::fill(&mut random).map_err(|_| VaultError::Form("the kernel gives no random bytes"))?;
        let (mut salt, mut opening, mut nonce) = ([0; 32], [0; 32], [0; NONCE_LENGTH]);
        salt.copy_from_slice(&random[..32]);
        opening.copy_from_slice(&random[32..64]);
        nonce.copy_from_slice(&random[64..]);
        let header = LeafHeader::commit(sequence, self.time, salt, &Opening(opening), &self.plaintext);
        let mut body = [&opening[..], &self.plaintext].concat();
        let tag = key
            .cipher
            .seal(&nonce, &header.to_bytes(), &mut body)
            .ok_or(VaultError::Form("an entry is too long"))?;
        let leaf = Leaf {
            header,
            ciphertext: [&nonce[..], &body, &tag].concat(),
        };
        let leaf = leaf
            .to_bytes()
            .map_err(|error| VaultError::Refused(error.to_string()))?;
        let hash = leaf_hash(&leaf);
        let stored = StoredEntry {
            person: self.person.clone(),
            leaf,
            hash: hash.0,
        };
        Ok(Placed {
            sequence,
            key: key.first,
            hash,
            record: store.seal(Tree::AuditEntries, Name::Number(sequence), &encode(VERSION, &stored)?)?,
        })
    }

    /// Bytes that it takes in a group, roughly.
    pub(super) const fn weight(&self) -> usize {
        self.plaintext.len() + OVERHEAD
    }
}

impl Draft {
    pub(super) const fn new(prepared: Prepared) -> Self {
        Self {
            prepared,
            ahead: OnceLock::new(),
        }
    }

    /// Whom it concerns.
    pub(super) fn person(&self) -> &str {
        &self.prepared.person
    }

    /// Seals it for the place that it will probably have. What fails here is done again, and told, by whoever writes.
    pub(super) fn seal_ahead(&self, store: &Store, sequence: u64, key: &PersonKey) {
        if let Ok(placed) = self.prepared.seal(store, sequence, key) {
            // Set once, by the caller itself.
            let _ = self.ahead.set(placed);
        }
    }

    /// Adds it to a change, in the next place of the tree.
    pub(super) fn add_to(
        &self,
        store: &Store,
        batch: &mut Batch<'_>,
        frontier: &mut Frontier,
        key: &PersonKey,
        ahead: bool,
    ) -> Result<(), VaultError> {
        let sequence = frontier.size();
        match self.ahead.get() {
            Some(placed) if ahead && placed.sequence == sequence && placed.key == key.first => {
                batch.add(placed.record.clone());
                frontier.append(placed.hash);
            }
            _ => {
                let placed = self.prepared.seal(store, sequence, key)?;
                batch.add(placed.record);
                frontier.append(placed.hash);
            }
        }
        Ok(())
    }
}

impl StoredEntry {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, VaultError> {
        decode(VERSION, bytes)
    }

    /// The entry in the clear; `None` where it does not open.
    pub(super) fn open(&self, key: &PersonKey) -> Option<(Opening, Entry)> {
        let leaf = Leaf::parse(&self.leaf).ok()?;
        let (nonce, rest) = leaf.ciphertext.split_first_chunk::<NONCE_LENGTH>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_LENGTH>()?;
        let mut plain = body.to_vec();
        key.cipher.open(nonce, &leaf.header.to_bytes(), &mut plain, tag)?;
        let (opening, plaintext) = plain.split_first_chunk::<32>()?;
        let opening = Opening(*opening);
        let entry = leaf
            .header
            .opens(&opening, plaintext)
            .then(|| Entry::parse(plaintext).ok())??;
        Some((opening, entry))
    }
}

/// Whose key an entry is encrypted under: the person's who acted. What the appliance itself did concerns nobody.
fn person(actor: &Actor) -> String {
    match actor {
        Actor::Anonymous => "anonymous".to_owned(),
        Actor::Key { owner, .. } => format!("user:{owner}"),
        Actor::Operator { uid } => format!("operator:{uid}"),
        Actor::Process(_) => "appliance".to_owned(),
        Actor::User(name) => format!("user:{name}"),
    }
}

fn entry_of(event: &AuditEvent) -> Entry {
    let (kind, name) = match &event.actor {
        Actor::Anonymous => (ActorKind::Anonymous, String::new()),
        Actor::Key { id, owner } => (ActorKind::ApiKey, format!("{id}/{}", cut(owner, NAME))),
        Actor::Operator { uid } => (ActorKind::Operator, uid.to_string()),
        Actor::Process(process) => (ActorKind::Service, process.name().to_owned()),
        Actor::User(name) => (ActorKind::User, cut(name, NAME)),
    };
    let outcome = match event.outcome {
        Outcome::Denied => redan_audit::Outcome::Denied,
        Outcome::Failed => redan_audit::Outcome::Failure,
        Outcome::Succeeded => redan_audit::Outcome::Success,
    };
    let actor = redan_audit::Actor { kind, name };
    let mut entry = Entry::new(
        event.time.0,
        actor,
        &cut(&event.action, NAME),
        &cut(&event.resource, PATH),
        outcome,
    );
    entry.before = event.before.as_deref().map(|text| cut(text, STATE));
    entry.after = event.after.as_deref().map(|text| cut(text, STATE));
    entry.address = event.address;
    entry.agent = event.agent.as_deref().map(|text| cut(text, NAME));
    if let Some(request) = &event.request {
        entry.method = Some(cut(&request.method, NAME));
        entry.path = Some(cut(&request.path, PATH));
        entry.status = Some(request.status);
        entry.count = Some(request.count);
    }
    entry.incident = event.incident.map(|incident| incident.to_string());
    entry.message = (!event.message.is_empty()).then(|| cut(&event.message, MESSAGE));
    entry
}

/// An entry as the console shows it.
pub(super) fn event_of(entry: Entry) -> AuditEvent {
    let name = entry.actor.name;
    let actor = match entry.actor.kind {
        ActorKind::ApiKey => match name
            .split_once('/')
            .and_then(|(id, owner)| Some((RecordId::parse(id)?, owner)))
        {
            Some((id, owner)) => Actor::Key {
                id,
                owner: owner.to_owned(),
            },
            None => Actor::Anonymous,
        },
        ActorKind::Operator => name.parse().map_or(Actor::Anonymous, |uid| Actor::Operator { uid }),
        ActorKind::Service => PROCESSES
            .into_iter()
            .find(|process| process.name() == name)
            .map_or(Actor::Anonymous, Actor::Process),
        ActorKind::User => Actor::User(name),
        _ => Actor::Anonymous,
    };
    let outcome = match entry.outcome {
        redan_audit::Outcome::Denied => Outcome::Denied,
        redan_audit::Outcome::Success => Outcome::Succeeded,
        _ => Outcome::Failed,
    };
    let request = match (entry.method, entry.path, entry.status) {
        (Some(method), Some(path), Some(status)) => Some(AuditedRequest {
            method,
            path,
            status,
            count: entry.count.unwrap_or(1),
        }),
        _ => None,
    };
    AuditEvent {
        time: Timestamp(entry.time),
        actor,
        action: entry.action,
        resource: entry.resource,
        outcome,
        before: entry.before,
        after: entry.after,
        address: entry.address,
        agent: entry.agent,
        request,
        incident: entry.incident.as_deref().and_then(IncidentId::parse),
        message: entry.message.unwrap_or_default(),
    }
}

/// What stands in the place of an entry whose person's key is gone.
pub(super) fn erased(time: u64) -> AuditEvent {
    instead(time, "erased", "this entry was erased with its person's key")
}

/// What stands in the place of an entry whose person's key is there and does not open it: nobody has erased that.
pub(super) fn unreadable(time: u64) -> AuditEvent {
    AuditEvent {
        outcome: Outcome::Failed,
        ..instead(time, "unreadable", "this entry is damaged: check the log")
    }
}

fn instead(time: u64, action: &str, message: &str) -> AuditEvent {
    AuditEvent {
        time: Timestamp(time),
        actor: Actor::Anonymous,
        action: action.to_owned(),
        resource: String::new(),
        outcome: Outcome::Succeeded,
        before: None,
        after: None,
        address: None,
        agent: None,
        request: None,
        incident: None,
        message: message.to_owned(),
    }
}

fn cut(text: &str, characters: usize) -> String {
    text.chars().take(characters).collect()
}

const PROCESSES: [Process; 9] = [
    Process::Console,
    Process::Manager,
    Process::Network,
    Process::Operator,
    Process::Provision,
    Process::Proxy,
    Process::Supervisor,
    Process::Update,
    Process::Vault,
];
/// Bytes of a stored entry beside its plaintext: header, opening, nonces, tags, person, lengths.
const OVERHEAD: usize = 512;
const NAME: usize = 256;
const PATH: usize = 1_024;
const MESSAGE: usize = 4_096;
const STATE: usize = 8_192;
const TOO_LONG: &str = "(too long for the log)";
