//! What the services store: changes of records, and the form of their values.

use super::VaultError;
use crate::store::{Batch, Name, Tree};
use serde::{Serialize, de::DeserializeOwned};
use zeroize::Zeroizing;

/// A record's name, owned.
#[derive(Clone, Debug)]
pub(crate) enum Key {
    Secret(Vec<u8>),
    Number(u64),
}

impl Key {
    pub(crate) fn name(&self) -> Name<'_> {
        match self {
            Self::Secret(name) => Name::Secret(name),
            Self::Number(number) => Name::Number(*number),
        }
    }
}

/// A change that waits to be made together with the audit entry about it.
#[derive(Debug)]
pub(crate) enum Change {
    Put(Tree, Key, Zeroizing<Vec<u8>>),
    Delete(Tree, Key),
}

impl Change {
    /// Puts `value` in the form of `version`.
    pub(crate) fn put<T: Serialize>(tree: Tree, name: &[u8], version: u8, value: &T) -> Result<Self, VaultError> {
        Ok(Self::Put(tree, Key::Secret(name.to_vec()), encode(version, value)?))
    }

    pub(crate) fn delete(tree: Tree, name: &[u8]) -> Self {
        Self::Delete(tree, Key::Secret(name.to_vec()))
    }

    /// Bytes that it takes in a group, roughly.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Self::Put(_, _, value) => value.len() + 256,
            Self::Delete(..) => 64,
        }
    }

    pub(crate) fn add_to(&self, batch: &mut Batch<'_>) -> Result<(), VaultError> {
        match self {
            Self::Put(tree, key, value) => batch.put(*tree, key.name(), value)?,
            Self::Delete(tree, key) => batch.delete(*tree, key.name())?,
        }
        Ok(())
    }
}

/// A value's stored form: its version, then postcard. A change of a type that is stored is a new version, and the old one stays
/// readable.
pub(crate) fn encode<T: Serialize>(version: u8, value: &T) -> Result<Zeroizing<Vec<u8>>, VaultError> {
    let body = Zeroizing::new(postcard::to_stdvec(value).map_err(|_| VaultError::Form("a value cannot be encoded"))?);
    let mut bytes = Zeroizing::new(Vec::with_capacity(body.len() + 1));
    bytes.push(version);
    bytes.extend_from_slice(&body);
    Ok(bytes)
}

/// Reads a value stored with `version`.
pub(crate) fn decode<T: DeserializeOwned>(version: u8, bytes: &[u8]) -> Result<T, VaultError> {
    match bytes.split_first() {
        Some((found, body)) if *found == version => {
            postcard::from_bytes(body).map_err(|_| VaultError::Form("a stored value does not parse"))
        }
        Some(_) => Err(VaultError::Form(
            "a stored value has a version that this program does not know",
        )),
        None => Err(VaultError::Form("a stored value is empty")),
    }
}
