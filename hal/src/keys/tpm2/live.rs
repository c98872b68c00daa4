//! A TPM that answers: its storage root key, the session with it, and the few keys that it has room for.
//!
//! A TPM (and the kernel's resource manager for one client) has room for three loaded objects. One is the storage root key; two more
//! are loaded when they are needed, and the one that was not used for longest makes room. What is loaded for one command is
//! flushed after it on every path.

use super::link::{Call, Entity, Fault, Link};
use super::session::{Salt, Secret, Session};
use super::shapes;
use super::wire::Parameters;
use crate::keys::KeyError;
use redan_types::KeyId;
use tpm2_protocol::data::{TpmCap, TpmCc, TpmRcBase, TpmtPublic};

/// `TPM_RH_OWNER`.
pub(super) const OWNER: u32 = 0x4000_0001;
/// `TPM_RH_NULL`.
pub(super) const NULL: u32 = 0x4000_0007;
/// `TPM_RH_ENDORSEMENT`.
pub(super) const ENDORSEMENT: u32 = 0x4000_000b;
const TRANSIENT_FIRST: u32 = 0x8000_0000;
const LOADED_SESSION_FIRST: u32 = 0x0200_0000;
/// Loaded objects besides the storage root key.
const ROOM: usize = 2;
/// What the storage root key encrypts with, in bits: AES-256 where the device has it, else AES-128, which all have.
const STRONG: u16 = 256;
const WEAK: u16 = 128;
/// Not started, no AES-256: each is mended once.
const ATTEMPTS: u32 = 2;

pub(super) struct Live {
    pub(super) link: Link,
    pub(super) root: Entity,
    /// The storage root key's uncompressed point.
    root_point: [u8; 65],
    pub(super) session: Session,
    /// Whether the storage root key protects what is under it with AES-256.
    pub(super) strong: bool,
    /// Loaded keys, the one used last at the end.
    loaded: Vec<(Tenant, Entity)>,
    /// The attestation key's public area, once it was made.
    attestation: Vec<u8>,
}

/// What occupies a place in the device.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Tenant {
    Attestation,
    Key(KeyId),
}

/// A key as it lies on the disk.
pub(super) struct Blob<'a> {
    /// The content of its `TPM2B_PUBLIC`.
    pub(super) public: &'a [u8],
    /// The content of its `TPM2B_PRIVATE`, encrypted by its parent.
    pub(super) private: &'a [u8],
}

impl Live {
    /// Makes the storage root key anew (it is the same every time, until somebody clears the TPM) and begins a session with it.
    /// `known` says whether it is the one it should be.
    pub(super) fn begin(mut link: Link, known: impl FnOnce(&[u8]) -> Result<(), KeyError>) -> Result<Self, Fault> {
        let mut bits = STRONG;
        let mut attempts = 0;
        let (root, public) = loop {
            attempts += 1;
            let made = flush_strangers(&mut link).and_then(|()| primary(&mut link, OWNER, &shapes::storage_root(bits)));
            let fault = match made {
                Ok(made) => break made,
                Err(fault) if attempts > ATTEMPTS => return Err(fault),
                Err(fault) => fault,
            };
            match fault.reason() {
                // Reset beneath us and not started since.
                Some(TpmRcBase::Initialize) => {
                    link.plain(Call {
                        code: TpmCc::Startup,
                        entities: &[],
                        parameters: Parameters::new().u16(0),
                    })?;
                }
                Some(TpmRcBase::Symmetric | TpmRcBase::KeySize | TpmRcBase::Value) if bits == STRONG => bits = WEAK,
                _ => return Err(fault),
            }
        };
        known(&root.name)?;
        let point = shapes::public_key(redan_types::Algorithm::EcdsaP256, &public)
            .and_then(|key| <[u8; 65]>::try_from(key.raw).ok());
        let Some(root_point) = point else {
            return Err(KeyError::Protocol {
                device: link.name().to_owned(),
                what: "a storage root key of another kind",
            }
            .into());
        };
        let session = start(&mut link, &root, &root_point, HMAC)?;
        Ok(Self {
            link,
            root,
            root_point,
            session,
            strong: bits == STRONG,
            loaded: Vec::new(),
            attestation: Vec::new(),
        })
    }

    /// Sends a command in the session, which authorizes the first entity, whose authorization value is empty.
    pub(super) fn send(&mut self, secret: Secret, call: Call<'_>) -> Result<super::link::Reply, Fault> {
        self.link.secured(&mut self.session, &[], secret, call)
    }

    /// The entity of a key under the storage root key, loaded if it is not.
    pub(super) fn key(&mut self, key: KeyId, blob: &Blob<'_>) -> Result<Entity, Fault> {
        self.resident(Tenant::Key(key), |live| live.load(None, blob))
    }

    /// The attestation key and its public area. It is of the endorsement hierarchy, where the device tells its count of resets as
    /// it is, and it is the same every time.
    pub(super) fn attestation(&mut self) -> Result<(Entity, Vec<u8>), Fault> {
        let entity = self.resident(Tenant::Attestation, |live| {
            let parameters = primary_parameters(&shapes::attestation())?;
            // In the session, so that nobody on the bus can pass off a key of his own for it.
            let reply = live.send(
                Secret::Nothing,
                Call {
                    code: TpmCc::CreatePrimary,
                    entities: &[&Entity::fixed(ENDORSEMENT)],
                    parameters,
                },
            )?;
            let (entity, area) = primary_made(&reply)?;
            live.attestation = area;
            Ok(entity)
        })?;
        Ok((entity, self.attestation.clone()))
    }

    /// Loads an object for one use.
    pub(super) fn with_loaded<T>(
        &mut self,
        parent: Option<&Entity>,
        blob: &Blob<'_>,
        action: impl FnOnce(&mut Self, &Entity) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.make_room(parent);
        let entity = self.load(parent, blob)?;
        let outcome = action(self, &entity);
        self.link.flush(entity.handle);
        outcome
    }

    /// Uses an object that `make` brings into the device, for one use.
    pub(super) fn with_made<T>(
        &mut self,
        make: impl FnOnce(&mut Link) -> Result<Entity, Fault>,
        action: impl FnOnce(&mut Self, &Entity) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        self.make_room(None);
        let entity = make(&mut self.link)?;
        let outcome = action(self, &entity);
        self.link.flush(entity.handle);
        outcome
    }

    /// A policy session, salted as the other one, for one use.
    pub(super) fn with_policy<T>(
        &mut self,
        action: impl FnOnce(&mut Self, &mut Session) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let mut session = start(&mut self.link, &self.root, &self.root_point, POLICY)?;
        let outcome = action(self, &mut session);
        self.link.flush(session.handle);
        outcome
    }

    /// Makes a key (or a sealed secret) under `parent`, by default the storage root key.
    pub(super) fn create(
        &mut self,
        parent: Option<&Entity>,
        template: &TpmtPublic,
        authorization: &[u8],
        secret: &[u8],
    ) -> Result<(Vec<u8>, Vec<u8>), Fault> {
        // The device needs a place for what it makes, though it does not stay.
        self.make_room(parent);
        let parent = parent.unwrap_or(&self.root);
        let sensitive = Parameters::new().sized(authorization).sized(secret);
        let parameters = Parameters::new()
            .sized(&sensitive.0)
            .sized(&shapes::area(template)?)
            .sized(&[])
            .u32(0);
        let reply = self.link.secured(
            &mut self.session,
            &[],
            Secret::Command,
            Call {
                code: TpmCc::Create,
                entities: &[parent],
                parameters,
            },
        )?;
        let blob = reply.read(|reader| {
            let (private, public) = (reader.sized()?.to_vec(), reader.sized()?.to_vec());
            // What the device says about the making: its data, their hash, a ticket.
            reader.sized()?;
            reader.sized()?;
            reader.u16()?;
            reader.u32()?;
            reader.sized()?;
            Some((public, private))
        })?;
        Ok(blob)
    }

    /// Forgets a key that is to be destroyed.
    pub(super) fn evict(&mut self, tenant: Tenant) {
        if let Some(place) = self.loaded.iter().position(|(loaded, _)| *loaded == tenant) {
            let (_, entity) = self.loaded.remove(place);
            self.link.flush(entity.handle);
        }
    }

    /// Ends it: frees everything, so that the next to come finds the device empty. One that does not answer is left as it is.
    pub(super) fn end(mut self) {
        let loaded = self.loaded.iter().map(|(_, entity)| entity.handle);
        let handles: Vec<u32> = loaded.chain([self.session.handle, self.root.handle]).collect();
        for handle in handles {
            if !self.link.flush(handle) {
                return;
            }
        }
    }

    fn resident(
        &mut self,
        tenant: Tenant,
        load: impl FnOnce(&mut Self) -> Result<Entity, Fault>,
    ) -> Result<Entity, Fault> {
        if let Some(place) = self.loaded.iter().position(|(loaded, _)| *loaded == tenant) {
            let found = self.loaded.remove(place);
            let entity = found.1.clone();
            self.loaded.push(found);
            return Ok(entity);
        }
        self.make_room(None);
        let entity = load(self)?;
        self.loaded.push((tenant, entity.clone()));
        Ok(entity)
    }

    /// Makes sure that one more object fits; `needed` stays.
    pub(super) fn make_room(&mut self, needed: Option<&Entity>) {
        while self.loaded.len() >= ROOM {
            let place = self
                .loaded
                .iter()
                .position(|(_, entity)| needed.is_none_or(|needed| needed.handle != entity.handle));
            let Some(place) = place else { return };
            let (_, entity) = self.loaded.remove(place);
            self.link.flush(entity.handle);
        }
    }

    fn load(&mut self, parent: Option<&Entity>, blob: &Blob<'_>) -> Result<Entity, Fault> {
        let parent = parent.unwrap_or(&self.root);
        let parameters = Parameters::new().sized(blob.private).sized(blob.public);
        let reply = self.link.secured(
            &mut self.session,
            &[],
            Secret::Nothing,
            Call {
                code: TpmCc::Load,
                entities: &[parent],
                parameters,
            },
        )?;
        // The name binds later authorizations to this very public area.
        reply.read(|reader| reader.sized().map(|_| ()))?;
        Ok(Entity {
            handle: reply.handle()?,
            name: shapes::name(blob.public),
        })
    }
}

/// `TPM_SE_HMAC`.
const HMAC: u8 = 0x00;
/// `TPM_SE_POLICY`.
const POLICY: u8 = 0x01;

fn start(link: &mut Link, root: &Entity, point: &[u8; 65], kind: u8) -> Result<Session, Fault> {
    let salt = Salt::new(point)?;
    let null = Entity::fixed(NULL);
    // The session's own cipher: AES-128 in CFB mode, which every TPM for PCs has. Its hash: SHA-256.
    let parameters = Parameters::new()
        .sized(&salt.nonce)
        .sized(&salt.encrypted)
        .bytes(&[kind])
        .bytes(&[0x00, 0x06, 0x00, 0x80, 0x00, 0x43])
        .bytes(&[0x00, 0x0b]);
    let reply = link.plain(Call {
        code: TpmCc::StartAuthSession,
        entities: &[root, &null],
        parameters,
    })?;
    let nonce = reply.read(|reader| reader.sized().map(<[u8]>::to_vec))?;
    Ok(salt.session(reply.handle()?, &nonce))
}

/// Makes a primary key before there is a session, and returns it with its public area. What an interposer might answer is worth
/// nothing: the key's name is pinned, and the session is salted with it.
fn primary(link: &mut Link, hierarchy: u32, template: &TpmtPublic) -> Result<(Entity, Vec<u8>), Fault> {
    let reply = link.open(Call {
        code: TpmCc::CreatePrimary,
        entities: &[&Entity::fixed(hierarchy)],
        parameters: primary_parameters(template)?,
    })?;
    Ok(primary_made(&reply)?)
}

fn primary_parameters(template: &TpmtPublic) -> Result<Parameters, KeyError> {
    let empty = Parameters::new().sized(&[]).sized(&[]);
    Ok(Parameters::new()
        .sized(&empty.0)
        .sized(&shapes::area(template)?)
        .sized(&[])
        .u32(0))
}

fn primary_made(reply: &super::link::Reply) -> Result<(Entity, Vec<u8>), KeyError> {
    let public = reply.read(|reader| {
        let public = reader.sized()?.to_vec();
        reader.sized()?;
        reader.sized()?;
        reader.u16()?;
        reader.u32()?;
        reader.sized()?;
        reader.sized()?;
        Some(public)
    })?;
    let name = shapes::name(&public);
    let handle = reply.handle()?;
    Ok((Entity { handle, name }, public))
}

/// Flushes what an earlier client of a simulator's socket, or we before a connection broke, left behind. Behind the kernel's resource manager there is nothing: each
/// client has a place of its own.
fn flush_strangers(link: &mut Link) -> Result<(), Fault> {
    for first in [TRANSIENT_FIRST, LOADED_SESSION_FIRST] {
        let reply = link.plain(Call {
            code: TpmCc::GetCapability,
            entities: &[],
            parameters: Parameters::new().u32(TpmCap::Handles.value()).u32(first).u32(64),
        })?;
        let handles = reply.read(|reader| {
            reader.u8()?;
            reader.u32()?;
            let count = reader.u32()?;
            (0..count.min(64)).map(|_| reader.u32()).collect::<Option<Vec<_>>>()
        })?;
        for handle in handles {
            link.flush(handle);
        }
    }
    Ok(())
}
