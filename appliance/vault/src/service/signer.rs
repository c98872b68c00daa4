//! Handshake signatures: one thread for each wire, and nothing on its way that could wait for a disk or a password.
//!
//! A signer signs a TLS 1.3 server's CertificateVerify input and nothing else, with keys whose certificates belong to its wire's
//! owner. A captured proxy can therefore finish handshakes while it is captured: no client authentication, no code, no request
//! for a certificate, no signature for the console's name. Keys of services that allow TLS 1.2 sign its ECDHE ServerKeyExchange
//! input too; the two forms differ in their 65th byte, so that neither can be passed off as the other.

use redan_hal::keys::Algorithm;
use redan_hal::keys::software::SoftwareKey;
use redan_ipc::messages::sign::{SignRefusal, SignReply, SignRequest};
use redan_ipc::messages::vault::CertificateOwner;
use redan_ipc::{Channel, IpcError, Pair};
use redan_types::{KeyId, ServiceName};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

/// Whose handshakes a wire serves.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Wire {
    /// The console's.
    Console,
    /// The published services'.
    Services,
}

/// The keys that signers use, and what they did.
#[derive(Debug, Default)]
pub struct Signers {
    /// Locked for a look-up or an insertion, never over anything that waits.
    keys: RwLock<HashMap<KeyId, (CertificateOwner, Arc<SoftwareKey>)>>,
    /// Whose keys sign TLS 1.2 handshakes as well.
    tls12: RwLock<HashSet<ServiceName>>,
    signed: AtomicU64,
    refused: AtomicU64,
}

impl Signers {
    /// Lets the wires of an owner use a key.
    pub fn allow(&self, owner: &CertificateOwner, key: SoftwareKey) {
        let id = key.public().id();
        // The first signature of a process is slow: its code and tables come from disk. Paid here, it does not cost a client the
        // handshake; one that fails shows at the first use all the same.
        let _ = key.sign(WARM_UP);
        self.keys
            .write()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id, (owner.clone(), Arc::new(key)));
    }

    /// Lets the keys of these services, and no others, sign TLS 1.2 handshakes.
    pub fn permit_tls12(&self, services: &[ServiceName]) {
        *self.tls12.write().unwrap_or_else(PoisonError::into_inner) = services.iter().cloned().collect();
    }

    /// Signatures made since the start.
    #[must_use]
    pub fn signed(&self) -> u64 {
        self.signed.load(Ordering::Relaxed)
    }

    /// Requests refused since the start. Each is a fault of the peer's program, or an attack.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// Answers one request.
    pub fn answer(&self, wire: Wire, request: &SignRequest) -> SignReply {
        match self.sign(wire, request) {
            Ok(signature) => {
                self.signed.fetch_add(1, Ordering::Relaxed);
                SignReply::Signature(signature)
            }
            Err(refusal) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                SignReply::Refused(refusal)
            }
        }
    }

    /// Serves a wire on the calling thread until its peer goes.
    pub fn serve<P>(&self, wire: Wire, channel: Channel) -> IpcError
    where
        P: Pair<Request = SignRequest, Reply = SignReply>,
    {
        redan_ipc::serve::<P>(channel, |request, responder| {
            responder.reply(&self.answer(wire, &request));
        })
    }

    fn sign(&self, wire: Wire, request: &SignRequest) -> Result<Vec<u8>, SignRefusal> {
        let tls12 = is_server_key_exchange(&request.input);
        if !tls12 && !is_certificate_verify(&request.input) {
            return Err(SignRefusal::Input);
        }
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let (owner, key) = keys
            .get(&request.key)
            .filter(|(owner, _)| wire.serves(owner))
            .ok_or(SignRefusal::Key)?;
        if tls12 && !self.permits_tls12(owner) {
            return Err(SignRefusal::Version);
        }
        let key = Arc::clone(key);
        drop(keys);
        let scheme = match key.public().algorithm {
            Algorithm::EcdsaP256 => ECDSA_SECP256R1_SHA256,
            Algorithm::Ed25519 => ED25519,
            _ => return Err(SignRefusal::Scheme),
        };
        if request.scheme != scheme {
            return Err(SignRefusal::Scheme);
        }
        key.sign(&request.input).map_err(|_| SignRefusal::Device)
    }

    fn permits_tls12(&self, owner: &CertificateOwner) -> bool {
        match owner {
            CertificateOwner::Console => false,
            CertificateOwner::Service(name) => self.tls12.read().unwrap_or_else(PoisonError::into_inner).contains(name),
        }
    }
}

impl Wire {
    const fn serves(self, owner: &CertificateOwner) -> bool {
        matches!(
            (self, owner),
            (Self::Console, CertificateOwner::Console) | (Self::Services, CertificateOwner::Service(_))
        )
    }
}

/// RFC 8446 section 4.4.3: 64 spaces, the context string of a server, a zero byte, and a transcript hash of SHA-256 or SHA-384.
fn is_certificate_verify(input: &[u8]) -> bool {
    input
        .strip_prefix(&[b' '; 64])
        .and_then(|rest| rest.strip_prefix(b"TLS 1.3, server CertificateVerify\0"))
        .is_some_and(|hash| matches!(hash.len(), 32 | 48))
}

/// RFC 8422 section 5.4: the client's and the server's random (32 bytes each), a named curve (3), and the server's point with its
/// length. Each curve that the proxy offers has one exact form.
fn is_server_key_exchange(input: &[u8]) -> bool {
    const X25519: &[u8] = &[3, 0x00, 0x1d, 32];
    const SECP256R1: &[u8] = &[3, 0x00, 0x17, 65, 4];
    const SECP384R1: &[u8] = &[3, 0x00, 0x18, 97, 4];
    input.get(64..).is_some_and(|parameters| {
        [(X25519, 36), (SECP256R1, 69), (SECP384R1, 101)]
            .iter()
            .any(|(head, length)| parameters.len() == *length && parameters.starts_with(head))
    })
}

/// Signed once when a key is loaded; no protocol's input.
const WARM_UP: &[u8] = b"Redan: a first signature, for nobody";
/// RFC 8446 section 4.2.3.
const ECDSA_SECP256R1_SHA256: u16 = 0x0403;
const ED25519: u16 = 0x0807;

#[cfg(test)]
mod tests {
    use super::{Signers, Wire};
    use redan_hal::keys::Algorithm;
    use redan_hal::keys::software::SoftwareKey;
    use redan_ipc::messages::ProxySigner;
    use redan_ipc::messages::sign::{SignRefusal, SignReply, SignRequest};
    use redan_ipc::messages::vault::CertificateOwner;
    use redan_ipc::{Channel, Client};
    use redan_types::{KeyId, ServiceName};
    use std::time::{Duration, Instant};

    fn input(hash: usize) -> Vec<u8> {
        [&[b' '; 64][..], b"TLS 1.3, server CertificateVerify\0", &vec![7; hash]].concat()
    }

    fn signers(owner: &CertificateOwner) -> (Signers, KeyId) {
        let signers = Signers::default();
        let pkcs8 = SoftwareKey::generate(Algorithm::EcdsaP256).unwrap();
        let key = SoftwareKey::parse(Algorithm::EcdsaP256, &pkcs8).unwrap();
        let id = key.public().id();
        signers.allow(owner, key);
        (signers, id)
    }

    fn shop() -> CertificateOwner {
        CertificateOwner::Service(ServiceName::parse("shop").unwrap())
    }

    fn refusal(reply: &SignReply) -> Option<SignRefusal> {
        match reply {
            SignReply::Refused(refusal) => Some(*refusal),
            SignReply::Signature(_) => None,
        }
    }

    #[test]
    fn a_certificate_verify_is_signed_and_nothing_else() {
        let (signers, key) = signers(&shop());
        let ask = |input: Vec<u8>| {
            refusal(&signers.answer(
                Wire::Services,
                &SignRequest {
                    key,
                    scheme: 0x0403,
                    input,
                },
            ))
        };
        assert_eq!((ask(input(32)), ask(input(48))), (None, None));
        let client = [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &[7; 32]].concat();
        let mut no_zero = input(32);
        no_zero[64 + 33] = b' ';
        let mut tab = input(32);
        tab[10] = b'\t';
        let fewer = [&[b' '; 63][..], b"TLS 1.3, server CertificateVerify\0", &[7; 33]].concat();
        for wrong in [
            vec![],
            vec![7; 32],
            input(31),
            input(33),
            input(47),
            input(64),
            client,
            no_zero,
            tab,
            fewer,
        ] {
            assert_eq!(ask(wrong), Some(SignRefusal::Input));
        }
        assert_eq!((signers.signed(), signers.refused()), (2, 10));
    }

    fn key_exchange(head: &[u8], point: usize) -> Vec<u8> {
        [&[9; 64][..], head, &vec![5; point]].concat()
    }

    #[test]
    fn a_tls_1_2_key_exchange_is_signed_for_services_that_allow_it_only() {
        let (signers, key) = signers(&shop());
        let ask = |input: Vec<u8>| {
            refusal(&signers.answer(
                Wire::Services,
                &SignRequest {
                    key,
                    scheme: 0x0403,
                    input,
                },
            ))
        };
        let x25519 = key_exchange(&[3, 0, 0x1d, 32], 32);
        assert_eq!(ask(x25519.clone()), Some(SignRefusal::Version));
        signers.permit_tls12(&[ServiceName::parse("other").unwrap()]);
        assert_eq!(ask(x25519.clone()), Some(SignRefusal::Version));
        signers.permit_tls12(&[ServiceName::parse("shop").unwrap()]);
        assert_eq!(ask(x25519.clone()), None);
        assert_eq!(ask(key_exchange(&[3, 0, 0x17, 65, 4], 64)), None);
        assert_eq!(ask(key_exchange(&[3, 0, 0x18, 97, 4], 96)), None);
        for wrong in [
            key_exchange(&[3, 0, 0x1d, 32], 31),
            key_exchange(&[3, 0, 0x1d, 32], 33),
            key_exchange(&[3, 0, 0x1d, 31], 32),
            key_exchange(&[1, 0, 0x1d, 32], 32),
            key_exchange(&[3, 0, 0x17, 65, 2], 64),
            key_exchange(&[3, 0, 0x17, 65, 4], 65),
            key_exchange(&[3, 0, 0x19, 133, 4], 132),
            key_exchange(&[], 0),
        ] {
            assert_eq!(ask(wrong), Some(SignRefusal::Input));
        }
        signers.permit_tls12(&[]);
        assert_eq!(ask(x25519), Some(SignRefusal::Version));
    }

    #[test]
    fn the_consoles_key_never_signs_a_tls_1_2_handshake() {
        let (signers, key) = signers(&CertificateOwner::Console);
        signers.permit_tls12(&[ServiceName::parse("console").unwrap()]);
        let reply = signers.answer(
            Wire::Console,
            &SignRequest {
                key,
                scheme: 0x0403,
                input: key_exchange(&[3, 0, 0x1d, 32], 32),
            },
        );
        assert_eq!(refusal(&reply), Some(SignRefusal::Version));
    }

    #[test]
    fn a_wire_uses_the_keys_of_its_owner_only() {
        for (owner, own, other) in [
            (shop(), Wire::Services, Wire::Console),
            (CertificateOwner::Console, Wire::Console, Wire::Services),
        ] {
            let (signers, key) = signers(&owner);
            let ask = |wire, key| {
                refusal(&signers.answer(
                    wire,
                    &SignRequest {
                        key,
                        scheme: 0x0403,
                        input: input(32),
                    },
                ))
            };
            assert_eq!(ask(own, key), None);
            assert_eq!(ask(other, key), Some(SignRefusal::Key));
            assert_eq!(ask(own, KeyId([0; 16])), Some(SignRefusal::Key));
        }
    }

    #[test]
    fn a_key_signs_under_its_own_scheme_only() {
        let (signers, key) = signers(&shop());
        for scheme in [0x0503, 0x0807, 0x0804, 0x0401, 0x0203, 0] {
            let reply = signers.answer(
                Wire::Services,
                &SignRequest {
                    key,
                    scheme,
                    input: input(32),
                },
            );
            assert_eq!(refusal(&reply), Some(SignRefusal::Scheme), "{scheme:#06x}");
        }
    }

    #[test]
    fn a_signature_comes_back_over_a_wire() {
        let (signers, key) = signers(&shop());
        let (asking, answering) = Channel::pair().unwrap();
        let server = std::thread::spawn(move || signers.serve::<ProxySigner>(Wire::Services, answering));
        let client = Client::<ProxySigner>::new(asking);
        let request = SignRequest {
            key,
            scheme: 0x0403,
            input: input(32),
        };
        let rounds = 200;
        let begin = Instant::now();
        for _ in 0..rounds {
            let reply = client.call(&request, Duration::from_secs(5)).unwrap();
            assert!(matches!(reply, SignReply::Signature(signature) if signature.first() == Some(&0x30)));
        }
        println!("signature round trip: {:?}", begin.elapsed() / rounds);
        drop(client);
        server.join().unwrap();
    }
}
