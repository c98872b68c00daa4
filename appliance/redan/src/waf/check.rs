//! `redan waf check`: what a rule set is, or what is wrong with it.

use std::path::Path;
use std::time::Instant;

use redan_waf::engine::RuleSet;
use redan_waf::operator::PatternKind;
use redan_waf::seclang::{Compiler, MOST_MISTAKES, Problem, RuleError};
use serde_json::{Value, json};

use super::CheckArguments;
use super::load::{Loaded, OWN, load};
use super::page::{value, wrapped};
use crate::error::CommandError;
use crate::table::{clean, size};
use crate::{Output, Verdict};

pub(crate) fn run(arguments: &CheckArguments) -> Result<Output, CommandError> {
    let folders: Vec<&Path> = arguments.folders.iter().map(AsRef::as_ref).collect();
    let loaded = load(&folders, arguments.setup.as_deref(), None)?;
    let order: Vec<&str> = loaded.order.iter().map(String::as_str).collect();
    let start = Instant::now();
    let made = Compiler::new().check(&loaded.files, &order);
    let milliseconds = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (text, verdict) = match (made, arguments.json) {
        (Ok(rules), false) => (Report::of(&rules, &loaded, milliseconds).text(), Verdict::Good),
        (Ok(rules), true) => (Report::of(&rules, &loaded, milliseconds).json(), Verdict::Good),
        (Err(mistakes), false) => (mistakes_text(&mistakes, &loaded), Verdict::Bad),
        (Err(mistakes), true) => (mistakes_json(&mistakes, &loaded), Verdict::Bad),
    };
    Ok(Output {
        text,
        verdict,
        ..Output::default()
    })
}

/// Mistakes in the manner of those in the configuration.
pub(crate) fn mistakes_text(mistakes: &[RuleError], loaded: &Loaded) -> String {
    let mut text = String::new();
    for mistake in mistakes {
        text.push_str(&wrapped("error: ", &clean(&mistake.problem.to_string())));
        text.push_str(&format!(" --> {}:{}\n", clean(&mistake.file), mistake.line));
        if let Some(line) = source(mistake, loaded) {
            let shown: String = value(line.trim()).chars().take(66).collect();
            text.push_str(&format!("{:>6} | {shown}\n", mistake.line));
        }
        if let Some(help) = help(&mistake.problem) {
            text.push_str(&wrapped(" = help: ", help));
        }
        text.push('\n');
    }
    let more = if mistakes.len() >= MOST_MISTAKES {
        ", and perhaps more"
    } else {
        ""
    };
    let count = if mistakes.len() == 1 {
        "1 mistake"
    } else {
        &format!("{} mistakes", mistakes.len())
    };
    text.push_str(&format!("{count}{more}: the rule set is refused whole\n"));
    text
}

pub(crate) fn mistakes_json(mistakes: &[RuleError], loaded: &Loaded) -> String {
    let mistakes: Vec<Value> = mistakes
        .iter()
        .map(|mistake| {
            json!({
                "file": mistake.file,
                "line": mistake.line,
                "problem": mistake.problem.to_string(),
                "text": source(mistake, loaded),
                "help": help(&mistake.problem),
            })
        })
        .collect();
    json!({ "good": false, "mistakes": mistakes }).to_string()
}

/// The line that a mistake is in.
fn source(mistake: &RuleError, loaded: &Loaded) -> Option<String> {
    let text = loaded.files.get(&mistake.file)?;
    let line = text.split(|byte| *byte == b'\n').nth(mistake.line.checked_sub(1)?)?;
    Some(String::from_utf8_lossy(line).into_owned())
}

fn help(problem: &Problem) -> Option<&'static str> {
    Some(match problem {
        Problem::ChainOpen => "the rule that is chained to this one must stand directly below it",
        Problem::DuplicateId(_) => "give one of them another id, or name each folder and file only once",
        Problem::MissingFile(_) => "names are looked up beside the file that has the directive",
        Problem::MissingId => "every rule needs an id of its own; the Core Rule Set has 900000 to 999999",
        Problem::UnclosedQuote => {
            "a rule ends with its line unless that ends with a backslash; a quote inside an argument is written \\\""
        }
        _ => return None,
    })
}

/// What a compiled rule set is.
struct Report<'a> {
    loaded: &'a Loaded,
    /// Rules of the files, without the appliance's own.
    rules: usize,
    own: usize,
    /// By phase, 1 to 5.
    phases: [usize; 5],
    /// By paranoia level, 1 to 4, and rules that tell none.
    levels: [usize; 5],
    patterns: usize,
    backtracking: Vec<(u64, String, usize)>,
    memory: usize,
    peak: Option<u64>,
    milliseconds: u64,
}

impl<'a> Report<'a> {
    fn of(rules: &RuleSet, loaded: &'a Loaded, milliseconds: u64) -> Self {
        let mut report = Self {
            loaded,
            rules: 0,
            own: 0,
            phases: [0; 5],
            levels: [0; 5],
            patterns: 0,
            backtracking: Vec::new(),
            memory: rules.memory(),
            peak: peak(),
            milliseconds,
        };
        for rule in rules.rules() {
            if rule.file.as_ref() == OWN {
                report.own += 1;
                continue;
            }
            report.rules += 1;
            let phase = usize::from(rule.phase).saturating_sub(1);
            if let Some(count) = report.phases.get_mut(phase) {
                *count += 1;
            }
            let level = rule
                .paranoia()
                .map_or(4, |level| usize::from(level).saturating_sub(1).min(4));
            if let Some(count) = report.levels.get_mut(level) {
                *count += 1;
            }
        }
        for (rule, kind) in rules.patterns().filter(|(rule, _)| rule.file.as_ref() != OWN) {
            report.patterns += 1;
            if kind == PatternKind::Backtracking {
                report.backtracking.push((rule.id, rule.file.to_string(), rule.line));
            }
        }
        report
    }

    fn text(&self) -> String {
        let [one, two, three, four, five] = self.phases;
        let mut text = format!(
            "files     {} rule files, {} data files; set-up: {}\n",
            self.loaded.rule_files,
            self.loaded.data_files,
            self.loaded.setup.as_deref().map_or("none".to_owned(), clean)
        );
        text.push_str(&format!(
            "rules     {} (a chain counts as one), after {} of the appliance's own\n",
            self.rules, self.own
        ));
        text.push_str(&format!(
            "phases    request headers {one}, request body {two}, response headers {three},\n          response body {four}, logging {five}\n",
        ));
        let [one, two, three, four, none] = self.levels;
        text.push_str(&format!(
            "paranoia  level 1: {one}, 2: {two}, 3: {three}, 4: {four}; {none} rules tell none\n"
        ));
        text.push_str(&format!(
            "patterns  {}, of which {} need the backtracking engine\n",
            self.patterns,
            self.backtracking.len()
        ));
        for (rule, file, line) in &self.backtracking {
            let name = file.rsplit_once('/').map_or(file.as_str(), |(_, name)| name);
            text.push_str(&wrapped(
                &format!("          {rule}  "),
                &format!("{}:{line}", clean(name)),
            ));
        }
        let memory = size(u64::try_from(self.memory).unwrap_or(u64::MAX));
        let peak = self
            .peak
            .map_or_else(String::new, |peak| format!("; this process had {} at most", size(peak)));
        text.push_str(&format!("memory    {memory} compiled{peak}\n"));
        text.push_str(&format!("time      {} ms to compile\n\ngood\n", self.milliseconds));
        text
    }

    fn json(&self) -> String {
        let [one, two, three, four, none] = self.levels;
        let backtracking: Vec<Value> = self
            .backtracking
            .iter()
            .map(|(rule, file, line)| json!({ "rule": rule, "file": file, "line": line }))
            .collect();
        json!({
            "good": true,
            "rule_files": self.loaded.rule_files,
            "data_files": self.loaded.data_files,
            "setup": self.loaded.setup,
            "rules": self.rules,
            "own_rules": self.own,
            "phases": self.phases,
            "paranoia": { "1": one, "2": two, "3": three, "4": four, "none": none },
            "patterns": self.patterns,
            "backtracking": backtracking,
            "memory_bytes": self.memory,
            "peak_bytes": self.peak,
            "milliseconds": self.milliseconds,
        })
        .to_string()
    }
}

/// The most memory that this process has had.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kilobytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes << 10)
}
