//! Sealing: a secret that the device opens for this context, and for the PIN and the state of the machine that it was bound to.
//!
//! The context and the PIN make the object's authorization value, which proves itself in the session's authentication and never
//! travels. The state is a policy: the device compares its PCRs itself, or checks the signer's approval itself. What is written
//! beside the object on disk only serves to say what went wrong.

use super::attest::pcrs;
use super::link::{Call, Entity, Fault};
use super::live::{Blob, Live, OWNER};
use super::offers::{LOCKOUT_COUNTER, MAX_AUTH_FAIL, property};
use super::session::{Secret, Session};
use super::wire::Parameters;
use super::{Tpm2Device, shapes};
use crate::keys::policy::sha256;
use crate::keys::{
    Binding, DeviceIdentity, KeyDevice, KeyError, Operation, PcrApproval, PcrSelection, PcrValues, PublicKey,
    SealPolicy, Unlock, der,
};
use redan_types::{Algorithm, KeyId, SecretBytes, SecretString};
use serde::{Deserialize, Serialize};
use tpm2_protocol::data::{TpmAlgId, TpmCc, TpmRcBase};
use zeroize::Zeroizing;

/// The longest secret, in bytes: what a TPM holds in one object.
pub(super) const LIMIT: usize = 128;

/// What is kept of a sealed secret.
#[derive(Deserialize, Serialize)]
struct Sealed {
    version: u8,
    by: DeviceIdentity,
    bond: Bond,
    pin: bool,
    public: Vec<u8>,
    private: Vec<u8>,
}

/// To what it is bound, for the way of opening it and for saying what has changed.
#[derive(Deserialize, Serialize)]
enum Bond {
    Device,
    Pcrs(PcrValues),
    Approved { signer: Vec<u8>, reference: Vec<u8> },
}

/// What is kept of a wrapped key.
#[derive(Deserialize, Serialize)]
struct Wrapped {
    version: u8,
    by: DeviceIdentity,
    public: Vec<u8>,
    private: Vec<u8>,
}

pub(super) fn seal(
    device: &Tpm2Device,
    context: &[u8],
    secret: &SecretBytes,
    policy: &SealPolicy,
) -> Result<Vec<u8>, KeyError> {
    fits(secret)?;
    if let Binding::Approved { reference, .. } = &policy.binding
        && reference.len() > REFERENCE
    {
        return Err(KeyError::TooLong {
            length: reference.len(),
            limit: REFERENCE,
        });
    }
    let value = authorization(SEAL, context, policy.pin.as_ref());
    let (bond, public, private) = device.with("seal", |live, _, _| {
        let (bond, digest) = match &policy.binding {
            Binding::Device => (Bond::Device, None),
            Binding::Pcrs(selection) => {
                let values = pcrs(live, *selection)?;
                let digest = with_value(values.policy());
                (Bond::Pcrs(values), Some(digest))
            }
            Binding::Approved { signer, reference } => {
                let digest = approved_policy(signer, reference)?;
                let bond = Bond::Approved {
                    signer: signer.raw.clone(),
                    reference: reference.clone(),
                };
                (bond, Some(digest))
            }
        };
        let template = shapes::sealed(true, digest, policy.pin.is_some())?;
        let (public, private) = live.create(None, &template, &value[..], secret.expose())?;
        Ok((bond, public, private))
    })?;
    let sealed = Sealed {
        version: VERSION,
        by: *device.identity(),
        bond,
        pin: policy.pin.is_some(),
        public,
        private,
    };
    postcard::to_stdvec(&sealed).map_err(|_| KeyError::Library("encode a sealed secret"))
}

pub(super) fn unseal(
    device: &Tpm2Device,
    context: &[u8],
    sealed: &[u8],
    unlock: &Unlock<'_>,
) -> Result<SecretBytes, KeyError> {
    let by = crate::keys::sealed_by(sealed).ok_or(KeyError::Unsealable)?;
    if by != *device.identity() {
        return Err(KeyError::OtherDevice {
            sealed_by: by,
            present: *device.identity(),
        });
    }
    let sealed: Sealed = postcard::from_bytes(sealed).map_err(|_| KeyError::Unsealable)?;
    if sealed.version != VERSION {
        return Err(KeyError::Unsealable);
    }
    let pin = match (sealed.pin, unlock.pin) {
        (true, None) => return Err(KeyError::Pin { attempts: None }),
        (true, pin) => pin,
        (false, _) => None,
    };
    let value = authorization(SEAL, context, pin);
    let blob = Blob {
        public: &sealed.public,
        private: &sealed.private,
    };
    device.with("unseal", |live, _, _| {
        let outcome = live.with_loaded(None, &blob, |live, object| match &sealed.bond {
            Bond::Device => open(live, None, object, &value[..]),
            Bond::Pcrs(then) => {
                let now = pcrs(live, then.selection())?;
                let differing = then.differing(&now);
                if !differing.is_empty() {
                    return Err(KeyError::OtherState(differing).into());
                }
                live.with_policy(|live, session| {
                    policy_pcr(live, session, then.selection())?;
                    policy_value(live, session)?;
                    open(live, Some(session), object, &value[..])
                })
            }
            Bond::Approved { signer, reference } => {
                let signer = PublicKey {
                    algorithm: Algorithm::EcdsaP256,
                    raw: signer.clone(),
                };
                let approval = fitting(live, unlock.approvals)?;
                approval.check(&signer, reference)?;
                live.with_policy(|live, session| {
                    policy_pcr(live, session, approval.values.selection())?;
                    policy_authorize(live, session, approval, &signer, reference)?;
                    policy_value(live, session)?;
                    open(live, Some(session), object, &value[..])
                })
            }
        });
        match outcome {
            Err(fault) if fault.forgot() => Err(fault),
            Err(fault) => Err(match fault.reason() {
                // The authorization value is wrong: another context, or with a PIN that one.
                Some(TpmRcBase::AuthFail | TpmRcBase::BadAuth) if sealed.pin => {
                    let link = &mut live.link;
                    let attempts = property(link, MAX_AUTH_FAIL)
                        .zip(property(link, LOCKOUT_COUNTER))
                        .map(|(most, failed)| most.saturating_sub(failed));
                    Fault::Failed(KeyError::Pin { attempts })
                }
                Some(
                    TpmRcBase::AuthFail
                    | TpmRcBase::AuthType
                    | TpmRcBase::AuthUnavailable
                    | TpmRcBase::BadAuth
                    | TpmRcBase::Integrity
                    | TpmRcBase::Policy
                    | TpmRcBase::PolicyCc
                    | TpmRcBase::PolicyFail
                    | TpmRcBase::Size
                    | TpmRcBase::Value
                    | TpmRcBase::Type
                    | TpmRcBase::Attributes
                    | TpmRcBase::Hash
                    | TpmRcBase::Insufficient
                    | TpmRcBase::Sensitive
                    | TpmRcBase::Binding
                    | TpmRcBase::ReservedBits
                    | TpmRcBase::Scheme
                    | TpmRcBase::Selector
                    | TpmRcBase::Symmetric
                    | TpmRcBase::Kdf
                    | TpmRcBase::Key
                    | TpmRcBase::Tag,
                ) => Fault::Failed(KeyError::Unsealable),
                Some(TpmRcBase::PcrChanged) => match &sealed.bond {
                    Bond::Pcrs(then) => Fault::Failed(KeyError::OtherState(then.selection())),
                    _ => Fault::Failed(KeyError::Unsealable),
                },
                _ => fault,
            }),
            outcome => outcome,
        }
    })
}

pub(super) fn wrap(device: &Tpm2Device, key: KeyId, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, KeyError> {
    storage(device, key)?;
    fits(secret)?;
    let value = authorization(WRAP, context, None);
    let (public, private) = device.with_key("wrap a key", key, |live, parent, file| {
        let template = shapes::sealed(shapes::is_fixed(&file.public), None, false)?;
        live.create(Some(parent), &template, &value[..], secret.expose())
    })?;
    let wrapped = Wrapped {
        version: VERSION,
        by: *device.identity(),
        public,
        private,
    };
    postcard::to_stdvec(&wrapped).map_err(|_| KeyError::Library("encode a wrapped key"))
}

pub(super) fn unwrap(device: &Tpm2Device, key: KeyId, context: &[u8], wrapped: &[u8]) -> Result<SecretBytes, KeyError> {
    storage(device, key)?;
    let wrapped: Wrapped = postcard::from_bytes(wrapped).map_err(|_| KeyError::Ciphertext)?;
    if wrapped.version != VERSION {
        return Err(KeyError::Ciphertext);
    }
    let value = authorization(WRAP, context, None);
    let blob = Blob {
        public: &wrapped.public,
        private: &wrapped.private,
    };
    device.with_key("unwrap a key", key, |live, parent, _| {
        let outcome = live.with_loaded(Some(parent), &blob, |live, object| open(live, None, object, &value[..]));
        match outcome {
            // Whatever is wrong with the object, it is not what was wrapped here.
            Err(fault @ Fault::Refused(..)) if !fault.forgot() => Err(KeyError::Ciphertext.into()),
            outcome => outcome,
        }
    })
}

fn storage(device: &Tpm2Device, key: KeyId) -> Result<(), KeyError> {
    match device.algorithm(key)? {
        Algorithm::Aes256 => device.offer(Operation::WrapKey),
        algorithm => Err(KeyError::Unfit {
            key,
            algorithm,
            operation: "wrap keys",
        }),
    }
}

fn fits(secret: &SecretBytes) -> Result<(), KeyError> {
    let length = secret.expose().len();
    if length > LIMIT {
        return Err(KeyError::TooLong { length, limit: LIMIT });
    }
    Ok(())
}

/// Lets the device open a loaded object.
fn open(live: &mut Live, policy: Option<&mut Session>, object: &Entity, value: &[u8]) -> Result<SecretBytes, Fault> {
    let call = Call {
        code: TpmCc::Unseal,
        entities: &[object],
        parameters: Parameters::new(),
    };
    let session = policy.unwrap_or(&mut live.session);
    let reply = live.link.secured(session, value, Secret::Answer, call)?;
    Ok(reply.read(|reader| reader.sized().map(|bytes| SecretBytes::new(bytes.to_vec())))?)
}

/// The approval whose values the machine has.
fn fitting<'a>(live: &mut Live, approvals: &'a [PcrApproval]) -> Result<&'a PcrApproval, Fault> {
    let mut nearest: Option<PcrSelection> = None;
    for approval in approvals {
        let now = pcrs(live, approval.values.selection())?;
        let differing = approval.values.differing(&now);
        if differing.is_empty() {
            return Ok(approval);
        }
        if nearest.is_none_or(|nearest| differing.iter().count() < nearest.iter().count()) {
            nearest = Some(differing);
        }
    }
    Err(Fault::Failed(KeyError::NotApproved {
        given: approvals.len(),
        differing: nearest.unwrap_or_default(),
    }))
}

fn policy_pcr(live: &mut Live, session: &Session, selection: PcrSelection) -> Result<(), Fault> {
    policy_step(
        live,
        session,
        TpmCc::PolicyPcr,
        Parameters::new().sized(&[]).bytes(&selection.encoded()),
    )
}

fn policy_value(live: &mut Live, session: &Session) -> Result<(), Fault> {
    policy_step(live, session, TpmCc::PolicyAuthValue, Parameters::new())
}

fn policy_step(live: &mut Live, session: &Session, code: TpmCc, parameters: Parameters) -> Result<(), Fault> {
    let entity = Entity::fixed(session.handle);
    live.send(
        Secret::Audited,
        Call {
            code,
            entities: &[&entity],
            parameters,
        },
    )?;
    Ok(())
}

/// Has the device check the approval's signature, and shows it the ticket that it gives for that.
fn policy_authorize(
    live: &mut Live,
    session: &Session,
    approval: &PcrApproval,
    signer: &PublicKey,
    reference: &[u8],
) -> Result<(), Fault> {
    let public = shapes::area(&shapes::signer(signer)?)?;
    let digest = sha256(&[&approval.values.approval_message(reference)]);
    let numbers = der::ecdsa_numbers(&approval.signature, 32).ok_or(KeyError::ApprovalSignature)?;
    let (r, s) = numbers.split_at(32);
    let name = shapes::name(&public);
    let ticket = live.with_made(
        |link| {
            // In a hierarchy, for in none the device gives no ticket.
            let reply = link.plain(Call {
                code: TpmCc::LoadExternal,
                entities: &[],
                parameters: Parameters::new().u16(0).sized(&public).u32(OWNER),
            })?;
            Ok(Entity {
                handle: reply.handle()?,
                name: name.clone(),
            })
        },
        |live, key| {
            let parameters = Parameters::new()
                .sized(&digest)
                .u16(TpmAlgId::Ecdsa.value())
                .u16(TpmAlgId::Sha256.value())
                .sized(r)
                .sized(s);
            let reply = live.send(
                Secret::Command,
                Call {
                    code: TpmCc::VerifySignature,
                    entities: &[key],
                    parameters,
                },
            );
            match reply {
                Ok(reply) => Ok(reply.read(|reader| {
                    let whole = reader.0.to_vec();
                    reader.bytes(whole.len())?;
                    Some(whole)
                })?),
                Err(fault) if fault.reason() == Some(TpmRcBase::Signature) => {
                    Err(Fault::Failed(KeyError::ApprovalSignature))
                }
                Err(fault) => Err(fault),
            }
        },
    )?;
    let parameters = Parameters::new()
        .sized(&approval.values.policy())
        .sized(reference)
        .sized(&name)
        .bytes(&ticket);
    policy_step(live, session, TpmCc::PolicyAuthorize, parameters)
}

/// The policy of an object that opens for what `signer` approves for `reference`.
fn approved_policy(signer: &PublicKey, reference: &[u8]) -> Result<[u8; 32], KeyError> {
    if signer.algorithm != Algorithm::EcdsaP256 {
        return Err(KeyError::Malformed(Algorithm::EcdsaP256));
    }
    let name = shapes::name(&shapes::area(&shapes::signer(signer)?)?);
    let code = (TpmCc::PolicyAuthorize as u32).to_be_bytes();
    let step = sha256(&[&[0; 32], &code, &name]);
    Ok(with_value(sha256(&[&step, reference])))
}

/// The policy that asks for the authorization value besides.
fn with_value(policy: [u8; 32]) -> [u8; 32] {
    sha256(&[&policy, &(TpmCc::PolicyAuthValue as u32).to_be_bytes()])
}

fn authorization(label: &[u8], context: &[u8], pin: Option<&SecretString>) -> Zeroizing<[u8; 32]> {
    let pin = pin.map(|pin| pin.expose().as_bytes()).unwrap_or_default();
    let mut value = Zeroizing::new(sha256(&[label, &sha256(&[context]), pin]));
    // The device drops zeros at the end of an authorization value; so there shall be none.
    if let Some(last) = value.last_mut() {
        *last |= 1;
    }
    value
}

const VERSION: u8 = 1;
const SEAL: &[u8] = b"redan tpm2 seal v1\0";
const WRAP: &[u8] = b"redan tpm2 wrapped key v1\0";
/// The longest reference of an approval: with a policy before it, it fits the device's buffers.
const REFERENCE: usize = 32;
