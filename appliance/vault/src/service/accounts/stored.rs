//! The forms in which the rules of the running configuration were and are stored. What is stored is a form of its own: the messages
//! between services change more freely than what lies on disks.

use super::RULES;
use crate::service::VaultError;
use crate::service::change::{Change, decode};
use crate::store::Tree;
use redan_ipc::slice::VaultSlice;
use redan_types::{RoleName, UserName};
use serde::{Deserialize, Serialize};

/// The version that is written.
const VERSION: u8 = 2;

/// As version 1 had it, without names and refused passwords.
#[derive(Deserialize, Serialize)]
struct Rules1 {
    password_length: u16,
    password_history: u16,
    lockout_failures: u16,
    lockout_window: u32,
    lockout_duration: u32,
    session_idle: u32,
    session_absolute: u32,
    key_days: u16,
    roles: Vec<(RoleName, Vec<RoleName>)>,
    users: Vec<(UserName, Vec<RoleName>)>,
}

impl From<Rules1> for VaultSlice {
    fn from(old: Rules1) -> Self {
        Self {
            password_length: old.password_length,
            password_history: old.password_history,
            password_names: Vec::new(),
            password_refused: Vec::new(),
            tls12: Vec::new(),
            keys: Vec::new(),
            lockout_failures: old.lockout_failures,
            lockout_window: old.lockout_window,
            lockout_duration: old.lockout_duration,
            session_idle: old.session_idle,
            session_absolute: old.session_absolute,
            key_days: old.key_days,
            roles: old.roles,
            users: old.users,
        }
    }
}

/// As version 2 has it.
#[derive(Deserialize, Serialize)]
struct Rules2 {
    password_length: u16,
    password_history: u16,
    password_names: Vec<String>,
    password_refused: Vec<String>,
    lockout_failures: u16,
    lockout_window: u32,
    lockout_duration: u32,
    session_idle: u32,
    session_absolute: u32,
    key_days: u16,
    roles: Vec<(RoleName, Vec<RoleName>)>,
    users: Vec<(UserName, Vec<RoleName>)>,
}

impl From<&VaultSlice> for Rules2 {
    fn from(slice: &VaultSlice) -> Self {
        let slice = slice.clone();
        Self {
            password_length: slice.password_length,
            password_history: slice.password_history,
            password_names: slice.password_names,
            password_refused: slice.password_refused,
            lockout_failures: slice.lockout_failures,
            lockout_window: slice.lockout_window,
            lockout_duration: slice.lockout_duration,
            session_idle: slice.session_idle,
            session_absolute: slice.session_absolute,
            key_days: slice.key_days,
            roles: slice.roles,
            users: slice.users,
        }
    }
}

impl From<Rules2> for VaultSlice {
    fn from(stored: Rules2) -> Self {
        Self {
            password_length: stored.password_length,
            password_history: stored.password_history,
            password_names: stored.password_names,
            password_refused: stored.password_refused,
            lockout_failures: stored.lockout_failures,
            lockout_window: stored.lockout_window,
            lockout_duration: stored.lockout_duration,
            session_idle: stored.session_idle,
            session_absolute: stored.session_absolute,
            key_days: stored.key_days,
            roles: stored.roles,
            users: stored.users,
            // Not a rule for identities: it comes with the configuration, after the start.
            tls12: Vec::new(),
            keys: Vec::new(),
        }
    }
}

/// The change that stores the rules.
pub(super) fn rules(slice: &VaultSlice) -> Result<Change, VaultError> {
    Change::put(Tree::State, RULES, VERSION, &Rules2::from(slice))
}

/// Reads rules of this version or the one before.
pub(super) fn read_rules(bytes: &[u8]) -> Result<VaultSlice, VaultError> {
    if bytes.first() == Some(&1) {
        return Ok(decode::<Rules1>(1, bytes)?.into());
    }
    decode::<Rules2>(VERSION, bytes).map(Into::into)
}

/// The change that version 1 would have made.
#[cfg(test)]
pub(super) fn rules_1(slice: &VaultSlice) -> Change {
    let slice = slice.clone();
    let old = Rules1 {
        password_length: slice.password_length,
        password_history: slice.password_history,
        lockout_failures: slice.lockout_failures,
        lockout_window: slice.lockout_window,
        lockout_duration: slice.lockout_duration,
        session_idle: slice.session_idle,
        session_absolute: slice.session_absolute,
        key_days: slice.key_days,
        roles: slice.roles,
        users: slice.users,
    };
    Change::put(Tree::State, RULES, 1, &old).unwrap()
}
