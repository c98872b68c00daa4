//! Users, sessions and API keys, as administrators see and change them.

use redan_types::{RecordId, RoleName, SecretString, Timestamp, UserName};
use serde::{Deserialize, Serialize};

/// A question or change by an administrator; who asks is said beside it, and the vault checks that the actor may.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum AccountRequest {
    /// All users.
    Users,
    /// A new user.
    CreateUser {
        /// Login name.
        name: UserName,
        /// Roles.
        roles: Vec<RoleName>,
        /// First password, to be changed at the first login.
        password: SecretString,
    },
    /// Other roles.
    SetRoles {
        /// Whose.
        name: UserName,
        /// All roles from now on.
        roles: Vec<RoleName>,
    },
    /// Switch a user off (sessions and keys stop working at once) or on.
    SetEnabled {
        /// Whose.
        name: UserName,
        /// On or off.
        enabled: bool,
    },
    /// A new one-time password, which is in the answer; sessions end.
    ResetPassword {
        /// Whose.
        name: UserName,
    },
    /// Sessions that are alive.
    Sessions,
    /// End a session.
    RevokeSession {
        /// Which.
        id: RecordId,
    },
    /// All API keys.
    Keys,
    /// A new API key, which is in the answer and nowhere else.
    CreateKey {
        /// Whose.
        owner: UserName,
        /// What it may do; at most what the owner may.
        roles: Vec<RoleName>,
        /// What for.
        comment: String,
    },
    /// A new secret for a key; the old one works for 24 hours more.
    RotateKey {
        /// Which.
        id: RecordId,
    },
    /// End a key at once.
    RevokeKey {
        /// Which.
        id: RecordId,
    },
}

/// The answer.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub enum AccountReply {
    /// To `Users`.
    Users(Vec<UserRecord>),
    /// To `Sessions`.
    Sessions(Vec<SessionRecord>),
    /// To `Keys`.
    Keys(Vec<KeyRecord>),
    /// Done; a new secret, where there is one.
    Done {
        /// The record that was made or changed, where it has an id.
        id: Option<RecordId>,
        /// Shown once.
        secret: Option<SecretString>,
    },
    /// Refused, and why, for the person who asked.
    Refused(String),
}

/// A user.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct UserRecord {
    /// Login name.
    pub name: UserName,
    /// Roles.
    pub roles: Vec<RoleName>,
    /// Whether the user may log in.
    pub enabled: bool,
    /// Whether the password must be changed at the next login.
    pub must_change: bool,
    /// After too many failures: closed until then to addresses and browsers that the user has not signed in from.
    pub locked_until: Option<Timestamp>,
    /// Made when.
    pub created: Timestamp,
    /// Last login.
    pub last_login: Option<Timestamp>,
}

/// A session.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct SessionRecord {
    /// Its id, which is not its token.
    pub id: RecordId,
    /// Whose.
    pub user: UserName,
    /// What the user may do.
    pub roles: Vec<RoleName>,
    /// Whether the password must be changed before anything else.
    pub must_change: bool,
    /// Made when.
    pub created: Timestamp,
    /// Used last.
    pub used: Timestamp,
    /// Ends when it is not used until then.
    pub idle_until: Timestamp,
    /// Ends then in any case.
    pub until: Timestamp,
    /// From which address.
    pub address: Option<std::net::IpAddr>,
    /// With which agent.
    pub agent: Option<String>,
}

/// An API key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct KeyRecord {
    /// Its id, which is not the key.
    pub id: RecordId,
    /// Whose.
    pub owner: UserName,
    /// What it may do.
    pub roles: Vec<RoleName>,
    /// What for.
    pub comment: String,
    /// Made when.
    pub created: Timestamp,
    /// Works until then.
    pub until: Timestamp,
    /// Where rotated: the secret before works until then.
    pub previous_until: Option<Timestamp>,
    /// Used last (to the minute).
    pub used: Option<Timestamp>,
    /// Ended by an administrator.
    pub revoked: bool,
    /// Whether its owner may act: a key of somebody who is switched off does nothing.
    pub owner_enabled: bool,
}

/// Who presented a valid credential.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Principal {
    /// The key's or session's record.
    pub id: RecordId,
    /// The user behind it.
    pub user: UserName,
    /// What it may do.
    pub roles: Vec<RoleName>,
    /// Valid until then.
    pub until: Timestamp,
}
