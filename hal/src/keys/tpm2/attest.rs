//! What the device says about itself: its PCRs and what it signs.

use super::link::{Call, Fault, Reply};
use super::live::Live;
use super::session::Secret;
use super::shapes;
use super::wire::Parameters;
use crate::keys::{Algorithm, Attestation, KeyError, PcrSelection, PcrValues, PublicKey};
use std::collections::BTreeMap;
use tpm2_protocol::data::{TpmAlgId, TpmCc};

pub(super) fn pcrs(live: &mut Live, selection: PcrSelection) -> Result<PcrValues, Fault> {
    let mut found: BTreeMap<u8, [u8; 32]> = BTreeMap::new();
    let mut wanted: Vec<u8> = selection.iter().collect();
    // A device gives at most eight values at a time, and says which.
    while !wanted.is_empty() {
        let part = PcrSelection::new(&wanted).unwrap_or_default();
        let reply = live.send(
            Secret::Audited,
            Call {
                code: TpmCc::PcrRead,
                entities: &[],
                parameters: Parameters::new().bytes(&part.encoded()),
            },
        )?;
        let values = reply.read(|reader| {
            reader.u32()?;
            (reader.u32()? == 1 && reader.u16()? == TpmAlgId::Sha256.value() && reader.u8()? == 3).then_some(())?;
            let [first, second, third] = <[u8; 3]>::try_from(reader.bytes(3)?).ok()?;
            let given = PcrSelection::from_bits([first, second, third]);
            let count = reader.u32()?;
            let values = given
                .iter()
                .map(|pcr| Some((pcr, <[u8; 32]>::try_from(reader.sized()?).ok()?)))
                .collect::<Option<Vec<_>>>()?;
            (usize::try_from(count).ok()? == values.len()
                && !values.is_empty()
                && values.iter().all(|(pcr, _)| wanted.contains(pcr)))
            .then_some(values)
        })?;
        wanted.retain(|pcr| values.iter().all(|(given, _)| given != pcr));
        found.extend(values);
    }
    Ok(PcrValues::new(selection, found.into_values().collect()).ok_or(KeyError::Library("collect PCR values"))?)
}

/// The statement and signature that a command of attestation returned.
pub(super) fn attested(live: &Live, reply: &Reply, public: &[u8]) -> Result<Attestation, Fault> {
    let (statement, signature) = reply.read(|reader| Some((reader.sized()?.to_vec(), shapes::signature(reader)?)))?;
    Ok(Attestation {
        statement,
        signature,
        signer: attestation_public(live, public)?.raw,
    })
}

pub(super) fn attestation_public(live: &Live, public: &[u8]) -> Result<PublicKey, Fault> {
    Ok(
        shapes::public_key(Algorithm::EcdsaP256, public).ok_or_else(|| KeyError::Protocol {
            device: live.link.name().to_owned(),
            what: "an attestation key of another kind",
        })?,
    )
}
