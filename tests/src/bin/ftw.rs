//! Runs the regression tests of the OWASP Core Rule Set:
//! `ftw --mode engine --rules DIR --setup FILE --tests DIR`.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test program ends where its assumptions do"
)]

use std::{path::PathBuf, process::ExitCode};

use redan_tests::ftw;

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (mut mode, mut rules, mut setup, mut tests) = (None, None, None, None);
    while let Some(name) = arguments.next() {
        let value = arguments.next();
        match name.as_str() {
            "--mode" => mode = value,
            "--rules" => rules = value.map(PathBuf::from),
            "--setup" => setup = value.map(PathBuf::from),
            "--tests" => tests = value.map(PathBuf::from),
            other => {
                eprintln!("unknown argument {other}");
                return ExitCode::from(2);
            }
        }
    }
    let (Some("engine"), Some(rules), Some(setup), Some(tests)) = (mode.as_deref(), rules, setup, tests) else {
        eprintln!("usage: ftw --mode engine --rules DIR --setup FILE --tests DIR");
        return ExitCode::from(2);
    };
    let rules = ftw::rule_set(&rules, &setup);
    let outcome = ftw::run(&rules, &tests);
    for (name, wrong) in &outcome.failed {
        println!("{name}: {wrong}");
    }
    println!("{} passed, {} failed", outcome.passed, outcome.failed.len());
    if outcome.failed.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
