//! What a token can do, by its list of mechanisms and, where the list does not tell, by trying.

use crate::objects::{self, EXPONENT};
use cryptoki::context::Pkcs11;
use cryptoki::mechanism::eddsa::{EddsaParams, EddsaSignatureScheme};
use cryptoki::mechanism::rsa::{PkcsMgfType, PkcsOaepParams, PkcsOaepSource, PkcsPssParams};
use cryptoki::mechanism::{Mechanism, MechanismType};
use cryptoki::object::{Attribute, KeyType, ObjectClass};
use cryptoki::session::Session;
use cryptoki::slot::Slot;
use redan_ipc::messages::pkcs11::Pkcs11Refusal;
use redan_types::{Algorithm, OaepHash, Operation, Scheme};

/// Everything that the token claims and that the worker knows how to ask for.
pub(crate) fn offered(
    module: &Pkcs11,
    slot: Slot,
    session: &Session,
) -> Result<Vec<Operation>, cryptoki::error::Error> {
    let listed = module.get_mechanism_list(slot)?;
    let has = |mechanism| listed.contains(&mechanism);
    let sized = |mechanism, bits: usize| {
        has(mechanism)
            && module
                .get_mechanism_info(slot, mechanism)
                .is_ok_and(|info| (info.min_key_size()..=info.max_key_size()).contains(&bits))
    };
    let mut operations = Vec::new();
    if module.get_token_info(slot)?.rng() {
        operations.push(Operation::Random);
    }
    let made = |algorithm: Algorithm| match algorithm {
        Algorithm::EcdsaP256 => sized(MechanismType::ECC_KEY_PAIR_GEN, 256),
        Algorithm::EcdsaP384 => sized(MechanismType::ECC_KEY_PAIR_GEN, 384),
        Algorithm::Ed25519 => has(MechanismType::ECC_EDWARDS_KEY_PAIR_GEN),
        Algorithm::Aes256 => has(MechanismType::AES_KEY_GEN),
        _ => algorithm
            .rsa_bits()
            .is_some_and(|bits| sized(MechanismType::RSA_PKCS_KEY_PAIR_GEN, bits.into())),
    };
    let algorithms: Vec<Algorithm> = Algorithm::ALL
        .into_iter()
        .filter(|algorithm| made(*algorithm))
        .collect();
    let imports = takes_keys(session);
    for algorithm in &algorithms {
        operations.push(Operation::Generate(*algorithm));
        if imports {
            operations.push(Operation::Import(*algorithm));
        }
    }
    for scheme in Scheme::ALL {
        let mechanism = match scheme {
            Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 => MechanismType::ECDSA,
            Scheme::Ed25519 => MechanismType::EDDSA,
            Scheme::RsaPssSha256 | Scheme::RsaPssSha384 => MechanismType::RSA_PKCS_PSS,
            Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 => MechanismType::RSA_PKCS,
            _ => continue,
        };
        if has(mechanism) && algorithms.iter().any(|algorithm| scheme.fits(*algorithm)) {
            operations.extend([Operation::Sign(scheme), Operation::Verify(scheme)]);
        }
    }
    if has(MechanismType::ECDH1_DERIVE) {
        let curves = [Algorithm::EcdsaP256, Algorithm::EcdsaP384];
        operations.extend(
            curves
                .into_iter()
                .filter(|curve| algorithms.contains(curve))
                .map(Operation::Agree),
        );
    }
    if has(MechanismType::RSA_PKCS_OAEP) {
        // The list does not tell with which hashes.
        let tried = OaepHash::ALL.into_iter().filter(|hash| encrypts(session, *hash));
        operations.extend(tried.map(Operation::Decrypt));
    }
    if has(MechanismType::AES_GCM) && algorithms.contains(&Algorithm::Aes256) {
        operations.extend([Operation::EncryptData, Operation::WrapKey, Operation::Seal]);
    }
    Ok(operations)
}

/// How to sign or verify under a scheme.
pub(crate) fn signing(scheme: Scheme) -> Result<Mechanism<'static>, Pkcs11Refusal> {
    let pss = |hash_alg, mgf, length: u64| {
        let s_len = length.into();
        Mechanism::RsaPkcsPss(PkcsPssParams { hash_alg, mgf, s_len })
    };
    Ok(match scheme {
        Scheme::EcdsaP256Sha256 | Scheme::EcdsaP384Sha384 => Mechanism::Ecdsa,
        Scheme::Ed25519 => Mechanism::Eddsa(EddsaParams::new(EddsaSignatureScheme::Ed25519)),
        Scheme::RsaPssSha256 => pss(MechanismType::SHA256, PkcsMgfType::MGF1_SHA256, 32),
        Scheme::RsaPssSha384 => pss(MechanismType::SHA384, PkcsMgfType::MGF1_SHA384, 48),
        Scheme::RsaPkcs1Sha256 | Scheme::RsaPkcs1Sha384 => Mechanism::RsaPkcs,
        _ => return Err(Pkcs11Refusal::Unsupported),
    })
}

/// What goes before the hash in an RSA signature of version 1.5: the `DigestInfo` of RFC 8017 section 9.2, note 1.
pub(crate) const fn before_hash(scheme: Scheme) -> &'static [u8] {
    match scheme {
        Scheme::RsaPkcs1Sha256 => &[
            0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
            0x20,
        ],
        Scheme::RsaPkcs1Sha384 => &[
            0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04,
            0x30,
        ],
        _ => &[],
    }
}

/// RSA-OAEP with this hash, the mask with the same, an empty label.
pub(crate) fn oaep(hash: OaepHash) -> Mechanism<'static> {
    let (hash, mask) = match hash {
        OaepHash::Sha256 => (MechanismType::SHA256, PkcsMgfType::MGF1_SHA256),
        OaepHash::Sha384 => (MechanismType::SHA384, PkcsMgfType::MGF1_SHA384),
        _ => (MechanismType::SHA1, PkcsMgfType::MGF1_SHA1),
    };
    Mechanism::RsaPkcsOaep(PkcsOaepParams::new(hash, mask, PkcsOaepSource::empty()))
}

/// Whether the token takes keys that were made elsewhere: tried with one that nobody uses and that ends with the session.
fn takes_keys(session: &Session) -> bool {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::KeyType(KeyType::AES),
        Attribute::Token(false),
        Attribute::Sensitive(true),
        Attribute::Extractable(false),
        Attribute::Encrypt(true),
        Attribute::Value(vec![0x5a; 32]),
    ];
    session
        .create_object(&template)
        .is_ok_and(|key| session.destroy_object(key).is_ok())
}

/// Whether the token knows OAEP with this hash: tried by encrypting something for a number that is nobody's key.
fn encrypts(session: &Session, hash: OaepHash) -> bool {
    // Odd, 2048 bits, and that is all that encryption asks of a modulus.
    let modulus = vec![0xb5; 256];
    let template = [
        Attribute::Class(ObjectClass::PUBLIC_KEY),
        Attribute::KeyType(KeyType::RSA),
        Attribute::Token(false),
        Attribute::Private(false),
        Attribute::Encrypt(true),
        Attribute::Modulus(modulus),
        Attribute::PublicExponent(EXPONENT.to_vec()),
        Attribute::Label(objects::LABEL.to_vec()),
    ];
    let Ok(key) = session.create_object(&template) else {
        return false;
    };
    let known = session.encrypt(&oaep(hash), key, &[1; 16]).is_ok();
    let _ = session.destroy_object(key);
    known
}
