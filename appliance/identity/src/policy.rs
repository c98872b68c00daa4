//! Casbin: where access rules are written in its terms, explained, and compiled into decision tables.
//!
//! The model is role-based with deny overriding (PERM: a request is subject, path, method). Roles that include others stand as `g`
//! lines with everything they include, directly or not, because Casbin follows only ten levels. Casbin is an interpreter and costs
//! some 145 µs a decision; it runs in the manager at commits and for questions of people, never in the data path.

use crate::rule::{Effect, Hierarchy, Rule};
use crate::table::{DecisionTable, ResolvedRule, TableError};
use casbin::function_map::OperatorFunction;
use casbin::rhai::Dynamic;
use casbin::{CoreApi, DefaultModel, Enforcer, MgmtApi, StringAdapter};
use redan_types::{PathPattern, RoleName};
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

/// The model in Casbin's own notation.
pub const MODEL: &str = "\
[request_definition]
r = sub, obj, act

[policy_definition]
p = sub, obj, act, eft

[role_definition]
g = _, _

[policy_effect]
e = some(where (p.eft == allow)) && !some(where (p.eft == deny))

[matchers]
m = g(r.sub, p.sub) && pathMatches(r.obj, p.obj) && methodMatches(r.act, p.act)
";

/// The most rules of one policy.
pub const MAX_RULES: usize = 10_000;

const ANY_METHOD: &str = "*";
/// The caller in questions: no role can have this name, so no rule can name it.
const CALLER: &str = "caller:";

/// Why a policy is not made or does not answer.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PolicyError {
    /// Casbin refuses.
    #[error("Casbin refuses the policy")]
    Casbin(#[source] casbin::Error),
    /// Casbin waits for something, which it does not do for a policy in memory.
    #[error("Casbin did not load the policy at once")]
    Waits,
    /// A method in a rule holds other characters than a method can.
    #[error("{0:?} is not a method")]
    Method(String),
    /// More than [`MAX_RULES`].
    #[error("the policy has {0} rules, at most {MAX_RULES} are allowed")]
    TooMany(usize),
    /// Casbin's policy reads back differently than it was written.
    #[error("Casbin reads the rule {0:?} differently than it was written")]
    ReadBack(String),
    /// The rules exceed a bound of decision tables.
    #[error(transparent)]
    Table(#[from] TableError),
}

/// A loaded policy.
pub struct Policy {
    enforcer: Enforcer,
    hierarchy: Hierarchy,
    text: String,
}

/// A decision with its reasons.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Explanation {
    /// Whether the request is allowed.
    pub allowed: bool,
    /// The rules that match, as Casbin holds them: where any denies, these decide; else the allowing ones; none means refused.
    pub rules: Vec<Rule>,
}

impl Policy {
    /// Loads rules into Casbin.
    ///
    /// # Errors
    /// [`PolicyError`] where a rule cannot be expressed or Casbin refuses.
    pub fn new(hierarchy: Hierarchy, rules: &[Rule]) -> Result<Self, PolicyError> {
        if rules.len() > MAX_RULES {
            return Err(PolicyError::TooMany(rules.len()));
        }
        let text = policy_text(&hierarchy, rules)?;
        let load = async {
            let model = DefaultModel::from_str(MODEL).await?;
            let mut enforcer = Enforcer::new(model, StringAdapter::new(&text)).await?;
            enforcer.add_function("pathMatches", OperatorFunction::Arg2(path_matches));
            enforcer.add_function("methodMatches", OperatorFunction::Arg2(method_matches));
            Ok(enforcer)
        };
        let enforcer = at_once(load)?.map_err(PolicyError::Casbin)?;
        let policy = Self {
            enforcer,
            hierarchy,
            text,
        };
        let mut loaded = policy.rules()?;
        let mut written = rules.to_vec();
        for list in [&mut loaded, &mut written] {
            list.sort_unstable();
            list.dedup();
        }
        match written.iter().zip(loaded.iter()).find(|(a, b)| a != b) {
            Some((rule, _)) => Err(PolicyError::ReadBack(rule_line(rule))),
            None if written.len() != loaded.len() => Err(PolicyError::ReadBack(format!("{} rules", written.len()))),
            None => Ok(policy),
        }
    }

    /// The policy in Casbin's notation, for people and for other tools.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether Casbin lets a caller with these roles send `method` to `path` (one reading of it).
    ///
    /// # Errors
    /// [`PolicyError::Casbin`] where evaluation fails; the request is then to be refused.
    pub fn enforce(&mut self, roles: &[RoleName], method: &str, path: &str) -> Result<bool, PolicyError> {
        // A caller of several roles is a subject that has them all for the time of the question.
        let manager = self.enforcer.get_role_manager();
        for role in roles {
            manager.write().add_link(CALLER, role.as_str(), None);
        }
        let answer = self
            .enforcer
            .enforce((CALLER, path, method))
            .map_err(PolicyError::Casbin);
        for role in roles.iter().collect::<BTreeSet<_>>() {
            manager
                .write()
                .delete_link(CALLER, role.as_str(), None)
                .map_err(PolicyError::Casbin)?;
        }
        answer
    }

    /// The decision with the rules that match.
    ///
    /// # Errors
    /// As [`Self::enforce`].
    pub fn explain(&mut self, roles: &[RoleName], method: &str, path: &str) -> Result<Explanation, PolicyError> {
        let allowed = self.enforce(roles, method, path)?;
        let matches = |rule: &Rule| {
            rule.pattern.matches(path)
                && (rule.methods.is_empty() || rule.methods.contains(method))
                && roles.iter().any(|role| self.has(role, &rule.role))
        };
        let rules = self.rules()?.into_iter().filter(matches).collect();
        Ok(Explanation { allowed, rules })
    }

    /// Compiles what Casbin holds into a table that decides the same.
    ///
    /// # Errors
    /// [`PolicyError::Table`] where the rules exceed a table's bounds.
    pub fn compile(&self) -> Result<DecisionTable, PolicyError> {
        let resolve = |rule: Rule| {
            let holders = self
                .hierarchy
                .roles()
                .map(|(role, _)| role)
                .filter(|role| self.has(role, &rule.role));
            let mut roles: BTreeSet<_> = holders.cloned().collect();
            roles.insert(rule.role);
            ResolvedRule {
                roles: roles.into_iter().collect(),
                pattern: rule.pattern,
                methods: rule.methods.into_iter().collect(),
                effect: rule.effect,
            }
        };
        let rules: Vec<_> = self.rules()?.into_iter().map(resolve).collect();
        Ok(DecisionTable::compile(&rules)?)
    }

    /// Whether Casbin's role manager says that `role` has the rights of `other`.
    fn has(&self, role: &RoleName, other: &RoleName) -> bool {
        self.enforcer
            .get_role_manager()
            .read()
            .has_link(role.as_str(), other.as_str(), None)
    }

    /// The rules as Casbin holds them.
    fn rules(&self) -> Result<Vec<Rule>, PolicyError> {
        self.enforcer
            .get_policy()
            .iter()
            .map(|values| parse_rule(values))
            .collect()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Policy({} lines)", self.text.lines().count())
    }
}

fn policy_text(hierarchy: &Hierarchy, rules: &[Rule]) -> Result<String, PolicyError> {
    let mut text = String::new();
    for (role, included) in hierarchy.roles() {
        for other in included.iter().filter(|other| *other != role) {
            // Writing to a string does not fail.
            let _ = writeln!(text, "g, {role}, {other}");
        }
    }
    for rule in rules {
        // RFC 9110 section 5.6.2 allows '|' and '*' in a method; here they separate methods and stand for all.
        let good = |method: &String| {
            method
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        };
        if let Some(method) = rule.methods.iter().find(|method| method.is_empty() || !good(method)) {
            return Err(PolicyError::Method(method.clone()));
        }
        let _ = writeln!(text, "{}", rule_line(rule));
    }
    Ok(text)
}

fn rule_line(rule: &Rule) -> String {
    let methods: Vec<_> = rule.methods.iter().map(String::as_str).collect();
    let methods = if methods.is_empty() {
        ANY_METHOD.to_owned()
    } else {
        methods.join("|")
    };
    // Quoted, because a pattern may hold a comma; it cannot hold a quote.
    format!(
        "p, {}, \"{}\", {methods}, {}",
        rule.role,
        rule.pattern,
        rule.effect.name()
    )
}

fn parse_rule(values: &[String]) -> Result<Rule, PolicyError> {
    let wrong = || PolicyError::ReadBack(values.join(", "));
    let [role, pattern, methods, effect] = values else {
        return Err(wrong());
    };
    let methods = if methods == ANY_METHOD {
        BTreeSet::new()
    } else {
        methods.split('|').map(str::to_owned).collect()
    };
    let effect = match effect.as_str() {
        "allow" => Effect::Allow,
        "deny" => Effect::Deny,
        _ => return Err(wrong()),
    };
    Ok(Rule {
        role: RoleName::parse(role).map_err(|_| wrong())?,
        pattern: PathPattern::parse(pattern).map_err(|_| wrong())?,
        methods,
        effect,
    })
}

/// `pathMatches` of the model. By value because Casbin's function type says so.
#[expect(clippy::needless_pass_by_value, reason = "the signature of Casbin's functions")]
fn path_matches(path: Dynamic, pattern: Dynamic) -> Dynamic {
    let (path, pattern) = (path.to_string(), pattern.to_string());
    // A pattern that does not parse was not loaded by us and matches nothing.
    (path.starts_with('/') && PathPattern::parse(&pattern).is_ok_and(|pattern| pattern.matches(&path))).into()
}

/// `methodMatches` of the model.
#[expect(clippy::needless_pass_by_value, reason = "the signature of Casbin's functions")]
fn method_matches(method: Dynamic, methods: Dynamic) -> Dynamic {
    let (method, methods) = (method.to_string(), methods.to_string());
    (methods == ANY_METHOD || methods.split('|').any(|known| known == method)).into()
}

/// Runs a future that has nothing to wait for. Casbin's interface is asynchronous for the sake of adapters that read databases.
fn at_once<T>(future: impl Future<Output = T>) -> Result<T, PolicyError> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Ok(value),
        Poll::Pending => Err(PolicyError::Waits),
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, PolicyError};
    use crate::rule::{Effect, Hierarchy, Rule};
    use proptest::prelude::{Just, Strategy, prop_assert_eq, prop_oneof, proptest};
    use proptest::test_runner::Config;
    use redan_types::{PathPattern, RoleName};

    fn role(name: &str) -> RoleName {
        RoleName::parse(name).unwrap()
    }

    fn rule(effect: Effect, name: &str, pattern: &str, methods: &[&str]) -> Rule {
        Rule {
            role: role(name),
            pattern: PathPattern::parse(pattern).unwrap(),
            methods: methods.iter().map(|method| (*method).to_owned()).collect(),
            effect,
        }
    }

    fn hierarchy() -> Hierarchy {
        Hierarchy::new([
            (role("admin"), vec![role("developer")]),
            (role("developer"), vec![role("user")]),
            (role("user"), vec![role("guest")]),
        ])
    }

    #[test]
    fn a_role_has_the_rights_of_those_it_includes() {
        let mut policy = Policy::new(hierarchy(), &[rule(Effect::Allow, "user", "/api/**", &["GET"])]).unwrap();
        assert!(policy.enforce(&[role("admin")], "GET", "/api/x").unwrap());
        assert!(!policy.enforce(&[role("guest")], "GET", "/api/x").unwrap());
        assert!(!policy.enforce(&[], "GET", "/api/x").unwrap());
        assert!(!policy.enforce(&[role("admin")], "POST", "/api/x").unwrap());
    }

    #[test]
    fn the_caller_of_one_question_leaves_nothing_to_the_next() {
        let mut policy = Policy::new(hierarchy(), &[rule(Effect::Allow, "user", "/", &[])]).unwrap();
        assert!(policy.enforce(&[role("user"), role("user")], "GET", "/").unwrap());
        assert!(!policy.enforce(&[role("guest")], "GET", "/").unwrap());
    }

    #[test]
    fn an_explanation_names_the_rules_that_match() {
        let rules = [
            rule(Effect::Allow, "user", "/api/**", &["GET"]),
            rule(Effect::Deny, "guest", "/api/secret/*", &[]),
            rule(Effect::Allow, "admin", "/other", &[]),
        ];
        let mut policy = Policy::new(hierarchy(), &rules).unwrap();
        let explanation = policy.explain(&[role("admin")], "GET", "/api/secret/x").unwrap();
        assert!(!explanation.allowed);
        assert_eq!(explanation.rules, rules[..2]);
        let explanation = policy.explain(&[role("admin")], "GET", "/api/x").unwrap();
        assert!(explanation.allowed);
        assert_eq!(explanation.rules, rules[..1]);
    }

    #[test]
    fn a_chain_of_roles_longer_than_casbin_follows_holds_all_the_same() {
        let chain = (0..30).map(|n| (role(&format!("r{n}")), vec![role(&format!("r{}", n + 1))]));
        let mut policy = Policy::new(Hierarchy::new(chain), &[rule(Effect::Allow, "r30", "/", &[])]).unwrap();
        assert!(policy.enforce(&[role("r0")], "GET", "/").unwrap());
    }

    #[test]
    fn patterns_with_commas_and_methods_with_separators_cannot_change_the_policy() {
        let odd = rule(Effect::Allow, "user", "/a,b;c='d'", &["GET"]);
        let mut policy = Policy::new(hierarchy(), &[odd]).unwrap();
        assert!(policy.enforce(&[role("user")], "GET", "/a,b;c='d'").unwrap());
        for method in ["GET|POST", "*", "", "A B", "A,B", "A\nB", "A#B"] {
            let rule = rule(Effect::Allow, "user", "/", &[method]);
            assert!(
                matches!(Policy::new(hierarchy(), &[rule]), Err(PolicyError::Method(_))),
                "{method:?}"
            );
        }
    }

    #[test]
    fn an_empty_policy_allows_nothing() {
        let mut policy = Policy::new(hierarchy(), &[]).unwrap();
        assert!(!policy.enforce(&[role("admin")], "GET", "/").unwrap());
        let table = policy.compile().unwrap();
        assert!(!table.allows_reading(table.roles(&[role("admin")]), "GET", "/"));
    }

    fn roles() -> impl Strategy<Value = Vec<RoleName>> {
        proptest::collection::vec(prop_oneof!["a", "b", "c", "d"].prop_map(|name| role(&name)), 0..3)
    }

    fn rules() -> impl Strategy<Value = Vec<Rule>> {
        let segments = proptest::collection::vec(prop_oneof!["a", "b", Just("*".to_owned())], 0..4);
        let pattern = (segments, proptest::bool::ANY).prop_map(|(mut segments, open)| {
            if open {
                segments.push("**".to_owned());
            }
            PathPattern::parse(&format!("/{}", segments.join("/"))).unwrap()
        });
        let methods = proptest::collection::btree_set(prop_oneof!["GET", "PUT"], 0..3);
        let effect = prop_oneof![3 => Just(Effect::Allow), 1 => Just(Effect::Deny)];
        let rule = (prop_oneof!["a", "b", "c", "d"], pattern, methods, effect);
        let rule = rule.prop_map(|(name, pattern, methods, effect)| Rule {
            role: role(&name),
            pattern,
            methods,
            effect,
        });
        proptest::collection::vec(rule, 0..8)
    }

    fn includes() -> impl Strategy<Value = Hierarchy> {
        let pair = (prop_oneof!["a", "b", "c", "d"], prop_oneof!["a", "b", "c", "d"]);
        proptest::collection::vec(pair, 0..5)
            .prop_map(|pairs| Hierarchy::new(pairs.into_iter().map(|(a, b)| (role(&a), vec![role(&b)]))))
    }

    proptest! {
        #![proptest_config(Config::with_cases(200))]
        #[test]
        fn the_table_decides_as_casbin_does(
            hierarchy in includes(),
            rules in rules(),
            questions in proptest::collection::vec((roles(), "GET|PUT|POST|get", "/((a|b|c)/){0,4}(a|b|c)?"), 1..12),
        ) {
            let mut policy = Policy::new(hierarchy, &rules).unwrap();
            let table = policy.compile().unwrap();
            for (roles, method, path) in questions {
                let casbin = policy.enforce(&roles, &method, &path).unwrap();
                prop_assert_eq!(table.allows_reading(table.roles(&roles), &method, &path), casbin, "{:?} {} {}\n{}", roles, method, path, policy.text());
            }
        }
    }
}
