//! Users, roles, passwords and sessions.

use std::collections::BTreeMap;
use std::time::Duration;

use redan_types::{RoleName, UserName};

use crate::section::section;

section! {
    /// People, programs and what they may do.
    pub struct Identity or "{users = []}" {
        /// Roles of the operator's own. These always exist: `guest` (everybody); `viewer` and `user` include `guest`; `premium` includes `user`; `developer`
        /// includes `user` and `viewer`; `admin` includes `developer` and `premium`; `service` includes `guest`.
        "roles" => roles: BTreeMap<RoleName, Role> = "{}";
        /// Local users. Passwords are never written here: a new user gets a one-time password.
        "users" => users: Vec<User>;
        /// Rules for passwords.
        "passwords" => passwords: Passwords = "{}";
        /// What happens after wrong passwords.
        "lockout" => lockout: Lockout = "{}";
        /// Sessions at the console.
        "sessions" => sessions: Sessions = "{}";
        /// API keys.
        "api-keys" => api_keys: ApiKeys = "{}";
    }
}

section! {
    /// A role of the operator's own.
    pub struct Role {
        /// Roles whose rights it has too.
        "includes" => includes: Vec<RoleName> = "['guest']";
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// A local user.
    pub struct User {
        /// The login name.
        "name" => name: UserName;
        /// Roles.
        "roles" => roles: Vec<RoleName>;
        /// For people.
        "comment" => comment: Option<String>;
    }
}

section! {
    /// Rules for passwords. Besides these, a password must not be one word with digits, steps on the keyboard, a repetition, or little more than the name of
    /// its user, of a host or of the product.
    pub struct Passwords {
        /// Least number of characters.
        "min-length" => min_length: u16 = "12", "8" ..= "128";
        /// Passwords that nobody may have, in any case, with digits around them or in place of letters.
        "refused" => refused: Vec<String> = "[]";
        /// How many earlier passwords may not be used again.
        "history" => history: u16 = "5", "0" ..= "24";
    }
}

section! {
    /// What happens after wrong passwords. Whoever guesses must wait, longer each time, and nobody else: failures are counted for the address
    /// (an IPv6 client is its /64), or for the browser where it has signed in before. Ten times `failures` from other addresses than those that the user
    /// signs in from close the account to such addresses; those that the user has signed in from in the last 30 days stay open.
    pub struct Lockout {
        /// Wrong passwords from one address for one account until it must wait: a second then, and each time twice as long. Four times as many for all
        /// accounts together.
        "failures" => failures: u16 = "5", "3" ..= "100";
        /// Failures are forgotten this long after the last one.
        "window" => window: Duration = "'15m'", "'1m'" ..= "'1d'";
        /// The longest wait, and how long an account is closed to addresses that its user does not sign in from.
        "duration" => duration: Duration = "'15m'", "'1m'" ..= "'1d'";
    }
}

section! {
    /// Sessions at the console.
    pub struct Sessions {
        /// A session ends after this time without use.
        "idle" => idle: Duration = "'30m'", "'1m'" ..= "'1d'";
        /// A session ends after this time in any case.
        "absolute" => absolute: Duration = "'12h'", "'5m'" ..= "'30d'";
    }
}

section! {
    /// API keys.
    pub struct ApiKeys {
        /// How long a key works, in whole days.
        "lifetime" => lifetime: Duration = "'90d'", "'1d'" ..= "'365d'";
    }
}
