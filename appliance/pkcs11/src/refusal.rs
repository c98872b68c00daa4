//! The module's codes in the wire's words.

use cryptoki::error::{Error, RvError};
use redan_ipc::messages::pkcs11::Pkcs11Refusal;

/// A code that does not depend on what was being done.
#[expect(clippy::needless_pass_by_value, reason = "it is given to map_err as it is")]
pub(crate) fn refusal(error: Error) -> Pkcs11Refusal {
    let Error::Pkcs11(code, _) = &error else {
        return Pkcs11Refusal::Token(error.to_string());
    };
    match code {
        RvError::DeviceRemoved
        | RvError::DeviceError
        | RvError::SessionHandleInvalid
        | RvError::SessionClosed
        | RvError::TokenNotPresent
        | RvError::CryptokiNotInitialized
        | RvError::UserNotLoggedIn => Pkcs11Refusal::TokenGone(error.to_string()),
        RvError::DeviceMemory => Pkcs11Refusal::Full,
        RvError::PinLocked => Pkcs11Refusal::Locked,
        RvError::MechanismInvalid | RvError::FunctionNotSupported => Pkcs11Refusal::Unsupported,
        RvError::SignatureInvalid | RvError::SignatureLenRange => Pkcs11Refusal::Signature,
        _ => Pkcs11Refusal::Token(error.to_string()),
    }
}

/// A code of a decryption. Modules have no common one for "it does not authenticate": some give the general error.
pub(crate) fn opening(error: Error) -> Pkcs11Refusal {
    match &error {
        Error::Pkcs11(
            RvError::DataInvalid
            | RvError::DataLenRange
            | RvError::EncryptedDataInvalid
            | RvError::EncryptedDataLenRange
            | RvError::FunctionFailed
            | RvError::GeneralError,
            _,
        ) => Pkcs11Refusal::Ciphertext,
        _ => refusal(error),
    }
}
