//! Which values a rule looks at: lists of targets evaluated, and batches of the distinct texts behind them.

use redan_types::Timestamp;

use super::{Bag, List, RuleSet, Source, TextId, Transaction, Variable, Word, fields::View};
use crate::{
    bytes::ByteSet,
    operator::Captures,
    seclang::{Keeper, Selector, Target},
};

/// A value with its name, as a rule meets it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Item {
    pub(super) variable: Variable,
    pub(super) key: ItemKey,
    pub(super) value: Word,
    /// Whether the value is how many there are.
    pub(super) count: bool,
}

/// The name of a value inside its collection.
#[derive(Clone, Copy, Debug)]
pub(super) enum ItemKey {
    None,
    Slot(usize),
    Text(TextId),
}

/// What a list was last evaluated to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ListCache {
    stamp: u32,
    /// Range of the items.
    items: (usize, usize),
}

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

/// How often each part of the transaction has changed, for caches to tell whether they are still right.
#[derive(Clone, Copy, Debug)]
pub(super) struct Versions {
    head: u32,
    body: u32,
    phase: u32,
}

impl Versions {
    pub(super) const FIRST: Self = Self {
        head: 1,
        body: 1,
        phase: 1,
    };

    /// A part has changed.
    pub(super) fn advance(&mut self, domain: u8) {
        match domain {
            Variable::HEAD => self.head += 1,
            Variable::BODY => self.body += 1,
            _ => self.phase += 1,
        }
    }

    /// Grows whenever one of these parts changes; never 0.
    fn stamp(self, domains: u8) -> u32 {
        let of = |domain, version| if domains & domain == 0 { 0 } else { version };
        1 + of(Variable::HEAD, self.head) + of(Variable::BODY, self.head + self.body) + of(Variable::PHASE, self.phase)
    }
}

impl Transaction {
    /// The items of a list as a range of `list_items`.
    pub(super) fn items(&mut self, rules: &RuleSet, index: usize) -> (usize, usize) {
        let Some(list) = rules.lists.get(index) else {
            return (0, 0);
        };
        let stamp = self.versions.stamp(list.domains);
        if !list.volatile
            && let Some(cache) = self.lists.get(index)
            && cache.stamp == stamp
        {
            return cache.items;
        }
        let start = self.list_items.len();
        self.collect(rules, list);
        let items = (start, self.list_items.len());
        if !list.volatile
            && let Some(cache) = self.lists.get_mut(index)
        {
            *cache = ListCache { stamp, items };
        }
        items
    }

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
                let text = self.texts.transform(candidate.text, step, *transformation);
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

    /// The text of a value.
    pub(super) fn text(&mut self, word: Word) -> TextId {
        match word {
            Word::Text(text) => text,
            Word::Number(number) => self.texts.number(number),
        }
    }

    fn collect(&mut self, rules: &RuleSet, list: &List) {
        const NONE: &[usize] = &[];
        for (index, target) in list.include.iter().enumerate() {
            let picked = list.picked_slots.get(index).map_or(NONE, Vec::as_slice);
            let start = self.list_items.len();
            self.collect_target(rules, target, picked);
            if list.exclude.iter().any(|exclude| exclude.variable == target.variable) {
                self.drop_excluded(rules, start, &list.exclude);
            }
            if target.count {
                let count = i64::try_from(self.list_items.len() - start).unwrap_or(i64::MAX);
                self.list_items.truncate(start);
                let key = match &target.selector {
                    Selector::Slot(slot) => ItemKey::Slot(*slot),
                    Selector::Key(key) => ItemKey::Text(self.texts.intern(key)),
                    _ => ItemKey::None,
                };
                self.list_items.push(Item {
                    variable: target.variable,
                    key,
                    value: Word::Number(count),
                    count: true,
                });
            }
        }
    }

    /// Takes the items that a target names out of those from `start` on.
    pub(super) fn drop_excluded(&mut self, rules: &RuleSet, start: usize, exclude: &[Target]) {
        let mut kept = start;
        for at in start..self.list_items.len() {
            let Some(item) = self.list_items.get(at).copied() else {
                continue;
            };
            let excluded = exclude
                .iter()
                .any(|target| target.variable == item.variable && self.selects(rules, &target.selector, item.key));
            if !excluded {
                if let Some(place) = self.list_items.get_mut(kept) {
                    *place = item;
                }
                kept += 1;
            }
        }
        self.list_items.truncate(kept);
    }

    /// The bytes of an item's key.
    pub(super) fn key<'a>(&'a self, rules: &'a RuleSet, key: ItemKey) -> &'a [u8] {
        match key {
            ItemKey::None => b"",
            ItemKey::Slot(slot) => rules.slots.name(slot),
            ItemKey::Text(text) => self.texts.get(text),
        }
    }

    fn selects(&self, rules: &RuleSet, selector: &Selector, key: ItemKey) -> bool {
        match selector {
            Selector::All => true,
            Selector::Key(wanted) => self.key(rules, key).eq_ignore_ascii_case(wanted),
            Selector::Macro(template) => {
                let mut wanted = Vec::new();
                self.render(rules, template, &mut wanted);
                self.key(rules, key).eq_ignore_ascii_case(&wanted)
            }
            Selector::Path(path) => path.text().as_bytes() == self.key(rules, key),
            Selector::Pattern(pattern) => {
                let key = self.key(rules, key);
                pattern.evaluate(key, ByteSet::of(key), &mut Captures::default())
            }
            Selector::Slot(slot) => self.key(rules, key).eq_ignore_ascii_case(rules.slots.name(*slot)),
        }
    }

    fn collect_target(&mut self, rules: &RuleSet, target: &Target, picked: &[usize]) {
        let variable = target.variable;
        let item = |key, value| Item {
            variable,
            key,
            value,
            count: false,
        };
        if let Some(view) = View::of(variable) {
            return self.collect_view(rules, target, view);
        }
        match variable {
            Variable::Tx => self.collect_tx(rules, target, picked),
            Variable::MatchedVars | Variable::MatchedVarsNames => {
                for at in 0..self.matches.len() {
                    let Some(matched) = self.matches.get(at).copied() else {
                        continue;
                    };
                    let name = self.name(rules, matched);
                    let key = ItemKey::Text(name);
                    if self.selects(rules, &target.selector, key) {
                        let value = if variable == Variable::MatchedVars {
                            matched.value
                        } else {
                            Word::Text(name)
                        };
                        self.list_items.push(item(key, value));
                    }
                }
            }
            Variable::Xml => {
                let Selector::Path(path) = &target.selector else { return };
                if self.xml.is_empty() {
                    return;
                }
                let key = ItemKey::Text(self.texts.intern(path.text().as_bytes()));
                let Self {
                    xml, texts, list_items, ..
                } = self;
                xml.select(path, &mut |text| {
                    list_items.push(item(key, Word::Text(texts.intern(text))));
                });
            }
            Variable::Rule => {
                for name in ["id", "rev", "severity", "logdata", "msg", "phase"] {
                    let Some(value) = self.rule_word(rules, name) else {
                        continue;
                    };
                    let key = ItemKey::Text(self.texts.intern(name.as_bytes()));
                    if self.selects(rules, &target.selector, key) {
                        self.list_items.push(item(key, value));
                    }
                }
            }
            _ if Keeper::of(variable).is_some() => {
                let Some(keeper) = Keeper::of(variable) else { return };
                let Some(loaded) = self.kept.iter().position(|loaded| loaded.keeper == keeper) else {
                    return;
                };
                let count = self.kept.get(loaded).map_or(0, |loaded| loaded.variables.len());
                for at in 0..count {
                    let pair = self
                        .kept
                        .get(loaded)
                        .and_then(|loaded| loaded.variables.get(at))
                        .copied();
                    let Some((key, value)) = pair else { continue };
                    if self.selects(rules, &target.selector, ItemKey::Text(key)) {
                        self.list_items.push(item(ItemKey::Text(key), value));
                    }
                }
            }
            _ => {
                if let Some(value) = self.single(rules, variable) {
                    self.list_items.push(item(ItemKey::None, value));
                }
            }
        }
    }

    fn collect_view(&mut self, rules: &RuleSet, target: &Target, view: View) {
        for bag in view.bags {
            for at in 0..self.fields.bag(*bag).len() {
                let Some(pair) = self.fields.bag(*bag).get(at).copied() else {
                    continue;
                };
                let key = ItemKey::Text(pair.key);
                let wanted = match &target.selector {
                    Selector::All => true,
                    Selector::Key(wanted) => self.texts.get(pair.key).eq_ignore_ascii_case(wanted),
                    other => self.selects(rules, other, key),
                };
                if wanted {
                    let value = if view.keys { Word::Text(pair.key) } else { pair.value };
                    self.list_items.push(Item {
                        variable: target.variable,
                        key,
                        value,
                        count: false,
                    });
                }
            }
        }
    }

    fn collect_tx(&mut self, rules: &RuleSet, target: &Target, picked: &[usize]) {
        let item = |key, value| Item {
            variable: Variable::Tx,
            key,
            value,
            count: false,
        };
        match &target.selector {
            Selector::Slot(slot) => {
                if let Some(value) = self.tx.get(*slot).copied().flatten() {
                    self.list_items.push(item(ItemKey::Slot(*slot), value));
                }
            }
            Selector::Macro(template) => {
                let mut name = Vec::new();
                self.render(rules, template, &mut name);
                name.make_ascii_lowercase();
                if let Some(value) = self.tx_word(rules, &name) {
                    let key = ItemKey::Text(self.texts.intern(&name));
                    self.list_items.push(item(key, value));
                }
            }
            selector => {
                for slot in picked {
                    if let Some(value) = self.tx.get(*slot).copied().flatten() {
                        self.list_items.push(item(ItemKey::Slot(*slot), value));
                    }
                }
                for at in 0..self.tx_named.len() {
                    let Some((name, value)) = self.tx_named.get(at).copied() else {
                        continue;
                    };
                    if self.selects(rules, selector, ItemKey::Text(name)) {
                        self.list_items.push(item(ItemKey::Text(name), value));
                    }
                }
            }
        }
    }

    /// A `TX` variable by its name in lower case.
    pub(super) fn tx_word(&self, rules: &RuleSet, name: &[u8]) -> Option<Word> {
        match rules.slots.find(name) {
            Some(slot) => self.tx.get(slot).copied().flatten(),
            None => self
                .tx_named
                .iter()
                .find(|(key, _)| self.texts.get(*key) == name)
                .map(|(_, word)| *word),
        }
    }

    /// A variable that is one value.
    pub(super) fn single(&mut self, rules: &RuleSet, variable: Variable) -> Option<Word> {
        let full = |this: &mut Self| {
            let mut text = Vec::new();
            this.write_full_request(&mut text);
            text
        };
        Some(match variable {
            Variable::MatchedVar => self.matched?.value,
            Variable::MatchedVarName => {
                let matched = self.matched?;
                Word::Text(self.name(rules, matched))
            }
            Variable::FullRequest => {
                let text = full(self);
                Word::Text(self.texts.intern(&text))
            }
            Variable::FullRequestLength => Word::Number(i64::try_from(full(self).len()).unwrap_or(i64::MAX)),
            // There is no clock to measure with, and no build of ModSecurity to tell the number of.
            Variable::Duration | Variable::ModsecBuild | Variable::PerfAll => Word::Number(0),
            Variable::WebAppId => Word::Text(self.texts.intern(rules.settings.web_app_id.as_bytes())),
            variable => match time(variable, self.now) {
                Some(Time::Number(number)) => Word::Number(number),
                Some(Time::Clock(clock)) => Word::Text(self.texts.intern(clock.as_bytes())),
                None => self.fields.single(variable)?,
            },
        })
    }

    /// The full name of an item: `ARGS:q`, `REQUEST_METHOD`, `&ARGS`.
    pub(super) fn name(&mut self, rules: &RuleSet, item: Item) -> TextId {
        let mut name = std::mem::take(&mut self.scratch);
        name.clear();
        self.write_name(rules, item, &mut name);
        let text = self.texts.intern(&name);
        self.scratch = name;
        text
    }

    pub(super) fn write_name(&self, rules: &RuleSet, item: Item, into: &mut Vec<u8>) {
        if item.count {
            into.push(b'&');
        }
        into.extend_from_slice(item.variable.name().as_bytes());
        let key = self.key(rules, item.key);
        if !matches!(item.key, ItemKey::None) {
            into.push(b':');
            into.extend_from_slice(key);
        }
    }

    fn write_full_request(&self, into: &mut Vec<u8>) {
        if let Some(Word::Text(line)) = self.fields.single(Variable::RequestLine) {
            into.extend_from_slice(self.texts.get(line));
        }
        into.extend_from_slice(b"\n");
        for header in self.fields.bag(Bag::RequestHeaders) {
            into.extend_from_slice(self.texts.get(header.key));
            into.extend_from_slice(b": ");
            if let Word::Text(value) = header.value {
                into.extend_from_slice(self.texts.get(value));
            }
            into.extend_from_slice(b"\n");
        }
        into.extend_from_slice(b"\n");
        if let Some(Word::Text(body)) = self.fields.single(Variable::StreamInputBody) {
            into.extend_from_slice(self.texts.get(body));
        }
    }
}

enum Time {
    Clock(String),
    Number(i64),
}

/// The variables about the time, in UTC.
fn time(variable: Variable, now: Timestamp) -> Option<Time> {
    let text = || now.to_string();
    let part = |from: usize, to: usize| {
        let text = text();
        Some(Time::Number(text.get(from..to)?.parse().ok()?))
    };
    match variable {
        Variable::Time => Some(Time::Clock(text().get(11..19)?.to_owned())),
        Variable::TimeYear => part(0, 4),
        Variable::TimeMon => part(5, 7),
        Variable::TimeDay => part(8, 10),
        Variable::TimeHour => part(11, 13),
        Variable::TimeMin => part(14, 16),
        Variable::TimeSec => part(17, 19),
        Variable::TimeEpoch => Some(Time::Number(i64::try_from(now.seconds()).unwrap_or(i64::MAX))),
        // 1 January 1970 was a Thursday; Sunday is 0.
        Variable::TimeWday => Some(Time::Number(
            i64::try_from((now.seconds() / 86_400 + 4) % 7).unwrap_or(0),
        )),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_told_in_parts() {
        // 22 November 2026 is a Sunday.
        let now = Timestamp(1_795_305_600_000_000 + 3_661_000_000);
        let number = |variable| match time(variable, now) {
            Some(Time::Number(number)) => number,
            _ => panic!("{variable:?}"),
        };
        assert_eq!(number(Variable::TimeYear), 2026);
        assert_eq!(
            (
                number(Variable::TimeMon),
                number(Variable::TimeDay),
                number(Variable::TimeWday)
            ),
            (11, 22, 0)
        );
        assert_eq!(
            (
                number(Variable::TimeHour),
                number(Variable::TimeMin),
                number(Variable::TimeSec)
            ),
            (1, 1, 1)
        );
        assert!(matches!(time(Variable::Time, now), Some(Time::Clock(clock)) if clock == "01:01:01"));
    }
}
