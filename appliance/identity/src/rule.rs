//! Access rules as they are written down. The patterns in them are [`redan_types::PathPattern`].

use redan_types::{PathPattern, RoleName};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// What a rule does.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
pub enum Effect {
    /// Lets matching requests pass, unless another rule denies them.
    Allow,
    /// Refuses matching requests, whatever other rules say.
    Deny,
}

impl Effect {
    /// The effect as Casbin spells it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        }
    }
}

/// One rule: what one role, and every role that includes it, may or may not send.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct Rule {
    /// The role.
    pub role: RoleName,
    /// Which paths.
    pub pattern: PathPattern,
    /// Methods, spelt exactly; empty: every method.
    pub methods: BTreeSet<String>,
    /// Allow or deny.
    pub effect: Effect,
}

/// Roles and the roles whose rights they have too.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Hierarchy(BTreeMap<RoleName, BTreeSet<RoleName>>);

impl Hierarchy {
    /// From pairs of a role and what it includes, directly or at all. What is included by an included role is included too; a role
    /// includes itself.
    #[must_use]
    pub fn new(roles: impl IntoIterator<Item = (RoleName, Vec<RoleName>)>) -> Self {
        let mut all: BTreeMap<RoleName, BTreeSet<RoleName>> = BTreeMap::new();
        for (role, includes) in roles {
            for included in &includes {
                all.entry(included.clone()).or_default().insert(included.clone());
            }
            let set = all.entry(role.clone()).or_default();
            set.insert(role);
            set.extend(includes);
        }
        // Each round adds what the included roles include; a circle ends because sets only grow.
        loop {
            let grown: BTreeMap<_, BTreeSet<_>> = all
                .iter()
                .map(|(role, set)| {
                    let more = set.iter().filter_map(|included| all.get(included)).flatten().cloned();
                    (role.clone(), set.iter().cloned().chain(more).collect())
                })
                .collect();
            if grown == all {
                return Self(all);
            }
            all = grown;
        }
    }

    /// Every role with all that it includes, itself among them.
    pub fn roles(&self) -> impl Iterator<Item = (&RoleName, &BTreeSet<RoleName>)> {
        self.0.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::Hierarchy;
    use redan_types::RoleName;

    fn role(name: &str) -> RoleName {
        RoleName::parse(name).unwrap()
    }

    #[test]
    fn inclusion_goes_on_through_included_roles_and_ends_in_circles() {
        let hierarchy = Hierarchy::new([
            (role("a"), vec![role("b")]),
            (role("b"), vec![role("c")]),
            (role("c"), vec![role("a"), role("d")]),
        ]);
        let of = |name| hierarchy.roles().find(|(r, _)| **r == role(name)).unwrap().1.len();
        assert_eq!((of("a"), of("b"), of("c"), of("d")), (4, 4, 4, 1));
    }
}
