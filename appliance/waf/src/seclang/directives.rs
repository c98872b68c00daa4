//! The directives: rules and markers in their order, settings, changes to rules.

use std::{collections::HashMap, sync::Arc};

use super::{
    Problem, RuleActions, RuleError, RuleFiles, Settings, Slots, TargetText,
    compile::Mistakes,
    control::{Which, id_range, switch},
    files::Beside,
    lines::{Directive, directives},
    number,
    settings::{AuditMode, BodyLimitAction, EngineMode, XmlArgs},
    targets::NoFiles,
};
use crate::{
    operator::{DEFAULT_STEP_LIMIT, Files, Operator},
    transform::UnicodeMap,
};

/// A rule as written, with what it inherits from the default actions in force where it stands.
#[derive(Clone, Debug)]
pub(super) struct WrittenRule {
    pub(super) file: Arc<str>,
    pub(super) line: usize,
    /// Nothing for `SecAction`.
    pub(super) targets: Vec<TargetText>,
    /// `!`, name and argument.
    pub(super) operator: Option<(bool, String, Vec<u8>)>,
    pub(super) actions: RuleActions,
    pub(super) defaults: Arc<Defaults>,
}

/// The default actions of each phase.
pub(super) type Defaults = HashMap<u8, RuleActions>;

/// What stands in a rule set's order.
#[derive(Clone, Debug)]
pub(super) enum Entry {
    /// A rule with the rules chained to it.
    Chain(Vec<WrittenRule>),
    Marker(Vec<u8>),
}

/// A change to rules that stand elsewhere.
#[derive(Clone, Debug)]
pub(super) enum Update {
    Remove(Which),
    /// For the given link of the chain.
    Targets {
        which: Which,
        link: usize,
        targets: Vec<TargetText>,
        replaces: Option<Vec<TargetText>>,
    },
    Actions {
        id: u64,
        link: usize,
        actions: Box<RuleActions>,
    },
}

/// Everything that the files say.
#[derive(Default)]
pub(super) struct Reading {
    pub(super) entries: Vec<Entry>,
    pub(super) updates: Vec<Update>,
    pub(super) settings: Settings,
    pub(super) slots: Slots,
    defaults: Arc<Defaults>,
    /// The rules of a chain that is not complete yet.
    open: Vec<WrittenRule>,
    /// Whether the next rules belong to a chain of which one has a mistake.
    spoilt: bool,
}

/// How deep files may include each other.
const MAX_INCLUDES: usize = 16;

impl Reading {
    /// Reads a file and what it includes.
    pub(super) fn file(
        &mut self,
        files: &RuleFiles,
        path: &str,
        depth: usize,
        mistakes: &mut Mistakes,
    ) -> Result<(), RuleError> {
        let error = |line, problem| RuleError {
            file: path.to_owned(),
            line,
            problem,
        };
        let Some(text) = files.get(path) else {
            return mistakes.note(Err(error(0, Problem::MissingFile(path.to_owned()))));
        };
        if depth > MAX_INCLUDES {
            return Err(error(0, Problem::NestedIncludes));
        }
        let name: Arc<str> = Arc::from(path);
        for directive in directives(text) {
            let directive = match directive {
                Ok(directive) => directive,
                Err((line, problem)) => {
                    mistakes.note(Err(error(line, problem)))?;
                    continue;
                }
            };
            let lowered = directive.name.to_ascii_lowercase();
            if lowered == "include" || lowered == "includeoptional" {
                let found = self
                    .included(files, path, &directive)
                    .map_err(|problem| error(directive.line, problem));
                match found {
                    Ok(found) => {
                        for path in found {
                            self.file(files, &path, depth + 1, mistakes)?;
                        }
                    }
                    Err(missing) => mistakes.note(Err(missing))?,
                }
                continue;
            }
            let line = directive.line;
            let continues = continues(&directive);
            if self.spoilt && lowered == "secrule" {
                self.spoilt = continues;
                continue;
            }
            let read = self.directive(&lowered, directive, &name, &files.beside(path));
            if read.is_err() {
                self.open.clear();
            }
            self.spoilt = read.is_err() && continues;
            mistakes.note(read.map_err(|problem| error(line, problem)))?;
        }
        match std::mem::take(&mut self.open).first() {
            Some(rule) => mistakes.note(Err(error(rule.line, Problem::ChainOpen))),
            None => Ok(()),
        }
    }

    fn included(&self, files: &RuleFiles, path: &str, directive: &Directive) -> Result<Vec<String>, Problem> {
        let [pattern] = arguments::<1>(directive)?;
        let written = String::from_utf8_lossy(pattern).into_owned();
        let pattern = files.beside(path).resolve(&written);
        let found: Vec<String> = files.matching(&pattern).into_iter().map(str::to_owned).collect();
        if found.is_empty() && directive.name.eq_ignore_ascii_case("include") && !written.contains('*') {
            return Err(Problem::MissingFile(written));
        }
        Ok(found)
    }

    fn directive(
        &mut self,
        name: &str,
        directive: Directive,
        file: &Arc<str>,
        beside: &Beside<'_>,
    ) -> Result<(), Problem> {
        let is_rule = matches!(name, "secrule" | "secaction");
        if !is_rule && !self.open.is_empty() {
            return Err(Problem::ChainOpen);
        }
        match name {
            "secrule" => self.rule(&directive, file),
            "secaction" => {
                let [actions] = arguments::<1>(&directive)?;
                let actions = RuleActions::parse(actions, &mut self.slots)?;
                self.push(file, directive.line, Vec::new(), None, actions)
            }
            "secmarker" => {
                let [marker] = arguments::<1>(&directive)?;
                self.entries.push(Entry::Marker(marker.clone()));
                Ok(())
            }
            "secdefaultaction" => self.default_action(&directive),
            "secruleremovebyid" => {
                let mut ranges = Vec::new();
                for argument in &directive.arguments {
                    for one in argument.split(|byte| byte.is_ascii_whitespace() || *byte == b',') {
                        if !one.is_empty() {
                            ranges.push(id_range(&directive.name, one)?);
                        }
                    }
                }
                if ranges.is_empty() {
                    return Err(count(&directive, "at least one"));
                }
                self.updates.push(Update::Remove(Which::Ids(ranges)));
                Ok(())
            }
            "secruleremovebymsg" => {
                let [text] = arguments::<1>(&directive)?;
                self.updates.push(Update::Remove(Which::message(text)?));
                Ok(())
            }
            "secruleremovebytag" => {
                let [text] = arguments::<1>(&directive)?;
                self.updates.push(Update::Remove(Which::tag(text)?));
                Ok(())
            }
            "secruleupdateactionbyid" => {
                let [id, actions] = arguments::<2>(&directive)?;
                let (id, link) = linked_id(&directive.name, id)?;
                let actions = RuleActions::parse(actions, &mut self.slots)?;
                if actions.id.is_some() || actions.phase.is_some() || actions.chain {
                    return Err(Problem::value(
                        &directive.name,
                        b"id, phase, chain",
                        "an action that can be changed",
                    ));
                }
                self.updates.push(Update::Actions {
                    id,
                    link,
                    actions: Box::new(actions),
                });
                Ok(())
            }
            "secruleupdatetargetbyid" | "secruleupdatetargetbytag" | "secruleupdatetargetbymsg" => {
                self.update_target(name, &directive)
            }
            _ => self.setting(name, directive, beside),
        }
    }

    fn rule(&mut self, directive: &Directive, file: &Arc<str>) -> Result<(), Problem> {
        let (targets, operator, actions) = match directive.arguments.as_slice() {
            [targets, operator] => (targets, operator, &b""[..]),
            [targets, operator, actions] => (targets, operator, actions.as_slice()),
            _ => return Err(count(directive, "2 or 3")),
        };
        let targets = TargetText::list(targets, false, &mut self.slots)?;
        let actions = RuleActions::parse(actions, &mut self.slots)?;
        self.push(file, directive.line, targets, Some(split_operator(operator)), actions)
    }

    fn push(
        &mut self,
        file: &Arc<str>,
        line: usize,
        targets: Vec<TargetText>,
        operator: Option<(bool, String, Vec<u8>)>,
        actions: RuleActions,
    ) -> Result<(), Problem> {
        if self.open.is_empty() {
            if actions.id.is_none() {
                return Err(Problem::MissingId);
            }
        } else {
            chained_actions(&actions)?;
        }
        let continues = actions.chain;
        let defaults = Arc::clone(&self.defaults);
        self.open.push(WrittenRule {
            file: Arc::clone(file),
            line,
            targets,
            operator,
            actions,
            defaults,
        });
        if !continues {
            self.entries.push(Entry::Chain(std::mem::take(&mut self.open)));
        }
        Ok(())
    }

    fn default_action(&mut self, directive: &Directive) -> Result<(), Problem> {
        let [text] = arguments::<1>(directive)?;
        let actions = RuleActions::parse(text, &mut self.slots)?;
        let forbidden = actions.id.is_some()
            || actions.chain
            || actions.message.is_some()
            || actions.revision.is_some()
            || actions.skip.is_some()
            || actions.skip_after.is_some();
        if forbidden || actions.disruptive.is_none() {
            return Err(Problem::value(
                &directive.name,
                text,
                "a list with a disruptive action, without id, msg, chain, skip",
            ));
        }
        let phase = actions.phase.unwrap_or(2);
        Arc::make_mut(&mut self.defaults).insert(phase, actions);
        Ok(())
    }

    fn update_target(&mut self, name: &str, directive: &Directive) -> Result<(), Problem> {
        let (which, targets, replaces) = match directive.arguments.as_slice() {
            [which, targets] => (which, targets, None),
            [which, targets, replaces] => (which, targets, Some(replaces)),
            _ => return Err(count(directive, "2 or 3")),
        };
        let (which, link) = match name {
            "secruleupdatetargetbyid" if which.contains(&b':') => {
                let (id, link) = linked_id(&directive.name, which)?;
                (Which::Ids(vec![(id, id)]), link)
            }
            "secruleupdatetargetbyid" => (Which::Ids(vec![id_range(&directive.name, which)?]), 0),
            "secruleupdatetargetbytag" => (Which::tag(which)?, 0),
            _ => (Which::message(which)?, 0),
        };
        let targets = TargetText::list(targets, true, &mut self.slots)?;
        let replaces = replaces
            .map(|text| TargetText::list(text, true, &mut self.slots))
            .transpose()?;
        self.updates.push(Update::Targets {
            which,
            link,
            targets,
            replaces,
        });
        Ok(())
    }

    fn setting(&mut self, name: &str, directive: Directive, beside: &Beside<'_>) -> Result<(), Problem> {
        let what = directive.name.as_str();
        let one = || arguments::<1>(&directive).map(|[one]| one.as_slice());
        let text = || one().map(|one| String::from_utf8_lossy(one).into_owned());
        let on = |value: &[u8]| switch(what, value).map(|switch| switch == super::Switch::On);
        let settings = &mut self.settings;
        match name {
            "secargumentseparator" => match one()? {
                [separator] => settings.argument_separator = *separator,
                other => return Err(Problem::value(what, other, "one character")),
            },
            "secargumentslimit" => settings.arguments_limit = number(what, one()?)?,
            "secauditengine" => settings.audit = AuditMode::parse(what, one()?)?,
            "secauditlogparts" => settings.audit_parts = text()?,
            "secauditlogrelevantstatus" => {
                let status = Operator::compile("rx", one()?, &NoFiles)?;
                settings.audit_relevant = Some(Arc::new(status));
            }
            "seccollectiontimeout" => settings.collection_timeout = number(what, one()?)?,
            "seccomponentsignature" => {
                let text = text()?;
                settings.components.push(text);
            }
            "seccookieformat" => match one()? {
                b"0" => settings.quoted_cookies = false,
                b"1" => settings.quoted_cookies = true,
                other => return Err(Problem::value(what, other, "0 or 1")),
            },
            "secpcrematchlimit" => {
                let steps: u64 = number(what, one()?)?;
                if steps == 0 {
                    return Err(Problem::value(what, b"0", "a number from 1 on"));
                }
                settings.pattern_steps = steps.saturating_mul(STEPS_PER_CALL).min(MOST_STEPS);
            }
            "secunicodemapfile" => {
                let (name, page) = match directive.arguments.as_slice() {
                    [name] => (name, None),
                    [name, page] => (name, Some(number(what, page)?)),
                    _ => return Err(count(&directive, "1 or 2")),
                };
                let name = String::from_utf8_lossy(name).into_owned();
                let file = beside.read(&name).ok_or(Problem::MissingFile(name))?;
                settings.unicode = Some(Arc::new(UnicodeMap::parse(file, page.unwrap_or(UTF_8_AS_US_ASCII))?));
            }
            "secparsexmlintoargs" => settings.xml_args = XmlArgs::parse(what, one()?)?,
            "secrequestbodyaccess" => settings.request_body_access = on(one()?)?,
            "secrequestbodyjsondepthlimit" => settings.json_depth_limit = number(what, one()?)?,
            "secrequestbodylimit" => settings.request_body_limit = number(what, one()?)?,
            "secrequestbodylimitaction" => settings.request_body_limit_action = BodyLimitAction::parse(what, one()?)?,
            "secrequestbodynofileslimit" => settings.request_body_no_files_limit = number(what, one()?)?,
            "secresponsebodyaccess" => settings.response_body_access = on(one()?)?,
            "secresponsebodylimit" => settings.response_body_limit = number(what, one()?)?,
            "secresponsebodylimitaction" => {
                settings.response_body_limit_action = BodyLimitAction::parse(what, one()?)?;
            }
            "secresponsebodymimetype" => {
                if directive.arguments.is_empty() {
                    return Err(count(&directive, "at least one"));
                }
                settings.response_body_mime_types = directive
                    .arguments
                    .iter()
                    .flat_map(|argument| argument.split(u8::is_ascii_whitespace))
                    .filter(|mime| !mime.is_empty())
                    .map(|mime| String::from_utf8_lossy(mime).to_ascii_lowercase())
                    .collect();
            }
            "secresponsebodymimetypesclear" => settings.response_body_mime_types.clear(),
            "secruleengine" => settings.engine = EngineMode::parse(what, one()?)?,
            "sectmpsaveuploadedfiles" | "secuploadkeepfiles" => {
                // `RelevantOnly` decides when files are deleted from a folder; here they are never written.
                let on = !one()?.eq_ignore_ascii_case(b"off");
                settings.keep_files = if on { super::Switch::On } else { super::Switch::Off };
            }
            "secuploadfilelimit" => settings.upload_file_limit = number(what, one()?)?,
            "secwebappid" => settings.web_app_id = text()?,
            "secxmlexternalentity" => {
                if on(one()?)? {
                    return Err(Problem::Unsupported("SecXmlExternalEntity On".to_owned()));
                }
            }
            "secrulescript" | "secremoterules" | "secguardianlog" => {
                return Err(Problem::Unsupported(directive.name));
            }
            "secgeolookupdb" => {
                let name = text()?;
                if beside.read(&name).is_none() {
                    return Err(Problem::MissingFile(name));
                }
            }
            _ if WITHOUT_EFFECT.contains(&name) => {
                if directive.arguments.is_empty() {
                    return Err(count(&directive, "at least one"));
                }
            }
            _ => return Err(Problem::UnknownDirective(directive.name)),
        }
        Ok(())
    }
}

/// PCRE counts the calls of its matching function, the matcher here every byte that it looks at.
const STEPS_PER_CALL: u64 = 100;

/// The most steps that `SecPcreMatchLimit` can allow: about ten milliseconds. More would let a request cost seconds.
const MOST_STEPS: u64 = 10 * DEFAULT_STEP_LIMIT;

/// The code page that the stock configuration names.
const UTF_8_AS_US_ASCII: u32 = 20_127;

/// Directives that name files, folders, logs or limits of a server that the appliance has its own of. They are read and change nothing.
const WITHOUT_EFFECT: &[&str] = &[
    "secauditlog",
    "secauditlog2",
    "secauditlogdirmode",
    "secauditlogfilemode",
    "secauditlogformat",
    "secauditlogprefix",
    "secauditlogstoragedir",
    "secauditlogtype",
    "seccachetransformations",
    "secchrootdir",
    "secconnengine",
    "secconnreadstatelimit",
    "secconnwritestatelimit",
    "seccontentinjection",
    "seccookiev0separator",
    "secdatadir",
    "secdebuglog",
    "secdebugloglevel",
    "secdisablebackendcompression",
    "secgsblookupdb",
    "sechashengine",
    "sechashkey",
    "sechashmethodpm",
    "sechashmethodrx",
    "sechashparam",
    "sechttpblkey",
    "secinterceptonerror",
    "secpcrematchlimitrecursion",
    "secreadstatelimit",
    "secremoterulesfailaction",
    "secrequestbodyinmemorylimit",
    "secruleinheritance",
    "secruleperftime",
    "secsensorid",
    "secserversignature",
    "secstatusengine",
    "secstreaminbodyinspection",
    "secstreamoutbodyinspection",
    "sectmpdir",
    "secunicodecodepage",
    "secuploaddir",
    "secuploadfilemode",
    "secwritestatelimit",
];

/// Whether a rule says that another is chained to it, as far as one can tell before it has been read.
fn continues(directive: &Directive) -> bool {
    let actions = directive.arguments.last().map_or(&[][..], Vec::as_slice);
    actions
        .split(|byte| *byte == b',')
        .any(|action| action.trim_ascii().eq_ignore_ascii_case(b"chain"))
}

fn count(directive: &Directive, wanted: &'static str) -> Problem {
    Problem::ArgumentCount {
        directive: directive.name.clone(),
        wanted,
        found: directive.arguments.len(),
    }
}

fn arguments<const N: usize>(directive: &Directive) -> Result<&[Vec<u8>; N], Problem> {
    let wanted = match N {
        1 => "1",
        _ => "2",
    };
    directive
        .arguments
        .as_slice()
        .try_into()
        .map_err(|_| count(directive, wanted))
}

/// `123` or `123:1` (the second rule of the chain).
fn linked_id(what: &str, text: &[u8]) -> Result<(u64, usize), Problem> {
    match text.iter().position(|byte| *byte == b':') {
        None => Ok((number(what, text)?, 0)),
        Some(at) => {
            let id = number(what, text.get(..at).unwrap_or_default())?;
            Ok((id, number(what, text.get(at + 1..).unwrap_or_default())?))
        }
    }
}

/// `!@name argument`; without a name it is `rx`.
pub(super) fn split_operator(text: &[u8]) -> (bool, String, Vec<u8>) {
    let text = text.trim_ascii_start();
    let (negated, text) = text
        .strip_prefix(b"!")
        .map_or((false, text), |rest| (true, rest.trim_ascii_start()));
    let Some(named) = text.strip_prefix(b"@") else {
        return (negated, "rx".to_owned(), text.to_vec());
    };
    let end = named.iter().position(u8::is_ascii_whitespace).unwrap_or(named.len());
    let (name, argument) = named.split_at(end);
    (
        negated,
        String::from_utf8_lossy(name).into_owned(),
        argument.trim_ascii_start().to_vec(),
    )
}

/// What only the first rule of a chain may say.
fn chained_actions(actions: &RuleActions) -> Result<(), Problem> {
    let wrong = [
        ("id", actions.id.is_some()),
        ("phase", actions.phase.is_some()),
        ("skip", actions.skip.is_some()),
        ("skipAfter", actions.skip_after.is_some()),
        ("a disruptive action", actions.disruptive.is_some()),
    ];
    match wrong.into_iter().find(|(_, is)| *is) {
        Some((name, _)) => Err(Problem::ChainedAction(name.to_owned())),
        None => Ok(()),
    }
}
