//! The objects that the worker makes in a token, and how it reads them.

use crate::refusal::refusal;
use cryptoki::mechanism::Mechanism;
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::Session;
use redan_ipc::messages::pkcs11::{ForeignKey, ObjectReference, Pkcs11Refusal, TokenKey, TokenPublic};
use redan_types::Algorithm;

/// The label of every object of ours: others may share the token.
pub(crate) const LABEL: &[u8] = b"redan";
/// The label of the key that secrets are sealed with.
pub(crate) const SEAL_LABEL: &[u8] = b"redan seal";
pub(crate) const EXPONENT: [u8; 3] = [1, 0, 1];

/// `CKA_EC_PARAMS` of a curve: its object identifier in DER.
fn curve(algorithm: Algorithm) -> Option<&'static [u8]> {
    match algorithm {
        Algorithm::EcdsaP256 => Some(&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07]),
        Algorithm::EcdsaP384 => Some(&[0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22]),
        Algorithm::Ed25519 => Some(&[0x06, 0x03, 0x2b, 0x65, 0x70]),
        _ => None,
    }
}

/// A key that stays in the token and never leaves it.
fn private(reference: ObjectReference, label: &[u8]) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(true),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Id(reference.0.to_vec()),
        Attribute::Label(label.to_vec()),
    ]
}

fn public(reference: ObjectReference) -> Vec<Attribute> {
    vec![
        Attribute::Token(true),
        Attribute::Private(false),
        Attribute::Verify(true),
        Attribute::Id(reference.0.to_vec()),
        Attribute::Label(LABEL.to_vec()),
    ]
}

/// What a private key of this algorithm is for.
fn uses(algorithm: Algorithm) -> Vec<Attribute> {
    match algorithm {
        Algorithm::EcdsaP256 | Algorithm::EcdsaP384 => vec![Attribute::Sign(true), Attribute::Derive(true)],
        Algorithm::Ed25519 => vec![Attribute::Sign(true)],
        Algorithm::Aes256 => vec![Attribute::Encrypt(true), Attribute::Decrypt(true)],
        _ => vec![Attribute::Sign(true), Attribute::Decrypt(true)],
    }
}

/// Makes a key.
pub(crate) fn generate(
    session: &Session,
    algorithm: Algorithm,
    reference: ObjectReference,
) -> Result<(), Pkcs11Refusal> {
    if algorithm == Algorithm::Aes256 {
        return generate_aes(session, reference, LABEL);
    }
    let (mut ours, mut theirs) = (private(reference, LABEL), public(reference));
    ours.extend(uses(algorithm));
    let mechanism = match (curve(algorithm), algorithm.rsa_bits()) {
        (Some(parameters), _) => {
            theirs.push(Attribute::EcParams(parameters.to_vec()));
            if algorithm == Algorithm::Ed25519 {
                Mechanism::EccEdwardsKeyPairGen
            } else {
                Mechanism::EccKeyPairGen
            }
        }
        (None, Some(bits)) => {
            theirs.extend([
                Attribute::ModulusBits(u64::from(bits).into()),
                Attribute::PublicExponent(EXPONENT.to_vec()),
                Attribute::Encrypt(true),
            ]);
            Mechanism::RsaPkcsKeyPairGen
        }
        (None, None) => return Err(Pkcs11Refusal::Unsupported),
    };
    session
        .generate_key_pair(&mechanism, &theirs, &ours)
        .map(drop)
        .map_err(refusal)
}

pub(crate) fn generate_aes(session: &Session, reference: ObjectReference, label: &[u8]) -> Result<(), Pkcs11Refusal> {
    let mut template = private(reference, label);
    template.extend(uses(Algorithm::Aes256));
    template.push(Attribute::ValueLen(32_u64.into()));
    session
        .generate_key(&Mechanism::AesKeyGen, &template)
        .map(drop)
        .map_err(refusal)
}

/// Keeps a key made elsewhere. Where the second of its two objects is refused, the first goes again.
pub(crate) fn import(session: &Session, key: &ForeignKey, reference: ObjectReference) -> Result<(), Pkcs11Refusal> {
    let mut ours = private(reference, LABEL);
    let theirs = match key {
        ForeignKey::Aes(key) => {
            ours.extend(uses(Algorithm::Aes256));
            ours.extend([
                Attribute::Class(ObjectClass::SECRET_KEY),
                Attribute::KeyType(KeyType::AES),
                Attribute::Value(key.expose().to_vec()),
            ]);
            None
        }
        ForeignKey::Curve {
            algorithm,
            private,
            point,
        } => {
            let parameters = curve(*algorithm).ok_or(Pkcs11Refusal::Malformed)?.to_vec();
            let kind = if *algorithm == Algorithm::Ed25519 {
                KeyType::EC_EDWARDS
            } else {
                KeyType::EC
            };
            ours.extend(uses(*algorithm));
            ours.extend([
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::KeyType(kind),
                Attribute::EcParams(parameters.clone()),
                Attribute::Value(private.expose().to_vec()),
            ]);
            let length = u8::try_from(point.len()).ok().filter(|length| *length < 0x80);
            // An OCTET STRING around the point, whose length fits a byte for every curve here.
            let length = length.ok_or(Pkcs11Refusal::Malformed)?;
            let mut theirs = public(reference);
            theirs.extend([
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::KeyType(kind),
                Attribute::EcParams(parameters),
                Attribute::EcPoint([&[0x04, length], point.as_slice()].concat()),
            ]);
            Some(theirs)
        }
        ForeignKey::Rsa(numbers) => {
            ours.extend(uses(Algorithm::Rsa2048));
            ours.extend([
                Attribute::Class(ObjectClass::PRIVATE_KEY),
                Attribute::KeyType(KeyType::RSA),
                Attribute::Modulus(numbers.modulus.clone()),
                Attribute::PublicExponent(numbers.public_exponent.clone()),
                Attribute::PrivateExponent(numbers.private_exponent.expose().to_vec()),
                Attribute::Prime1(numbers.prime_1.expose().to_vec()),
                Attribute::Prime2(numbers.prime_2.expose().to_vec()),
                Attribute::Exponent1(numbers.exponent_1.expose().to_vec()),
                Attribute::Exponent2(numbers.exponent_2.expose().to_vec()),
                Attribute::Coefficient(numbers.coefficient.expose().to_vec()),
            ]);
            let mut theirs = public(reference);
            theirs.extend([
                Attribute::Class(ObjectClass::PUBLIC_KEY),
                Attribute::KeyType(KeyType::RSA),
                Attribute::Modulus(numbers.modulus.clone()),
                Attribute::PublicExponent(numbers.public_exponent.clone()),
                Attribute::Encrypt(true),
            ]);
            Some(theirs)
        }
    };
    let made = session.create_object(&ours).map_err(refusal);
    wipe(ours);
    let made = made?;
    if let Some(theirs) = theirs
        && let Err(error) = session.create_object(&theirs)
    {
        let _ = session.destroy_object(made);
        return Err(refusal(error));
    }
    Ok(())
}

/// Wipes the numbers of a template that was used.
fn wipe(template: Vec<Attribute>) {
    use zeroize::Zeroize;
    for attribute in template {
        if let Attribute::Value(mut bytes)
        | Attribute::PrivateExponent(mut bytes)
        | Attribute::Prime1(mut bytes)
        | Attribute::Prime2(mut bytes)
        | Attribute::Exponent1(mut bytes)
        | Attribute::Exponent2(mut bytes)
        | Attribute::Coefficient(mut bytes) = attribute
        {
            bytes.zeroize();
        }
    }
}

/// The object of this class and reference.
pub(crate) fn find(
    session: &Session,
    class: ObjectClass,
    reference: ObjectReference,
) -> Result<ObjectHandle, Pkcs11Refusal> {
    let template = [
        Attribute::Class(class),
        Attribute::Label(LABEL.to_vec()),
        Attribute::Id(reference.0.to_vec()),
    ];
    let found = session.find_objects(&template).map_err(refusal)?;
    found.first().copied().ok_or(Pkcs11Refusal::NoSuchKey)
}

/// All private and secret keys of ours, in order of their references.
pub(crate) fn references(session: &Session) -> Result<Vec<(ObjectReference, ObjectHandle)>, Pkcs11Refusal> {
    let mut all = Vec::new();
    for class in [ObjectClass::PRIVATE_KEY, ObjectClass::SECRET_KEY] {
        let template = [Attribute::Class(class), Attribute::Label(LABEL.to_vec())];
        for object in session.find_objects(&template).map_err(refusal)? {
            if let Some(reference) = reference(session, object)? {
                all.push((reference, object));
            }
        }
    }
    all.sort_unstable_by_key(|(reference, _)| *reference);
    Ok(all)
}

/// An object's reference; `None` where it has none of our form.
pub(crate) fn reference(session: &Session, object: ObjectHandle) -> Result<Option<ObjectReference>, Pkcs11Refusal> {
    let attributes = session.get_attributes(object, &[AttributeType::Id]).map_err(refusal)?;
    Ok(attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::Id(id) => id.try_into().ok().map(ObjectReference),
        _ => None,
    }))
}

/// A key with its public half; `None` where it is of an algorithm that nobody asked for.
pub(crate) fn describe(
    session: &Session,
    reference: ObjectReference,
    object: ObjectHandle,
) -> Result<Option<TokenKey>, Pkcs11Refusal> {
    let attributes = session
        .get_attributes(object, &[AttributeType::KeyType])
        .map_err(refusal)?;
    let kind = attributes.into_iter().find_map(|attribute| match attribute {
        Attribute::KeyType(kind) => Some(kind),
        _ => None,
    });
    let Some(kind) = kind else { return Ok(None) };
    if kind == KeyType::AES {
        return Ok(Some(TokenKey {
            reference,
            algorithm: Algorithm::Aes256,
            public: TokenPublic::None,
        }));
    }
    let public = match find(session, ObjectClass::PUBLIC_KEY, reference) {
        Ok(public) => public,
        Err(Pkcs11Refusal::NoSuchKey) => return Ok(None),
        Err(refusal) => return Err(refusal),
    };
    let asked: &[AttributeType] = if kind == KeyType::RSA {
        &[AttributeType::Modulus, AttributeType::PublicExponent]
    } else if kind == KeyType::EC || kind == KeyType::EC_EDWARDS {
        &[AttributeType::EcParams, AttributeType::EcPoint]
    } else {
        return Ok(None);
    };
    let (mut parameters, mut point, mut modulus, mut exponent) = (None, None, None, None);
    for attribute in session.get_attributes(public, asked).map_err(refusal)? {
        match attribute {
            Attribute::EcParams(bytes) => parameters = Some(bytes),
            Attribute::EcPoint(bytes) => point = Some(bytes),
            Attribute::Modulus(bytes) => modulus = Some(bytes),
            Attribute::PublicExponent(bytes) => exponent = Some(bytes),
            _ => {}
        }
    }
    let found = match (parameters, point, modulus, exponent) {
        (Some(parameters), Some(point), None, None) => {
            let algorithm = Algorithm::ALL
                .into_iter()
                .find(|algorithm| curve(*algorithm) == Some(parameters.as_slice()));
            algorithm.map(|algorithm| (algorithm, TokenPublic::Point(point)))
        }
        (None, None, Some(modulus), Some(exponent)) => {
            let bits = modulus.len() * 8;
            let algorithm = Algorithm::ALL
                .into_iter()
                .find(|algorithm| algorithm.rsa_bits().is_some_and(|wanted| usize::from(wanted) == bits));
            algorithm.map(|algorithm| (algorithm, TokenPublic::Rsa { modulus, exponent }))
        }
        _ => None,
    };
    Ok(found.map(|(algorithm, public)| TokenKey {
        reference,
        algorithm,
        public,
    }))
}
