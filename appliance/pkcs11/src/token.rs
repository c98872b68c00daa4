//! A token that somebody has logged in to.

use crate::mechanisms::{self, before_hash, oaep, signing};
use crate::objects::{self, SEAL_LABEL};
use crate::refusal::{opening, refusal};
use cryptoki::context::Pkcs11;
use cryptoki::error::{Error, RvError};
use cryptoki::mechanism::Mechanism;
use cryptoki::mechanism::aead::GcmParams;
use cryptoki::mechanism::elliptic_curve::{EcKdf, Ecdh1DeriveParams};
use cryptoki::object::{Attribute, AttributeType, KeyType, ObjectClass, ObjectHandle};
use cryptoki::session::{Session, UserType};
use cryptoki::slot::Slot;
use cryptoki::types::AuthPin;
use redan_ipc::messages::pkcs11::{
    DataKey, ObjectReference, PAYLOAD, Pkcs11Refusal, Pkcs11Reply, Pkcs11Request, Token as About, TokenKey,
};
use redan_types::{Scheme, SecretBytes, SecretString};

pub(crate) struct Token {
    session: Session,
    seal: Option<ObjectHandle>,
}

impl Token {
    /// Logs in to the token of this label and makes its sealing key where it has none.
    pub(crate) fn open(module: &Pkcs11, label: &str, pin: &SecretString) -> Result<(Self, About), Pkcs11Refusal> {
        let mut found: Option<Slot> = None;
        for slot in module.get_slots_with_initialized_token().map_err(refusal)? {
            if module.get_token_info(slot).map_err(refusal)?.label() == label {
                found = Some(slot);
                break;
            }
        }
        let slot = found.ok_or(Pkcs11Refusal::NoToken)?;
        let session = module.open_rw_session(slot).map_err(refusal)?;
        // Exactly as long as the PIN, so that making a box of it copies nothing.
        let secret = AuthPin::new(String::from(pin.expose()).into_boxed_str());
        match session.login(UserType::User, Some(&secret)) {
            Ok(()) | Err(Error::Pkcs11(RvError::UserAlreadyLoggedIn, _)) => {}
            Err(Error::Pkcs11(RvError::PinIncorrect | RvError::PinInvalid | RvError::PinLenRange, _)) => {
                let info = module.get_token_info(slot).map_err(refusal)?;
                return Err(if info.user_pin_locked() {
                    Pkcs11Refusal::Locked
                } else {
                    Pkcs11Refusal::Pin {
                        last: info.user_pin_final_try(),
                    }
                });
            }
            Err(error) => return Err(refusal(error)),
        }
        let operations = mechanisms::offered(module, slot, &session).map_err(refusal)?;
        let seals = operations.contains(&redan_types::Operation::Seal);
        let (reference, seal) = if seals {
            let (reference, object) = sealing_key(&session)?;
            (reference, Some(object))
        } else {
            (ObjectReference([0; 16]), None)
        };
        let info = module.get_token_info(slot).map_err(refusal)?;
        let about = About {
            maker: [info.manufacturer_id(), info.model(), info.serial_number()].map(str::to_owned),
            seal: reference,
            operations,
        };
        Ok((Self { session, seal }, about))
    }

    pub(crate) fn answer(&self, request: Pkcs11Request) -> Result<Pkcs11Reply, Pkcs11Refusal> {
        match request {
            // The worker answers it: it comes before there is a token.
            Pkcs11Request::Login { .. } => Err(Pkcs11Refusal::Malformed),
            Pkcs11Request::Random { length } => {
                let mut bytes = vec![0; usize::from(length).min(PAYLOAD)];
                self.session.generate_random_slice(&mut bytes).map_err(refusal)?;
                Ok(Pkcs11Reply::Secret(SecretBytes::new(bytes)))
            }
            Pkcs11Request::Generate { algorithm } => {
                let reference = fresh(&self.session)?;
                objects::generate(&self.session, algorithm, reference)?;
                self.made(reference)
            }
            Pkcs11Request::Import { reference, key } => {
                objects::import(&self.session, &key, reference)?;
                self.made(reference)
            }
            Pkcs11Request::Destroy { key } => {
                let (object, _) = self.key(key)?;
                self.session.destroy_object(object).map_err(refusal)?;
                match objects::find(&self.session, ObjectClass::PUBLIC_KEY, key) {
                    Ok(public) => self.session.destroy_object(public).map_err(refusal)?,
                    Err(Pkcs11Refusal::NoSuchKey) => {}
                    Err(refusal) => return Err(refusal),
                }
                Ok(Pkcs11Reply::Done)
            }
            Pkcs11Request::Keys { after } => self.keys(after),
            Pkcs11Request::Sign { key, scheme, input } => {
                let key = objects::find(&self.session, ObjectClass::PRIVATE_KEY, key)?;
                let input = signed(scheme, &input);
                let signature = self.session.sign(&signing(scheme)?, key, &input).map_err(refusal)?;
                Ok(Pkcs11Reply::Bytes(signature))
            }
            Pkcs11Request::Verify {
                key,
                scheme,
                input,
                signature,
            } => {
                let key = objects::find(&self.session, ObjectClass::PUBLIC_KEY, key)?;
                let input = signed(scheme, &input);
                match self.session.verify(&signing(scheme)?, key, &input, &signature) {
                    Ok(()) => Ok(Pkcs11Reply::Done),
                    // Not every module has the right code for a signature that cannot be one.
                    Err(Error::Pkcs11(
                        RvError::ArgumentsBad | RvError::DataLenRange | RvError::GeneralError | RvError::FunctionFailed,
                        _,
                    )) => Err(Pkcs11Refusal::Signature),
                    Err(error) => Err(refusal(error)),
                }
            }
            Pkcs11Request::Agree { key, point } => self.agree(key, &point),
            Pkcs11Request::Decrypt { key, hash, ciphertext } => {
                let key = objects::find(&self.session, ObjectClass::PRIVATE_KEY, key)?;
                let plaintext = self.session.decrypt(&oaep(hash), key, &ciphertext).map_err(opening)?;
                Ok(Pkcs11Reply::Secret(SecretBytes::new(plaintext)))
            }
            Pkcs11Request::Encrypt {
                key,
                context,
                plaintext,
            } => {
                let key = self.data_key(key)?;
                let mut nonce = [0; NONCE];
                self.session.generate_random_slice(&mut nonce).map_err(refusal)?;
                let mut given = nonce;
                let mechanism = gcm(&mut given, &context)?;
                let sealed = self
                    .session
                    .encrypt(&mechanism, key, plaintext.expose())
                    .map_err(refusal)?;
                Ok(Pkcs11Reply::Bytes([&nonce[..], &sealed].concat()))
            }
            Pkcs11Request::Open {
                key,
                context,
                ciphertext,
            } => {
                let key = self.data_key(key)?;
                let (nonce, sealed) = ciphertext
                    .split_first_chunk::<NONCE>()
                    .ok_or(Pkcs11Refusal::Ciphertext)?;
                let mut nonce = *nonce;
                let mechanism = gcm(&mut nonce, &context)?;
                let plaintext = self.session.decrypt(&mechanism, key, sealed).map_err(opening)?;
                Ok(Pkcs11Reply::Secret(SecretBytes::new(plaintext)))
            }
        }
    }

    fn agree(&self, key: ObjectReference, point: &[u8]) -> Result<Pkcs11Reply, Pkcs11Refusal> {
        let key = objects::find(&self.session, ObjectClass::PRIVATE_KEY, key)?;
        let mechanism = Mechanism::Ecdh1Derive(Ecdh1DeriveParams::new(EcKdf::null(), point));
        // The curve's size: what comes out is one coordinate, and an uncompressed point holds two after its first byte.
        let length = point.len().saturating_sub(1) / 2;
        let length = u64::try_from(length).map_err(|_| Pkcs11Refusal::Malformed)?;
        let template = [
            Attribute::Class(ObjectClass::SECRET_KEY),
            Attribute::KeyType(KeyType::GENERIC_SECRET),
            Attribute::Token(false),
            Attribute::Sensitive(false),
            Attribute::Extractable(true),
            Attribute::ValueLen(length.into()),
        ];
        let common = self.session.derive_key(&mechanism, key, &template).map_err(refusal)?;
        let value = self
            .session
            .get_attributes(common, &[AttributeType::Value])
            .map_err(refusal);
        self.session.destroy_object(common).map_err(refusal)?;
        let value = value?.into_iter().find_map(|attribute| match attribute {
            Attribute::Value(bytes) => Some(SecretBytes::new(bytes)),
            _ => None,
        });
        let value = value.ok_or_else(|| Pkcs11Refusal::Token("the agreed secret has no value".to_owned()))?;
        Ok(Pkcs11Reply::Secret(value))
    }

    fn keys(&self, after: Option<ObjectReference>) -> Result<Pkcs11Reply, Pkcs11Refusal> {
        let mut page: Vec<TokenKey> = Vec::new();
        for (reference, object) in objects::references(&self.session)? {
            if Some(reference) <= after {
                continue;
            }
            page.extend(objects::describe(&self.session, reference, object)?);
            if page.len() == PAGE {
                break;
            }
        }
        Ok(Pkcs11Reply::Keys(page))
    }

    fn made(&self, reference: ObjectReference) -> Result<Pkcs11Reply, Pkcs11Refusal> {
        let (object, _) = self.key(reference)?;
        let key = objects::describe(&self.session, reference, object)?;
        key.map(Pkcs11Reply::Key)
            .ok_or_else(|| Pkcs11Refusal::Token("the key that was made cannot be read".to_owned()))
    }

    fn key(&self, key: ObjectReference) -> Result<(ObjectHandle, ObjectClass), Pkcs11Refusal> {
        match objects::find(&self.session, ObjectClass::PRIVATE_KEY, key) {
            Err(Pkcs11Refusal::NoSuchKey) => {
                let class = ObjectClass::SECRET_KEY;
                objects::find(&self.session, class, key).map(|object| (object, class))
            }
            outcome => outcome.map(|object| (object, ObjectClass::PRIVATE_KEY)),
        }
    }

    fn data_key(&self, key: DataKey) -> Result<ObjectHandle, Pkcs11Refusal> {
        match key {
            DataKey::Key(reference) => objects::find(&self.session, ObjectClass::SECRET_KEY, reference),
            DataKey::Seal => self.seal.ok_or(Pkcs11Refusal::Unsupported),
        }
    }
}

/// The key that secrets are sealed with; made where there is none.
fn sealing_key(session: &Session) -> Result<(ObjectReference, ObjectHandle), Pkcs11Refusal> {
    let template = [
        Attribute::Class(ObjectClass::SECRET_KEY),
        Attribute::Label(SEAL_LABEL.to_vec()),
    ];
    let find = || session.find_objects(&template).map_err(refusal);
    let mut found = find()?;
    if found.is_empty() {
        objects::generate_aes(session, fresh(session)?, SEAL_LABEL)?;
        found = find()?;
    }
    let [object] = found.as_slice() else {
        return Err(Pkcs11Refusal::Token("the token has several sealing keys".to_owned()));
    };
    let reference = objects::reference(session, *object)?;
    let reference = reference.ok_or_else(|| Pkcs11Refusal::Token("the sealing key is another's".to_owned()))?;
    Ok((reference, *object))
}

fn fresh(session: &Session) -> Result<ObjectReference, Pkcs11Refusal> {
    let mut reference = [0; 16];
    session.generate_random_slice(&mut reference).map_err(refusal)?;
    Ok(ObjectReference(reference))
}

fn signed(scheme: Scheme, input: &[u8]) -> Vec<u8> {
    [before_hash(scheme), input].concat()
}

fn gcm<'a>(nonce: &'a mut [u8; NONCE], context: &'a [u8]) -> Result<Mechanism<'a>, Pkcs11Refusal> {
    GcmParams::new(nonce, context, 128_u64.into())
        .map(Mechanism::AesGcm)
        .map_err(refusal)
}

const NONCE: usize = 12;
/// Keys in one answer: with RSA of 4096 bits it stays far below a packet.
const PAGE: usize = 32;
