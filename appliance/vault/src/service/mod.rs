//! What the vault does for the other services.
pub mod signer;
