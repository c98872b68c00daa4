//! Which values a rule looks at: lists of targets evaluated, and batches of the distinct texts behind them.

use redan_types::Timestamp;

use super::{Bag, List, RuleSet, TextId, Transaction, Variable, Word, fields::View};
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
    version: u32,
    /// Range of the items.
    items: (usize, usize),
    /// Range of the distinct texts; present for lists of batches.
    texts: (usize, usize),
    texts_known: bool,
}

/// The distinct texts of a list after transformations.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct BatchCache {
    version: u32,
    pub(super) start: usize,
    pub(super) end: usize,
    /// Bytes that occur in any of them.
    pub(super) union: ByteSet,
    /// The length of the shortest.
    pub(super) shortest: usize,
    /// The length of the longest.
    pub(super) longest: usize,
}

impl Transaction {
    /// The items of a list as a range of `list_items`.
    pub(super) fn items(&mut self, rules: &RuleSet, index: usize) -> (usize, usize) {
        let Some(list) = rules.lists.get(index) else {
            return (0, 0);
        };
        if !list.volatile
            && let Some(cache) = self.lists.get(index)
            && cache.version == self.version
        {
            return cache.items;
        }
        let start = self.list_items.len();
        self.collect(rules, list);
        let items = (start, self.list_items.len());
        if !list.volatile
            && let Some(cache) = self.lists.get_mut(index)
        {
            *cache = ListCache {
                version: self.version,
                items,
                ..ListCache::default()
            };
        }
        items
    }

    /// The distinct texts of a batch.
    pub(super) fn batch(&mut self, rules: &RuleSet, index: usize) -> BatchCache {
        if let Some(cache) = self.batches.get(index)
            && cache.version == self.version
        {
            return *cache;
        }
        let Some(batch) = rules.batches.get(index) else {
            return BatchCache::default();
        };
        let (from, to) = self.list_texts(rules, batch.list);
        let chain = rules.chains.get(batch.chain).map_or(&[][..], Vec::as_slice);
        let mut cache = BatchCache {
            version: self.version,
            start: self.batch_texts.len(),
            shortest: usize::MAX,
            ..BatchCache::default()
        };
        self.collecting += 1;
        for at in from..to {
            let Some(mut text) = self.list_texts.get(at).copied() else {
                continue;
            };
            for step in chain {
                if batch.stages {
                    self.collect_text(text, &mut cache);
                }
                let Some(transformation) = rules.steps.get(*step) else {
                    continue;
                };
                text = self.texts.transform(text, *step, *transformation);
            }
            self.collect_text(text, &mut cache);
        }
        cache.end = self.batch_texts.len();
        if let Some(known) = self.batches.get_mut(index) {
            *known = cache;
        }
        cache
    }

    fn collect_text(&mut self, text: TextId, cache: &mut BatchCache) {
        if self.first_seen(text) {
            self.batch_texts.push(text);
            cache.union = cache.union.union(self.texts.present(text));
            let length = self.texts.get(text).len();
            cache.longest = cache.longest.max(length);
            cache.shortest = cache.shortest.min(length);
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

    /// The distinct texts of a list before transformations, as a range of `list_texts`.
    fn list_texts(&mut self, rules: &RuleSet, index: usize) -> (usize, usize) {
        let (from, to) = self.items(rules, index);
        if let Some(cache) = self.lists.get(index)
            && cache.texts_known
            && cache.version == self.version
        {
            return cache.texts;
        }
        let start = self.list_texts.len();
        self.collecting += 1;
        for at in from..to {
            let Some(item) = self.list_items.get(at).copied() else {
                continue;
            };
            let text = self.text(item.value);
            if self.first_seen(text) {
                self.list_texts.push(text);
            }
        }
        let texts = (start, self.list_texts.len());
        if let Some(cache) = self.lists.get_mut(index) {
            cache.texts = texts;
            cache.texts_known = true;
        }
        texts
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
