//! Roles, users and their sessions.

use redan_types::RoleName;

use crate::duration::duration_text;
use crate::mistake::{Kind, Mistake};
use crate::resolve::BUILT_IN_ROLES;
use crate::section::at;

use super::Check;

/// The most roles of an operator's own: they are walked in every direction.
const ROLES: usize = 256;

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
        for (name, role) in &identity.roles {
            let path = at!["identity", "roles", name];
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
                if self.leads_to(included, name) {
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

    /// Whether `role` is `target` or includes it over any number of steps.
    fn leads_to(&self, role: &RoleName, target: &RoleName) -> bool {
        let mut seen = std::collections::BTreeSet::new();
        let mut open = vec![role];
        while let Some(role) = open.pop() {
            if role == target {
                return true;
            }
            if seen.insert(role) {
                open.extend(
                    self.appliance
                        .identity
                        .roles
                        .get(role)
                        .into_iter()
                        .flat_map(|role| &role.includes),
                );
            }
        }
        false
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
