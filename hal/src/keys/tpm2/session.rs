//! Salted sessions (TCG part 1, "Session-based authorizations" and "Session-based encryption").
//!
//! The salt is agreed with the storage root key, whose public half was pinned when the device was set up: only that TPM can know
//! the session's key. Every command is authenticated both ways, and the first parameter of a command or an answer is encrypted
//! where it is secret, so that a probe on the bus sees neither keys nor random numbers and cannot alter an answer.

use super::link::Entity;
use super::wire::{Acknowledgement, Parameters};
use crate::keys::KeyError;
use crate::keys::policy::sha256;
use aws_lc_rs::agreement::{self, ECDH_P256, PrivateKey, UnparsedPublicKey};
use aws_lc_rs::cipher::{
    AES_128, DecryptingKey, DecryptionContext, EncryptionContext, StreamingEncryptingKey, UnboundCipherKey,
};
use aws_lc_rs::iv::FixedLength;
use aws_lc_rs::{constant_time, hmac, rand};
use zeroize::Zeroizing;

/// The session goes on after the command.
const CONTINUE: u8 = 0x01;
/// The command's first parameter is encrypted.
const DECRYPT: u8 = 0x20;
/// The answer's first parameter is encrypted.
const ENCRYPT: u8 = 0x40;
/// The session authenticates a command that needs no authorization.
const AUDIT: u8 = 0x80;
pub(super) const NONCE: usize = 32;

/// What of a command is secret.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Secret {
    /// The answer's first parameter.
    Answer,
    /// Nothing, and nothing needs an authorization either: the session only shows that the answer is the device's.
    Audited,
    /// Both.
    Both,
    /// The command's first parameter.
    Command,
    /// Nothing; the authorization authenticates it all the same.
    Nothing,
}

/// A session that the device keeps for us.
pub(super) struct Session {
    pub(super) handle: u32,
    key: Zeroizing<[u8; 32]>,
    nonce: Vec<u8>,
}

/// A salt on its way to the device.
pub(super) struct Salt {
    pub(super) nonce: [u8; NONCE],
    /// `TPM2B_ENCRYPTED_SECRET`'s content: our half of the agreement as a `TPMS_ECC_POINT`.
    pub(super) encrypted: Vec<u8>,
    value: Zeroizing<[u8; 32]>,
}

impl Salt {
    /// Agrees on a salt with the holder of the P-256 key whose uncompressed point is `storage_key`.
    pub(super) fn new(storage_key: &[u8; 65]) -> Result<Self, KeyError> {
        const FAILED: KeyError = KeyError::Library("agree on a session's salt");
        let ours = PrivateKey::generate(&ECDH_P256).map_err(|_| FAILED)?;
        let public = ours.compute_public_key().map_err(|_| FAILED)?;
        let [_, point @ ..] = public.as_ref() else {
            return Err(FAILED);
        };
        let (x, y) = point.split_at_checked(32).ok_or(FAILED)?;
        let [_, storage_x @ ..] = storage_key.first_chunk::<33>().ok_or(FAILED)?;
        let value = agreement::agree(
            &ours,
            UnparsedPublicKey::new(&ECDH_P256, storage_key),
            FAILED,
            |common| {
                // KDFe (SP 800-56A section 5.8.1) with SHA-256; one round gives all 256 bits.
                Ok(Zeroizing::new(sha256(&[
                    &1_u32.to_be_bytes(),
                    common,
                    b"SECRET\0",
                    x,
                    storage_x,
                ])))
            },
        )?;
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).map_err(|_| FAILED)?;
        Ok(Self {
            nonce,
            encrypted: Parameters::new().sized(x).sized(y).0.to_vec(),
            value,
        })
    }

    /// The session that the device began with this salt.
    pub(super) fn session(self, handle: u32, device_nonce: &[u8]) -> Session {
        Session {
            handle,
            key: kdfa(&self.value[..], b"ATH\0", device_nonce, &self.nonce),
            nonce: device_nonce.to_vec(),
        }
    }
}

/// A command that waits for its answer.
pub(super) struct Pending {
    key: Zeroizing<Vec<u8>>,
    nonce: [u8; NONCE],
    attributes: u8,
}

impl Session {
    /// Encrypts and authorizes a command: returns the authorization's bytes. `value` is the authorization value of the first
    /// entity, empty for most.
    pub(super) fn authorize(
        &mut self,
        code: u32,
        entities: &[&Entity],
        parameters: &mut Parameters,
        value: &[u8],
        secret: Secret,
    ) -> Result<(Vec<u8>, Pending), KeyError> {
        let mut nonce = [0; NONCE];
        rand::fill(&mut nonce).map_err(|_| KeyError::Library("give random bytes"))?;
        let attributes = CONTINUE
            | match secret {
                Secret::Answer => ENCRYPT,
                Secret::Audited => AUDIT,
                Secret::Both => ENCRYPT | DECRYPT,
                Secret::Command => DECRYPT,
                Secret::Nothing => 0,
            };
        let mut key = Zeroizing::new(Vec::with_capacity(self.key.len() + value.len()));
        key.extend_from_slice(&self.key[..]);
        key.extend_from_slice(value);
        if attributes & DECRYPT != 0 {
            let content = first_parameter(&mut parameters.0).ok_or(KeyError::Library("find a secret parameter"))?;
            encrypt(&key, &nonce, &self.nonce, content)?;
        }
        let code = code.to_be_bytes();
        let mut hashed: Vec<&[u8]> = vec![&code];
        hashed.extend(entities.iter().map(|entity| entity.name.as_slice()));
        hashed.push(&parameters.0);
        let hash = sha256(&hashed);
        let mac = hmac(&key, &[&hash, &nonce, &self.nonce, &[attributes]]);
        let authorization = Parameters::new()
            .u32(self.handle)
            .sized(&nonce)
            .bytes(&[attributes])
            .sized(mac.as_ref());
        let pending = Pending { key, nonce, attributes };
        Ok((authorization.0.to_vec(), pending))
    }

    /// Checks and decrypts an answer in place; `None` where it does not authenticate.
    pub(super) fn accept(
        &mut self,
        pending: &Pending,
        code: u32,
        acknowledgement: &Acknowledgement<'_>,
        parameters: &mut [u8],
    ) -> Option<()> {
        let hash = sha256(&[&[0; 4], &code.to_be_bytes(), parameters]);
        let mac = hmac(
            &pending.key,
            &[
                &hash,
                acknowledgement.nonce,
                &pending.nonce,
                &[acknowledgement.attributes],
            ],
        );
        constant_time::verify_slices_are_equal(mac.as_ref(), acknowledgement.hmac).ok()?;
        if acknowledgement.attributes & (ENCRYPT | CONTINUE) != pending.attributes & (ENCRYPT | CONTINUE) {
            return None;
        }
        if pending.attributes & ENCRYPT != 0 {
            let content = first_parameter(parameters)?;
            decrypt(&pending.key, acknowledgement.nonce, &pending.nonce, content).ok()?;
        }
        self.nonce = acknowledgement.nonce.to_vec();
        Some(())
    }
}

/// The content of the `TPM2B` that parameters begin with.
fn first_parameter(parameters: &mut [u8]) -> Option<&mut [u8]> {
    let (length, rest) = parameters.split_first_chunk_mut::<2>()?;
    rest.get_mut(..u16::from_be_bytes(*length).into())
}

/// KDFa (SP 800-108, counter mode, HMAC-SHA-256) for 256 bits, which one round gives.
pub(super) fn kdfa(key: &[u8], label: &[u8], newer: &[u8], older: &[u8]) -> Zeroizing<[u8; 32]> {
    let mac = hmac(
        key,
        &[&1_u32.to_be_bytes(), label, newer, older, &256_u32.to_be_bytes()],
    );
    let mut out = Zeroizing::new([0; 32]);
    out.iter_mut().zip(mac.as_ref()).for_each(|(to, from)| *to = *from);
    out
}

fn hmac(key: &[u8], parts: &[&[u8]]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    parts.iter().for_each(|part| context.update(part));
    context.sign()
}

const CIPHER: KeyError = KeyError::Library("encrypt a parameter");

/// Key and initialization vector for one parameter: the newer nonce comes first.
fn material(key: &[u8], newer: &[u8], older: &[u8]) -> Result<(UnboundCipherKey, FixedLength<16>), KeyError> {
    let material = kdfa(key, b"CFB\0", newer, older);
    let (key, iv) = material.split_at(16);
    let iv = <[u8; 16]>::try_from(iv).map_err(|_| CIPHER)?;
    Ok((UnboundCipherKey::new(&AES_128, key).map_err(|_| CIPHER)?, iv.into()))
}

fn encrypt(key: &[u8], newer: &[u8], older: &[u8], content: &mut [u8]) -> Result<(), KeyError> {
    let (key, iv) = material(key, newer, older)?;
    cfb_encrypt(key, iv, content)
}

/// AES in CFB mode (SP 800-38A) in place.
pub(super) fn cfb_encrypt(key: UnboundCipherKey, iv: FixedLength<16>, content: &mut [u8]) -> Result<(), KeyError> {
    let mut cipher = StreamingEncryptingKey::less_safe_cfb128(key, EncryptionContext::Iv128(iv)).map_err(|_| CIPHER)?;
    // The cipher writes at most a block more than it reads.
    let mut out = Zeroizing::new(vec![0; content.len() + 16]);
    let written = cipher.update(content, &mut out).map_err(|_| CIPHER)?.written().len();
    let rest = out.get_mut(written..).ok_or(CIPHER)?;
    cipher.finish(rest).map_err(|_| CIPHER)?;
    content.iter_mut().zip(out.iter()).for_each(|(to, from)| *to = *from);
    Ok(())
}

fn decrypt(key: &[u8], newer: &[u8], older: &[u8], content: &mut [u8]) -> Result<(), KeyError> {
    let (key, iv) = material(key, newer, older)?;
    DecryptingKey::cfb128(key)
        .and_then(|cipher| cipher.decrypt(content, DecryptionContext::Iv128(iv)).map(|_| ()))
        .map_err(|_| CIPHER)
}
