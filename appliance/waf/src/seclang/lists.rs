//! What the links of a rule set look at: lists of targets, the batches and strands of their texts, what is left of them after removals.

use std::sync::Arc;

use super::{
    Selector, Slots, TargetText,
    build::{Build, position_or_push},
};
use crate::{
    bytes::ByteSet,
    engine::{Alternative, Batch, List, OnlySlot, Source, Strand, Variable},
    operator::Captures,
};

impl Build<'_> {
    pub(super) fn batch(&mut self, targets: &[TargetText], list: usize, chain: usize, stages: bool) -> Option<usize> {
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

    pub(super) fn list(&mut self, targets: &[TargetText]) -> usize {
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
    pub(super) fn removals(&mut self) {
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
    pub(super) fn pick_slots(&mut self) {
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
}
