//! The volume key: made once, wrapped for the TPM and for the recovery key.

use super::header::{Header, Sealed, State, Wrapped};
use super::recovery::RecoveryKey;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use redan_hal::keys::tpm2::{Address, Patience, Tpm2Device};
use redan_hal::keys::{
    Binding, KeyDevice, KeyError, PcrApproval, PcrSelection, PcrValues, PublicKey, SealPolicy, Unlock,
};
use redan_image_layout::slot::{Approval, IMAGE_PCR, Phase, reference};
use redan_types::{Algorithm, SecretBytes};
use std::path::Path;
use std::sync::Arc;
use zeroize::Zeroizing;

/// The register of the firmware's keys and policy (TCG PC Client Platform Firmware Profile, section 3.3.4.8).
const FIRMWARE_PCR: u8 = 7;
/// Bytes of the volume key: two keys of AES-256.
const VOLUME: usize = 64;
/// States of the firmware that are kept: the present one and what is planned.
const STATES: usize = 8;

/// Why a data partition stays closed, in words for an operator.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// There is no sealed key.
    #[error("it was set up on a machine without a TPM")]
    NotSealed,
    /// The TPM does not answer, or refuses.
    #[error("the TPM does not release the key")]
    Tpm(#[source] KeyError),
    /// The disk was moved.
    #[error("it was sealed by the TPM of another machine")]
    OtherMachine(#[source] KeyError),
    /// An older image than the one that sealed it.
    #[error("it was sealed by an image of security version {sealed}, and this image has {own}")]
    Older {
        /// The version that sealed it.
        sealed: u32,
        /// This image's.
        own: u32,
    },
    /// The image is not as its maker measured it.
    #[error("PCR 11 (the kernel image) is none that the image's maker approved")]
    Image(#[source] KeyError),
    /// The firmware's state changed.
    #[error(
        "PCR 7 (the firmware's Secure Boot keys and state) changed; enter the recovery key to go on with the new state"
    )]
    Firmware(#[source] KeyError),
    /// The secret that was typed is another one.
    #[error("this is not the recovery key of this data partition")]
    Recovery,
    /// The header is not what was written.
    #[error(transparent)]
    Altered(#[from] super::header::Altered),
    /// A wrapped key does not open though its secret was right.
    #[error("the wrapped volume key was altered")]
    Wrapped,
    /// Cryptography failed where it cannot.
    #[error("cannot {0}")]
    Library(&'static str),
}

/// The image that runs, as far as the data partition is concerned.
#[derive(Clone, Debug)]
pub struct Image {
    /// Its security version.
    pub security: u32,
    /// Its maker's key: P-256, uncompressed.
    pub approver: Vec<u8>,
    /// Its maker's approvals.
    pub approvals: Vec<Approval>,
}

/// The machine's TPM.
#[derive(Debug)]
pub struct Tpm(Tpm2Device);

impl Tpm {
    /// Opens the kernel's resource manager; `folder` is empty and forgotten with the next start.
    ///
    /// # Errors
    /// There is none, or it does not answer.
    pub fn open(device: &Path, folder: &Path) -> Result<Self, KeysError> {
        let address = Arc::new(Address::Device(device.to_owned()));
        Self::connect(address, folder)
    }

    fn connect(address: Arc<Address>, folder: &Path) -> Result<Self, KeysError> {
        Tpm2Device::open(address, folder, Patience::default())
            .map(Self)
            .map_err(KeysError::Tpm)
    }

    /// A simulator's socket, for tests.
    ///
    /// # Errors
    /// As [`Tpm::open`].
    #[cfg(test)]
    pub(super) fn simulator(socket: &Path, folder: &Path) -> Result<Self, KeysError> {
        Self::connect(Arc::new(Address::Socket(socket.to_owned())), folder)
    }

    /// Closes what was sealed to the start: nothing that is approved for [`Phase::Start`] can be had until the next one.
    ///
    /// # Errors
    /// The TPM does not answer.
    pub fn leave(&self) -> Result<(), KeysError> {
        self.0
            .extend(IMAGE_PCR, &redan_image_layout::slot::leaves())
            .map_err(KeysError::Tpm)
    }

    fn pcr(&self, register: u8) -> Result<[u8; 32], KeysError> {
        let values = self.0.pcrs(selection(register)?).map_err(KeysError::Tpm)?;
        values
            .iter()
            .next()
            .map(|(_, value)| *value)
            .ok_or(KeysError::Library("read a PCR"))
    }
}

/// A new volume key.
pub(super) fn generate() -> Result<SecretBytes, KeysError> {
    random(VOLUME)
}

/// Wraps the volume key for a recovery key.
pub(super) fn wrap_for(recovery: &RecoveryKey, id: &[u8; 16], volume: &SecretBytes) -> Result<Wrapped, KeysError> {
    wrap(&derived(recovery.bytes(), id, RECOVERY)?, volume)
}

/// Opens what [`wrap_for`] made.
pub(super) fn unwrap_for(recovery: &RecoveryKey, header: &Header) -> Result<SecretBytes, KeysError> {
    let key = derived(recovery.bytes(), &header.id, RECOVERY)?;
    unwrap(&key, &header.recovery).ok_or(KeysError::Recovery)
}

/// Seals the volume key to the TPM, for images that the maker approves and for the firmware's present state. The second value is this
/// machine's approving key (PKCS#8), which belongs on the encrypted file system.
pub(super) fn seal(
    tpm: &Tpm,
    image: &Image,
    id: &[u8; 16],
    volume: &SecretBytes,
) -> Result<(Sealed, SecretBytes), KeysError> {
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new())
        .map_err(|_| KeysError::Library("make the approving key"))?;
    let pkcs8 = SecretBytes::new(pkcs8.as_ref().to_vec());
    let pair = pair(&pkcs8)?;
    let approver = pair.public_key().as_ref().to_vec();
    let (for_image, for_firmware) = (random(SHARE)?, random(SHARE)?);
    let bind = |context: &[u8], secret: &SecretBytes, signer: &[u8], reference: Vec<u8>| {
        let binding = Binding::Approved {
            signer: public(signer),
            reference,
        };
        let policy = SealPolicy { binding, pin: None };
        tpm.0
            .seal_to(&[context, id].concat(), secret, &policy)
            .map_err(KeysError::Tpm)
    };
    let sealed = Sealed {
        security: image.security,
        image: bind(IMAGE, &for_image, &image.approver, reference(image.security))?,
        firmware: bind(FIRMWARE, &for_firmware, &approver, firmware_reference(id))?,
        states: vec![approve(&pair, id, tpm.pcr(FIRMWARE_PCR)?)?],
        approver,
        key: wrap(&both(&for_image, &for_firmware, id)?, volume)?,
    };
    Ok((sealed, pkcs8))
}

/// Has the TPM release the volume key.
pub(super) fn unseal(tpm: &Tpm, image: &Image, header: &Header) -> Result<SecretBytes, KeysError> {
    let sealed = header.sealed.as_ref().ok_or(KeysError::NotSealed)?;
    let id = &header.id;
    if sealed.security > image.security {
        return Err(KeysError::Older {
            sealed: sealed.security,
            own: image.security,
        });
    }
    let fitting = image
        .approvals
        .iter()
        .filter(|of| of.phase == Phase::Start && of.security == sealed.security);
    let approvals = fitting
        .map(|of| approval(IMAGE_PCR, of.pcr, &of.signature))
        .collect::<Result<Vec<_>, _>>()?;
    let for_image = release(tpm, &[IMAGE, id].concat(), &sealed.image, &approvals, KeysError::Image)?;
    let states = sealed.states.iter().take(STATES);
    let approvals = states
        .map(|state| approval(FIRMWARE_PCR, state.pcr, &state.signature))
        .collect::<Result<Vec<_>, _>>()?;
    let for_firmware = release(
        tpm,
        &[FIRMWARE, id].concat(),
        &sealed.firmware,
        &approvals,
        KeysError::Firmware,
    )?;
    unwrap(&both(&for_image, &for_firmware, id)?, &sealed.key).ok_or(KeysError::Wrapped)
}

/// Approves one more state of the firmware; the oldest planned one is forgotten when there are too many.
pub(super) fn add_state(
    sealed: &mut Sealed,
    id: &[u8; 16],
    approver: &SecretBytes,
    pcr: [u8; 32],
) -> Result<(), KeysError> {
    sealed.states.retain(|state| state.pcr != pcr);
    if sealed.states.len() >= STATES {
        sealed.states.remove(0);
    }
    sealed.states.push(approve(&pair(approver)?, id, pcr)?);
    Ok(())
}

fn release(
    tpm: &Tpm,
    context: &[u8],
    sealed: &[u8],
    approvals: &[PcrApproval],
    state: fn(KeyError) -> KeysError,
) -> Result<SecretBytes, KeysError> {
    let unlock = Unlock { approvals, pin: None };
    tpm.0
        .unseal_with(context, sealed, &unlock)
        .map_err(|error| match error {
            KeyError::OtherDevice { .. } => KeysError::OtherMachine(error),
            KeyError::NotApproved { .. } | KeyError::ApprovalSignature => state(error),
            _ => KeysError::Tpm(error),
        })
}

fn approve(pair: &EcdsaKeyPair, id: &[u8; 16], pcr: [u8; 32]) -> Result<State, KeysError> {
    let values = values(FIRMWARE_PCR, pcr)?;
    let signature = pair
        .sign(&SystemRandom::new(), &values.approval_message(&firmware_reference(id)))
        .map_err(|_| KeysError::Library("approve a state of the firmware"))?;
    Ok(State {
        pcr,
        signature: signature.as_ref().to_vec(),
    })
}

fn approval(register: u8, pcr: [u8; 32], signature: &[u8]) -> Result<PcrApproval, KeysError> {
    Ok(PcrApproval {
        values: values(register, pcr)?,
        signature: signature.to_vec(),
    })
}

fn values(register: u8, pcr: [u8; 32]) -> Result<PcrValues, KeysError> {
    PcrValues::new(selection(register)?, vec![pcr]).ok_or(KeysError::Library("name a PCR"))
}

fn selection(register: u8) -> Result<PcrSelection, KeysError> {
    PcrSelection::new(&[register]).ok_or(KeysError::Library("name a PCR"))
}

fn pair(pkcs8: &SecretBytes) -> Result<EcdsaKeyPair, KeysError> {
    EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8.expose())
        .map_err(|_| KeysError::Library("read the approving key"))
}

fn public(raw: &[u8]) -> PublicKey {
    PublicKey {
        algorithm: Algorithm::EcdsaP256,
        raw: raw.to_vec(),
    }
}

/// What this machine's approvals are for; 32 bytes, which is the most that a reference may have.
fn firmware_reference(id: &[u8; 16]) -> Vec<u8> {
    [&b"redan firmware 1"[..], id].concat()
}

fn both(image: &SecretBytes, firmware: &SecretBytes, id: &[u8; 16]) -> Result<LessSafeKey, KeysError> {
    let secret = Zeroizing::new([image.expose(), firmware.expose()].concat());
    derived(&secret, id, SEALED)
}

fn derived(secret: &[u8], id: &[u8; 16], purpose: &[u8]) -> Result<LessSafeKey, KeysError> {
    let info = [purpose];
    let key = Salt::new(HKDF_SHA256, id).extract(secret);
    let key = key
        .expand(&info, &AES_256_GCM)
        .map_err(|_| KeysError::Library("derive a key"))?;
    Ok(LessSafeKey::new(UnboundKey::from(key)))
}

fn wrap(key: &LessSafeKey, volume: &SecretBytes) -> Result<Wrapped, KeysError> {
    let mut nonce = [0; NONCE_LEN];
    SystemRandom::new()
        .fill(&mut nonce)
        .map_err(|_| KeysError::Library("get random numbers"))?;
    let mut text = volume.expose().to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut text)
        .map_err(|_| KeysError::Library("wrap the volume key"))?;
    Ok(Wrapped { nonce, text })
}

fn unwrap(key: &LessSafeKey, wrapped: &Wrapped) -> Option<SecretBytes> {
    let mut text = Zeroizing::new(wrapped.text.clone());
    let nonce = Nonce::assume_unique_for_key(wrapped.nonce);
    let opened = key.open_in_place(nonce, Aad::empty(), &mut text).ok()?;
    (opened.len() == VOLUME).then(|| SecretBytes::new(opened.to_vec()))
}

fn random(length: usize) -> Result<SecretBytes, KeysError> {
    let mut bytes = vec![0; length];
    SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| KeysError::Library("get random numbers"))?;
    Ok(SecretBytes::new(bytes))
}

const SHARE: usize = 32;
const IMAGE: &[u8] = b"redan data image v1";
const FIRMWARE: &[u8] = b"redan data firmware v1";
const SEALED: &[u8] = b"redan data sealed v1";
const RECOVERY: &[u8] = b"redan data recovery v1";

#[cfg(test)]
#[path = "keys_tests.rs"]
mod tests;
