//! Roles, users and their sessions.

use std::collections::BTreeMap;

use redan_types::RoleName;

use crate::duration::duration_text;
use crate::identity::Role;
use crate::mistake::{Kind, Mistake};
use crate::resolve::BUILT_IN_ROLES;
use crate::section::at;

use super::Check;

/// The most roles of an operator's own: they are walked in every direction.
const ROLES: usize = 256;
/// The most roles that one role includes.
const INCLUDES: usize = 32;

impl Check<'_> {
    /// Roles exist and do not include themselves; somebody can administer the appliance.
    pub(super) fn identity(&mut self) {
        let appliance = self.appliance;
        let identity = &appliance.identity;
        let before = self.errors.len();
        if identity.roles.len() > ROLES {
            let message = format!("{} roles, at most {ROLES} are allowed", identity.roles.len());
            let mistake = self.key(Kind::Range, &at!["identity", "roles"], message);
            self.errors.push(mistake);
            return;
        }
        let reach = Reach::of(&identity.roles);
        for (name, role) in &identity.roles {
            let path = at!["identity", "roles", name];
            if role.includes.len() > INCLUDES {
                let mistake = self.value(
                    Kind::Range,
                    &at![path, "includes"],
                    format!("{} roles, at most {INCLUDES} are allowed", role.includes.len()),
                );
                self.errors.push(mistake);
                continue;
            }
            if BUILT_IN_ROLES.iter().any(|(built_in, ..)| *built_in == name.as_str()) {
                let mistake = self
                    .key(
                        Kind::Conflict,
                        &path,
                        format!("the role {name} is built in and cannot be changed"),
                    )
                    .label("always exists")
                    .help(Some("define a role of another name that includes it".to_owned()));
                self.errors.push(mistake);
            }
            for (index, included) in role.includes.iter().enumerate() {
                self.role(&at![path, "includes", index], included);
                if included == name || reach.leads(included, name) {
                    let mistake = self
                        .value(
                            Kind::Conflict,
                            &at![path, "includes", index],
                            format!("the role {name} includes itself"),
                        )
                        .label(format!("{included} leads back to {name}"))
                        .help(Some("roles must not include one another in a circle".to_owned()));
                    self.errors.push(mistake);
                }
            }
        }
        for (index, user) in identity.users.iter().enumerate() {
            let path = at!["identity", "users", index];
            if let Some(before) = identity
                .users
                .iter()
                .take(index)
                .position(|other| other.name == user.name)
            {
                let related = self.reader.place(&at!["identity", "users", before, "name"]).value;
                let mistake = self
                    .value(
                        Kind::Conflict,
                        &at![path, "name"],
                        format!("two users are called {}", user.name),
                    )
                    .label("the second one")
                    .related(related, "the first one");
                self.errors.push(mistake);
            }
            self.filled(
                &at![path, "roles"],
                &user.roles,
                format!("user {} has no role", user.name),
                "for instance [\"viewer\"]",
            );
            self.duplicates(&at![path, "roles"], "role", &user.roles);
            for (at, role) in user.roles.iter().enumerate() {
                self.role(&at![path, "roles", at], role);
            }
        }
        self.times();
        // A misspelt role is one mistake, not two.
        if self.errors.len() == before {
            self.administrator();
        }
    }

    pub(super) fn knows_role(&self, role: &RoleName) -> bool {
        BUILT_IN_ROLES.iter().any(|(name, ..)| *name == role.as_str())
            || self.reader.holds(&at!["identity", "roles", role])
    }

    pub(super) fn role(&mut self, path: &str, role: &RoleName) {
        if !self.knows_role(role) {
            let mistake = self.role_mistake(path, role);
            self.errors.push(mistake);
        }
    }

    pub(super) fn role_mistake(&self, path: &str, role: &RoleName) -> Mistake {
        let mut known: Vec<&str> = BUILT_IN_ROLES.iter().map(|(name, ..)| *name).collect();
        let section = at!["identity", "roles"];
        known.extend(self.reader.names(&section));
        self.dangling(path, "role", role.as_str(), &known)
    }

    fn times(&mut self) {
        let identity = &self.appliance.identity;
        let (idle, absolute) = (identity.sessions.idle, identity.sessions.absolute);
        if idle > absolute {
            let mistake = self
                .value(
                    Kind::Value,
                    &at!["identity", "sessions", "idle"],
                    format!(
                        "`idle` of {} is longer than `absolute` of {}",
                        duration_text(idle),
                        duration_text(absolute)
                    ),
                )
                .label("would never take effect")
                .help(Some(format!("give at most {}", duration_text(absolute))));
            self.errors.push(mistake);
        }
        if !identity.api_keys.lifetime.as_secs().is_multiple_of(86_400) {
            let mistake = self
                .value(
                    Kind::Value,
                    &at!["identity", "api-keys", "lifetime"],
                    "the lifetime of API keys is counted in whole days",
                )
                .label("not whole days")
                .help(Some("for instance \"90d\"".to_owned()));
            self.errors.push(mistake);
        }
        let limits = &self.appliance.limits;
        if limits.connections_per_source > limits.connections {
            let mistake = self
                .value(
                    Kind::Value,
                    &at!["limits", "connections-per-source"],
                    format!(
                        "one address may open more connections than all together ({})",
                        limits.connections
                    ),
                )
                .label("would never take effect");
            self.errors.push(mistake);
        }
    }

    fn administrator(&mut self) {
        let roles = self.appliance.roles();
        let is_admin = |role: &RoleName| {
            roles
                .get(role)
                .is_some_and(|includes| includes.iter().any(|included| included.as_str() == "admin"))
        };
        let found = self
            .appliance
            .identity
            .users
            .iter()
            .any(|user| user.roles.iter().any(is_admin));
        if !found && self.sound("identity") {
            let mistake = self
                .value(
                    Kind::LockedOut,
                    &at!["identity", "users"],
                    "nobody could administer the appliance",
                )
                .label("no user has the role `admin`")
                .help(Some(
                    "add a user: [[identity.users]] with name = \"admin\", roles = [\"admin\"]".to_owned(),
                ));
            self.errors.push(mistake);
        }
    }
}

/// Which role of the document leads to which, over any number of steps.
struct Reach<'a> {
    number: BTreeMap<&'a RoleName, usize>,
    /// A bit for each role that a role leads to.
    leads: Vec<[u128; ROLES / 128]>,
}

impl<'a> Reach<'a> {
    fn of(roles: &'a BTreeMap<RoleName, Role>) -> Self {
        let number: BTreeMap<_, _> = roles.keys().enumerate().map(|(number, name)| (name, number)).collect();
        let mut leads: Vec<_> = roles
            .values()
            .map(|role| {
                let mut bits = [0; ROLES / 128];
                for included in role.includes.iter().filter_map(|included| number.get(included)) {
                    set(&mut bits, *included);
                }
                bits
            })
            .collect();
        // Warshall's closure: over one more role in between each time.
        for between in 0..leads.len() {
            let Some(further) = leads.get(between).copied() else {
                break;
            };
            for bits in &mut leads {
                if holds(bits, between) {
                    bits.iter_mut().zip(further).for_each(|(to, from)| *to |= from);
                }
            }
        }
        Self { number, leads }
    }

    fn leads(&self, from: &RoleName, to: &RoleName) -> bool {
        let (Some(from), Some(to)) = (self.number.get(from), self.number.get(to)) else {
            return false;
        };
        self.leads.get(*from).is_some_and(|bits| holds(bits, *to))
    }
}

fn set(bits: &mut [u128], place: usize) {
    if let Some(word) = bits.get_mut(place / 128) {
        *word |= 1 << (place % 128);
    }
}

fn holds(bits: &[u128], place: usize) -> bool {
    bits.get(place / 128).is_some_and(|word| word >> (place % 128) & 1 == 1)
}
