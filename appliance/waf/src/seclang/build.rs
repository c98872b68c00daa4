//! Rules as written into rules that run: links, operators, transformations, jumps.

use std::{collections::HashMap, sync::Arc};

use super::{
    Action, Ctl, Disruptive, Problem, RuleError, RuleFiles, Settings, Slots, TargetText, Template, Which,
    directives::WrittenRule, needs::names_files,
};
use crate::{
    engine::{
        Batch, Comparison, DynamicOperator, Link, List, Operand, Removal, Rule, RuleMeta, RuleSet, Strand, Test,
        integer,
    },
    operator::{Operator, OperatorKind, words},
    transform::Transformation,
};

/// What an operator was compiled from.
#[derive(Debug, Eq, Hash, PartialEq)]
pub(super) struct OperatorText {
    pub(super) name: String,
    pub(super) argument: Vec<u8>,
    /// For operators that read data files: their paths, and what tells their contents apart.
    pub(super) files: Vec<(String, u64)>,
}

/// A rule set in the making.
pub(super) struct Build<'a> {
    pub(super) operators: &'a mut HashMap<OperatorText, Arc<Operator>>,
    pub(super) files: &'a RuleFiles,
    pub(super) slots: Slots,
    pub(super) rules: Vec<Rule>,
    pub(super) lists: Vec<List>,
    pub(super) list_texts: HashMap<Vec<u8>, usize>,
    /// The targets of each rule's first link, for removals.
    pub(super) link_targets: Vec<Vec<TargetText>>,
    pub(super) steps: Vec<Transformation>,
    pub(super) chains: Vec<Vec<usize>>,
    pub(super) batches: Vec<Batch>,
    pub(super) strands: Vec<Strand>,
    pub(super) removals: Vec<(Which, Option<TargetText>)>,
}

impl Build<'_> {
    pub(super) fn rule(&mut self, chain: Vec<WrittenRule>) -> Result<(), RuleError> {
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
        let data = if names_files(name) { words(argument) } else { Vec::new() };
        let key = OperatorText {
            name: name.to_ascii_lowercase(),
            argument: argument.to_vec(),
            files: data
                .iter()
                .map(|data| {
                    let path = beside.resolve(data);
                    let content = fingerprint(files.get(&path).unwrap_or_default());
                    (path, content)
                })
                .collect(),
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

    /// Where a rule's phase goes on after a match.
    pub(super) fn jump(
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

    pub(super) fn finish(self, settings: Settings, phases: [Vec<usize>; 6]) -> RuleSet {
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
        let scores = self.slots.scores();
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
            scores,
        }
    }
}

pub(super) fn position_or_push<T: PartialEq>(all: &mut Vec<T>, wanted: T) -> usize {
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
