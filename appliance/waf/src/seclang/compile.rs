//! From what rule files say to a rule set that transactions run through: operators compiled, updates applied, jumps resolved.

use std::{collections::HashMap, sync::Arc};

use super::{
    Action, Ctl, Disruptive, Problem, RuleError, RuleFiles, Selector, Settings, Slots, TargetText, Template, Which,
    directives::{Entry, Reading, Update, WrittenRule},
};
use crate::{
    bytes::ByteSet,
    engine::{
        Alternative, Batch, Comparison, DynamicOperator, Link, List, OnlySlot, Operand, Removal, Rule, RuleMeta,
        RuleSet, Source, Strand, Test, Variable, integer,
    },
    operator::{Captures, Operator, OperatorKind},
    transform::Transformation,
};

/// Compiles rule sets. Operators compiled once are shared by all rule sets that one compiler makes, so that a service with other
/// exclusions costs little.
#[derive(Debug, Default)]
pub struct Compiler {
    operators: HashMap<OperatorText, Arc<Operator>>,
}

/// What an operator was compiled from.
#[derive(Debug, Eq, Hash, PartialEq)]
struct OperatorText {
    name: String,
    argument: Vec<u8>,
    /// For operators that read a data file: its content's place.
    file: Option<(String, u64)>,
}

impl Compiler {
    /// A compiler that has compiled nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Compiles the rule files named in `order` as one rule set.
    ///
    /// # Errors
    ///
    /// The first mistake, with its file and line.
    pub fn compile(&mut self, files: &RuleFiles, order: &[&str]) -> Result<RuleSet, RuleError> {
        let mut reading = Reading::default();
        for path in order {
            reading.file(files, path, 0)?;
        }
        let mut reading = unique_ids(reading)?;
        let updates = std::mem::take(&mut reading.updates);
        apply(&mut reading.entries, &updates);
        let mut build = Build {
            operators: &mut self.operators,
            files,
            slots: reading.slots,
            rules: Vec::new(),
            lists: Vec::new(),
            list_texts: HashMap::new(),
            link_targets: Vec::new(),
            steps: Vec::new(),
            chains: vec![Vec::new()],
            batches: Vec::new(),
            strands: Vec::new(),
            removals: Vec::new(),
        };
        let mut markers = Vec::new();
        let mut jumps = Vec::new();
        for entry in reading.entries {
            match entry {
                Entry::Marker(name) => markers.push((name, build.rules.len())),
                Entry::Chain(chain) => {
                    let Some(first) = chain.first() else { continue };
                    let actions = &first.actions;
                    jumps.push((
                        actions.skip,
                        actions.skip_after.clone(),
                        Arc::clone(&first.file),
                        first.line,
                    ));
                    build.rule(chain)?;
                }
            }
        }
        build.removals();
        build.pick_slots();
        let mut phases: [Vec<usize>; 6] = Default::default();
        for (index, rule) in build.rules.iter().enumerate() {
            if let Some(phase) = phases.get_mut(usize::from(rule.meta.phase)) {
                phase.push(index);
            }
        }
        for (index, (skip, after, file, line)) in jumps.into_iter().enumerate() {
            let jump = build.jump(index, skip, after.as_deref(), &markers, &phases);
            let jump = jump.map_err(|problem| RuleError {
                file: file.to_string(),
                line,
                problem,
            })?;
            if let Some(rule) = build.rules.get_mut(index) {
                rule.jump = jump;
            }
        }
        Ok(build.finish(reading.settings, phases))
    }
}

/// Refuses two rules of one id.
fn unique_ids(reading: Reading) -> Result<Reading, RuleError> {
    let mut seen = std::collections::HashSet::new();
    for entry in &reading.entries {
        if let Entry::Chain(chain) = entry
            && let Some(first) = chain.first()
            && let Some(id) = first.actions.id
            && !seen.insert(id)
        {
            return Err(RuleError {
                file: first.file.to_string(),
                line: first.line,
                problem: Problem::DuplicateId(id),
            });
        }
    }
    Ok(reading)
}

/// Applies the directives that change rules which stand elsewhere.
fn apply(entries: &mut Vec<Entry>, updates: &[Update]) {
    for update in updates {
        let concerned = |entry: &Entry| {
            let Entry::Chain(chain) = entry else { return false };
            let Some(actions) = chain.first().map(|first| &first.actions) else {
                return false;
            };
            match update {
                Update::Remove(which) | Update::Targets { which, .. } => {
                    which.concerns(actions.id.unwrap_or(0), actions.message.as_ref(), &actions.tags)
                }
                Update::Actions { id, .. } => actions.id == Some(*id),
            }
        };
        if matches!(update, Update::Remove(_)) {
            entries.retain(|entry| !concerned(entry));
            continue;
        }
        for entry in entries.iter_mut().filter(|entry| concerned(entry)) {
            let Entry::Chain(chain) = entry else { continue };
            match update {
                Update::Remove(_) => {}
                Update::Targets {
                    link,
                    targets,
                    replaces,
                    ..
                } => {
                    let Some(rule) = chain.get_mut(*link) else { continue };
                    if let Some(replaces) = replaces {
                        rule.targets
                            .retain(|target| !replaces.iter().any(|old| old.text == target.text));
                    }
                    rule.targets.extend(targets.iter().cloned());
                }
                Update::Actions { link, actions, .. } => {
                    if let Some(rule) = chain.get_mut(*link) {
                        change_actions(&mut rule.actions, actions);
                    }
                }
            }
        }
    }
}

/// Puts new actions in the place of old ones; tags, transformations and what a match runs are added to them.
fn change_actions(old: &mut super::RuleActions, new: &super::RuleActions) {
    fn replace<T: Clone>(old: &mut Option<T>, new: Option<&T>) {
        if let Some(new) = new {
            *old = Some(new.clone());
        }
    }
    replace(&mut old.accuracy, new.accuracy.as_ref());
    replace(&mut old.audit, new.audit.as_ref());
    replace(&mut old.disruptive, new.disruptive.as_ref());
    replace(&mut old.log, new.log.as_ref());
    replace(&mut old.logdata, new.logdata.as_ref());
    replace(&mut old.maturity, new.maturity.as_ref());
    replace(&mut old.message, new.message.as_ref());
    replace(&mut old.revision, new.revision.as_ref());
    replace(&mut old.severity, new.severity.as_ref());
    replace(&mut old.skip, new.skip.as_ref());
    replace(&mut old.skip_after, new.skip_after.as_ref());
    replace(&mut old.status, new.status.as_ref());
    replace(&mut old.version, new.version.as_ref());
    old.capture |= new.capture;
    old.multi_match |= new.multi_match;
    old.run.extend(new.run.iter().cloned());
    old.tags.extend(new.tags.iter().cloned());
    if new.transform_reset {
        old.transform_reset = true;
        old.transformations.clear();
    }
    old.transformations.extend(new.transformations.iter().copied());
}

struct Build<'a> {
    operators: &'a mut HashMap<OperatorText, Arc<Operator>>,
    files: &'a RuleFiles,
    slots: Slots,
    rules: Vec<Rule>,
    lists: Vec<List>,
    list_texts: HashMap<Vec<u8>, usize>,
    /// The targets of each rule's first link, for removals.
    link_targets: Vec<Vec<TargetText>>,
    steps: Vec<Transformation>,
    chains: Vec<Vec<usize>>,
    batches: Vec<Batch>,
    strands: Vec<Strand>,
    removals: Vec<(Which, Option<TargetText>)>,
}

impl Build<'_> {
    fn rule(&mut self, chain: Vec<WrittenRule>) -> Result<(), RuleError> {
        let Some(first) = chain.first() else { return Ok(()) };
        let phase = first.actions.phase.unwrap_or(2);
        let defaults = first.defaults.get(&phase);
        let actions = first.actions.clone();
        let default_disruptive = || defaults.and_then(|defaults| defaults.disruptive.clone());
        let disruptive = match actions.disruptive {
            None | Some(Disruptive::Block) => default_disruptive().unwrap_or(Disruptive::Pass),
            Some(disruptive) => disruptive,
        };
        let last = chain.last().map(|last| &last.actions);
        let log = actions
            .log
            .or_else(|| last.and_then(|last| last.log))
            .or_else(|| defaults.and_then(|d| d.log));
        let log = log.unwrap_or(true);
        let audit = actions.audit.unwrap_or(match actions.log {
            Some(log) => log,
            None => defaults.and_then(|defaults| defaults.audit).unwrap_or(log),
        });
        let meta = RuleMeta {
            id: actions.id.unwrap_or(0),
            phase,
            file: Arc::clone(&first.file),
            line: first.line,
            severity: actions.severity,
            version: actions.version,
            revision: actions.revision,
            maturity: actions.maturity,
            accuracy: actions.accuracy,
            message: actions.message,
            logdata: actions.logdata,
            tags: actions.tags,
        };
        let status = actions.status.or_else(|| defaults.and_then(|defaults| defaults.status));
        self.link_targets.push(first.targets.clone());
        let mut links = Vec::new();
        for written in chain {
            let (file, line) = (Arc::clone(&written.file), written.line);
            let link = self.link(written, phase);
            links.push(link.map_err(|problem| RuleError {
                file: file.to_string(),
                line,
                problem,
            })?);
        }
        self.rules.push(Rule {
            links,
            meta: Arc::new(meta),
            disruptive,
            status,
            log,
            audit,
            jump: None,
        });
        Ok(())
    }

    fn link(&mut self, written: WrittenRule, phase: u8) -> Result<Link, Problem> {
        let actions = written.actions;
        let mut transformations = Vec::new();
        if !actions.transform_reset
            && let Some(defaults) = written.defaults.get(&phase)
        {
            transformations.extend(defaults.transformations.iter().copied());
        }
        transformations.extend(actions.transformations);
        let chain = self.chain(&transformations);
        let list = self.list(&written.targets);
        let (negated, test) = match written.operator {
            None => (false, Test::Always),
            Some((negated, name, argument)) => (negated, self.test(&name, &argument, &written.file)?),
        };
        let batch = match test {
            Test::Static(_) => self.batch(&written.targets, list, chain, actions.multi_match),
            _ => None,
        };
        let run = actions.run.into_iter().map(|action| self.resolve(action)).collect();
        Ok(Link {
            list,
            chain,
            batch,
            alternatives: Vec::new(),
            test,
            negated,
            capture: actions.capture,
            multi_match: actions.multi_match,
            run,
        })
    }

    fn resolve(&mut self, action: Action) -> Action {
        let removal = match action {
            Action::Ctl(Ctl::RemoveRules(which)) => (which, None),
            Action::Ctl(Ctl::RemoveTarget(which, target)) => (which, Some(target)),
            other => return other,
        };
        self.removals.push(removal);
        Action::Ctl(Ctl::Removal(self.removals.len() - 1))
    }

    fn test(&mut self, name: &str, argument: &[u8], file: &str) -> Result<Test, Problem> {
        let with_macros = argument.windows(2).any(|pair| pair == b"%{");
        if let Some(comparison) = Comparison::parse(name) {
            let template = Template::parse(argument, &mut self.slots)?;
            let operand = match (
                template.as_plain(),
                template.as_reference().and_then(|reference| reference.slot),
            ) {
                (Some(text), _) => Operand::Constant(integer(text)),
                (None, Some(slot)) => Operand::Slot(slot),
                (None, None) => Operand::Template(template),
            };
            return Ok(Test::Number(comparison, operand));
        }
        if with_macros && let Some(kind) = OperatorKind::parse(name) {
            match Template::parse(argument, &mut self.slots) {
                Ok(argument) => return Ok(Test::Dynamic(DynamicOperator { kind, argument })),
                // A pattern may contain `%{` without meaning a macro.
                Err(_) if name.eq_ignore_ascii_case("rx") => {}
                Err(problem) => return Err(problem),
            }
        }
        let files = self.files;
        let beside = files.beside(file);
        let data = std::str::from_utf8(argument).ok().map(str::trim);
        let data = data.filter(|_| name.to_ascii_lowercase().ends_with("fromfile") || name.eq_ignore_ascii_case("pmf"));
        let key = OperatorText {
            name: name.to_ascii_lowercase(),
            argument: argument.to_vec(),
            file: data.map(|data| {
                let path = beside.resolve(data);
                let content = fingerprint(files.get(&path).unwrap_or_default());
                (path, content)
            }),
        };
        if let Some(operator) = self.operators.get(&key) {
            return Ok(Test::Static(Arc::clone(operator)));
        }
        let operator = Arc::new(Operator::compile(name, argument, &beside)?);
        self.operators.insert(key, Arc::clone(&operator));
        Ok(Test::Static(operator))
    }

    fn chain(&mut self, transformations: &[Transformation]) -> usize {
        let steps: Vec<usize> = transformations
            .iter()
            .map(|wanted| {
                self.steps.iter().position(|step| step == wanted).unwrap_or_else(|| {
                    self.steps.push(*wanted);
                    self.steps.len() - 1
                })
            })
            .collect();
        position_or_push(&mut self.chains, steps)
    }

    fn batch(&mut self, targets: &[TargetText], list: usize, chain: usize, stages: bool) -> Option<usize> {
        let of = self.lists.get(list)?;
        if of.volatile || of.include.is_empty() {
            return None;
        }
        let domains = of.domains;
        let steps = self.chains.get(chain)?.clone();
        let mut strands = Vec::new();
        let mut bases = Vec::new();
        for target in targets.iter().filter(|target| !target.negated) {
            let concerns = |other: &&TargetText| other.negated && other.target.variable == target.target.variable;
            let alone: Vec<TargetText> = std::iter::once(target)
                .chain(targets.iter().filter(concerns))
                .cloned()
                .collect();
            let list = self.list(&alone);
            let domains = self.lists.get(list).map_or(Variable::PHASE, |list| list.domains);
            let mut strand = position_or_push(
                &mut self.strands,
                Strand {
                    source: Source::List(list),
                    domains,
                },
            );
            let mut all = vec![strand];
            if !bases.contains(&strand) {
                bases.push(strand);
            }
            for step in &steps {
                let source = Source::Step {
                    parent: strand,
                    step: *step,
                };
                strand = position_or_push(&mut self.strands, Strand { source, domains });
                all.push(strand);
            }
            if stages {
                strand = position_or_push(
                    &mut self.strands,
                    Strand {
                        source: Source::Stages(all),
                        domains,
                    },
                );
            }
            if !strands.contains(&strand) {
                strands.push(strand);
            }
        }
        let base = Batch {
            strands: bases,
            domains,
            base: None,
            steps: Vec::new(),
        };
        let base = position_or_push(&mut self.batches, base);
        if steps.is_empty() {
            return Some(base);
        }
        let batch = Batch {
            strands,
            domains,
            base: Some(base),
            steps,
        };
        Some(position_or_push(&mut self.batches, batch))
    }

    fn list(&mut self, targets: &[TargetText]) -> usize {
        let mut text = Vec::new();
        for target in targets {
            text.extend_from_slice(if target.negated { b"|!" } else { b"|" });
            text.extend_from_slice(&target.text);
        }
        if let Some(list) = self.list_texts.get(&text) {
            return *list;
        }
        let picked = |negated: bool| {
            targets
                .iter()
                .filter(move |target| target.negated == negated)
                .map(|target| target.target.clone())
        };
        let exclude: Vec<_> = picked(true).collect();
        let gone = |variable: Variable| {
            exclude
                .iter()
                .any(|target| target.variable == variable && matches!(target.selector, Selector::All))
        };
        let include: Vec<_> = picked(false).filter(|target| !gone(target.variable)).collect();
        let volatile = include
            .iter()
            .any(|target| target.variable.is_volatile() || matches!(target.selector, Selector::Macro(_)))
            || exclude
                .iter()
                .any(|target| matches!(target.selector, Selector::Macro(_)));
        let only_slot = match include.as_slice() {
            [target] if exclude.is_empty() => match target.selector {
                Selector::Slot(slot) => Some(OnlySlot {
                    slot,
                    count: target.count,
                }),
                _ => None,
            },
            _ => None,
        };
        let domains = include
            .iter()
            .chain(&exclude)
            .fold(0, |all, target| all | target.variable.domain());
        self.lists.push(List {
            domains,
            include,
            exclude,
            volatile,
            picked_slots: Vec::new(),
            only_slot,
        });
        self.list_texts.insert(text, self.lists.len() - 1);
        self.lists.len() - 1
    }

    /// Finds the rules that each `ctl` removes, and what is left of a rule's targets.
    fn removals(&mut self) {
        for (removal, (which, target)) in self.removals.clone().into_iter().enumerate() {
            let Some(target) = target else { continue };
            for rule in 0..self.rules.len() {
                let Some(meta) = self.rules.get(rule).map(|rule| Arc::clone(&rule.meta)) else {
                    continue;
                };
                if !which.concerns(meta.id, meta.message.as_ref(), &meta.tags) {
                    continue;
                }
                let Some(mut targets) = self.link_targets.get(rule).cloned() else {
                    continue;
                };
                targets.push(TargetText {
                    negated: true,
                    ..target.clone()
                });
                let list = self.list(&targets);
                let link = self.rules.get(rule).and_then(|rule| rule.links.first());
                let Some((chain, stages, batched)) =
                    link.map(|link| (link.chain, link.multi_match, link.batch.is_some()))
                else {
                    continue;
                };
                let batch = if batched {
                    self.batch(&targets, list, chain, stages)
                } else {
                    None
                };
                if let Some(link) = self.rules.get_mut(rule).and_then(|rule| rule.links.first_mut()) {
                    link.alternatives.push(Alternative { removal, list, batch });
                }
            }
        }
    }

    /// Finds out once which slots a pattern on the names of `TX` variables picks.
    fn pick_slots(&mut self) {
        for list in &mut self.lists {
            list.picked_slots = list
                .include
                .iter()
                .map(|target| {
                    let all = Slots::CAPTURES.min(self.slots.count())..self.slots.count();
                    match &target.selector {
                        Selector::Pattern(pattern) if target.variable == Variable::Tx => (0..self.slots.count())
                            .filter(|slot| {
                                let name = self.slots.name(*slot);
                                pattern.evaluate(name, ByteSet::of(name), &mut Captures::default())
                            })
                            .collect(),
                        Selector::All if target.variable == Variable::Tx => (0..Slots::CAPTURES).chain(all).collect(),
                        _ => Vec::new(),
                    }
                })
                .collect();
        }
    }

    /// Where a rule's phase goes on after a match.
    fn jump(
        &self,
        rule: usize,
        skip: Option<usize>,
        after: Option<&[u8]>,
        markers: &[(Vec<u8>, usize)],
        phases: &[Vec<usize>; 6],
    ) -> Result<Option<usize>, Problem> {
        let phase = self.rules.get(rule).map_or(0, |rule| usize::from(rule.meta.phase));
        let program = phases.get(phase).map_or(&[][..], Vec::as_slice);
        if let Some(marker) = after {
            let marked = markers
                .iter()
                .find(|(name, position)| name == marker && *position > rule);
            let by_id = || {
                let id = std::str::from_utf8(marker).ok()?.trim().parse::<u64>().ok()?;
                self.rules
                    .iter()
                    .position(|rule| rule.meta.id == id)
                    .filter(|found| *found > rule)
                    .map(|found| found + 1)
            };
            let position = marked.map(|(_, position)| *position).or_else(by_id);
            let position =
                position.ok_or_else(|| Problem::MissingMarker(String::from_utf8_lossy(marker).into_owned()))?;
            return Ok(Some(program.partition_point(|index| *index < position)));
        }
        Ok(skip.map(|skip| program.partition_point(|index| *index <= rule) + skip))
    }

    fn finish(self, settings: Settings, phases: [Vec<usize>; 6]) -> RuleSet {
        let rules = self.rules;
        let removals = self
            .removals
            .into_iter()
            .map(|(which, target)| {
                let concerned = |meta: &RuleMeta| which.concerns(meta.id, meta.message.as_ref(), &meta.tags);
                let concerned = rules.iter().enumerate().filter(|(_, rule)| concerned(&rule.meta));
                Removal {
                    rules: concerned.map(|(index, _)| index).collect(),
                    target: target.map(|target| target.target),
                }
            })
            .collect();
        RuleSet {
            settings,
            slots: self.slots,
            rules,
            phases,
            lists: self.lists,
            steps: self.steps,
            chains: self.chains,
            batches: self.batches,
            strands: self.strands,
            removals,
        }
    }
}

fn position_or_push<T: PartialEq>(all: &mut Vec<T>, wanted: T) -> usize {
    all.iter().position(|one| *one == wanted).unwrap_or_else(|| {
        all.push(wanted);
        all.len() - 1
    })
}

/// Tells the contents of one path apart over time; not against an adversary, who would already own the rules.
fn fingerprint(content: &[u8]) -> u64 {
    use std::hash::{DefaultHasher, Hash, Hasher};
    let mut hasher = DefaultHasher::new();
    content.hash(&mut hasher);
    hasher.finish()
}
