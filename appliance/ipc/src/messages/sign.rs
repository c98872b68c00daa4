//! Handshake signatures: the vault signs a TLS 1.3 CertificateVerify input (RFC 8446 section 4.4.3) and, for services that allow
//! TLS 1.2, an ECDHE ServerKeyExchange input (RFC 8422 section 5.4), and nothing else.

use redan_types::KeyId;
use serde::{Deserialize, Serialize};

/// A signature asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SignRequest {
    /// With which key.
    pub key: KeyId,
    /// The TLS signature scheme's number (RFC 8446 section 4.2.3), for instance 0x0403.
    pub scheme: u16,
    /// The whole input. TLS 1.3: 64 spaces, the context string, a zero byte, the transcript hash. TLS 1.2: both randoms and the
    /// server's ECDHE parameters.
    pub input: Vec<u8>,
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum SignReply {
    /// The signature, as TLS carries it.
    Signature(Vec<u8>),
    /// The reason why there is none.
    Refused(SignRefusal),
}

/// Why a signature was refused.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum SignRefusal {
    /// The key device failed.
    #[error("the key device failed")]
    Device,
    /// The input is no handshake of a server.
    #[error("the input is neither a TLS 1.3 server CertificateVerify nor a TLS 1.2 ECDHE ServerKeyExchange")]
    Input,
    /// No such key, or not for this wire.
    #[error("this key may not be used on this wire")]
    Key,
    /// The key cannot sign under this scheme.
    #[error("the key cannot sign under this scheme")]
    Scheme,
    /// The vault is sealed.
    #[error("the vault is sealed")]
    Sealed,
    /// The key's service does not allow TLS 1.2.
    #[error("this key does not sign TLS 1.2 handshakes")]
    Version,
}
