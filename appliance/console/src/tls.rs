//! TLS 1.3 whose handshakes the vault signs: the private key is never in this process.

use redan_ipc::messages::ConsoleSigner;
use redan_ipc::messages::sign::{SignReply, SignRequest};
use redan_ipc::messages::vault::Certificate;
use redan_service::Peer;
use redan_types::KeyId;
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::server::{ParsedCertificate, ServerConfig};
use rustls::sign::{CertifiedKey, Signer, SigningKey, SingleCertAndKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

/// How long a handshake waits for its signature. The vault needs well under a millisecond; where it is away, the handshake fails.
const PATIENCE: Duration = Duration::from_millis(500);

/// Why a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateError {
    /// There is no certificate in the chain.
    #[error("the chain is empty")]
    Empty,
    /// The leaf cannot be parsed, or the provider lacks TLS 1.3.
    #[error("the certificate cannot be used: {0}")]
    Unusable(#[from] rustls::Error),
    /// The public key is of a kind that the vault does not sign with in TLS 1.3.
    #[error("the certificate's key is neither P-256, P-384 nor Ed25519")]
    Key,
}

/// The configuration of new connections; replaced as a whole. `None` before the first.
#[derive(Clone, Debug, Default)]
pub struct Tls {
    current: Arc<RwLock<Option<Arc<ServerConfig>>>>,
}

impl Tls {
    /// What new connections use.
    #[must_use]
    pub fn current(&self) -> Option<Arc<ServerConfig>> {
        self.current.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces it.
    pub fn replace(&self, config: Arc<ServerConfig>) {
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Some(config);
    }
}

/// A configuration that presents this certificate and lets the vault sign.
///
/// # Errors
/// The certificate cannot be parsed or has a key of another kind.
pub fn config(certificate: &Certificate, vault: Peer<ConsoleSigner>) -> Result<Arc<ServerConfig>, CertificateError> {
    let chain: Vec<_> = certificate.chain.iter().cloned().map(CertificateDer::from).collect();
    let leaf = chain.first().ok_or(CertificateError::Empty)?;
    let scheme = scheme_of(leaf)?;
    let key = VaultKey {
        vault,
        key: certificate.key,
        scheme,
    };
    let resolver = SingleCertAndKey::from(CertifiedKey::new(chain, Arc::new(key)));
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    // One connection, one request at a time: HTTP/2's multiplexing would only widen what strangers can reach before they sign in.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

/// The signature scheme (RFC 8446 section 4.2.3) of a certificate's key: the object identifiers of its algorithm and curve stand
/// at fixed places of the `SubjectPublicKeyInfo` (RFC 5480 section 2, RFC 8410 section 4).
fn scheme_of(leaf: &CertificateDer<'_>) -> Result<SignatureScheme, CertificateError> {
    const P256: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
    const P384: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
    const ED25519: &[u8] = &[0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70];
    let key = ParsedCertificate::try_from(leaf)?.subject_public_key_info();
    let head = key.get(..key.len().min(32)).unwrap_or_default();
    let holds = |oid: &[u8]| head.windows(oid.len()).any(|window| window == oid);
    if holds(P256) {
        Ok(SignatureScheme::ECDSA_NISTP256_SHA256)
    } else if holds(P384) {
        Ok(SignatureScheme::ECDSA_NISTP384_SHA384)
    } else if holds(ED25519) {
        Ok(SignatureScheme::ED25519)
    } else {
        Err(CertificateError::Key)
    }
}

/// A key that the vault holds.
#[derive(Clone, Debug)]
struct VaultKey {
    vault: Peer<ConsoleSigner>,
    key: KeyId,
    scheme: SignatureScheme,
}

impl SigningKey for VaultKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered
            .contains(&self.scheme)
            .then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.scheme {
            SignatureScheme::ED25519 => SignatureAlgorithm::ED25519,
            _ => SignatureAlgorithm::ECDSA,
        }
    }
}

impl Signer for VaultKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let request = SignRequest {
            key: self.key,
            scheme: self.scheme.into(),
            input: message.to_vec(),
        };
        // rustls signs in the middle of a poll; the runtime hands this worker's other tasks to another thread meanwhile.
        let reply = tokio::task::block_in_place(|| self.vault.call(&request, PATIENCE));
        match reply {
            Ok(SignReply::Signature(signature)) => Ok(signature),
            Ok(SignReply::Refused(refusal)) => Err(rustls::Error::General(refusal.to_string())),
            Err(error) => Err(rustls::Error::General(error.to_string())),
        }
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
