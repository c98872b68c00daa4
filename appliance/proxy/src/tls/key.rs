//! A signing key that lives in the vault.

use redan_ipc::IpcError;
use redan_ipc::messages::ProxySigner;
use redan_ipc::messages::sign::{SignRefusal, SignReply, SignRequest};
use redan_service::Peer;
use redan_types::KeyId;
use rustls::server::ParsedCertificate;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::cell::RefCell;
use std::time::{Duration, Instant};

/// How long a handshake may block its thread for a signature.
const DEADLINE: Duration = Duration::from_millis(50);

thread_local! {
    static WIRE: RefCell<Option<Wire>> = const { RefCell::new(None) };
}

struct Wire {
    signer: Box<dyn HandshakeSigner + Send>,
    breaker: Breaker,
}

/// Whoever signs a thread's handshakes: the vault over its wire, and in measurements what it is compared with.
pub trait HandshakeSigner {
    /// Asks for a signature and waits, at most `deadline`.
    ///
    /// # Errors
    /// As [`Peer::call`].
    fn sign(&self, request: &SignRequest, deadline: Duration) -> Result<SignReply, IpcError>;
}

impl HandshakeSigner for Peer<ProxySigner> {
    fn sign(&self, request: &SignRequest, deadline: Duration) -> Result<SignReply, IpcError> {
        self.call(request, deadline)
    }
}

/// Gives this thread its wire to the vault's signer on the same core.
pub(crate) fn install_signer(signer: Box<dyn HandshakeSigner + Send>) {
    WIRE.set(Some(Wire {
        signer,
        breaker: Breaker::default(),
    }));
}

/// Stops asking a vault that does not answer: a thread that waits 50 ms for each handshake serves nobody else.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: u32,
    closed_again: Option<Instant>,
}

impl Breaker {
    const SHORTEST: Duration = Duration::from_millis(100);
    const LONGEST: Duration = Duration::from_secs(2);

    /// Whether to ask now. After a pause, one question is let through.
    pub(crate) fn allows(&self, now: Instant) -> bool {
        self.closed_again.is_none_or(|until| now >= until)
    }

    pub(crate) const fn succeeded(&mut self) {
        self.failures = 0;
        self.closed_again = None;
    }

    pub(crate) fn failed(&mut self, now: Instant) {
        let pause = Self::SHORTEST
            .saturating_mul(1 << self.failures.min(8))
            .min(Self::LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.closed_again = now.checked_add(pause);
    }
}

/// A key by its name, with the one scheme that it signs.
#[derive(Clone, Debug)]
pub(crate) struct RemoteKey {
    id: KeyId,
    scheme: SignatureScheme,
    algorithm: SignatureAlgorithm,
    tls12: bool,
}

impl RemoteKey {
    /// The key that belongs to a certificate; `None` for a kind of key that the vault does not sign with. Whether it may sign
    /// TLS 1.2 handshakes is decided by the vault; here it spares the question.
    pub(crate) fn of(id: KeyId, certificate: &ParsedCertificate<'_>, tls12: bool) -> Option<Self> {
        // AlgorithmIdentifiers of a SubjectPublicKeyInfo (RFC 5480, RFC 8410), which follow its outer header.
        const KINDS: [(&[u8], SignatureScheme, SignatureAlgorithm); 3] = [
            (
                b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
                SignatureScheme::ECDSA_NISTP256_SHA256,
                SignatureAlgorithm::ECDSA,
            ),
            (
                b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
                SignatureScheme::ECDSA_NISTP384_SHA384,
                SignatureAlgorithm::ECDSA,
            ),
            (
                b"\x30\x05\x06\x03\x2b\x65\x70",
                SignatureScheme::ED25519,
                SignatureAlgorithm::ED25519,
            ),
        ];
        let info = certificate.subject_public_key_info();
        let body = info.as_ref().get(2..)?;
        let (_, scheme, algorithm) = KINDS.iter().find(|(prefix, _, _)| body.starts_with(prefix))?;
        Some(Self {
            id,
            scheme: *scheme,
            algorithm: *algorithm,
            tls12,
        })
    }
}

impl SigningKey for RemoteKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&self.scheme)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.algorithm
    }
}

impl Signer for RemoteKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        // RFC 8446 section 4.4.3: what TLS 1.3 signs begins with 64 spaces.
        if !self.tls12 && !message.starts_with(&[b' '; 64]) {
            return Err(rustls::Error::PeerIncompatible(
                rustls::PeerIncompatible::Tls12NotOfferedOrEnabled,
            ));
        }
        WIRE.with_borrow_mut(|wire| {
            let wire = wire.as_mut().ok_or_else(|| failed("this thread has no signer"))?;
            if !wire.breaker.allows(Instant::now()) {
                return Err(failed("the vault does not answer"));
            }
            let request = SignRequest {
                key: self.id,
                scheme: self.scheme.into(),
                input: message.to_vec(),
            };
            match wire.signer.sign(&request, DEADLINE) {
                Ok(SignReply::Signature(signature)) => {
                    wire.breaker.succeeded();
                    Ok(signature)
                }
                Ok(SignReply::Refused(refusal)) => {
                    // Another service's key may work: only what concerns the vault as a whole stops the others.
                    if matches!(refusal, SignRefusal::Sealed) {
                        wire.breaker.failed(Instant::now());
                    }
                    Err(failed(&refusal.to_string()))
                }
                Err(error) => {
                    wire.breaker.failed(Instant::now());
                    Err(failed(&error.to_string()))
                }
            }
        })
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}

fn failed(why: &str) -> rustls::Error {
    rustls::Error::General(format!("no signature: {why}"))
}

#[cfg(test)]
mod tests {
    use super::Breaker;
    use std::time::{Duration, Instant};

    #[test]
    fn a_silent_vault_is_asked_again_after_growing_pauses() {
        let start = Instant::now();
        let mut breaker = Breaker::default();
        assert!(breaker.allows(start));
        breaker.failed(start);
        assert!(!breaker.allows(start + Duration::from_millis(99)));
        let retry = start + Duration::from_millis(100);
        assert!(breaker.allows(retry));
        breaker.failed(retry);
        assert!(!breaker.allows(retry + Duration::from_millis(199)));
        for _ in 0..40 {
            breaker.failed(retry);
        }
        assert!(breaker.allows(retry + Duration::from_secs(2)));
        breaker.succeeded();
        assert!(breaker.allows(start));
    }
}
