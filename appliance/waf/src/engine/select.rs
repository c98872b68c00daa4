//! Which values a rule looks at: lists of targets evaluated.

use super::{List, RuleSet, TextId, Transaction, Variable, Word, fields::View};
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
    pub(super) fn stamp(self, domains: u8) -> u32 {
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
}
