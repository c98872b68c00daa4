//! The web application firewall's part of a configuration: rule files asked of the supervisor, settings and exceptions written as
//! rules, everything compiled once here, off the data path, so that a mistake refuses the commit and not a request.

use crate::world::PlanError;
use redan_config::{Appliance, Beyond, ExceptionPath, RuleSetName, Waf, WafException, WafMode};
use redan_ipc::rules::{RuleArchive, assemble};
use redan_ipc::slice::{RuleSource, WafPolicy};
use redan_types::{ServiceName, Timestamp};
use redan_waf::exception::{Exception, Parameter, Place};
use redan_waf::seclang::{Compiler, DEFAULTS, RuleFiles};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};

/// Where the Core Rule Set is looked for when the document does not say: the appliance's own, then Debian's.
const CRS: [(&str, Option<&str>); 2] = [
    ("/usr/share/redan/rules/crs", None),
    (
        "/usr/share/modsecurity-crs",
        Some("/etc/modsecurity/crs/crs-setup.conf"),
    ),
];
/// Ids of the rules that are made here: settings, then exceptions.
const SETTINGS_ID: u32 = 7_180_000;
const EXCEPTIONS_ID: u64 = 7_190_000;
/// Rule sets of one configuration.
const SETS: usize = 4;

/// The rules of all services.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rules {
    /// The rule sets.
    pub sets: Vec<RuleArchive>,
    /// What each service compiles.
    pub services: BTreeMap<ServiceName, WafPolicy>,
    /// Exceptions that end, and when.
    pub endings: Vec<(Timestamp, String)>,
}

/// Rules that have been compiled without a mistake, by the hash of everything that they were made of.
#[derive(Debug, Default)]
pub struct Compiled(BTreeSet<[u8; 32]>);

/// Makes the rules of all services. `fetch` gives the rule files of a folder, or says why there are none.
///
/// # Errors
/// A rule set that is not there, or a mistake in a rule with its file and line.
pub fn rules(
    appliance: &Appliance,
    now: Timestamp,
    compiled: &mut Compiled,
    mut fetch: impl FnMut(&str, Option<&str>) -> Result<Result<RuleArchive, String>, PlanError>,
) -> Result<Rules, PlanError> {
    let mut rules = Rules::default();
    let mut places: BTreeMap<&RuleSetName, u16> = BTreeMap::new();
    let mut reasons = Vec::new();
    let (mut compiler, mut sound) = (Compiler::new(), BTreeSet::new());
    for (name, service) in &appliance.services {
        let Some(waf) = service.waf.as_ref().filter(|waf| waf.mode != WafMode::Off) else {
            continue;
        };
        let place = match places.get(&waf.rules) {
            Some(place) => *place,
            None if rules.sets.len() >= SETS => {
                reasons.push(format!("more than {SETS} rule sets are in use"));
                break;
            }
            None => match find(appliance, &waf.rules, &mut fetch)? {
                Ok(archive) => {
                    let place = u16::try_from(rules.sets.len()).unwrap_or(u16::MAX);
                    rules.sets.push(archive);
                    places.insert(&waf.rules, place);
                    place
                }
                Err(reason) => {
                    reasons.push(format!("service {name}: {reason}"));
                    continue;
                }
            },
        };
        let sources = match sources(waf, place, now) {
            Ok(sources) => sources,
            Err(reason) => {
                reasons.push(format!("service {name}, web application firewall: {reason}"));
                continue;
            }
        };
        match check(&sources, &rules.sets, &mut compiler, compiled) {
            Ok(hash) => drop(sound.insert(hash)),
            Err(mistakes) => {
                let told = mistakes.into_iter();
                reasons.extend(told.map(|reason| format!("service {name}, web application firewall: {reason}")));
            }
        }
        for exception in waf.exceptions.iter().filter(|exception| !has_ended(exception, now)) {
            let ending = exception.expires.map(|moment| (moment.0, described(name, exception)));
            rules.endings.extend(ending);
        }
        rules.services.insert(
            name.clone(),
            WafPolicy {
                blocking: waf.mode == WafMode::Block,
                sources,
                response_bodies: waf.response_bodies,
                paranoia: waf.paranoia,
                inbound_threshold: waf.inbound_threshold,
                outbound_threshold: waf.outbound_threshold,
            },
        );
    }
    if !reasons.is_empty() {
        return Err(PlanError::Refused(reasons));
    }
    compiled.0 = sound;
    Ok(rules)
}

fn find(
    appliance: &Appliance,
    name: &RuleSetName,
    fetch: &mut impl FnMut(&str, Option<&str>) -> Result<Result<RuleArchive, String>, PlanError>,
) -> Result<Result<RuleArchive, String>, PlanError> {
    if let Some(set) = appliance.rule_sets.get(name) {
        let setup = set.setup.as_ref().map(redan_config::FolderPath::as_str);
        let found = fetch(set.directory.as_str(), setup)?;
        return Ok(found.map_err(|reason| format!("the rule set {name} cannot be used: {reason}")));
    }
    let mut reasons = Vec::new();
    for (directory, setup) in CRS {
        match fetch(directory, setup)? {
            Ok(archive) => return Ok(Ok(archive)),
            Err(reason) => reasons.push(reason),
        }
    }
    Ok(Err(format!(
        "the OWASP Core Rule Set is not installed ({}): install Debian's package modsecurity-crs, or name the folder of a rule set in \
         [rule-sets.{name}]",
        reasons.join("; ")
    )))
}

/// Compiles unless the very same has been compiled before; gives its hash, or all mistakes.
fn check(
    sources: &[RuleSource],
    sets: &[RuleArchive],
    compiler: &mut Compiler,
    compiled: &Compiled,
) -> Result<[u8; 32], Vec<String>> {
    let files = assemble(sources, sets).map_err(|error| vec![error.to_string()])?;
    let mut hash = Sha256::new();
    for (name, content, is_rules) in &files {
        // Lengths keep what is beside each other apart.
        hash.update(name.len().to_le_bytes());
        hash.update(name);
        hash.update(content.len().to_le_bytes());
        hash.update(content);
        hash.update([u8::from(*is_rules)]);
    }
    let hash = hash.finalize().into();
    if compiled.0.contains(&hash) {
        return Ok(hash);
    }
    let mut all = RuleFiles::new();
    let mut order = Vec::new();
    for (name, content, is_rules) in files {
        if is_rules {
            order.push(name.clone());
        }
        all.insert(name, content);
    }
    let order: Vec<&str> = order.iter().map(String::as_str).collect();
    match redan_service::aside(|| compiler.check(&all, &order).map(drop)) {
        Ok(Ok(())) => Ok(hash),
        Ok(Err(mistakes)) => Err(mistakes.iter().map(ToString::to_string).collect()),
        Err(error) => Err(vec![format!("no thread to compile on: {error}")]),
    }
}

/// What a service compiles, in order. Settings of the engine come last: no file of a rule set has the last word about them.
fn sources(waf: &Waf, set: u16, now: Timestamp) -> Result<Vec<RuleSource>, String> {
    let text = |name: &str, text: String| RuleSource::Text {
        name: name.to_owned(),
        text,
    };
    let custom = |when: &str, texts: &[redan_config::RuleText]| -> Vec<RuleSource> {
        let texts = texts.iter().enumerate();
        texts
            .map(|(index, own)| text(&format!("waf.custom.{when}[{index}]"), own.0.clone()))
            .collect()
    };
    let mut sources = vec![
        text("defaults.conf", String::from_utf8_lossy(DEFAULTS).into_owned()),
        RuleSource::Setup(set),
        text("levels.conf", levels(waf)),
        text("exceptions.conf", exceptions(&waf.exceptions, now)?),
    ];
    sources.extend(custom("before", &waf.custom.before));
    if waf.code_injection {
        sources.push(text("code-injection.conf", redan_waf::pack::CODE_INJECTION.to_owned()));
    }
    sources.push(RuleSource::Rules(set));
    sources.extend(custom("after", &waf.custom.after));
    sources.push(text("settings.conf", settings(waf)));
    Ok(sources)
}

/// Levels and thresholds as the Core Rule Set reads them, in the names of both its third and its fourth version.
fn levels(waf: &Waf) -> String {
    let Waf {
        paranoia,
        inbound_threshold,
        outbound_threshold,
        sampling,
        ..
    } = waf;
    let detection = waf.detection_paranoia.unwrap_or(*paranoia);
    let early = u8::from(waf.early_blocking);
    format!(
        "SecAction \"id:{SETTINGS_ID},phase:1,pass,nolog,t:none,\
         setvar:tx.paranoia_level={paranoia},setvar:tx.executing_paranoia_level={detection},\
         setvar:tx.blocking_paranoia_level={paranoia},setvar:tx.detection_paranoia_level={detection},\
         setvar:tx.inbound_anomaly_score_threshold={inbound_threshold},\
         setvar:tx.outbound_anomaly_score_threshold={outbound_threshold},\
         setvar:tx.early_blocking={early},setvar:tx.sampling_percentage={sampling}\"\n"
    )
}

fn settings(waf: &Waf) -> String {
    let engine = if waf.mode == WafMode::Block {
        "On"
    } else {
        "DetectionOnly"
    };
    let beyond = match waf.request_body_beyond {
        Beyond::Pass => "ProcessPartial",
        Beyond::Refuse => "Reject",
    };
    let responses = if waf.response_bodies { "On" } else { "Off" };
    let limit = waf.request_body.0;
    format!(
        "SecRuleEngine {engine}\nSecRequestBodyAccess On\nSecRequestBodyLimit {limit}\nSecRequestBodyNoFilesLimit {limit}\n\
         SecRequestBodyLimitAction {beyond}\nSecResponseBodyAccess {responses}\nSecResponseBodyLimit 1048576\n\
         SecResponseBodyLimitAction ProcessPartial\nSecAuditEngine RelevantOnly\nSecAuditLogParts ABFHZ\n"
    )
}

fn has_ended(exception: &WafException, now: Timestamp) -> bool {
    exception.expires.is_some_and(|moment| moment.0 <= now)
}

/// Each exception that has not ended as the narrowest rule: on its path, for its parameter.
fn exceptions(all: &[WafException], now: Timestamp) -> Result<String, String> {
    let mut text = String::new();
    for (id, exception) in (EXCEPTIONS_ID..).zip(all) {
        if !has_ended(exception, now) {
            text.push_str(&as_rule(exception)?.seclang(id));
        }
    }
    Ok(text)
}

/// The exception in the words of the rule engine. The service does not matter there: each has rules of its own.
pub(crate) fn as_rule(exception: &WafException) -> Result<Exception, String> {
    let parameter = exception.parameter.as_ref().map(|parameter| {
        let parsed = Parameter::parse(parameter.as_str());
        parsed.map_err(|error| format!("{parameter} in an exception: {error}"))
    });
    Ok(Exception {
        service: String::new(),
        rules: exception
            .rule
            .ranges()
            .iter()
            .map(|(first, last)| (u64::from(*first), u64::from(*last)))
            .collect(),
        path: match &exception.path {
            ExceptionPath::Exact(path) => Place::Exact(path.clone()),
            ExceptionPath::Prefix(path) => Place::Prefix(path.clone()),
        },
        parameter: parameter.transpose()?,
        expires: exception.expires.map(|moment| moment.0),
        reason: exception.reason.clone(),
    })
}

fn described(service: &ServiceName, exception: &WafException) -> String {
    let parameter = exception
        .parameter
        .as_ref()
        .map(|parameter| format!(" for {parameter}"))
        .unwrap_or_default();
    format!(
        "service {service}: rule {} on {}{parameter} ({})",
        exception.rule, exception.path, exception.reason
    )
}

#[cfg(test)]
mod tests {
    use super::{Compiled, Rules, exceptions, rules};
    use crate::world::PlanError;
    use redan_config::Appliance;
    use redan_ipc::rules::{RuleArchive, RuleFile};
    use redan_ipc::slice::RuleSource;
    use redan_types::Timestamp;
    use std::cell::RefCell;

    const GOOD: &str = include_str!("../../../config/examples/evaluation-bare.toml");
    const RULE: &[u8] = b"SecRule ARGS \"@rx x\" \"id:1,phase:2,deny\"\n";

    fn made(waf: &str, rule: &[u8], now: u64) -> (Result<Rules, PlanError>, Vec<String>) {
        let appliance = Appliance::parse(&format!("{GOOD}\n{waf}"), "redan.toml").unwrap();
        let asked = RefCell::new(Vec::new());
        let made = rules(&appliance, Timestamp(now), &mut Compiled::default(), |directory, _| {
            asked.borrow_mut().push(directory.to_owned());
            Ok(if directory == "/rules" {
                let file = RuleFile {
                    name: "rules/one.conf",
                    content: rule,
                };
                Ok(RuleArchive::pack([file]).unwrap())
            } else {
                Err(format!("{directory} is empty"))
            })
        });
        (made, asked.into_inner())
    }

    const OWN: &str =
        "[rule-sets.own]\ndirectory = \"/rules\"\n[services.shop.waf]\nmode = \"block\"\nrules = \"own\"\n";

    #[test]
    fn without_the_core_rule_set_the_refusal_says_what_to_install_and_where_it_was_looked_for() {
        let (made, asked) = made("[services.shop.waf]\nmode = \"detect\"\n", RULE, 0);
        let Err(PlanError::Refused(reasons)) = made else {
            panic!("accepted")
        };
        assert_eq!(asked, ["/usr/share/redan/rules/crs", "/usr/share/modsecurity-crs"]);
        assert!(
            reasons[0].contains("modsecurity-crs, or name the folder"),
            "{reasons:?}"
        );
        assert!(reasons[0].contains("service shop"), "{reasons:?}");
    }

    #[test]
    fn a_service_that_is_off_asks_for_no_rules() {
        let (made, asked) = made("[services.shop.waf]\nmode = \"off\"\n", RULE, 0);
        assert_eq!(made.unwrap(), Rules::default());
        assert!(asked.is_empty());
    }

    #[test]
    fn settings_have_the_last_word_and_levels_come_before_the_rules() {
        let (made, _) = made(OWN, b"SecRuleEngine Off\nSecRequestBodyLimit 1\n", 0);
        let sources = made.unwrap().services.pop_first().unwrap().1.sources;
        let names: Vec<_> = sources
            .iter()
            .map(|source| match source {
                RuleSource::Text { name, .. } => name.as_str(),
                RuleSource::Setup(_) => "setup",
                RuleSource::Rules(_) => "rules",
            })
            .collect();
        assert_eq!(
            names,
            [
                "defaults.conf",
                "setup",
                "levels.conf",
                "exceptions.conf",
                "rules",
                "settings.conf"
            ]
        );
    }

    #[test]
    fn a_mistake_is_told_with_service_file_and_line() {
        let (made, _) = made(OWN, b"\nSecRule ARGS \"@rx (\" \"id:1\"\n", 0);
        let Err(PlanError::Refused(reasons)) = made else {
            panic!("accepted")
        };
        assert!(reasons[0].starts_with("service shop"), "{reasons:?}");
        assert!(reasons[0].contains("rules/one.conf:2"), "{reasons:?}");
    }

    #[test]
    fn all_mistakes_are_told_not_only_the_first() {
        let rules = b"SecRule ARGS \"@rx (\" \"id:1\"\nSecNonsense\nSecRule ARGS \"@rx x\" \"id:2,nonsense\"\n";
        let (made, _) = made(OWN, rules, 0);
        let Err(PlanError::Refused(reasons)) = made else {
            panic!("accepted")
        };
        for line in 1..=3 {
            let place = format!("rules/one.conf:{line}");
            assert!(
                reasons.iter().any(|reason| reason.contains(&place)),
                "{place}: {reasons:?}"
            );
        }
    }

    #[test]
    fn an_exception_is_as_narrow_as_it_can_be_written_and_gone_when_it_has_ended() {
        let waf = format!(
            "{OWN}\n[[services.shop.waf.exceptions]]\nrule = [5, \"7-9\"]\npath = \"/a/*\"\nparameter = \"ARGS:q\"\nreason = \"r\"\n\
             [[services.shop.waf.exceptions]]\nrule = 5\npath = \"/b\"\nexpires = 1970-01-01T00:00:10Z\nreason = \"r\"\n"
        );
        let appliance = Appliance::parse(&format!("{GOOD}\n{waf}"), "redan.toml").unwrap();
        let all = &appliance
            .services
            .values()
            .next()
            .unwrap()
            .waf
            .as_ref()
            .unwrap()
            .exceptions;
        let first = "SecRule REQUEST_FILENAME \"@beginsWith /a/\" \"id:7190000,phase:1,pass,nolog,t:none,\
            ctl:ruleRemoveTargetById=5;ARGS:/(?-i)^q$/,ctl:ruleRemoveTargetById=7-9;ARGS:/(?-i)^q$/\"\n";
        let second = "SecRule REQUEST_FILENAME \"@streq /b\" \"id:7190001,phase:1,pass,nolog,t:none,chain\"\n    \
            SecRule TIME_EPOCH \"@lt 10\" \"t:none,ctl:ruleRemoveById=5\"\n";
        assert_eq!(
            exceptions(all, Timestamp(9_999_999)).unwrap(),
            format!("{first}{second}")
        );
        assert_eq!(exceptions(all, Timestamp(10_000_000)).unwrap(), first);
        let endings = |now| made(&waf, RULE, now).0.unwrap().endings.len();
        assert_eq!((endings(0), endings(10_000_000)), (1, 0));
    }
}
