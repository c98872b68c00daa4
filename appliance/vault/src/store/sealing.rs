//! What keeps the store key while the store is closed.
//!
//! In the vault this is the seal (`crate::seal`): a key of its own, which the key device or the recovery opens. A bare device does
//! for a store that is nobody's but a test's, and is how stores of the first version were sealed.

use super::error::StoreError;
use redan_hal::keys::software::SoftwareDevice;
use redan_hal::keys::{DeviceIdentity, KeyDevice, KeyError};
use redan_types::SecretBytes;

/// Seals the store key.
pub trait Sealing: std::fmt::Debug + Send + Sync {
    /// The key device behind it.
    fn identity(&self) -> DeviceIdentity;

    /// Fills `buffer` with random bytes.
    ///
    /// # Errors
    /// The device does not answer.
    fn random(&self, buffer: &mut [u8]) -> Result<(), StoreError>;

    /// Encrypts a key for `context`.
    ///
    /// # Errors
    /// The device does not answer, or a library failed.
    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, StoreError>;

    /// Opens what [`Sealing::seal`] made while the device was `sealed_by`.
    ///
    /// # Errors
    /// [`StoreError::OtherDevice`], or it was altered, or is for another context.
    fn unseal(&self, sealed_by: DeviceIdentity, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, StoreError>;

    /// Whether this was sealed in a form that is not used any more, and should be sealed again.
    fn is_outdated(&self, sealed: &[u8]) -> bool {
        let _ = sealed;
        false
    }
}

/// A device that seals the store key itself.
#[derive(Debug)]
pub struct Direct<'a>(pub &'a dyn KeyDevice);

impl Sealing for Direct<'_> {
    fn identity(&self) -> DeviceIdentity {
        *self.0.identity()
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), StoreError> {
        Ok(self.0.random(buffer)?)
    }

    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, StoreError> {
        Ok(self.0.seal(context, secret)?)
    }

    fn unseal(&self, sealed_by: DeviceIdentity, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, StoreError> {
        let present = self.identity();
        if sealed_by != present {
            return Err(StoreError::OtherDevice { sealed_by, present });
        }
        self.0.unseal(context, sealed).map_err(|error| match error {
            KeyError::OtherDevice { sealed_by, present } => StoreError::OtherDevice { sealed_by, present },
            other => StoreError::Device(other),
        })
    }
}

impl Sealing for SoftwareDevice {
    fn identity(&self) -> DeviceIdentity {
        Direct(self).identity()
    }

    fn random(&self, buffer: &mut [u8]) -> Result<(), StoreError> {
        Sealing::random(&Direct(self), buffer)
    }

    fn seal(&self, context: &[u8], secret: &SecretBytes) -> Result<Vec<u8>, StoreError> {
        Sealing::seal(&Direct(self), context, secret)
    }

    fn unseal(&self, sealed_by: DeviceIdentity, context: &[u8], sealed: &[u8]) -> Result<SecretBytes, StoreError> {
        Sealing::unseal(&Direct(self), sealed_by, context, sealed)
    }
}
