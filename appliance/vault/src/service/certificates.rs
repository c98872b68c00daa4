//! The appliance's own certification authority, and the certificates of services and the console.
//!
//! The authority's key lives in the key device and never signs a handshake. It certifies leaf keys that live in the store and in
//! the signers' memory: a TPM or HSM is far too slow to sign handshakes, and may well sign a certificate now and then.

use super::VaultError;
use super::audit::AuditLog;
use super::change::{Change, decode};
use super::signer::Signers;
use crate::store::{Name, Store, Tree};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SerialNumber, SignatureAlgorithm, SigningKey,
};
use redan_hal::keys::software::SoftwareKey;
use redan_hal::keys::{Algorithm, KeyDevice, PublicKey};
use redan_ipc::messages::audit::{Actor, AuditEvent, Outcome};
use redan_ipc::messages::vault::{Certificate, CertificateOwner};
use redan_types::{HostName, KeyId, Process, SecretBytes, Timestamp};
use serde::{Deserialize, Serialize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Issues certificates and keeps them.
#[derive(Debug)]
pub(crate) struct Certificates {
    authority: Authority,
    /// One at a time: two requests for one owner must not make two certificates.
    issuing: Mutex<()>,
}

/// What issuing a certificate needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Issuing<'a> {
    pub(crate) store: &'a Store,
    pub(crate) device: &'a dyn KeyDevice,
    pub(crate) signers: &'a Signers,
    pub(crate) audit: &'a AuditLog,
    pub(crate) now: Timestamp,
}

#[derive(Debug, Deserialize, Serialize)]
struct Authority {
    key: KeyId,
    name: String,
    certificate: Vec<u8>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Issued {
    owner: CertificateOwner,
    names: Vec<HostName>,
    certificate: Certificate,
}

#[derive(Deserialize, Serialize)]
struct LeafKey {
    owner: CertificateOwner,
    pkcs8: SecretBytes,
}

impl Certificates {
    /// Opens the authority, or makes one at the first start, and gives the signers their keys. Returns what could not be read.
    pub(crate) fn open(
        store: &Store,
        device: &dyn KeyDevice,
        signers: &Signers,
        now: Timestamp,
    ) -> Result<(Self, Vec<String>), VaultError> {
        let authority = match store.get(Tree::State, Name::Secret(AUTHORITY))? {
            Some(bytes) => decode(VERSION, &bytes)?,
            None => Authority::make(store, device, now)?,
        };
        let mut notes = Vec::new();
        for record in store.list(Tree::LeafKeys)? {
            let read = || -> Result<(), VaultError> {
                let leaf: LeafKey = decode(VERSION, &record?.value)?;
                signers.allow(&leaf.owner, SoftwareKey::parse(Algorithm::EcdsaP256, &leaf.pkcs8)?);
                Ok(())
            };
            // The certificate of an unreadable key is replaced when it is asked for next.
            if let Err(error) = read() {
                notes.push(format!(
                    "a certificate's key cannot be used and will be replaced: {error}"
                ));
            }
        }
        Ok((
            Self {
                authority,
                issuing: Mutex::default(),
            },
            notes,
        ))
    }

    /// The authority's certificate in DER.
    pub(crate) fn authority(&self) -> &[u8] {
        &self.authority.certificate
    }

    /// The key of the console's certificate, as PKCS#8; `None` where it is not the console's.
    pub(crate) fn console_key(store: &Store, certificate: &Certificate) -> Result<Option<SecretBytes>, VaultError> {
        let Some(bytes) = store.get(Tree::LeafKeys, Name::Secret(&certificate.key.0))? else {
            return Ok(None);
        };
        let leaf: LeafKey = decode(VERSION, &bytes)?;
        Ok((leaf.owner == CertificateOwner::Console).then(|| leaf.pkcs8.clone()))
    }

    /// A certificate for these names that is good for thirty days more; a new one where there is none.
    pub(crate) fn ensure(
        &self,
        with: &Issuing<'_>,
        owner: &CertificateOwner,
        names: &[HostName],
    ) -> Result<Certificate, VaultError> {
        let Issuing {
            store,
            device,
            signers,
            audit,
            now,
        } = *with;
        if names.is_empty() || names.len() > NAMES {
            return Err(VaultError::Refused(format!(
                "a certificate has 1 to {NAMES} names, not {}",
                names.len()
            )));
        }
        let _one = self.issuing.lock().unwrap_or_else(PoisonError::into_inner);
        let place = postcard::to_stdvec(owner).map_err(|_| VaultError::Form("an owner cannot be encoded"))?;
        let old: Option<Issued> = match store.get(Tree::Certificates, Name::Secret(&place)) {
            Ok(found) => found.and_then(|bytes| decode(VERSION, &bytes).ok()),
            // A damaged certificate is as good as none.
            Err(_) => None,
        };
        if let Some(issued) = &old {
            let key = store.get(Tree::LeafKeys, Name::Secret(&issued.certificate.key.0));
            let fresh = issued.certificate.until > now.after(RENEW_BEFORE);
            if issued.names == names && fresh && matches!(key, Ok(Some(_))) {
                return Ok(issued.certificate.clone());
            }
        }
        let pkcs8 = SoftwareKey::generate(Algorithm::EcdsaP256)?;
        let key = SoftwareKey::parse(Algorithm::EcdsaP256, &pkcs8)?;
        let certificate = self.authority.issue(device, key.public(), names, now)?;
        let leaf = LeafKey {
            owner: owner.clone(),
            pkcs8,
        };
        let issued = Issued {
            owner: owner.clone(),
            names: names.to_vec(),
            certificate: certificate.clone(),
        };
        let mut changes = vec![
            Change::put(Tree::LeafKeys, &certificate.key.0, VERSION, &leaf)?,
            Change::put(Tree::Certificates, &place, VERSION, &issued)?,
        ];
        if let Some(old) = old {
            // It goes on signing until the next start: the proxy may still show the old certificate for a while.
            changes.push(Change::delete(Tree::LeafKeys, &old.certificate.key.0));
        }
        audit.append(&[issued.event(now)], changes)?;
        signers.allow(owner, key);
        Ok(certificate)
    }
}

impl Issued {
    fn event(&self, now: Timestamp) -> AuditEvent {
        let resource = match &self.owner {
            CertificateOwner::Console => "console".to_owned(),
            CertificateOwner::Service(name) => format!("service/{name}"),
        };
        let names: Vec<_> = self.names.iter().map(HostName::as_str).collect();
        AuditEvent {
            time: now,
            actor: Actor::Process(Process::Vault),
            action: "certificate.issued".to_owned(),
            resource,
            outcome: Outcome::Succeeded,
            before: None,
            after: Some(names.join(", ")),
            address: None,
            agent: None,
            request: None,
            incident: None,
            message: format!("key {}, valid until {}", self.certificate.key, self.certificate.until),
        }
    }
}

impl Authority {
    fn make(store: &Store, device: &dyn KeyDevice, now: Timestamp) -> Result<Self, VaultError> {
        let key = device.generate(Algorithm::EcdsaP256)?;
        let mut mark = [0; 4];
        device.random(&mut mark)?;
        let name = format!("Redan appliance {:08x}", u32::from_be_bytes(mark));
        let mut params = Self::params(&name);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity(&mut params, now, AUTHORITY_VALIDITY);
        params.serial_number = Some(serial(device)?);
        let signer = DeviceSigner {
            device,
            key,
            public: device.public_key(key)?,
        };
        let certificate = params.self_signed(&signer).map_err(failed)?.der().to_vec();
        let authority = Self { key, name, certificate };
        let mut batch = store.batch();
        Change::put(Tree::State, AUTHORITY, VERSION, &authority)?.add_to(&mut batch)?;
        batch.commit()?;
        Ok(authority)
    }

    fn issue(
        &self,
        device: &dyn KeyDevice,
        public: &PublicKey,
        names: &[HostName],
        now: Timestamp,
    ) -> Result<Certificate, VaultError> {
        let texts: Vec<String> = names.iter().map(ToString::to_string).collect();
        let mut params = CertificateParams::new(texts.clone()).map_err(failed)?;
        params.distinguished_name = DistinguishedName::new();
        // A common name has at most 64 characters (RFC 5280, ub-common-name); the names that count are the alternative ones.
        if let Some(name) = texts.iter().find(|name| name.len() <= 64) {
            params.distinguished_name.push(DnType::CommonName, name.as_str());
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        params.use_authority_key_identifier_extension = true;
        params.serial_number = Some(serial(device)?);
        let until = validity(&mut params, now, LEAF_VALIDITY);
        let signer = DeviceSigner {
            device,
            key: self.key,
            public: device.public_key(self.key)?,
        };
        let mut issuer = Self::params(&self.name);
        issuer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let leaf = params
            .signed_by(&Subject(public), &Issuer::from_params(&issuer, signer))
            .map_err(failed)?;
        Ok(Certificate {
            key: public.id(),
            chain: vec![leaf.der().to_vec(), self.certificate.clone()],
            until,
        })
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params
    }
}

/// Signs certificates with a key of the device.
struct DeviceSigner<'a> {
    device: &'a dyn KeyDevice,
    key: KeyId,
    public: PublicKey,
}

impl SigningKey for DeviceSigner<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.device
            .sign(self.key, message)
            .map_err(|_| rcgen::Error::RemoteKeyError)
    }
}

impl PublicKeyData for DeviceSigner<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public.raw
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// The key that a certificate is for.
struct Subject<'a>(&'a PublicKey);

impl PublicKeyData for Subject<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.0.raw
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// Sets the validity to begin an hour ago (clocks of clients differ) and returns its end.
fn validity(params: &mut CertificateParams, now: Timestamp, length: Duration) -> Timestamp {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    let begin = now.seconds().saturating_sub(3600);
    let end = begin + length.as_secs();
    params.not_before = epoch + Duration::from_secs(begin);
    params.not_after = epoch + Duration::from_secs(end);
    Timestamp(end * 1_000_000)
}

fn serial(device: &dyn KeyDevice) -> Result<SerialNumber, VaultError> {
    let mut bytes = [0; 16];
    device.random(&mut bytes)?;
    // Positive, and never with a leading zero octet (RFC 5280 section 4.1.2.2).
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

#[expect(clippy::needless_pass_by_value, reason = "called by map_err")]
fn failed(error: rcgen::Error) -> VaultError {
    VaultError::Refused(format!("the certificate cannot be made: {error}"))
}

const AUTHORITY: &[u8] = b"certification authority";
const VERSION: u8 = 1;
const NAMES: usize = 64;
/// The manager asks for renewal while the appliance runs; 100 days is the most that the CA/Browser Forum's baseline requirements
/// allow from March 2027 on.
const LEAF_VALIDITY: Duration = Duration::from_hours(90 * 24);
const AUTHORITY_VALIDITY: Duration = Duration::from_hours(10 * 365 * 24);
const RENEW_BEFORE: Duration = Duration::from_hours(30 * 24);
