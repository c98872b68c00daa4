//! Handshake signatures: the vault signs a TLS 1.3 CertificateVerify input (RFC 8446 section 4.4.3) and nothing else.

use redan_types::KeyId;
use serde::{Deserialize, Serialize};

/// A signature asked for.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SignRequest {
    /// With which key.
    pub key: KeyId,
    /// The TLS signature scheme's number (RFC 8446 section 4.2.3), for instance 0x0403.
    pub scheme: u16,
    /// The whole input: 64 spaces, the context string, a zero byte, the transcript hash.
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
    /// The input is not a server's CertificateVerify.
    #[error("the input is not a TLS 1.3 server CertificateVerify")]
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
}
