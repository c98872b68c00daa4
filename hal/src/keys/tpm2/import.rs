//! Bringing in a key that was made elsewhere (TCG part 1, "Duplication").
//!
//! The private half is wrapped under a fresh key, which travels to the device encrypted by the session; so nothing of it is to be
//! seen on the bus. A key that came in this way is marked in its attributes: it was known outside once.

use super::link::{Call, Fault};
use super::live::Live;
use super::session::{Secret, cfb_encrypt};
use super::shapes::{self, Origin};
use super::wire::Parameters;
use crate::keys::policy::sha256;
use crate::keys::software::SoftwareKey;
use crate::keys::{KeyError, der};
use aws_lc_rs::cipher::{AES_128, UnboundCipherKey};
use aws_lc_rs::encoding::{AsBigEndian, EcPrivateKeyBin};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair};
use aws_lc_rs::{hmac, rand};
use redan_types::{Algorithm, SecretBytes};
use tpm2_protocol::data::{Tpm2bSymKey, TpmAlgId, TpmCc, TpmuPublicId};
use zeroize::Zeroizing;

/// A key from elsewhere in the form that a TPM takes.
pub(super) struct Foreign {
    /// The content of its `TPM2B_PUBLIC`.
    pub(super) public: Vec<u8>,
    /// Its `TPMT_SENSITIVE`.
    sensitive: Parameters,
}

impl Foreign {
    pub(super) fn parse(algorithm: Algorithm, key: &SecretBytes) -> Result<Self, KeyError> {
        let malformed = || KeyError::Malformed(algorithm);
        let template = shapes::key(algorithm, Origin::Elsewhere).ok_or_else(malformed)?;
        if algorithm == Algorithm::Aes256 {
            if key.expose().len() != 32 {
                return Err(malformed());
            }
            // The seed keeps the public area from telling anything of the key. It is derived, so that the same key is the same object.
            let seed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), SEED);
            // A storage key's public area holds the HMAC of the key under the seed (part 1, "Symmetric object").
            let unique = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed.as_ref()), key.expose());
            let mut template = template;
            template.unique = TpmuPublicId::SymCipher(Tpm2bSymKey::try_from(unique.as_ref()).map_err(|_| malformed())?);
            return Ok(Self {
                public: shapes::area(&template)?,
                sensitive: sensitive(TpmAlgId::SymCipher, seed.as_ref(), key.expose()),
            });
        }
        let parsed = SoftwareKey::parse(algorithm, key)?;
        let public = shapes::area(&shapes::with_public(template, parsed.public())?)?;
        let curve = match algorithm {
            Algorithm::EcdsaP256 => Some(&ECDSA_P256_SHA256_ASN1_SIGNING),
            Algorithm::EcdsaP384 => Some(&ECDSA_P384_SHA384_ASN1_SIGNING),
            _ => None,
        };
        let sensitive = match curve {
            Some(curve) => {
                let pair = EcdsaKeyPair::from_pkcs8(curve, key.expose()).map_err(|_| malformed())?;
                let number: EcPrivateKeyBin<'_> = pair.private_key().as_be_bytes().map_err(|_| malformed())?;
                sensitive(TpmAlgId::Ecc, &[], number.as_ref())
            }
            None => {
                let numbers = der::RsaPrivate::parse(key.expose()).ok_or_else(malformed)?;
                sensitive(TpmAlgId::Rsa, &[], &numbers.prime_1)
            }
        };
        Ok(Self { public, sensitive })
    }

    /// Gives it to the device; returns what the device encrypted for itself, the content of a `TPM2B_PRIVATE`.
    pub(super) fn give(&self, live: &mut Live) -> Result<Vec<u8>, Fault> {
        const FAILED: KeyError = KeyError::Library("wrap a key for the TPM");
        let mut wrapping = Zeroizing::new([0; 16]);
        rand::fill(&mut wrapping[..]).map_err(|_| FAILED)?;
        let content = Parameters::new().sized(&self.sensitive.0);
        let integrity = sha256(&[&content.0, &shapes::name(&self.public)]);
        let mut duplicate = Parameters::new().sized(&integrity).bytes(&content.0);
        let key = UnboundCipherKey::new(&AES_128, &wrapping[..]).map_err(|_| FAILED)?;
        // The initialization vector is zero by the specification: the key is used once.
        cfb_encrypt(key, [0; 16].into(), &mut duplicate.0)?;
        let parameters = Parameters::new()
            .sized(&wrapping[..])
            .sized(&self.public)
            .sized(&duplicate.0)
            .sized(&[])
            .u16(TpmAlgId::Aes.value())
            .u16(128)
            .u16(TpmAlgId::Cfb.value());
        live.make_room(None);
        let root = live.root.clone();
        let reply = live.send(
            Secret::Command,
            Call {
                code: TpmCc::Import,
                entities: &[&root],
                parameters,
            },
        )?;
        Ok(reply.read(|reader| reader.sized().map(<[u8]>::to_vec))?)
    }
}

fn sensitive(kind: TpmAlgId, seed: &[u8], secret: &[u8]) -> Parameters {
    Parameters::new().u16(kind.value()).sized(&[]).sized(seed).sized(secret)
}

const SEED: &[u8] = b"redan imported AES key v1";
