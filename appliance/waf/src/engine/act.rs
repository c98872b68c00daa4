//! What a match does: variables, collections, settings of the transaction, reports.

use std::{ops::Range, sync::Arc, time::Duration};

use super::{
    Bag, Event, KeptChange, Link, Made, Matched, Rule, RuleSet, Stop, TextId, Transaction, Variable, Word, integer,
    select::Item,
    transaction::{LoadedCollection, MOST_EVENTS},
};
use crate::seclang::{
    Action, Change, Ctl, Disruptive, EngineMode, Keeper, PartChange, Piece, Place, Reference, Switch, Template,
};

impl Transaction {
    /// Does what a link's actions say.
    pub(super) fn act(&mut self, rules: &RuleSet, link: &Link) {
        for action in &link.run {
            self.act_one(rules, action);
        }
    }

    fn act_one(&mut self, rules: &RuleSet, action: &Action) {
        match action {
            Action::Ctl(ctl) => self.control(rules, ctl),
            Action::Deprecate {
                keeper,
                name,
                amount,
                seconds,
            } => self.deprecate(rules, *keeper, name, *amount, *seconds),
            Action::Expire { place, seconds } => {
                let seconds = self.number_of(rules, seconds);
                let at = self.now.after(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)));
                if let Place::Kept(keeper, name) = place {
                    let name = self.lowered(rules, name);
                    self.change_kept(*keeper, name, KeptChange::Expire(at));
                }
            }
            Action::InitCollection { keeper, key } => {
                let key = self.rendered(rules, key);
                self.load(*keeper, key);
            }
            Action::Sanitise(what) => {
                self.sanitise.push(what.clone());
                if *what == crate::seclang::Sanitise::Matched
                    && let Some(matched) = self.matched
                {
                    let key = self.key(rules, matched.key).to_vec();
                    self.sanitise.push(crate::seclang::Sanitise::Argument(key));
                }
            }
            Action::SetEnv { name, value } => {
                let value = self.rendered(rules, value);
                let (key, value) = (self.texts.intern(name), self.texts.intern(&value));
                self.fields.push(Bag::Env, key, Word::Text(value));
            }
            Action::SetResource(key) => {
                let key = self.rendered(rules, key);
                self.load(Keeper::Resource, key);
            }
            Action::SetSession(key) => {
                let key = self.rendered(rules, key);
                let text = self.texts.intern(&key);
                self.fields.set(Variable::SessionId, Word::Text(text));
                self.load(Keeper::Session, key);
            }
            Action::SetUser(key) => {
                let key = self.rendered(rules, key);
                let text = self.texts.intern(&key);
                self.fields.set(Variable::UserId, Word::Text(text));
                self.load(Keeper::User, key);
            }
            Action::SetVar { place, change } => self.set_var(rules, place, change),
        }
    }

    fn set_var(&mut self, rules: &RuleSet, place: &Place, change: &Change) {
        match place {
            Place::Slot(slot) => {
                let old = self.tx.get(*slot).copied().flatten();
                let new = self.changed(rules, old, change);
                self.count_score(rules, *slot, old, new);
                if let Some(place) = self.tx.get_mut(*slot) {
                    *place = new;
                }
            }
            Place::Tx(name) => {
                let name = self.lowered(rules, name);
                let old = self.tx_word(rules, &name);
                let new = self.changed(rules, old, change);
                self.set_tx(&name, new);
            }
            Place::Kept(keeper, name) => {
                let name = self.lowered(rules, name);
                let change = match change {
                    Change::Add(amount) => KeptChange::Add(self.number_of(rules, amount)),
                    Change::Remove => KeptChange::Remove,
                    Change::Set(value) => KeptChange::Set(self.rendered(rules, value)),
                    Change::Subtract(amount) => KeptChange::Add(self.number_of(rules, amount).saturating_neg()),
                };
                self.change_kept(*keeper, name, change);
            }
        }
    }

    /// Notes what a rule adds to a score, for its event.
    fn count_score(&mut self, rules: &RuleSet, slot: usize, old: Option<Word>, new: Option<Word>) {
        let Some((_, level)) = rules.scores.iter().find(|(score, _)| *score == slot) else {
            return;
        };
        let number = |word: Option<Word>| word.map_or(0, |word| self.integer(word));
        let points = number(new).saturating_sub(number(old));
        self.score.points = self.score.points.saturating_add(points);
        self.score.level = *level;
    }

    fn changed(&mut self, rules: &RuleSet, old: Option<Word>, change: &Change) -> Option<Word> {
        let number = |this: &Self| old.map_or(0, |word| this.integer(word));
        match change {
            Change::Add(amount) => Some(Word::Number(number(self).saturating_add(self.number_of(rules, amount)))),
            Change::Remove => None,
            Change::Set(value) => Some(self.word(rules, value)),
            Change::Subtract(amount) => Some(Word::Number(number(self).saturating_sub(self.number_of(rules, amount)))),
        }
    }

    /// The value that a template makes; numbers stay numbers.
    fn word(&mut self, rules: &RuleSet, template: &Template) -> Word {
        if let Some(plain) = template.as_plain() {
            let number = integer(plain);
            // Only what reads back the same is a number: not `007`, not `5 `.
            let digits = plain.strip_prefix(b"-").unwrap_or(plain);
            let canonical = !digits.is_empty()
                && digits.len() < 18
                && digits.iter().all(u8::is_ascii_digit)
                && (digits.len() == 1 || !digits.starts_with(b"0"))
                && plain != b"-0";
            return if canonical {
                Word::Number(number)
            } else {
                Word::Text(self.texts.intern(plain))
            };
        }
        if let Some(slot) = template.as_reference().and_then(|reference| reference.slot) {
            return self
                .tx
                .get(slot)
                .copied()
                .flatten()
                .unwrap_or(Word::Text(TextId::EMPTY));
        }
        let mut text = std::mem::take(&mut self.scratch);
        text.clear();
        self.render(rules, template, &mut text);
        let id = self.texts.intern(&text);
        self.scratch = text;
        Word::Text(id)
    }

    /// The number that a template makes.
    fn number_of(&mut self, rules: &RuleSet, template: &Template) -> i64 {
        let word = self.word(rules, template);
        self.integer(word)
    }

    /// Sets or removes a `TX` variable by its name in lower case.
    pub(super) fn set_tx(&mut self, name: &[u8], value: Option<Word>) {
        if let Some(slot) = self.rules.slots.find(name) {
            if let Some(place) = self.tx.get_mut(slot) {
                *place = value;
            }
            return;
        }
        let known = self.tx_named.iter().position(|(key, _)| self.texts.get(*key) == name);
        match (known, value) {
            (Some(at), Some(value)) => {
                if let Some(pair) = self.tx_named.get_mut(at) {
                    pair.1 = value;
                }
            }
            (Some(at), None) => {
                self.tx_named.remove(at);
            }
            (None, Some(value)) if self.tx_named.len() < MOST_NAMED => {
                let key = self.texts.intern(name);
                self.tx_named.push((key, value));
            }
            (None, _) => {}
        }
    }

    fn rendered(&self, rules: &RuleSet, template: &Template) -> Vec<u8> {
        let mut text = Vec::new();
        self.render(rules, template, &mut text);
        text
    }

    fn lowered(&self, rules: &RuleSet, template: &Template) -> Vec<u8> {
        let mut text = self.rendered(rules, template);
        text.make_ascii_lowercase();
        text
    }

    /// Writes a template with its macros resolved; what is not there is nothing. A text that is made of texts could grow with each
    /// match, so it ends at a limit.
    pub(super) fn render(&self, rules: &RuleSet, template: &Template, into: &mut Vec<u8>) {
        for piece in template.pieces() {
            match piece {
                Piece::Text(text) => into.extend_from_slice(text),
                Piece::Value(reference) => self.render_value(rules, reference, into),
            }
            if into.len() > MOST_RENDERED {
                into.truncate(MOST_RENDERED);
                return;
            }
        }
    }

    fn write_word(&self, word: Word, into: &mut Vec<u8>) {
        match word {
            Word::Number(number) => into.extend_from_slice(number.to_string().as_bytes()),
            Word::Text(text) => into.extend_from_slice(self.texts.get(text)),
        }
    }

    fn render_value(&self, rules: &RuleSet, reference: &Reference, into: &mut Vec<u8>) {
        if let Some(slot) = reference.slot {
            if let Some(word) = self.tx.get(slot).copied().flatten() {
                self.write_word(word, into);
            }
            return;
        }
        match (reference.variable, reference.key.as_deref()) {
            (Variable::MatchedVar, _) => {
                if let Some(matched) = self.matched {
                    self.write_word(matched.value, into);
                }
            }
            (Variable::MatchedVarName, _) => {
                if let Some(matched) = self.matched {
                    self.write_name(rules, matched, into);
                }
            }
            (variable, key) => {
                if let Some(word) = self.look_up(rules, variable, key) {
                    self.write_word(word, into);
                }
            }
        }
    }

    /// The first value of a variable or of a key of a collection.
    fn look_up(&self, rules: &RuleSet, variable: Variable, key: Option<&[u8]>) -> Option<Word> {
        if let Some(view) = super::fields::View::of(variable) {
            let mut pairs = view.bags.iter().flat_map(|bag| self.fields.bag(*bag));
            let pair = match key {
                Some(key) => pairs.find(|pair| self.texts.get(pair.key).eq_ignore_ascii_case(key)),
                None => pairs.next(),
            }?;
            return Some(if view.keys { Word::Text(pair.key) } else { pair.value });
        }
        if let Some(keeper) = Keeper::of(variable) {
            let loaded = self.kept.iter().find(|loaded| loaded.keeper == keeper)?;
            let found = loaded
                .variables
                .iter()
                .find(|(name, _)| self.texts.get(*name).eq_ignore_ascii_case(key.unwrap_or_default()));
            return found.map(|(_, value)| *value);
        }
        match variable {
            Variable::Rule => self.rule_number(rules, key?),
            Variable::TimeEpoch => Some(Word::Number(i64::try_from(self.now.seconds()).unwrap_or(i64::MAX))),
            variable => self.fields.single(variable),
        }
    }

    fn rule_number(&self, rules: &RuleSet, name: &[u8]) -> Option<Word> {
        let meta = &rules.rules.get(self.current)?.meta;
        let number = match name.to_ascii_lowercase().as_slice() {
            b"id" => i64::try_from(meta.id).unwrap_or(i64::MAX),
            b"severity" => i64::from(meta.severity? as u8),
            b"phase" => i64::from(meta.phase),
            _ => return None,
        };
        Some(Word::Number(number))
    }

    /// A part of `RULE`.
    pub(super) fn rule_word(&mut self, rules: &RuleSet, name: &str) -> Option<Word> {
        let meta = Arc::clone(&rules.rules.get(self.current)?.meta);
        let text = match name {
            "rev" => meta.revision.clone()?.into_bytes(),
            "msg" => self.rendered(rules, meta.message.as_ref()?),
            "logdata" => self.rendered(rules, meta.logdata.as_ref()?),
            other => return self.rule_number(rules, other.as_bytes()),
        };
        Some(Word::Text(self.texts.intern(&text)))
    }

    fn load(&mut self, keeper: Keeper, key: Vec<u8>) {
        if self.kept.iter().any(|loaded| loaded.keeper == keeper) {
            return;
        }
        let found = self.kept_in.load(keeper, &key, self.now);
        let mut variables: Vec<(TextId, Word)> = Vec::new();
        let new = found.is_empty();
        for kept in found {
            let (name, value) = (self.texts.intern(&kept.name), self.texts.intern(&kept.value));
            variables.push((name, Word::Text(value)));
        }
        let name = self.texts.intern(b"key");
        let value = self.texts.intern(&key);
        variables.push((name, Word::Text(value)));
        let name = self.texts.intern(b"is_new");
        variables.push((name, Word::Number(i64::from(new))));
        self.kept.push(LoadedCollection {
            keeper,
            key,
            variables,
            changes: Vec::new(),
        });
    }

    fn change_kept(&mut self, keeper: Keeper, name: Vec<u8>, change: KeptChange) {
        let Some(at) = self.kept.iter().position(|loaded| loaded.keeper == keeper) else {
            return;
        };
        let Self { kept, texts, .. } = self;
        let Some(loaded) = kept.get_mut(at) else { return };
        let known = loaded
            .variables
            .iter()
            .position(|(key, _)| texts.get(*key) == name.as_slice());
        let value = match &change {
            KeptChange::Add(amount) => {
                let old = known
                    .and_then(|at| loaded.variables.get(at))
                    .map_or(0, |(_, word)| match word {
                        Word::Number(number) => *number,
                        Word::Text(text) => integer(texts.get(*text)),
                    });
                Some(Word::Number(old.saturating_add(*amount)))
            }
            KeptChange::Set(value) => Some(Word::Text(texts.intern(value))),
            KeptChange::Remove => None,
            KeptChange::Expire(_) => known.and_then(|at| loaded.variables.get(at)).map(|(_, word)| *word),
        };
        match (known, value) {
            (Some(at), Some(value)) => {
                if let Some(pair) = loaded.variables.get_mut(at) {
                    pair.1 = value;
                }
            }
            (Some(at), None) => {
                loaded.variables.remove(at);
            }
            (None, Some(value)) => {
                let key = texts.intern(&name);
                loaded.variables.push((key, value));
            }
            (None, None) => {}
        }
        if loaded.changes.len() < MOST_NAMED {
            loaded.changes.push((name, change));
        }
    }

    /// A variable loses an amount for each span that passed since it was last lowered; when that was is kept beside it.
    fn deprecate(&mut self, rules: &RuleSet, keeper: Keeper, name: &Template, amount: i64, seconds: i64) {
        let name = self.lowered(rules, name);
        let stamp = [b"__lowered_".as_slice(), &name].concat();
        let now = i64::try_from(self.now.seconds()).unwrap_or(i64::MAX);
        let Some(value) = self
            .look_up(rules, keeper.variable(), Some(&name))
            .map(|word| self.integer(word))
        else {
            return;
        };
        let last = self
            .look_up(rules, keeper.variable(), Some(&stamp))
            .map_or(now, |word| self.integer(word));
        let spans = now.saturating_sub(last) / seconds;
        let lowered = value.saturating_sub(spans.saturating_mul(amount)).max(0);
        if spans > 0 {
            self.change_kept(keeper, name, KeptChange::Add(lowered.saturating_sub(value)));
        }
        if spans > 0 || last == now {
            self.change_kept(keeper, stamp, KeptChange::Set(now.to_string().into_bytes()));
        }
    }

    /// Gives the changes to persistent collections to where they are kept.
    pub(super) fn store_kept(&mut self) {
        let timeout = self.rules.settings.collection_timeout;
        for loaded in &mut self.kept {
            if !loaded.changes.is_empty() {
                self.kept_in
                    .store(loaded.keeper, &loaded.key, &loaded.changes, timeout, self.now);
                loaded.changes.clear();
            }
        }
    }

    fn control(&mut self, rules: &RuleSet, ctl: &Ctl) {
        match ctl {
            Ctl::AuditEngine(mode) => self.audit_mode = *mode,
            Ctl::AuditLogParts { change, parts } => match change {
                PartChange::Add => self.audit_parts.push_str(parts),
                PartChange::Remove => self.audit_parts.retain(|part| !parts.contains(part)),
                PartChange::Set => parts.clone_into(&mut self.audit_parts),
            },
            Ctl::ForceRequestBodyVariable(switch) => self.force_request_body = *switch == Switch::On,
            // The last two were turned into removals by the compiler.
            Ctl::Nothing | Ctl::RemoveRules(_) | Ctl::RemoveTarget(..) => {}
            Ctl::Removal(removal) => self.remove(rules, *removal),
            Ctl::RequestBodyAccess(switch) => self.request_body.access = *switch == Switch::On,
            Ctl::RequestBodyLimit(limit) => self.request_body.limit = *limit,
            Ctl::RequestBodyProcessor(name) => {
                let text = self.texts.intern(name);
                self.fields.set(Variable::ReqbodyProcessor, Word::Text(text));
            }
            Ctl::ResponseBodyAccess(switch) => self.response_body.access = *switch == Switch::On,
            Ctl::ResponseBodyLimit(limit) => self.response_body.limit = *limit,
            Ctl::RuleEngine(mode) => self.mode = *mode,
            Ctl::XmlIntoArgs(args) => self.xml_args = *args,
        }
    }

    fn remove(&mut self, rules: &RuleSet, index: usize) {
        let Some(removal) = rules.removals.get(index) else {
            return;
        };
        if removal.target.is_some() {
            if !self.removals.contains(&index) {
                self.removals.push(index);
            }
            return;
        }
        for rule in &removal.rules {
            if let Some(removed) = self.removed_rules.get_mut(*rule) {
                *removed = true;
            }
        }
    }

    /// Adds an event about the current match. Of a chain it tells what its first rule matched: that is what an exception would name.
    pub(super) fn report(&mut self, rules: &RuleSet, rule: &Rule, matched: Option<Item>) {
        let stop = self.stop(rules, rule);
        // The last places are for what stops transactions: a flood of harmless matches must not hide it.
        let wanted = if stop.is_some() { 1 } else { MOST_EVENTS / 8 };
        let score = std::mem::take(&mut self.score);
        if self.events_left < wanted {
            self.events_cut = self.events_cut.saturating_add(1);
            return;
        }
        self.events_left -= 1;
        let meta = &rule.meta;
        let told = |template: Option<&Template>| {
            template
                .map(|template| self.resolved(rules, template))
                .unwrap_or_default()
        };
        let (message, message_made) = told(meta.message.as_ref());
        let (data, data_made) = told(meta.logdata.as_ref());
        let (tags, tags_made) = meta.tags.iter().map(|tag| told(Some(tag))).unzip();
        let matched = matched.map_or_else(Matched::default, |item| self.told_match(rules, item));
        let event = Event {
            message,
            data,
            tags,
            made: Made {
                message: message_made,
                data: data_made,
                tags: tags_made,
            },
            matched,
            score,
            log: rule.log,
            audit: rule.audit,
            stop,
            rule: Arc::clone(meta),
        };
        self.events.push(event);
    }

    /// A template with its macros resolved, and where their results stand in it.
    fn resolved(&self, rules: &RuleSet, template: &Template) -> (String, Vec<Range<usize>>) {
        let (mut text, mut made, mut value) = (String::new(), Vec::new(), Vec::new());
        for piece in template.pieces() {
            let room = MOST_TOLD.saturating_sub(text.len());
            let start = text.len();
            value.clear();
            match piece {
                Piece::Text(plain) => value.extend_from_slice(plain),
                Piece::Value(reference) => self.render_value(rules, reference, &mut value),
            }
            value.truncate(room);
            text.push_str(&String::from_utf8_lossy(&value));
            if matches!(piece, Piece::Value(_)) && text.len() > start {
                made.push(start..text.len());
            }
        }
        (text, made)
    }

    fn told_match(&self, rules: &RuleSet, item: Item) -> Matched {
        let mut name = Vec::new();
        self.write_name(rules, item, &mut name);
        let mut value = Vec::new();
        self.write_word(item.value, &mut value);
        value.truncate(MOST_TOLD);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Matched {
            name: text(name),
            value: text(value),
        }
    }

    /// What a rule would do to the transaction.
    pub(super) fn stop(&self, rules: &RuleSet, rule: &Rule) -> Option<Stop> {
        let told = |template: &Template| String::from_utf8_lossy(&self.rendered(rules, template)).into_owned();
        match &rule.disruptive {
            Disruptive::Allow(_) | Disruptive::Block | Disruptive::Pass => None,
            Disruptive::Deny => Some(Stop::Deny),
            Disruptive::Drop => Some(Stop::Drop),
            Disruptive::Proxy(to) => Some(Stop::Proxy(told(to))),
            Disruptive::Redirect(to) => Some(Stop::Redirect(told(to))),
        }
    }

    /// Whether rules run at all.
    pub(super) fn is_off(&self) -> bool {
        self.mode == EngineMode::Off
    }
}

/// How many variables rules may make with names from the request, per transaction and per collection.
const MOST_NAMED: usize = 4096;

/// The longest text that macros make, in bytes: as long as a body without files.
const MOST_RENDERED: usize = 1 << 20;

/// How many bytes of a message, of its data and of the matched value an event holds.
const MOST_TOLD: usize = 8192;
