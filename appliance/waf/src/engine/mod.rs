//! The rule engine: transactions that are fed from outside and run through a compiled rule set, phase by phase.
//!
//! [`Transaction`] is what callers use. Its parts: `texts` (every distinct text once, with what transformations made of it), `fields`
//! (variables and collections), `single` (variables of one value), `select` (which values a rule looks at), `batch` (the distinct texts
//! behind them), `run` (phases, rules, chains), `act` (what a match does), `event` (what is told about it), `cost` (what it took, for
//! those who ask), `kept` (collections that outlive the transaction, through a trait). No clock and no I/O of its own.

mod act;
mod audit;
mod batch;
mod cost;
mod event;
mod feed;
mod fields;
mod kept;
mod request;
mod rules;
mod run;
mod select;
mod single;
mod texts;
mod transaction;
mod variable;

pub use cost::{Costs, PhaseCost, RuleCost};
pub use event::{Event, Exceeded, Intervention, Made, Matched, Score, Scores, Stop};
pub(crate) use fields::{Bag, Fields, Word};
pub use kept::{Collections, Kept, KeptChange, MemoryCollections, NoCollections};
pub(crate) use rules::{
    Alternative, Batch, Comparison, DynamicOperator, Link, List, OnlySlot, Operand, Removal, Rule, Source, Strand, Test,
};
pub use rules::{RuleMeta, RuleSet};
pub(crate) use texts::{TextId, Texts};
pub use transaction::{Connection, Transaction};
pub(crate) use variable::{Shape, Variable};

/// The number at the start of a text after white space, 0 if there is none: what C's `atoi` makes of it, kept within bounds.
pub(crate) fn integer(text: &[u8]) -> i64 {
    let text = text.trim_ascii_start();
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] | rest => (false, rest),
    };
    let digits = digits.iter().take_while(|byte| byte.is_ascii_digit());
    let value = digits.fold(0_i64, |value, digit| {
        value.saturating_mul(10).saturating_add(i64::from(digit - b'0'))
    });
    if negative { -value } else { value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_c_does() {
        for (text, number) in [
            ("5", 5),
            (" -7x", -7),
            ("", 0),
            ("x", 0),
            ("+3", 3),
            ("99999999999999999999", i64::MAX),
        ] {
            assert_eq!(integer(text.as_bytes()), number, "{text}");
        }
    }
}
