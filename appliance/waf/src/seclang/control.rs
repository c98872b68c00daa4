//! `ctl`: settings and rules changed for one transaction; and which rules other rules and directives mean.

use std::sync::Arc;

use super::{
    AuditMode, EngineMode, Problem, Slots, TargetText, Template, actions::assignment, number, targets::NoFiles,
};
use crate::{
    bytes::ByteSet,
    operator::{Captures, Operator},
};

/// On or off.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Switch {
    Off,
    On,
}

/// Which rules a `ctl` of a rule removes or changes.
#[derive(Clone, Debug)]
pub(crate) enum Which {
    Ids(Vec<(u64, u64)>),
    Message(Arc<Operator>),
    Tag(Arc<Operator>),
}

impl Which {
    /// Those whose message a pattern matches.
    pub(crate) fn message(pattern: &[u8]) -> Result<Self, Problem> {
        Ok(Self::Message(Arc::new(Operator::compile("rx", pattern, &NoFiles)?)))
    }

    /// Those with a tag that a pattern matches.
    pub(crate) fn tag(pattern: &[u8]) -> Result<Self, Problem> {
        Ok(Self::Tag(Arc::new(Operator::compile("rx", pattern, &NoFiles)?)))
    }

    /// Whether a rule of this id, message and tags is one of them.
    pub(crate) fn concerns(&self, id: u64, message: Option<&Template>, tags: &[Template]) -> bool {
        let matches = |operator: &Operator, text: Option<&[u8]>| {
            text.is_some_and(|text| operator.evaluate(text, ByteSet::of(text), &mut Captures::default()))
        };
        match self {
            Self::Ids(ranges) => ranges.iter().any(|(first, last)| (*first..=*last).contains(&id)),
            Self::Message(operator) => matches(operator, message.and_then(Template::as_plain)),
            Self::Tag(operator) => tags.iter().any(|tag| matches(operator, tag.as_plain())),
        }
    }
}

/// A setting changed for this transaction only.
#[derive(Clone, Debug)]
pub(crate) enum Ctl {
    AuditEngine(AuditMode),
    AuditLogParts {
        change: PartChange,
        parts: String,
    },
    ForceRequestBodyVariable(Switch),
    /// Understood and without effect here: settings of debug logs and of response hashing.
    Nothing,
    RequestBodyAccess(Switch),
    RequestBodyLimit(usize),
    RequestBodyProcessor(Vec<u8>),
    ResponseBodyAccess(Switch),
    ResponseBodyLimit(usize),
    RuleEngine(EngineMode),
    /// A removal of the rule set, by index: what the compiler makes of the next two.
    Removal(usize),
    RemoveRules(Which),
    RemoveTarget(Which, TargetText),
    XmlIntoArgs(super::XmlArgs),
}

/// How `ctl:auditLogParts` changes the parts.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum PartChange {
    Add,
    Remove,
    Set,
}

impl Ctl {
    pub(super) fn parse(text: &[u8], slots: &mut Slots) -> Result<Self, Problem> {
        let (name, value) = assignment("ctl", text)?;
        let lowered = String::from_utf8_lossy(name).to_ascii_lowercase();
        let what = lowered.as_str();
        Ok(match what {
            "auditengine" => Self::AuditEngine(AuditMode::parse(what, value)?),
            "auditlogparts" => {
                let (change, parts) = match value {
                    [b'+', parts @ ..] => (PartChange::Add, parts),
                    [b'-', parts @ ..] => (PartChange::Remove, parts),
                    parts => (PartChange::Set, parts),
                };
                Self::AuditLogParts {
                    change,
                    parts: String::from_utf8_lossy(parts).into_owned(),
                }
            }
            "debugloglevel" | "hashengine" | "hashenforcement" => Self::Nothing,
            "forcerequestbodyvariable" => Self::ForceRequestBodyVariable(switch(what, value)?),
            "parsexmlintoargs" => Self::XmlIntoArgs(super::XmlArgs::parse(what, value)?),
            "requestbodyaccess" => Self::RequestBodyAccess(switch(what, value)?),
            "requestbodylimit" => Self::RequestBodyLimit(number(what, value)?),
            "requestbodyprocessor" => {
                let name = value.to_ascii_uppercase();
                if !matches!(name.as_slice(), b"URLENCODED" | b"MULTIPART" | b"XML" | b"JSON") {
                    return Err(Problem::value(what, value, "URLENCODED, MULTIPART, XML or JSON"));
                }
                Self::RequestBodyProcessor(name)
            }
            "responsebodyaccess" => Self::ResponseBodyAccess(switch(what, value)?),
            "responsebodylimit" => Self::ResponseBodyLimit(number(what, value)?),
            "ruleengine" => Self::RuleEngine(EngineMode::parse(what, value)?),
            "ruleremovebyid" => Self::RemoveRules(Which::Ids(vec![id_range(what, value)?])),
            "ruleremovebymsg" => Self::RemoveRules(Which::message(value)?),
            "ruleremovebytag" => Self::RemoveRules(Which::tag(value)?),
            "ruleremovetargetbyid" | "ruleremovetargetbymsg" | "ruleremovetargetbytag" => {
                let semicolon = value.iter().position(|byte| *byte == b';');
                let (which, target) = semicolon
                    .and_then(|at| value.get(..at).zip(value.get(at + 1..)))
                    .ok_or_else(|| Problem::value(what, value, "rules;TARGET"))?;
                let which = match what {
                    "ruleremovetargetbyid" => Which::Ids(vec![id_range(what, which)?]),
                    "ruleremovetargetbymsg" => Which::message(which)?,
                    _ => Which::tag(which)?,
                };
                Self::RemoveTarget(which, TargetText::parse(target.trim_ascii(), slots)?)
            }
            _ => return Err(Problem::UnknownAction(format!("ctl:{}", String::from_utf8_lossy(name)))),
        })
    }
}

/// `On` or `Off` in any case.
pub(crate) fn switch(what: &str, value: &[u8]) -> Result<Switch, Problem> {
    match value.to_ascii_lowercase().as_slice() {
        b"on" => Ok(Switch::On),
        b"off" => Ok(Switch::Off),
        _ => Err(Problem::value(what, value, "On or Off")),
    }
}

/// `5` or `5-9`.
pub(crate) fn id_range(what: &str, text: &[u8]) -> Result<(u64, u64), Problem> {
    let text = text.trim_ascii();
    match text.iter().position(|byte| *byte == b'-') {
        None => number(what, text).map(|id| (id, id)),
        Some(at) => {
            let first = number(what, text.get(..at).unwrap_or_default())?;
            let last = number(what, text.get(at + 1..).unwrap_or_default())?;
            if first > last {
                return Err(Problem::value(what, text, "a range of ids"));
            }
            Ok((first, last))
        }
    }
}
