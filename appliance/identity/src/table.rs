//! The compiled form of access rules: a tree of path segments with the roles and methods that each node allows or denies.
//!
//! A decision walks the request's segments once and compares bytes; there is no interpreter, no regular expression and no
//! allocation. The manager compiles the table from Casbin's policy ([`crate::policy`]) and a property test holds the two together.

use crate::path::NormalPath;
use crate::rule::Effect;
use redan_types::{PathPattern, RoleName, Segment, path_segments};
use serde::{Deserialize, Serialize};

/// The most roles in one table: one bit each.
pub const MAX_ROLES: usize = 128;
/// The most methods that one table tells apart: one bit each, and one for all others.
pub const MAX_METHODS: usize = 63;
/// The most nodes of a table.
pub const MAX_NODES: usize = 100_000;

const VERSION: u8 = 1;
const OTHER_METHOD: u64 = 1 << MAX_METHODS;

/// Why a table is not made or not read.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// More than [`MAX_ROLES`].
    #[error("the rules name {0} roles, a table has at most {MAX_ROLES}")]
    Roles(usize),
    /// More than [`MAX_METHODS`].
    #[error("the rules name {0} methods, a table has at most {MAX_METHODS}")]
    Methods(usize),
    /// More than [`MAX_NODES`].
    #[error("the rules make more than {MAX_NODES} path nodes")]
    Nodes,
    /// The bytes are not a table of this version.
    #[error("this is not a decision table: {0}")]
    Bytes(&'static str),
}

/// The roles of a caller as bits of one table. Made once for a caller, and good for that table only.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct RoleSet(u128);

/// A rule with its roles resolved: every role that has the right, not only the one that the rule names.
#[derive(Clone, Debug)]
pub struct ResolvedRule {
    /// Roles to which the rule applies.
    pub roles: Vec<RoleName>,
    /// Which paths.
    pub pattern: PathPattern,
    /// Methods; empty: every method.
    pub methods: Vec<String>,
    /// Allow or deny.
    pub effect: Effect,
}

/// Who may send which method to which path.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct DecisionTable {
    version: u8,
    /// Sorted; a role's place is its bit.
    roles: Vec<RoleName>,
    /// Sorted; a method's place is its bit.
    methods: Vec<String>,
    /// The root is the first; children come after their parents.
    nodes: Vec<Node>,
}

#[derive(Clone, Debug, Default, Deserialize, Eq, PartialEq, Serialize)]
struct Node {
    /// Children by their exact segment, sorted.
    texts: Vec<(String, u32)>,
    /// The child for any segment.
    any: Option<u32>,
    /// Rules whose pattern ends here.
    here: Vec<Grant>,
    /// Rules whose pattern ends here with `**`.
    below: Vec<Grant>,
}

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
struct Grant {
    roles: u128,
    methods: u64,
    allow: bool,
}

impl DecisionTable {
    /// Compiles rules. Without any rule, nothing is allowed.
    ///
    /// # Errors
    /// [`TableError`] where the rules exceed a bound.
    pub fn compile(rules: &[ResolvedRule]) -> Result<Self, TableError> {
        let mut roles: Vec<_> = rules.iter().flat_map(|rule| &rule.roles).cloned().collect();
        roles.sort_unstable();
        roles.dedup();
        let mut methods: Vec<_> = rules.iter().flat_map(|rule| &rule.methods).cloned().collect();
        methods.sort_unstable();
        methods.dedup();
        if roles.len() > MAX_ROLES {
            return Err(TableError::Roles(roles.len()));
        }
        if methods.len() > MAX_METHODS {
            return Err(TableError::Methods(methods.len()));
        }
        let mut table = Self {
            version: VERSION,
            roles,
            methods,
            nodes: vec![Node::default()],
        };
        for rule in rules {
            let all = rule.methods.is_empty();
            let methods = rule
                .methods
                .iter()
                .fold(0, |bits, method| bits | table.method_bit(method));
            let grant = Grant {
                roles: table.roles(&rule.roles).0,
                methods: if all { u64::MAX } else { methods },
                allow: rule.effect == Effect::Allow,
            };
            let mut at = 0;
            for segment in rule.pattern.segments() {
                at = table.child(at, segment)?;
            }
            let Some(node) = table.nodes.get_mut(at) else {
                return Err(TableError::Nodes);
            };
            let grants = if rule.pattern.is_open() {
                &mut node.below
            } else {
                &mut node.here
            };
            if !grants.contains(&grant) {
                grants.push(grant);
            }
        }
        Ok(table)
    }

    /// Reads a table.
    ///
    /// # Errors
    /// [`TableError::Bytes`] where the bytes are not a well-formed table of this version.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TableError> {
        let (table, rest) =
            postcard::take_from_bytes::<Self>(bytes).map_err(|_| TableError::Bytes("it does not decode"))?;
        if !rest.is_empty() {
            return Err(TableError::Bytes("bytes follow it"));
        }
        if table.version != VERSION {
            return Err(TableError::Bytes("it has another version"));
        }
        let sorted = table.roles.is_sorted_by(|a, b| a < b)
            && table.methods.is_sorted_by(|a, b| a < b)
            && table.nodes.iter().all(|node| node.texts.is_sorted_by(|a, b| a.0 < b.0));
        if table.roles.len() > MAX_ROLES || table.methods.len() > MAX_METHODS || !sorted {
            return Err(TableError::Bytes("its lists are not sorted or too long"));
        }
        // Children after their parents: then no walk can go in a circle.
        let ordered = table.nodes.iter().enumerate().all(|(at, node)| {
            let children = node.texts.iter().map(|(_, child)| *child).chain(node.any);
            children
                .into_iter()
                .all(|child| index(child) > at && index(child) < table.nodes.len())
        });
        if table.nodes.is_empty() || table.nodes.len() > MAX_NODES || !ordered {
            return Err(TableError::Bytes("its nodes are not a tree"));
        }
        Ok(table)
    }

    /// The table as bytes.
    ///
    /// # Errors
    /// [`TableError::Bytes`] where it cannot be encoded, which does not happen for a compiled table.
    pub fn to_bytes(&self) -> Result<Vec<u8>, TableError> {
        postcard::to_stdvec(self).map_err(|_| TableError::Bytes("it does not encode"))
    }

    /// The bits of a caller's roles. Roles that no rule mentions have none.
    #[must_use]
    pub fn roles(&self, roles: &[RoleName]) -> RoleSet {
        let bit = |role| self.roles.binary_search(role).map_or(0, |at| 1 << at);
        RoleSet(roles.iter().fold(0, |bits, role| bits | bit(role)))
    }

    /// Whether a caller with these roles may send `method` to `path`, in whichever way a server reads it.
    #[must_use]
    pub fn allows(&self, roles: RoleSet, method: &str, path: &NormalPath<'_>) -> bool {
        path.readings()
            .all(|reading| self.allows_reading(roles, method, reading))
    }

    /// Whether a caller with these roles may send `method` to this one reading of a path.
    #[must_use]
    pub fn allows_reading(&self, roles: RoleSet, method: &str, reading: &str) -> bool {
        let asked = Asked {
            roles: roles.0,
            method: self.method_bit(method),
        };
        // Denied wins, also over an allowance found on another branch.
        reading.starts_with('/') && self.walk(0, path_segments(reading), asked) == Found::Allowed
    }

    fn walk<'a>(&self, at: usize, mut rest: impl Iterator<Item = &'a str> + Clone, asked: Asked) -> Found {
        let Some(node) = self.nodes.get(at) else {
            return Found::Nothing;
        };
        let mut found = asked.of(&node.below);
        let Some(segment) = rest.next() else {
            return found.max(asked.of(&node.here));
        };
        // The number of nodes bounds the walk: each is reached by one path only.
        let text = node.texts.binary_search_by(|(text, _)| text.as_str().cmp(segment)).ok();
        let text = text.and_then(|at| node.texts.get(at)).map(|(_, child)| *child);
        for child in [text, node.any].into_iter().flatten() {
            if found == Found::Denied {
                break;
            }
            found = found.max(self.walk(index(child), rest.clone(), asked));
        }
        found
    }

    fn method_bit(&self, method: &str) -> u64 {
        self.methods
            .iter()
            .position(|known| known == method)
            .map_or(OTHER_METHOD, |at| 1 << at)
    }

    /// The child of a node for a segment, made where there is none.
    fn child(&mut self, at: usize, segment: &Segment) -> Result<usize, TableError> {
        let new = self.nodes.len();
        let number = u32::try_from(new)
            .ok()
            .filter(|_| new < MAX_NODES)
            .ok_or(TableError::Nodes)?;
        let node = self.nodes.get_mut(at).ok_or(TableError::Nodes)?;
        let child = match segment {
            Segment::Any => *node.any.get_or_insert(number),
            Segment::Text(text) => match node.texts.binary_search_by(|(known, _)| known.cmp(text)) {
                Ok(place) => node.texts.get(place).map_or(number, |(_, child)| *child),
                Err(place) => {
                    node.texts.insert(place, (text.clone(), number));
                    number
                }
            },
        };
        if index(child) == new {
            self.nodes.push(Node::default());
        }
        Ok(index(child))
    }
}

#[derive(Clone, Copy)]
struct Asked {
    roles: u128,
    method: u64,
}

impl Asked {
    fn of(self, grants: &[Grant]) -> Found {
        let matching = grants
            .iter()
            .filter(|grant| grant.roles & self.roles != 0 && grant.methods & self.method != 0);
        matching
            .map(|grant| if grant.allow { Found::Allowed } else { Found::Denied })
            .max()
            .unwrap_or(Found::Nothing)
    }
}

/// What rules said so far; the greater wins.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Found {
    Nothing,
    Allowed,
    Denied,
}

/// A node's place. `u32` fits `usize` on every platform that this runs on; elsewhere the place leads nowhere.
fn index(node: u32) -> usize {
    usize::try_from(node).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::{DecisionTable, ResolvedRule, TableError};
    use crate::path::normalise;
    use crate::rule::Effect;
    use proptest::prelude::{any, prop_assert_eq, proptest};
    use redan_types::{PathPattern, RoleName};

    fn role(name: &str) -> RoleName {
        RoleName::parse(name).unwrap()
    }

    fn rule(effect: Effect, roles: &[&str], pattern: &str, methods: &[&str]) -> ResolvedRule {
        ResolvedRule {
            roles: roles.iter().map(|name| role(name)).collect(),
            pattern: PathPattern::parse(pattern).unwrap(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            effect,
        }
    }

    fn table() -> DecisionTable {
        DecisionTable::compile(&[
            rule(Effect::Allow, &["user", "admin"], "/api/**", &["GET", "HEAD"]),
            rule(Effect::Allow, &["admin"], "/api/**", &[]),
            rule(Effect::Allow, &["user"], "/api/*/notes", &["POST"]),
            rule(Effect::Deny, &["user"], "/api/admin/**", &[]),
        ])
        .unwrap()
    }

    fn allows(roles: &[&str], method: &str, path: &str) -> bool {
        let table = table();
        let roles: Vec<_> = roles.iter().map(|name| role(name)).collect();
        table.allows(table.roles(&roles), method, &normalise(path).unwrap())
    }

    #[test]
    fn a_table_decides_by_role_method_and_path() {
        assert!(allows(&["user"], "GET", "/api/x"));
        assert!(!allows(&["user"], "POST", "/api/x"));
        assert!(
            !allows(&["user"], "get", "/api/x"),
            "methods are case-sensitive (RFC 9110 section 9.1)"
        );
        assert!(allows(&["user"], "POST", "/api/7/notes"));
        assert!(allows(&["admin"], "BREW", "/api"));
        assert!(!allows(&[], "GET", "/api"));
        assert!(!allows(&["stranger"], "GET", "/api"));
        assert!(!allows(&["user"], "GET", "/"));
    }

    #[test]
    fn a_denial_wins_over_every_allowance() {
        assert!(!allows(&["user"], "GET", "/api/admin/x"));
        assert!(!allows(&["user"], "POST", "/api/admin/notes"));
        assert!(!allows(&["user", "admin"], "GET", "/api/admin"));
        assert!(allows(&["admin"], "GET", "/api/admin"));
    }

    #[test]
    fn a_parametrised_path_is_allowed_only_in_both_readings() {
        assert!(allows(&["user"], "GET", "/api/x;v=1"));
        assert!(!allows(&["user"], "GET", "/api/admin;v=1/x"));
        assert!(!allows(&["user"], "GET", "/api;v=1/x"));
    }

    #[test]
    fn an_empty_table_allows_nothing() {
        let table = DecisionTable::compile(&[]).unwrap();
        assert!(!table.allows_reading(table.roles(&[role("admin")]), "GET", "/"));
    }

    #[test]
    fn a_table_reads_what_it_writes_and_nothing_else() {
        let bytes = table().to_bytes().unwrap();
        assert_eq!(DecisionTable::from_bytes(&bytes).unwrap(), table());
        assert!(DecisionTable::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        assert!(DecisionTable::from_bytes(&[&bytes[..], &[0]].concat()).is_err());
        assert!(DecisionTable::from_bytes(&[]).is_err());
        let mut other = table();
        other.version = 2;
        assert_eq!(
            DecisionTable::from_bytes(&other.to_bytes().unwrap()),
            Err(TableError::Bytes("it has another version"))
        );
        let mut circle = table();
        circle.nodes[1].any = Some(0);
        assert!(DecisionTable::from_bytes(&circle.to_bytes().unwrap()).is_err());
    }

    #[test]
    fn bounds_are_kept() {
        let roles: Vec<_> = (0..129).map(|n| format!("r{n}")).collect();
        let roles: Vec<_> = roles.iter().map(String::as_str).collect();
        let many = rule(Effect::Allow, &roles, "/", &[]);
        assert_eq!(DecisionTable::compile(&[many]), Err(TableError::Roles(129)));
        let methods: Vec<_> = (0..64).map(|n| format!("M{n}")).collect();
        let methods: Vec<_> = methods.iter().map(String::as_str).collect();
        let many = rule(Effect::Allow, &["a"], "/", &methods);
        assert_eq!(DecisionTable::compile(&[many]), Err(TableError::Methods(64)));
    }

    proptest! {
        #[test]
        fn bytes_that_are_read_never_panic_and_read_back(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if let Ok(table) = DecisionTable::from_bytes(&bytes) {
                let again = DecisionTable::from_bytes(&table.to_bytes().unwrap()).unwrap();
                prop_assert_eq!(again, table);
            }
        }
    }
}
