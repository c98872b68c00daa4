//! What a transaction costs, for those who ask: rules, patterns, time. Transactions that nobody watches do not pay for it.

use std::{fmt, sync::Arc};

use super::{RuleMeta, RuleSet, Transaction};

/// What a transaction has cost so far.
#[derive(Clone, Debug, Default)]
pub struct Costs {
    /// The phases that ran, in order.
    pub phases: Vec<PhaseCost>,
    /// The rules that were asked, in order.
    pub rules: Vec<RuleCost>,
}

/// What a phase cost.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct PhaseCost {
    /// 1 to 5.
    pub phase: u8,
    /// How many rules were asked: those that no jump skipped and no exclusion removed.
    pub rules: usize,
    /// How many times a pattern was run on a value; the others were answered by the value's bytes alone.
    pub searches: u64,
    /// The time it took.
    pub nanoseconds: u64,
}

/// What a rule cost.
#[derive(Clone, Debug)]
pub struct RuleCost {
    /// The rule.
    pub rule: Arc<RuleMeta>,
    /// How many times it ran a pattern on a value.
    pub searches: u64,
    /// The time it took. The first rule that looks at a value pays for its transformations, later ones find them done.
    pub nanoseconds: u64,
}

/// The clock and what it measured.
pub(super) struct Watch {
    clock: Box<dyn FnMut() -> u64 + Send>,
    costs: Costs,
}

impl Transaction {
    /// Measures from now on what each rule costs. The clock gives nanoseconds since any point. Lasts until [`Self::reset`].
    pub fn watch(&mut self, clock: impl FnMut() -> u64 + Send + 'static) {
        self.watch = Some(Box::new(Watch {
            clock: Box::new(clock),
            costs: Costs::default(),
        }));
    }

    /// What has been measured, if the transaction is watched.
    #[must_use]
    pub fn costs(&self) -> Option<&Costs> {
        self.watch.as_ref().map(|watch| &watch.costs)
    }

    /// Runs the rules of a phase as an unwatched transaction does, and measures.
    pub(super) fn run_watched(&mut self, rules: &RuleSet, program: &[usize]) {
        let Some(mut watch) = self.watch.take() else { return };
        let mut total = PhaseCost {
            phase: self.phase,
            rules: 0,
            searches: 0,
            nanoseconds: 0,
        };
        let mut position = Some(0);
        while let Some(at) = position {
            let (searches, start) = (self.captures.searches(), (watch.clock)());
            position = self.step(rules, program, at);
            let nanoseconds = (watch.clock)().saturating_sub(start);
            let searches = self.captures.searches().wrapping_sub(searches);
            let Some(index) = program.get(at) else { break };
            if self.removed_rules.get(*index).copied().unwrap_or(false) {
                continue;
            }
            total.rules += 1;
            total.searches += searches;
            total.nanoseconds = total.nanoseconds.saturating_add(nanoseconds);
            if let Some(rule) = rules.rules.get(*index) {
                watch.costs.rules.push(RuleCost {
                    rule: Arc::clone(&rule.meta),
                    searches,
                    nanoseconds,
                });
            }
        }
        watch.costs.phases.push(total);
        self.watch = Some(watch);
    }
}

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.costs.fmt(f)
    }
}
