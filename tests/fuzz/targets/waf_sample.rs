//! A request written down as text: it is read or refused with a line inside it, and what is read runs through rules, watched as
//! `redan waf explain` does.
#![no_main]

use std::sync::{Arc, LazyLock};

use libfuzzer_sys::fuzz_target;
use redan_waf::{
    engine::{RuleSet, Transaction},
    pack::CODE_INJECTION,
    sample::Sample,
    seclang::{Compiler, DEFAULTS, EngineMode, RuleFiles},
};

static RULES: LazyLock<Arc<RuleSet>> = LazyLock::new(|| {
    let mut files = RuleFiles::new();
    files.insert("defaults.conf", DEFAULTS.to_vec());
    files.insert("pack.conf", CODE_INJECTION.as_bytes().to_vec());
    Arc::new(Compiler::new().compile(&files, &["defaults.conf", "pack.conf"]).expect("the rules compile"))
});

fuzz_target!(|data: &[u8]| {
    let lines = data.iter().filter(|byte| **byte == b'\n').count() + 1;
    match Sample::parse(data) {
        Err(error) => assert!((1..=lines).contains(&error.line), "{error}"),
        Ok(sample) => {
            assert!(sample.body.len() <= data.len());
            let mut transaction = Transaction::new(Arc::clone(&RULES));
            transaction.set_mode(EngineMode::On);
            let mut clock = 0;
            transaction.watch(move || {
                clock += 1;
                clock
            });
            sample.feed(&mut transaction);
            transaction.log();
            let costs = transaction.costs().expect("it is watched");
            assert_eq!(costs.phases.iter().map(|phase| phase.rules).sum::<usize>(), costs.rules.len());
        }
    }
});
