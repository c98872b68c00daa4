//! The regression tests of the OWASP Core Rule Set 4.28 against the rule engine. They and the rules are test data: `crs/` in the folder
//! that `REDAN_TEST_DATA` names (its README says what is in it). Without it the tests report a skip; with `REDAN_REQUIRE_DATA` they fail.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test ends where its assumptions do"
)]

use std::path::{Path, PathBuf};

use redan_tests::ftw::{engine as ftw, overrides::Overrides, proxy::Tested};

/// Tests that no library can decide, with the reason.
const UNDECIDABLE: &[(&str, &str)] = &[(
    "920620-1",
    "expects a server that joins repeated Content-Type headers into one, as Apache does; rules see two where the server keeps them",
)];

fn data() -> Option<PathBuf> {
    let data = std::env::var_os("REDAN_TEST_DATA").map(|folder| PathBuf::from(folder).join("crs"));
    let there = data.filter(|folder| folder.join("tests").is_dir());
    assert!(
        there.is_some() || std::env::var_os("REDAN_REQUIRE_DATA").is_none(),
        "REDAN_TEST_DATA does not name a folder with the Core Rule Set"
    );
    if there.is_none() {
        eprintln!("skipped: REDAN_TEST_DATA does not name a folder with the Core Rule Set");
    }
    there
}

#[test]
fn every_test_of_the_core_rule_set_that_a_library_can_decide_passes() {
    let Some(data) = data() else { return };
    let rules = ftw::rule_set(&data.join("rules"), &data.join("crs-setup.conf.example"));
    let outcome = ftw::run(&rules, &data.join("tests"));
    let wrong: Vec<_> = outcome
        .failed
        .iter()
        .filter(|(name, _)| !UNDECIDABLE.iter().any(|(undecidable, _)| undecidable == name))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(outcome.passed > 3_900, "only {} tests were found", outcome.passed);
}

#[test]
fn the_core_rule_set_that_debian_ships_compiles() {
    let (rules, setup) = (
        Path::new("/usr/share/modsecurity-crs/rules"),
        Path::new("/etc/modsecurity/crs/crs-setup.conf"),
    );
    if !rules.is_dir() || !setup.is_file() {
        eprintln!("skipped: the package modsecurity-crs is not installed");
        return;
    }
    assert!(ftw::rule_set(rules, setup).len() > 300);
}

#[test]
fn on_the_wire_they_pass_too_but_for_what_the_overrides_say() {
    let Some(data) = data() else { return };
    if std::env::var_os("REDAN_TEST_ALL").is_none() {
        eprintln!("skipped: long; REDAN_TEST_ALL runs it");
        return;
    }
    let overrides = Overrides::read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("ftw-overrides.yaml"));
    assert!(overrides.len() <= 24, "more exceptions than nginx needs");
    let tested = Tested::start(
        &data.join("rules"),
        &data.join("crs-setup.conf.example"),
        &data.join("tests"),
    );
    let outcome = tested.run(&data.join("tests"), &overrides);
    assert!(outcome.failed.is_empty(), "{:#?}", outcome.failed);
    assert!(outcome.passed > 3_900, "only {} tests were found", outcome.passed);
}
