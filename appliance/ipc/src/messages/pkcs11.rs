//! What the vault asks the process that a vendor's PKCS#11 module is loaded in.
//!
//! That process runs foreign code: the vault takes its answers for claims. It hashes what is to be signed itself, computes each key's
//! identifier from its public half, and checks every length. The numbers of private keys pass this wire in one direction only, when
//! a key made elsewhere is brought in.

use redan_types::{Algorithm, OaepHash, Operation, Scheme, SecretBytes, SecretString};
use serde::{Deserialize, Serialize};

/// What tells an object of the token from the others: its `CKA_ID`.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize)]
pub struct ObjectReference(pub [u8; 16]);

/// The most bytes that one request or answer carries for the caller: messages, plaintexts, random numbers.
pub const PAYLOAD: usize = 32 << 10;

/// A question.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Pkcs11Request {
    /// Open the token of this label and log in. The first question on a wire; the others are refused before it.
    Login {
        /// The token's label.
        token: String,
        /// The user's PIN.
        pin: SecretString,
    },
    /// Random bytes.
    Random {
        /// How many, at most [`PAYLOAD`].
        length: u16,
    },
    /// Make a key.
    Generate {
        /// What it is to be.
        algorithm: Algorithm,
    },
    /// Keep a key made elsewhere.
    Import {
        /// Its reference from now on.
        reference: ObjectReference,
        /// Its numbers.
        key: ForeignKey,
    },
    /// Destroy a key.
    Destroy {
        /// Which.
        key: ObjectReference,
    },
    /// List keys, in order of their references.
    Keys {
        /// Those after this one.
        after: Option<ObjectReference>,
    },
    /// Sign.
    Sign {
        /// With which key.
        key: ObjectReference,
        /// How.
        scheme: Scheme,
        /// The hash of the message; for Ed25519 the message.
        input: Vec<u8>,
    },
    /// Check a signature.
    Verify {
        /// Of which key.
        key: ObjectReference,
        /// How.
        scheme: Scheme,
        /// The hash of the message; for Ed25519 the message.
        input: Vec<u8>,
        /// The signature; for ECDSA the two numbers, padded, one after the other.
        signature: Vec<u8>,
    },
    /// Agree on a secret.
    Agree {
        /// With which key.
        key: ObjectReference,
        /// The other's uncompressed point.
        point: Vec<u8>,
    },
    /// Decrypt with RSA-OAEP.
    Decrypt {
        /// With which key.
        key: ObjectReference,
        /// With which hash.
        hash: OaepHash,
        /// What.
        ciphertext: Vec<u8>,
    },
    /// Encrypt with AES-256-GCM; the answer is nonce, ciphertext and tag.
    Encrypt {
        /// With which key.
        key: DataKey,
        /// What is authenticated with it.
        context: Vec<u8>,
        /// What.
        plaintext: SecretBytes,
    },
    /// Decrypt what [`Pkcs11Request::Encrypt`] made.
    Open {
        /// With which key.
        key: DataKey,
        /// What was authenticated with it.
        context: Vec<u8>,
        /// Nonce, ciphertext and tag.
        ciphertext: Vec<u8>,
    },
}

/// An AES key of the token.
#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum DataKey {
    /// One of the caller's.
    Key(ObjectReference),
    /// The one that secrets are sealed with, made at the first login.
    Seal,
}

/// The numbers of a key, big-endian.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum ForeignKey {
    /// AES-256.
    Aes(SecretBytes),
    /// A key of a curve.
    Curve {
        /// Which.
        algorithm: Algorithm,
        /// The private number.
        private: SecretBytes,
        /// The uncompressed point; for Ed25519 its 32 bytes.
        point: Vec<u8>,
    },
    /// RSA with two primes.
    Rsa(Box<RsaNumbers>),
}

/// The numbers of an RSA key (RFC 8017 section 3.2).
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct RsaNumbers {
    /// n.
    pub modulus: Vec<u8>,
    /// e.
    pub public_exponent: Vec<u8>,
    /// d.
    pub private_exponent: SecretBytes,
    /// p.
    pub prime_1: SecretBytes,
    /// q.
    pub prime_2: SecretBytes,
    /// d mod (p - 1).
    pub exponent_1: SecretBytes,
    /// d mod (q - 1).
    pub exponent_2: SecretBytes,
    /// 1/q mod p.
    pub coefficient: SecretBytes,
}

/// An answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum Pkcs11Reply {
    /// To a login.
    Token(Token),
    /// Bytes that are not secret: signatures, ciphertexts.
    Bytes(Vec<u8>),
    /// Bytes that are: plaintexts, agreed secrets, random numbers.
    Secret(SecretBytes),
    /// The key that was made or brought in.
    Key(TokenKey),
    /// A page of keys; an empty one is the last.
    Keys(Vec<TokenKey>),
    /// It is done.
    Done,
    /// It is not.
    Refused(Pkcs11Refusal),
}

/// What the token says about itself.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Token {
    /// Manufacturer, model, serial number.
    pub maker: [String; 3],
    /// The reference of the sealing key, random when it was made.
    pub seal: ObjectReference,
    /// Everything that it can do.
    pub operations: Vec<Operation>,
}

/// A key of the token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct TokenKey {
    /// Its reference.
    pub reference: ObjectReference,
    /// What it is.
    pub algorithm: Algorithm,
    /// Its public half.
    pub public: TokenPublic,
}

/// The public half of a key of the token.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub enum TokenPublic {
    /// There is none.
    None,
    /// `CKA_EC_POINT`, as the token gives it.
    Point(Vec<u8>),
    /// The numbers of an RSA key.
    Rsa {
        /// n.
        modulus: Vec<u8>,
        /// e.
        exponent: Vec<u8>,
    },
}

/// Why something is not done.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize, thiserror::Error)]
pub enum Pkcs11Refusal {
    /// The ciphertext does not open.
    #[error("the ciphertext does not open")]
    Ciphertext,
    /// The token is full.
    #[error("the token is full")]
    Full,
    /// The token is locked after too many wrong PINs.
    #[error("the PIN is locked")]
    Locked,
    /// What was given is not what the question needs.
    #[error("the question is malformed")]
    Malformed,
    /// There is no such key.
    #[error("there is no such key")]
    NoSuchKey,
    /// There is no token of this label.
    #[error("there is no token of this label")]
    NoToken,
    /// Nobody has logged in.
    #[error("nobody has logged in")]
    NotLoggedIn,
    /// The PIN is wrong.
    #[error("the PIN is wrong")]
    Pin {
        /// Whether one more wrong PIN locks the token.
        last: bool,
    },
    /// The signature does not verify.
    #[error("the signature does not verify")]
    Signature,
    /// The token is gone.
    #[error("the token is gone: {0}")]
    TokenGone(String),
    /// The module refused with a code of its own.
    #[error("{0}")]
    Token(String),
    /// The token cannot do this.
    #[error("the token cannot do this")]
    Unsupported,
}
