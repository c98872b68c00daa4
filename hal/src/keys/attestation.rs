//! Statements that a TPM signs about itself (TCG part 2, `TPMS_ATTEST`), and how to read them without one.

use super::{KeyError, PcrSelection, PcrValues, PublicKey};
use redan_types::Scheme;
use serde::{Deserialize, Serialize};
use tpm2_protocol::TpmUnmarshal;
use tpm2_protocol::data::{TpmAlgId, TpmsAttest, TpmuAttest};

/// A statement and its signature.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Attestation {
    /// The `TPMS_ATTEST` as the device signed it.
    pub statement: Vec<u8>,
    /// The signature, ECDSA P-256 with SHA-256 in DER.
    pub signature: Vec<u8>,
    /// The signing key's uncompressed point. It is part of the device's endorsement and says nothing by itself: compare it with
    /// the key that was written down when the appliance was set up.
    pub signer: Vec<u8>,
}

/// When a statement was made, by the device's own clocks.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DeviceTime {
    /// Milliseconds that the device has been powered in all its life.
    pub clock: u64,
    /// How often it was reset: each start of the machine is one.
    pub resets: u32,
    /// How often it was suspended and resumed since the last reset.
    pub restarts: u32,
}

/// A certified counter.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct CertifiedCounter {
    /// The value.
    pub value: u64,
    /// When.
    pub time: DeviceTime,
}

impl Attestation {
    /// The counter's value, certified together with `subject` by the holder of `signer`.
    ///
    /// # Errors
    /// [`KeyError::Certificate`], saying what does not hold.
    pub fn counter(&self, signer: &PublicKey, subject: &[u8; 32]) -> Result<CertifiedCounter, KeyError> {
        let (attest, time) = self.open(signer, subject)?;
        let TpmuAttest::Nv(info) = attest.attested else {
            return Err(KeyError::Certificate("it is about something else than a counter"));
        };
        // The name holds the index and its attributes: it must be the counter that the driver makes and nothing that can be set.
        if info.index_name[..] != super::tpm2::counter_name(true) {
            return Err(KeyError::Certificate(
                "it is about another index than the appliance's counter",
            ));
        }
        let value = info.nv_contents[..]
            .try_into()
            .map(u64::from_be_bytes)
            .map_err(|_| KeyError::Certificate("the counter has a wrong length"))?;
        Ok(CertifiedCounter { value, time })
    }

    /// Whether the registers had these values, as certified with `nonce` by the holder of `signer`.
    ///
    /// # Errors
    /// [`KeyError::Certificate`], saying what does not hold.
    pub fn quote(&self, signer: &PublicKey, nonce: &[u8], values: &PcrValues) -> Result<DeviceTime, KeyError> {
        let (attest, time) = self.open(signer, nonce)?;
        let TpmuAttest::Quote(info) = attest.attested else {
            return Err(KeyError::Certificate("it is about something else than PCRs"));
        };
        let mut banks = info.pcr_select.iter();
        let (Some(bank), None) = (banks.next(), banks.next()) else {
            return Err(KeyError::Certificate("it is about several banks of PCRs"));
        };
        let selection = <[u8; 3]>::try_from(&bank.pcr_select[..])
            .ok()
            .map(PcrSelection::from_bits);
        if bank.hash != TpmAlgId::Sha256 || selection != Some(values.selection()) {
            return Err(KeyError::Certificate("it is about other PCRs"));
        }
        if info.pcr_digest[..] != values.digest() {
            return Err(KeyError::Certificate("the PCRs have other values"));
        }
        Ok(time)
    }

    fn open(&self, signer: &PublicKey, subject: &[u8]) -> Result<(TpmsAttest, DeviceTime), KeyError> {
        if self.signer != signer.raw {
            return Err(KeyError::Certificate("it was signed by another device"));
        }
        signer
            .verify(Scheme::EcdsaP256Sha256, &self.statement, &self.signature)
            .map_err(|_| KeyError::Certificate("the signature does not verify"))?;
        let (attest, rest) =
            TpmsAttest::unmarshal(&self.statement).map_err(|_| KeyError::Certificate("it does not parse"))?;
        if !rest.is_empty() {
            return Err(KeyError::Certificate("bytes follow it"));
        }
        if attest.extra_data[..] != *subject {
            return Err(KeyError::Certificate("it was made for something else"));
        }
        let clock = attest.clock_info;
        let time = DeviceTime {
            clock: clock.clock.value(),
            resets: clock.reset_count.value(),
            restarts: clock.restart_count.value(),
        };
        Ok((attest, time))
    }
}
