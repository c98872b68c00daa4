//! An operator with an argument on a value: refused or decided, within its steps, and never filtered where it matches. The first byte
//! picks the operator, the argument ends at the first NUL.
#![no_main]

use libfuzzer_sys::fuzz_target;
use redan_waf::bytes::ByteSet;
use redan_waf::operator::{Captures, Files, Operator};

const NAMES: [&str; 24] = [
    "beginsWith", "contains", "containsWord", "detectSQLi", "detectXSS", "endsWith", "eq", "ipMatch", "ipMatchFromFile", "lt", "pm",
    "pmFromFile", "rx", "rx", "rx", "rxGlobal", "streq", "validateByteRange", "validateUrlEncoding", "validateUtf8Encoding", "verifyCC",
    "verifyCPF", "verifySVNR", "within",
];

/// Every file is the argument itself.
struct Itself<'a>(&'a [u8]);

impl Files for Itself<'_> {
    fn read(&self, _: &str) -> Option<&[u8]> {
        Some(self.0)
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
    let (argument, value) = (&rest[..end], rest.get(end + 1..).unwrap_or_default());
    let name = NAMES[usize::from(*choice) % NAMES.len()];
    // Rules are the operator's own, values are not: a long pattern is not what this is about.
    if argument.len() > 256 {
        return;
    }
    let Ok(operator) = Operator::compile(name, argument, &Itself(argument)) else { return };
    let present = ByteSet::of(value);
    let mut captures = Captures::default();
    let matched = operator.evaluate(value, present, &mut captures);
    captures.clear();
    captures.want(false);
    assert_eq!(operator.evaluate(value, present, &mut captures), matched, "@{name} depends on captures");
});
