//! The monotonic counter: an NV index of the counter type, which nothing but an increment changes.
//!
//! Even its owner cannot set it back: an index that is removed and made again begins above every value that any counter of this
//! device ever had. On hardware an increment wears the memory; the caller does one for a checkpoint, not for an entry.

use super::attest::attested;
use super::link::{Call, Entity, Fault};
use super::live::{Live, OWNER};
use super::session::Secret;
use super::shapes;
use super::wire::{Parameters, Reader};
use crate::keys::{Attestation, DeviceIdentity, KeyError};
use tpm2_protocol::data::{TpmAlgId, TpmCc, TpmRcBase, TpmaNv};

/// In the range that the TCG leaves to owners ("Registry of Reserved TPM 2.0 Handles").
const INDEX: u32 = 0x0180_5244;
const SIZE: u16 = 8;

fn attributes(written: bool) -> u32 {
    let fixed = TpmaNv::COUNTER | TpmaNv::AUTHWRITE | TpmaNv::AUTHREAD | TpmaNv::OWNERREAD | TpmaNv::NO_DA;
    (if written { fixed | TpmaNv::WRITTEN } else { fixed }).bits()
}

/// `TPMS_NV_PUBLIC`.
fn public(written: bool) -> Parameters {
    Parameters::new()
        .u32(INDEX)
        .u16(TpmAlgId::Sha256.value())
        .u32(attributes(written))
        .sized(&[])
        .u16(SIZE)
}

/// The index's name, which changes with the first increment and never again.
pub(in crate::keys) fn name(written: bool) -> Vec<u8> {
    shapes::name(&public(written).0)
}

fn entity(written: bool) -> Entity {
    Entity {
        handle: INDEX,
        name: name(written),
    }
}

#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum State {
    Missing,
    New,
    Counting,
}

fn state(live: &mut Live, device: DeviceIdentity, made: bool) -> Result<State, Fault> {
    // What a command is bound to is the index's name, and that is what is asked for: one of two, or it is not the counter.
    let mut ask = |written| {
        live.send(
            Secret::Answer,
            Call {
                code: TpmCc::NvReadPublic,
                entities: &[&entity(written)],
                parameters: Parameters::new(),
            },
        )
    };
    let outcome = match ask(true) {
        Err(fault) if misnamed(&fault) => ask(false),
        outcome => outcome,
    };
    let reply = match outcome {
        Ok(reply) => reply,
        Err(fault) if fault.reason() == Some(TpmRcBase::Handle) => {
            return if made {
                Err(Fault::Failed(KeyError::CounterLost {
                    device,
                    what: "it was removed",
                }))
            } else {
                Ok(State::Missing)
            };
        }
        Err(fault) if misnamed(&fault) => return Err(stranger(device)),
        Err(fault) => return Err(fault),
    };
    let found = reply.read(|reader| {
        let public = reader.sized()?.to_vec();
        reader.sized()?;
        Some(public)
    })?;
    if *found == *public(true).0 {
        Ok(State::Counting)
    } else if *found == *public(false).0 {
        Ok(State::New)
    } else {
        Err(stranger(device))
    }
}

/// Whether the authorization did not hold: it was bound to another name than the index has.
fn misnamed(fault: &Fault) -> bool {
    matches!(fault.reason(), Some(TpmRcBase::AuthFail | TpmRcBase::BadAuth))
}

const fn stranger(device: DeviceIdentity) -> Fault {
    Fault::Failed(KeyError::CounterLost {
        device,
        what: "an index of another kind is in its place",
    })
}

/// The value; 0 before the first increment. `made` says whether the counter was made before.
pub(super) fn value(live: &mut Live, device: DeviceIdentity, made: bool) -> Result<u64, Fault> {
    match state(live, device, made)? {
        State::Missing | State::New => Ok(0),
        State::Counting => read(live),
    }
}

/// Makes the counter where there is none and there never was one.
pub(super) fn ensure(live: &mut Live, device: DeviceIdentity, made: bool) -> Result<(), Fault> {
    if state(live, device, made)? == State::Missing {
        live.send(
            Secret::Command,
            Call {
                code: TpmCc::NvDefineSpace,
                entities: &[&Entity::fixed(OWNER)],
                parameters: Parameters::new().sized(&[]).sized(&public(false).0),
            },
        )?;
    }
    Ok(())
}

/// Counts, and returns the new value.
pub(super) fn increment(live: &mut Live) -> Result<u64, Fault> {
    let mut count = |written| {
        let entity = entity(written);
        live.send(
            Secret::Nothing,
            Call {
                code: TpmCc::NvIncrement,
                entities: &[&entity, &entity],
                parameters: Parameters::new(),
            },
        )
    };
    match count(true) {
        // Its name is still the first one: this is the first increment.
        Err(fault) if misnamed(&fault) => count(false)?,
        outcome => outcome?,
    };
    read(live)
}

fn read(live: &mut Live) -> Result<u64, Fault> {
    let entity = entity(true);
    let reply = live.send(
        Secret::Nothing,
        Call {
            code: TpmCc::NvRead,
            entities: &[&entity, &entity],
            parameters: Parameters::new().u16(SIZE).u16(0),
        },
    )?;
    Ok(reply.read(|reader| {
        let mut value = Reader(reader.sized()?);
        let number = value.u64()?;
        value.end()?;
        Some(number)
    })?)
}

/// A statement of the device: the counter's value and `subject`.
pub(super) fn certify(live: &mut Live, subject: &[u8; 32]) -> Result<Attestation, Fault> {
    let (key, signer) = live.attestation()?;
    let entity = entity(true);
    let parameters = Parameters::new()
        .sized(subject)
        .u16(TpmAlgId::Ecdsa.value())
        .u16(TpmAlgId::Sha256.value())
        .u16(SIZE)
        .u16(0);
    let reply = live.send(
        Secret::Nothing,
        Call {
            code: TpmCc::NvCertify,
            entities: &[&key, &entity, &entity],
            parameters,
        },
    )?;
    attested(live, &reply, &signer)
}
