//! The action list of a rule: what it is, what it does on a match, what it says about it.

use std::sync::Arc;

use super::{Ctl, Problem, Slots, Template, number};
use crate::{engine::Variable, transform::Transformation};

/// The actions of one rule or of `SecDefaultAction`, as written: what is not written is `None`.
#[derive(Clone, Debug, Default)]
pub(crate) struct RuleActions {
    pub(crate) accuracy: Option<u8>,
    pub(crate) audit: Option<bool>,
    pub(crate) capture: bool,
    pub(crate) chain: bool,
    pub(crate) disruptive: Option<Disruptive>,
    pub(crate) id: Option<u64>,
    pub(crate) log: Option<bool>,
    pub(crate) logdata: Option<Template>,
    pub(crate) maturity: Option<u8>,
    pub(crate) message: Option<Template>,
    pub(crate) multi_match: bool,
    pub(crate) phase: Option<u8>,
    pub(crate) revision: Option<String>,
    /// What a match does, in order.
    pub(crate) run: Vec<Action>,
    pub(crate) severity: Option<Severity>,
    pub(crate) skip: Option<usize>,
    pub(crate) skip_after: Option<Vec<u8>>,
    pub(crate) status: Option<u16>,
    pub(crate) tags: Vec<Template>,
    /// Whether `t:none` was written: nothing is inherited from the default actions.
    pub(crate) transform_reset: bool,
    pub(crate) transformations: Vec<Transformation>,
    pub(crate) version: Option<String>,
}

/// What a match does to the transaction.
#[derive(Clone, Debug)]
pub(crate) enum Disruptive {
    Allow(Allow),
    Block,
    Deny,
    Drop,
    Pass,
    Proxy(Arc<Template>),
    Redirect(Arc<Template>),
}

/// How much is allowed by `allow`.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Allow {
    /// All that follows but the logging phase.
    Everything,
    /// The rest of this phase.
    Phase,
    /// The rest of the request phases.
    Request,
}

/// How bad a match is; smaller is worse, as in syslog.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
#[repr(u8)]
pub enum Severity {
    /// 0
    Emergency,
    /// 1
    Alert,
    /// 2
    Critical,
    /// 3
    Error,
    /// 4
    Warning,
    /// 5
    Notice,
    /// 6
    Info,
    /// 7
    Debug,
}

impl Severity {
    const NAMES: [(&'static str, Self); 8] = [
        ("EMERGENCY", Self::Emergency),
        ("ALERT", Self::Alert),
        ("CRITICAL", Self::Critical),
        ("ERROR", Self::Error),
        ("WARNING", Self::Warning),
        ("NOTICE", Self::Notice),
        ("INFO", Self::Info),
        ("DEBUG", Self::Debug),
    ];

    fn parse(text: &[u8]) -> Option<Self> {
        let named = Self::NAMES
            .iter()
            .find(|(name, _)| text.eq_ignore_ascii_case(name.as_bytes()));
        let numbered = || match text {
            [digit @ b'0'..=b'7'] => Self::NAMES.get(usize::from(digit - b'0')),
            _ => None,
        };
        named.or_else(numbered).map(|(_, severity)| *severity)
    }

    /// The name in rules.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::NAMES.get(self as usize).map_or("", |(name, _)| name)
    }
}

/// A collection that outlives the transaction.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub enum Keeper {
    /// One for all.
    Global,
    /// By client address.
    Ip,
    /// By resource.
    Resource,
    /// By session.
    Session,
    /// By user.
    User,
}

impl Keeper {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Global, Self::Ip, Self::Resource, Self::Session, Self::User];

    pub(crate) fn variable(self) -> Variable {
        match self {
            Self::Global => Variable::Global,
            Self::Ip => Variable::Ip,
            Self::Resource => Variable::Resource,
            Self::Session => Variable::Session,
            Self::User => Variable::User,
        }
    }

    pub(crate) fn of(variable: Variable) -> Option<Self> {
        Self::ALL.into_iter().find(|keeper| keeper.variable() == variable)
    }

    /// The name in rules, in lower case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Global => "global",
            Self::Ip => "ip",
            Self::Resource => "resource",
            Self::Session => "session",
            Self::User => "user",
        }
    }
}

/// Where `setvar` writes.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// A `TX` variable with a literal name.
    Slot(usize),
    /// A `TX` variable whose name a macro makes.
    Tx(Template),
    /// A variable of a persistent collection.
    Kept(Keeper, Template),
}

/// What `setvar` does.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    Add(Template),
    Remove,
    Set(Template),
    Subtract(Template),
}

/// A thing that a match does besides being disruptive.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Ctl(Ctl),
    Deprecate {
        keeper: Keeper,
        name: Template,
        amount: i64,
        seconds: i64,
    },
    Expire {
        place: Place,
        seconds: Template,
    },
    InitCollection {
        keeper: Keeper,
        key: Template,
    },
    Sanitise(Sanitise),
    SetEnv {
        name: Vec<u8>,
        value: Template,
    },
    SetSession(Template),
    SetUser(Template),
    SetResource(Template),
    SetVar {
        place: Place,
        change: Change,
    },
}

/// What must not appear in logs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Sanitise {
    Argument(Vec<u8>),
    Matched,
    RequestHeader(Vec<u8>),
    ResponseHeader(Vec<u8>),
}

impl RuleActions {
    /// Reads an action list.
    pub(crate) fn parse(text: &[u8], slots: &mut Slots) -> Result<Self, Problem> {
        let mut actions = Self::default();
        for (name, value) in split(text)? {
            actions.take(&name, value.as_deref(), slots)?;
        }
        Ok(actions)
    }

    fn take(&mut self, name: &str, value: Option<&[u8]>, slots: &mut Slots) -> Result<(), Problem> {
        let needs = || value.ok_or_else(|| Problem::ActionArgument(name.to_owned()));
        let plain = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
        match name {
            "accuracy" => self.accuracy = Some(number(name, needs()?)?),
            "allow" => {
                let allow = match value.map(<[u8]>::to_ascii_lowercase).as_deref() {
                    None | Some(b"") => Allow::Everything,
                    Some(b"phase") => Allow::Phase,
                    Some(b"request") => Allow::Request,
                    Some(other) => return Err(Problem::value(name, other, "phase or request")),
                };
                self.disruptive = Some(Disruptive::Allow(allow));
            }
            "append" | "prepend" | "xmlns" | "pause" => {
                needs()?;
            }
            "auditlog" => self.audit = Some(true),
            "block" => self.disruptive = Some(Disruptive::Block),
            "capture" => self.capture = true,
            "chain" => self.chain = true,
            "ctl" => self.run.push(Action::Ctl(Ctl::parse(needs()?, slots)?)),
            "deny" => self.disruptive = Some(Disruptive::Deny),
            "deprecatevar" => self.run.push(deprecate(needs()?, slots)?),
            "drop" => self.disruptive = Some(Disruptive::Drop),
            "exec" => return Err(Problem::Unsupported("exec".to_owned())),
            "expirevar" => {
                let (place, seconds) = assignment(name, needs()?)?;
                let place = Place::parse(place, slots)?;
                self.run.push(Action::Expire {
                    place,
                    seconds: Template::parse(seconds, slots)?,
                });
            }
            "id" => self.id = Some(number(name, needs()?)?),
            "initcol" => {
                let (collection, key) = assignment(name, needs()?)?;
                let keeper = keeper(name, collection)?;
                self.run.push(Action::InitCollection {
                    keeper,
                    key: Template::parse(key, slots)?,
                });
            }
            "log" => self.log = Some(true),
            "logdata" => self.logdata = Some(Template::parse(needs()?, slots)?),
            "maturity" => self.maturity = Some(number(name, needs()?)?),
            "msg" => self.message = Some(Template::parse(needs()?, slots)?),
            "multimatch" => self.multi_match = true,
            "noauditlog" => self.audit = Some(false),
            "nolog" => self.log = Some(false),
            "pass" => self.disruptive = Some(Disruptive::Pass),
            "phase" => self.phase = Some(phase(needs()?)?),
            "proxy" => self.disruptive = Some(Disruptive::Proxy(Arc::new(Template::parse(needs()?, slots)?))),
            "redirect" => self.disruptive = Some(Disruptive::Redirect(Arc::new(Template::parse(needs()?, slots)?))),
            "rev" => self.revision = Some(plain(needs()?)),
            "sanitisearg" | "sanitizearg" => {
                self.run.push(Action::Sanitise(Sanitise::Argument(needs()?.to_vec())));
            }
            "sanitisematched" | "sanitizematched" | "sanitisematchedbytes" | "sanitizematchedbytes" => {
                self.run.push(Action::Sanitise(Sanitise::Matched));
            }
            "sanitiserequestheader" | "sanitizerequestheader" => {
                self.run
                    .push(Action::Sanitise(Sanitise::RequestHeader(needs()?.to_vec())));
            }
            "sanitiseresponseheader" | "sanitizeresponseheader" => {
                self.run
                    .push(Action::Sanitise(Sanitise::ResponseHeader(needs()?.to_vec())));
            }
            "setenv" => {
                let (variable, value) = assignment(name, needs()?)?;
                self.run.push(Action::SetEnv {
                    name: variable.to_vec(),
                    value: Template::parse(value, slots)?,
                });
            }
            "setrsc" => self.run.push(Action::SetResource(Template::parse(needs()?, slots)?)),
            "setsid" => self.run.push(Action::SetSession(Template::parse(needs()?, slots)?)),
            "setuid" => self.run.push(Action::SetUser(Template::parse(needs()?, slots)?)),
            "setvar" => self.run.push(set_var(needs()?, slots)?),
            "severity" => {
                let text = needs()?;
                let severity = Severity::parse(text).ok_or_else(|| Problem::value(name, text, "a severity"))?;
                self.severity = Some(severity);
            }
            "skip" => self.skip = Some(number(name, needs()?)?),
            "skipafter" => self.skip_after = Some(needs()?.to_vec()),
            "status" => self.status = Some(number(name, needs()?)?),
            "t" => self.transformation(needs()?)?,
            "tag" => self.tags.push(Template::parse(needs()?, slots)?),
            "ver" => self.version = Some(plain(needs()?)),
            other => return Err(Problem::UnknownAction(other.to_owned())),
        }
        Ok(())
    }

    fn transformation(&mut self, name: &[u8]) -> Result<(), Problem> {
        let name = String::from_utf8_lossy(name);
        if name.eq_ignore_ascii_case("none") {
            self.transform_reset = true;
            self.transformations.clear();
            return Ok(());
        }
        let found = Transformation::parse(&name).ok_or_else(|| Problem::UnknownTransformation(name.into_owned()))?;
        self.transformations.push(found);
        Ok(())
    }
}

impl Place {
    fn parse(text: &[u8], slots: &mut Slots) -> Result<Self, Problem> {
        let wanted = "collection.name with tx, ip, global, session, user or resource";
        let at = text.iter().position(|byte| *byte == b'.' || *byte == b':');
        let (collection, name) = at
            .and_then(|at| text.get(..at).zip(text.get(at + 1..)))
            .filter(|(_, name)| !name.is_empty())
            .ok_or_else(|| Problem::value("setvar", text, wanted))?;
        let template = Template::parse(name, slots)?;
        if collection.eq_ignore_ascii_case(b"tx") {
            return Ok(template
                .as_plain()
                .map_or_else(|| Self::Tx(template.clone()), |name| Self::Slot(slots.number(name))));
        }
        Ok(Self::Kept(keeper("setvar", collection)?, template))
    }
}

fn phase(text: &[u8]) -> Result<u8, Problem> {
    match text.to_ascii_lowercase().as_slice() {
        [digit @ b'1'..=b'5'] => Ok(digit - b'0'),
        b"request" => Ok(2),
        b"response" => Ok(4),
        b"logging" => Ok(5),
        _ => Err(Problem::value("phase", text, "1 to 5, request, response or logging")),
    }
}

fn keeper(what: &str, name: &[u8]) -> Result<Keeper, Problem> {
    Keeper::ALL
        .into_iter()
        .find(|keeper| name.eq_ignore_ascii_case(keeper.name().as_bytes()))
        .ok_or_else(|| Problem::value(what, name, "tx, ip, global, session, user or resource"))
}

/// Splits `name=value`.
pub(super) fn assignment<'a>(what: &str, text: &'a [u8]) -> Result<(&'a [u8], &'a [u8]), Problem> {
    let at = text.iter().position(|byte| *byte == b'=');
    at.and_then(|at| text.get(..at).zip(text.get(at + 1..)))
        .map(|(name, value)| (name.trim_ascii(), value.trim_ascii()))
        .ok_or_else(|| Problem::value(what, text, "name=value"))
}

fn set_var(text: &[u8], slots: &mut Slots) -> Result<Action, Problem> {
    let text = text.trim_ascii();
    if let Some(name) = text.strip_prefix(b"!") {
        return Ok(Action::SetVar {
            place: Place::parse(name, slots)?,
            change: Change::Remove,
        });
    }
    let (place, value) = match text.iter().position(|byte| *byte == b'=') {
        Some(at) => (
            text.get(..at).unwrap_or_default(),
            text.get(at + 1..).unwrap_or_default(),
        ),
        None => (text, &b"1"[..]),
    };
    let place = Place::parse(place.trim_ascii(), slots)?;
    let change = match value {
        [b'+', amount @ ..] => Change::Add(Template::parse(amount, slots)?),
        [b'-', amount @ ..] => Change::Subtract(Template::parse(amount, slots)?),
        value => Change::Set(Template::parse(value, slots)?),
    };
    Ok(Action::SetVar { place, change })
}

/// `ip.score=60/300`: 60 less every 300 seconds.
fn deprecate(text: &[u8], slots: &mut Slots) -> Result<Action, Problem> {
    let wanted = "collection.name=amount/seconds";
    let (place, rate) = assignment("deprecatevar", text)?;
    let slash = rate.iter().position(|byte| *byte == b'/');
    let (amount, seconds) = slash
        .and_then(|at| rate.get(..at).zip(rate.get(at + 1..)))
        .ok_or_else(|| Problem::value("deprecatevar", text, wanted))?;
    let Place::Kept(keeper, name) = Place::parse(place, slots)? else {
        return Err(Problem::value("deprecatevar", text, wanted));
    };
    let (amount, seconds) = (number("deprecatevar", amount)?, number("deprecatevar", seconds)?);
    if seconds <= 0 {
        return Err(Problem::value("deprecatevar", text, wanted));
    }
    Ok(Action::Deprecate {
        keeper,
        name,
        amount,
        seconds,
    })
}

/// An action: its name in lower case, and what follows the colon.
type Written = (String, Option<Vec<u8>>);

/// Splits an action list at its commas; a value in single quotes may contain them.
fn split(text: &[u8]) -> Result<Vec<Written>, Problem> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        let skip = rest
            .iter()
            .position(|byte| *byte != b',' && !byte.is_ascii_whitespace());
        let Some(skip) = skip else { return Ok(found) };
        rest = rest.get(skip..).unwrap_or_default();
        let end = rest
            .iter()
            .position(|byte| *byte == b',' || *byte == b':')
            .unwrap_or(rest.len());
        let (name, left) = rest.split_at(end);
        let name = String::from_utf8_lossy(name.trim_ascii()).to_ascii_lowercase();
        let Some(left) = left.strip_prefix(b":") else {
            found.push((name, None));
            rest = left;
            continue;
        };
        let left = left.trim_ascii_start();
        let (value, left) = match left.strip_prefix(b"'") {
            Some(quoted) => quoted_value(quoted)?,
            None => {
                let end = left.iter().position(|byte| *byte == b',').unwrap_or(left.len());
                let (value, left) = left.split_at(end);
                (value.trim_ascii().to_vec(), left)
            }
        };
        found.push((name, Some(value)));
        rest = left;
    }
}

fn quoted_value(text: &[u8]) -> Result<(Vec<u8>, &[u8]), Problem> {
    let mut value = Vec::new();
    let mut at = 0;
    loop {
        match (text.get(at), text.get(at + 1)) {
            (None, _) => return Err(Problem::UnclosedQuote),
            (Some(b'\\'), Some(b'\'')) => {
                value.push(b'\'');
                at += 2;
            }
            (Some(b'\''), _) => break,
            (Some(byte), _) => {
                value.push(*byte);
                at += 1;
            }
        }
    }
    let rest = text.get(at + 1..).unwrap_or_default().trim_ascii_start();
    match rest.first() {
        None | Some(b',') => Ok((value, rest)),
        Some(_) => Err(Problem::TextAfterQuote),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RuleActions, Problem> {
        RuleActions::parse(text.as_bytes(), &mut Slots::default())
    }

    #[test]
    fn a_list_with_quotes_commas_and_white_space_is_read() {
        let found =
            parse("id:1,    phase:request, msg:'it\\'s, a: test',tag:a, t:none,setvar:'tx.a=+%{tx.b}', chain").unwrap();
        assert_eq!((found.id, found.phase, found.chain), (Some(1), Some(2), true));
        assert_eq!(found.message.unwrap().as_plain(), Some(&b"it's, a: test"[..]));
        assert_eq!((found.tags.len(), found.run.len(), found.transform_reset), (1, 1, true));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in [
            "id:x",
            "phase:6",
            "nosuch",
            "t:nosuch",
            "setvar:env.x=1",
            "severity:BAD",
            "ctl:ruleEngine=Maybe",
            "ctl:nosuch=1",
            "exec:/bin/sh",
            "msg:'open",
            "msg:'a'b",
            "ctl:ruleRemoveTargetById=1",
            "initcol:tx=a",
            "deprecatevar:ip.a=1/0",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn severities_are_names_or_numbers() {
        assert_eq!(parse("severity:'CRITICAL'").unwrap().severity, Some(Severity::Critical));
        assert_eq!(parse("severity:4").unwrap().severity, Some(Severity::Warning));
    }
}
