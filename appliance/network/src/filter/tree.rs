//! An ordered list of regions as chains: the first region that contains a packet decides, and finding it costs a few lookups in maps
//! however long the list is.
//!
//! Fields are looked at in a fixed order. At each, the ranges of all entries are cut at each other's ends; every piece gets the list of
//! entries that remain possible there, and equal lists share a chain. A list of a few entries is written as plain rules, which are
//! shorter, and readable. Cutting can multiply where many entries leave different fields open, so that the number of pieces is
//! bounded; past the bound lists stay plain rules, which cost more to look up and mean the same.

use std::collections::{BTreeSet, HashMap};

use super::region::{FIELDS, IPV4, IPV6, Region, is_of_family};
use crate::nft::{Chain, Field, Range, Rule, Step, Verdict};

/// Lists up to this length are plain rules: about what one map lookup costs.
const PLAIN: usize = 4;
/// Map elements in one tree. The kernel takes some 100 bytes for each and walks them all when it checks a transaction.
const PIECES: usize = 100_000;

/// One entry: which packets, and the chain that decides about them.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) region: Region,
    pub(crate) chain: String,
}

/// Makes the chains for `entries` and appends them to `chains`. Returns the chain to begin with; `None` where no packet is in any entry.
pub(crate) fn grow(prefix: &str, entries: &[Entry], chains: &mut Vec<Chain>) -> Option<String> {
    let mut tree = Tree {
        prefix,
        entries,
        chains,
        known: HashMap::new(),
        made: 0,
        pieces: 0,
    };
    let all = (0..entries.len())
        .filter(|index| tree.entry(*index).is_some_and(|e| !e.region.is_empty()))
        .collect();
    tree.chain_for(0, None, all)
}

struct Tree<'a> {
    prefix: &'a str,
    entries: &'a [Entry],
    chains: &'a mut Vec<Chain>,
    known: HashMap<(usize, Option<bool>, Vec<usize>), String>,
    made: usize,
    pieces: usize,
}

impl Tree<'_> {
    /// The chain that decides among `list` when all fields before `depth` have been looked at. `six`: the family, once it is known.
    fn chain_for(&mut self, depth: usize, six: Option<bool>, mut list: Vec<usize>) -> Option<String> {
        // Behind an entry that takes everything nothing is reached.
        if let Some(last) = list.iter().position(|index| self.takes_everything(*index, depth, six)) {
            list.truncate(last + 1);
        }
        let first = *list.first()?;
        if self.takes_everything(first, depth, six) {
            return self.entry(first).map(|entry| entry.chain.clone());
        }
        let plain = list.len() <= PLAIN || self.pieces > PIECES;
        let depth = if plain {
            depth
        } else {
            self.next_field(depth, six, &list)
        };
        if let Some(name) = self.known.get(&(depth, six, list.clone())) {
            return Some(name.clone());
        }
        self.made += 1;
        let name = format!("{}-{}", self.prefix, self.made);
        self.known.insert((depth, six, list.clone()), name.clone());
        let rules = if plain {
            self.plain_rules(depth, six, &list)
        } else {
            self.dispatch(depth, six, &list)
        };
        self.chains.push(Chain {
            name: name.clone(),
            hook: None,
            rules,
        });
        Some(name)
    }

    /// The next field by which the entries differ. There is one: none of the entries but the last takes everything.
    fn next_field(&self, depth: usize, six: Option<bool>, list: &[usize]) -> usize {
        (depth..FIELDS.len())
            .find(|depth| {
                let Some(field) = FIELDS.get(*depth).copied() else {
                    return false;
                };
                match (field, six) {
                    (Field::Family, None) => list
                        .iter()
                        .any(|index| FIELDS.iter().skip(*depth).any(|f| self.ranges(*index, *f).is_some())),
                    (Field::Family, Some(_)) => false,
                    (_, six) => {
                        six.is_none_or(|six| is_of_family(field, six))
                            && list.iter().any(|index| self.ranges(*index, field).is_some())
                    }
                }
            })
            .unwrap_or(depth)
    }

    fn dispatch(&mut self, depth: usize, six: Option<bool>, list: &[usize]) -> Vec<Rule> {
        let field = FIELDS.get(depth).copied().unwrap_or(Field::Family);
        let mut cases = Vec::new();
        if field == Field::Family {
            for (number, six) in [(IPV4, false), (IPV6, true)] {
                let holds = |ranges: &[Range]| ranges.iter().any(|range| range.contains(number.into()));
                let rest = list
                    .iter()
                    .copied()
                    .filter(|i| self.ranges(*i, Field::Family).is_none_or(holds));
                let rest = rest.filter(|index| !self.is_impossible(*index, six)).collect();
                if let Some(chain) = self.chain_for(depth + 1, Some(six), rest) {
                    cases.push((Range::one(number), Verdict::Goto(chain)));
                }
            }
            return vec![Rule::new("", [Step::Dispatch(field, cases)])];
        }
        let open: Vec<usize> = list
            .iter()
            .copied()
            .filter(|index| self.ranges(*index, field).is_none())
            .collect();
        for (range, mut rest) in self.pieces(field, list) {
            rest.extend(&open);
            rest.sort_unstable();
            self.pieces += 1;
            if let Some(chain) = self.chain_for(depth + 1, six, rest) {
                cases.push((range, Verdict::Goto(chain)));
            }
        }
        let mut rules = vec![Rule::new("", [Step::Dispatch(field, cases)])];
        if let Some(chain) = self.chain_for(depth + 1, six, open) {
            rules.push(Rule::new("", [Step::Verdict(Verdict::Goto(chain))]));
        }
        rules
    }

    /// The ranges that entries of the list name, cut at each other's ends, with the entries that each piece belongs to.
    fn pieces(&self, field: Field, list: &[usize]) -> Vec<(Range, Vec<usize>)> {
        let mut events = Vec::new();
        for index in list {
            for range in self.ranges(*index, field).unwrap_or_default() {
                events.push((range.start, true, *index));
                // Nothing begins behind the greatest value, so that this end needs no event.
                if let Some(behind) = range.end.checked_add(1) {
                    events.push((behind, false, *index));
                }
            }
        }
        events.sort_unstable();
        let mut pieces: Vec<(Range, Vec<usize>)> = Vec::new();
        let mut active = BTreeSet::new();
        let mut from = 0;
        let mut close = |from: u128, to: u128, active: &BTreeSet<usize>| {
            if active.is_empty() {
                return;
            }
            let members: Vec<usize> = active.iter().copied().collect();
            match pieces.last_mut() {
                Some((last, same)) if last.end.checked_add(1) == Some(from) && *same == members => last.end = to,
                _ => pieces.push((Range::new(from, to), members)),
            }
        };
        for (at, begins, index) in events {
            if at > from {
                close(from, at.saturating_sub(1), &active);
            }
            from = at;
            if begins {
                active.insert(index);
            } else {
                active.remove(&index);
            }
        }
        close(from, field.greatest(), &active);
        pieces
    }

    fn plain_rules(&self, depth: usize, six: Option<bool>, list: &[usize]) -> Vec<Rule> {
        let mut rules = Vec::new();
        for index in list {
            let Some(entry) = self.entry(*index) else { continue };
            let by_family = |field: &Field| is_of_family(*field, true) != is_of_family(*field, false);
            let families = match six {
                Some(six) => vec![Some(six)],
                None if FIELDS
                    .iter()
                    .any(|field| by_family(field) && self.ranges(*index, *field).is_some()) =>
                {
                    vec![Some(false), Some(true)]
                }
                None => vec![None],
            };
            for family in families {
                if family.is_some_and(|six| self.is_impossible(*index, six)) {
                    continue;
                }
                let mut steps = Vec::new();
                for field in FIELDS.iter().skip(depth) {
                    // Looking at an address checks its family too.
                    let implied = *field == Field::Family && family.is_some();
                    if implied || family.is_some_and(|six| !is_of_family(*field, six)) {
                        continue;
                    }
                    if let Some(ranges) = self.ranges(*index, *field) {
                        steps.push(Step::In(*field, ranges.to_vec()));
                    }
                }
                steps.push(Step::Verdict(Verdict::Goto(entry.chain.clone())));
                rules.push(Rule::new(String::new(), steps));
            }
        }
        rules
    }

    /// Whether an entry cannot mean packets of IPv6 (`six`) or IPv4.
    fn is_impossible(&self, index: usize, six: bool) -> bool {
        let number = if six { IPV6 } else { IPV4 };
        let excluded = |ranges: &[Range]| !ranges.iter().any(|range| range.contains(number.into()));
        self.ranges(index, Field::Family).is_some_and(excluded)
    }

    fn takes_everything(&self, index: usize, depth: usize, six: Option<bool>) -> bool {
        FIELDS.iter().skip(depth).all(|field| {
            let decided = *field == Field::Family && six.is_some();
            decided || six.is_some_and(|six| !is_of_family(*field, six)) || self.ranges(index, *field).is_none()
        })
    }

    fn ranges(&self, index: usize, field: Field) -> Option<&[Range]> {
        self.entry(index)?.region.ranges(field)
    }

    fn entry(&self, index: usize) -> Option<&Entry> {
        self.entries.get(index)
    }
}
