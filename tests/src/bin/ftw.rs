//! Runs the regression tests of the OWASP Core Rule Set, through the library or through a whole appliance:
//!
//! `ftw --mode engine --rules DIR --setup FILE --tests DIR`
//! `ftw --mode proxy --rules DIR --setup FILE --tests DIR [--overrides FILE]` starts an appliance; with
//! `--address HOST:PORT --console URL --key-file FILE` instead of rules and set-up it takes one that runs.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test program ends where its assumptions do"
)]

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    process::ExitCode,
};

use redan_tests::ftw::{Outcome, engine, overrides::Overrides, proxy::Tested};

const KNOWN: [&str; 8] = [
    "--mode",
    "--rules",
    "--setup",
    "--tests",
    "--overrides",
    "--address",
    "--console",
    "--key-file",
];

const USAGE: &str = "\
usage: ftw --mode engine|proxy --rules DIR --setup FILE --tests DIR [--overrides FILE]
       ftw --mode proxy --address HOST:PORT --console URL --key-file FILE --tests DIR [--overrides FILE]";

fn main() -> ExitCode {
    let mut given: HashMap<String, String> = HashMap::new();
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        if name == "--help" || name == "-h" {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        match arguments.next() {
            Some(value) if KNOWN.contains(&name.as_str()) => drop(given.insert(name, value)),
            _ => {
                eprintln!("unknown argument {name}, or its value is missing");
                return ExitCode::from(2);
            }
        }
    }
    let Some(outcome) = run(&given) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
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

fn run(given: &HashMap<String, String>) -> Option<Outcome> {
    let path = |name: &str| given.get(name).map(PathBuf::from);
    let tests = path("--tests")?;
    match given.get("--mode")?.as_str() {
        "engine" => Some(engine::run(
            &engine::rule_set(&path("--rules")?, &path("--setup")?),
            &tests,
        )),
        "proxy" => {
            let overrides = path("--overrides")
                .map(|file| Overrides::read(&file))
                .unwrap_or_default();
            if !overrides.is_empty() {
                println!("{} overrides", overrides.len());
            }
            Some(tested(given, &tests)?.run(&tests, &overrides))
        }
        _ => None,
    }
}

fn tested(given: &HashMap<String, String>, tests: &Path) -> Option<Tested> {
    let Some(address) = given.get("--address") else {
        return Some(Tested::start(
            Path::new(given.get("--rules")?),
            Path::new(given.get("--setup")?),
            tests,
        ));
    };
    let key = std::fs::read_to_string(given.get("--key-file")?).expect("the key file can be read");
    Some(Tested::running(address, given.get("--console")?, key.trim()))
}
