//! A ruleset as one transaction's messages.

use std::collections::{HashMap, HashSet};

use super::{
    CounterValue, TABLE,
    expression::{self, AnonymousSet},
    ruleset::{Chain, Field, Hook, NamedSet, Range, Rule, Ruleset, Step},
};
use crate::netlink::{Batch, Body};

const NEWTABLE: u8 = 0;
const DELTABLE: u8 = 2;
const NEWCHAIN: u8 = 3;
const DELCHAIN: u8 = 5;
const NEWRULE: u8 = 6;
const DELRULE: u8 = 8;
const NEWSET: u8 = 9;
const NEWSETELEM: u8 = 12;
const DELSETELEM: u8 = 14;
const NEWOBJ: u8 = 18;
const DELOBJ: u8 = 20;
const NLM_F_CREATE: u16 = 0x400;
const NLM_F_APPEND: u16 = 0x800;
const NFT_OBJECT_COUNTER: u32 = 1;
const NFT_SET_ANONYMOUS: u32 = 0x1;
const NFT_SET_CONSTANT: u32 = 0x2;
const NFT_SET_INTERVAL: u32 = 0x4;
const NFT_SET_MAP: u32 = 0x8;
const NFT_SET_TIMEOUT: u32 = 0x10;
const NFT_DATA_VERDICT: u32 = 0xffff_ff00;
const NFT_SET_ELEM_INTERVAL_END: u32 = 1;
const NFTA_LIST_ELEM: u16 = 1;
/// Elements of a set travel in messages of about this many bytes: the list's length field has 16 bits.
const ELEMENTS_BYTES: usize = 32 << 10;
/// `NFT_USERDATA_MAXLEN` is 256: type, length, text and its terminator.
const COMMENT_BYTES: usize = 250;

/// What our table holds already, so that it can be replaced in place.
#[derive(Debug, Default)]
pub(crate) struct Existing {
    /// Chains with a flag: stands at a hook.
    pub(crate) chains: Vec<(String, bool)>,
    pub(crate) counters: Vec<CounterValue>,
    /// Whether the table is there with its chains at the hooks and its blocklists.
    pub(crate) complete: bool,
}

/// New elements of a named set.
#[derive(Debug)]
pub(crate) struct Elements {
    pub(crate) set: NamedSet,
    /// Whether all others go.
    pub(crate) replace: bool,
    /// Disjoint ranges; milliseconds to live (`None`: for good); a comment.
    pub(crate) add: Vec<(Range, Option<u64>, String)>,
}

/// Replaces our table's rules, and, where given, the blocklists' elements.
///
/// Where `existing` is complete, the table, counters that stay and blocklists remain as they are and everything else is exchanged, so that no packet
/// passes between two states, no count is lost and no expiry moves. Where it is not complete, the table is made anew and the counters begin
/// with what was last read.
pub(crate) fn replace(batch: &mut Batch, ruleset: &Ruleset, existing: &Existing, elements: &[Elements]) {
    table(batch, NEWTABLE);
    if existing.complete {
        remove(batch, ruleset, existing);
    } else {
        table(batch, DELTABLE);
        table(batch, NEWTABLE);
    }
    let values: HashMap<&String, &CounterValue> = existing.counters.iter().map(|value| (&value.name, value)).collect();
    for counter in &ruleset.counters {
        batch.push(NEWOBJ, NLM_F_CREATE, &format!("counter {counter}"), |body| {
            body.text(1, TABLE);
            body.text(2, counter);
            body.be32(3, NFT_OBJECT_COUNTER);
            // A counter that is there already keeps counting, whatever is said here.
            let value = values.get(counter);
            body.nest(4, |body| {
                body.be64(1, value.map_or(0, |value| value.bytes));
                body.be64(2, value.map_or(0, |value| value.packets));
            });
        });
    }
    if !existing.complete {
        for set in NamedSet::ALL {
            named_set(batch, set);
        }
    }
    update_elements(batch, elements);
    for chain in &ruleset.chains {
        new_chain(batch, chain);
    }
    let mut sets = 0;
    for chain in &ruleset.chains {
        for rule in &chain.rules {
            new_rule(batch, &chain.name, rule, &mut sets);
        }
    }
}

/// Adds elements to the blocklists, or exchanges all of them.
pub(crate) fn update_elements(batch: &mut Batch, changes: &[Elements]) {
    for change in changes {
        let name = change.set.name();
        if change.replace {
            batch.push(DELSETELEM, 0, &format!("emptying {name}"), |body| {
                body.text(1, TABLE);
                body.text(2, name);
            });
        }
        let width = change.set.width();
        let mut messages = ElementMessages {
            batch,
            set: name,
            id: None,
            subject: format!("blocklist {name}"),
            pending: Body::default(),
        };
        for (range, millis, comment) in &change.add {
            messages.range(*range, width, |body| {
                if let Some(millis) = millis {
                    body.be64(4, *millis);
                }
                if !comment.is_empty() {
                    body.attribute(6, &userdata(comment));
                }
            });
        }
        messages.flush();
    }
}

fn remove(batch: &mut Batch, ruleset: &Ruleset, existing: &Existing) {
    batch.push(DELRULE, 0, "removing the rules that were", |body| body.text(1, TABLE));
    // A chain at a hook stays where the new ruleset has it too: packets pass it at every moment.
    let hooked: HashSet<&String> = ruleset
        .chains
        .iter()
        .filter(|chain| chain.hook.is_some())
        .map(|chain| &chain.name)
        .collect();
    for (name, _) in existing
        .chains
        .iter()
        .filter(|(name, at_hook)| !(*at_hook && hooked.contains(name)))
    {
        batch.push(DELCHAIN, 0, &format!("removing chain {name}"), |body| {
            body.text(1, TABLE);
            body.text(3, name);
        });
    }
    let kept: HashSet<&String> = ruleset.counters.iter().collect();
    for CounterValue { name, .. } in existing.counters.iter().filter(|counter| !kept.contains(&counter.name)) {
        batch.push(DELOBJ, 0, &format!("removing counter {name}"), |body| {
            body.text(1, TABLE);
            body.text(2, name);
            body.be32(3, NFT_OBJECT_COUNTER);
        });
    }
}

fn table(batch: &mut Batch, kind: u8) {
    let flags = if kind == NEWTABLE { NLM_F_CREATE } else { 0 };
    batch.push(kind, flags, "the table", |body| body.text(1, TABLE));
}

fn named_set(batch: &mut Batch, set: NamedSet) {
    const TYPE_IPADDR: u32 = 7;
    const TYPE_IP6ADDR: u32 = 8;
    let kind = match set {
        NamedSet::Blocked4 => TYPE_IPADDR,
        NamedSet::Blocked6 => TYPE_IP6ADDR,
    };
    batch.push(NEWSET, NLM_F_CREATE, &format!("blocklist {}", set.name()), |body| {
        body.text(1, TABLE);
        body.text(2, set.name());
        body.be32(3, NFT_SET_INTERVAL | NFT_SET_TIMEOUT);
        body.be32(4, kind);
        body.be32(5, number(set.width()));
        body.be32(10, 0);
    });
}

fn new_chain(batch: &mut Batch, chain: &Chain) {
    batch.push(NEWCHAIN, NLM_F_CREATE, &format!("chain {}", chain.name), |body| {
        body.text(1, TABLE);
        body.text(3, &chain.name);
        let Some(hook) = chain.hook else { return };
        // Priorities: -300 is `raw`, before connection tracking at -200; 0 is `filter`.
        let (number, priority, policy) = match hook {
            Hook::Prerouting => (0, -300_i32, 1),
            Hook::Input => (1, 0, 0),
            Hook::Forward => (2, 0, 0),
            Hook::Output => (3, 0, 0),
        };
        body.nest(4, |body| {
            body.be32(1, number);
            body.attribute(2, &priority.to_be_bytes());
        });
        body.be32(5, policy);
        body.text(7, "filter");
    });
}

fn new_rule(batch: &mut Batch, chain: &str, rule: &Rule, sets: &mut u32) {
    let mut made = Vec::new();
    for step in &rule.steps {
        made.push(expression::needs_set(step).then(|| {
            *sets = sets.saturating_add(1);
            anonymous_set(batch, &rule.comment, step, *sets)
        }));
    }
    batch.push(NEWRULE, NLM_F_CREATE | NLM_F_APPEND, &rule.comment, |body| {
        body.text(1, TABLE);
        body.text(2, chain);
        body.nest(4, |body| {
            for (step, set) in rule.steps.iter().zip(made) {
                expression::step(body, step, set);
            }
        });
        if !rule.comment.is_empty() {
            body.attribute(7, &userdata(&rule.comment));
        }
    });
}

fn anonymous_set(batch: &mut Batch, subject: &str, step: &Step, id: u32) -> AnonymousSet {
    let nothing = Vec::new();
    let (field, ranges, map) = match step {
        Step::In(field, ranges) => (*field, ranges.iter().map(|range| (*range, None)).collect(), false),
        Step::Dispatch(field, cases) => (
            *field,
            cases.iter().map(|(range, verdict)| (*range, Some(verdict))).collect(),
            true,
        ),
        _ => (Field::Family, nothing, false),
    };
    let name = if map { "__map%d" } else { "__set%d" };
    let interval = ranges.iter().any(|(range, _)| range.start != range.end);
    let mut flags = NFT_SET_ANONYMOUS | NFT_SET_CONSTANT;
    flags |= if interval { NFT_SET_INTERVAL } else { 0 };
    flags |= if map { NFT_SET_MAP } else { 0 };
    batch.push(NEWSET, NLM_F_CREATE, subject, |body| {
        body.text(1, TABLE);
        body.text(2, name);
        body.be32(3, flags);
        body.be32(4, key_type(field));
        body.be32(5, number(field.width()));
        if map {
            body.be32(6, NFT_DATA_VERDICT);
            body.be32(7, 0);
        }
        let elements = ranges.len().saturating_mul(if interval { 2 } else { 1 });
        body.nest(9, |body| body.be32(1, number(elements)));
        body.be32(10, id);
    });
    let mut messages = ElementMessages {
        batch,
        set: name,
        id: Some(id),
        subject: subject.to_owned(),
        pending: Body::default(),
    };
    for (range, verdict) in &ranges {
        let data = |body: &mut Body| {
            if let Some(verdict) = verdict {
                body.nest(2, |body| expression::verdict(body, verdict));
            }
        };
        if interval {
            messages.range(*range, field.width(), data);
        } else {
            messages.value(range.start, field.width(), data);
        }
    }
    messages.flush();
    AnonymousSet { id, name }
}

/// Elements of one set, cut into messages.
struct ElementMessages<'a> {
    batch: &'a mut Batch,
    set: &'a str,
    id: Option<u32>,
    subject: String,
    pending: Body,
}

impl ElementMessages<'_> {
    /// An interval is two elements: its first address, and the address behind its last one, which ends it.
    fn range(&mut self, range: Range, width: usize, data: impl FnOnce(&mut Body)) {
        self.value(range.start, width, data);
        let greatest = u128::MAX
            .checked_shr(128_u32.saturating_sub(u32::try_from(width * 8).unwrap_or(128)))
            .unwrap_or(u128::MAX);
        if range.end < greatest {
            self.value(range.end.saturating_add(1), width, |body| {
                body.be32(3, NFT_SET_ELEM_INTERVAL_END);
            });
        }
    }

    fn value(&mut self, key: u128, width: usize, data: impl FnOnce(&mut Body)) {
        self.pending.nest(NFTA_LIST_ELEM, |body| {
            expression::value(body, 1, &expression::key(key, width));
            data(body);
        });
        if self.pending.len() >= ELEMENTS_BYTES {
            self.flush();
        }
    }

    fn flush(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        if pending.len() == 0 {
            return;
        }
        self.batch.push(NEWSETELEM, NLM_F_CREATE, &self.subject, |body| {
            body.text(1, TABLE);
            body.text(2, self.set);
            if let Some(id) = self.id {
                body.be32(4, id);
            }
            body.nest_of(3, &pending);
        });
    }
}

/// The types by which `nft` prints a set's keys; the kernel itself only stores them.
const fn key_type(field: Field) -> u32 {
    match field {
        Field::InputInterface | Field::OutputInterface => 41,
        Field::Family => 2,
        Field::Protocol => 12,
        Field::DestinationPort => 13,
        Field::Source4 | Field::Destination4 => 7,
        Field::Source6 | Field::Destination6 => 8,
        Field::IcmpType => 29,
        Field::HopLimit6 => 4,
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// A comment as `nft` stores it: type 0, length with the terminator, text.
fn userdata(comment: &str) -> Vec<u8> {
    let mut text = String::new();
    for character in comment.chars().filter(|character| !character.is_control()) {
        if text.len() + character.len_utf8() > COMMENT_BYTES {
            break;
        }
        text.push(character);
    }
    let length = u8::try_from(text.len().saturating_add(1)).unwrap_or(u8::MAX);
    [&[0, length], text.as_bytes(), &[0]].concat()
}
