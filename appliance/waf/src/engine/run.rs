//! Phases, rules, chains: what is asked in which order, and what follows from the answers.

use std::sync::Arc;

use super::{
    Comparison, Link, OnlySlot, Operand, Rule, RuleSet, Score, Test, TextId, Transaction, Variable, Word, integer,
    select::{Item, ItemKey},
    transaction::Allowed,
};
use crate::seclang::{Allow, Disruptive, EngineMode};

impl Transaction {
    /// Runs the rules of a phase.
    pub(super) fn run(&mut self, phase: u8) {
        self.phase = phase;
        self.versions.advance(Variable::PHASE);
        let skipped = match self.allow {
            Allowed::Nothing => false,
            Allowed::Request => phase <= 2,
            Allowed::Everything => phase < 5,
        };
        if self.mode == EngineMode::Off || skipped || (phase < 5 && self.intervention.is_some()) {
            return;
        }
        let rules = Arc::clone(&self.rules);
        let Some(program) = rules.phases.get(usize::from(phase)) else {
            return;
        };
        if self.watch.is_some() {
            return self.run_watched(&rules, program);
        }
        let mut position = Some(0);
        while let Some(at) = position {
            position = self.step(&rules, program, at);
        }
    }

    /// Asks the rule at a position of a phase's rules, and tells which is the next; none if the phase ends here.
    #[inline]
    pub(super) fn step(&mut self, rules: &RuleSet, program: &[usize], at: usize) -> Option<usize> {
        let index = *program.get(at)?;
        let next = Some(at + 1);
        if self.removed_rules.get(index).copied().unwrap_or(false) {
            return next;
        }
        let Some(rule) = rules.rules.get(index) else {
            return next;
        };
        self.current = index;
        if !self.rule(rules, rule) {
            return next;
        }
        if self.mode == EngineMode::Off || self.disrupt(rules, rule) {
            return None;
        }
        rule.jump.or(next)
    }

    /// Whether a rule and all that is chained to it matches; does what matches do.
    fn rule(&mut self, rules: &RuleSet, rule: &Rule) -> bool {
        self.matches.clear();
        self.score = Score::default();
        let mut first_match = None;
        let chained = rule.links.len() > 1;
        for (position, link) in rule.links.iter().enumerate() {
            let reports = !chained && (rule.log || self.all_matches);
            if !self.link(rules, rule, link, position == 0, reports) {
                return false;
            }
            if position == 0 {
                first_match = self.matched;
            }
        }
        self.audit_wanted |= rule.audit && rule.log;
        if chained && (rule.log || self.all_matches) {
            self.report(rules, rule, first_match);
        }
        true
    }

    /// Whether a link matches any value; does what the link does for each match.
    fn link(&mut self, rules: &RuleSet, rule: &Rule, link: &Link, first: bool, reports: bool) -> bool {
        if let Test::Always = link.test {
            self.matched = None;
            self.act(rules, link);
            if reports {
                self.report(rules, rule, self.matched);
            }
            return true;
        }
        if let Some(answer) = self.compare_slot(rules, link) {
            let Some(matched) = answer else { return false };
            self.record(rules, rule, link, matched, reports);
            return true;
        }
        let (mut list, mut batch, mut filter) = (link.list, link.batch, false);
        if first && !link.alternatives.is_empty() && !self.removals.is_empty() {
            let mut active = link
                .alternatives
                .iter()
                .filter(|other| self.removals.contains(&other.removal));
            if let Some(only) = active.next() {
                (list, batch) = (only.list, only.batch);
                filter = active.next().is_some();
            }
        }
        if let Some(batch) = batch
            && !self.batch_matches(rules, link, batch)
        {
            return false;
        }
        self.general(rules, rule, link, list, filter, reports)
    }

    /// A comparison of one `TX` variable with a number: the answer without texts. `None` if the link is something else.
    fn compare_slot(&self, rules: &RuleSet, link: &Link) -> Option<Option<Item>> {
        let Test::Number(comparison, operand) = &link.test else {
            return None;
        };
        let OnlySlot { slot, count } = rules.lists.get(link.list)?.only_slot?;
        if link.chain != 0 {
            return None;
        }
        let constant = match operand {
            Operand::Constant(constant) => *constant,
            Operand::Slot(slot) => self.slot_number(*slot).unwrap_or(0),
            Operand::Template(_) => return None,
        };
        let word = self.tx.get(slot).copied().flatten();
        let value = match word {
            _ if count => i64::from(word.is_some()),
            None => return Some(None),
            Some(word) => self.integer(word),
        };
        if comparison.holds(value, constant) == link.negated {
            return Some(None);
        }
        let value = if count { Word::Number(value) } else { word? };
        Some(Some(Item {
            variable: Variable::Tx,
            key: ItemKey::Slot(slot),
            value,
            count,
        }))
    }

    /// The number in a slot.
    pub(super) fn slot_number(&self, slot: usize) -> Option<i64> {
        self.tx.get(slot).copied().flatten().map(|word| self.integer(word))
    }

    /// The number a value is or begins with.
    pub(super) fn integer(&self, word: Word) -> i64 {
        match word {
            Word::Number(number) => number,
            Word::Text(text) => integer(self.texts.get(text)),
        }
    }

    /// Whether any text of a batch matches: most rules end here, on most requests without looking at a text.
    fn batch_matches(&mut self, rules: &RuleSet, link: &Link, index: usize) -> bool {
        let (Test::Static(operator), Some(batch)) = (&link.test, rules.batches.get(index)) else {
            return true;
        };
        let all = self.batch(rules, index);
        if all.is_empty() {
            return false;
        }
        if !link.negated && !operator.any_may_match(all.union, all.shortest, all.longest) {
            return false;
        }
        self.captures.clear();
        self.captures.want(false);
        let plain = batch
            .base
            .filter(|_| all.plain)
            .and_then(|base| rules.batches.get(base));
        for strand in &plain.unwrap_or(batch).strands {
            let strand = self.strand(rules, *strand);
            if strand.is_empty() {
                continue;
            }
            if !link.negated && !operator.any_may_match(strand.union, strand.shortest, strand.longest) {
                continue;
            }
            let Self {
                texts,
                captures,
                candidates,
                ..
            } = self;
            let candidates = candidates.get(strand.start..strand.end).unwrap_or_default();
            let matched = candidates.iter().any(|candidate| {
                let matches = operator.may_match(candidate.present, candidate.length)
                    && operator.evaluate_met(texts.get(candidate.text), captures);
                matches != link.negated
            });
            if matched || captures.limit_exceeded() {
                return true;
            }
        }
        false
    }

    /// Looks at each value in order, and does what the link does for each match.
    fn general(&mut self, rules: &RuleSet, rule: &Rule, link: &Link, list: usize, filter: bool, reports: bool) -> bool {
        let chain = rules.chains.get(link.chain).map_or(&[][..], Vec::as_slice);
        let (mut from, mut to) = self.items(rules, list);
        let volatile = rules.lists.get(list).is_some_and(|list| list.volatile) || filter;
        if filter {
            (from, to) = self.filtered(rules, link, from, to);
        }
        let mut any = false;
        for at in from..to {
            let Some(item) = self.list_items.get(at).copied() else {
                continue;
            };
            if chain.is_empty() {
                if self.test(rules, link, item.value) {
                    any = true;
                    self.record(rules, rule, link, item, reports);
                }
                continue;
            }
            let mut text = self.text(item.value);
            if link.multi_match && self.test(rules, link, Word::Text(text)) {
                any = true;
                self.record(
                    rules,
                    rule,
                    link,
                    Item {
                        value: Word::Text(text),
                        ..item
                    },
                    reports,
                );
            }
            for (position, step) in chain.iter().enumerate() {
                let Some(transformation) = rules.steps.get(*step) else {
                    continue;
                };
                let made = self
                    .texts
                    .transform(text, *step, *transformation, rules.settings.unicode.as_deref());
                let changed = made != text;
                text = made;
                let last = position + 1 == chain.len();
                let asked = if link.multi_match { changed } else { last };
                if asked && self.test(rules, link, Word::Text(text)) {
                    any = true;
                    self.record(
                        rules,
                        rule,
                        link,
                        Item {
                            value: Word::Text(text),
                            ..item
                        },
                        reports,
                    );
                }
            }
        }
        if volatile {
            self.list_items.truncate(from);
        }
        any
    }

    /// A copy of the items without what the removals in force take away.
    fn filtered(&mut self, rules: &RuleSet, link: &Link, from: usize, to: usize) -> (usize, usize) {
        let start = self.list_items.len();
        for at in from..to {
            if let Some(item) = self.list_items.get(at).copied() {
                self.list_items.push(item);
            }
        }
        for other in &link.alternatives {
            if self.removals.contains(&other.removal)
                && let Some(target) = rules
                    .removals
                    .get(other.removal)
                    .and_then(|removal| removal.target.as_ref())
            {
                self.drop_excluded(rules, start, std::slice::from_ref(target));
            }
        }
        (start, self.list_items.len())
    }

    /// Asks a link's question of one value.
    fn test(&mut self, rules: &RuleSet, link: &Link, value: Word) -> bool {
        let answer = match &link.test {
            Test::Always => true,
            Test::Number(comparison, operand) => self.compare(rules, *comparison, operand, value),
            Test::Static(operator) => {
                let text = self.text(value);
                let Self { texts, captures, .. } = self;
                let (value, present) = (texts.get(text), texts.present(text));
                captures.clear();
                captures.want(link.capture);
                let matched = operator.evaluate(value, present, captures);
                if captures.limit_exceeded() {
                    self.limit_exceeded();
                }
                matched
            }
            Test::Dynamic(dynamic) => {
                let mut argument = std::mem::take(&mut self.scratch);
                argument.clear();
                self.render(rules, &dynamic.argument, &mut argument);
                let text = self.text(value);
                self.captures.clear();
                self.captures.want(link.capture);
                let Self {
                    texts,
                    captures,
                    recent,
                    ..
                } = self;
                let answer = recent.evaluate(dynamic.kind, &argument, texts.get(text), captures);
                self.scratch = argument;
                if self.captures.limit_exceeded() {
                    self.limit_exceeded();
                }
                answer
            }
        };
        answer != link.negated
    }

    fn compare(&mut self, rules: &RuleSet, comparison: Comparison, operand: &Operand, value: Word) -> bool {
        let operand = match operand {
            Operand::Constant(constant) => *constant,
            Operand::Slot(slot) => self.slot_number(*slot).unwrap_or(0),
            Operand::Template(template) => {
                let mut text = Vec::new();
                self.render(rules, template, &mut text);
                integer(&text)
            }
        };
        comparison.holds(self.integer(value), operand)
    }

    /// A pattern took more steps than it may: rules can see that it did.
    fn limit_exceeded(&mut self) {
        self.captures.clear();
        self.fields.set(Variable::MscPcreLimitsExceeded, Word::Number(1));
        self.fields.set(Variable::MscPcreError, Word::Number(1));
        self.set_tx(b"msc_pcre_limits_exceeded", Some(Word::Number(1)));
    }

    /// A value matched: remembers it and does what the link does.
    fn record(&mut self, rules: &RuleSet, rule: &Rule, link: &Link, item: Item, reports: bool) {
        self.matched = Some(item);
        self.matches.push(item);
        if link.capture {
            self.keep_captures();
        }
        if let Some(severity) = rule.meta.severity {
            let severity = severity as i64;
            let highest = self
                .fields
                .single(Variable::HighestSeverity)
                .map_or(255, |word| self.integer(word));
            if severity < highest {
                self.fields.set(Variable::HighestSeverity, Word::Number(severity));
            }
        }
        self.act(rules, link);
        if reports {
            self.report(rules, rule, self.matched);
        }
    }

    /// Puts what the operator captured into `TX:0` to `TX:9`.
    fn keep_captures(&mut self) {
        for (slot, place) in self.tx.iter_mut().take(10).enumerate() {
            let text: Option<TextId> = self.captures.get(slot).map(|bytes| self.texts.intern(bytes));
            *place = text.map(Word::Text);
        }
    }

    /// Does what a rule that matched means for the transaction. Whether the phase ends here.
    fn disrupt(&mut self, rules: &RuleSet, rule: &Rule) -> bool {
        if self.phase == 5 {
            return false;
        }
        if let Disruptive::Allow(allow) = &rule.disruptive {
            if self.mode != EngineMode::On {
                return false;
            }
            match allow {
                Allow::Everything => self.allow = Allowed::Everything,
                Allow::Phase => {}
                Allow::Request => self.allow = Allowed::Request,
            }
            return true;
        }
        let Some(stop) = self.stop(rules, rule) else {
            return false;
        };
        if self.mode != EngineMode::On {
            return false;
        }
        let status = match (&stop, rule.status) {
            (super::Stop::Redirect(_), Some(status @ 300..=399)) => status,
            (super::Stop::Redirect(_), _) => 302,
            (_, status) => status.unwrap_or(403),
        };
        self.intervention = Some(super::Intervention {
            status,
            stop,
            rule: rule.meta.id,
            phase: self.phase,
        });
        true
    }
}
