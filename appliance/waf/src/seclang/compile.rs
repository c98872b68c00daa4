//! From what rule files say to a rule set that transactions run through: operators compiled, updates applied, jumps resolved.

use std::{collections::HashMap, sync::Arc};

use super::{
    Problem, RuleError, RuleFiles,
    build::{Build, OperatorText},
    directives::{Entry, Reading},
    update::apply,
};
use crate::{engine::RuleSet, operator::Operator};

/// Compiles rule sets. Operators compiled once are shared by all rule sets that one compiler makes, so that a service with other
/// exclusions costs little.
#[derive(Debug, Default)]
pub struct Compiler {
    operators: HashMap<OperatorText, Arc<Operator>>,
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
        self.assemble(files, order, &mut Mistakes::First)
    }

    /// The same, for those who mend rule files: reports all mistakes, at most [`MOST_MISTAKES`].
    ///
    /// # Errors
    ///
    /// The mistakes, with their files and lines, in the order in which they were found. Never none.
    pub fn check(&mut self, files: &RuleFiles, order: &[&str]) -> Result<RuleSet, Vec<RuleError>> {
        let mut mistakes = Mistakes::All(Vec::new());
        let made = self.assemble(files, order, &mut mistakes);
        match (made, mistakes) {
            (Ok(rules), Mistakes::All(found)) if found.is_empty() => Ok(rules),
            (Ok(_), Mistakes::All(found)) => Err(found),
            (Ok(rules), Mistakes::First) => Ok(rules),
            (Err(last), Mistakes::All(mut found)) => {
                found.push(last);
                Err(found)
            }
            (Err(only), Mistakes::First) => Err(vec![only]),
        }
    }

    fn assemble(&mut self, files: &RuleFiles, order: &[&str], mistakes: &mut Mistakes) -> Result<RuleSet, RuleError> {
        // What only rule sets used that are gone.
        self.operators.retain(|_, operator| Arc::strong_count(operator) > 1);
        let mut reading = Reading::default();
        for path in order {
            reading.file(files, path, 0, mistakes)?;
        }
        unique_ids(&reading, mistakes)?;
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
                    let made = build.rule(chain);
                    if made.is_err() {
                        jumps.pop();
                    }
                    mistakes.note(made)?;
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
            });
            let set = jump.map(|jump| {
                if let Some(rule) = build.rules.get_mut(index) {
                    rule.jump = jump;
                }
            });
            mistakes.note(set)?;
        }
        Ok(build.finish(reading.settings, phases))
    }
}

/// What happens at a mistake.
#[derive(Debug)]
pub(super) enum Mistakes {
    /// They are kept, and reading goes on.
    All(Vec<RuleError>),
    /// The first one ends it.
    First,
}

/// How many mistakes [`Compiler::check`] reports at most.
pub const MOST_MISTAKES: usize = 50;

impl Mistakes {
    /// Takes a result: an error if it is to end here.
    pub(super) fn note(&mut self, result: Result<(), RuleError>) -> Result<(), RuleError> {
        match (result, self) {
            (Err(error), Self::All(found)) if found.len() + 1 < MOST_MISTAKES => {
                found.push(error);
                Ok(())
            }
            (result, _) => result,
        }
    }
}

/// Refuses two rules of one id.
fn unique_ids(reading: &Reading, mistakes: &mut Mistakes) -> Result<(), RuleError> {
    let mut seen = std::collections::HashSet::new();
    for entry in &reading.entries {
        if let Entry::Chain(chain) = entry
            && let Some(first) = chain.first()
            && let Some(id) = first.actions.id
            && !seen.insert(id)
        {
            mistakes.note(Err(RuleError {
                file: first.file.to_string(),
                line: first.line,
                problem: Problem::DuplicateId(id),
            }))?;
        }
    }
    Ok(())
}
