//! One key with its versions: what its operations compute. Nothing here knows who asks.
//!
//! Ciphertexts, signatures and HMACs are texts, `redan:v2:…`: the number is the key's version, then standard Base64. A ciphertext is
//! the nonce, the encrypted content and the tag; the key's name, the version and the caller's context are authenticated with it. A
//! convergent key derives the nonce from context and plaintext (HMAC-SHA-256 under a key of its own), so that equal values can be
//! found by their ciphertext; whoever sees two ciphertexts then knows whether the values are equal, which is what such a key is for.

use crate::store::{NONCE_LENGTH, TAG_LENGTH, Xaes};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use redan_hal::keys::Algorithm;
use redan_hal::keys::software::SoftwareKey;
use redan_ipc::messages::transit::{KeyDescription, KeyKind, KeyVersion};
use redan_types::{KeyName, SecretBytes, Timestamp};
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// A key as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct StoredKey {
    pub(super) name: KeyName,
    pub(super) kind: KeyKind,
    pub(super) convergent: bool,
    pub(super) versions: Vec<StoredVersion>,
}

/// A version as it is stored.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) struct StoredVersion {
    pub(super) number: u32,
    pub(super) created: Timestamp,
    /// 64 bytes of keys for a cipher (content, then nonces), 32 for an HMAC, PKCS#8 for what signs.
    pub(super) material: SecretBytes,
}

/// A key ready for use.
#[derive(Debug)]
pub(super) struct Ring {
    name: KeyName,
    kind: KeyKind,
    convergent: bool,
    versions: BTreeMap<u32, Version>,
}

#[derive(Debug)]
struct Version {
    created: Timestamp,
    material: Material,
}

enum Material {
    Cipher { content: Box<Xaes>, nonces: SecretBytes },
    Mac(SecretBytes),
    Signer(SoftwareKey),
}

impl std::fmt::Debug for Material {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Material(..)")
    }
}

/// Why an item has no answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub(super) enum ItemError {
    #[error("it is not of the form redan:v1:… with standard Base64")]
    Form,
    #[error("its key version has been destroyed or never was")]
    Version,
    #[error("it was altered, or made with another key or another context")]
    Authentication,
    #[error("the key cannot do this: its kind is another")]
    Kind,
    #[error("the operation failed")]
    Failed,
}

impl StoredVersion {
    /// A new version.
    pub(super) fn make(kind: KeyKind, number: u32, now: Timestamp) -> Result<Self, ItemError> {
        let random = |length: usize| {
            let mut bytes = vec![0; length];
            getrandom::fill(&mut bytes).map_err(|_| ItemError::Failed)?;
            Ok(SecretBytes::new(bytes))
        };
        let material = match kind {
            KeyKind::Aes256 => random(2 * KEY)?,
            KeyKind::Hmac => random(KEY)?,
            KeyKind::Ed25519 => SoftwareKey::generate(Algorithm::Ed25519).map_err(|_| ItemError::Failed)?,
            KeyKind::P256 => SoftwareKey::generate(Algorithm::EcdsaP256).map_err(|_| ItemError::Failed)?,
        };
        Ok(Self {
            number,
            created: now,
            material,
        })
    }
}

impl Ring {
    /// Prepares a stored key; `None` where it is malformed.
    pub(super) fn of(stored: &StoredKey) -> Option<Self> {
        let version = |stored_version: &StoredVersion| {
            let bytes = &stored_version.material;
            let material = match stored.kind {
                KeyKind::Aes256 => {
                    let (content, nonces) = bytes.expose().split_first_chunk::<KEY>()?;
                    (nonces.len() == KEY).then(|| Material::Cipher {
                        content: Box::new(Xaes::new(content)),
                        nonces: SecretBytes::new(nonces.to_vec()),
                    })?
                }
                KeyKind::Hmac => Material::Mac(bytes.clone()),
                KeyKind::Ed25519 => Material::Signer(SoftwareKey::parse(Algorithm::Ed25519, bytes).ok()?),
                KeyKind::P256 => Material::Signer(SoftwareKey::parse(Algorithm::EcdsaP256, bytes).ok()?),
            };
            Some((
                stored_version.number,
                Version {
                    created: stored_version.created,
                    material,
                },
            ))
        };
        let versions: BTreeMap<_, _> = stored.versions.iter().map(version).collect::<Option<_>>()?;
        (!versions.is_empty()).then(|| Self {
            name: stored.name.clone(),
            kind: stored.kind,
            convergent: stored.convergent,
            versions,
        })
    }

    /// What is known of the key.
    pub(super) fn describe(&self, used: u64) -> KeyDescription {
        KeyDescription {
            name: self.name.clone(),
            kind: self.kind,
            convergent: self.convergent,
            versions: self
                .versions
                .iter()
                .map(|(number, version)| KeyVersion {
                    number: *number,
                    created: version.created,
                    public: match &version.material {
                        Material::Signer(key) => Some(key.public().spki()),
                        Material::Cipher { .. } | Material::Mac(_) => None,
                    },
                })
                .collect(),
            used,
        }
    }

    /// When the newest version was made.
    pub(super) fn renewed(&self) -> Timestamp {
        self.versions
            .last_key_value()
            .map_or(Timestamp(0), |(_, version)| version.created)
    }

    /// Encrypts under the newest version.
    pub(super) fn encrypt(&self, plaintext: &[u8], context: &[u8]) -> Result<String, ItemError> {
        let (number, version) = self.versions.last_key_value().ok_or(ItemError::Version)?;
        let Material::Cipher { content, nonces } = &version.material else {
            return Err(ItemError::Kind);
        };
        let mut nonce = [0; NONCE_LENGTH];
        if self.convergent {
            let tag = mac(nonces, &[&length(context), context, plaintext])?
                .finalize()
                .into_bytes();
            nonce.iter_mut().zip(tag).for_each(|(to, from)| *to = from);
        } else {
            getrandom::fill(&mut nonce).map_err(|_| ItemError::Failed)?;
        }
        let mut sealed = Vec::with_capacity(NONCE_LENGTH + plaintext.len() + TAG_LENGTH);
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plaintext);
        let (_, body) = sealed.split_at_mut(NONCE_LENGTH);
        let tag = content
            .seal(&nonce, &self.associated(*number, context), body)
            .ok_or(ItemError::Failed)?;
        sealed.extend_from_slice(&tag);
        Ok(text(*number, &sealed))
    }

    /// Decrypts what any version that still exists encrypted.
    pub(super) fn decrypt(&self, ciphertext: &str, context: &[u8]) -> Result<Zeroizing<Vec<u8>>, ItemError> {
        let (number, sealed) = parse(ciphertext)?;
        let version = self.versions.get(&number).ok_or(ItemError::Version)?;
        let Material::Cipher { content, .. } = &version.material else {
            return Err(ItemError::Kind);
        };
        let (nonce, rest) = sealed.split_first_chunk().ok_or(ItemError::Form)?;
        let (body, tag) = rest.split_last_chunk().ok_or(ItemError::Form)?;
        let mut plain = Zeroizing::new(body.to_vec());
        content
            .open(nonce, &self.associated(number, context), &mut plain, tag)
            .ok_or(ItemError::Authentication)?;
        Ok(plain)
    }

    /// Signs or authenticates with the newest version.
    pub(super) fn sign(&self, input: &[u8]) -> Result<String, ItemError> {
        let (number, version) = self.versions.last_key_value().ok_or(ItemError::Version)?;
        let signature = match &version.material {
            Material::Cipher { .. } => return Err(ItemError::Kind),
            Material::Mac(key) => mac(key, &[input])?.finalize().into_bytes().to_vec(),
            Material::Signer(key) => key.sign(input).map_err(|_| ItemError::Failed)?,
        };
        Ok(text(*number, &signature))
    }

    /// Checks what any version that still exists signed.
    pub(super) fn verify(&self, input: &[u8], signature: &str) -> Result<bool, ItemError> {
        let (number, signature) = parse(signature)?;
        let version = self.versions.get(&number).ok_or(ItemError::Version)?;
        match &version.material {
            Material::Cipher { .. } => Err(ItemError::Kind),
            // Compares in constant time.
            Material::Mac(key) => Ok(mac(key, &[input])?.verify_slice(&signature).is_ok()),
            Material::Signer(key) => {
                let public = key.public();
                let scheme = public.algorithm.scheme().ok_or(ItemError::Kind)?;
                Ok(public.verify(scheme, input, &signature).is_ok())
            }
        }
    }

    /// The key with a new version.
    pub(super) fn rotated(stored: &StoredKey, now: Timestamp) -> Result<StoredKey, ItemError> {
        let newest = stored.versions.iter().map(|version| version.number).max();
        let number = newest.unwrap_or(0).checked_add(1).ok_or(ItemError::Failed)?;
        let mut rotated = stored.clone();
        rotated.versions.push(StoredVersion::make(stored.kind, number, now)?);
        Ok(rotated)
    }

    /// What is authenticated beside the content.
    fn associated(&self, version: u32, context: &[u8]) -> Vec<u8> {
        [
            b"redan transit\0",
            self.name.as_str().as_bytes(),
            b"\0",
            &version.to_be_bytes(),
            context,
        ]
        .concat()
    }
}

fn mac(key: &SecretBytes, parts: &[&[u8]]) -> Result<Hmac<Sha256>, ItemError> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose()).map_err(|_| ItemError::Failed)?;
    parts.iter().for_each(|part| mac.update(part));
    Ok(mac)
}

/// Before the context, so that no two pairs of context and plaintext are one input.
fn length(context: &[u8]) -> [u8; 8] {
    (context.len() as u64).to_be_bytes()
}

fn text(version: u32, bytes: &[u8]) -> String {
    format!("redan:v{version}:{}", STANDARD.encode(bytes))
}

fn parse(text: &str) -> Result<(u32, Vec<u8>), ItemError> {
    let parts = || -> Option<(u32, Vec<u8>)> {
        let (version, body) = text.strip_prefix("redan:v")?.split_once(':')?;
        // One form for each number: no sign, no leading zero.
        let number: u32 = version
            .parse()
            .ok()
            .filter(|number: &u32| number.to_string() == version)?;
        Some((number, STANDARD.decode(body).ok()?))
    };
    parts().ok_or(ItemError::Form)
}

/// Bytes of a symmetric key.
const KEY: usize = 32;
