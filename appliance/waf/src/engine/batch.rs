//! The distinct texts behind lists of targets, after chains of transformations: found once for all rules that look at the same.

use super::{RuleSet, Source, TextId, Transaction};
use crate::bytes::ByteSet;

/// What is known of several texts together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Summary {
    stamp: u32,
    /// Range of the candidates; of a batch, whether there are any.
    pub(super) start: usize,
    pub(super) end: usize,
    /// Bytes that occur in any of them.
    pub(super) union: ByteSet,
    /// The length of the shortest.
    pub(super) shortest: usize,
    /// The length of the longest.
    pub(super) longest: usize,
    /// Of a batch: whether it is its base.
    pub(super) plain: bool,
    /// Of a base: the steps of which it is known whether they do something to it, and those that do not, as bits.
    known: u64,
    alone: u64,
}

impl Summary {
    pub(super) const NOTHING: Self = Self {
        stamp: 0,
        start: 0,
        end: 0,
        union: ByteSet::EMPTY,
        shortest: usize::MAX,
        longest: 0,
        plain: false,
        known: 0,
        alone: 0,
    };

    pub(super) const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// A text that rules look at, with what they need to know before they do.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    pub(super) text: TextId,
    pub(super) length: usize,
    pub(super) present: ByteSet,
}

impl Transaction {
    /// What is known of all texts of a batch together.
    pub(super) fn batch(&mut self, rules: &RuleSet, index: usize) -> Summary {
        let Some(batch) = rules.batches.get(index) else {
            return Summary::NOTHING;
        };
        let stamp = self.versions.stamp(batch.domains);
        if let Some(cache) = self.batches.get(index)
            && cache.stamp == stamp
        {
            return *cache;
        }
        if let Some(base) = batch.base {
            let plain = self.batch(rules, base);
            if plain.is_empty() || batch.steps.iter().all(|step| self.is_alone(rules, base, *step)) {
                let all = Summary { plain: true, ..plain };
                if let Some(known) = self.batches.get_mut(index) {
                    *known = all;
                }
                return all;
            }
        }
        let mut all = Summary {
            stamp,
            ..Summary::NOTHING
        };
        for strand in &batch.strands {
            let strand = self.strand(rules, *strand);
            all.end += strand.end - strand.start;
            all.union = all.union.union(strand.union);
            all.shortest = all.shortest.min(strand.shortest);
            all.longest = all.longest.max(strand.longest);
        }
        if let Some(known) = self.batches.get_mut(index) {
            *known = all;
        }
        all
    }

    /// Whether a step does nothing to any text of a base batch.
    fn is_alone(&mut self, rules: &RuleSet, base: usize, step: usize) -> bool {
        let (Some(summary), Some(transformation)) = (self.batches.get_mut(base), rules.steps.get(step)) else {
            return false;
        };
        // Steps beyond what fits are asked each time.
        let bit = u32::try_from(step)
            .ok()
            .and_then(|step| 1_u64.checked_shl(step))
            .unwrap_or(0);
        if summary.known & bit == 0 {
            summary.known |= bit;
            if transformation.leaves_alone(summary.union) {
                summary.alone |= bit;
            }
        }
        if bit == 0 {
            transformation.leaves_alone(summary.union)
        } else {
            summary.alone & bit != 0
        }
    }

    /// The distinct texts of a strand as a range of the candidates.
    pub(super) fn strand(&mut self, rules: &RuleSet, index: usize) -> Summary {
        let Some(strand) = rules.strands.get(index) else {
            return Summary::NOTHING;
        };
        let stamp = self.versions.stamp(strand.domains);
        if let Some(cache) = self.strands.get(index)
            && cache.stamp == stamp
        {
            return *cache;
        }
        let mut summary = match &strand.source {
            Source::List(list) => self.list_strand(rules, *list),
            Source::Step { parent, step } => self.step_strand(rules, *parent, *step),
            Source::Stages(stages) => self.stages_strand(rules, stages),
        };
        summary.stamp = stamp;
        if let Some(known) = self.strands.get_mut(index) {
            *known = summary;
        }
        summary
    }

    fn begin_strand(&mut self) -> Summary {
        self.collecting += 1;
        let start = self.candidates.len();
        Summary {
            start,
            end: start,
            ..Summary::NOTHING
        }
    }

    fn list_strand(&mut self, rules: &RuleSet, list: usize) -> Summary {
        let (from, to) = self.items(rules, list);
        let mut summary = self.begin_strand();
        for at in from..to {
            if let Some(item) = self.list_items.get(at).copied() {
                let text = self.text(item.value);
                self.collect_text(text, &mut summary);
            }
        }
        summary
    }

    fn step_strand(&mut self, rules: &RuleSet, parent: usize, step: usize) -> Summary {
        let parent = self.strand(rules, parent);
        let Some(transformation) = rules.steps.get(step) else {
            return parent;
        };
        // Most transformations do nothing to most requests, and the bytes alone tell.
        if parent.is_empty() || transformation.leaves_alone(parent.union) {
            return parent;
        }
        let mut summary = self.begin_strand();
        for at in parent.start..parent.end {
            if let Some(candidate) = self.candidates.get(at).copied() {
                let text =
                    self.texts
                        .transform(candidate.text, step, *transformation, rules.settings.unicode.as_deref());
                self.collect_text(text, &mut summary);
            }
        }
        summary
    }

    fn stages_strand(&mut self, rules: &RuleSet, stages: &[usize]) -> Summary {
        // All stages must exist before their texts are put together.
        let mut same = true;
        let mut last = Summary::NOTHING;
        for (position, stage) in stages.iter().enumerate() {
            let stage = self.strand(rules, *stage);
            same &= position == 0 || (stage.start, stage.end) == (last.start, last.end);
            last = stage;
        }
        if same {
            return last;
        }
        let mut summary = self.begin_strand();
        for stage in stages {
            let stage = self.strand(rules, *stage);
            for at in stage.start..stage.end {
                if let Some(candidate) = self.candidates.get(at).copied() {
                    self.collect_text(candidate.text, &mut summary);
                }
            }
        }
        summary
    }

    fn collect_text(&mut self, text: TextId, summary: &mut Summary) {
        if self.first_seen(text) {
            let (length, present) = (self.texts.length(text), self.texts.present(text));
            self.candidates.push(Candidate { text, length, present });
            summary.end = self.candidates.len();
            summary.union = summary.union.union(present);
            summary.longest = summary.longest.max(length);
            summary.shortest = summary.shortest.min(length);
        }
    }

    fn first_seen(&mut self, text: TextId) -> bool {
        if self.seen.len() <= text.index() {
            self.seen.resize(self.texts.count(), 0);
        }
        match self.seen.get_mut(text.index()) {
            Some(seen) if *seen != self.collecting => {
                *seen = self.collecting;
                true
            }
            _ => false,
        }
    }
}
