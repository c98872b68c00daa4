//! The public areas of what the driver makes in a TPM, and how to read those that a TPM returns (TCG part 2, `TPMT_PUBLIC`).

use super::wire::{Reader, encode};
use crate::keys::policy::sha256;
use crate::keys::{KeyError, PublicKey, der};
use redan_types::Algorithm;
use tpm2_protocol::TpmUnmarshal;
use tpm2_protocol::data::{
    Tpm2bDigest, Tpm2bEccParameter, Tpm2bPublicKeyRsa, Tpm2bSymKey, TpmAlgId, TpmEccCurve, TpmaObject, TpmsEccParms,
    TpmsEccPoint, TpmsKeyedhashParms, TpmsRsaParms, TpmsSchemeHash, TpmsSymcipherParms, TpmtEccScheme, TpmtPublic,
    TpmtSymDefObject, TpmuAsymScheme, TpmuPublicId, TpmuPublicParms, TpmuSymKeyBits, TpmuSymMode,
};

/// Where a key comes from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Origin {
    /// The device makes it, and it never leaves it.
    Device,
    /// Somebody else made it.
    Elsewhere,
}

impl Origin {
    fn attributes(self) -> TpmaObject {
        let common = TpmaObject::USER_WITH_AUTH | TpmaObject::NO_DA;
        match self {
            Self::Device => {
                common | TpmaObject::FIXED_TPM | TpmaObject::FIXED_PARENT | TpmaObject::SENSITIVE_DATA_ORIGIN
            }
            Self::Elsewhere => common,
        }
    }
}

fn aes(bits: u16) -> TpmtSymDefObject {
    TpmtSymDefObject {
        algorithm: TpmAlgId::Aes,
        key_bits: TpmuSymKeyBits::Aes(bits.into()),
        mode: TpmuSymMode::Aes(TpmAlgId::Cfb),
    }
}

fn curve(curve: TpmEccCurve, attributes: TpmaObject, symmetric: TpmtSymDefObject, scheme: TpmtEccScheme) -> TpmtPublic {
    TpmtPublic {
        object_type: TpmAlgId::Ecc,
        name_alg: TpmAlgId::Sha256,
        object_attributes: attributes,
        auth_policy: Tpm2bDigest::default(),
        parameters: TpmuPublicParms::Ecc(TpmsEccParms {
            symmetric,
            scheme,
            curve_id: curve,
            kdf: tpm2_protocol::data::TpmtKdfScheme::default(),
        }),
        unique: TpmuPublicId::Ecc(TpmsEccPoint::default()),
    }
}

/// The storage root key: under it lies everything else, with it sessions are salted. `bits` is the size of the AES key that it
/// protects its children with; an AES key of the caller's must have the same.
pub(super) fn storage_root(bits: u16) -> TpmtPublic {
    let attributes = Origin::Device.attributes() | TpmaObject::RESTRICTED | TpmaObject::DECRYPT;
    curve(TpmEccCurve::NistP256, attributes, aes(bits), TpmtEccScheme::default())
}

/// The attestation key: signs nothing but what the device says about itself.
pub(super) fn attestation() -> TpmtPublic {
    let attributes = Origin::Device.attributes() | TpmaObject::RESTRICTED | TpmaObject::SIGN_ENCRYPT;
    let scheme = TpmtEccScheme {
        scheme: TpmAlgId::Ecdsa,
        details: TpmuAsymScheme::Hash(TpmsSchemeHash {
            hash_alg: TpmAlgId::Sha256,
        }),
    };
    curve(TpmEccCurve::NistP256, attributes, TpmtSymDefObject::default(), scheme)
}

/// A key of this algorithm; `None` where no TPM has such keys.
pub(super) fn key(algorithm: Algorithm, origin: Origin) -> Option<TpmtPublic> {
    let both = origin.attributes() | TpmaObject::SIGN_ENCRYPT | TpmaObject::DECRYPT;
    let plain = TpmtSymDefObject::default();
    Some(match algorithm {
        Algorithm::EcdsaP256 => curve(TpmEccCurve::NistP256, both, plain, TpmtEccScheme::default()),
        Algorithm::EcdsaP384 => curve(TpmEccCurve::NistP384, both, plain, TpmtEccScheme::default()),
        Algorithm::Aes256 => TpmtPublic {
            object_type: TpmAlgId::SymCipher,
            name_alg: TpmAlgId::Sha256,
            // A storage key: it protects other keys, which is all that this device does with AES.
            object_attributes: origin.attributes() | TpmaObject::RESTRICTED | TpmaObject::DECRYPT,
            auth_policy: Tpm2bDigest::default(),
            parameters: TpmuPublicParms::SymCipher(TpmsSymcipherParms { sym: aes(256) }),
            unique: TpmuPublicId::SymCipher(Tpm2bSymKey::default()),
        },
        _ => TpmtPublic {
            object_type: TpmAlgId::Rsa,
            name_alg: TpmAlgId::Sha256,
            object_attributes: both,
            auth_policy: Tpm2bDigest::default(),
            parameters: TpmuPublicParms::Rsa(TpmsRsaParms {
                key_bits: algorithm.rsa_bits()?.into(),
                ..TpmsRsaParms::default()
            }),
            unique: TpmuPublicId::Rsa(Tpm2bPublicKeyRsa::default()),
        },
    })
}

/// A sealed secret under a parent that is (or is not) fixed to this device, which opens by its authorization value alone, or as
/// `policy` says. With `guarded`, wrong values count as guesses.
pub(super) fn sealed(fixed: bool, policy: Option<[u8; 32]>, guarded: bool) -> Result<TpmtPublic, KeyError> {
    let mut attributes = TpmaObject::FIXED_PARENT;
    if fixed {
        attributes |= TpmaObject::FIXED_TPM;
    }
    if !guarded {
        attributes |= TpmaObject::NO_DA;
    }
    if policy.is_none() {
        attributes |= TpmaObject::USER_WITH_AUTH;
    }
    let policy = match &policy {
        Some(policy) => Tpm2bDigest::try_from(&policy[..]).map_err(|_| KeyError::Library("encode a policy"))?,
        None => Tpm2bDigest::default(),
    };
    Ok(TpmtPublic {
        object_type: TpmAlgId::KeyedHash,
        name_alg: TpmAlgId::Sha256,
        object_attributes: attributes,
        auth_policy: policy,
        parameters: TpmuPublicParms::KeyedHash(TpmsKeyedhashParms::default()),
        unique: TpmuPublicId::KeyedHash(Tpm2bDigest::default()),
    })
}

/// The key of somebody else, for checking signatures.
pub(super) fn signer(public: &PublicKey) -> Result<TpmtPublic, KeyError> {
    let attributes = TpmaObject::USER_WITH_AUTH | TpmaObject::SIGN_ENCRYPT;
    let template = curve(
        TpmEccCurve::NistP256,
        attributes,
        TpmtSymDefObject::default(),
        TpmtEccScheme::default(),
    );
    with_public(template, public)
}

/// `template` with the public half of a key made elsewhere.
pub(super) fn with_public(mut template: TpmtPublic, public: &PublicKey) -> Result<TpmtPublic, KeyError> {
    let malformed = KeyError::Malformed(public.algorithm);
    template.unique = match public.algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => match point(public) {
            Some(point) => TpmuPublicId::Ecc(point),
            None => return Err(malformed),
        },
        _ => match der::rsa_numbers(&public.raw).map(|(modulus, _)| Tpm2bPublicKeyRsa::try_from(modulus)) {
            Some(Ok(modulus)) => TpmuPublicId::Rsa(modulus),
            _ => return Err(malformed),
        },
    };
    Ok(template)
}

/// The point of a curve's key.
pub(super) fn point(public: &PublicKey) -> Option<TpmsEccPoint> {
    let size = coordinate(public.algorithm)?;
    let (tag, point) = public.raw.split_first()?;
    let (x, y) = point.split_at_checked(size)?;
    (*tag == 4 && y.len() == size).then_some(())?;
    Some(TpmsEccPoint {
        x: Tpm2bEccParameter::try_from(x).ok()?,
        y: Tpm2bEccParameter::try_from(y).ok()?,
    })
}

/// The bytes of a coordinate of the algorithm's curve.
pub(super) const fn coordinate(algorithm: Algorithm) -> Option<usize> {
    match algorithm {
        Algorithm::EcdsaP256 => Some(32),
        Algorithm::EcdsaP384 => Some(48),
        _ => None,
    }
}

/// The name of an object: the hash of its public area (TCG part 1, "Names").
pub(super) fn name(public: &[u8]) -> Vec<u8> {
    [&[0x00, 0x0b], &sha256(&[public])[..]].concat()
}

/// The public half in a key's public area; `None` where it is no key of this algorithm.
pub(super) fn public_key(algorithm: Algorithm, public: &[u8]) -> Option<PublicKey> {
    let (public, rest) = TpmtPublic::unmarshal(public).ok()?;
    rest.is_empty().then_some(())?;
    let expected = key(algorithm, Origin::Device)?;
    let same = match (&public.parameters, &expected.parameters) {
        (TpmuPublicParms::Ecc(found), TpmuPublicParms::Ecc(wanted)) => found.curve_id == wanted.curve_id,
        (TpmuPublicParms::Rsa(found), TpmuPublicParms::Rsa(wanted)) => {
            found.key_bits == wanted.key_bits && matches!(found.exponent.value(), 0 | 0x1_0001)
        }
        _ => false,
    };
    same.then_some(())?;
    let raw = match &public.unique {
        TpmuPublicId::Ecc(point) => uncompressed(&point.x, &point.y, coordinate(algorithm)?)?,
        TpmuPublicId::Rsa(modulus) => der::rsa_public(modulus, &[1, 0, 1]),
        _ => return None,
    };
    Some(PublicKey { algorithm, raw })
}

/// Whether an object is fixed to its device.
pub(super) fn is_fixed(public: &[u8]) -> bool {
    TpmtPublic::unmarshal(public)
        .is_ok_and(|(public, _)| public.object_attributes.bits() & TpmaObject::FIXED_TPM.bits() != 0)
}

/// A point in its uncompressed form. Some TPMs leave out a coordinate's leading zeros.
pub(super) fn uncompressed(x: &[u8], y: &[u8], size: usize) -> Option<Vec<u8>> {
    let mut raw = vec![0; 1 + 2 * size];
    let (tag, rest) = raw.split_first_mut()?;
    *tag = 4;
    let (left, right) = rest.split_at_mut_checked(size)?;
    for (place, number) in [(left, x), (right, y)] {
        let start = size.checked_sub(number.len())?;
        place.get_mut(start..)?.copy_from_slice(number);
    }
    Some(raw)
}

/// A signature as a TPM writes it (`TPMT_SIGNATURE`): ECDSA becomes DER, RSA is as it is. The numbers must be of `size` bytes at most.
pub(super) fn signature(reader: &mut Reader<'_>) -> Option<Vec<u8>> {
    const RSASSA: u16 = TpmAlgId::Rsassa.value();
    const RSAPSS: u16 = TpmAlgId::Rsapss.value();
    const ECDSA: u16 = TpmAlgId::Ecdsa.value();
    let scheme = reader.u16()?;
    reader.u16()?;
    Some(match scheme {
        ECDSA => der::ecdsa_signature(reader.sized()?, reader.sized()?),
        RSASSA | RSAPSS => reader.sized()?.to_vec(),
        _ => return None,
    })
}

/// A public area as a `TPM2B_PUBLIC`'s content.
pub(super) fn area(public: &TpmtPublic) -> Result<Vec<u8>, KeyError> {
    encode(public)
}

#[cfg(test)]
mod tests {
    use super::{area, key, name, point, public_key, uncompressed, with_public};
    use crate::keys::software::SoftwareKey;
    use crate::keys::tpm2::shapes::Origin;
    use redan_types::Algorithm;

    #[test]
    fn a_public_area_keeps_the_key_that_went_into_it() {
        for algorithm in [Algorithm::EcdsaP256, Algorithm::EcdsaP384, Algorithm::Rsa2048] {
            let generated = SoftwareKey::generate(algorithm).unwrap();
            let public = SoftwareKey::parse(algorithm, &generated).unwrap().public().clone();
            let bytes = area(&with_public(key(algorithm, Origin::Elsewhere).unwrap(), &public).unwrap()).unwrap();
            assert_eq!(public_key(algorithm, &bytes).unwrap(), public);
            for other in Algorithm::ALL.into_iter().filter(|other| *other != algorithm) {
                assert_eq!(public_key(other, &bytes), None, "{algorithm} as {other}");
            }
            assert_eq!(name(&bytes).len(), 34);
        }
        assert!(key(Algorithm::Ed25519, Origin::Device).is_none());
    }

    #[test]
    fn a_coordinate_without_its_leading_zeros_is_padded_and_one_too_long_refused() {
        let raw = uncompressed(&[1], &[2; 32], 32).unwrap();
        assert_eq!((raw.len(), raw[32], raw[1]), (65, 1, 0));
        assert_eq!(uncompressed(&[1; 33], &[], 32), None);
        let generated = SoftwareKey::generate(Algorithm::EcdsaP256).unwrap();
        let mut public = SoftwareKey::parse(Algorithm::EcdsaP256, &generated)
            .unwrap()
            .public()
            .clone();
        assert!(point(&public).is_some());
        public.raw.pop();
        assert!(point(&public).is_none());
    }
}
