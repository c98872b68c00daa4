//! What a TPM offers, by asking it.

use super::link::{Call, Fault, Link};
use super::live::Live;
use super::shapes::{self, Origin};
use super::wire::{Parameters, encode};
use crate::keys::{Algorithm, OaepHash, Operation, Scheme};
use std::collections::BTreeSet;
use tpm2_protocol::data::{
    TpmAlgId, TpmCap, TpmCc, TpmsEccParms, TpmsRsaParms, TpmsSchemeHash, TpmtEccScheme, TpmtPublicParms, TpmtRsaScheme,
    TpmuAsymScheme, TpmuPublicParms,
};

/// What this device offers, by asking it for each set of parameters.
pub(super) fn offered(live: &mut Live) -> Result<BTreeSet<Operation>, Fault> {
    let mut operations = BTreeSet::from([
        Operation::Random,
        Operation::List,
        Operation::Destroy,
        Operation::Seal,
        Operation::SealToPin,
        Operation::SealToPcrs,
        Operation::SealToApproval,
        Operation::Count,
        Operation::CertifyCounter,
        Operation::Extend,
        Operation::Quote,
    ]);
    let strong = live.strong;
    let link = &mut live.link;
    for algorithm in Algorithm::ALL {
        let Some(template) = shapes::key(algorithm, Origin::Device) else {
            continue;
        };
        if algorithm == Algorithm::Aes256 && !strong {
            continue;
        }
        if takes(
            link,
            &TpmtPublicParms {
                object_type: template.object_type,
                parameters: template.parameters,
            },
        )? {
            operations.extend([Operation::Generate(algorithm), Operation::Import(algorithm)]);
            match algorithm {
                Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => {
                    operations.insert(Operation::Agree(algorithm));
                }
                Algorithm::Aes256 => {
                    operations.insert(Operation::WrapKey);
                }
                _ => {}
            }
        }
    }
    for scheme in Scheme::ALL {
        let algorithm = Algorithm::ALL
            .into_iter()
            .find(|algorithm| scheme.fits(*algorithm) && operations.contains(&Operation::Generate(*algorithm)));
        let (Some(algorithm), Some((signing, hash))) = (algorithm, numbers(scheme)) else {
            continue;
        };
        if takes_scheme(link, algorithm, signing, hash)? {
            operations.extend([Operation::Sign(scheme), Operation::Verify(scheme)]);
        }
    }
    for hash in OaepHash::ALL {
        if operations.contains(&Operation::Generate(Algorithm::Rsa2048))
            && takes_scheme(link, Algorithm::Rsa2048, TpmAlgId::Oaep, oaep(hash))?
        {
            operations.insert(Operation::Decrypt(hash));
        }
    }
    Ok(operations)
}

fn takes_scheme(link: &mut Link, algorithm: Algorithm, scheme: TpmAlgId, hash: TpmAlgId) -> Result<bool, Fault> {
    let details = TpmuAsymScheme::Hash(TpmsSchemeHash { hash_alg: hash });
    let Some(template) = shapes::key(algorithm, Origin::Device) else {
        return Ok(false);
    };
    let parameters = match template.parameters {
        TpmuPublicParms::Ecc(parameters) => TpmuPublicParms::Ecc(TpmsEccParms {
            scheme: TpmtEccScheme { scheme, details },
            ..parameters
        }),
        TpmuPublicParms::Rsa(parameters) => TpmuPublicParms::Rsa(TpmsRsaParms {
            scheme: TpmtRsaScheme { scheme, details },
            ..parameters
        }),
        other => other,
    };
    let object_type = template.object_type;
    takes(
        link,
        &TpmtPublicParms {
            object_type,
            parameters,
        },
    )
}

fn takes(link: &mut Link, parameters: &TpmtPublicParms) -> Result<bool, Fault> {
    let parameters = Parameters::new().bytes(&encode(parameters)?);
    let outcome = link.plain(Call {
        code: TpmCc::TestParms,
        entities: &[],
        parameters,
    });
    match outcome {
        Ok(_) => Ok(true),
        Err(Fault::Refused(..)) => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// A property of the device; `None` where it does not tell.
pub(super) fn property(link: &mut Link, which: u32) -> Option<u32> {
    let reply = link.plain(Call {
        code: TpmCc::GetCapability,
        entities: &[],
        parameters: Parameters::new().u32(TpmCap::TpmProperties.value()).u32(which).u32(1),
    });
    reply
        .ok()?
        .read(|reader| {
            reader.u8()?;
            reader.u32()?;
            (reader.u32()? == 1).then_some(())?;
            (reader.u32()? == which).then_some(())?;
            reader.u32()
        })
        .ok()
}

/// The scheme and the hash as a TPM names them; `None` where TPMs do not have it.
pub(super) const fn numbers(scheme: Scheme) -> Option<(TpmAlgId, TpmAlgId)> {
    Some(match scheme {
        Scheme::EcdsaP256Sha256 => (TpmAlgId::Ecdsa, TpmAlgId::Sha256),
        Scheme::EcdsaP384Sha384 => (TpmAlgId::Ecdsa, TpmAlgId::Sha384),
        Scheme::RsaPssSha256 => (TpmAlgId::Rsapss, TpmAlgId::Sha256),
        Scheme::RsaPssSha384 => (TpmAlgId::Rsapss, TpmAlgId::Sha384),
        Scheme::RsaPkcs1Sha256 => (TpmAlgId::Rsassa, TpmAlgId::Sha256),
        Scheme::RsaPkcs1Sha384 => (TpmAlgId::Rsassa, TpmAlgId::Sha384),
        _ => return None,
    })
}

pub(super) const fn oaep(hash: OaepHash) -> TpmAlgId {
    match hash {
        OaepHash::Sha256 => TpmAlgId::Sha256,
        OaepHash::Sha384 => TpmAlgId::Sha384,
        _ => TpmAlgId::Sha1,
    }
}

/// `TPM_PT_LOCKOUT_COUNTER`, `TPM_PT_MAX_AUTH_FAIL`, `TPM_PT_LOCKOUT_INTERVAL`.
pub(super) const LOCKOUT_COUNTER: u32 = 0x20e;
pub(super) const MAX_AUTH_FAIL: u32 = 0x20f;
pub(super) const LOCKOUT_INTERVAL: u32 = 0x210;
