//! Keys that applications use through the vault.

use std::collections::BTreeMap;
use std::time::Duration;

use redan_types::{KeyName, RoleName};

use crate::scalar::KeyKind;
use crate::section::section;
use crate::service::Rate;

section! {
    /// Secrets that the vault keeps for applications.
    pub struct Secrets {
        /// Keys that applications use without having them: the whole table of who may do what with which key.
        "keys" => keys: BTreeMap<KeyName, TransitKey> = "{}";
    }
}

section! {
    /// A key that applications use without having it. It is made when it first stands here; one that is taken out can be used by nobody and is kept.
    pub struct TransitKey or "{kind = 'aes256'}" {
        /// What it does. Never changes.
        "kind" => kind: KeyKind;
        /// Whether the same plaintext and context give the same ciphertext, so that an encrypted column can be searched for equality. Whoever sees two
        /// ciphertexts then knows whether the values are equal. Never changes.
        "convergent" => convergent: bool = "false";
        /// Roles that may encrypt, encrypt anew with the newest version, and make data keys.
        "encrypt" => encrypt: Vec<RoleName> = "[]";
        /// Roles that may decrypt; with `encrypt`, they see new data keys too.
        "decrypt" => decrypt: Vec<RoleName> = "[]";
        /// Roles that may sign, or authenticate with a key of kind `hmac`.
        "sign" => sign: Vec<RoleName> = "[]";
        /// Roles that may verify.
        "verify" => verify: Vec<RoleName> = "[]";
        /// Roles that may make new versions of the key and destroy old ones.
        "manage" => manage: Vec<RoleName> = "['admin']";
        /// Items a minute for each caller.
        "rate" => rate: Rate = "6000";
        /// A new version is made by itself when the newest is this old: an hour at least.
        "rotate-every" => rotate_every: Option<Duration>;
    }
}
