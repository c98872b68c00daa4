//! `redan waf explain`: what rules make of a request.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use redan_types::Timestamp;
use redan_waf::engine::{Connection, Costs, Event, Intervention, RuleCost, Scores, Stop, Transaction};
use redan_waf::sample::Sample;
use redan_waf::seclang::{Compiler, EngineMode};
use serde_json::{Value, json};

use super::ExplainArguments;
use super::check::{mistakes_json, mistakes_text};
use super::load::{load, read};
use super::page::{time, value, wrapped};
use crate::error::CommandError;
use crate::table::clean;
use crate::{Output, Verdict};

/// The longest request, in bytes: well above what the appliance inspects, so that its own limit is what shows.
const LARGEST_REQUEST: usize = 64 << 20;
/// How many of the most expensive rules are shown.
const EXPENSIVE: usize = 5;

pub(crate) fn run(arguments: &ExplainArguments) -> Result<Output, CommandError> {
    let text = read(&arguments.request, LARGEST_REQUEST)?;
    let sample = Sample::parse(&text).map_err(|source| CommandError::Sample {
        path: arguments.request.clone(),
        source,
    })?;
    let settings = arguments.paranoia.map(paranoia);
    let folder: &Path = &arguments.folder;
    let loaded = load(&[folder], arguments.setup.as_deref(), settings.as_deref())?;
    let order: Vec<&str> = loaded.order.iter().map(String::as_str).collect();
    let rules = match Compiler::new().check(&loaded.files, &order) {
        Ok(rules) => Arc::new(rules),
        Err(mistakes) => {
            return Ok(Output {
                text: if arguments.json {
                    mistakes_json(&mistakes, &loaded)
                } else {
                    mistakes_text(&mistakes, &loaded)
                },
                verdict: Verdict::Bad,
                ..Output::default()
            });
        }
    };
    let mut transaction = Transaction::new(rules);
    // Once to warm up, so that the times are those of a server that runs.
    for _ in 0..2 {
        feed(&mut transaction, &sample, arguments.all);
    }
    let explained = Explained {
        sample: &sample,
        setup: loaded.setup.as_deref(),
        refused: refused(&sample),
        events: transaction
            .events()
            .iter()
            .filter(|event| event.log || arguments.all)
            .collect(),
        cut: transaction.events_cut() > 0,
        scores: transaction.scores(),
        levels: levels(&transaction),
        verdict: transaction.intervention(),
        costs: transaction.costs().cloned().unwrap_or_default(),
    };
    Ok(Output::text(if arguments.json {
        explained.json()
    } else {
        explained.text()
    }))
}

/// What sets the paranoia level for version 3 and 4 of the Core Rule Set.
fn paranoia(level: u8) -> String {
    let names = [
        "blocking_paranoia_level",
        "detection_paranoia_level",
        "paranoia_level",
        "executing_paranoia_level",
    ];
    let settings: Vec<String> = names.iter().map(|name| format!("setvar:tx.{name}={level}")).collect();
    format!(
        "SecAction \"id:7100200,phase:1,nolog,pass,t:none,{}\"\n",
        settings.join(",")
    )
}

fn feed(transaction: &mut Transaction, sample: &Sample, all: bool) {
    let rules = transaction.rules();
    transaction.reset(rules);
    transaction.set_mode(EngineMode::On);
    if all {
        transaction.report_all_matches();
    }
    let start = Instant::now();
    transaction.watch(move || u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
    // An address of the documentation's (RFC 5737): rules make exceptions for some real ones, such as the loopback's.
    let connection = Connection {
        client: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)),
        client_port: 40_000,
        server: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2)),
        server_port: 443,
    };
    transaction.connection(&connection, "explained", Timestamp::from_system(SystemTime::now()));
    sample.feed(transaction);
    transaction.log();
}

/// Why the appliance's HTTP codec would refuse the request before any rule sees it.
fn refused(sample: &Sample) -> Option<String> {
    let mut head = Vec::new();
    for part in [
        &sample.method[..],
        b" ",
        &sample.target,
        b" ",
        &sample.protocol,
        b"\r\n",
    ] {
        head.extend_from_slice(part);
    }
    for (name, value) in &sample.headers {
        for part in [&name[..], b": ", value, b"\r\n"] {
            head.extend_from_slice(part);
        }
    }
    head.extend_from_slice(b"\r\n");
    redan_http1::parse_request(&head, &redan_http1::Limits::default())
        .err()
        .map(|refusal| refusal.to_string())
}

/// What each paranoia level has summed up for the request.
fn levels(transaction: &Transaction) -> Vec<(u8, i64)> {
    (1..=4)
        .filter_map(|level| {
            let names = [
                format!("inbound_anomaly_score_pl{level}"),
                format!("anomaly_score_pl{level}"),
            ];
            let sum = names.iter().find_map(|name| transaction.tx(name)?.parse().ok())?;
            Some((level, sum))
        })
        .collect()
}

/// All there is to say about a request.
struct Explained<'a> {
    sample: &'a Sample,
    setup: Option<&'a str>,
    refused: Option<String>,
    events: Vec<&'a Event>,
    cut: bool,
    scores: Scores,
    levels: Vec<(u8, i64)>,
    verdict: Option<&'a Intervention>,
    costs: Costs,
}

impl Explained<'_> {
    fn text(&self) -> String {
        let sample = self.sample;
        let lossy = |bytes: &[u8]| value(&String::from_utf8_lossy(bytes));
        let line = format!(
            "{} {} {}",
            lossy(&sample.method),
            lossy(&sample.target),
            lossy(&sample.protocol)
        );
        let mut text = wrapped("request   ", &line);
        text.push_str(&format!(
            "          {} headers, {} bytes of body\n",
            sample.headers.len(),
            sample.body.len()
        ));
        text.push_str(&wrapped("set-up    ", self.setup.unwrap_or("none")));
        if let Some(refusal) = &self.refused {
            text.push_str(&wrapped(
                "note      ",
                &format!("the appliance refuses this request before any rule sees it: {refusal}"),
            ));
        }
        let mut phase = 0;
        for event in &self.events {
            if event.rule.phase != phase {
                phase = event.rule.phase;
                text.push_str(&format!("\nPhase {phase}, {}\n", name(phase)));
            }
            text.push_str(&matched(event));
        }
        if self.events.is_empty() {
            text.push_str("\nNo rule matches.\n");
        }
        if self.cut {
            text.push_str("  More rules matched than are shown.\n");
        }
        text.push_str(&self.sums());
        text.push_str(&wrapped("Verdict   ", &verdict(self.verdict)));
        text.push_str(&self.cost());
        text
    }

    fn sums(&self) -> String {
        let Some(sum) = self.scores.inbound else {
            return "\n".to_owned();
        };
        let threshold = self.scores.inbound_threshold.unwrap_or(0);
        let levels: Vec<String> = self
            .levels
            .iter()
            .map(|(level, sum)| format!("level {level}: {sum}"))
            .collect();
        let counted = self.scores.level.unwrap_or(1);
        format!(
            "\n{}",
            wrapped(
                "Score     ",
                &format!(
                    "{sum}, blocked from {threshold} on; up to paranoia level {counted} counts ({})",
                    levels.join(", ")
                ),
            )
        )
    }

    fn cost(&self) -> String {
        let mut text = "\nCost      phase           rules asked  patterns run        time\n".to_owned();
        for phase in &self.costs.phases {
            text.push_str(&format!(
                "          {:<15} {:>11} {:>13} {:>11}\n",
                name(phase.phase),
                phase.rules,
                phase.searches,
                time(phase.nanoseconds)
            ));
        }
        text.push_str("\nMost expensive rules (who looks at a value first pays for transforming it)\n");
        for cost in self.expensive() {
            text.push_str(&format!(
                "  {:>9}  phase {}  {:>4} patterns run  {:>10}\n",
                cost.rule.id,
                cost.rule.phase,
                cost.searches,
                time(cost.nanoseconds)
            ));
        }
        text
    }

    fn expensive(&self) -> Vec<&RuleCost> {
        let mut rules: Vec<&RuleCost> = self.costs.rules.iter().collect();
        rules.sort_by_key(|cost| std::cmp::Reverse(cost.nanoseconds));
        rules.truncate(EXPENSIVE);
        rules
    }

    fn json(&self) -> String {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let matches: Vec<Value> = self
            .events
            .iter()
            .map(|event| {
                json!({
                    "rule": event.rule.id,
                    "phase": event.rule.phase,
                    "file": event.rule.file.as_ref(),
                    "line": event.rule.line,
                    "severity": event.rule.severity.map(redan_waf::seclang::Severity::name),
                    "paranoia": event.rule.paranoia(),
                    "message": event.message,
                    "variable": event.matched.name,
                    "value": event.matched.value,
                    "data": event.data,
                    "tags": event.tags,
                    "points": event.score.points,
                    "logged": event.log,
                })
            })
            .collect();
        let phases: Vec<Value> = self
            .costs
            .phases
            .iter()
            .map(|phase| {
                json!({
                    "phase": phase.phase,
                    "rules": phase.rules,
                    "patterns_run": phase.searches,
                    "nanoseconds": phase.nanoseconds,
                })
            })
            .collect();
        let expensive: Vec<Value> = self
            .expensive()
            .iter()
            .map(|cost| {
                json!({
                    "rule": cost.rule.id,
                    "phase": cost.rule.phase,
                    "patterns_run": cost.searches,
                    "nanoseconds": cost.nanoseconds,
                })
            })
            .collect();
        let verdict = self.verdict.map(|verdict| {
            json!({
                "status": verdict.status,
                "rule": verdict.rule,
                "phase": verdict.phase,
                "action": match &verdict.stop {
                    Stop::Deny => "deny",
                    Stop::Drop => "drop",
                    Stop::Proxy(_) => "proxy",
                    Stop::Redirect(_) => "redirect",
                },
            })
        });
        json!({
            "request": {
                "method": lossy(&self.sample.method),
                "target": lossy(&self.sample.target),
                "protocol": lossy(&self.sample.protocol),
                "headers": self.sample.headers.len(),
                "body_bytes": self.sample.body.len(),
            },
            "setup": self.setup,
            "refused_before_rules": self.refused,
            "matches": matches,
            "matches_cut": self.cut,
            "scores": self.scores,
            "inbound_by_level": self.levels.iter().map(|(level, sum)| (level.to_string(), json!(sum))).collect::<serde_json::Map<_, _>>(),
            "blocked": self.verdict.is_some(),
            "verdict": verdict,
            "phases": phases,
            "most_expensive": expensive,
        })
        .to_string()
    }
}

/// A match in a few lines.
fn matched(event: &Event) -> String {
    let mut facts = Vec::new();
    facts.extend(event.rule.severity.map(|severity| severity.name().to_ascii_lowercase()));
    facts.extend(event.rule.paranoia().map(|level| format!("paranoia {level}")));
    if event.score.points != 0 {
        facts.push(format!("{:+} points", event.score.points));
    }
    if !event.log {
        facts.push("not logged".to_owned());
    }
    let mut text = wrapped(&format!("  {:<9} ", event.rule.id), &clean(&event.message));
    if !facts.is_empty() {
        text.push_str(&format!("            {}\n", facts.join(", ")));
    }
    if !event.matched.name.is_empty() {
        text.push_str(&wrapped("            variable  ", &value(&event.matched.name)));
        text.push_str(&wrapped("            value     ", &value(&event.matched.value)));
    }
    if !event.data.is_empty() {
        text.push_str(&wrapped("            data      ", &value(&event.data)));
    }
    let file = event
        .rule
        .file
        .rsplit_once('/')
        .map_or(event.rule.file.as_ref(), |(_, name)| name);
    text.push_str(&wrapped(
        "            rule at   ",
        &format!("{}:{}", clean(file), event.rule.line),
    ));
    text
}

fn verdict(verdict: Option<&Intervention>) -> String {
    let Some(verdict) = verdict else {
        return "passes".to_owned();
    };
    let by = if verdict.rule == 0 {
        "a limit of the set-up: the body is longer than is inspected".to_owned()
    } else {
        format!("rule {}", verdict.rule)
    };
    let what = match &verdict.stop {
        Stop::Deny => format!("is refused with status {}", verdict.status),
        Stop::Drop => "is dropped without an answer".to_owned(),
        Stop::Proxy(to) => format!("is sent to {}", value(to)),
        Stop::Redirect(to) => format!("is redirected to {} with status {}", value(to), verdict.status),
    };
    format!("{what} in phase {} by {by}, where the service blocks", verdict.phase)
}

fn name(phase: u8) -> &'static str {
    match phase {
        1 => "request headers",
        2 => "request body",
        3 => "response headers",
        4 => "response body",
        _ => "logging",
    }
}
